"""A study on a PostgreSQL server that processes share, and that comes and goes."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from seqfuse import __main__, train
from seqfuse.runtime.errors import InputError
from seqfuse.search import storage
from seqfuse.search.space import Dimension
from tests.conftest import TINY
from tests.network import Network
from tests.postgres import PASSWORD, Server, running
from tests.searches import GOAL, SPACE, completed, finish, random, search

pytestmark = pytest.mark.slow
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def address(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database; its password is in the environment."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return f"postgresql://me@127.0.0.1:{server.port}/{server.database()}"


def test_a_search_goes_on_to_its_total(tmp_path: Path, address: str) -> None:
    assert finish(search(tmp_path, 3, address=address), tmp_path) == [0, 1, 2]
    assert finish(search(tmp_path, 3, address=address), tmp_path) == []
    assert finish(search(tmp_path, 5, address=address), tmp_path) == [3, 4]
    changed = GOAL._replace(space=[SPACE[0], Dimension(SPACE[1].key, IntDistribution(1, 4))])
    with pytest.raises(InputError, match=r"space of model.lstm.num_layers was 1 to 3, now 1 to 4"):
        search(tmp_path, 6, changed, address=address)


def test_tables_are_made_by_several_at_once(address: str) -> None:
    failures = []

    def begin() -> None:
        try:
            storage.open_storage(address)
        except InputError as error:
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_an_answer_that_is_lost_counts_once(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does what it is asked to, and goes away before it says so."""
    found = search(tmp_path, 3, address=address)
    lost: list[str] = []

    def losing(name: str) -> None:
        do = getattr(found.storage, name)

        def once(*words: object, **named: object) -> object:
            done = do(*words, **named)
            if name in lost:
                return done
            lost.append(name)
            raise storage.Away("the network was cut")

        monkeypatch.setattr(found.storage, name, once)

    for name in ("create_new_trial", "set_trial_state_values"):
        losing(name)
    monkeypatch.setattr(storage, "PAUSE", 0.01)
    assert finish(found, tmp_path) == [0, 1, 2]
    assert [trial.state for trial in found.trials()] == [TrialState.COMPLETE] * 3
    assert lost == ["create_new_trial", "set_trial_state_values"]


def test_a_search_waits_for_its_server(
    tmp_path: Path, address: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with search(tmp_path, 2, address=address) as found:
        [first] = found.ask(1, random)
        server.stop()
        timer = threading.Timer(2.0, server.start)
        timer.start()
        found.tell(first, completed(0.5), tmp_path)
        timer.join()
        [second] = found.ask(1, random)
        found.tell(second, completed(0.4), tmp_path)
    server.stop()
    timer = threading.Timer(2.0, server.start)
    timer.start()
    assert [trial.values for trial in found.trials()] == [[0.5], [0.4]], "as its report reads them"
    timer.join()
    err = capsys.readouterr().err
    assert err.count("waiting for it") == err.count("is there again") == 2


def test_the_trials_of_a_study_are_its_runs(tmp_path: Path, address: str, command: Command) -> None:
    code, out, err = command(__main__.main, "status", address, "json=true")
    assert (code, out) == (1, "")
    assert "no study" in err
    finish(search(tmp_path, 2, address=address), tmp_path)
    begun = search(tmp_path, 3, address=address)
    with begun:
        begun.ask(1, random)
        code, out, _ = command(__main__.main, "status", address, "json=true")
        rows = json.loads(out)["runs"]
        assert (code, [row["state"] for row in rows]) == (3, ["completed"] * 2 + ["training"])
        assert rows[2]["machine"].endswith(f":{os.getpid()}")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("me@", "me:secret@"), "PGPASSWORD"),
        (("/study", "/study?password=secret&x="), "PGPASSWORD"),
        (("me@", "nobody@"), "nobody"),
        (("/study", "/nothing"), "nothing"),
        (("127.0.0.1", "127.0.0.1:1"), "hydra.sweeper.storage"),
        (("127.0.0.1", "no.such.host.invalid"), "no.such.host.invalid"),
    ],
    ids=["password", "option", "user", "database", "port", "host"],
)
def test_a_wrong_address_is_one_line(
    address: str, command: Command, change: tuple[str, str], named: str
) -> None:
    wrong = address.replace(*change).replace(":1:", ":1/")
    for main, words in (
        (__main__.main, ["status", wrong]),
        (train.main, [*TINY, "sweep=optuna", f"hydra.sweeper.storage='{wrong}'"]),
    ):
        code, out, err = command(main, *words)
        assert (code, out) == (1, ""), err
        assert named in err
        assert "secret" not in err
        assert err.count("\n") == 1
    assert not os.listdir(), "nothing was made"


def test_a_wrong_password_is_one_line(
    address: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    code, _, err = command(train.main, *TINY, "sweep=optuna", f"hydra.sweeper.storage='{address}'")
    assert code == 1
    assert "password authentication failed" in err
    assert "secret" not in err
    assert err.count("\n") == 1


def launcher(folder: Path, address: str, name: str, total: int = 24) -> subprocess.Popen[bytes]:
    """A command with two workers, which report to the study, and are never pruned."""
    words = [
        *("sweep=optuna", "launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.study=mine"),
        *(f"hydra.sweeper.storage='{address}'", f"hydra.sweeper.num_trials={total}"),
        *("hydra.sweeper.retries=2", "hydra/sweeper/sampler=random", "hydra/sweeper/pruner=median"),
        *("hydra.sweeper.pruner.n_startup_trials=1000", "model.lstm.hidden_size=8"),
        *("logger=none", "model.lstm.num_layers=1", "model.attention.num_heads=1"),
    ]
    with (folder / name).open("ab") as log:
        program = [sys.executable, "-m", "seqfuse.train", *TINY, *words]
        return subprocess.Popen(program, cwd=folder, stdout=log, stderr=log)


def wait_for(number: int, trials: Callable[[], list[FrozenTrial]], *texts: Path) -> None:
    """Waits until so many trials have completed."""
    end = time.monotonic() + 300
    while sum(trial.state == TrialState.COMPLETE for trial in trials()) < number:
        assert time.monotonic() < end, "\n".join(path.read_text() for path in texts)
        time.sleep(0.2)


@contextmanager
def missed(seconds: float, *texts: Path) -> Iterator[None]:
    """Waits so long at the end of the block, and until a command has missed the server since."""

    def times() -> int:
        return sum(path.read_text().count(": waiting for it") for path in texts)

    before, begin = times(), time.monotonic()
    yield
    time.sleep(seconds)
    while times() == before:
        assert time.monotonic() < begin + 120, "\n".join(path.read_text() for path in texts)
        time.sleep(0.2)


def kill_at_work(pid: int, folder: Path) -> None:
    """Kills a worker of a command while it is at work on a trial, which its outcome names."""
    end = time.monotonic() + 120
    while True:
        workers = {one.pid: one for one in psutil.Process(pid).children(recursive=True)}
        for path in folder.rglob("outcome.json"):
            content = json.loads(path.read_text())
            if content["status"] == "killed" and content["pid"] in workers:
                return workers[content["pid"]].kill()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_goes_wrong_costs_no_trial(tmp_path: Path, address: str, server: Server) -> None:
    """A worker is killed, the server restarted, the network cut: 24 trials all the same."""
    network = Network(server.port)
    through = address.replace(f"127.0.0.1:{server.port}", network.address)
    logs = [tmp_path / "a", tmp_path / "b"]
    both = [launcher(tmp_path, through, path.name) for path in logs]

    def trials() -> list[FrozenTrial]:
        found = storage.open_storage(address)
        names = optuna.get_all_study_names(found)
        return optuna.load_study(study_name="mine", storage=found).trials if names else []

    try:
        wait_for(3, trials, *logs)
        kill_at_work(both[0].pid, tmp_path)
        wait_for(8, trials, *logs)
        with missed(3, *logs):
            server.stop()
        server.start()
        wait_for(14, trials, *logs)
        with ExitStack() as cut, missed(10, *logs):
            cut.enter_context(network.down())
        codes = [one.wait(300) for one in both]
    finally:
        for one in both:
            one.kill()
    said = "\n".join(path.read_text() for path in logs)
    assert "Traceback" not in said
    # Of a search's own jobs some were killed, and run again: no command fails for that.
    done = [trial for trial in trials() if trial.state == TrialState.COMPLETE]
    assert len(done) == 24, said
    assert len({trial.params["optimizer.lr"] for trial in done}) == 24, "none twice"
    statuses = {trial.user_attrs["status"] for trial in trials()}
    assert {"completed", "retried"} <= statuses <= {"completed", "retried", "surplus"}
    folders = [tmp_path / trial.user_attrs["folder"] for trial in done]
    outcomes = [json.loads((folder / "outcome.json").read_text()) for folder in folders]
    assert {outcome["status"] for outcome in outcomes} == {"completed"}
    assert len({*folders}) == 24
    assert codes == [0, 0], said

    assert launcher(tmp_path, through, "c", 25).wait(300) == 0, (tmp_path / "c").read_text()
    assert sum(trial.state == TrialState.COMPLETE for trial in trials()) == 25
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in content for content in kept)

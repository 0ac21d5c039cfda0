"""A study on a PostgreSQL server that processes share, and that comes and goes."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from seqfuse import __main__, train
from seqfuse.runtime.errors import InputError
from seqfuse.search import storage
from seqfuse.search.space import Dimension
from tests.conftest import TINY
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

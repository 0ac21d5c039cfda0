"""Sweeps on a Ray cluster of two nodes, which are two on this machine.

Ray is large, and so stands in an environment of its own: RAY_PYTHON names its Python, which has
`seqfuse[ray,search]`.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
import psutil
import pytest
from omegaconf import OmegaConf

from hydra_plugins.seqfuse_ray import NODE, RayLauncher
from seqfuse.compat import ray
from seqfuse.runtime.errors import InputError
from seqfuse.search.storage import open_storage
from tests.conftest import TINY
from tests.trained import assert_same, weights

PYTHON = os.environ.get("RAY_PYTHON", "")
ROOT = Path(__file__).parents[2]
SWEEP = [*TINY, "logger=none", "test=false"]
OWN = """
import json, os, pathlib, signal, time, uuid
import ray
from seqfuse.data.read.synthetic import Synthetic

class Noted(Synthetic):
    def __call__(self, split):
        facts = {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()}
        names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
        facts |= {name: os.environ.get(name) for name in names}
        pathlib.Path(f"noted-{uuid.uuid4().hex}").write_text(json.dumps(facts))
        time.sleep(1)
        return super().__call__(split)

class Deadly(Synthetic):
    def __call__(self, split):
        os.kill(os.getpid(), signal.SIGKILL)
"""
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
OURS = "seqfuse.data.read.synthetic.Synthetic"
Train = Callable[..., subprocess.CompletedProcess[str]]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def node(folder: Path, *words: str) -> Iterator[None]:
    """A node with two cores and one GPU, which is not looked for."""
    program = [str(Path(PYTHON).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    path = os.pathsep.join([str(folder), str(ROOT / "src"), str(ROOT)])
    env = {name: os.environ[name] for name in os.environ if name != "OMP_NUM_THREADS"} | TOKEN
    with (folder / "nodes.log").open("ab") as log:
        before = (folder / "nodes.log").read_text().count("Ray runtime started")
        process = subprocess.Popen(
            [*program, "--num-cpus=2", "--num-gpus=1", *words],
            **{"cwd": folder, "env": env | {"PYTHONPATH": path}, "stdout": log, "stderr": log},
        )
    try:
        end = time.monotonic() + 120
        while (folder / "nodes.log").read_text().count("Ray runtime started") == before:
            assert process.poll() is None, (folder / "nodes.log").read_text()
            assert time.monotonic() < end, (folder / "nodes.log").read_text()
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)  # which ends what it started
        process.wait(60)


@contextmanager
def head(folder: Path) -> Iterator[str]:
    """A head with a node; its address."""
    port, client = free_port(), free_port()
    words = [f"--port={port}", "--include-dashboard=false", f"--ray-client-server-port={client}"]
    with (
        tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as place,
        node(folder, "--head", *words, f"--temp-dir={place}"),
    ):
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not PYTHON:
        pytest.skip("no Ray: name the Python of an environment with seqfuse[ray] in RAY_PYTHON")
    folder = tmp_path_factory.mktemp("nodes")
    (folder / "mylab.py").write_text(OWN)
    with ExitStack() as nodes:
        address = nodes.enter_context(head(folder))
        nodes.enter_context(node(folder, f"--address={address}"))
        yield address


@pytest.fixture
def train(cluster: str, tmp_path: Path) -> Train:
    """The command, on the cluster; without an address in one process."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "mylab.py").write_text(OWN)

    def run(
        *words: str, address: str | None = cluster, token: str = TOKEN["RAY_AUTH_TOKEN"]
    ) -> subprocess.CompletedProcess[str]:
        program = [PYTHON, "-P", "-m", "seqfuse.train", *SWEEP, *words]
        if address is not None:
            program += ["launcher=ray", f"hydra.launcher.address='{address}'"]
        path = os.pathsep.join(map(str, (tmp_path / "lab", ROOT / "src", ROOT)))
        env = {**os.environ, **TOKEN, "RAY_AUTH_TOKEN": token, "PYTHONPATH": path}
        return subprocess.run(
            program,
            **{"cwd": tmp_path, "env": env, "capture_output": True},
            text=True,
            timeout=300,
        )

    return run


def statuses(folder: Path) -> list[str]:
    [sweep] = folder.glob("logs/sweeps/*/")
    jobs = sorted(sweep.glob("*/outcome.json"), key=lambda path: int(path.parent.name))
    return [json.loads(path.read_text())["status"] for path in jobs]


@pytest.mark.slow
def test_a_search_runs_on_both_nodes(train: Train, tmp_path: Path) -> None:
    noted = "data.module.splits.dataset._target_=mylab.Noted"
    words = ["hydra.sweeper.num_trials=4", "hydra.launcher.num_cpus=1", "hydra.sweeper.study=both"]
    done = train("sweep=optuna", *words, "hydra.launcher.num_gpus=0.5", noted)
    assert done.returncode == 0, done.stderr
    study = open_storage(str(tmp_path / "logs/sweeps/both/study.journal"))
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(TOKEN["RAY_AUTH_TOKEN"].encode() in content for content in kept)
    states = [one.state.name for one in optuna.load_study(study_name="both", storage=study).trials]
    assert states == ["COMPLETE"] * 4
    facts = [json.loads(path.read_text()) for path in tmp_path.glob("noted-*")]
    assert len({fact["node"] for fact in facts}) == 2
    assert len({fact["pid"] for fact in facts}) == 4, "as many as fit are launched together"
    assert {(fact["OMP_NUM_THREADS"], fact["CUDA_VISIBLE_DEVICES"]) for fact in facts} == {
        ("1", "0")
    }


@pytest.mark.slow
def test_a_job_is_that_of_one_process(train: Train, tmp_path: Path) -> None:
    """With the current folder full of files that Python would import; Ray adds it to the path."""
    for name in ("pickle", "random", "torch", "numpy", "hydra", "omegaconf", "json"):
        (tmp_path / f"{name}.py").write_text(
            "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n"
        )
    done = train("-m", "seed=0,1", "hydra.sweep.dir=one", "trainer.num_threads=1")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("*.ran"))
    done = train("-m", "seed=0,1", "hydra.sweep.dir=two", "trainer.num_threads=1", address=None)
    assert done.returncode == 0, done.stderr
    for job in "01":
        assert_same(weights(tmp_path / "one" / job), weights(tmp_path / "two" / job))


@pytest.mark.slow
def test_a_killed_worker_takes_no_other_along(train: Train, tmp_path: Path) -> None:
    done = train("-m", f"data.module.splits.dataset._target_={OURS},mylab.Deadly,{OURS}")
    assert done.returncode == 1
    assert "launcher=ray: a worker was killed" in done.stderr
    assert statuses(tmp_path) == ["completed", "killed", "completed"]


@pytest.mark.slow
@pytest.mark.usefixtures("sigint")
def test_a_command_that_is_stopped_stops_its_jobs(train: Train, tmp_path: Path) -> None:
    def states() -> list[str]:
        paths = tmp_path.glob("logs/sweeps/*/[01]/status.json")
        return [json.loads(path.read_text())["state"] for path in paths]

    def stop() -> None:
        while states() != ["training"] * 2:
            time.sleep(0.2)
        children = psutil.Process().children()
        [command] = [one for one in children if "seqfuse.train" in one.cmdline()]
        command.send_signal(signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    done = train("-m", "seed=0,1", "data.num_samples=100000", "trainer.max_epochs=1000")
    assert done.returncode == 130, done.stderr
    for job in tmp_path.glob("logs/sweeps/*/[01]"):
        assert f"resume={job.relative_to(tmp_path)}" in (job / "outcome.json").read_text()
    assert states() == ["stopped"] * 2


@pytest.mark.slow
def test_a_job_that_is_asked_to_end_goes_on(train: Train, tmp_path: Path) -> None:
    """By SIGTERM in an epoch; bit for bit."""
    words = ["-m", "seed=0,1", "trainer.num_threads=1"]
    given = ["trust=[tests]", "hydra.sweep.dir=one", "+callbacks.fault.once=once"]
    given += ["+callbacks.fault._target_=tests.ddp.faults.Fault", "+callbacks.fault.rank=0"]
    done = train(*words, *given, "+callbacks.fault.kind=SIGTERM")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "once").exists()
    done = train(*words, "hydra.sweep.dir=two", address=None)
    assert done.returncode == 0, done.stderr
    for job in "01":
        assert json.loads((tmp_path / "one" / job / "outcome.json").read_text())["status"] == (
            "completed"
        )
        assert_same(weights(tmp_path / "one" / job), weights(tmp_path / "two" / job))


@pytest.mark.slow
def test_a_job_goes_on_elsewhere_when_its_node_is_taken_away(
    train: Train, tmp_path: Path, cluster: str
) -> None:
    """Each of three nodes has one GPU; two of them remain."""
    taken, third = tmp_path / "taken", ExitStack()
    taken.mkdir()
    third.enter_context(node(taken, f"--address={cluster}"))

    def take() -> None:
        end = time.monotonic() + 120
        while len([*tmp_path.glob("jobs/[012]/checkpoints/last.ckpt")]) < 3:
            assert time.monotonic() < end
            time.sleep(0.2)
        third.close()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    words = ["-m", "seed=0,1,2", "hydra.sweep.dir=jobs", "hydra.launcher.num_gpus=1"]
    done = train(*words, "trainer.max_epochs=300", "callbacks.last_checkpoint.every_n_steps=1")
    thread.join(60)
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(path.read_text()) for path in tmp_path.glob("jobs/[012]/outcome.json")]
    assert [one["status"] for one in outcomes] == ["completed"] * 3


@pytest.mark.slow
def test_another_cluster_or_none_is_one_line(
    train: Train, tmp_path: Path, cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def said(*words: str, address: str = cluster, **named: str) -> str:
        done = train("-m", "seed=0,1", *words, address=address, **named)
        assert done.returncode == 1
        assert done.stderr.startswith("seqfuse: ")
        assert done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "logs").exists()
        return done.stderr

    assert f"hydra.launcher.address={(nowhere := f'127.0.0.1:{free_port()}')}" in said(
        address=nowhere
    )
    assert "host:port" in said(address="here")
    assert "RAY_AUTH_TOKEN" in said(token="wrong")
    assert "hydra.launcher.num_gpus=2" in said("hydra.launcher.num_gpus=2")
    with head(tmp_path_factory.mktemp("second")) as second:
        line = said(address="auto")
    assert "hydra.launcher.address=auto" in line
    assert second.rpartition(":")[2] in line or cluster.rpartition(":")[2] in line


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_cpus": -1}, "num_cpus=-1"),
        ({"num_cpus": 1.5}, "num_cpus=1.5"),
        ({"num_cpus": 0}, "num_cpus=0"),
        ({"num_gpus": "one"}, "num_gpus=one"),
    ],
)
def test_what_a_job_takes_is_checked(changes: dict, named: str) -> None:
    node = {key: value for key, value in NODE.items() if not key.startswith("_")}
    with pytest.raises(InputError, match=f"hydra.launcher.{named}"):
        RayLauncher(**{**node, **changes})


def test_the_launcher_is_known_by_its_node() -> None:
    assert ray.is_ray(OmegaConf.create(NODE))
    assert not ray.is_ray({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"})

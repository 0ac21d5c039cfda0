"""Runs whose folder has a copy at an address, and go on from it elsewhere."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from seqfuse import train
from seqfuse.callbacks import mirror
from seqfuse.config import runs
from seqfuse.runtime.errors import InputError
from tests.conftest import TINY, assert_refused
from tests.trained import assert_same, weights

Command = Callable[..., tuple[int, str, str]]
MEMORY = MemoryFileSystem()
HERE = "paths.logs=memory://lab/logs"


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQFUSE_CACHE", str(tmp_path / "cache"))
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]


def there() -> dict[str, bytes]:
    """Files of the bucket."""
    return {name: MEMORY.cat(name) for name in MEMORY.store}


@pytest.mark.long
def test_a_run_folder_is_copied(command: Command) -> None:
    code, out, err = command(train.main, *TINY, HERE)
    assert code == 0, err
    [run] = Path("logs/synthetic").iterdir()
    assert f"mirror      memory://lab/logs/synthetic/{run.name}" in out
    paths = [path for path in run.rglob("*") if path.is_file() and path.name != "previous.ckpt"]
    assert there() == {f"/lab/{path.as_posix()}": path.read_bytes() for path in paths}
    names = {path.name for path in paths}
    assert {"config.yaml", "status.json", "metrics.json", "best.ckpt", "last.ckpt"} <= names


def stop_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    check, count = runs.check_there, []

    def stop(folder: Path) -> None:
        check(folder)
        count.append(folder)
        if len(count) == 2 * epoch:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(runs, "check_there", stop)  # of the journal: at epochs and checkpoints


@pytest.mark.long
@pytest.mark.parametrize("how", ["latest", "address"])
def test_a_run_goes_on_elsewhere(command: Command, monkeypatch: Any, how: str) -> None:
    words = [*TINY, "trainer.max_epochs=4"]
    code, _, err = command(train.main, *words, "hydra.run.dir=whole")
    assert code == 0, err
    with monkeypatch.context() as patched:
        stop_in_epoch(patched, 2)
        code, _, err = command(train.main, *words, HERE)
    assert code == 143, err
    [run] = Path("logs/synthetic").iterdir()
    shutil.rmtree("logs")  # as on another machine
    place = f"memory://lab/logs/synthetic/{run.name}"
    code, _, err = command(train.main, *((f"resume={place}",) if how == "address" else (
        *("resume=latest", HERE),
    )))  # fmt: skip
    assert code == 0, err
    assert_same(weights(run), weights(Path("whole")))
    assert (
        MEMORY.cat(f"/lab/{run.as_posix()}/checkpoints/last.ckpt")
        == (run / "checkpoints/last.ckpt").read_bytes()
    )


@pytest.mark.long
def test_only_the_user_names_where_a_run_is_sent(command: Command) -> None:
    code, _, err = command(train.main, *TINY, HERE, "hydra.run.dir=run")
    assert code == 0, err
    before = there()
    for words in (("resume=run",), ("--config-dir", "run", "--config-name", "config")):
        assert_refused(
            command(train.main, *words, "trainer.max_epochs=3"), "paths.mirror=memory://lab/logs"
        )
    assert there() == before


def test_an_address_without_a_run_is_named(command: Command) -> None:
    for words in (("resume=latest", HERE), ("resume=memory://lab/logs/a/b",)):
        assert_refused(command(train.main, *words), "memory://lab/logs")
        assert not Path("logs").exists()


@pytest.mark.long
@pytest.mark.parametrize("fails", [1, 10**6])
def test_an_address_that_is_away_ends_no_run(
    command: Command, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    put, count = mirror.addresses.put, []

    def sometimes(path: Path, address: str) -> None:
        count.append(address)
        if len(count) <= fails:
            raise InputError(f"{address}: the network is away")
        put(path, address)

    monkeypatch.setattr(mirror.addresses, "put", sometimes)
    code, _, err = command(train.main, *TINY, HERE)
    assert code == (0 if fails == 1 else 1), err
    [run] = Path("logs/synthetic").iterdir()
    assert (run / "metrics.json").is_file()
    assert "the network is away; it is tried again" in err
    if fails == 1:
        assert f"/lab/{run.as_posix()}/checkpoints/best.ckpt" in MEMORY.store
    else:
        assert f"whole in {run}" in err.splitlines()[-1]

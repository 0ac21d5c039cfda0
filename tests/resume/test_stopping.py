"""Ctrl-C and SIGTERM end every command with one line and a code, at whatever moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqfuse import evaluate
from seqfuse.data.read.synthetic import Synthetic
from seqfuse.tasks.base import Task
from seqfuse.train import main
from tests.conftest import TINY

Command = Callable[..., tuple[int, str, str]]
SIGNALS = pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
EVALUATE = ("ckpt=run/checkpoints/best.ckpt", "trainer=cpu", "trainer.enable_progress_bar=false")
MOMENTS = {
    "reading": (Synthetic, "__call__"),
    "before the first step": (Task, "on_fit_start"),
    "testing": (Task, "test_step"),
}


pytestmark = pytest.mark.usefixtures("sigint")


def stop_at(monkeypatch: pytest.MonkeyPatch, moment: str, name: str) -> None:
    """Sends a signal when a method is called first."""
    place, method = MOMENTS[moment]
    original = getattr(place, method)

    def called(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), getattr(signal, name))
        return original(*given, **named)

    monkeypatch.setattr(place, method, called)


@pytest.mark.long
@SIGNALS
@pytest.mark.parametrize("moment", MOMENTS)
def test_training_ends_with_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, moment: str, name: str, code: int
) -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patched:
        stop_at(patched, moment, name)
        found, _, err = command(main, *TINY, "trainer.max_epochs=1")
    assert found == code
    assert err.count("\n") == 1
    if moment == "reading":
        assert err == f"seqfuse: stopped by {name}\n"
        assert not os.listdir(), "litter"
    else:
        [run] = Path("logs/synthetic").iterdir()
        assert err == f"seqfuse: stopped by {name}; go on with: seqfuse-train resume={run}\n"
        code, out, err = command(main, f"resume={run}")
        assert code == 0, err
        assert "test/loss" in out
    assert handlers == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.long
@SIGNALS
def test_an_evaluation_ends_with_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    assert command(main, *TINY, "trainer.max_epochs=1", "hydra.run.dir=run")[0] == 0
    stop_at(monkeypatch, "testing", name)
    found, _, err = command(evaluate.main, *EVALUATE)
    assert (found, err) == (code, f"seqfuse: stopped by {name}\n")
    assert os.listdir() == ["run"]


@pytest.mark.long
@SIGNALS
def test_a_process_that_imports_ends_with_one_line(tmp_path: Path, name: str, code: int) -> None:
    """A real one, which tells by its run folder that it has begun."""
    words = [sys.executable, "-m", "seqfuse.train", *TINY]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "logs").exists() and process.poll() is None:
            pass
        process.send_signal(getattr(signal, name))
        _, err = process.communicate()
    assert (process.returncode, err) == (code, f"seqfuse: stopped by {name}\n")
    assert not os.listdir(tmp_path)

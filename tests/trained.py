"""What runs leave behind, read back and compared; and ways to end a run."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seqfuse.tasks.base import Task

# Of the machine, not of the run; on a GPU there is one more.
MEASURED = {f"train/{name}" for name in ("samples_per_second", "data_wait", "memory_mib")}


def checkpoint(run: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return checkpoint(run, name)["state_dict"]


def altered(best: Path, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a checkpoint, changed."""
    content = torch.load(best, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def assert_same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(one, two, atol=0, rtol=0)


def without_time(metrics: dict) -> dict:
    return {key: value for key, value in metrics.items() if key != "fit_seconds"}


def table(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv; what no two runs have the same is left out of each."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: cell for name, cell in row.items() if name not in MEASURED} for row in rows]


class Killed(Exception):
    """Stands for whatever ends a process."""


def stop_after(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Kills a run at the first batch after an epoch."""
    original = Task.training_step

    def step(self, batch, batch_idx):
        if self.trainer.current_epoch == epoch + 1:
            raise Killed
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", step)


def run_python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )

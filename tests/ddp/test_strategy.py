"""Errors that go from a spawned rank to the process that waits for it."""

import pickle
import signal
from pathlib import Path

import pytest
from torch import Tensor
from torchmetrics import Metric

from seqfuse.config import build
from seqfuse.ddp.strategy import packed, unpacked
from seqfuse.runtime.errors import Diverged, InputError, Interrupted
from seqfuse.tasks.base import Task
from tests.conftest import Compose


@pytest.mark.parametrize(
    "error",
    [Interrupted(signal.SIGTERM, "logs/a"), Diverged("the loss is nan"), OSError(28, "full", "a")],
)
def test_errors_travel_between_processes(error: Exception) -> None:
    found = unpacked(packed(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert getattr(found, "exit_code", 0) == getattr(error, "exit_code", 0)
    assert getattr(found, "filename", None) == getattr(error, "filename", None)
    assert type(error).__name__ in found.__notes__[0]


def test_what_cannot_travel_is_told() -> None:
    error = InputError("a mistake", lambda: None)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(error)
    assert "a mistake" in str(unpacked(packed(error)))


@pytest.mark.long
def test_a_spawned_task_counts_alone(tiny: Compose, tmp_path: Path) -> None:
    """What processes are given is shared memory, metrics too."""
    task = build.build_task(build.resolve(tiny("data.class_counts=[1,1]", "data.channels=3")))
    for state in states(task):
        state.share_memory_()
    other = states(pickle.loads(pickle.dumps(task)))
    assert other
    assert not any(state.is_shared() for state in other)
    task.is_compiled = True
    assert task.net._compiled_call_impl is None
    assert pickle.loads(pickle.dumps(task)).net._compiled_call_impl is not None


def states(task: Task) -> list[Tensor]:
    """Of its metrics."""
    metrics = [part for part in task.modules() if isinstance(part, Metric)]
    values = [value for metric in metrics for value in metric.metric_state.values()]
    return [value for value in values if isinstance(value, Tensor)]

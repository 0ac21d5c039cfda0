"""Errors that go from a spawned rank to the process that waits for it."""

import pickle
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
from torch import Tensor, distributed
from torchmetrics import Metric

from seqfuse.config import build, recipes
from seqfuse.ddp import strategy
from seqfuse.ddp.strategy import check_places, packed, unpacked
from seqfuse.nn import collectives
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


def test_ranks_that_see_different_checkpoints_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"content")
    for other, same in ((("last.ckpt", 7), True), (None, False), (("last.ckpt", 8), False)):
        monkeypatch.setattr(collectives, "gather", lambda here, other=other: [here, other])
        with nullcontext() if same else pytest.raises(InputError, match="paths.logs"):
            check_places(path)


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (distributed.DistBackendError("NCCL timed out"), True),
        (RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_a_rank_of_torchrun_that_lost_another_says_so(
    tiny: Compose, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, is_told: bool
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    monkeypatch.setattr(strategy, "is_first", lambda key: True)
    with pytest.raises(InputError, match="has gone") if is_told else nullcontext():
        strategy.Ddp().on_exception(error)


@pytest.mark.long
def test_a_spawned_task_counts_alone(tiny: Compose, tmp_path: Path) -> None:
    """What processes are given is shared memory, metrics too."""
    task = build.build_task(recipes.resolve(tiny("data.class_counts=[1,1]", "data.channels=3")))
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

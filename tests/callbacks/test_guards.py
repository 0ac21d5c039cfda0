"""When a loss that is no number ends a run, and when the scaler of 16-mixed is let do its work."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import MixedPrecision, Precision

from seqfuse.callbacks.guards import SKIPS, NanGuard, RandomState
from seqfuse.runtime.errors import Diverged


def trainer(scale: float | None) -> Any:
    scaler: Any = SimpleNamespace(get_scale=lambda: scale)
    mixed = MixedPrecision("16-mixed", "cpu", scaler)
    return SimpleNamespace(
        precision_plugin=Precision() if scale is None else mixed,
        fit_loop=SimpleNamespace(batch_idx=3),
        current_epoch=1,
        checkpoint_callback=None,
    )


def losses(guard: NanGuard, scale: float | None, *values: float) -> None:
    for value in values:
        guard.on_before_backward(trainer(scale), LightningModule(), torch.tensor(value))


def test_without_a_scaler_the_first_one_ends_the_run() -> None:
    losses(NanGuard(), None, 1.0, 2.0)
    with pytest.raises(Diverged, match="the loss is inf in batch 3 of epoch 1"):
        losses(NanGuard(), None, 1.0, math.inf)


def test_with_one_it_takes_as_many_in_a_row_as_bring_its_scale_below_1() -> None:
    assert 2.0**16 / 2**SKIPS < 1
    guard = NanGuard()
    losses(guard, 2.0**16, *[math.inf] * SKIPS, 1.0, *[math.nan] * SKIPS)
    with pytest.raises(Diverged, match="the loss is nan"):
        losses(guard, 2.0**16, math.nan)


@pytest.mark.parametrize("scale", [None, 2.0**-5, 2.0**16])
def test_a_scale_that_training_can_have(scale: float | None) -> None:
    NanGuard().on_train_epoch_end(trainer(scale), LightningModule())


def test_a_scale_that_skips_every_step_ends_the_run() -> None:
    with pytest.raises(Diverged, match="type precision=bf16-mixed or precision=32"):
        NanGuard().on_train_epoch_end(trainer(2.0**-11), LightningModule())


@pytest.mark.parametrize("others", [0, 2])
def test_another_number_of_ranks_is_told(others: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The state of rank 0 is taken over all the same."""
    saved = RandomState().state_dict()
    expected = torch.rand(3)
    state = RandomState()
    state.load_state_dict({**saved, "ranks": [saved] * others})
    trainer: Any = SimpleNamespace(is_global_zero=True, global_step=5)
    for _ in range(2):
        state.on_train_start(trainer, Any)  # type: ignore[arg-type]
    assert torch.rand(3).equal(expected)
    out = capsys.readouterr().out
    assert out.count("\n") == (1 if others else 0)
    assert not others or ("behind step 5" in out and "by 1 in place of 3 processes" in out)

"""Which hooks of a step are taken away."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint

from seqfuse.callbacks.guards import NanGuard
from seqfuse.callbacks.idle import skip_idle_hooks


@pytest.mark.parametrize(
    ("owner", "hook", "kept"),
    [
        (ModelCheckpoint(), "on_train_batch_end", False),
        (ModelCheckpoint(every_n_train_steps=2), "on_train_batch_end", True),
        (LearningRateMonitor("epoch"), "on_train_batch_start", False),
        (LearningRateMonitor("step"), "on_train_batch_start", True),
        (NanGuard(), "on_before_backward", True),
        (NanGuard(), "on_train_batch_end", False),
    ],
)
def test_only_idle_hooks_go(owner: Callback, hook: str, kept: bool) -> None:
    trainer: Any = SimpleNamespace(callbacks=[owner])
    skip_idle_hooks(trainer, LightningModule())
    assert callable(getattr(owner, hook)) is kept

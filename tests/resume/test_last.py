"""When `last.ckpt` is written, and that a run goes on from any of them as if it had not stopped."""

import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seqfuse.data.items import Items
from seqfuse.nn import collectives
from seqfuse.resume import job
from seqfuse.resume.last import LastCheckpoint
from seqfuse.resume.whole import WholeFiles
from seqfuse.runtime.errors import Interrupted
from seqfuse.tasks.base import Task
from seqfuse.train import train
from tests.conftest import Compose
from tests.trained import Killed, checkpoint, table


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps at which last.ckpt was written."""
    steps: list[int] = []
    original = WholeFiles.save_checkpoint

    def save(self, checkpoint, path, storage_options=None):
        if Path(path).name == "last.ckpt":
            steps.append(checkpoint["global_step"])
        original(self, checkpoint, path, storage_options)

    monkeypatch.setattr(WholeFiles, "save_checkpoint", save)
    return steps


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ([], [4, 8]),
        (["callbacks.last_checkpoint.every_n_steps=3"], [3, 4, 7, 8]),
        (["callbacks.last_checkpoint.every_seconds=1e-9"], [1, 2, 3, 4, 5, 6, 7, 8]),
        # Gradients of a step that is not yet done are in no checkpoint.
        (["callbacks.last_checkpoint.every_n_steps=1", "trainer.accumulate_grad_batches=2"],
         [1, 2, 3, 4]),
        (["trainer.check_val_every_n_epoch=3"], [4, 8]),
        (["trainer.max_steps=7"], [4, 7]),
        (["callbacks.last_checkpoint=null"], []),
    ],
)  # fmt: skip
def test_when_it_is_written(
    tiny: Compose, tmp_path: Path, saved: list[int], words: list[str], steps: list[int]
) -> None:
    if "trainer.check_val_every_n_epoch=3" in words:
        words = [*words, "scheduler=constant"]
    train(tiny(*words, "callbacks.figures=null", "test=false", "logger=none"), tmp_path)
    assert saved == steps


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (6, ()),
        (4, ("data.num_folds=0", "task.monitor=train/loss", "scheduler.monitor=train/loss",
             "scheduler.patience=0", "optimizer.lr=0.1")),
        (6, ("trainer.check_val_every_n_epoch=2", "scheduler=cosine", "callbacks=ema")),
        (4, ("trainer.check_val_every_n_epoch=2", "scheduler=cosine", "callbacks=ema")),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_data_set_may_draw_random_numbers(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, words: tuple[str, ...]
) -> None:
    """Of torch, numpy and Python, when it is asked for a batch; in an epoch and between two."""
    fetch, step = Items.__getitems__, Task.training_step

    def noisy(self, indices):
        batch = fetch(self, indices)
        noise = np.random.normal() + random.gauss(0, 1) + torch.randn(()).item()
        return batch._replace(x=batch.x + 0.1 * noise)

    def killed(self, batch, batch_idx):
        if self.trainer.global_step == at:
            raise Killed
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Items, "__getitems__", noisy)
    words = (*words, "callbacks.figures=null", "trainer.max_epochs=3",
             "callbacks.last_checkpoint.every_n_steps=2")  # fmt: skip
    whole = train(tiny(*words), tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(Task, "training_step", killed)
        with pytest.raises(Killed):
            train(tiny(*words), tmp_path / "part")
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    assert checkpoint(tmp_path / "part")["global_step"] == at
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    resumed = train(tiny(*words, f"resume={last}"), tmp_path / "part")
    assert resumed == whole
    assert table(tmp_path / "whole") == table(tmp_path / "part")


@pytest.mark.parametrize("first", [True, False])
def test_one_rank_puts_the_job_back_for_a_signal_to_any(
    first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setattr(collectives, "highest", lambda *_: signal.SIGUSR1)
    monkeypatch.setattr(job, "requeue", lambda: "back in the queue")
    last: Any = LastCheckpoint("checkpoints")
    strategy = SimpleNamespace(root_device="cpu")
    trainer = SimpleNamespace(is_global_zero=first, strategy=strategy, default_root_dir="run")
    with pytest.raises(Interrupted, match="stopped by SIGUSR1") as caught:
        last._stop(trainer)
    assert ("back in the queue" in str(caught.value)) == first

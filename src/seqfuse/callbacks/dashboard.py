"""Content of boards and metrics.csv beside the metrics."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from seqfuse.callbacks.boards import Options, TensorBoard, boards
from seqfuse.config.checks.trainer import validates
from seqfuse.config.runs import best
from seqfuse.runtime.pipelines.labels import Labelled
from seqfuse.runtime.shown import visible
from seqfuse.search.outcome import of_error, settings_of

SECTIONS = (
    *("seed", "data", "model", "task", "optimizer", "scheduler", "trainer"),
    *("init_from", "freeze", "teacher"),
)
"""Sections whose values are hyper-parameters on a board."""
WIRING = ("data/module", "data/root", "data/class_counts", "task/metrics", "task/loss/class_counts")
"""Keys in them that follow from the data or from other keys."""
MAX_ITEMS = 500
"""Test items in the projector, evenly spread over the split."""


class Dashboard(Callback):
    """Config as text, gradient norm (before clipping), and the HPARAMS tab with metrics.

    Of classes of items TensorBoard's projector, too: what the net makes of them before its head.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for board in boards(trainer):
            board.show_config(_config(trainer), _options(trainer))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(grads)
            for logger in trainer.loggers:
                logger.log_metrics({"train/gradient_norm": norm.item()}, trainer.global_step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _config(trainer)["test"]:
            _conclude(trainer, "completed")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _show_embedding(trainer)
        _conclude(trainer, "completed")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        failed = isinstance(exception, Exception)
        _conclude(trainer, of_error(exception, "").status if failed else "interrupted")


def _config(trainer: Trainer) -> dict[str, Any]:
    task: Any = trainer.lightning_module
    return task.record.config


def _conclude(trainer: Trainer, status: str) -> None:
    config = _config(trainer)
    options = _given(Path(trainer.default_root_dir)) or _options(trainer)
    tested = ["loss", *config["task"]["metrics"]] if config["test"] else []
    monitor = [f"best/{config['task']['monitor']}"] if validates(config) else []
    names = [*monitor, *(f"test/{name}" for name in tested)]
    for board in boards(trainer):
        board.conclude(options, status, best(trainer), names, trainer.global_step)


def _show_embedding(trainer: Trainer) -> None:
    shown = [board for board in boards(trainer) if isinstance(board, TensorBoard)]
    task: Any = trainer.lightning_module
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    pipeline = data.splits.pipeline
    if not shown or not isinstance(pipeline, Labelled) or pipeline.labels.job != "classes":
        return
    items = data.tensors(data.evaluated)
    if len(items) < 2:
        return
    rows = torch.linspace(0, len(items) - 1, min(MAX_ITEMS, len(items))).round().long()
    features, names = [], []
    classes = pipeline.labels.classes
    for chunk in rows.split(32):
        batch = task.transfer_batch_to_device(items.__getitems__(chunk.tolist()), task.device, 0)
        with torch.inference_mode():
            queries, _ = task.net.encode(batch.x, batch.mask)
        features.append(queries.mean(dim=1).float().cpu())
        pairs = zip(batch.y.tolist(), batch.index.tolist(), strict=True)
        names += [[visible(classes[label]), str(row)] for label, row in pairs]
    for board in shown:
        board.show_embedding(torch.cat(features), names, trainer.global_step)


def _options(trainer: Trainer) -> Options:
    """All hyper-parameters of a run."""
    return {"task": type(trainer.lightning_module).__name__, **flat(_config(trainer))}


def _given(run: Path) -> dict[str, str | float]:
    """Overrides of a job of a sweep, which may vary; numbers get an axis of their own."""
    given: dict[str, str | float] = {}
    for key, text in settings_of(run).items():
        try:
            given[key.replace(".", "/")] = float(text)
        except ValueError:
            given[key.replace(".", "/")] = text
    return given


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, str | float | bool]:
    """Options that a sweep may vary, as `model/lstm/hidden_size: 64`; wiring is left out."""
    values: dict[str, str | float | bool] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if (not prefix and key not in SECTIONS) or key.startswith("_") or name in WIRING:
            continue
        if isinstance(value, dict):
            values |= flat(value, f"{name}/")
        elif value is not None:
            values[name] = value if isinstance(value, (int, float, bool)) else str(value)
    return values

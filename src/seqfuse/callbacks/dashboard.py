"""Content of TensorBoard and metrics.csv beside the metrics."""

from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from seqfuse.config.runs import best
from seqfuse.search.outcome import of_error, settings_of

SECTIONS = ("seed", "data", "model", "task", "optimizer", "scheduler", "trainer")
SECTIONS = (*SECTIONS, "init_from", "freeze", "teacher")
WIRING = ("data/module", "data/root", "data/class_counts", "task/metrics", "task/loss/class_counts")


class Dashboard(Callback):
    """Config as text, gradient norm (before clipping), and the HPARAMS tab with metrics."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        text = yaml.safe_dump(_config(trainer), sort_keys=False)
        for writer in writers(trainer):
            writer.add_text("config", f"```yaml\n{text}\n```", 0)

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
            _write_hparams(trainer, "completed")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _write_hparams(trainer, "completed")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        failed = isinstance(exception, Exception)
        _write_hparams(trainer, of_error(exception, "").status if failed else "interrupted")


def writers(trainer: Trainer) -> list[SummaryWriter]:
    """TensorBoard's writers, on the process that writes."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]


def _config(trainer: Trainer) -> dict[str, Any]:
    task: Any = trainer.lightning_module
    return task.record.config


def _write_hparams(trainer: Trainer, status: str) -> None:
    config = _config(trainer)
    options = _given(Path(trainer.default_root_dir)) or {
        "task": type(trainer.lightning_module).__name__,
        **flat(config),
    }
    tested = ["loss", *config["task"]["metrics"]] if config["test"] else []
    names = [f"best/{config['task']['monitor']}", *(f"test/{name}" for name in tested)]
    for writer in writers(trainer):
        for name, value in best(trainer).items():
            writer.add_scalar(name, value, trainer.global_step)
        # The other metrics are logged already; these summaries only name them. All runs
        # name the same ones, whatever they reached: the tab takes the names from one run.
        for summary in hparams({**options, "status": status}, dict.fromkeys(names, 0.0)):
            writer.file_writer.add_summary(summary)  # type: ignore[union-attr]
        writer.flush()


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

"""What TensorBoard and metrics.csv get beside the metrics."""

from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from seqfuse.callbacks.best import best
from seqfuse.search.outcome import of_error, settings_of

SECTIONS = ("seed", "data", "model", "task", "optimizer", "scheduler", "trainer")
SECTIONS = (*SECTIONS, "init_from", "freeze", "teacher")
WIRING = ("data/module", "data/root", "data/class_counts", "task/metrics", "task/loss/class_counts")


class Dashboard(Callback):
    """Config as text, gradient norm (before clipping), and the HPARAMS tab with metrics."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        text = yaml.safe_dump(_config(pl_module), sort_keys=False)
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
        if not _config(pl_module).get("test", True):
            self._write_hparams(trainer, pl_module, "completed")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write_hparams(trainer, pl_module, "completed")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._write_hparams(trainer, pl_module, _status(exception))

    def _write_hparams(self, trainer: Trainer, pl_module: LightningModule, status: str) -> None:
        given = settings_of(Path(trainer.default_root_dir))  # in a sweep, what may vary
        own = {"task": type(pl_module).__name__, **flat(_config(pl_module))}
        knobs = {**(_numbers(given) or own), "status": status}
        metrics = _names(_config(pl_module))
        for writer in writers(trainer):
            for name, value in best(trainer).items():
                writer.add_scalar(name, value, trainer.global_step)
            # The other metrics are logged already; these summaries only name them. All runs
            # name the same ones, whatever they reached: the tab takes the names from one run.
            for summary in hparams(knobs, dict.fromkeys(metrics, 0.0)):
                writer.file_writer.add_summary(summary)  # type: ignore[union-attr]
            writer.flush()


def _names(config: dict[str, Any]) -> list[str]:
    """What a run of this config is judged by."""
    task = config.get("task", {})
    tested = ["loss", *task.get("metrics", {})] if config.get("test", True) else []
    return [f"best/{task.get('monitor')}", *(f"test/{name}" for name in tested)]


def _numbers(given: dict[str, str]) -> dict[str, str | float]:
    """What can be read as a number, so that it has an axis of its own."""
    return {key.replace(".", "/"): _number(value) for key, value in given.items()}


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _status(error: BaseException) -> str:
    return of_error(error, "").status if isinstance(error, Exception) else "interrupted"


def writers(trainer: Trainer) -> list[SummaryWriter]:
    """TensorBoard's writers, on the process that writes."""
    if not trainer.is_global_zero:
        return []
    return [one.experiment for one in trainer.loggers if isinstance(one, TensorBoardLogger)]


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, str | float | bool]:
    """Knobs that a sweep may vary, as `model/lstm/hidden_size: 64`; wiring is left out."""
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


def _config(pl_module: LightningModule) -> dict[str, Any]:
    return getattr(pl_module, "record", {}).get("config", {})

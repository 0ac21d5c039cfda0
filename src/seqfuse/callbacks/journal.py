"""The logs of a run that is killed and goes on: nothing is missing, nothing is there twice."""

import csv
import io
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from torch.utils.tensorboard import SummaryWriter

from seqfuse.callbacks.dashboard import writers
from seqfuse.config import runs
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError


class Journal(Callback):
    """Writes out the logs with each checkpoint, and winds them back to it when a run goes on.

    It has to come before callbacks that log when an epoch starts: what they log is logged
    again by a run that goes on from a checkpoint of that moment. Being the first, it also sees to
    it that the run folder is still there: a checkpoint would make it anew, and hide that the rest
    is lost.
    """

    def __init__(self) -> None:
        self._place: dict[str, int] = {}
        self._rows_before = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _look(trainer)
        for table in _tables(trainer):
            table.save()
            self._rows_before = table.rows

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        _look(trainer)
        place = {"step": trainer.global_step}
        for writer in writers(trainer):
            writer.flush()
        for table in _tables(trainer):
            table.save()
            epoch: Any = trainer.fit_loop.epoch_progress.current
            place["rows"] = self._rows_before if epoch.started < epoch.ready else table.rows
        checkpoint["journal"] = place

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._place = checkpoint.get("journal", {})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        begins = trainer.ckpt_path is None
        place = {"step": 0, "rows": 0} if begins else self._place
        if "rows" in place:
            for table in _tables(trainer):
                table.cut(place["rows"])
        if "step" in place and _went_before(trainer):
            for writer in writers(trainer):
                _purge(writer, place["step"])


def _look(trainer: Trainer) -> None:
    """Raises InputError if the run folder has been deleted."""
    if trainer.is_global_zero:
        runs.check_there(Path(trainer.default_root_dir))


def _tables(trainer: Trainer) -> list["_Appending"]:
    """Writers of metrics.csv, on the process that writes."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [one.experiment for one in loggers if isinstance(one, CsvLogger)]  # type: ignore[misc]


def _went_before(trainer: Trainer) -> bool:
    """Whether there are older files than the one that this process has just opened."""
    boards = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
    return any(len(list(Path(one.log_dir).glob("events*"))) > 1 for one in boards)


def _purge(writer: SummaryWriter, step: int) -> None:
    """Tells TensorBoard to forget what older files say of this step and later ones."""
    file: Any = writer.file_writer
    file.add_event(Event(step=step, file_version="brain.Event:2"), step)
    file.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)), step)


class CsvLogger(CSVLogger):
    """Lightning's CSV logger; a resumed run adds to its file instead of deleting it."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None:
            self._experiment = _Appending(log_dir=self.log_dir)
        return self._experiment  # type: ignore[return-value]

    def finalize(self, status: str) -> None:
        # Of a run that failed: why it did is to be told, not that its last rows have no room.
        with suppress(OSError) if status == "failed" else nullcontext():
            super().finalize(status)


class _Appending(ExperimentWriter):
    rows = 0
    """In the file."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            try:
                with path.open(newline="", encoding="utf-8") as file:
                    table = csv.reader(file)
                    self.metrics_keys = next(table, [])
                    self.rows = sum(1 for _ in table)
            except (OSError, ValueError, csv.Error):
                raise InputError(f"{path} is broken: remove it, or copy it again") from None

    def cut(self, rows: int) -> None:
        """Keeps the first rows of the file."""
        path = Path(self.metrics_file_path)
        if not rows:
            path.unlink(missing_ok=True)
            self.rows, self.metrics_keys = 0, []
        elif self.rows > rows:
            with path.open(newline="") as file:
                lines = file.readlines()[: rows + 1]
            files.write(path, "".join(lines))
            self.rows = rows

    def save(self) -> None:
        """Adds what was logged since to the file, or nothing where there is no room."""
        if not self.metrics:
            return
        path, new = Path(self.metrics_file_path), self._record_new_keys()
        there = path.is_file()
        if new and there:
            self._rewrite_with_new_header(self.metrics_keys)
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, self.metrics_keys)
        if not there:
            table.writeheader()
        table.writerows(self.metrics)
        files.append(path, text.getvalue())
        self.rows += len(self.metrics)
        self.metrics = []

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """In one step: Lightning would empty the file first."""
        path, text = Path(self.metrics_file_path), io.StringIO(newline="")
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        table = csv.DictWriter(text, fieldnames)
        table.writeheader()
        table.writerows(rows)
        files.write(path, text.getvalue())

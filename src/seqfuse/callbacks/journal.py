"""The logs of a run that is killed and goes on: nothing is missing, nothing is there twice."""

import csv
import io
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

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
        self._write_out(trainer)
        for table in _tables(trainer):
            self._rows_before = table.rows

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._write_out(trainer)
        place = {"step": trainer.global_step}
        for table in _tables(trainer):
            epoch: Any = trainer.fit_loop.epoch_progress.current
            place["rows"] = self._rows_before if epoch.started < epoch.ready else table.rows
        checkpoint["journal"] = place

    def _write_out(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            runs.check_there(Path(trainer.default_root_dir))
        for writer in _writers(trainer):
            writer.flush()
        for table in _tables(trainer):
            table.save()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._place = checkpoint.get("journal", {})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        place = {"step": 0, "rows": 0} if trainer.ckpt_path is None else self._place
        if "rows" in place:
            for table in _tables(trainer):
                table.cut(place["rows"])
        if "step" not in place or not _has_older_events(trainer):
            return
        # As SummaryWriter(purge_step=) does: TensorBoard forgets what older files say of this
        # step and later ones. The writer is open before the checkpoint is read.
        step, start = place["step"], SessionLog(status=SessionLog.START)
        for writer in _writers(trainer):
            for event in (
                Event(step=step, file_version="brain.Event:2"),
                Event(step=step, session_log=start),
            ):
                writer.file_writer.add_event(event, step)  # type: ignore[union-attr]


def _writers(trainer: Trainer) -> list[SummaryWriter]:
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]


def _tables(trainer: Trainer) -> list["CsvLogger"]:
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger for logger in loggers if isinstance(logger, CsvLogger)]


def _has_older_events(trainer: Trainer) -> bool:
    boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return any(len(list(Path(board.log_dir).glob("events*"))) > 1 for board in boards)


class CsvLogger(Logger):
    """`metrics.csv` in a folder; a run that goes on adds to it, where Lightning's deletes it."""

    name = version = ""  # type: ignore[assignment]

    def __init__(self, save_dir: str | Path):
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self._new: list[dict[str, Any]] = []
        self._keys: list[str] | None = None
        self._rows = 0

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @property
    def rows(self) -> int:
        self._header()
        return self._rows

    def _header(self) -> list[str]:
        """Columns of the file, which is read once."""
        if self._keys is None:
            self._keys = []
            if self.path.is_file():
                try:
                    with self.path.open(newline="", encoding="utf-8") as file:
                        table = csv.reader(file)
                        self._keys, self._rows = next(table, []), sum(1 for _ in table)
                except (OSError, ValueError, csv.Error):
                    raise InputError(
                        f"{self.path} is broken: remove it, or copy it again"
                    ) from None
        return self._keys

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        numbers = {k: v.item() if isinstance(v, Tensor) else v for k, v in metrics.items()}
        self._new.append({**numbers, "step": step})

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: a run keeps its config."""

    def cut(self, rows: int) -> None:
        if not rows:
            self._header()
            self.path.unlink(missing_ok=True)
            self._rows, self._keys = 0, []
        elif self.rows > rows:
            with self.path.open(newline="") as file:
                lines = file.readlines()[: rows + 1]
            files.write(self.path, "".join(lines))
            self._rows = rows

    def save(self) -> None:
        """Adds what was logged since to the file, or nothing where there is no room."""
        if not self._new:
            return
        keys = sorted({*self._header(), *(key for row in self._new for key in row)})
        if keys == self._keys and self.path.is_file():
            files.append(self.path, _text(keys, self._new))
        else:
            before: list[dict[str, Any]] = []
            if self.path.is_file():
                with self.path.open(newline="") as file:
                    before = list(csv.DictReader(file))
            header = dict(zip(keys, keys, strict=True))
            files.write(self.path, _text(keys, [header, *before, *self._new]))
        self._rows, self._keys, self._new = self._rows + len(self._new), keys, []

    @rank_zero_only
    def finalize(self, status: str) -> None:
        # Of a run that failed, the error counts, not that its last rows have no room.
        with suppress(OSError) if status == "failed" else nullcontext():
            self.save()


def _text(keys: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, keys).writerows(rows)
    return text.getvalue()

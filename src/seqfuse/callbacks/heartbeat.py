"""How far a run is, kept in `status.json` of its folder for `seqfuse status`."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.config import runs
from seqfuse.config.mistakes import explain
from seqfuse.ddp import start
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError, Interrupted
from seqfuse.search import outcome


@contextmanager
def at_work(run: Path) -> Iterator[None]:
    """Leaves signs of life in the run folder, and at the end how the run ended.

    What goes wrong before training begins is no end of the run: the file is as it was before.
    """
    path = run / runs.STATUS
    if start.is_child() or start.foreign_rank():  # the first of several processes does it
        yield
        return
    before = path.read_bytes() if path.is_file() else None
    is_new = not run.exists()
    run.mkdir(parents=True, exist_ok=True)
    began = {"machine": runs.machine(), "pid": os.getpid(), "began": time.time()}
    _write(run, {"state": "preparing", "reason": "", **began})
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(path, over), daemon=True)
    thread.start()
    state, reason = "completed", ""
    try:
        yield
    except BaseException as error:
        state, reason = _end(error)
        raise
    finally:
        over.set()
        thread.join()
        is_mistake = state != "completed" and _read(run).get("state") == "preparing"
        if not is_mistake:
            note(run, state=state, reason=reason)
        elif before is not None:
            files.write(path, before)
        else:
            path.unlink(missing_ok=True)
            if is_new and not any(run.iterdir()):
                run.rmdir()


def _end(error: BaseException) -> tuple[str, str]:
    """Status and reason of a run that ended by an error."""
    if isinstance(error, Interrupted):
        return "stopped", str(error)
    if isinstance(error, Exception):
        ended = outcome.of_error(error, explain(error))
        return ended.status, ended.reason
    cause = error.__context__ or error if isinstance(error, SystemExit) else error
    return "stopped", str(cause) or type(cause).__name__


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(runs.BEAT):
        with suppress(OSError):  # the run itself says that its folder was deleted
            os.utime(path)


def note(run: Path, **entries: Any) -> None:
    """Adds to what the status says, or replaces it."""
    if content := _read(run):
        _write(run, {**content, **entries})


def _read(run: Path) -> dict[str, Any]:
    try:
        return files.read_json(run / runs.STATUS)
    except InputError:  # it was deleted
        return {}


def _write(run: Path, content: dict[str, Any]) -> None:
    with suppress(OSError):  # no room for it ends no run: what needs room says so
        files.write(run / runs.STATUS, json.dumps({**content, "time": time.time()}) + "\n")


class Heartbeat(Callback):
    """Notes steps and validation metrics, behind each validation and every `runs.BEAT` seconds."""

    def __init__(self) -> None:
        self._first = 0
        self._began = self._noted = 0.0
        self._metrics: dict[str, float] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:  # its step is not known yet
            note(Path(trainer.default_root_dir), state="training")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first, self._began = trainer.global_step, time.time()
        self._note(trainer, "training")

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if time.time() - self._noted >= runs.BEAT:
            self._note(trainer, "training")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._metrics = runs.validated(trainer.callback_metrics)
            self._note(trainer, "training")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note(trainer, "testing")

    def _note(self, trainer: Trainer, state: str) -> None:
        self._noted = time.time()
        if not trainer.is_global_zero:
            return
        task: Any = trainer.lightning_module
        monitor = task.record.config["task"]["monitor"]
        note(
            Path(trainer.default_root_dir),
            state=state,
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            steps=task.total_steps or None,
            first=[self._first, self._began],
            monitor=monitor,
            metrics=self._metrics,
        )

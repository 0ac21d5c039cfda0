"""Ranks that are spawned: what they need on the way in, and what comes back."""

import logging
import os
import pickle
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ParallelStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from seqfuse.compat.lightning import SpawnLauncher
from seqfuse.runtime.errors import InputError

QUIET = ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")
PORT = "MASTER_PORT"


class Spawner(SpawnLauncher):
    """Lightning's launcher, which brings back errors as they were, and what callbacks know.

    It waits for the ranks when a signal asks to stop: they save, and end by themselves.
    """

    def __init__(self, strategy: ParallelStrategy):
        super().__init__(strategy)
        self.error = Path()
        self.filters: list[Any] = []

    def launch(
        self, function: Callable, *args: Any, trainer: Trainer | None = None, **kwargs: Any
    ) -> Any:
        port = os.environ.get(PORT)
        self.filters = list(warnings.filters)
        _quieten()
        with tempfile.TemporaryDirectory() as folder, self._signals():
            self.error = Path(folder, "error")
            try:
                return super().launch(function, *args, trainer=trainer, **kwargs)
            except (ProcessRaisedException, ProcessExitedException) as error:
                raise self._first_error(error) from None
            finally:
                os.environ.pop(PORT, None)
                if port is not None:
                    os.environ[PORT] = port

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Passes on what would end this process. (A terminal sends Ctrl-C to all.)"""

        def pass_on(number: int, frame: FrameType | None) -> None:
            self.kill(number)  # type: ignore[arg-type]

        handlers: dict[int, Any] = {}
        new_ones = [(signal.SIGINT, signal.SIG_IGN), (signal.SIGTERM, pass_on)]
        requeue = getattr(signal, "SIGUSR1", signal.SIGTERM)  # of a Slurm job; not on Windows
        if signal.getsignal(requeue) == signal.SIG_DFL:
            new_ones.append((requeue, pass_on))
        try:
            for number, new in new_ones:
                handlers[number] = signal.signal(number, new)
        except ValueError:  # not in the main thread, so no signal comes here
            pass
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _first_error(self, error: ProcessRaisedException | ProcessExitedException) -> BaseException:
        exited = isinstance(error, ProcessExitedException)
        if exited and error.signal_name:  # the others only lost their connection
            return ended_by(error.signal_name)
        if self.error.is_file():
            return unpacked(self.error.read_bytes())
        return SystemExit(error.exit_code) if exited else error

    def run_rank(self, work: Callable[[], None]) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.filters[:] = self.filters  # type: ignore[index]
        _quieten()
        try:
            work()
        except (Exception, KeyboardInterrupt) as error:
            self._keep(error)
            raise

    def _keep(self, error: BaseException) -> None:
        """Writes the error where this process was started, unless another rank has."""
        draft = self.error.with_name(f"error-{os.getpid()}")
        with suppress(OSError):
            draft.write_bytes(packed(error))
            os.link(draft, self.error)  # whole, or not at all

    def get_extra_results(self, trainer: Trainer) -> dict[str, Any]:
        states = {callback.state_key: callback.state_dict() for callback in _asked(trainer)}
        return {**super().get_extra_results(trainer), "callbacks": pickle.dumps(states)}

    def update_main_process_results(self, trainer: Trainer, extra: dict[str, Any]) -> None:
        super().update_main_process_results(trainer, extra)
        states = pickle.loads(extra["callbacks"])
        for callback in _asked(trainer):
            callback.load_state_dict(states[callback.state_key])


def _asked(trainer: Trainer) -> list[Callback]:
    """Callbacks that are asked afterwards what was best, and why training ended."""
    return [*trainer.checkpoint_callbacks, *trainer.early_stopping_callbacks]


def ended_by(name: str) -> InputError:
    """What is said where a signal ended a rank."""
    return InputError(f"a process of this run was ended by {name} (out of memory?)")


def _quieten() -> None:
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


def packed(error: BaseException) -> bytes:
    """The error with its traceback as a note; what it says, if it cannot travel."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        content = pickle.dumps((type(error), error.__reduce__()[1], error.__dict__))
        unpacked(content)
    except Exception:  # whatever its content stumbles over
        notes = {"__notes__": error.__notes__}
        content = pickle.dumps((RuntimeError, (f"{type(error).__name__}: {error}",), notes))
    return content


def unpacked(content: bytes) -> BaseException:
    """The error, whatever its constructor takes."""
    kind, args, rest = pickle.loads(content)
    error = kind.__new__(kind, *args)
    error.__dict__.update(rest)
    return error

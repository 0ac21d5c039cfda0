"""Data-parallel training that equals that of one process, and ends as one."""

import atexit
import logging
import os
import pickle
import signal
import subprocess
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ParallelStrategy
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from seqfuse.compat.lightning import LaunchedDdp, SpawnLauncher, children, on_sigterm
from seqfuse.compat.torch import NO_BUFFERS, is_first
from seqfuse.ddp import rendezvous, start
from seqfuse.nn import collectives
from seqfuse.runtime.errors import Diverged, InputError, Interrupted, Pruned

AGREED = (Diverged, Interrupted, Pruned)
"""Errors that all ranks raise in the same step."""
PATIENCE = 10.0
"""Seconds that a rank has to tell what went wrong."""


LOST = (
    "another process of this run has gone: torchrun says which, and begins all of them again where "
    "--max-restarts allows it"
)


class Ranks(ParallelStrategy):
    """Processes that find each other, and end as one."""

    patience: timedelta
    """How long a rank waits for the others."""
    num_threads: int | None
    """CPU threads of each process; None leaves them to torch."""

    def setup_environment(self) -> None:
        if rendezvous.needed() and not distributed.is_initialized():
            self._meet()
        try:
            super().setup_environment()
        except distributed.DistError as error:
            raise rendezvous.nobody_there(error) from None
        if self.num_threads:
            torch.set_num_threads(self.num_threads)
        # So that dropout differs from rank to rank; weights come from rank 0.
        torch.manual_seed(torch.initial_seed() + self.global_rank)

    def _meet(self) -> None:
        """Begins the process group, which Lightning then finds, in a store of this start alone."""
        environment, device = self.cluster_environment, self.root_device
        assert environment is not None
        rank, ranks = environment.global_rank(), environment.world_size()
        distributed.init_process_group(
            distributed.get_default_backend_for_device(device),
            store=rendezvous.fresh_store(rank, ranks, self.patience),
            rank=rank,
            world_size=ranks,
            timeout=self.patience,
            device_id=None if device.type == "cpu" else device,
        )
        atexit.register(_leave)

    def setup(self, trainer: Trainer) -> None:
        check_places(trainer.ckpt_path)
        super().setup(trainer)
        on_sigterm(trainer, _exit)

    def on_exception(self, exception: BaseException) -> None:
        """Ends the other ranks; of several errors the first is reported, by whom it met."""
        super().on_exception(exception)
        if start.torchrun() and _is_loss(exception) and not self._is_reported(exception):
            raise InputError(LOST) from None
        if isinstance(self.launcher, Spawner):
            return  # it sees to the ranks
        elsewhere = isinstance(exception, Exception) and self._is_reported(exception)
        codes = self._end_children(PATIENCE if elsewhere else 0.0) if self.global_rank == 0 else []
        if elsewhere:
            raise SystemExit(0 if isinstance(exception, AGREED) else 1) from None
        if killed := [code for code in codes if code < 0]:
            raise ended_by(signal.Signals(-killed[0]).name)

    def _is_reported(self, exception: BaseException) -> bool:
        """Whether another rank says what went wrong."""
        if isinstance(exception, AGREED):
            return self.global_rank != 0
        try:
            return not is_first("seqfuse/failed")
        except (RuntimeError, ValueError):  # rank 0, who keeps it, has gone; or all is yet to come
            return self.global_rank != 0

    def _end_children(self, patience: float) -> list[int]:
        """Ends processes that this one started; returns codes of those that ended before."""
        codes = []
        for child in children(self):
            try:
                codes.append(child.wait(patience or 0.5))
            except subprocess.TimeoutExpired:
                child.kill()
        return codes


class Ddp(Ranks, LaunchedDdp):
    """One process per device; each has its part of every batch, and gradients are averaged.

    Buffers are not sent around in each step: there are none but running batch statistics,
    which are averaged before they are used (`seqfuse.nn.collectives`).

    Args:
        start_method: `popen` starts the command again for each device, unless torchrun or Slurm
            has; `spawn` starts processes from within this one.
        num_threads: CPU threads of each process; None shares the cores out.
        timeout: seconds that a rank waits for the others, at the start and in each step.
    """

    def __init__(
        self,
        start_method: Literal["popen", "spawn"] = "popen",
        num_threads: int | None = None,
        timeout: float = 1800.0,
    ):
        if start_method not in ("popen", "spawn"):
            raise ValueError(f"start_method={start_method} must be popen or spawn")
        # Spawned ranks are counted here, whatever a cluster has started this process as.
        environment = LightningEnvironment() if start_method == "spawn" else None
        self.patience = patience(timeout)
        super().__init__(
            cluster_environment=environment,
            start_method=start_method,
            timeout=self.patience,
            **NO_BUFFERS,
        )
        self.num_threads = num_threads

    def spawner(self) -> "Spawner":
        return Spawner(self)


def patience(timeout: float) -> timedelta:
    """The seconds of `trainer.strategy.timeout`, as Lightning takes them."""
    if timeout <= 0:
        raise InputError(f"trainer.strategy.timeout={timeout} must be above 0")
    return timedelta(seconds=timeout)


def check_places(path: str | os.PathLike[str] | None) -> None:
    """Raises InputError unless all ranks go on from the same checkpoint, or all begin."""
    here = None if path is None else (Path(path).name, os.path.getsize(path))
    if len({*collectives.gather(here)}) > 1:
        raise InputError(
            "processes of this run go on from different checkpoints: paths.logs must be a folder "
            "that all nodes share"
        )


def _is_loss(exception: BaseException) -> bool:
    """Whether a collective failed: NCCL has errors of its own, gloo no more than its name."""
    lost = isinstance(exception, distributed.DistError)
    return lost or (isinstance(exception, RuntimeError) and "gloo" in str(exception))


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


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
        port = os.environ.get("MASTER_PORT")
        self.filters = list(warnings.filters)
        _quieten()
        with tempfile.TemporaryDirectory() as folder, self._signals():
            self.error = Path(folder, "error")
            try:
                return super().launch(function, *args, trainer=trainer, **kwargs)
            except (ProcessRaisedException, ProcessExitedException) as error:
                raise self._first_error(error) from None
            finally:
                os.environ.pop("MASTER_PORT", None)
                os.environ.update({} if port is None else {"MASTER_PORT": port})

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Passes on what would end this process. (A terminal sends Ctrl-C to all.)"""

        def pass_on(number: int, frame: FrameType | None) -> None:
            self.kill(number)  # type: ignore[arg-type]

        handlers: dict[int, Any] = {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: pass_on}
        before: dict[int, Any] = {}
        requeue = getattr(signal, "SIGUSR1", signal.SIGTERM)  # of a Slurm job; not on Windows
        if signal.getsignal(requeue) == signal.SIG_DFL:
            handlers[requeue] = pass_on
        try:
            with suppress(ValueError):  # not in the main thread, so no signal comes here
                for number, handler in handlers.items():
                    before[number] = signal.signal(number, handler)
            yield
        finally:
            for number, handler in before.items():
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
    """The error of a run one of whose ranks a signal ended."""
    return InputError(f"a process of this run was ended by {name} (out of memory?)")


def _quieten() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn"):
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

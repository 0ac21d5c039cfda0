"""A run's folder, which is of one run: locked at work and not begun twice; what a run says.

Nothing here imports torch before a run begins.
"""

import errno
import logging
import math
import os
import shlex
import shutil
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from seqfuse.runtime import files
from seqfuse.runtime.errors import Diverged, InputError
from seqfuse.runtime.read.addresses import is_address
from seqfuse.runtime.shown import say
from seqfuse.tasks import summary

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from seqfuse.data.module import DataModule
    from seqfuse.tasks.base import Task

LOCK = ".lock"
STATUS = "status.json"
"""How a run is; touched every `BEAT` seconds while its process lives."""
BEAT = 30.0
MEMBERS = "members"
"""In the folder of an ensemble: the run folder of each member, by its number."""
BEGUN = ("config.yaml", "metrics.json", "outcome.json")
"""Files of a run, of an evaluation or of a job of a sweep: one of them is there from the start."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""Errors of a file system without locks."""
# Each is about a choice that is made here on purpose.
EXPECTED = (
    ".*does not have many workers.*",
    ".*number of training batches .* is smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*dirpath has changed from.*",
    ".*LeafSpec.* is deprecated.*",
    r".*Found \d+ module\(s\) in eval mode at the start of training.*",  # freeze=true
    ".*recommended to use `self.log.*sync_dist=True.*",  # what is logged is the same on all ranks
)


@contextmanager
def claimed(folder: Path, again: bool = False) -> Iterator[None]:
    """Keeps other processes out of a folder, which is made; `again`: its run may have begun."""
    folder.mkdir(parents=True, exist_ok=True)
    file = _locked(folder)
    try:
        if not again:
            refuse_begun(folder)
        yield
    finally:
        with suppress(OSError):  # the folder was deleted
            (folder / LOCK).unlink()
        file.close()


def refuse_begun(folder: Path) -> None:
    """Refuses a folder that holds a run, an evaluation or a job of a sweep."""
    for name in BEGUN:
        if (folder / name).exists():
            raise InputError(
                f"{folder} holds a run already ({name}): name another folder (hydra.run.dir, "
                f"hydra.sweep.dir), or go on with a run: seqfuse-train resume={folder}"
            )


def check_there(folder: Path) -> None:
    """Checks that the folder of a run at work has not been deleted."""
    if not folder.is_dir():
        raise InputError(
            f"{os.path.relpath(folder)} was deleted while the run was at work: all that it had "
            "saved is lost, begin it anew"
        )


@contextmanager
def needed(folder: Path) -> Iterator[None]:
    """Whatever cannot be read or written: says that the run folder was deleted, where it was."""
    report, existed = threading.excepthook, folder.is_dir()  # other machines may have none

    def quiet(failure: threading.ExceptHookArgs) -> None:
        if not isinstance(failure.exc_value, OSError):
            report(failure)

    # TensorBoard writes in a thread, whose error is raised here when it is asked for more.
    threading.excepthook = quiet
    try:
        yield
    except (OSError, InputError):
        if existed:
            check_there(folder)
        raise
    finally:
        threading.excepthook = report


def _locked(folder: Path) -> IO[bytes]:
    """The lock file of a folder, locked until it is closed or the process ends, however it does.

    A record lock: processes that load data, forked from this one, do not keep it when it is
    killed.
    """
    while True:
        file = (folder / LOCK).open("ab")
        try:
            _lock(file)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file
            file.close()
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise
            raise InputError(
                f"another process is at work in {folder}: wait for its end, or name another "
                "folder (hydra.run.dir)"
            ) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                return file
        file.close()  # it was that of a run that has just ended


def _lock(file: IO[bytes]) -> None:
    if fcntl is not None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]


def machine() -> str:
    """Names this machine; containers of one name count their processes apart."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.stat().st_ino if namespace.exists() else 0}"


def is_running(pid: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def prepare(recipe: DictConfig, run: Path) -> DictConfig:
    """Quietens warnings; returns the recipe with absolute paths and its run folder."""
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)
    recipe = recipe.copy()
    if is_address(recipe.paths.data):
        raise InputError(
            f"paths.data={recipe.paths.data} is a folder of this machine: name files by their "
            "addresses, as in data.file=s3://bucket/file.csv"
        )
    recipe.paths.data = str(Path(str(recipe.paths.data)).absolute())
    recipe.paths.run = str(run.absolute())
    return recipe


def quieten() -> None:
    """Quietens Lightning, which must have been imported: it sets these levels itself."""
    for name in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{name}").setLevel(logging.ERROR)


def seed(config: dict[str, Any]) -> None:
    """Seeds every generator and sets the number of threads."""
    from lightning.pytorch import seed_everything

    try:
        seed_everything(config["seed"], workers=True, verbose=False)
    except ValueError as error:
        raise InputError(f"seed={config['seed']}: {error}") from None
    set_threads(config)


def set_threads(config: dict[str, Any]) -> None:
    """Sets the number of threads of the CPU."""
    import torch

    default = _default_threads()
    threads = config["trainer"].get("num_threads")
    threads = default if threads is None else threads
    if not isinstance(threads, int) or threads < 1:
        raise InputError(f"trainer.num_threads={threads} must be null or at least 1")
    torch.set_num_threads(threads)


@cache
def _default_threads() -> int:
    """Torch's choice, before a job of this process has made another."""
    import torch

    return torch.get_num_threads()


def outside_search(recipe: DictConfig) -> DictConfig:
    """The recipe without its trial: what is kept of it reports to no search when it runs again."""
    trial = recipe.get("trial") or {}
    if all(value is None for value in trial.values()):
        return recipe
    recipe = recipe.copy()
    recipe.trial = dict.fromkeys(trial)
    return recipe


def write_config(recipe: DictConfig, run: Path) -> None:
    """Writes the `config.yaml` that `--config-dir <run> --config-name config` runs again."""
    run.mkdir(parents=True, exist_ok=True)
    sections: Any = OmegaConf.to_container(recipe, resolve=False)
    content = {"defaults": [{"hydra": "default"}, "_self_"], **sections, "resume": None}
    content["paths"]["run"] = None
    files.write(run / "config.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def announce(task: "Task", data: "DataModule", trainer: "Trainer") -> None:
    """Says what is about to be trained on what."""
    import torch

    sizes = [(p.numel(), p.requires_grad) for p in task.net.parameters()]
    total, trained = sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)
    frozen = "" if trained == total else f", {trained:,} of them trained"
    splits = data.splits
    val = f"{len(data.tensors('val')) if splits.has_validation else 0:,} to validate"
    if splits.calibrates_apart:
        val += f", {len(data.tensors('calibration')):,} to calibrate"
    test = "" if splits.num_test is None else f", {splits.num_test:,} to test"
    say(
        f"data        {splits.origin}\n"
        f"            {len(data.tensors('train')):,} {splits.unit} to train on, {val}{test}, "
        f"{splits.describe()}"
    )
    for note in (*splits.notes(), *data.notes(trainer.world_size)):
        say(f"note        {note}")
    if classes := summary.of_classes(data):
        say(classes)
    say(
        f"net         {total:,} parameters{frozen}, {trainer.precision} on "
        f"{trainer.strategy.root_device}, CPU threads: {torch.get_num_threads()}"
    )
    given = task.record.config["data"]
    if given.get("train") and given["train"] == given.get("test"):
        say("note        data.test is data.train: test numbers say little")


def kept(error: InputError, trainer: "Trainer") -> InputError:
    """A mistake in the test split, and where the training is that came before it."""
    path = best_checkpoint(trainer)
    after = f" (the trained net is kept: seqfuse-evaluate ckpt={short(Path(path))})" if path else ""
    kind = Diverged if isinstance(error, Diverged) else InputError
    return kind(f"{error}{after}")


def best_checkpoint(trainer: "Trainer") -> str | None:
    """The checkpoint that did best in validation; None without checkpoints."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    saves = trainer.checkpoint_callback
    return saves.best_model_path or None if isinstance(saves, ModelCheckpoint) else None


def best(trainer: "Trainer") -> dict[str, float]:
    """`best/<monitor>` of that checkpoint; empty before there is one."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    saves = trainer.checkpoint_callback
    if not isinstance(saves, ModelCheckpoint) or saves.best_model_score is None:
        return {}
    return {f"best/{saves.monitor}": float(saves.best_model_score)}


def metrics(trainer: "Trainer") -> dict[str, float]:
    """The metrics logged last, by name, and the best value of the monitored one."""
    return {name: float(value) for name, value in trainer.callback_metrics.items()} | best(trainer)


def num_judged(metrics: Mapping[str, Any], trainer: "Trainer") -> dict[str, int]:
    """`<split>_items`: how many items each accuracy is a fraction of, where it is one."""
    task: Any = trainer.lightning_module
    data = trainer.datamodule  # type: ignore[attr-defined]
    numbers = {}
    for split in ("val", "test"):
        if f"{split}/accuracy" in metrics and _is_whole(trainer, split) and data is not None:
            counts = task.record.config["data"].get("class_counts")
            numbers[f"{split}_items"] = summary.num_judged(data, split, counts)
    return {name: number for name, number in numbers.items() if number is not None}


def _is_whole(trainer: "Trainer", split: str) -> bool:
    """Whether all batches of a split were measured; a limit of 1, not 1.0, is one batch."""
    limit = trainer.limit_val_batches if split == "val" else trainer.limit_test_batches
    return isinstance(limit, float) and limit == 1.0


def measured(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics of the test split; of the validation split where there was no test."""
    stage = "test/" if any(name.startswith("test/") for name in metrics) else "val/"
    return {name: value for name, value in metrics.items() if name.startswith(stage)}


def validated(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics with a value on the validation split, as logged when weights were kept."""
    val = {name: float(value) for name, value in metrics.items() if name.startswith("val/")}
    return {name: value for name, value in val.items() if math.isfinite(value)}


def undefined(metrics: dict[str, float], task: "Task") -> dict[str, str]:
    """Why metrics without a value have none, by name; Diverged where one ought to have one."""
    reasons = {}
    for name, value in metrics.items():
        split, _, short = name.partition("/")
        if math.isfinite(value) or (math.isinf(value) and short != "loss"):
            continue
        reason = None if short == "loss" else task.undefined(short)
        if reason is None:
            raise Diverged(
                f"{name} is {value}, so nothing is measured: check the {split} split; either no "
                "target in it was observed, or the net makes no number of its values"
            )
        reasons[name] = reason
    return reasons


def report(
    metrics: dict[str, float],
    reasons: dict[str, str],
    validated: dict[str, float],
    trainer: "Trainer",
    run: Path,
) -> None:
    """Prints the metrics, the run folder, the checkpoint and the dashboard's command.

    Args:
        metrics: of the test split, or of validation where there was no test.
        reasons: why some have no value.
        validated: what validation found of the weights that were tested.
    """
    from seqfuse.callbacks.throughput import Throughput

    print_metrics({**validated, **metrics}, reasons)
    say_certainty(metrics, trainer)
    stopping = trainer.early_stopping_callback
    if stopping is not None and stopping.stopped_epoch:
        of = f" of {trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        say(
            f"stopped     after epoch {stopping.stopped_epoch + 1}{of}: "
            f"{stopping.monitor} was no better for {stopping.patience} epochs"
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Throughput) and callback.seconds:
            say(f"speed       {callback.summary()}")
    say(f"run         {short(run)}")
    if path := best_checkpoint(trainer):
        say(f"checkpoint  {short(Path(path))}")
    board = Path(sys.executable).with_name("tensorboard")
    on_path = shutil.which("tensorboard") is not None or not board.exists()
    program = board.name if on_path else short(board)  # where no environment is activated
    say(f"dashboard   {program} --logdir {shlex.quote(str(short(run)))}")


def say_certainty(metrics: dict[str, float], trainer: "Trainer") -> None:
    """How sure an accuracy on all items of a split is, or what other predictions are worth.

    A warning, where nothing was learnt.
    """
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        data = trainer.datamodule  # type: ignore[attr-defined]
        kinds = ("accuracy", "last_value_mae", "interpolation_mae", "r2", "false_alarms", "hamming")
        if metric not in kinds or not _is_whole(trainer, split) or data is None:
            continue  # spawned ranks have the data
        task: Any = trainer.lightning_module
        config = task.record.config["data"]
        if metric == "accuracy":
            counts = config.get("class_counts")
            line, warning = summary.of_accuracy(value, data, split, counts)
        elif metric == "false_alarms":
            quantile = task.record.config["task"].get("quantile")
            line = summary.of_anomalies(metrics, split, quantile) if quantile else ""
            warning = ""
        elif metric == "hamming":
            line, warning = summary.of_labels(metrics, data, split), ""
        elif metric == "r2":
            line, warning = summary.of_numbers(metrics, split)
        elif metric == "interpolation_mae":
            line, warning = summary.of_imputations(metrics)
        else:
            skipped = data.splits.skipped_season
            line, warning = summary.of_forecasts(
                metrics, config["season"], config["look_back"], skipped
            )
        if line:
            say(f"{'certainty' if metric == 'accuracy' else 'worth':<12}{line}")
        if warning:
            say(f"warning     {warning}")
    _say_calibration(metrics, trainer.lightning_module)


def _say_calibration(metrics: dict[str, float], task: Any) -> None:
    """Calibration error and coverage of sets, where there are any."""
    if not task.is_scaled:
        return
    scale = task.calibrator
    lines = (
        summary.of_calibration(metrics, float(scale.temperature), int(scale.num_items)),
        *summary.of_sets(metrics, scale.test_sets()),
    )
    for name, line in zip(("calibration", "sets", "note"), lines, strict=True):
        if line:
            say(f"{name:<12}{line}")


def print_metrics(metrics: dict[str, float], reasons: dict[str, str]) -> None:
    """One `name value` per line; the reason where there is no value."""
    width = max(map(len, metrics), default=0)
    for name, value in sorted(metrics.items()):
        shown = f"undefined ({reasons[name]})" if name in reasons else f"{value:.4f}"
        say(f"{name:<{width}}  {shown}")


def short(name: str | Path) -> str | Path:
    """The path from here, where it lies below; an address as it is."""
    if is_address(name):
        return name
    path = Path(name).absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

"""What a run shows and leaves in its folder."""

import logging
import math
import shlex
import shutil
import sys
import warnings
from pathlib import Path

import torch
import yaml
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from seqfuse.config import build
from seqfuse.data.module import DataModule
from seqfuse.runtime import files
from seqfuse.runtime.errors import Diverged, InputError
from seqfuse.runtime.shown import say
from seqfuse.tasks.base import Task

DEFAULT_THREADS = torch.get_num_threads()
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


def prepare(recipe: DictConfig, run: Path) -> DictConfig:
    """Makes paths absolute and quietens the libraries.

    Returns:
        the recipe with its run folder.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)
    recipe = recipe.copy()
    recipe.paths.data = str(Path(str(recipe.paths.data)).absolute())
    recipe.paths.run = str(run.absolute())
    return recipe


def seed(config: build.Config) -> None:
    """Seeds every generator and sets the number of threads.

    Raises:
        InputError: the seed is out of range.
    """
    try:
        seed_everything(config["seed"], workers=True, verbose=False)
    except ValueError as error:
        raise InputError(f"seed={config['seed']}: {error}") from None
    threads = config["trainer"].get("num_threads")
    threads = DEFAULT_THREADS if threads is None else threads
    if not isinstance(threads, int) or threads < 1:
        raise InputError(f"trainer.num_threads={threads} must be null or at least 1")
    torch.set_num_threads(threads)


def outside_search(recipe: DictConfig) -> DictConfig:
    """The recipe without its trial: what is kept of it reports to no search when it runs again."""
    recipe = recipe.copy()
    if recipe.get("trial"):  # configs written before there were searches have none
        recipe.trial = dict.fromkeys(recipe.trial)
    return recipe


@rank_zero_only
def write_config(recipe: DictConfig, run: Path) -> None:
    """Writes the `config.yaml` that `--config-dir <run> --config-name config` runs again."""
    run.mkdir(parents=True, exist_ok=True)
    content = {"defaults": [{"hydra": "default"}, "_self_"], **build.unresolved(recipe)}
    content["paths"] = {**content["paths"], "run": None}
    content["resume"] = None
    files.write(run / "config.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@rank_zero_only
def announce(task: Task, data: DataModule, trainer: Trainer) -> None:
    """Prints what is about to be trained on what."""
    sizes = [(p.numel(), p.requires_grad) for p in task.net.parameters()]
    total, trained = sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)
    frozen = "" if trained == total else f", {trained:,} of them trained"
    splits = data.splits
    val = len(data.tensors("val")) if splits.has_validation else 0
    say(
        f"data        {splits.origin}\n"
        f"            {len(data.tensors('train')):,} {splits.unit} to train on, {val:,} to "
        f"validate, {splits.describe()}\n"
        f"net         {total:,} parameters{frozen}, {trainer.precision} on "
        f"{trainer.strategy.root_device}, CPU threads: {torch.get_num_threads()}"
    )
    given = task.record["config"]["data"]
    if given.get("train") and given["train"] == given.get("test"):
        say("note        data.test is data.train: test numbers say little")


def kept(error: InputError, trainer: Trainer) -> InputError:
    """A mistake in the test split, and where the training is that came before it."""
    path = best_checkpoint(trainer)
    after = f" (the trained net is kept: seqfuse-evaluate ckpt={short(Path(path))})" if path else ""
    kind = Diverged if isinstance(error, Diverged) else InputError
    return kind(f"{error}{after}")


def best_checkpoint(trainer: Trainer) -> str | None:
    """The checkpoint that did best in validation; None without checkpoints."""
    return getattr(trainer.checkpoint_callback, "best_model_path", None) or None


def measured(metrics: dict[str, float]) -> dict[str, float]:
    """Those of the test split; of the validation split where there was no test."""
    stage = "test/" if any(name.startswith("test/") for name in metrics) else "val/"
    return {name: value for name, value in metrics.items() if name.startswith(stage)}


def undefined(metrics: dict[str, float], task: Task) -> dict[str, str]:
    """Why metrics without a value have none, by name.

    Raises:
        Diverged: the loss is no finite number, or a metric is none and ought to be one.
    """
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


@rank_zero_only
def report(metrics: dict[str, float], reasons: dict[str, str], trainer: Trainer, run: Path) -> None:
    """Prints the metrics, the run folder, the checkpoint and the dashboard's command."""
    print_metrics(metrics, reasons)
    folder = short(run)
    _say_how_it_ended(trainer)
    _say_how_fast(trainer)
    say(f"run         {folder}")
    if best := best_checkpoint(trainer):
        say(f"checkpoint  {short(Path(best))}")
    say(f"dashboard   {_tensorboard()} --logdir {shlex.quote(str(folder))}")


def _say_how_it_ended(trainer: Trainer) -> None:
    stopping = trainer.early_stopping_callback
    if stopping is not None and stopping.stopped_epoch:
        say(
            f"stopped     after epoch {stopping.stopped_epoch + 1} of {trainer.max_epochs}: "
            f"{stopping.monitor} was no better for {stopping.patience} epochs"
        )


def _say_how_fast(trainer: Trainer) -> None:
    from seqfuse.callbacks.throughput import Throughput

    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Throughput) and callback.seconds:
            say(f"speed       {callback.summary()}")


def _tensorboard() -> str:
    """What starts it: by its path, where the environment is not activated."""
    own = Path(sys.executable).with_name("tensorboard")
    return str(short(own)) if shutil.which("tensorboard") is None and own.exists() else own.name


@rank_zero_only
def print_metrics(metrics: dict[str, float], reasons: dict[str, str]) -> None:
    """One `name value` per line; the reason where there is no value."""
    width = max(map(len, metrics), default=0)
    for name, value in sorted(metrics.items()):
        shown = f"undefined ({reasons[name]})" if name in reasons else f"{value:.4f}"
        say(f"{name:<{width}}  {shown}")


def short(path: Path) -> Path:
    """The path from here, where it lies below."""
    here = Path.cwd()
    path = path.absolute()
    return path.relative_to(here) if path.is_relative_to(here) else path

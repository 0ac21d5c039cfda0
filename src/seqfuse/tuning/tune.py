"""Searches of `find_lr`, `find_batch_size`, `find_precision`, before the run exists."""

import contextlib
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig, OmegaConf

from seqfuse.callbacks.boards import boards
from seqfuse.config import build, recipes, starting
from seqfuse.config.checks.trainer import FINDS, precision
from seqfuse.data.module import DataModule
from seqfuse.figures.drawing import pixels, save
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.tuning import batch_size, learning_rate
from seqfuse.tuning import precision as precisions


def tune(
    recipe: DictConfig, data: DataModule, trainer: Trainer
) -> tuple[DictConfig, DataModule, dict[str, Any]]:
    """Finds what the recipe asks to be found; `data` are set up.

    The search trains copies: weights, random state and the order of the data are then those
    of a run that was given the values. These take the place of the wish to find them in the recipe,
    so that its `config.yaml` repeats the run, and are returned by their keys, too.
    """
    wanted = [key for key in FINDS if recipe.get(key)]
    recipe, values = recipe.copy() if wanted else recipe, {}
    for key in wanted:
        _check(recipe, trainer, key)
        with isolate_rng():
            if key == "find_lr":
                value: Any = _lr(recipe, data, trainer)
            elif key == "find_precision":
                value = _precision(recipe, data)
            else:
                value = _batch_size(recipe, data)
                data = data.in_batches(value)
        before = OmegaConf.select(recipe, FINDS[key])
        shown = value if isinstance(value, str) else f"{value:g}"
        say(f"found       {FINDS[key]}={shown} instead of {before}")
        values[FINDS[key]] = value
        OmegaConf.update(recipe, FINDS[key], value)
        recipe[key] = False
    return recipe, data, values


def _check(recipe: DictConfig, trainer: Trainer, key: str) -> None:
    if recipe.resume:
        raise InputError(f"resume goes on with {FINDS[key]} as it was: leave out {key}")
    if recipe.trainer.overfit_batches:
        raise InputError(f"{key}=true needs more than a batch to overfit: leave out {key}")
    if trainer.world_size > 1:
        raise InputError(
            f"{key}=true works on one device: type trainer.devices=1, and give the others "
            f"the {FINDS[key]} that it finds"
        )
    if key == "find_precision" and recipe.trainer.precision != "auto":
        raise InputError(f"{key}=true chooses {FINDS[key]}: leave out precision, or {key}")
    if OmegaConf.select(recipe, FINDS[key]) is None:
        raise InputError(f"{key}=true: the config has no {FINDS[key]} to find")


def _lr(recipe: DictConfig, data: DataModule, trainer: Trainer) -> float:
    ramp = learning_rate.Ramp()
    probe(recipe, data, learning_rate.STEPS, ramp)
    curve = ramp.curve()
    suggestion = learning_rate.suggest(curve)
    image = pixels(learning_rate.draw(curve, suggestion))
    for board in boards(trainer):
        board.show_image("tuning/learning_rate", image, 0)
    path = Path(trainer.default_root_dir) / "figures" / "learning_rate.png"
    save(path, image)
    if suggestion is None:
        raise InputError(
            f"find_lr=true found none: in {len(curve.rates)} steps the loss fell by no more than "
            f"it differs between batches (see {path}): give optimizer.lr"
        )
    return suggestion


def _batch_size(recipe: DictConfig, data: DataModule) -> int:
    recipe = recipe.copy()

    def rate(size: int) -> float:
        recipe.data.batch_size = size
        clock = batch_size.Clock()
        probe(recipe, data.in_batches(size), clock.steps, clock)
        return clock.rate(size)

    rates, why = batch_size.search(rate, batch_size.bound(len(data.tensors("train"))))
    tried = ", ".join(f"{size}: {value:,.0f}" for size, value in rates.items())
    say(f"samples/s   {tried}; {why}")
    return batch_size.choose(rates)


def _precision(recipe: DictConfig, data: DataModule) -> str:
    recipe = recipe.copy()

    def attempt(name: str) -> precisions.Tried:
        recipe.trainer.precision = name
        watch = precisions.Watch()
        with isolate_rng():  # the same weights and batches for all
            probe(recipe, data, watch.steps, watch)
        return precisions.Tried(watch.rate(1), watch.losses)

    attempts, why = precisions.search(attempt, precision(recipe.trainer))
    tried = ", ".join(f"{name}: {each.rate:.3g}" for name, each in attempts.items())
    say(f"steps/s     {tried}; {why}")
    return precisions.choose(attempts)


def probe(recipe: DictConfig, data: DataModule, steps: int, *watching: Callback) -> None:
    """Trains a new task for some steps at a constant schedule; leaves nothing behind."""
    config = recipes.sized(recipe, data).config
    config["scheduler"] = {"_target_": "seqfuse.tasks.schedules.Constant"}
    config["callbacks"] = config["logger"] = {}
    config["model"] = {**config["model"], "bank": None}  # which takes no part in a step
    config["trainer"] |= {
        "max_epochs": -1,
        "max_steps": steps,
        "max_time": None,
        "profiler": None,
        "enable_progress_bar": False,
        "check_val_every_n_epoch": 10**9,
    }
    with contextlib.redirect_stdout(io.StringIO()):  # the run itself will say it
        task = starting.start_task(config, data)
    trainer = build.build_trainer(config, *watching)
    try:
        trainer.fit(task, datamodule=data)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None

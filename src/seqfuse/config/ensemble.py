"""Trains the members of an ensemble one after the other, and makes one checkpoint of them.

Each member is a run of its own, in `members/<i>` of the run folder, with the seed `seed + i`: the
same, bit for bit, as without the others. All have the same training rows, so that what is held out
is new to each of them. The ensemble is calibrated where each of them was.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from seqfuse.config import build, checkpoint, recipes, runs
from seqfuse.config.checks.trainer import FINDS, validates
from seqfuse.data.module import DataModule
from seqfuse.runtime import files
from seqfuse.runtime.errors import Finished, InputError, Interrupted
from seqfuse.runtime.shown import say
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibrate import calibrate

if TYPE_CHECKING:
    import pandas as pd

Weights = Mapping[str, torch.Tensor]
Metrics = dict[str, float]
BEST = "checkpoints/best.ckpt"


Fit = Callable[[DictConfig, Mapping[str, Any] | None, Callable[..., None]], Metrics]
"""Trains and tests one net from a recipe, with some weights given, and reports as `runs.report`."""


def size(recipe: DictConfig) -> int:
    """The number of members; 1 of a config from before there were ensembles."""
    return recipe.get("ensemble", 1)


def train(
    recipe: DictConfig, run: Path, fit: Fit, given: Mapping[str, Any] | None = None
) -> Metrics:
    """Trains all members that are not trained yet, joins and tests them, and says what it gave.

    Args:
        run: the folder of all of them.
        given: arguments of the splits that lie in memory.

    Returns:
        the metrics of the ensemble.
    """
    from seqfuse.resume import job

    recipe = runs.outside_search(recipe)
    config = recipes.resolve(recipe)
    _check(config)
    runs.write_config(recipe, run)
    job.note(run)
    measured: list[Metrics] = []
    ended: list[Finished] = []
    for i in range(config["ensemble"]):
        say(f"member      {i + 1} of {config['ensemble']}, seed {config['seed'] + i}")
        folder, metrics = run / runs.MEMBERS / str(i), {}
        # The bank of the first would be the same for the others.
        first = checkpoint.read(run / runs.MEMBERS / "0" / BEST) if i else None
        try:
            metrics = fit(_member(recipe, folder, i), first, _report)
        except Finished as error:
            say(f"            is trained already: {runs.short(folder)}")
            ended.append(error)
        except Interrupted as error:
            raise Interrupted(error.number, os.path.relpath(run), error.note) from None
        measured.append(_measured(folder) | metrics)
    if len(ended) == len(measured) and (run / "metrics.json").is_file():
        names = os.path.relpath(folder), os.path.relpath(run)
        raise Finished(str(ended[-1]).replace(*names), ended[-1].exit_code)
    return _join(recipe, run, measured, given)


def _check(config: recipes.Config) -> None:
    """Checks what an ensemble needs, before its first member is trained."""
    wish = f"ensemble={config['ensemble']}"
    if config["trainer"].get("strategy"):
        raise InputError(f"{wish} is trained on one device: leave out trainer=ddp or fsdp")
    for finder, key in FINDS.items():
        if config.get(finder):
            raise InputError(
                f"{finder}=true looks for the {key} of one net: find it without {wish}, then give "
                f"{key}"
            )
    if type(config["seed"]) is not int:
        raise InputError(f"{wish} counts its seeds from seed={config['seed']}: give a number")
    kept = (config.get("callbacks") or {}).get("checkpoint") or {}
    if kept.get("filename") != "best":
        raise InputError(f"{wish} is made of its members' {BEST}: leave callbacks.checkpoint on")


def check_folder(recipe: DictConfig, run: Path) -> None:
    """Checks that a run goes on as what it began: one net, or at least as many members."""
    if not recipe.get("resume"):
        return
    count = len(list((run / runs.MEMBERS).glob("*/config.yaml")))
    if size(recipe) > 1 and (run / "checkpoints" / checkpoint.LAST).is_file():
        raise InputError(f"{run} is a run of one net: leave out ensemble={size(recipe)}")
    if size(recipe) < count:
        raise InputError(f"{run} has {count} members: type ensemble={count} or more")


def _member(recipe: DictConfig, folder: Path, i: int) -> DictConfig:
    """The recipe of a member: that of a run with a seed of its own and the same training rows."""
    last = folder.absolute() / "checkpoints" / checkpoint.LAST
    goes_on = recipe.resume and any(last.parent.glob("*.ckpt"))
    first, recipe = recipe.seed, recipe.copy()
    if OmegaConf.select(recipe, "data.module.splits.seed") is not None:
        recipe.data.module.splits.seed = first  # of folds
    recipe.ensemble, recipe.seed = 1, first + i
    recipe.paths.run = str(folder.absolute())
    recipe.resume = str(last) if goes_on else None
    return recipe


def _report(metrics: Metrics, reasons: dict[str, str], validated: Metrics, *_: object) -> None:
    runs.print_metrics({**validated, **metrics}, reasons)


def _measured(folder: Path) -> Metrics:
    path = folder / "metrics.json"
    return files.read_json(path) if path.is_file() else {}


def _join(
    recipe: DictConfig,
    run: Path,
    measured: Sequence[Metrics],
    given: Mapping[str, Any] | None,
) -> Metrics:
    """Makes the checkpoint, calibrated on what was held out, and tests it."""
    from seqfuse.callbacks.boards import closing

    data = build.build_data(recipes.resolve(recipe), given=given)
    data.setup("fit")
    record = recipes.sized(recipe, data)
    task = build.build_task(record.config, record=record)
    members = [run / runs.MEMBERS / str(i) for i in range(task.num_members)]
    task.net.load_state_dict(_weights([_trained(path / BEST, data) for path in members]))
    task.take_bank(checkpoint.read(members[0] / BEST))
    with closing(build.build_trainer(record.config)) as trainer:
        return _finish(task, data, trainer, run, measured)


def _finish(
    task: Task, data: DataModule, trainer: Trainer, run: Path, measured: Sequence[Metrics]
) -> Metrics:
    """Calibrates, saves and tests an ensemble, and says what it gave."""
    config: recipes.Config = task.record.config
    metrics: Metrics = {}
    if validates(config):
        trainer.validate(task, datamodule=data, verbose=False)
        metrics |= runs.metrics(trainer)
    metrics |= calibrate(task, data, trainer, metrics)[1]
    content = {"state_dict": task.state_dict(), DataModule.__qualname__: data.state_dict()}
    checkpoint.write({**task.record._asdict(), **content}, run / BEST)
    if config["test"]:
        trainer.test(task, datamodule=data, verbose=False)
        metrics |= runs.metrics(trainer)
    shown = runs.measured(metrics)
    reasons = runs.undefined(shown, task)
    if config["task"]["monitor"] in metrics:
        metrics[f"best/{config['task']['monitor']}"] = metrics[config["task"]["monitor"]]
    seconds = [each["fit_seconds"] for each in measured if "fit_seconds" in each]
    cost = {"members": task.num_members, "fit_seconds": round(sum(seconds), 3)}
    content = {**metrics, **runs.num_judged(metrics, trainer), **cost}
    files.write(run / "metrics.json", json.dumps(content, indent=2) + "\n")
    table = _table(config["seed"], measured, shown)
    files.write(run / "members.csv", table.to_csv())
    say(table.T.to_string(float_format="{:.4f}".format))
    say(f"checkpoint  {runs.short(run / BEST)}")
    runs.report(shown, reasons, runs.validated(metrics), trainer, run)
    return metrics


def _trained(path: Path, data: DataModule) -> Weights:
    """Weights of a member, if it was trained on the same data."""
    content = checkpoint.read(path)
    checkpoint.check_numbers(content, path)
    theirs, ours = content[DataModule.__qualname__]["pipeline"], data.splits.pipeline.state_dict()
    if json.dumps(theirs, sort_keys=True) != json.dumps(ours, sort_keys=True):
        raise InputError(f"{path}: the data changed after this member was trained: train all anew")
    return content["state_dict"]


def _weights(members: Sequence[Weights]) -> Weights:
    """Weights of an `Ensemble`, from those of tasks with its nets."""
    bank = {n.removeprefix("net."): w for n, w in members[0].items() if n.startswith("net.bank.")}
    if "bank.net_temperature" in bank:  # of the first net alone
        bank["bank.net_temperature"] = torch.tensor(1.0)
    return bank | {
        f"members.{i}.{name.removeprefix('net.')}": weight
        for i, weights in enumerate(members)
        for name, weight in weights.items()
        if name.startswith("net.") and not name.startswith("net.bank.")
    }


def _table(seed: int, measured: Sequence[Metrics], ensemble: Metrics) -> "pd.DataFrame":
    """Metrics of each member, their mean and standard deviation, and those of the ensemble."""
    import pandas as pd  # slow

    names = [name for name in ensemble if any(name in each for each in measured)]
    rows = pd.DataFrame(measured, index=[f"seed {seed + i}" for i in range(len(measured))])
    rows = rows.reindex(columns=[*names, "fit_seconds"])
    whole = pd.DataFrame([{**ensemble, "fit_seconds": rows["fit_seconds"].sum()}])[rows.columns]
    below = pd.concat([rows.agg(["mean", "std"]), whole.set_axis(["ensemble"])])
    return pd.DataFrame(pd.concat([rows, below]).rename_axis("member"))

"""seqfuse-train trains, tests and records an LSTM-CNN-Attention model.

Usage: seqfuse-train [group=option ...] [key=value ...] [-m] [--cfg job]

  seqfuse-train experiment=japanese_vowels
  seqfuse-train data.name=GunPoint model.lstm.hidden_size=128 optimizer.lr=3e-4
  seqfuse-train -m seed=0,1,2 data.name=GunPoint,ItalyPowerDemand
  seqfuse-train data.name=GunPoint ensemble=5   # nets that predict as one
  seqfuse-train resume=latest

  --cfg job          prints the composed config, with every key
  -m, --multirun     runs every combination of comma-separated values
  -sc install=bash   prints what switches tab completion on
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seqfuse.config import cli, runs
from seqfuse.config.checks.fit import check_fit, check_sections
from seqfuse.runtime.errors import InputError

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

    from seqfuse.data.module import DataModule
    from seqfuse.tasks.base import Task

Metrics = dict[str, float]


def main() -> None:
    """The command; `seqfuse-train --help` explains it."""
    from seqfuse.resume import state

    cli.run(train, "train", __doc__ or "", state.find_run)


def train(
    recipe: DictConfig,
    run: Path | str,
    given: Mapping[str, Any] | None = None,
    callbacks: "Sequence[Callback]" = (),
) -> Metrics:
    """Trains and tests one model, and prints and returns its metrics, by their names in the
    dashboard.

    Args:
        run: the folder that keeps what the run leaves behind.
        given: arguments of the splits that lie in memory, in place of those of the config.
        callbacks: further ones, beside those of the config.
    """
    from seqfuse.callbacks import mirror
    from seqfuse.config import build, ensemble, recipes  # slow: torch, lightning
    from seqfuse.resume import state

    check_sections(recipe)
    check_fit(recipe)
    recipe = state.in_folder(runs.prepare(recipe, Path(run)))
    recipe = recipes.with_validation(recipe)
    build.rehearse(recipe)
    ensemble.check_folder(recipe, Path(run))
    with ExitStack() as ended:
        if copy := mirror.of(recipe, Path(run)):
            callbacks = (*callbacks, ended.enter_context(copy))
        fit_one = partial(fit, given=given, callbacks=callbacks)
        if ensemble.size(recipe) > 1:
            return ensemble.train(recipe, Path(run), fit_one, given)
        return fit_one(recipe, None, runs.report)


def fit(
    recipe: DictConfig,
    fitted: Mapping[str, Any] | None,
    report: Callable[..., None],
    given: Mapping[str, Any] | None = None,
    callbacks: "Sequence[Callback]" = (),
) -> Metrics:
    """Trains and tests one net; `given` and `callbacks` as in `train`.

    `fitted` is a checkpoint of the same training rows, whose bank is taken over; `report` says what
    came out, as `runs.report` does.
    """
    from seqfuse.callbacks.boards import closing
    from seqfuse.callbacks.heartbeat import Heartbeat, at_work
    from seqfuse.config import build, recipes, starting
    from seqfuse.tuning.tune import tune

    callbacks = (*callbacks, Heartbeat())
    config = recipes.resolve(recipe)
    runs.seed(config)
    with ExitStack() as shown:
        shown.enter_context(at_work(Path(str(recipe.paths.run))))
        data = build.build_data(config, given=given)
        data.setup("fit")
        record = recipes.sized(recipe, data)
        trainer = shown.enter_context(closing(build.build_trainer(record.config, *callbacks)))
        data.check_ranks(trainer.world_size)
        recipe, data, tuned = tune(recipe, data, trainer)
        # Other batches, and so perhaps another number of steps; or another precision.
        if {"data.batch_size", "trainer.precision"} & tuned.keys():
            config = recipes.sized(recipe, data).config
            trainer = shown.enter_context(closing(build.build_trainer(config, *callbacks)))
        kept = runs.outside_search(recipe)
        if tuned or kept is not recipe:
            recipe, record = kept, recipes.sized(kept, data, tuned)
        task = starting.first_task(record, data)
        if fitted:
            task.take_bank(fitted)
        return _fit(task, data, trainer, recipe, report)


def _fit(
    task: "Task",
    data: "DataModule",
    trainer: "Trainer",
    recipe: DictConfig,
    report: Callable[..., None],
) -> Metrics:
    """Trains and tests what has been built."""
    from seqfuse.compat.lightning import skip_idle_hooks
    from seqfuse.config import checkpoint, loading
    from seqfuse.resume import job, state
    from seqfuse.tasks.calibrate import calibrate

    config, run = task.record.config, Path(str(recipe.paths.run))
    stopped_at = state.checkpoint_of(config, task.state_dict())
    skip_idle_hooks(trainer, task)
    if trainer.is_global_zero:
        runs.write_config(recipe, run)
        job.note(run)
        runs.announce(task, data, trainer)
    with runs.needed(run):
        trainer.fit(task, datamodule=data, ckpt_path=stopped_at, weights_only=True)
    metrics = runs.metrics(trainer)
    validated = runs.validated(metrics)
    try:
        content, path = {}, runs.best_checkpoint(trainer)
        if path:
            # Not by `ckpt_path`: a callback that averages weights would put back the others.
            content = checkpoint.read(path)
        if task.is_sharded:
            task = loading.whole_task(task, content)
        if path:
            task.load_state_dict(content["state_dict"])
            validated = runs.validated(content.get("logged", {}))
        has_more, validated = calibrate(task, data, trainer, validated)
        if has_more and path and trainer.is_global_zero:
            checkpoint.replace_calibration(path, content, task.state_dict())
        if config["test"]:
            trainer.test(task, datamodule=data, verbose=False)
            metrics |= runs.metrics(trainer)
        measured = runs.measured(metrics)
        reasons = runs.undefined(measured, task)
    except InputError as error:
        raise runs.kept(error, trainer) from None
    if trainer.is_global_zero:
        report(measured, reasons, validated, trainer, run)
    return metrics


if __name__ == "__main__":
    main()

"""seqfuse-train trains, tests and records an LSTM-CNN-Attention model.

Usage: seqfuse-train [group=option ...] [key=value ...] [-m] [--cfg job]

  seqfuse-train experiment=japanese_vowels
  seqfuse-train data.name=GunPoint model.lstm.hidden_size=128 optimizer.lr=3e-4
  seqfuse-train -m seed=0,1,2 data.name=GunPoint,ItalyPowerDemand
  seqfuse-train resume=latest trainer.max_epochs=200

  --cfg job          prints the composed config, with every key
  -m, --multirun     runs every combination of comma-separated values
  -sc install=bash   prints what switches tab completion on
"""

from pathlib import Path

from omegaconf import DictConfig

from seqfuse.config import cli, folders, mistakes
from seqfuse.resume import slurm
from seqfuse.resume import state as resume
from seqfuse.runtime.errors import InputError


def main() -> None:
    """The command; `seqfuse-train --help` explains it."""
    cli.run(train, "train", __doc__ or "", resume.find_run)


def train(recipe: DictConfig, run: Path) -> dict[str, float]:
    """Trains and tests one model, and prints what came out.

    Args:
        recipe: a composed config (`conf/train.yaml`).
        run: the folder that keeps what the run leaves behind.

    Returns:
        the metrics, by the names they have in the dashboard.

    Raises:
        InputError: a mistake in the config or the data; its message is one line.
    """
    from seqfuse.callbacks import best
    from seqfuse.callbacks.idle import skip_idle_hooks
    from seqfuse.config import build, checkpoint, runs  # slow: torch, lightning
    from seqfuse.tasks import distill  # slow: torch, lightning
    from seqfuse.tuning.tune import tune

    mistakes.check_sections(recipe)
    recipe = resume.in_folder(runs.prepare(recipe, run))
    build.rehearse(recipe)
    config = build.resolve(recipe)
    runs.seed(config)
    data, trainer = build.build_data(config), build.build_trainer(config)
    recipe = runs.outside_search(recipe)
    data.setup("fit")
    data.check_ranks(trainer.world_size)
    recipe, found = tune(recipe, data, trainer)
    filled = build.fill(recipe, data.sizes(), data.splits.num_steps)
    config = build.resolve(filled)
    task = build.build_task(config)
    build.start_weights(task, data, config)
    distill.start(task, data, config)
    task.record = {"config": config, "recipe": build.unresolved(filled), "found": found}
    if config["trainer"]["compile"]:
        task.compile_net()
    stopped_at = resume.checkpoint_of(config, task.state_dict())
    runs.write_config(recipe, run)
    slurm.note(run)
    skip_idle_hooks(trainer, task)
    runs.announce(task, data, trainer)
    with folders.needed(run):
        trainer.fit(task, datamodule=data, ckpt_path=stopped_at, weights_only=True)
    metrics = best.metrics(trainer)
    if config["test"]:
        if path := runs.best_checkpoint(trainer):
            # Not by `ckpt_path`: a callback that averages weights would put back the others.
            task.load_state_dict(checkpoint.read(path)["state_dict"])
        try:
            trainer.test(task, datamodule=data, verbose=False)
            reasons = runs.undefined(runs.measured(best.metrics(trainer)), task)
        except InputError as error:
            raise runs.kept(error, trainer) from None
        metrics |= best.metrics(trainer)
    else:
        reasons = runs.undefined(runs.measured(metrics), task)
    runs.report(runs.measured(metrics), reasons, trainer, run)
    return metrics


if __name__ == "__main__":
    main()

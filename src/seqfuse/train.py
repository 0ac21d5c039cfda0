"""`seqfuse-train`: compose, build, fit, test, report."""

from pathlib import Path

from omegaconf import DictConfig

from seqfuse import cli


def main() -> None:
    """The command; `seqfuse-train --help` explains it."""
    cli.run(train, "train", cli.resume_run)


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
    from seqfuse import build, runs  # slow: torch and lightning

    recipe = runs.prepare(recipe, run)
    build.rehearse(recipe)
    config = build.resolve(recipe)
    runs.seed(config)
    data, trainer = build.build_data(config), build.build_trainer(config)
    data.setup("fit")
    filled = build.fill(recipe, data.sizes(), data.num_steps)
    config = build.resolve(filled)
    task = build.build_task(config)
    task.record = {"config": config, "recipe": build.unresolved(filled)}
    if config["trainer"]["compile"]:
        build.compile_net(task)
    if not config["resume"]:
        runs.write_config(recipe, run)
    runs.announce(task, data, trainer)
    trainer.fit(task, datamodule=data, ckpt_path=config["resume"], weights_only=True)
    metrics = runs.metrics(trainer)
    if config["test"]:
        best = runs.best_checkpoint(trainer)
        trainer.test(task, datamodule=data, ckpt_path=best, verbose=False, weights_only=True)
        metrics |= runs.metrics(trainer)
    runs.report(metrics, trainer, run)
    return metrics


if __name__ == "__main__":
    main()

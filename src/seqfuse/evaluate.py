"""seqfuse-evaluate measures a checkpoint, in the way the training run did.

Usage: seqfuse-evaluate ckpt=<path> [split=train|val|test] [data.<key>=<value> ...]

  seqfuse-evaluate ckpt=logs/japanese_vowels/<time>/checkpoints/best.ckpt
  seqfuse-evaluate ckpt=<path> split=val trainer=cpu
  seqfuse-evaluate ckpt=<path> data.root=<another folder of data>
  seqfuse-evaluate ckpt=<path> trust=[mylab]

  ckpt=<path> --cfg job   prints the composed config, with every key
"""

import json
from pathlib import Path

from omegaconf import DictConfig

from seqfuse.config import cli, runs
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say


def main() -> None:
    """The command; `seqfuse-evaluate --help` explains it."""
    cli.run(evaluate, "evaluate", __doc__ or "", cli.offer_recipe)


def evaluate(config: DictConfig, run: Path) -> dict[str, float]:
    """Measures a checkpoint on a split, in the way the training run did, and returns the metrics.

    Metrics, by `<split>/<name>`, and figures are written to the folder of the run.
    """
    from seqfuse.config import loading  # slow: torch and lightning

    split = config.split
    if split not in ("train", "val", "test"):
        raise InputError(f"split={split} must be one of: train, val, test")
    task, data, _, _, trainer = loading.load_for(config, run, evaluated=split)
    if not trainer.limit_test_batches:
        raise InputError("trainer.limit_test_batches=0 leaves nothing to measure")
    trainer.test(task, datamodule=data, verbose=False)
    metrics = {f"{split}/{k.removeprefix('test/')}": v for k, v in runs.metrics(trainer).items()}
    reasons = runs.undefined(metrics, task)
    if trainer.is_global_zero:
        run.mkdir(parents=True, exist_ok=True)
        files.write(run / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        runs.print_metrics(metrics, reasons)
        runs.say_certainty(metrics, trainer)
        say(f"run  {runs.short(run)}")
    return metrics


if __name__ == "__main__":
    main()

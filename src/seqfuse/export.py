"""seqfuse-export writes a checkpoint as one folder that predicts without torch.

Usage: seqfuse-export ckpt=<path> output=<folder> [int8=true|finetune] [key=value ...]

  seqfuse-export ckpt=logs/<name>/<time>/checkpoints/best.ckpt output=shipped
  seqfuse-export ckpt=<path> output=shipped int8=true bound=0.02
  seqfuse-export ckpt=<path> output=shipped split=none   # where the data is not at hand
  seqfuse-export ckpt=<path> output=s3://bucket/shipped
  python shipped/run.py new.csv classes.csv              # with numpy and onnxruntime alone

The folder holds model.onnx (and model.int8.onnx), pipeline.json, example.npz, card.md and run.py,
which reads .npz, .npy or .csv (series: a row per step, a column per channel, perhaps id), .csv,
.tsv or .jsonl (texts), CoNLL-U or .jsonl (words), and writes .csv or .jsonl.

  int8               weights in 8 bits; refused where the metric gets worse by more than `bound`;
                     finetune trains a few epochs with rounded weights, and tries again
  ckpt=<path> --cfg job   prints the composed config, with every key
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seqfuse.config import cli
from seqfuse.runtime.shown import say


def main() -> None:
    """The command; `seqfuse-export --help` explains it."""
    cli.run(export, "export", __doc__ or "", cli.offer_recipe)


def export(config: DictConfig, run: Path) -> Any:
    """Writes a checkpoint as a folder, checked against torch, and returns what was measured."""
    from seqfuse.exporting.settings import check_settings

    check_settings(config)
    from seqfuse.config import loading, runs  # slow: torch and lightning
    from seqfuse.exporting import card, folder
    from seqfuse.exporting.finetune import finetune
    from seqfuse.exporting.work import Export, TooMuchLost, check_job

    config = config.copy()
    config.trainer.precision = "32-true"
    task, data, trained, plain, trainer = loading.load_for(config, run, evaluated=config.split)
    check_job(config, task)
    with folder.whole(config.output) as part:
        try:
            measured = Export(task, data, trained, plain, trainer).write(part)
        except TooMuchLost as error:
            if plain["int8"] != "finetune":
                raise
            say(f"finetune  {plain['finetune']['epochs']} epochs, as {error}")
            tuned = finetune(task, data, trained, plain)
            measured = Export(tuned, data, trained, plain, trainer, error.before).write(part)
    say(f"{card.table(measured)}\n\nfolder  {runs.short(config.output)}")
    return measured


if __name__ == "__main__":
    main()

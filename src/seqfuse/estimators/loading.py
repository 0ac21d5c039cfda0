"""A trained model as an object: `seqfuse.load(ckpt).predict(x)`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqfuse.config import checkpoint, loading
from seqfuse.predicting.engine import TorchEngine
from seqfuse.runtime.jobs.make import make_job, without_cache


def load(ckpt: str | Path, trust: Sequence[str] = (), **options: Any) -> Any:
    """Reads a checkpoint and returns the job that predicts with it, on the CPU.

    `predict(x)` takes what the job reads, in memory or as the path of a file: series as an array,
    a list or a frame, texts as a list of str, sources as a dict, tables as a frame or a dict of
    columns. Of labelled items it is a `Classifier`, `Tagger`, `Labeller` or `Regressor`, most of
    which have `predict_proba(x)`, `attention(x)`, `unfamiliar(x)` and, of an ensemble,
    `disagreement(x)`; of a table a `Forecaster`, or an `Imputer` where it was trained to fill gaps,
    of recordings a `Detector`. `table(path)` gives the rows of `seqfuse-predict`, by column.

    Args:
        ckpt: path of a checkpoint; or `hf://owner/name`, perhaps with `@revision`, which is
            fetched from the Hugging Face Hub.
        trust: top-level packages of your own that its config may name.
        options: of the job, such as `every` of forecasts or `threshold` of anomalies and labels.
    """
    ckpt = checkpoint.local(ckpt)
    model, splits = loading.load_model(ckpt, trust)
    metadata = {**splits.metadata(), **model.metadata()}
    return make_job(without_cache(metadata), TorchEngine(model), **options)

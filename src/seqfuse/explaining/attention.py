"""Whether the attention of a net is to be believed, for the captions of its figures."""

from typing import Any

import numpy as np
from lightning.pytorch import Trainer

from seqfuse.predicting.engine import TorchEngine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations.cases import Wanted
from seqfuse.runtime.explanations.deletion import ITEMS, verdict
from seqfuse.runtime.jobs.classes import Classifier
from seqfuse.runtime.jobs.forecasts import Forecaster
from seqfuse.runtime.jobs.make import make_job


def remark_on(trainer: Trainer, split: str) -> str:
    """The verdict of a deletion test on items all over a split; empty where there is none.

    It takes some 600 predictions, a small part of a run.
    """
    task: Any = trainer.lightning_module
    splits: Any = trainer.datamodule.splits  # type: ignore[attr-defined]
    device, context = trainer.strategy.root_device, trainer.precision_plugin.forward_context
    engine = TorchEngine(task, device, context)
    job = make_job({**splits.metadata(), **task.metadata()}, engine)
    if not isinstance(job, (Classifier, Forecaster)):
        return ""
    items, rows = splits.rows(split)
    rows = np.asarray(rows)
    places = np.linspace(0, len(rows) - 1, min(ITEMS, len(rows))).round().astype(int)
    try:
        judged = verdict(job.engine, job.cases_known(Wanted(), items, rows[places]), "attention")
    except InputError:  # no attention, or nothing that is explained
        return ""
    return "" if judged is None else judged.line("attention")

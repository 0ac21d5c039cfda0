"""First weights that come from elsewhere."""

from typing import Any

import torch

from seqfuse.data import vectors
from seqfuse.data.files import TableFile
from seqfuse.data.module import DataModule
from seqfuse.nn.tokens import set_vectors
from seqfuse.plain.errors import InputError
from seqfuse.tasks.base import Task


def start(task: Task, data: DataModule, config: dict[str, Any]) -> None:
    """First weights that come from a file: `data.vectors`.

    Raises:
        InputError: the file is broken, or its vectors do not fit the stem.
    """
    if not config["data"].get("vectors"):
        return
    path = TableFile(config["data"]["vectors"], config["data"]["root"]).path()
    words = data.splits.pipeline.words
    ids, found = vectors.read(path, words)
    print(f"vectors     {path}: {len(ids):,} of {len(words):,} words", flush=True)
    try:
        set_vectors(task.net.stem, torch.from_numpy(ids), torch.from_numpy(found))  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"data.vectors={path}: {error}") from None

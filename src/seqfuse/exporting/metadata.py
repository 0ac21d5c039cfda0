"""Metadata of an exported folder, beside its graph."""

from typing import Any

import seqfuse
from seqfuse.data.module import DataModule
from seqfuse.exporting.parity import TOLERANCE
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.make import without_cache
from seqfuse.tasks.base import Task


def describe(task: Task, data: DataModule, config: dict[str, Any], opset: int) -> dict[str, Any]:
    """All that `run.py` reads, but for the hashes of the files."""
    metadata = without_cache({**data.splits.metadata(), **task.metadata()})
    if "absent" in metadata["file_format"]:  # a folder takes whatever sources a file has
        metadata["file_format"] = {**metadata["file_format"], "absent": None}
    if not isinstance(scorer := metadata.get("scorer", {}), dict):
        raise InputError(f"{type(scorer).__qualname__} is no scorer that can be exported")
    return {
        "format": 1,
        "seqfuse": seqfuse.__version__,
        "name": str(config["data"]["name"]),
        "opset": opset,
        "tolerance": TOLERANCE,
        **metadata,
    }

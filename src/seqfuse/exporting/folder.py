"""A folder that is whole or not there, and the files in it."""

import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.exporting import script
from seqfuse.exporting.graph import Feeds, Graph
from seqfuse.exporting.settings import check_output
from seqfuse.runtime import files
from seqfuse.runtime.bundle import EXAMPLE, FACTS, digest, seal

RUN = "run.py"
CARD = "card.md"


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """A folder to write to, which gets its name when all went well.

    Raises:
        InputError: there is something in `output`.
    """
    check_output(output)
    output = output.resolve()  # where a link leads
    output.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.absolute().parent))
    try:
        yield part
        check_output(output)
        if output.exists():
            output.rmdir()
        part.chmod(0o755)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_example(folder: Path, graph: Graph, feeds: Feeds) -> None:
    """Inputs of the graph, and what torch makes of them."""
    prediction, weights = graph.run(feeds)
    arrays = {name: feeds[name].numpy() for name in graph.inputs}
    arrays |= {"prediction": prediction.numpy(), "weights": weights.numpy()}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    files.write(folder / EXAMPLE, content.getvalue())


def write_run(folder: Path) -> None:
    """The one file that predicts."""
    files.write(folder / RUN, script.join())


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """`pipeline.json`, with the hashes of all other files but the card, and its own."""
    others = sorted(path for path in folder.iterdir() if path.name not in (FACTS, CARD))
    full = {**facts, "files": {path.name: digest(path.read_bytes()) for path in others}}
    full = json.loads(json.dumps(full))  # as it will be read
    text = json.dumps({**full, "seal": seal(full)}, indent=1, ensure_ascii=False)
    files.write(folder / FACTS, text + "\n")

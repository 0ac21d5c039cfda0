"""Parity of a written graph with torch, at shapes that it was not traced at."""

from itertools import product
from pathlib import Path
from typing import Any

from seqfuse.exporting.graph import Feeds, Graph
from seqfuse.exporting.samples import Samples
from seqfuse.runtime.engine import difference, open_session
from seqfuse.runtime.errors import InputError

TOLERANCE = 1e-5
"""The largest difference; relative, for values above 1."""
BATCHES = (1, 5)


def check(graph: Graph, path: Path, samples: Samples) -> float:
    """Holds a file against torch: two batches, two lengths, padded and not.

    Returns:
        the largest difference.
    """
    session, worst = open_session(path, threads=1), 0.0
    lengths = (max(samples.steps // 2, 1), samples.steps + 7)
    for batch, steps, padded in product(BATCHES, lengths, (False, True)):
        apart = _difference(graph, session, samples(batch, steps, padded))
        if apart > TOLERANCE:
            kind = "padded" if padded else "not padded"
            raise InputError(
                f"{path.name} differs from torch by {apart:.2g}, above {TOLERANCE:g}, at {batch} "
                f"items of {steps} steps, {kind}: the net does something that cannot be traced"
            )
        worst = max(worst, apart)
    return worst


def _difference(graph: Graph, session: Any, feeds: Feeds) -> float:
    names = {node.name for node in session.get_inputs()}
    arrays = {name: value.numpy() for name, value in feeds.items() if name in names}
    written = [output.name for output in session.get_outputs()]
    try:
        outputs = session.run(written, arrays)
    except Exception:  # shapes that were frozen; onnxruntime's own kinds have no common base
        return float("inf")
    wanted = graph.run(feeds)
    pairs = zip(written, outputs, strict=True)
    return max(difference(name, output, wanted[name].numpy()) for name, output in pairs)

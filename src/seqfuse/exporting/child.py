"""The process that writes a graph: `python -m seqfuse.exporting.child <file>`."""

import pickle
import sys
import warnings
from pathlib import Path

from seqfuse.exporting import graph


def main(path: str) -> None:
    """Exports the graph that the process which started this one hands over; never from a file."""
    # What tracing warns of is held against torch afterwards, at other batches and lengths.
    warnings.filterwarnings("ignore")
    content = pickle.load(sys.stdin.buffer)
    graph.write(content["graph"], content["feeds"], Path(path), content["opset"])


if __name__ == "__main__":
    main(*sys.argv[1:])

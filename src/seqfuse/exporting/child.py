"""The process that writes a graph: `python -m seqfuse.exporting.child <folder> <file>`."""

import sys
import warnings
from pathlib import Path

import torch

from seqfuse.exporting import graph


def main(folder: str, path: str) -> None:
    """Reads `graph.pt`, which the process that started this one wrote, and exports it."""
    # What tracing warns of is held against torch afterwards, at other batches and lengths.
    warnings.filterwarnings("ignore")
    content = torch.load(Path(folder, "graph.pt"), weights_only=False)
    graph.write(content["graph"], content["feeds"], Path(path), content["opset"])


if __name__ == "__main__":
    main(*sys.argv[1:])

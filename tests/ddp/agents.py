"""Runs of several processes: the command of its own, or two nodes of torchrun on loopback."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import ddp


class Ended(NamedTuple):
    """How the processes of torchrun ended, and what those of the run wrote."""

    codes: tuple[int, ...]
    out: str
    err: list[str]
    """Lines of ours; torchrun has its own."""


def torchrun(folder: Path, *words: str, name: str = "none", restarts: int = 0) -> Ended:
    """seqfuse-train by two nodes of one process each.

    Args:
        folder: where both stand.
        words: of the command line.
        name: of the run, as `--rdzv-id` takes it.
        restarts: as `--max-restarts` takes it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    paths = [str(ddp.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    line = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    line += ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", f"--rdzv-id={name}"]
    line += [f"--max-restarts={restarts}", "-m", "seqfuse.train", *words]
    nodes = [
        subprocess.Popen(
            line,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        texts = [node.communicate(timeout=240) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    lines = [line for _, err in texts for line in err.splitlines() if line.startswith("seqfuse: ")]
    return Ended(tuple(node.returncode for node in nodes), "".join(out for out, _ in texts), lines)


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """seqfuse-train in a process of its own."""
    paths = [str(ddp.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    line = [sys.executable, "-m", "seqfuse.train", *words]
    return subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, timeout=400
    )

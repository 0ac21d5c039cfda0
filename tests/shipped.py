"""Exported folders, and an environment that has numpy and onnxruntime alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hydra.core.global_hydra import GlobalHydra

from seqfuse.export import main

FAST = ("repeats=2", "trainer.num_threads=1")
NEEDED = ("numpy", "numpy.libs", "onnxruntime")


def export(run: Path, output: Path, *words: str) -> Path:
    """Exports the best checkpoint of a run."""
    ckpt = f"ckpt={run}/checkpoints/best.ckpt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["seqfuse-export", ckpt, f"output={output}", *FAST, *words])
        patch.chdir(output.parent)
        GlobalHydra.instance().clear()
        main()
    return output


def bare(folder: Path) -> Path:
    """A folder of packages that holds the two, and no torch, Lightning or Hydra."""
    site = Path(np.__file__).parents[1]
    assert Path(onnxruntime.__file__).parents[1] == site
    folder.mkdir(exist_ok=True)
    for name in NEEDED:
        if (site / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(site / name)
    return folder


def python(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs Python without any package but those in `site`."""
    return subprocess.run(
        [sys.executable, "-S", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

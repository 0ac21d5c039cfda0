"""A sample of the tables in processes of their own: nothing else reaches the terminal."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_inputs import makers
from tests.bad_inputs.catalogue import Answer, Row, faults, rows, tree, write

BROKEN = {"bad.ckpt": b"nothing"}


@pytest.mark.long
@rows(
    Row("train optimizer=null", ["optimizer", "adam"]),
    Row("train ~task", "~task"),
    Row("train -m optimizer.lrr=1,2", ["optimizer.lrr", "optimizer.lr"]),
    Row("train optimizer.lr=abc", "optimizer.lr=abc"),
    Row("train resume=run", "in run ", {"run/config.yaml": "a: 1\n", "run/checkpoints/a.ckpt": ""}),
    Row("train data=arrays model=base data.train=a.npy", ["a.npy", "1000000000000"],
        {"a.npy": makers.head((10**12, 6, 2)), "a_y.npy": makers.saved(makers.series()["y"])}),
    Row("evaluate ckpt=bad.ckpt", "bad.ckpt", BROKEN),
    Row("predict ckpt=bad.ckpt input=a.npz output=b.csv", "bad.ckpt", BROKEN),
    Row("export output=o", "ckpt is empty"),
    Row("shipped/run.py --check", "pipeline.json", {"shipped/pipeline.json": "[" * 100_000}),
    Row("shipped/run.py a.npz b.csv", "a.npz", {"a.npz": b"nothing"}),
)  # fmt: skip
def test_processes(tmp_path: Path, shipped: Callable[[str], Path], row: Row) -> None:
    name, *words = shlex.split(row.words)
    start = [sys.executable, name, *words]
    if name.endswith(".py"):
        shutil.copytree(shipped("series"), tmp_path / "shipped")
    else:
        start[1:2] = ["-c", f"from seqfuse.{name} import main; main()"]
    for file, content in row.files.items():
        write(tmp_path / file, content)
    kept = tree(tmp_path)
    done = subprocess.run(start, cwd=tmp_path, env=dict(os.environ), capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    left = {path for path in tree(tmp_path) - kept if "__pycache__" not in path}
    found = Answer(done.returncode, done.stdout, done.stderr, left)
    assert faults(row, found, "run.py" if name.endswith(".py") else "seqfuse") == [], done.stderr

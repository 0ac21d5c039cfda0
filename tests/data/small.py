"""Small data modules: series to classify, and rows that are mapped from a file."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from seqfuse.data.module import DataModule
from seqfuse.data.read.files import TableFile
from seqfuse.data.splits import Folds
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.read.table.rows import RowReader
from seqfuse.runtime.recordings import Recordings

SIZES = {"look_back": 10, "horizon": 5, "split": [0.6, 0.1, 0.1, 0.2], "season": 3}


class Toy:
    """Thirty series of 3 to 8 steps; refuses the test split unless it is asked for."""

    def __init__(self, groups: bool = False):
        self.groups = groups
        self.asked: list[str] = []

    def __call__(self, split: str) -> Recordings:
        self.asked.append(split)
        generator = np.random.default_rng(1)
        x = [generator.normal(size=(3 + i % 6, 2)) for i in range(30)]
        groups = [i // 3 for i in range(30)] if self.groups else None
        return series(x, [i % 3 for i in range(30)], groups, origin=f"toy {split}")


def module(dataset: Toy | None = None, **knobs) -> DataModule:
    loading = {k: knobs.pop(k) for k in ("batch_size", "num_workers") if k in knobs}
    folds = Folds(dataset or Toy(), SeriesPipeline(), **knobs)
    data = DataModule(folds, **{"batch_size": 8, **loading})
    data.setup("fit")
    return data


def write(path: Path, values: np.ndarray) -> Path:
    """Rows as an array, as Parquet, or, without an ending, as a folder of unequal files."""
    if path.suffix == ".npy":
        np.save(path, values)
        return path
    frame = pd.DataFrame(values, columns=["0", "1"]).assign(place="pump")
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=64)
        return path
    path.mkdir(exist_ok=True)
    for i, (first, end) in enumerate(itertools.pairwise([0, 3, 3, 130, 131, 400, len(frame)])):
        frame[first:end].to_parquet(path / f"part-{2 * i}.parquet", row_group_size=64)
    return path


def mapped(
    path: Path, targets="all", covariates=(), scaling="none", pool=64, **knobs
) -> TimeSplits:
    reader, file = RowReader(targets, covariates, pool), TableFile(str(path))
    splits = TimeSplits(reader, TablePipeline(scaling), file, **SIZES | knobs)
    splits.fit()
    return splits

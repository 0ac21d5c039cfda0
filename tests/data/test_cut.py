"""Windows of labelled series."""

from pathlib import Path

import numpy as np
import pytest

from seqfuse.data.people import People
from seqfuse.data.read.devices import Devices
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.read.devices import cut
from seqfuse.runtime.recordings import Recordings
from tests.conftest import composed


def recordings(*lengths: int, per_step: bool = True) -> Recordings:
    x = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) for n in lengths]
    y = [["a"] * (n // 2) + ["b"] * (n - n // 2) if per_step else "a" for n in lengths]
    return series(x, y, [f"person {n}" for n in lengths])


def test_windows_have_the_label_that_fills_most_of_them() -> None:
    windows = cut(recordings(9, 4, 3), size=4, every=2)
    assert len(windows) == 3 + 1 + 1
    assert windows.lengths.tolist() == [4, 4, 4, 4, 3]
    np.testing.assert_array_equal(windows.item(1), np.arange(4, 12).reshape(4, 2))
    # 4 of the 9 steps are a; as many of each: the one that comes first.
    assert windows.labels == ["a", "a", "b", "a", "b"]
    assert windows.groups == ["person 9"] * 3 + ["person 4", "person 3"]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data.size=0 and data.every=2 must be at least 1"):
        Devices("{source}.npz", ["a"], [1.0], People(), windows=[0, 2], root=str(tmp_path))
    with pytest.raises(InputError, match="only series with a label per step can be cut"):
        cut(recordings(9, per_step=False), 4, 2)


@pytest.mark.long
def test_people_stay_apart(data_root: Path) -> None:
    from seqfuse.config import build, recipes

    splits = build.build_data(recipes.resolve(composed(["data=har_windows"]))).splits
    splits.fit()
    assert isinstance(splits.pipeline, SeriesPipeline)
    train, val = splits.rows("train")[0], splits.rows("val")[0]
    assert not set(train.groups) & set(val.groups)
    assert len(train) > 1000
    assert splits.sizes()["channels"] == 12
    assert splits.tensors("train").num_steps == 32

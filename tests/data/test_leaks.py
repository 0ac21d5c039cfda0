"""No window sees a target, or a covariate that is not known ahead, from its horizon on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.reader import TableReader

LENGTHS = {"a": 60, "b": 60, "c": 20}
OPTIONS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "plain": ("channel", {}, {}),
    "calendar": ("channel", {"known": ["offer", "weekday", "hour"]}, {}),
    "words": ("channel", {"categories": ["offer", "weekday", "kind"], "known": ["offer"]}, {}),
    "static": ("channel", {"static": ["town", "shop"], "categories": ["town"]}, {}),
    "series": ("series", {}, {}),
    "short": ("series", {"static": ["town"]}, {"min_look_back": 1}),
    "filled": ("channel", {"gaps": "fill"}, {"min_look_back": 3}),
}


def frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "date": pd.date_range("2024-01-01", periods=rows, freq="7h"),
                "shop": shop,
                "sales": draw.normal(size=rows) * 10**i,
                "heat": draw.normal(size=rows),
                "kind": draw.choice(["x", "y", "z"], rows),
                "offer": draw.integers(0, 2, rows),
                "town": f"t{i % 2}",
            }
        )
        for i, (shop, rows) in enumerate(LENGTHS.items())
    ]
    return pd.concat(parts, ignore_index=True)


def splits(path: Path, given: pd.DataFrame, name: str) -> TimeSplits:
    scaling, columns, sizes = OPTIONS[name]
    given.to_csv(path, index=False)
    columns = {"known": ["offer"], "covariates": ["heat", "kind"], **columns}
    if "weekday" in columns.get("categories", ()):
        columns["known"] = [*columns["known"], "weekday"]
    reader = TableReader(targets=["sales"], group="shop", **columns)
    found = TimeSplits(
        *(reader, TablePipeline(scaling), TableFile(str(path))),
        **{"look_back": 8, "horizon": 3, "split": [0.6, 0.2, 0.2], **sizes},
    )
    found.fit()
    return found


@pytest.mark.parametrize("name", OPTIONS)
def test_what_lies_ahead_changes_no_window(name: str, tmp_path: Path) -> None:
    clean = splits(tmp_path / "a.csv", frame(), name)
    ends = np.cumsum(list(LENGTHS.values()))
    tensors = clean.tensors("test")
    for place in np.linspace(0, len(tensors) - 1, 5).astype(int).tolist():
        wanted = tensors.__getitems__([place])
        start = int(wanted.index[0])
        end = int(ends[np.searchsorted(ends, start, side="right")])
        given = frame()
        given.loc[start : end - 1, ["sales", "heat"]] = 1e6
        given.loc[start : end - 1, "kind"] = "never"
        poisoned = splits(tmp_path / "b.csv", given, name)
        assert poisoned.pipeline.state_dict() == clean.pipeline.state_dict()
        found = poisoned.tensors("test").__getitems__([place])
        assert int(found.index[0]) == start
        torch.testing.assert_close(found.x, wanted.x, atol=0, rtol=0)
        torch.testing.assert_close(found.mask, wanted.mask)
        assert (found.y > 1e3).all(), "the poison is where it should be"


def test_what_is_known_ahead_is_seen(tmp_path: Path) -> None:
    clean = splits(tmp_path / "a.csv", frame(), "plain")
    given = frame()
    start = int(clean.tensors("test").index[0])
    given.loc[start, "offer"] = 1 - given.loc[start, "offer"]
    other = splits(tmp_path / "b.csv", given, "plain")
    pair = [data.tensors("test").__getitems__([0]).x for data in (clean, other)]
    assert (pair[0] != pair[1]).sum() == 1

"""Two steps of every experiment on its real data: the numbers are those that were kept.

To the last bit on a machine of the kind that wrote them, close to them elsewhere.
`python -m tests.golden.write` writes them anew, where they are meant to change.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.golden.runs import EXPERIMENTS, VALUES, cells, machine, values

FAST = {"har_steps", "illness_24", "japanese_vowels", "skab"}
"""One of each kind: the others are slow together."""
CLOSE = 1e-3
"""Relative, on another machine."""
LABELS = 0.7
"""Fraction of the predicted labels that are the same on another machine, after two steps."""
STAGES = ("initial weights", "batch", "losses", "trained weights", "metrics")
TABLES = ("predictions", "shipped")
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n not in FAST)) for n in EXPERIMENTS]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_same_numbers(name: str, data_root: Path, tmp_path: Path) -> None:
    kept = json.loads((VALUES / f"{name}.json").read_text(encoding="utf-8"))
    found = values(name, data_root.resolve(), tmp_path)
    if kept.pop("machine") == machine():
        for stage in (*STAGES, *TABLES):  # in this order, so that the first difference is named
            assert found.get(stage) == kept.get(stage), f"{name}: other {stage}"
        assert found == kept
        return
    assert _close(found["losses"], kept["losses"])
    assert list(found["metrics"]) == list(kept["metrics"])
    for table in filter(kept.get, TABLES):
        _check_close(found[table], kept[table])


def _check_close(found: dict[str, Any], kept: dict[str, Any]) -> None:
    for key in ("columns", "number of rows"):
        assert found[key] == kept[key]
    columns = zip(*cells(found["rows"].values()), strict=True)
    before = zip(*cells(kept["rows"].values()), strict=True)
    for name, new, old in zip(*cells([kept["columns"]]), columns, before, strict=True):
        if _are_measured(old):
            assert _close(new, old), f"{name}: {new}, expected {old}"
        else:
            same = [a == b for a, b in zip(new, old, strict=True)]
            assert sum(same) >= LABELS * len(same), f"{name}: {new}, expected {old}"


def _are_measured(cells: Sequence[str]) -> bool:
    """Whether they are numbers with a fraction, and no labels, words or counts."""
    try:
        return any(not float(cell).is_integer() for cell in cells if cell)
    except ValueError:
        return False


def _close(new: Sequence[str], old: Sequence[str]) -> bool:
    """Whether numbers in texts differ by little, of the largest of them."""
    pairs = [(float(a or "nan"), float(b or "nan")) for a, b in zip(new, old, strict=True)]
    largest = max((abs(b) for _, b in pairs if math.isfinite(b)), default=0.0)
    return all(
        a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= CLOSE * largest
        for a, b in pairs
    )

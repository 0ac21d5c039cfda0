"""Anomalies in recordings, from an exported folder: a score and a flag for each step."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import in_blocks
from seqfuse.runtime.cells import Cells, groups_of, numbers_of, read_cells
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.likelihood import Likelihood, Scores, Told
from seqfuse.runtime.pipelines import unpack
from seqfuse.runtime.stamps import (
    as_numbers,
    carried_on,
    check_finite,
    clock_places,
    on_clock,
    stamps_of,
    step_of,
)
from seqfuse.runtime.subspace import Subspace
from seqfuse.runtime.writer import Columns

SCORERS = {"Likelihood": Likelihood, "Subspace": Subspace}


class Detector:
    """Scores of recordings, whose leading part is taken to be normal and gives the scale.

    Args:
        metadata: what a fitted data module says of itself.
        engine: predicts.
        batch_size: windows at a time.
    """

    options = ()

    def __init__(self, metadata: Mapping[str, Any], engine: Engine, batch_size: int | str = 256):
        self.metadata, self.engine = metadata, engine
        self.batch_size = batch_size if isinstance(batch_size, int) else 256
        self.columns: list[str] = self.metadata["pipeline"]["state"]["columns"]
        self.threshold: float = self.metadata["threshold"]
        """The least score of an anomaly."""
        knobs = dict(self.metadata["scorer"])
        self.scorer = SCORERS[knobs.pop("kind", "Likelihood")](**knobs)
        self.look_back, self.horizon = self.metadata["look_back"], self.metadata["horizon"]

    def predict(
        self, x: Any, num_train: int | None = None, name: str = "the recording"
    ) -> tuple[Scores, NDArray[np.int64]]:
        """Scores (t) from 0 to 1, NaN where no window looks, and flags (t) from the threshold on.

        Args:
            x: (t c) in the user's units, in the order of `columns`; NaN is as the step before.
            num_train: leading steps that are taken to be normal; as in training, if not given.
            name: of the recording; a net may know it.

        Raises:
            InputError: other columns, too few steps, or a value that is infinite.
        """
        values = as_numbers(x, name, f"numbers (time, {len(self.columns)} columns)", (2,))
        if values.shape[1] != len(self.columns):
            raise InputError(
                f"{name} has {values.shape[1]} columns, training had {', '.join(self.columns)}"
            )
        values = self._filled(values.astype(np.float64), name)
        scores = self._scores(name, values, self._normal(len(values), num_train, name))
        return scores, (scores >= self.threshold).astype(np.int64)

    def _filled(self, values: NDArray[np.float64], name: str) -> NDArray[np.float32]:
        """(t c) with each missing value as the step before, or at the start as the one behind."""
        check_finite(values, self.columns, name)
        values = carried_on(carried_on(values)[::-1])[::-1]
        for c in np.flatnonzero(np.isnan(values).any(axis=0))[:1]:
            raise InputError(f"{name}: column '{self.columns[c]}' has no value at all: fill it")
        return values.astype(np.float32)

    def _normal(self, steps: int, given: int | None, name: str) -> int:
        """How many leading steps are taken to be normal."""
        rule = self.metadata["train"]
        if given is None and not rule:
            raise InputError(
                f"{name}: the folder does not know how many leading steps are normal: say it in "
                "Python: model = run.load(); model.predict(x, num_train=...)"
            )
        if given is not None:
            return given
        found = rule["rows"] if "rows" in rule else int(steps * rule["share"])
        return min(found, rule.get("most", found))

    def _scores(self, name: str, values: NDArray[np.float32], num_train: int) -> Scores:
        overlap, horizon = self.metadata["overlap"], self.horizon
        least = max(0, self.look_back - overlap)
        cut = int(num_train * (1 - self.metadata["validation"]))
        if cut < 1 or least + horizon > min(num_train, len(values)):
            raise InputError(
                f"{name}: its leading part, taken to be normal, has {num_train} rows of "
                f"{len(values)}, too few for a window: add earlier rows"
            )
        last = len(values) - horizon
        starts = np.unique(
            np.array([*range(least, last + 1, self.metadata["window_stride"]), last])
        )
        told = self._told(name, values, cut, starts)
        return self.scorer.of_windows(values, num_train, told, name)

    def _told(
        self, name: str, values: NDArray[np.float32], cut: int, starts: NDArray[np.int64]
    ) -> Told:
        pipeline = unpack(self.metadata["pipeline"])
        pipeline.fit(name, values[:cut], self.columns)
        scaled, code = pipeline.transform(name, values), pipeline.code(name)
        begins = starts - self.look_back + self.metadata["overlap"]
        errors, predictions = [], []
        for rows in in_blocks(len(starts), self.batch_size):
            x = scaled[begins[rows][:, None] + np.arange(self.look_back)]
            y = scaled[starts[rows][:, None] + np.arange(self.horizon)]
            codes = np.broadcast_to(code, (*x.shape[:2], len(code)))
            x = np.concatenate([x, codes], axis=2)
            feeds = {"x": x, "mask": np.ones(x.shape[:2], dtype=bool)}
            prediction, _ = self.engine(feeds)
            middle = prediction[..., prediction.shape[-1] // 2]
            errors.append(np.abs(middle - y).mean(axis=-1))
            predictions.append(middle[:, : self.horizon if self.scorer.reads_predictions else 0])
        return Told(starts, np.concatenate(errors), np.concatenate(predictions))

    def rows(self, path: str | Path) -> Iterator[Columns]:
        """Rows for people: recording, time, score, anomaly.

        Raises:
            InputError: whatever is wrong with the file; names row and column.
        """
        cells = read_cells(Path(path), self.metadata["delimiter"])
        stamps = stamps_of(cells, self.metadata["time"], self.metadata["time_format"])
        values = np.stack([numbers_of(cells, name) for name in self.columns], axis=1)
        whole = Path(path).name.removesuffix(".gz").rsplit(".", 1)[0]
        group = self.metadata["group"]
        names = groups_of(cells, group) if group else np.repeat(whole, len(stamps))
        for name in sorted(set(names.tolist())):
            yield self._rows(name, cells, stamps, values, np.flatnonzero(names == name))

    def _rows(
        self,
        name: str,
        cells: Cells,
        stamps: NDArray[Any],
        values: NDArray[Any],
        rows: NDArray[np.int64],
    ) -> Columns:
        """The rows of one recording."""
        gaps, where = self.metadata["gaps"], f"{cells.origin} ({name})"
        stamps, values = stamps[rows], values[rows]
        places = np.arange(len(stamps))
        if gaps:
            places = clock_places(stamps, None, gaps, where, lambda i: cells.row(int(rows[i])))
        size = int(places[-1]) + 1
        for t, c in np.argwhere(np.isnan(values))[: gaps in ("refuse", None)]:
            row = cells.row(int(rows[t]))
            raise InputError(f"{where}: {row}, column '{self.columns[c]}' is empty: fill it")
        full = np.stack([on_clock(one, places, size) for one in values.T], axis=1)
        times = stamps
        if size > len(stamps):  # rows were added
            times = stamps[0] + np.arange(size) * np.timedelta64(step_of(stamps), "s")
        scores, flags = self.predict(full, name=name)
        label = np.repeat(name, size)
        return {"recording": label, "time": times, "score": scores, "anomaly": flags}

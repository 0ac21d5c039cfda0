"""Numbers of items, in the user's units."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations.cases import Wanted
from seqfuse.runtime.explanations.scores import Linear, Score, chosen
from seqfuse.runtime.jobs.classes import Answer, Classifier
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.writer import Columns


class Regressor(Classifier):
    """Numbers of each series, text or item of several sources, with a band around each.

    Rows for people: row (or id), `prediction`, and `lower` and `upper`, between which as many
    items of the validation part lay as the band promises; of several targets `<name>_prediction`
    and so on.
    """

    options: tuple[str, ...] = ()

    @property
    def quantiles(self) -> list[float]:
        """Levels of the outputs, in order, 0.5 in the middle."""
        return self.metadata["quantiles"]

    def predict(self, x: Any) -> NDArray[np.float64]:  # type: ignore[override]
        """(n) a number for each item; of k targets (n k)."""
        middle = self.predict_bands(x)[..., len(self.quantiles) // 2]
        return middle[:, 0] if middle.shape[1] == 1 else middle

    def predict_bands(self, x: Any) -> NDArray[np.float64]:
        """(n k p) each quantile of each target."""
        return np.concatenate([self._numbers(answer) for answer in self._ask(x)])

    def disagreement(self, x: Any) -> NDArray[np.float64]:
        """(n) the standard deviation of an ensemble's predictions; of k targets (n k)."""
        apart = super().disagreement(x)
        return apart[:, 0] if apart.shape[1] == 1 else apart

    def _apart(self, answer: Answer) -> NDArray[np.float64]:
        return deviation(super()._apart(answer), self.labels.undo)

    def predict_proba(self, x: Any) -> Any:
        raise InputError("numbers have bands, not probabilities: call predict_bands(x)")

    def _score(self, answer: Answer, wanted: Wanted) -> Score:
        wanted.check_whole("numbers")
        targets, count = self.labels.targets, len(answer.prediction)
        [i] = chosen(wanted.target, targets, "target", np.zeros(1, dtype=np.int64))
        selected = np.zeros(answer.prediction.shape[1:])
        selected[i, len(self.quantiles) // 2] = 1
        offset = self.labels.undo(np.zeros((1, *selected.shape)))
        scale = self.labels.undo(np.ones((1, *selected.shape))) - offset
        weights = np.repeat(scale * selected, count, axis=0)
        offsets = np.repeat((offset * selected).sum(), count)
        return Linear(weights, offsets, [targets[i]] * count)

    def _numbers(self, answer: Answer) -> NDArray[np.float64]:
        return self.labels.undo(answer.prediction)

    def _columns(self, answer: Answer) -> Columns:
        outputs = self._numbers(answer)
        columns: Columns = dict(answer.block.columns)
        for i, prefix in enumerate(self._prefixes()):
            columns[f"{prefix}prediction"] = outputs[:, i, len(self.quantiles) // 2]
            if len(self.quantiles) > 1:
                columns |= {f"{prefix}lower": outputs[:, i, 0], f"{prefix}upper": outputs[:, i, -1]}
        columns |= self._truth(answer.block.items)
        if answer.distance is not None:
            columns["unfamiliar"] = self._unfamiliar(answer)
        if answer.disagreement is None:
            return columns
        each = zip(self._prefixes(), self._apart(answer).T, strict=True)
        return columns | {f"{prefix}disagreement": apart for prefix, apart in each}

    def _truth(self, items: Recordings) -> Columns:
        if items.labels is None:
            return {}
        columns = zip(*items.labels, strict=True)
        return {f"{prefix}label": y for prefix, y in zip(self._prefixes(), columns, strict=True)}

    def _prefixes(self) -> list[str]:
        targets = self.labels.targets
        return [f"{name}_" for name in targets] if len(targets) > 1 else [""]


def deviation(
    scaled: NDArray[Any], undo: Callable[[NDArray[Any]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Standard deviations (... k) of scaled numbers in the user's units.

    The affine map `undo` puts scaled numbers (... k p) back into these units.
    """
    spread = scaled[..., None].astype(np.float64)
    return (undo(spread) - undo(np.zeros_like(spread)))[..., 0]

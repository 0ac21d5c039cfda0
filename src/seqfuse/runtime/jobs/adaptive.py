"""Adaptive conformal bands: as wide as forecasts before have been wrong."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

RATE = 0.1
"""Fraction of the largest error so far by which a margin grows at a miss, for a level near 1."""
NEEDED = 2.0
"""Misses that a band should have among the forecasts whose outcome is known, at least."""
Floats = NDArray[np.float64]


class _Forecast:
    """A forecast that has been made, and how much of its outcome was compared with it.

    Args:
        start: row at which its horizon begins.
        scores: (l h k) how far what came lies outside of each band (above 0) or inside; NaN where
            it is not known.
    """

    def __init__(self, start: int, scores: Floats):
        self.start, self.scores, self.compared = start, scores, 0

    def come(self, row: int) -> slice:
        """Steps whose outcome has come before a row, and was not asked for before."""
        first = self.compared
        self.compared = min(row - self.start, self.scores.shape[1])
        return slice(first, self.compared)


class Adaptive:
    """Margins that follow a series, for each band, step of the horizon and target.

    Before each forecast all that has come by then is compared with the forecasts before it: where
    it lay outside of the band, the margin grows, else it shrinks by as much less as hits should be
    more frequent (quantile tracking, Angelopoulos et al. 2023; adaptive conformal inference, Gibbs
    & Candès 2021). So the fraction held comes near to the level in the long run, however the series
    drifts. The bands that are changed are those that were calibrated after training. A series with
    too few forecasts keeps them: at least `NEEDED` / (1 - level) must have come in full.

    Args:
        quantiles: of the forecasts, in order, around 0.5.
        starts: (w) rows at which all horizons begin, of each series in order.
        owners: (w) the series of each.
        ends: (s) row behind the last known one of each series.
        horizon: steps.
    """

    def __init__(
        self,
        quantiles: Sequence[float],
        starts: NDArray[np.int64],
        owners: NDArray[np.int64],
        ends: NDArray[np.int64],
        horizon: int,
    ):
        self.levels = np.array([1 - 2 * q for q in quantiles if q < 0.5])
        self.needed = np.ceil(NEEDED / (1 - self.levels) - 1e-9)
        is_whole = starts + horizon <= ends[owners]
        self.counts = np.bincount(owners[is_whole], minlength=len(ends))
        """(s) forecasts of each series that came in full."""
        self.owner = -1
        self.hits = np.zeros((2, len(self.levels)))
        """Targets inside of each band, before and after it was adapted."""
        self.targets = 0

    def __call__(
        self, starts: NDArray[np.int64], owners: NDArray[np.int64], quantiles: Floats, truth: Floats
    ) -> Floats:
        """Adapts the bands of a batch (b h k p), in order; truth (b h k) is NaN where it is not
        known.

        Its horizons begin at rows `starts` (b) of the series `owners` (b).
        """
        adapted = quantiles.copy()
        for i, owner in enumerate(owners.tolist()):
            if owner != self.owner:
                self._begin(owner, quantiles.shape[1:3])
            self._learn(int(starts[i]))
            scores = self._scores(quantiles[i], truth[i])
            adapted[i] = self._widened(quantiles[i])
            self.pending.append(_Forecast(int(starts[i]), scores))
            is_real = ~np.isnan(truth[i])
            self.targets += int(is_real.sum())
            after = self._scores(adapted[i], truth[i])
            for row, each in enumerate((scores, after)):
                self.hits[row] += (each <= 0).sum(axis=(1, 2))
        return adapted

    def lines(self) -> Iterator[str]:
        """Coverage before and after, for people; nothing where nothing has come."""
        if not self.targets:
            return
        held = self.hits / self.targets
        for i, level in enumerate(self.levels):
            needed = int(self.needed[i])
            few = int((self.counts < needed).sum())
            kept = ""
            if few:
                kept = (
                    f"; {few:,} of {len(self.counts):,} series keep theirs, as this needs {needed} "
                    "forecasts whose outcome is known (every=1 has most)"
                )
            yield (
                f"{'bands':<12}{level:.0%}: {held[0, i]:.3f} of what came before adapting, "
                f"{held[1, i]:.3f} after{kept}"
            )

    def _begin(self, owner: int, shape: tuple[int, ...]) -> None:
        """Forgets the series before."""
        self.owner = owner
        self.margins = np.zeros((len(self.levels), *shape))
        self.largest = np.zeros_like(self.margins)
        self.pending: list[_Forecast] = []
        self.rates = np.where(self.counts[owner] >= self.needed, RATE, 0.0)

    def _learn(self, row: int) -> None:
        """Compares what has come before this row with the forecasts of it, each step once."""
        for forecast in self.pending:
            new = forecast.come(row)
            scores = forecast.scores[:, new]
            self.largest[:, new] = np.fmax(self.largest[:, new], np.abs(scores))
            missed = (scores > self.margins[:, new]) - (1 - self.levels)[:, None, None]
            change = self.rates[:, None, None] * self.largest[:, new] * missed
            self.margins[:, new] += np.where(np.isnan(scores), 0.0, change)
        self.pending = [each for each in self.pending if each.compared < each.scores.shape[1]]

    def _scores(self, quantiles: Floats, truth: Floats) -> Floats:
        """(l h k) how far targets (h k) lie outside of each band of quantiles (h k p)."""
        n = len(self.levels)
        low, high = quantiles[..., :n], quantiles[..., n + 1 :][..., ::-1]
        return np.moveaxis(np.maximum(low - truth[..., None], truth[..., None] - high), 2, 0)

    def _widened(self, quantiles: Floats) -> Floats:
        """Quantiles (h k p) with margins; the median stays, and wider bands hold narrower ones."""
        n, margins = len(self.levels), np.moveaxis(self.margins, 0, 2)
        centre = quantiles[..., n : n + 1]
        low = np.minimum(quantiles[..., :n] - margins, centre)
        high = np.maximum(quantiles[..., n + 1 :][..., ::-1] + margins, centre)
        low = np.minimum.accumulate(low[..., ::-1], axis=-1)[..., ::-1]
        high = np.maximum.accumulate(high[..., ::-1], axis=-1)
        return np.concatenate([low, centre, high], axis=-1)

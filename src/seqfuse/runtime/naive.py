"""Naive forecasts, and what a net is worth beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LISTED = 12
"""Targets that a summary names."""


class Naive(NamedTuple):
    """A forecast that needs no training: values of the look-back, and a line through its ends."""

    steps: NDArray[np.int64]
    """(h) of the look-back, whose values are repeated."""
    slope: NDArray[np.floating]
    """(h) how often the change from the first step of the look-back to the last is added."""


def season_within(season: int, look_back: int) -> int:
    """Steps after which a naive forecast repeats: of a look-back without a whole season, all."""
    return min(season, look_back)


def repeated(past: int, horizon: int, season: int = 1) -> Naive:
    """The last season of so many steps, again and again; of one step, the last value."""
    season = season_within(season, past)
    steps = past - season + np.arange(horizon) % season
    return Naive(steps, np.zeros(horizon, dtype=np.float32))


def drift(past: int, horizon: int) -> Naive:
    """The line through the first and the last value of the look-back, drawn on.

    (Hyndman & Athanasopoulos 2021, section 5.2.)
    """
    slope = np.arange(1, horizon + 1, dtype=np.float32) / max(past - 1, 1)
    return Naive(np.full(horizon, past - 1), slope)


def follow(past: Any, naive: tuple[Any, Any]) -> Any:
    """(b h k) the forecast behind a look-back (b t k); arrays of numpy, or tensors."""
    steps, slope = naive
    return past[:, steps] + slope[:, None] * (past[:, -1:] - past[:, :1])


def seasonal_name(season: int) -> str:
    """The seasonal naive forecast, for people."""
    return f"seasonal, {season} steps"


def worth(
    errors: Mapping[str, tuple[float, Mapping[str, float]]], others: str = "naive forecasts"
) -> tuple[str, bool]:
    """A sentence on errors of a net beside those of others, and whether all are below the best of
    them.

    Errors are by name, such as MAE: that of the net, and those of naive forecasts by theirs.
    """
    parts, is_better = [], True
    for name, (of_net, naive) in errors.items():
        best = min(naive, key=lambda kind: naive[kind])
        beside = f"the best of the {others} ({best}: {naive[best]:.4g})"
        if of_net < naive[best]:
            percent = 100 * (1 - of_net / naive[best])
            below = f"{percent:.0f} %" if percent >= 1 else "less than 1 %"
            parts.append(f"{name} {of_net:.4g} is {below} below {beside}")
        else:
            is_better = False
            parts.append(f"{name} {of_net:.4g} is no better than {beside}")
    return "; ".join(parts), is_better


class Comparison:
    """Errors of forecasts of targets beside those of naive ones, summed over what was observed."""

    def __init__(self, targets: Sequence[str], season: int):
        self.targets, self.season = list(targets), season
        self.kinds = ["net", "last value", *([seasonal_name(season)] * (season > 1)), "drift"]
        self.sums = np.zeros((2, len(self.kinds), len(self.targets)))
        """Absolute and squared errors, by kind and target."""
        self.scaled = np.zeros((2, len(self.kinds)))
        """Sums of the errors over all targets, in their standard deviations."""
        self.count = np.zeros(len(self.targets), dtype=np.int64)
        self.origins = 0

    def update(
        self,
        past: NDArray[Any],
        truth: NDArray[Any],
        forecast: NDArray[Any],
        scale: NDArray[np.float64],
    ) -> None:
        """Adds windows: look-backs (b t k), what came (b h k), NaN where missing, forecasts of the
        net (b h k), and standard deviations of the targets (b k)."""
        sizes = past.shape[1], truth.shape[1]
        naive = [repeated(*sizes), *([repeated(*sizes, self.season)] * (self.season > 1))]
        others = [follow(past, kind) for kind in (*naive, drift(*sizes))]
        errors = np.stack([forecast, *others]) - truth
        for power in (1, 2):
            self.sums[power - 1] += np.nansum(np.abs(errors) ** power, axis=(1, 2))
            scaled = np.abs(errors / scale[:, None]) ** power
            self.scaled[power - 1] += np.nansum(scaled, axis=(1, 2, 3))
        observed = ~np.isnan(truth)
        self.count += observed.sum(axis=(0, 1))
        self.origins += int(observed.any(axis=(1, 2)).sum())

    def errors(self) -> dict[str, NDArray[np.float64]]:
        """MAE and MSE of each kind and target, NaN where nothing was observed."""
        with np.errstate(invalid="ignore"):
            return dict(zip(("MAE", "MSE"), self.sums / self.count, strict=True))

    def lines(self) -> Iterator[str]:
        """The errors as a table, and what the net is worth; nothing where nothing was observed."""
        if not self.count.any():
            return
        rows = [["", "", *self.kinds]]
        for k, target in enumerate(self.targets[:LISTED]):
            for name, errors in self.errors().items() if self.count[k] else ():
                rows.append([target, name, *(f"{error:.4g}" for error in errors[:, k])])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        yield f"back-test   {self.origins:,} forecasts beside what came"
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            yield f"            {'  '.join(cells)}".rstrip()
        if len(self.targets) > LISTED:
            yield f"            and {len(self.targets) - LISTED} targets more"
        sentence, is_better = self._worth()
        yield f"{'worth' if is_better else 'warning':<12}{sentence}"

    def _worth(self) -> tuple[str, bool]:
        """The verdict on all targets, each in its standard deviations."""
        means = self.scaled / self.count.sum()
        return worth(
            {
                name: (float(mean[0]), dict(zip(self.kinds[1:], mean[1:].tolist(), strict=True)))
                for name, mean in zip(("scaled MAE", "scaled MSE"), means, strict=True)
            }
        )

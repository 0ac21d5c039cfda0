"""Gradient boosting on the windows of a forecasting experiment, with its covariates and without.

    python -m tests.benchmarks.covariates [experiment, by default beijing_pm25_24]

One model of scikit-learn, its options at their defaults, forecasts every step of the horizon: its
features are the last 24 values of the target, its mean over each of the last 7 days, the value a
day before the step, and the number of the step; with covariates also their last values, their
means over the last day, and what is known ahead of the step. Errors are those of `test/mse` and
`test/mae`. Trained on every fifth window; nothing is chosen on the test split.
"""

import sys

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from seqfuse.data.windows import TimeSplits
from tests.composing import composed

Array = NDArray[np.float64]
DAY, DAYS, EVERY = 24, 7, 5


def rows(splits: TimeSplits, split: str, covariates: bool, every: int = 1) -> tuple[Array, Array]:
    """Features (w h f) and targets (w h) of windows of one target."""
    windows, past = splits.tensors(split).windows, splits.look_back
    starts = np.asarray(windows.starts)[::every]
    x, y = windows.x(starts).astype(np.float64), windows.y(starts)[..., 0]
    steps, ahead = splits.horizon, windows.num_known
    target, others = x[:, :past, 0], x[:, :past, 1:]
    days = target[:, -DAY * DAYS :].reshape(len(x), DAYS, DAY).mean(axis=2)
    same = [target[:, -DAY:], days]
    if covariates:
        same += [others[:, -1], others[:, -DAY:].mean(axis=1)]
    shared = np.repeat(np.hstack(same)[:, None], steps, axis=1)
    day_before = target[:, past - DAY + np.arange(steps) % DAY]
    number = np.broadcast_to(np.arange(float(steps)), y.shape)
    each = [day_before[..., None], number[..., None]]
    if covariates and ahead:
        each.append(x[:, past:, -ahead:])
    return np.concatenate([shared, *each], axis=2), y


def main(experiment: str = "beijing_pm25_24") -> None:
    """Prints both errors, with covariates and without."""
    config = composed([f"experiment={experiment}"])
    splits = instantiate(config.data.module.splits, _convert_="all")
    splits.fit()
    for covariates in (False, True):
        x, y = rows(splits, "train", covariates, EVERY)
        seen = ~np.isnan(y)
        model = HistGradientBoostingRegressor(random_state=0).fit(x[seen], y[seen])
        x, y = rows(splits, "test", covariates)
        seen = ~np.isnan(y)
        error = model.predict(x[seen]) - y[seen]
        name = "with covariates" if covariates else "target alone"
        print(f"{experiment} {name:16} mse {np.square(error).mean():.4f}", end="  ")
        print(f"mae {np.abs(error).mean():.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])

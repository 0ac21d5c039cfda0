"""Estimators of tables: forecasts, gaps that are filled, and anomalies."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sklearn.base import OutlierMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from seqfuse.data.read.memory import NAME, RecordingsInMemory, TableInMemory
from seqfuse.estimators.base import Estimator
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs import anomalies, forecasts, imputations
from seqfuse.runtime.read.monitored import recording
from seqfuse.runtime.read.table.cells import as_cells
from seqfuse.runtime.read.table.holidays import Holidays
from seqfuse.runtime.read.table.stamps import dated_columns
from seqfuse.runtime.read.table.steps import carried_on

SPLIT = [0.8, 0.1, 0.099, 0.001]
"""Training, validation, calibration of the bands, and all but nothing for a test."""

RULES: dict[str, Any] = {"ensure_all_finite": "allow-nan", "dtype": np.float64}
"""Options of scikit-learn's checks: a NaN is a missing value."""


@dataclass(kw_only=True, eq=False, repr=False)
class TableEstimator(Estimator):
    """The base of estimators of a table with time stamps.

    The table is a frame with a row for each step: its time stamps are the index, or a column.

    Args:
        look_back: steps that a net sees; None: by the season and the rows that there are.
        time: column of time stamps; None takes the index.
        group: column that tells series apart.
        targets: columns to predict; `all` number columns that are nothing else.
        covariates: columns known up to now, which are not predicted.
        model: as in `Estimator`, with all parameters that follow.
    """

    look_back: int | None = None
    time: str | None = None
    group: str | None = None
    targets: str | Sequence[str] = "all"
    covariates: Sequence[str] = ()

    def _fit(self, X: Any, data: str, word: str, **more: Any) -> pd.DataFrame:
        """Trains on a frame, with further values of the data section; returns it with stamps."""
        frame, time = _stamped(X, self.time)
        words = [] if self.look_back is None else [f"data.look_back={self.look_back}"]
        recipe = self._recipe(f"data={data}", word, *words)
        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        columns = {"file": NAME, "time": time, "group": self.group, "targets": targets}
        for name, value in {**columns, "covariates": list(self.covariates), **more}.items():
            OmegaConf.update(recipe, f"data.{name}", value)
        self._train(recipe, {"source": TableInMemory(as_cells(frame))})
        return frame


@dataclass(kw_only=True, eq=False, repr=False)
class Forecaster(TableEstimator):
    """Forecasts of a table with time stamps, with bands that are calibrated on its last rows.

        model = seqfuse.Forecaster(horizon=24).fit(frame)
        model.predict(24)  # what comes behind the last row

    Args:
        horizon: steps to forecast.
        known: columns known ahead, or hour, weekday, day, month, dayofyear.
        static: columns with one value for each series.
        holidays: adds a column `holiday`, known ahead: of a country such as DE, of a table with a
            column `date`, or of a list of dates.
        categories: columns among these three that are words even if they look like numbers.
        split: fractions for training, validation, calibration and test; None keeps a tenth each
            for the second and the third, and nothing for a test.
        look_back: as in `TableEstimator`, with all parameters that follow.
    """

    horizon: int = field(default=24, kw_only=False)
    known: Sequence[str] = ()
    static: Sequence[str] = ()
    categories: Sequence[str] = ()
    holidays: str | Sequence[str] | None = None
    split: Sequence[float] | None = None
    _job = forecasts.Forecaster

    def fit(self, X: Any, y: Any = None) -> Self:
        """Trains a net on a frame; y is not looked at."""
        days = self.holidays if isinstance(self.holidays, str) else [*Holidays(self.holidays)]
        names = ("known", "static", "categories")
        self.frame_ = self._fit(
            *(X, "csv", f"data.horizon={self.horizon}"),
            **{name: list(getattr(self, name)) for name in names},
            holidays=days,
            split=SPLIT if self.split is None else list(self.split),
        )
        return self

    def predict(self, horizon: int | None = None, X: Any = None, known: Any = None) -> pd.DataFrame:
        """Forecasts behind the last row with a target, of each series.

        Args:
            horizon: steps, at most as many as were trained for; all of them if not given.
            X: a frame like the training one, which it stands in for; behind its last targets it
                may hold what is known ahead.
            known: a frame of the rows ahead, with what is known of them.

        Returns:
            a row for each step, by time (and series), with the columns <target> and
            <target>_q<level>.
        """
        check_is_fitted(self)
        if X is None and "frame_" not in vars(self):
            raise InputError("a loaded net knows no last rows: give them, predict(X=frame)")
        frame = self.frame_ if X is None else _stamped(X, self.time)[0]
        ahead = None if known is None else _stamped(known, self.time)[0]
        rows = pd.DataFrame(self.model_.predict(frame, horizon=horizon, known=ahead))
        index = [self.group, "time"] if self.group else ["time"]
        return rows.drop(columns=["from", "step"]).set_index(index)


@dataclass(kw_only=True, eq=False, repr=False)
class Imputer(TransformerMixin, TableEstimator):
    """Fills the gaps of a table with time stamps, by what is before, behind and beside them.

        seqfuse.Imputer().fit(frame).transform(frame)

    It is fitted on seven tenths of the rows, in which further values are held out, and validated on
    a tenth. Covariates are seen and not filled.

    Args:
        rate: fraction of the values that is held out in training.
        look_back: steps of a window; None: 96, or less where there are few rows. For it, and all
            parameters that follow, see `TableEstimator`.
    """

    rate: float = 0.25
    _job = imputations.Imputer

    def fit(self, X: Any, y: Any = None) -> Self:
        """Trains a net on a frame, with gaps or without; y is not looked at."""
        self._fit(X, "incomplete", f"data.masking.rate={self.rate}")
        return self

    def transform(self, X: Any) -> Any:
        """A copy of the rows and columns, NaN in the targets filled in their units."""
        check_is_fitted(self)
        frame, time = _stamped(X, self.time)
        keys = [self.group, time] if self.group else [time]
        filled = pd.DataFrame(self.model_.predict(frame)).set_index(keys)
        # Stamps that are missing have rows of their own, which are left out.
        rows = filled.loc[frame.set_index(keys).index]
        whole = X.to_frame() if isinstance(X, pd.Series) else X.copy()
        for name in self.model_.targets:
            whole[name] = rows[name].to_numpy(dtype=np.float64)
        return whole.iloc[:, 0] if isinstance(X, pd.Series) else whole


@dataclass(kw_only=True, eq=False, repr=False)
class Detector(OutlierMixin, Estimator):
    """Anomalies in a recording, by what a net that knows normal ones forecasts.

        model = seqfuse.Detector().fit(normal)
        model.predict(new)  # 1 where a step is normal, -1 where it is not

    Rows are steps, in the order of time: a frame of numbers, or an array (t c). What is predicted
    is taken to come behind what was fitted, unless it is that itself, whose first look-back then
    counts as normal. NaN is as the step before.

    Args:
        look_back: steps that a forecast sees; None is the recipe's.
        horizon: steps to forecast; None is the recipe's.
        time: a column of time stamps, which is left out, where a frame has it.
        model: as in `Estimator`, with all parameters that follow.
    """

    look_back: int | None = None
    horizon: int | None = None
    time: str = "date"
    _job = anomalies.Detector

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        return replace(tags, input_tags=replace(tags.input_tags, allow_nan=True))

    def fit(self, X: Any, y: Any = None) -> Self:
        """Trains a net on a recording without anomalies; y is not looked at."""
        names = list(map(str, X.columns)) if isinstance(X, pd.DataFrame) else []
        values = self._values(X, fitting=True)
        columns = [name for name in names if name != self.time]
        columns = columns or [str(i) for i in range(values.shape[1])]
        normal = _filled(values)
        for c in np.flatnonzero(np.isnan(normal).any(axis=0))[:1]:
            raise InputError(f"X: column '{columns[c]}' has no value at all: fill it")
        sizes = {"look_back": self.look_back, "horizon": self.horizon}
        words = [f"data.{name}={size}" for name, size in sizes.items() if size is not None]
        recipe = self._recipe("data=labelled", *words)
        recipe.data.file, recipe.data.time = NAME, self.time
        whole = recording("X", np.arange(len(normal)), normal, columns, len(normal))
        self._train(recipe, {"source": RecordingsInMemory([whole])})
        self.normal_ = normal
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """(t) how normal each step is: from -1, an anomaly, to 0."""
        check_is_fitted(self)
        if "normal_" not in vars(self):  # a loaded net, which takes the leading rows to be normal
            X = X[self.model_.columns] if isinstance(X, pd.DataFrame) else X
            return -self.model_.predict(check_array(X, **RULES), name="X")[0]
        values = self._values(X)
        before = len(self.normal_)
        if np.array_equal(_filled(values), self.normal_):
            scores = self.model_.predict(self.normal_, num_train=before, name="X")[0]
            return -np.nan_to_num(scores, nan=0.0)
        both = np.concatenate([self.normal_, values])
        return -self.model_.predict(both, num_train=before, name="X")[0][before:]

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """(t) above 0 where a step is normal."""
        return self.score_samples(X) + self.model_.threshold

    def predict(self, X: Any) -> NDArray[np.int64]:
        """(t) 1 where a step is normal, -1 where it is an anomaly."""
        return np.where(self.score_samples(X) <= -self.model_.threshold, -1, 1)

    def _values(self, X: Any, fitting: bool = False) -> NDArray[np.float64]:
        """(t c) numbers, of as many columns as were fitted."""
        if isinstance(X, pd.DataFrame):
            X = X.drop(columns=self.time, errors="ignore")
        return np.asarray(validate_data(self, X, reset=fitting, **RULES))


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values with each gap as the step before it, or else behind it."""
    return carried_on(carried_on(values)[::-1])[::-1]


def _stamped(X: Any, time: str | None) -> tuple[pd.DataFrame, str]:
    """A frame with a column of time stamps, and its name."""
    frame = X.to_frame() if isinstance(X, pd.Series) else X
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"X is {type(X).__name__}, expected a frame with time stamps")
    if time is not None:
        return frame, time
    if not isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex)):
        named = [repr(name) for name in dated_columns(as_cells(frame), None)] or ["..."]
        raise InputError(f"the index of X holds no time stamps: name their column, time={named[0]}")
    stamps = frame.index.to_timestamp() if isinstance(frame.index, pd.PeriodIndex) else frame.index
    name = str(stamps.name or "date")
    return frame.set_axis(stamps.rename(name)).reset_index(), name

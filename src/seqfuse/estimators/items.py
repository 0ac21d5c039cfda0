"""Estimators of labelled items: series, texts, several sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from seqfuse.data.read.memory import NAME, ItemsInMemory
from seqfuse.estimators.base import Estimator
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs import classes, numbers
from seqfuse.runtime.pipelines.labels import label_text, labels_of
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.pipelines.sources import clocked
from seqfuse.runtime.pipelines.text import TextPipeline
from seqfuse.runtime.read.arrays import LAYOUTS, by_time, frame_series, is_frame
from seqfuse.runtime.recordings import Recordings

RULES: dict[str, Any] = {"ensure_all_finite": "allow-nan"}
"""Options of scikit-learn's checks: a NaN is a missing value."""


@dataclass(kw_only=True, eq=False, repr=False)
class ItemEstimator(Estimator):
    """The base of estimators of labelled items.

    Items are series: an array (n t c), or (n c t) where `layout` is `bct`; a list of series
    (t c) or (t), of any lengths; a table (n t), such as a frame, a column for each step, whose
    columns are then as many in prediction; or a frame whose index has two levels, series and
    time, a column for each channel. Or they are texts, a list of str; or of several sources a
    dict of arrays or lists. NaN is a missing value.

    Args:
        model: as in `Estimator`, with all parameters but the next one.
        layout: of arrays: `btc` is (n, time, channels), `bct` (n, channels, time).
    """

    model: str | None = field(default=None, kw_only=False)
    layout: str = "btc"
    _job = classes.Classifier
    _is_table = False
    """Whether a table was fitted, whose columns are then as many in prediction."""
    _channels: Sequence[str] = field(default=(), init=False)
    """Names of the channels that were fitted, where frames named them."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inputs = replace(tags.input_tags, three_d_array=True, allow_nan=True)
        return replace(
            tags, input_tags=inputs, target_tags=replace(tags.target_tags, required=True)
        )

    def _fit(self, X: Any, labels: Any, kind: str, weight: Any, **more: Any) -> Self:
        """Trains on items, as they were checked, and their labels, as `labels_of` gives them.

        The option `kind` of `task` is empty for that of the data; the checkpoint holds `more`
        beside.
        """
        data, items = self._items(X)
        items = replace(items, labels=labels)
        words = [f"data={data}", *([f"task={kind}"] if kind else [])]
        words += [f"data.layout={self.layout}"] if data == "arrays" else []
        recipe = self._recipe(*words)
        for name in ("train", "test") if data == "text" else ("train",):
            recipe.data[name] = NAME
        if (weights := _weights(weight, len(items))) is not None:
            rows = np.flatnonzero(weights)
            items = replace(items, weights=weights.tolist()).take(rows)
        self._train(recipe, {"dataset": ItemsInMemory(items)}, **more)
        return self

    def _items(self, X: Any) -> tuple[str, Recordings]:
        """The option of `data` that X is of, and its items."""
        if isinstance(X, Mapping):
            parts = {name: self._series(x, f"X['{name}']") for name, x in X.items()}
            if not parts:
                raise InputError("X names no source")
            lengths = next(iter(parts.values())).lengths
            return "sources", clocked(lengths, parts, origin="X")
        if _are_texts(X):
            return "text", TextPipeline().items(list(X))
        return "arrays", self._series(X, "X")

    def _series(self, x: Any, origin: str) -> Recordings:
        values = frame_series(x) if is_frame(x) else by_time(x, self.layout)
        return series(values, origin=origin)

    def _checked(self, X: Any, fitting: bool = False) -> Any:
        """X as the runtime takes it, checked by scikit-learn's rules where it is an array."""
        if self.layout not in LAYOUTS:
            raise InputError(f"layout={self.layout} must be one of: {', '.join(LAYOUTS)}")
        if issparse(X):
            raise InputError("X is sparse: give X.toarray()")
        X = _listed(X)
        if is_frame(X) and X.index.nlevels == 1:
            _check_frame(X)
        if isinstance(X, Mapping) or _are_texts(X):
            return X
        is_list = _is_ragged(X) or (is_frame(X) and X.index.nlevels > 1)
        shape = () if is_list else np.asarray(X).shape
        if len(shape) > 3:
            raise InputError(
                f"X has shape {shape}, expected (n, time, channels): put the last axes into one, "
                f"X.reshape({shape[0]}, {shape[1]}, -1)"
            )
        if is_list or len(shape) == 3:
            X = X if is_list else check_array(X, allow_nd=True, input_name="X", **RULES)
            self._check_channels(X, fitting)
            if fitting:
                self._is_table = False
                self.n_features_in_ = self._series(X, "X").values.shape[1]
            return X
        self._is_table = self._is_table or fitting
        if self._is_table:
            X = validate_data(self, X, reset=fitting, **RULES)
        else:
            X = check_array(X, input_name="X", **RULES)
        return X[:, :, None] if self.layout == "btc" else X[:, None]

    def _check_channels(self, X: Any, fitting: bool) -> None:
        channels = _channels_of(X)
        if fitting:
            self._channels = channels
        elif channels and self._channels and channels != self._channels:
            raise InputError(
                f"the channels of X are {', '.join(channels)}, those that were fitted "
                f"{', '.join(self._channels)}: choose them, X[{self._channels}]"
            )


class Classifier(ClassifierMixin, ItemEstimator):
    """A class for each item, by the net and its recipe for labelled series.

        model = seqfuse.Classifier(max_steps=200).fit(X, y)
        model.predict(X), model.predict_proba(X), model.score(X, y)
        model.save("model.ckpt")

    What items are, and the parameters: see `ItemEstimator`.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains a net.

        Args:
            X: items.
            y: (n) classes: numbers, names.
            sample_weight: (n) how much each item counts, in the loss and in the bank, from 0.
        """
        X = self._checked(X, fitting=True)
        shape = np.asarray(y).shape
        if len(shape) == 2 and shape[1] > 1:
            raise InputError(
                f"y has shape {shape}, expected one class for each item: several labels are "
                "for the command (task=multilabel), numbers for seqfuse.Regressor"
            )
        y = column_or_1d(y, warn=True)
        _check_lengths(X, y)
        check_classification_targets(y)
        distinct, codes = np.unique(y, return_inverse=True)
        names = [label_text(value) for value in distinct.tolist()]
        if len(set(names)) < len(names):
            raise InputError(f"two classes of y are both called '{max(names, key=names.count)}'")
        labels = labels_of(distinct[codes].tolist(), "y")
        return self._fit(X, labels, "", sample_weight, classes=distinct.tolist())

    def predict(self, X: Any) -> NDArray[Any]:
        """(n) the most probable class of each item."""
        codes = self.predict_proba(X).argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """(n k) probabilities, in the order of `classes_`."""
        check_is_fitted(self)
        probabilities = self.model_.predict_proba(self._checked(X))
        return probabilities[:, [self.model_.classes.index(name) for name in self._names]]

    def _opened(self, more: Mapping[str, Any]) -> None:
        self.classes_ = np.unique(more.get("classes", self.model_.classes))
        self._names = [label_text(value) for value in self.classes_.tolist()]


class Regressor(RegressorMixin, ItemEstimator):
    """A number, or several, for each item, with a band that is calibrated on a fifth of them.

        model = seqfuse.Regressor(max_steps=200).fit(X, y)
        model.predict(X), model.predict_bands(X), model.score(X, y)

    What items are, and the parameters: see `ItemEstimator`.
    """

    _job = numbers.Regressor

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        return replace(tags, target_tags=replace(tags.target_tags, multi_output=True))

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains a net.

        Args:
            X: items.
            y: (n) or (n k) numbers.
            sample_weight: (n) how much each item counts in the loss, from 0.
        """
        X = self._checked(X, fitting=True)
        if y is None:
            raise ValueError("Regressor requires y to be passed, but the target y is None")
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", ensure_min_samples=2)
        _check_lengths(X, y)
        return self._fit(X, labels_of(y, "y", "numbers"), "regression", sample_weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n) a number for each item; of k targets (n k)."""
        check_is_fitted(self)
        return self.model_.predict(self._checked(X))

    def predict_bands(self, X: Any) -> NDArray[np.float64]:
        """(n k 3) the lower end, the middle and the upper end of a band of 90 %."""
        check_is_fitted(self)
        return self.model_.predict_bands(self._checked(X))


def _first(X: Any) -> Any:
    """Something with a length of the number of items: the data, or one of several sources."""
    if isinstance(X, Mapping):
        X = next(iter(X.values()), ())
    return frame_series(X) if is_frame(X) else X


def _check_lengths(X: Any, y: Any) -> None:
    count = len(_first(X))
    if count > len(y) > 1 and not count % len(y):
        raise InputError(
            f"X has {count:,} rows, y {len(y):,} labels: if a row is a step, index the frame by "
            "series and time, X.set_index([<series>, <time>])"
        )
    check_consistent_length(_first(X), y)


def _channels_of(X: Any) -> list[str]:
    """Names of the columns of a frame, or of each of several; none of arrays."""
    frames = [X] if is_frame(X) else [x for x in X if is_frame(x)] if isinstance(X, list) else []
    names = [[str(name) for name in frame.columns] for frame in frames]
    for i, others in enumerate(names):
        if others != names[0]:
            raise InputError(
                f"frame {i} of X has the columns {', '.join(others)}, the first "
                f"{', '.join(names[0])}: bring them into one order"
            )
    return names[0] if names else []


def _check_frame(X: Any) -> None:
    """Raises InputError for a frame with words in it."""
    for i, name in enumerate(X.columns):
        if isinstance(X.iloc[0, i] if len(X) else None, str):
            fix = f"for texts give X[{name!r}]" if X.shape[1] == 1 else "leave it out"
            raise InputError(f"X is a frame with words in column {name!r}: {fix}")


def _are_texts(X: Any) -> bool:
    """Whether X is a sequence of texts."""
    if isinstance(X, (str, bytes)) or is_frame(X) or not hasattr(X, "__len__") or not len(X):
        return False
    first = X.iloc[0] if hasattr(X, "iloc") else X[0] if hasattr(X, "__getitem__") else None
    return isinstance(first, str)


def _listed(X: Any) -> Any:
    """A list of what an array of objects holds: series, or texts."""
    return X.tolist() if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 else X


def _is_ragged(X: Any) -> bool:
    """Whether X is a list of series: of arrays, or of lists of unequal lengths."""
    if not isinstance(X, (list, tuple)) or not len(X):
        return False
    if any(hasattr(item, "shape") and np.ndim(item) for item in X):
        return True
    try:
        np.asarray(X)
    except ValueError:
        return True
    return False


def _weights(weight: Any, count: int) -> NDArray[np.float32] | None:
    """(n) weights of which those above 0 are 1 on average; None if all are alike."""
    if weight is None:
        return None
    weight = check_array(weight, ensure_2d=False, dtype="numeric", input_name="sample_weight")
    if weight.shape != (count,):
        raise ValueError(f"sample_weight has shape {weight.shape}, expected ({count},)")
    if weight.min() < 0 or not weight.sum():
        raise ValueError("sample_weight must be at least 0, and not zero everywhere")
    if (weight == weight[0]).all():
        return None
    return (weight / weight[weight > 0].mean()).astype(np.float32)

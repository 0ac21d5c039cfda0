"""Training, validation and test splits of labelled items: series, texts, clips."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from seqfuse.data.interfaces import Labelled, Pipeline
from seqfuse.data.shares import check_share, draw
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.labels import NO_LABEL, UNLABELLED

SPLITS = ("stratified", "grouped", "random")


class Folds:
    """Labelled items: validation is one fold of the training split, unless the source has one.

    Args:
        dataset: called with `split="train"` or `"test"`, returns `Series` or another `Labelled`;
            where its `has_validation` is true, with `"val"`, too.
        pipeline: fitted on the training rows alone, applied to every split.
        num_folds: the training split is cut into so many folds and one of them is
            for validation; 0 trains on everything, without validation. Where the source
            has a validation split, 0 leaves it out, and every other number takes it.
        fold: which one.
        split: `stratified`, `grouped` or `random` folds.
        seed: of the folds.
        label_share: above 0 and at most 1: share of the training items whose labels are known;
            the others are left out of training, but the pipeline is fitted to all of them.

    Raises:
        InputError: a knob is out of range.
    """

    def __init__(
        self,
        dataset: Callable[..., Labelled],
        pipeline: Pipeline,
        num_folds: int = 5,
        fold: int = 0,
        split: str = "stratified",
        seed: int = 0,
        label_share: float = 1.0,
    ):
        _check(num_folds, fold, split)
        check_share(label_share)
        self.dataset = dataset
        self.pipeline = pipeline
        self.num_folds = num_folds
        self.fold = fold
        self.split = split
        self.seed = seed
        self.label_share = label_share
        self.fingerprints: dict[str, str] = {}
        self._tensors: dict[str, Any] = {}
        self._raw: dict[str, Labelled] = {}

    def fit(self) -> None:
        """Reads the training split and fits the pipeline to its training rows."""
        raw, rows = self.rows("train")
        part = raw.take(rows)
        try:
            self.pipeline.fit(part.x, part.y)
        except InputError as error:
            raise InputError(f"{raw.origin}: {error}") from None
        for split in ("train", "val") if self.has_validation else ("train",):
            self.tensors(split)

    def rows(self, split: str) -> tuple[Labelled, np.ndarray]:
        """What a split was read from, and its rows in there."""
        given = getattr(self.dataset, "has_validation", False)
        if split == "test" or (split == "val" and given):
            return self.raw(split), np.arange(len(self.raw(split)))
        raw = self.raw("train")
        if given or not self.num_folds:
            return raw, np.arange(len(raw))
        folds = hold_out(raw, self.num_folds, self.fold, self.split, self.seed)
        return raw, folds[split == "val"]

    def raw(self, split: str) -> Labelled:
        """The split as it was read; `train` includes the validation rows."""
        if split not in self._raw:
            self._raw[split] = self.dataset(split=split)
            self.fingerprints[split] = self._raw[split].fingerprint()
        return self._raw[split]

    def tensors(self, split: str) -> Any:
        """`train`, `val` or `test`, transformed by the fitted pipeline; `calibration` is `val`."""
        split = "val" if split == "calibration" else split
        if split not in self._tensors:
            if split == "val" and not self.has_validation:
                raise InputError("split=val: the run had no validation (data.num_folds=0)")
            raw, rows = self.rows(split)
            if split == "train" and self.label_share < 1:
                labels = [raw.y[row] for row in rows]
                rows = rows[draw(labels, self.label_share, self.seed)]
            try:
                self._tensors[split] = raw.take(rows).tensors(self.pipeline, rows)
            except InputError as error:
                raise InputError(f"{raw.origin}: {error}") from None
        return self._tensors[split]

    @property
    def has_validation(self) -> bool:
        return self.num_folds > 0

    has_calibration = has_validation

    @property
    def unit(self) -> str:
        """What there are several of."""
        return getattr(self.raw("train"), "unit", "series")

    @property
    def num_steps(self) -> int:
        """Steps of the longest training item."""
        return self.tensors("train").num_steps

    @property
    def origin(self) -> str:
        """Where the training split was read."""
        return self.raw("train").origin

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`: counted on the training rows."""
        sizes, y = self.pipeline.sizes(), self.tensors("train").y.flatten()
        counts = torch.bincount(y[y != NO_LABEL], minlength=sizes["num_classes"])
        return {**sizes, "class_counts": counts.tolist()}

    def describe(self) -> str:
        """Sizes, for people."""
        sizes = self.pipeline.sizes()
        known = self.pipeline.classes != [UNLABELLED]  # type: ignore[attr-defined]
        classes = f"{sizes['num_classes']} classes" if known else "no labels"
        return f"up to {self.num_steps} steps, {sizes['channels']} channels, {classes}"


def _check(num_folds: int, fold: int, split: str) -> None:
    if num_folds < 0 or num_folds == 1:
        raise InputError(f"data.num_folds={num_folds} must be at least 2, or 0 for no validation")
    if not 0 <= fold < max(num_folds, 1):
        raise InputError(f"data.fold={fold} must be from 0 to {max(num_folds, 1) - 1}")
    if split not in SPLITS:
        raise InputError(f"data.split={split} must be one of: {', '.join(SPLITS)}")


def hold_out(
    data: Labelled, num_folds: int, fold: int, kind: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to validate on: one fold of `num_folds`.

    A row whose label no training row has is trained on, whatever its fold.

    Args:
        kind: `stratified` (each class shared out evenly; groups, where there are any,
            kept whole), `grouped` (groups kept whole, classes ignored) or `random`.

    Raises:
        InputError: more folds than series or groups, or no groups to keep whole.
    """
    if num_folds > len(data):
        raise InputError(
            f"data.num_folds={num_folds} is more than the {len(data)} items of {data.origin}"
        )
    groups = data.groups
    if kind == "grouped" and groups is None:
        raise InputError(f"data.split=grouped, but {data.origin} has no groups")
    if groups is not None and num_folds > len(set(groups)):
        raise InputError(f"data.num_folds={num_folds} is more than the {len(set(groups))} groups")
    if kind == "stratified" and not isinstance(data.y[0], str):
        raise InputError("data.split=stratified is for one label per item: type data.split=random")
    splitter = _splitter(data, num_folds, kind, seed)
    with warnings.catch_warnings():
        # A class with fewer members than folds is spread as far as it goes.
        warnings.filterwarnings("ignore", message="The least populated class")
        folds = list(splitter.split(np.zeros(len(data)), _strata(data), groups))
    train, val = folds[fold]
    if groups is None:
        moved = _with_rare_labels(data, train, val)
        train, val = np.union1d(train, moved), np.setdiff1d(val, moved)
    return np.sort(train), np.sort(val)


def _with_rare_labels(data: Labelled, train: np.ndarray, val: np.ndarray) -> np.ndarray:
    """Rows to validate on whose labels no other row has: they can only be trained on."""
    known = {one for i in train for one in _labels(data.y[i])}
    moved = []
    for i in val:
        if new := set(_labels(data.y[i])) - known:
            known |= new
            moved.append(int(i))
    return np.array(moved, dtype=np.int64)


def _labels(y: Any) -> Any:
    return [y] if isinstance(y, str) else y


def _splitter(data: Labelled, num_folds: int, kind: str, seed: int):
    shuffle = {"n_splits": num_folds, "shuffle": True, "random_state": seed}
    if kind == "grouped":
        return GroupKFold(**shuffle)
    members = np.unique(_strata(data), return_counts=True)[1]
    if kind == "random" or members.max() < num_folds:
        return KFold(**shuffle)
    return StratifiedKFold(**shuffle) if data.groups is None else StratifiedGroupKFold(**shuffle)


def _strata(data: Labelled) -> list[str] | np.ndarray:
    return data.y if isinstance(data.y[0], str) else np.zeros(len(data))

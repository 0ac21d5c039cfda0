"""Training, validation and test splits of labelled items: series, texts, clips."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.interfaces import LARGEST_BATCH
from seqfuse.data.items import Function, Items, Source
from seqfuse.data.label_fraction import check_fraction, draw
from seqfuse.runtime.errors import InputError, check_option
from seqfuse.runtime.pipelines.labels import UNLABELLED, names_in, strata
from seqfuse.runtime.pipelines.packed import pack
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.shown import counted

ENOUGH = 5000
"""Items of which `num_folds=auto` holds some out."""
HALVED = 200
"""Held-out items of which `calibration=auto` keeps one half for calibration."""
SPLITS = ("stratified", "grouped", "random")


@dataclass(eq=False, repr=False)
class Folds:
    """Labelled items: validation is one fold of the training split, unless the source has one.

    Args:
        dataset: a `Source`, or a function that takes `split="train"` or `"test"`.
        pipeline: fitted on the training rows alone, applied to every split.
        num_folds: the training split is cut into so many folds and one of them is
            for validation; 0 trains on everything, without validation; `auto` is 20 from
            `ENOUGH` items on, and 0 for fewer. Where the source has a validation split, 0
            leaves it out, and every other number takes it.
        split: `stratified`, `grouped` or `random` folds.
        label_fraction: above 0 and at most 1, of the training items, whose labels are known; the
            others are left out of training, but the pipeline is fitted to all of them.
        calibration: whether one half of what is held out is for calibration alone, so that no
            checkpoint is chosen by it; `auto`: from `HALVED` items on. Without, calibration and
            validation have the same items.
    """

    dataset: Any
    pipeline: Any
    num_folds: Any = 5
    fold: int = 0
    split: str = "stratified"
    seed: int = 0
    label_fraction: float = 1.0
    calibration: bool | str = False

    def __post_init__(self) -> None:
        self.is_auto = self.num_folds == "auto"
        self.num_folds = 0 if self.is_auto else int(self.num_folds)
        if not self.is_auto:
            _check(self.num_folds, self.fold, self.split)
        check_fraction(self.label_fraction)
        if self.calibration not in (True, False, "auto"):
            raise InputError(f"data.calibration={self.calibration} must be auto, true or false")
        if not isinstance(self.dataset, Source):
            self.dataset = Function(self.dataset)
        self.fingerprints: dict[str, str] = {}
        self._tensors: dict[str, Items] = {}
        self._raw: dict[str, Recordings] = {}

    def fit(self) -> None:
        if self.is_auto:
            train = self.raw("train")
            maximum = 20 if train.groups is None else min(20, len(set(train.groups)))
            self.num_folds = maximum if len(train) >= ENOUGH and maximum > 1 else 0
            _check(self.num_folds, self.fold, self.split)
        if self.calibration is True and not self.has_validation:
            raise InputError(
                "data.calibration=true takes half of what is held out, and data.num_folds=0 holds "
                "nothing out: type data.num_folds=5"
            )
        items, rows = self.rows("train")
        if self.split == "grouped" and items.groups is None:
            raise InputError(f"data.split=grouped, but {items.origin} has no groups")
        try:
            self.pipeline.fit(items.take(rows))
        except InputError as error:
            raise InputError(f"{items.origin}: {error}") from None
        for split in ("train", "val", "calibration") if self.has_validation else ("train",):
            self.tensors(split)

    def rows(self, split: str) -> tuple[Recordings, NDArray[np.int64]]:
        if split == "test":
            return self.raw(split), np.arange(len(self.raw(split)))
        if split == "train":
            items = self.raw("train")
            if self.dataset.has_validation or not self.num_folds:
                return items, np.arange(len(items))
            return items, self._folds()[0]
        if not self.has_validation:
            raise InputError(f"split={split}: the run had no validation (data.num_folds=0)")
        items, rows = self._held_out()
        if not self.calibrates_apart:
            return items, rows
        kind = "random" if items.per_step and self.split == "stratified" else self.split
        halves = hold_out(items.take(rows), 2, 0, kind, self.seed, "data.calibration")
        return items, rows[halves[split == "calibration"]]

    def _held_out(self) -> tuple[Recordings, NDArray[np.int64]]:
        """Recordings, and the rows of them that are for validation and calibration."""
        if self.dataset.has_validation:
            return self.raw("val"), np.arange(len(self.raw("val")))
        return self.raw("train"), self._folds()[1]

    def _folds(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the training split to train on, and those that are held out."""
        return hold_out(self.raw("train"), self.num_folds, self.fold, self.split, self.seed)

    def raw(self, split: str) -> Recordings:
        if split not in self._raw:
            items = self.dataset(split)
            if items.labels is None:
                items = replace(items, labels=[UNLABELLED] * len(items))
            self._raw[split] = items
            self.fingerprints[split] = self._raw[split].fingerprint()
        return self._raw[split]

    def tensors(self, split: str) -> Items:
        split = "val" if split == "calibration" and not self.calibrates_apart else split
        if split not in self._tensors:
            raw, rows = self.rows(split)
            if split == "train" and self.label_fraction < 1:
                labels = [raw.labels[row] for row in rows]  # type: ignore[index]
                rows = rows[draw(labels, self.label_fraction, self.seed)]
            items, pipeline = raw.take(rows), self.pipeline
            try:
                y = pipeline.labels.encode(_with_rows(items, rows))
                items = pipeline.transform(items)
            except InputError as error:
                raise InputError(f"{raw.origin}: {error}") from None
            y = y[:, : items.lengths.max()] if items.per_step else y
            self._tensors[split] = Items(items, y, rows, pipeline.by_length)
        return self._tensors[split]

    def metadata(self) -> dict[str, Any]:
        return {
            "job": self.pipeline.labels.job,
            "pipeline": pack(self.pipeline),
            "file_format": dict(self.dataset.file_format(self.pipeline)),
        }

    @property
    def has_validation(self) -> bool:
        return self.num_folds > 0

    has_calibration = has_validation

    @property
    def calibrates_apart(self) -> bool:
        if not self.has_validation or self.calibration != "auto":
            return self.has_validation and bool(self.calibration)
        items, rows = self._held_out()
        people = 2 if items.groups is None else len({items.groups[row] for row in rows})
        return len(rows) >= HALVED and people > 1

    largest_batch = LARGEST_BATCH

    @property
    def unit(self) -> str:
        return self.raw("train").unit

    @property
    def num_steps(self) -> int:
        return self.tensors("train").num_steps

    @property
    def num_test(self) -> int | None:
        return self.dataset.num_test

    @property
    def origin(self) -> str:
        return self.raw("train").origin

    def sizes(self) -> dict[str, Any]:
        counts = self.pipeline.labels.counts(self.tensors("train").y.numpy())
        return {
            **self.pipeline.sizes(),
            **counts,
            "num_steps": self.num_steps,
            "num_folds": self.num_folds,
            "calibration": self.calibrates_apart,
        }

    def describe(self) -> str:
        sizes = self.pipeline.sizes()
        channels = counted(sizes["channels"], "channel")
        return f"up to {self.num_steps} steps, {channels}, {self.pipeline.labels.describe()}"

    def notes(self) -> Iterator[str]:
        train = self.raw("train")
        yield from self.dataset.notes(train)
        yield from self.pipeline.notes(train)


def _with_rows(items: Recordings, rows: NDArray[np.int64]) -> Recordings:
    """Items with their rows in the file as names, for messages, where they have no others."""
    if items.names is not None or items.lines is not None:
        return items
    return replace(items, names=[f"row {row}" for row in rows.tolist()])


def _check(num_folds: int, fold: int, split: str) -> None:
    if num_folds < 0 or num_folds == 1:
        raise InputError(f"data.num_folds={num_folds} must be at least 2, or 0 for no validation")
    if not 0 <= fold < max(num_folds, 1):
        hint = "" if num_folds else " (type data.num_folds=5)"
        raise InputError(f"data.fold={fold} must be from 0 to {max(num_folds, 1) - 1}{hint}")
    check_option(SPLITS, split=split)


def hold_out(
    data: Recordings,
    num_folds: int,
    fold: int,
    kind: str,
    seed: int,
    key: str = "data.num_folds",
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to validate on: one fold of `num_folds`.

    A row whose label no training row has is trained on, whatever its fold.

    Args:
        kind: `stratified` (each class, or set of labels, shared out evenly; groups, where
            there are any, kept whole), `grouped` (groups kept whole, classes ignored) or `random`.
        key: of the config, that gave `num_folds`.
    """
    if num_folds > len(data):
        raise InputError(
            f"{key}={num_folds} is more than the {len(data)} {data.unit} of {data.origin}"
            f"{_fewer(len(data), key)}"
        )
    groups = data.groups
    if kind == "grouped" and groups is None:
        raise InputError(f"data.split=grouped, but {data.origin} has no groups")
    if groups is not None and num_folds > len(set(groups)):
        raise InputError(
            f"{key}={num_folds} is more than the {len(set(groups))} groups of {data.origin}"
            f"{_fewer(len(set(groups)), key)}"
        )
    if kind == "stratified" and data.per_step:
        raise InputError("data.split=stratified is for one label per item: type data.split=random")
    splitter = _splitter(data, num_folds, kind, seed)
    with warnings.catch_warnings():
        # A class with fewer members than folds is spread as far as it goes.
        warnings.filterwarnings("ignore", message="The least populated class")
        folds = list(splitter.split(np.zeros(len(data)), strata(data.labels or ()), groups))
    train, val = folds[fold]
    if groups is None:
        moved = _with_rare_labels(data, train, val)
        train, val = np.union1d(train, moved), np.setdiff1d(val, moved)
    return np.sort(train), np.sort(val)


def _fewer(most: int, key: str) -> str:
    """Advice on a number of folds that is more than the most there can be."""
    if most > 1:
        return f": type {key}={min(most, 5)}"
    return f": type {key}=0" if key == "data.num_folds" else ""


def _with_rare_labels(data: Recordings, train: np.ndarray, val: np.ndarray) -> np.ndarray:
    """Rows to validate on whose labels no other row has: they can only be trained on."""
    labels = names_in(data.labels or ())
    trained = {label for row in train for label in labels[row]}
    moved = []
    for i in val:
        if new := set(labels[i]) - trained:
            trained |= new
            moved.append(int(i))
    return np.array(moved, dtype=np.int64)


def _splitter(data: Recordings, num_folds: int, kind: str, seed: int):
    # slow
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    shuffle = {"n_splits": num_folds, "shuffle": True, "random_state": seed}
    if kind == "grouped":
        return GroupKFold(**shuffle)
    if kind == "random":
        return KFold(**shuffle)
    members = np.unique(strata(data.labels or ()), return_counts=True)[1]
    if members.max() < num_folds:  # no class has a member for each fold
        return KFold(**shuffle) if data.groups is None else GroupKFold(**shuffle)
    return StratifiedKFold(**shuffle) if data.groups is None else StratifiedGroupKFold(**shuffle)

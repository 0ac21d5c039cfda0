"""Training, validation and test splits of labelled series."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from seqfuse.data.series import Series, SeriesTensors
from seqfuse.plain.errors import InputError
from seqfuse.plain.series import SeriesPipeline

SPLITS = ("stratified", "grouped", "random")


class Folds:
    """Labelled series: validation is one fold of the training split.

    Args:
        dataset: called with `split="train"` or `"test"`, returns `Series`.
        pipeline: fitted on the training rows alone, applied to every split.
        num_folds: the training split is cut into so many folds and one of them is
            for validation; 0 trains on everything, without validation.
        fold: which one.
        split: `stratified`, `grouped` or `random` folds.
        seed: of the folds.

    Raises:
        InputError: a knob is out of range.
    """

    unit = "series"

    def __init__(
        self,
        dataset: Callable[..., Series],
        pipeline: SeriesPipeline,
        num_folds: int = 5,
        fold: int = 0,
        split: str = "stratified",
        seed: int = 0,
    ):
        _check(num_folds, fold, split)
        self.dataset = dataset
        self.pipeline = pipeline
        self.num_folds = num_folds
        self.fold = fold
        self.split = split
        self.seed = seed
        self.fingerprints: dict[str, str] = {}
        self._tensors: dict[str, SeriesTensors] = {}
        self._raw: dict[str, Series] = {}

    def fit(self) -> None:
        """Reads the training split and fits the pipeline to its training rows."""
        raw, (train, val) = self._train_rows()
        try:
            self.pipeline.fit(raw.x[train], [raw.y[i] for i in train])
        except InputError as error:
            raise InputError(f"{raw.origin}: {error}") from None
        self._tensors["train"] = self._encode(raw, train)
        if len(val):
            self._tensors["val"] = self._encode(raw, val)

    def _train_rows(self) -> tuple[Series, tuple[np.ndarray, np.ndarray]]:
        raw = self.raw("train")
        if not self.num_folds:
            return raw, (np.arange(len(raw)), np.arange(0))
        return raw, hold_out(raw, self.num_folds, self.fold, self.split, self.seed)

    def raw(self, split: str) -> Series:
        """The split as it was read; `train` includes the validation rows."""
        if split not in self._raw:
            self._raw[split] = self.dataset(split=split)
            self.fingerprints[split] = self._raw[split].fingerprint()
        return self._raw[split]

    def tensors(self, split: str) -> SeriesTensors:
        """`train`, `val` or `test`, transformed by the fitted pipeline."""
        if split not in self._tensors:
            if split == "val" and not self.has_validation:
                raise InputError("split=val: the run had no validation (data.num_folds=0)")
            if split == "test":
                rows = np.arange(len(self.raw("test")))
            else:
                rows = self._train_rows()[1][split == "val"]
            self._tensors[split] = self._encode(
                self.raw("test" if split == "test" else "train"), rows
            )
        return self._tensors[split]

    def _encode(self, raw: Series, rows: np.ndarray) -> SeriesTensors:
        part = raw.take(rows)
        try:
            x, y = self.pipeline.transform(part.x), self.pipeline.encode(part.y)
        except InputError as error:
            raise InputError(f"{raw.origin}: {error}") from None
        return SeriesTensors(x, part.lengths, y, rows)

    @property
    def has_validation(self) -> bool:
        return self.num_folds > 0

    @property
    def num_steps(self) -> int:
        """Steps of the longest training series."""
        return self.tensors("train").x.shape[1]

    @property
    def origin(self) -> str:
        """Where the training split was read."""
        return self.raw("train").origin

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`: counted on the training rows."""
        classes = self.pipeline.classes
        counts = torch.bincount(self.tensors("train").y, minlength=len(classes))
        return {
            "channels": self.pipeline.out_channels,
            "num_classes": len(classes),
            "class_counts": counts.tolist(),
        }

    def describe(self) -> str:
        """Sizes, for people."""
        return (
            f"up to {self.num_steps} steps, {self.pipeline.out_channels} channels, "
            f"{len(self.pipeline.classes)} classes"
        )


def _check(num_folds: int, fold: int, split: str) -> None:
    if num_folds < 0 or num_folds == 1:
        raise InputError(f"data.num_folds={num_folds} must be at least 2, or 0 for no validation")
    if not 0 <= fold < max(num_folds, 1):
        raise InputError(f"data.fold={fold} must be from 0 to {max(num_folds, 1) - 1}")
    if split not in SPLITS:
        raise InputError(f"data.split={split} must be one of: {', '.join(SPLITS)}")


def hold_out(
    data: Series, num_folds: int, fold: int, kind: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to validate on: one fold of `num_folds`.

    Args:
        kind: `stratified` (each class shared out evenly; groups, where there are any,
            kept whole), `grouped` (groups kept whole, classes ignored) or `random`.

    Raises:
        InputError: more folds than series or groups, or no groups to keep whole.
    """
    if num_folds > len(data):
        raise InputError(f"data.num_folds={num_folds} is more than the {len(data)} series")
    groups = data.groups
    if kind == "grouped" and groups is None:
        raise InputError(f"data.split=grouped, but {data.origin} has no groups")
    if groups is not None and num_folds > len(set(groups)):
        raise InputError(f"data.num_folds={num_folds} is more than the {len(set(groups))} groups")
    splitter = _splitter(data, num_folds, kind, seed)
    with warnings.catch_warnings():
        # A class with fewer members than folds is spread as far as it goes.
        warnings.filterwarnings("ignore", message="The least populated class")
        folds = list(splitter.split(data.x[:, 0, 0], data.y, groups))
    train, val = folds[fold]
    return np.sort(train), np.sort(val)


def _splitter(data: Series, num_folds: int, kind: str, seed: int):
    shuffle = {"n_splits": num_folds, "shuffle": True, "random_state": seed}
    if kind == "grouped":
        return GroupKFold(**shuffle)
    members = np.unique(data.y, return_counts=True)[1]
    if kind == "random" or members.max() < num_folds:
        return KFold(**shuffle)
    return StratifiedKFold(**shuffle) if data.groups is None else StratifiedGroupKFold(**shuffle)

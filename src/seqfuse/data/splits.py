"""Validation splits of the training data."""

import warnings

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from seqfuse.data.series import Series
from seqfuse.plain.errors import InputError

SPLITS = ("stratified", "grouped", "random")


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

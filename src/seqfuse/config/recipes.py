"""A recipe, a composed config with its interpolations, and what the data fills into it.

A *config* is a recipe as plain containers.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from seqfuse.predicting.model import Record
from seqfuse.runtime.errors import InputError

if TYPE_CHECKING:
    from seqfuse.data.module import DataModule

Config = dict[str, Any]
ANY_SIZES = {
    "channels": 1,
    "num_steps": 1,
    "sources": ["any"],
    "source_channels": {"any": 1},
    "num_classes": 2,
    "classes": ["B-a", "O"],  # of any job: names, and tags
    "class_counts": [1, 1],
    "vocab_size": 2,
    "num_subwords": 2,
    "batch_size": 1,
    "num_targets": 1,
    "target_names": ["any"],
    "target_std": [1.0],
    "num_known": 0,
    "num_columns": 1,
    "naive_errors": [1.0],
    "season": 1,
    "look_back": 336,
    "horizon": 96,
    "num_folds": 5,
    "calibration": False,
}
TASKS = {"classes": "classification", "numbers": "regression", "several": "multilabel"}
"""For each type of labels."""
SEGMENT = 48
"""Steps of a segment, where the look-back is long."""
FOLLOW = {"model.in_channels": "channels", "model.head.num_classes": "num_classes"}


def resolve(recipe: DictConfig) -> Config:
    """The recipe as plain containers."""
    return OmegaConf.to_container(recipe, resolve=True)  # type: ignore[return-value]


def unresolved(recipe: DictConfig) -> Config:
    """The recipe as plain containers, interpolations kept."""
    return OmegaConf.to_container(recipe, resolve=False)  # type: ignore[return-value]


def with_validation(recipe: DictConfig) -> DictConfig:
    """The recipe, holding a fifth out where `auto` may not and the task needs it.

    A temperature alone needs none (see `tasks.calibrate`); without a calibrator nothing is
    kept for it.
    """
    calibrator = str((recipe.task.get("calibrator") or {}).get("_target_", ""))
    halved = recipe.data.get("calibration")
    needs = halved is True or (calibrator and not calibrator.endswith(".Temperature"))
    data: dict[str, Any] = {}
    if recipe.data.get("num_folds") == "auto" and needs:
        data["num_folds"] = 5
    if halved == "auto" and not calibrator:
        data["calibration"] = False
    return OmegaConf.merge(recipe, {"data": data}) if data else recipe  # type: ignore[return-value]


def any_sizes(recipe: DictConfig) -> dict[str, Any]:
    """A valid value for each size at `auto`; as many classes as there are weights of them.

    A size that follows another has none of its own.
    """
    auto = {
        size: value
        for size, value in ANY_SIZES.items()
        if recipe.data.get(size) == "auto" and not OmegaConf.is_interpolation(recipe.data, size)
    }
    weights = (recipe.task.get("loss") or {}).get("class_weights")
    if isinstance(weights, ListConfig) and "class_counts" in auto:
        auto["class_counts"] = [1] * len(weights)
    return auto


def fill(recipe: DictConfig, sizes: Mapping[str, Any], steps: int = 0) -> DictConfig:
    """A copy of the recipe with sizes where it says `auto`; declared ones must be the data's.

    Where `auto` leaves no validation, the loss of training stands for that of validation.
    """
    recipe = recipe.copy()
    is_auto = recipe.data.get("num_folds") == "auto"
    for size, value in sizes.items():
        if size not in recipe.data:
            continue
        for text in _texts(value):
            if "${" in text:  # which a config would look up, or call
                raise InputError(f"the data has the name {text!r}: rename it, without '${{' in it")
        declared = recipe.data[size]
        if declared not in ("auto", value):
            message = f"data.{size}={declared}, but the data has {value}"
            if size == "label_type":
                message += f" as labels: type task={TASKS[value]}, or give it others"
            if size == "channels":
                message += (
                    f": read as (series, {steps} steps, {value} channels); if the axes are the "
                    f"other way round, data.layout reads ({value} steps, {steps} channels)"
                )
            raise InputError(message)
        recipe.data[size] = value
    for key, size in FOLLOW.items():
        declared = OmegaConf.select(recipe, key)
        if declared is not None and size in sizes and declared != sizes[size]:
            raise InputError(f"{key} follows data.{size}: leave it out")
    _settle(recipe, sizes, is_auto)
    return recipe


def sized(recipe: DictConfig, data: "DataModule", found: Mapping[str, Any] | None = None) -> Record:
    """The config with the sizes of the data, and what a checkpoint keeps of it.

    `found` are values of options that were searched for, by key.
    """
    filled = fill(recipe, data.sizes(), data.splits.num_steps)
    return Record(resolve(filled), unresolved(filled), dict(found or {}))


def _settle(recipe: DictConfig, sizes: Mapping[str, Any], is_auto: bool) -> None:
    """Options that hang on sizes: segments, monitors and the number of steps."""
    if recipe.model.get("segment_size") == "auto":
        recipe.model.segment_size = _segment_size(recipe.data)
    if is_auto and sizes.get("num_folds") == 0:
        for part in (recipe.task, recipe.scheduler):
            if part.get("monitor") == "val/loss":
                part.monitor = "train/loss"
    if recipe.trainer.get("max_steps") == "auto":
        recipe.trainer.max_steps = _budget(recipe.trainer, sizes.get("num_batches", 1))
        saved = OmegaConf.select(recipe, "callbacks.checkpoint")
        is_cycle = is_auto and sizes.get("num_folds") and recipe.trainer.max_steps > 0
        if is_cycle and saved and OmegaConf.is_interpolation(saved, "monitor"):
            # Few held-out rows would choose a net before the cycle's end.
            recipe.callbacks.checkpoint.monitor = None
    # A short run, too, ends with a validation, without which no checkpoint is the best.
    limit, steps = recipe.trainer.limit_train_batches, recipe.trainer.max_steps
    if isinstance(limit, int) and isinstance(steps, int) and steps > 0:
        recipe.trainer.limit_train_batches = min(
            limit, steps * recipe.trainer.accumulate_grad_batches
        )


def _segment_size(data: DictConfig) -> int:
    """Steps of a segment: 48; of a look-back below 96, at most a quarter of it: whole seasons, or
    a part that divides it."""
    look_back, season = data.get("look_back"), data.get("season")
    if not isinstance(look_back, int) or not 0 < look_back < 2 * SEGMENT:
        return SEGMENT
    maximum = max(look_back // 4, 1)
    if isinstance(season, int) and 1 < season <= maximum:
        return maximum - maximum % season
    return max(size for size in range(1, maximum + 1) if look_back % size == 0)


def _budget(trainer: DictConfig, num_batches: int) -> int:
    """Optimizer steps for so many batches in an epoch; -1 where epochs are given."""
    if trainer.max_epochs != -1:
        return -1
    limit = trainer.limit_train_batches
    num_batches = min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
    epoch = math.ceil(num_batches / trainer.accumulate_grad_batches)
    return max(trainer.auto_steps, trainer.auto_epochs * epoch)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return [text for item in inner for text in _texts(item)] if isinstance(inner, list) else []

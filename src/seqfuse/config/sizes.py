"""Sizes that a config leaves at `auto`, and that the data fills in."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from seqfuse.runtime.errors import InputError

ANY_SIZES = {
    "channels": 1,
    "sources": ["any"],
    "source_channels": {"any": 1},
    "num_classes": 2,
    "classes": ["B-a", "O"],  # of any job: names, and tags
    "class_counts": [1, 1],
    "vocab_size": 2,
    "num_pieces": 2,
    "batch_size": 1,
    "num_targets": 1,
    "num_known": 0,
    "naive_errors": [1.0],
}
FOLLOW = {"model.in_channels": "channels", "model.head.num_classes": "num_classes"}


def any_sizes(recipe: DictConfig) -> dict[str, Any]:
    """Some value for each size at `auto`; as many classes as there are weights of them."""
    auto = {size: value for size, value in ANY_SIZES.items() if recipe.data.get(size) == "auto"}
    weights = (recipe.task.get("loss") or {}).get("class_weights")
    if isinstance(weights, ListConfig) and "class_counts" in auto:
        auto["class_counts"] = [1] * len(weights)
    return auto


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return [text for one in inner for text in _texts(one)] if isinstance(inner, list) else []


def fill(recipe: DictConfig, sizes: Mapping[str, Any], steps: int = 0) -> DictConfig:
    """A copy of the recipe with sizes where it says `auto`; holds declared ones against the data.

    Raises:
        InputError: a declared size is not the data's.
    """
    recipe = recipe.copy()
    for size, value in sizes.items():
        if size not in recipe.data:
            continue
        for text in _texts(value):
            if "${" in text:  # which a config would look up, or call
                raise InputError(f"the data has the name {text!r}: rename it, without '${{' in it")
        declared = recipe.data[size]
        if declared not in ("auto", value):
            message = f"data.{size}={declared}, but the data has {value}"
            if size == "channels":
                message += (
                    f": read as (series, {steps} steps, {value} channels); if the axes are the "
                    f"other way round, data.layout reads ({value} steps, {steps} channels)"
                )
            raise InputError(message)
        recipe.data[size] = value
    for key, size in FOLLOW.items():
        known = OmegaConf.select(recipe, key) is not None
        if known and size in sizes and OmegaConf.select(recipe, key) != sizes[size]:
            raise InputError(f"{key} follows data.{size}: leave it out")
    return recipe

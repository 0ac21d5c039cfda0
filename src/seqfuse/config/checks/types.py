"""Values of the command line against the types of the defaults in the YAMLs."""

from functools import cache
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqfuse.config.checks.trainer import check_finders
from seqfuse.runtime.errors import InputError

COLUMNS = ("data.targets", "data.time", "data.columns", "data.label")
"""One name, or several."""
PATHS = (
    *(f"data.{name}" for name in ("file", "train", "val", "test", "folder", "vectors")),
    *("init_from", "resume", "ckpt", "input", "output", "known", "figure", "paths.mirror"),
)
"""Keys that name a file or a folder; null by default."""
PARTS = (
    *("callbacks", "logger", "data.augment"),
    *("task.metrics", "task.measures", "task.pairs.changes"),
)
"""Sections whose entries a run can do without."""


def check_types(config: DictConfig, settings: Any) -> None:
    """Holds every value given on the command line against the type of the YAML's default.

    `settings` is the `hydra` node of the config.
    """
    choices = settings.runtime.choices
    given = OverridesParser.create().parse_overrides(list(settings.overrides.task))
    values = list({o.key_or_group: o for o in given if o.key_or_group not in choices}.values())
    if not values:
        return
    check_finders(config, [o.key_or_group for o in values if not o.is_delete()])
    options = [str(o.input_line) for o in given if o.key_or_group in choices]
    places = tuple(source.path for source in settings.runtime.config_sources)
    yamls = defaults(places, str(settings.job.config_name), tuple(options))
    for override in values:
        key = override.key_or_group
        try:
            default = OmegaConf.select(yamls, key)
            value = OmegaConf.select(config, key)
        except OmegaConfBaseException:
            continue
        if override.is_delete() and not OmegaConf.is_dict(default):
            continue
        check_value(key, value, default, override.get_value_element_as_str())


def check_value(key: str, value: Any, default: Any, text: str) -> None:
    """Holds a value from the user against the type of the YAML's default; `text` as typed."""
    if OmegaConf.is_dict(default) and value is None and not _can_be_null(key):
        raise InputError(f"{key}: a run needs this part, and it was left out")
    if OmegaConf.is_dict(default) and not _fits(value, default):
        raise InputError(f"{key}={value}: choose a part with {key.replace('.', '/')}={value}")
    if default is None and key in PATHS and not isinstance(value, (str, type(None))):
        raise InputError(f"{key}={text}: expected the name of a file or folder")
    # One number, or one per layer or class.
    if not _fits(value, default, lists=key.startswith(("model.", "task.")) or key in COLUMNS):
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
        default = _plain(default)
        kind = kinds.get(type(default), "a list" if isinstance(default, list) else "null")
        raise InputError(f"{key}={text}: expected {kind} such as {default}")


@cache
def defaults(places: tuple[str, ...], config_name: str, groups: tuple[str, ...]) -> DictConfig:
    """Default config of the YAMLs; kept, as jobs of a sweep mostly choose the same options."""
    loader = GlobalHydra.instance().config_loader()
    return loader.load_configuration(config_name, list(groups), RunMode.RUN)


def _fits(value: Any, default: Any, lists: bool = False) -> bool:
    value, default = _plain(value), _plain(default)
    if default is None or default == "auto" or type(value) is type(default):
        return True
    if isinstance(default, dict):
        return value is None  # switches a part off
    if isinstance(value, list):
        return lists and not isinstance(default, list) and all(_fits(v, default) for v in value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and isinstance(default, (str, float))


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _can_be_null(key: str) -> bool:
    """Whether a section can be switched off; those of `data` outside its module are the user's."""
    if key.startswith("model."):
        return key != "model.head"
    above = key.rpartition(".")[0]
    return above in PARTS or (above.startswith("data") and not key.startswith("data.module"))

"""Hydra's composing, remembered: the same options make the same config, which costs 0.5 s."""

import functools
import pickle
from collections.abc import Sequence
from typing import Any

import omegaconf
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from seqfuse.config import cli
from seqfuse.config.checks.groups import CONF

_lists: dict[str, DefaultsList] = {}
_configs: dict[str, bytes] = {}
_files: dict[str, bytes] = {}
"""By path; pickled, which copies in less than half of the time of `copy.deepcopy`."""
_create, _compose = (
    defaults_list.create_defaults_list,
    (ConfigLoaderImpl._compose_config_from_defaults_list),
)
_read, _mode = FileConfigSource.load_config, Hydra.get_mode


def composed(overrides: Sequence[str], name: str = "train") -> DictConfig:
    """What Hydra composes; the files behind the same options are read once (0.3 s)."""
    words = OverridesParser.create().parse_overrides(list(overrides))
    options = [w for w in words if w.package or (cli.CONF / w.key_or_group).is_dir()]
    values = [w for w in words if w not in options]
    chosen = tuple(str(w.input_line) for w in options)
    recipe = b"" if name == "train" else _recipe()
    if any(w.type != OverrideType.CHANGE or w.key_or_group.startswith("hydra.") for w in values):
        return pickle.loads(_composed(tuple(overrides), name, recipe))
    found = pickle.loads(_composed(chosen, name, recipe))
    for word in values:
        OmegaConf.update(found, word.key_or_group, word.value(), merge=True)
    return found


@functools.cache
def _composed(words: tuple[str, ...], name: str, recipe: bytes) -> bytes:
    """Pickled; `recipe` is the data section of a checkpoint, which a command may have put there."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        remember(patch)
        with initialize_config_dir(str(cli.CONF), version_base="1.3"):
            return pickle.dumps(compose(name, list(words)))


def parse_once() -> None:
    """Parses each interpolation once in a process: a twelfth of the time of a small training."""
    for module in (omegaconf.base, omegaconf._utils):
        module.parse = functools.cache(omegaconf.grammar_parser.parse)


def remember(patch: pytest.MonkeyPatch) -> None:
    """Lets commands of a test compose by what earlier ones did; only from our own folder."""
    patch.setattr(config_loader_impl, "create_defaults_list", _list)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", _config)
    patch.setattr(Hydra, "get_mode", _get_mode)
    patch.setattr(FileConfigSource, "load_config", _file)


def _is_ours(repo: Any) -> bool:
    folders = {source.path for source in repo.get_sources() if source.scheme() == "file"}
    return folders == {str(CONF)}


def _list(
    repo: Any, config_name: str, overrides_list: list, prepend_hydra: bool, skip_missing: bool
) -> DefaultsList:
    given = Overrides(repo=repo, overrides_list=overrides_list)
    chosen = (given.override_choices, given.append_group_defaults, given.deletions)
    key = str((config_name, prepend_hydra, skip_missing, *chosen))
    if not _is_ours(repo):
        return _create(repo, config_name, overrides_list, prepend_hydra, skip_missing)
    if key not in _lists:
        _lists[key] = _create(repo, config_name, overrides_list, prepend_hydra, skip_missing)
    known = _lists[key]
    return DefaultsList(
        known.defaults, known.defaults_tree, given.config_overrides, known.overrides
    )


def _config(loader: ConfigLoaderImpl, defaults: list, repo: Any) -> DictConfig:
    if not _is_ours(repo):
        return _compose(loader, defaults, repo)
    key = str([(one.config_path, one.package, one.is_self) for one in defaults])
    if "checkpoint/" in key:  # which brings a data section of its own
        key += str(_recipe())
    if key not in _configs:
        _configs[key] = pickle.dumps(_compose(loader, defaults, repo))
    return pickle.loads(_configs[key])


def _recipe() -> bytes:
    """The data section of the checkpoint that a command offered last."""
    return pickle.dumps(ConfigStore.instance().load("checkpoint/recipe.yaml").node)


def _file(source: FileConfigSource, config_path: str) -> ConfigResult:
    """A file of our own folder, read once."""
    if source.path != str(CONF):
        return _read(source, config_path)
    if config_path not in _files:
        _files[config_path] = pickle.dumps(_read(source, config_path))
    return pickle.loads(_files[config_path])


@functools.cache
def _modes() -> set[str]:
    """Words that choose a file which sets a mode, such as `sweep=grid`."""
    return {f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml")
            if "mode: MULTIRUN" in path.read_text()}  # fmt: skip


def _get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """None, where our folder leaves `hydra.mode` open: Hydra composes once more to look for it."""
    asked = any("hydra.mode" in word or "hydra.searchpath" in word for word in overrides)
    asked |= not _modes().isdisjoint(overrides)
    if asked or not _is_ours(hydra.config_loader):
        return _mode(hydra, config_name, overrides)
    return None

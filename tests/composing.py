"""Hydra's composing, remembered: the same options make the same config, which costs 0.3 s."""

import copy
from typing import Any

import pytest
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import DefaultsList, Overrides
from omegaconf import DictConfig

from seqfuse.config.mistakes import CONF

_lists: dict[str, DefaultsList] = {}
_configs: dict[str, DictConfig] = {}
_create, _compose = (
    defaults_list.create_defaults_list,
    (ConfigLoaderImpl._compose_config_from_defaults_list),
)


def remember(patch: pytest.MonkeyPatch) -> None:
    """Lets commands of a test compose by what earlier ones did; only from our own folder."""
    patch.setattr(config_loader_impl, "create_defaults_list", _list)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", _config)


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
    key = str([(one.config_path, one.package, one.is_self) for one in defaults])
    # What a checkpoint brings is another each time.
    if "checkpoint/" in key or not _is_ours(repo):
        return _compose(loader, defaults, repo)
    if key not in _configs:
        _configs[key] = _compose(loader, defaults, repo)
    return copy.deepcopy(_configs[key])

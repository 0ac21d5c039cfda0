"""Hydra's config loader, which its public `ConfigLoader` only describes (checked: 1.3.8)."""

import copy
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class Composer(ConfigLoaderImpl):
    """Hydra's loader, for many jobs that choose the same options and differ in single values.

    Reading and merging some forty files takes about 0.3 s, changing values in a copy 0.02 s.
    """

    def __init__(self, loader: ConfigLoader):
        super().__init__(config_search_path=loader.get_search_path())
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: Sequence[str]
    ) -> DictConfig:
        words = list(sweep_overrides)
        overrides = OverridesParser.create().parse_overrides(words)
        try:
            return self._changed(master_config, overrides)
        except (OmegaConfBaseException, _Unusual):  # Hydra says best what is wrong
            return super().load_sweep_config(master_config, words)

    def kind(self, words: Sequence[str]) -> tuple[str, ...]:
        """Options and keys of a job: jobs that agree in them all compose, or none does."""
        overrides = OverridesParser.create().parse_overrides(list(words))
        return tuple(str(o.input_line if self._is_choice(o) else o.key_or_group) for o in overrides)

    def _changed(self, master: DictConfig, overrides: Sequence[Override]) -> DictConfig:
        choices = [override for override in overrides if self._is_choice(override)]
        config = copy.deepcopy(self._base(master, choices))
        for override in overrides:
            if override in choices:
                continue
            if override.type != OverrideType.CHANGE:
                raise _Unusual
            value: Any = override.value()
            OmegaConf.update(config, override.key_or_group, value, merge=True)
        job = config.hydra.job
        config.hydra.overrides.task = [override.input_line for override in overrides]
        names = job.config.override_dirname
        job.override_dirname = get_overrides_dirname(
            list(overrides), names.exclude_keys, names.item_sep, names.kv_sep
        )
        OmegaConf.copy_cache(from_config=master, to_config=config)
        return config

    def _is_choice(self, override: Override) -> bool:
        name = override.key_or_group
        return override.package is not None or self.repository.group_exists(name)

    def _base(self, master: DictConfig, choices: Sequence[Override]) -> DictConfig:
        words = [str(override.input_line) for override in choices]
        key = (*master.hydra.overrides.hydra, *words)
        if key not in self._composed:
            self._composed[key] = super().load_sweep_config(master, words)
        return self._composed[key]


class _Unusual(Exception):
    """An override that adds or deletes."""

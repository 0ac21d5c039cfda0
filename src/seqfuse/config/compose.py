"""Configs composed in Python, by the words and with the checks of a command line."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, open_dict

from seqfuse.config import cli
from seqfuse.config.checks.groups import CONF
from seqfuse.config.checks.types import check_types
from seqfuse.config.checks.words import check_left_out
from seqfuse.config.mistakes import MISTAKES, explain
from seqfuse.runtime.errors import InputError


def compose(command: str, words: Sequence[str]) -> DictConfig:
    """The config of a command, such as `train`, with overrides as they would be typed."""
    for word in words:
        if not isinstance(word, str) or word.startswith(("-", "hydra.", "sweep=")):
            raise InputError(f"{word!r} is no override of a single run: give key=value")
    with _typed(words):
        try:
            check_left_out(words)
            config = hydra_compose(
                command, [cli.quoted(word) for word in words], return_hydra_config=True
            )
            check_types(config, config.hydra)
        except MISTAKES as error:
            raise InputError(" ".join(explain(error, command).split())) from None
    with open_dict(config):
        del config["hydra"]
    return config


@contextmanager
def _typed(words: Sequence[str]) -> Iterator[None]:
    """Lets Hydra and the checks see these words; leaves a command around it as it was."""
    arguments = list(sys.argv)
    hydra = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    sys.argv[1:] = words
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        sys.argv[:] = arguments
        GlobalHydra.instance().clear()
        if hydra is not None:
            GlobalHydra.instance().initialize(hydra)

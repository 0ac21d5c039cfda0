"""Groups of options, and the folders of YAMLs that they lie in."""

import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from seqfuse.runtime.errors import InputError

HERE = Path(__file__).parents[2]
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parents[1] / "conf"


def groups() -> dict[str, list[str]]:
    """Options of every group, read from the folders (Hydra takes a second to list them)."""
    options: dict[str, list[str]] = {}
    for root in (CONF, *own_folders()):
        for path in sorted(root.rglob("*.yaml")):
            group = path.parent.relative_to(root).as_posix()
            if group not in (".", "hydra") and not path.stem.startswith("_"):
                options.setdefault(group, []).append(path.stem)
    return options


def own_folders() -> list[Path]:
    """Folders of YAMLs that the command line names beside our own."""
    named = []
    for word, after in pairwise([*sys.argv[1:], ""]):
        flag, equals, value = word.partition("=") if word.startswith("-") else (word, "", "")
        folder = value if equals else after
        if flag in ("--config-dir", "-cd") and not Path(folder).is_dir():
            raise InputError(f"{flag} {folder}: there is no such folder")
        if flag in ("--config-dir", "-cd", "--config-path", "-cp"):
            named.append(folder)
    for word in sys.argv[1:]:
        if word.lstrip("+").startswith("hydra.searchpath="):
            places = OverridesParser.create().parse_override(word).value()
            named += map(str, places if isinstance(places, list) else [places])
    folders = [Path(name.removeprefix("file://")) for name in named if not name.startswith("pkg:")]
    return [folder.absolute() for folder in folders if folder.is_dir()]


def strange_folders(settings: Any) -> list[str]:
    """Folders that a config was read from beside our own, by its `hydra` node."""
    sources = [source for source in settings.runtime.config_sources if source.schema == "file"]
    return [source.path for source in sources if source.path not in (str(CONF), "")]


def read_from() -> str:
    """The place a config was read from, for messages."""
    folders = own_folders()
    return f"the config in {os.path.relpath(folders[0])}" if folders else "the config"

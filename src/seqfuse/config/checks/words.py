"""The words of a command line, looked at before Hydra composes; and those that were typed."""

import difflib
import os
import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from seqfuse.config.checks.extras import need
from seqfuse.config.checks.groups import groups
from seqfuse.config.mistakes import no_such_option
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.addresses import SCHEMES, check_database, check_secrets

TYPED = "SEQFUSE_TYPED"
"""Environment variable with the keys that were typed."""
SERVICES = ("storage", "model_registry", "tracking_uri", "url")
"""Last parts of keys whose addresses are no files of data."""
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p"),
    *("--run", "-r", "--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp"),
    *("--config-name", "-cn", "--config-dir", "-cd", "--info", "-i"),
)
"""Flags of Hydra that a command takes; Hydra would take their beginnings, too."""
LAUNCHERS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "ray": "ray",
    "submitit": "hydra_plugins.hydra_submitit_launcher",
}
"""Libraries by the first part of a launcher's name."""


def check_flags(words: Sequence[str]) -> None:
    """Checks that flags are written out, as what they name is looked at before Hydra starts.

    An option lies in the folder of its group.
    """
    for word in words:
        flag, _, value = word.partition("=")
        if ".." in value.split("/") and flag.lstrip("+").split("@")[0] in groups():
            raise InputError(f"{word}: an option is a word, not a path")
        if flag.startswith("-") and flag not in FLAGS:
            near = difflib.get_close_matches(flag, FLAGS, n=1)
            hint = f", did you mean {near[0]}?" if near else ": values are typed as key=value"
            raise InputError(f"{flag}: no such flag{hint}; --help lists what there is")


def check_left_out(words: Sequence[str]) -> None:
    """Checks that `<group>=null` and `~<key>` leave out nothing that every run reads."""
    for word in words:
        key, _, option = word.partition("=")
        if option == "null" and key in groups():
            raise InputError(no_such_option(key, option))
        left_out = key[1:] if key.startswith("~") else ""
        if word == "paths=null":
            raise InputError("paths=null: every run reads this section: leave that out")
        if left_out and ("." not in left_out or left_out.startswith(("paths.", "trainer."))):
            raise InputError(f"{key}: every run reads {left_out}: leave that out")


def check_launcher(words: Sequence[str]) -> None:
    """Checks that the launcher that is typed is installed."""
    for word in words:
        group, _, option = word.partition("=")
        library = LAUNCHERS.get(option.partition("_")[0])
        if group in ("launcher", "hydra/launcher") and library:
            need(word, library)


def check_addresses(words: Sequence[str]) -> None:
    """Refuses secrets in the addresses of a command line, before anything keeps them."""
    for word in words:
        key, _, value = word.partition("=")
        if key.rpartition(".")[2] == "storage" and not value.startswith("redis"):
            check_database(key.lstrip("+"), value.strip("'\""))
        if key.rpartition(".")[2] not in SERVICES:
            for address in re.findall(rf"(?:{'|'.join(SCHEMES)})://[^\s,'\"\])]+", value):
                check_secrets(address)


def typed(settings: Any) -> dict[str, Any]:
    """Values typed on the command line of a job, by key, but for options of groups.

    `settings` is the `hydra` node of its config.
    """
    words = [*settings.overrides.task, *settings.overrides.hydra]
    # Parameters of a sweep are in each job's command line, whoever wrote them down.
    keys = set(os.environ.get(TYPED, "").split())
    return {
        override.key_or_group: override.value()
        for override in OverridesParser.create().parse_overrides(list(map(str, words)))
        if override.key_or_group not in settings.runtime.choices
        and not override.is_delete()
        and (override.key_or_group in keys or override.key_or_group.startswith("trial."))
    }


def remember(words: Sequence[str]) -> None:
    """Lets `typed`, in processes that are started from here, too, know the keys of a command."""
    keys = [word.lstrip("+~").partition("=")[0] for word in words if "=" in word]
    os.environ[TYPED] = " ".join(keys)

"""Mistakes on the command line and in the config, each in one line that says what to type."""

import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqfuse.config.checks.groups import CONF, groups, own_folders, read_from
from seqfuse.runtime.errors import InputError, Interrupted, Pruned

MISTAKES = (
    InputError,
    HydraException,
    OmegaConfBaseException,
    OSError,
    yaml.YAMLError,
    BrokenExecutor,
)


def explain(error: Exception, config_name: str = "train") -> str:
    """One line for an error of a command's: what is wrong, and what to type."""
    text = str(error)
    if isinstance(error, (InputError, Interrupted, Pruned)):
        return text
    if isinstance(error, BrokenExecutor):
        return "a worker was killed, most likely for its memory: take fewer (hydra.launcher.n_jobs)"
    if type(error).__name__ == "UncompletedJobError":  # of submitit, which need not be there
        return (
            "a job was killed, most likely for its memory or its time: its log lies in .submitit "
            "of the sweep's folder (hydra.launcher.mem_gb, hydra.launcher.timeout_min)"
        )
    if not isinstance(error, MISTAKES):
        return f"{type(error).__name__}: {error}".removesuffix(": ")  # its text can be empty
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        where = error.filename or "a file"
        return (
            f"cannot read or write {where} ({error.strerror or text}): set paths.logs or paths.data"
        )
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override))
    if isinstance(error, InstantiationException):
        if isinstance(error.__cause__, InputError):
            return str(error.__cause__)
        key = re.search(r"full_key: (\S+)", text)
        return str(refusal(key[1] if key else "the config", str(error.__cause__ or error)))
    return _of_composing(error, text, config_name)


def _of_composing(error: Exception, text: str, config_name: str) -> str:
    """One line for a config that cannot be composed."""
    if match := re.search(r"Could not (?:find|load) '(.+?)'", text):
        group, _, option = match[1].rpartition("/")
        return no_such_option(group, option, re.findall(r"^\t(\S+)$", text, re.MULTILINE))
    if match := re.search(r"Could not (?:override|append|delete).*? '(.+?)'", text):
        return _unknown_key(match[1].split("=")[0], config_name)
    if match := re.search(r"Key '(.+?)' is not in struct\s+full_key: (\S+)", text):
        return _unknown_key(match[2], config_name)
    if isinstance(error, OmegaConfBaseException):
        reason = text.partition("\n")[0]
        if match := re.search(r"Interpolation key '(.+?)' not found", reason):
            reason = f"${{{match[1]}}} stands there, and the config has no key {match[1]}"
        return f"{error.full_key}: {reason}" if error.full_key else reason
    if match := re.search(
        r"merging override hydra\.sweeper\.params=\{'?([\w./]+)'?: *(.+)\}", text
    ):
        return (
            f"hydra.sweeper.params={{...}} cannot hold ranges: type each key by itself, such as "
            f"{match[1]}='{_first_value(match[2])}'"
        )
    if "does not support sweep type" in text:
        return "interval(...) is for a search, such as sweep=optuna: name values, or a range(...)"
    if "must be a DictConfig" in text:
        return f"{read_from()} is no config: it has no sections"
    cause = str(error.__cause__ or "").partition("\n")[0]
    return text.split("See https")[0] + ("" if cause in text else f" ({cause})")


def _first_value(text: str) -> str:
    """The value of the first key of several, `interval(0,1),b:2`, without the others."""
    return re.split(r",(?=[\w./]+:)", text, maxsplit=1)[0]


def refusal(key: str, text: str) -> InputError:
    """The mistake behind what a class said of its arguments."""
    if match := re.search(
        r"(?:(\w+)(?:\.__init__)?\(\) )?got an unexpected keyword .*'(\w+)'", text
    ):
        return InputError(f"{key}.{match[2]}: {match[1] or 'it'} takes no such value: leave it out")
    if match := re.search(r"(\w+)(?:\.__init__)?\(\) missing \d+ required .*?: (.+)", text):
        return InputError(f"{key}: {match[1]} needs {match[2]}, too")
    first, *rest = [line for line in text.strip().splitlines() if line.strip()]
    reason = f"{first} {rest[0]}" if first.endswith(":") and rest else first
    hint = " (is its folder on PYTHONPATH?)" if "ModuleNotFoundError" in reason else ""
    return InputError(f"{key}: {reason}{hint}")


def with_source(error: InputError, config: DictConfig) -> InputError:
    """An error; where it is about a public data set that is not there, with what fetches it."""
    from seqfuse.fetching.sets import known

    root = Path(str(OmegaConf.select(config, "paths.data"))).absolute()
    if type(error) is not InputError or str(root) not in str(error):
        return error
    data: Any = OmegaConf.to_container(config.data, resolve=False)
    named = {part for text in _values(data) for part in Path(text).parts}
    for name in known():
        if name.split("/")[-1] in named and not Path(root, name).is_dir():
            return InputError(f"{error}; seqfuse get {name.split('/')[-1]} fetches it")
    return error


def _values(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for value in node.values() if isinstance(node, dict) else ():
        yield from _values(value)


def _unreadable(word: str) -> str:
    """One line for a word of the command line that Hydra cannot read."""
    if "(" in word:
        return (
            f"cannot read '{word}': several values are a,b or choice(a,b), "
            "range(1,4), interval(0,1) or tag(log,interval(1e-4,1e-2))"
        )
    if "=" not in word and (words := _own_file(word)):
        return f"cannot read '{word}': a file is named so: {words}"
    return (
        f"cannot read '{word}': an override is key=value without spaces, such as "
        "ckpt=run/best.ckpt or model.cnn.channels=[16,32]; quote what has spaces or ="
    )


def no_such_option(group: str, option: str, others: Sequence[str] = ()) -> str:
    """One line for an option that a group lacks; `others`: options of a group of Hydra's own."""
    section, _, folder = group.partition("/")  # Hydra takes data=my/file for an option of data/my
    path = f"{folder}/{option}" if folder else option
    if section == "data" and (words := _own_file(path)):
        return f"data={path}: a file is named so: {words}"
    options = groups().get(group, list(others))
    near = _nearest(option, options)
    return f"{group or 'config'}={option}: no such option{near} (options: {', '.join(options)})"


def _own_file(name: str) -> str:
    """The words that train on a file of the user's; empty for what names none."""
    path = name.lower().removesuffix(".gz")
    if path.endswith((".npz", ".npy")):
        return f"data=arrays data.train={name}"
    if path.endswith((".csv", ".tsv", ".parquet", ".jsonl")):
        return (
            f"data=csv data.file={name} data.targets=[<column>] (a table to forecast), "
            f"data=text data.train={name} (texts and their class); seqfuse list data has more"
        )
    return ""


def _unknown_key(key: str, config_name: str) -> str:
    names = groups()
    if key in names:
        return f"{key} was chosen when the run began: change single values, as in {key}.<name>="
    # One option each: a search or a sweep names several.
    words = [word for word in sys.argv[1:] if not re.search(r"[,(]", word)]
    chosen = [word for word in words if word.split("=")[0] in names]
    places = ",".join(f"file://{folder}" for folder in own_folders())
    within = GlobalHydra.instance().is_initialized()  # in a job of a sweep
    with nullcontext() if within else initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [*chosen, f"hydra.searchpath=[{places}]"]
        whole = key.startswith("hydra.")
        return no_such_key(key, compose(config_name, overrides, return_hydra_config=whole))


def no_such_key(key: str, config: DictConfig) -> str:
    """One line for a key that the config lacks."""
    keys = [*_keys(OmegaConf.to_container(config)), *groups()]
    if OmegaConf.is_dict(OmegaConf.select(config, key)):
        return f"{key}: add its entries one by one, as in +{key}.<name>=<value>"
    if key in keys:
        return f"{key}: {read_from()} has no such key: it is broken, or of other code"
    whole = key.startswith("hydra")
    near = _nearest(key, [name for name in keys if whole or not name.startswith("hydra")])
    return f"{key}: no such key{near}; --cfg job lists them all"


def _nearest(word: str, options: list[str]) -> str:
    last = word.split(".")[-1]
    near = [option for option in options if option.split(".")[-1] == last]  # in the wrong place
    near = near or difflib.get_close_matches(word, options, n=1, cutoff=0.8)
    # As epochs, of trainer.max_epochs.
    near = near or [option for option in options if last in option.split(".")[-1].split("_")]
    near = near or difflib.get_close_matches(word, options, n=1, cutoff=0.4)
    return f", did you mean {near[0]}?" if near else ""


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _keys(value, f"{prefix}{key}.")

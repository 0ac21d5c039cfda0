"""Mistakes on the command line and in the config, each in one line that says what to type.

Monitors are checked before a search, too, so torch is imported only where a device is asked for.
"""

import difflib
import os
import re
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqfuse.config.extras import need
from seqfuse.runtime.errors import InputError, Interrupted, Pruned
from seqfuse.runtime.read.addresses import SCHEMES, check_database, check_secrets

HERE = Path(__file__).parents[1]
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parents[1] / "conf"
COLUMNS = ("data.targets", "data.time", "data.columns")
"""One name, or several."""
PATHS = (
    *(f"data.{name}" for name in ("file", "train", "val", "test", "folder", "vectors")),
    *("init_from", "resume", "ckpt", "input", "output", "known", "figure", "paths.mirror"),
)
"""Keys that name a file or a folder; null by default."""
SECTIONS = ("data", "model", "task", "optimizer", "scheduler", "trainer", "paths")
"""Sections of the config of seqfuse-train."""
PARTS = (
    *("callbacks", "logger", "data.augment"),
    *("task.metrics", "task.measures", "task.pairs.changes"),
)
"""Sections whose entries a run can do without."""
SERVICES = ("storage", "model_registry", "tracking_uri", "url")
"""Last parts of keys whose addresses are no files of data."""
TYPED = "SEQFUSE_TYPED"
"""Environment variable with the keys that were typed."""
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p"),
    *("--run", "-r", "--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp"),
    *("--config-name", "-cn", "--config-dir", "-cd", "--info", "-i"),
)
"""Flags of Hydra that a command takes; Hydra would take their beginnings, too."""
MISTAKES = (
    InputError,
    HydraException,
    OmegaConfBaseException,
    OSError,
    yaml.YAMLError,
    BrokenExecutor,
)
FINDS = {
    "find_batch_size": "data.batch_size",
    "find_precision": "trainer.precision",
    "find_lr": "optimizer.lr",
}
"""In this order, for the learning rate depends on the batch size."""
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
LAUNCHERS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "ray": "ray",
    "submitit": "hydra_plugins.hydra_submitit_launcher",
}
"""Libraries by the first part of a launcher's name."""
LIMITS = tuple(f"limit_{split}_batches" for split in ("train", "val", "test"))
WORD_STEMS = (".CharacterStem", ".NgramStem")
TAG_HEADS = (".TagHead", ".CrfHead")
MONITORS = ("task", "scheduler", "callbacks.early_stopping", "callbacks.checkpoint")
"""Parts that go by a metric."""


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
    if "does not support sweep type" in text:
        return "interval(...) is for a search, such as sweep=optuna: name values, or a range(...)"
    if "must be a DictConfig" in text:
        return f"{_read_from()} is no config: it has no sections"
    cause = str(error.__cause__ or "").partition("\n")[0]
    return text.split("See https")[0] + ("" if cause in text else f" ({cause})")


def check_windows(data: Mapping[str, Any]) -> None:
    """Raises InputError for steps of windows that parts of a model could only name as theirs."""
    for name in ("look_back", "horizon"):
        value = data.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise InputError(f"data.{name}={value} must be a whole number of at least 1")


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
    """Texts in containers."""
    if isinstance(node, str):
        yield node
    for value in node.values() if isinstance(node, dict) else ():
        yield from _values(value)


def _read_from() -> str:
    """The place a config was read from, for messages."""
    folders = own_folders()
    return f"the config in {os.path.relpath(folders[0])}" if folders else "the config"


def _unreadable(word: str) -> str:
    """One line for a word of the command line that Hydra cannot read."""
    if "(" in word:
        return (
            f"cannot read '{word}': several values are a,b or choice(a,b), "
            "range(1,4), interval(0,1) or tag(log,interval(1e-4,1e-2))"
        )
    if words := _own_file(word):
        return f"cannot read '{word}': a file is named so: {words}"
    return (
        f"cannot read '{word}': an override is key=value without spaces, such as "
        "ckpt=run/best.ckpt or model.cnn.channels=[16,32]; quote what has spaces or ="
    )


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


def strange_folders(settings: Any) -> list[str]:
    """Folders that a config was read from beside our own, by its `hydra` node."""
    sources = [source for source in settings.runtime.config_sources if source.schema == "file"]
    return [source.path for source in sources if source.path not in (str(CONF), "")]


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
        return f"{key}: {_read_from()} has no such key: it is broken, or of other code"
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


def check_sections(config: DictConfig) -> None:
    """Checks that the config of a run has every section that a run reads."""
    for name in SECTIONS:
        if not OmegaConf.is_dict(config.get(name)):
            raise InputError(f"{_read_from()} has no section '{name}': it is broken")


def check_fit(config: DictConfig) -> None:
    """Checks that the model reads what the data are, and finds what it asks of data and task.

    The message names those of our models that would do.
    """
    data, loss = config.data, str(OmegaConf.select(config, "task.loss._target_"))
    model, task = (
        str(OmegaConf.to_container(config[name], resolve=False)) for name in ("model", "task")
    )
    there = {*(f"data.{key}" for key in data), *(f"task.{key}" for key in config.task)}
    if wanted := sorted(_asked(task) - there):
        others = _data_with(wanted)
        fix = f"type data={others[0]}" if len(others) == 1 else "type another task"
        raise InputError(
            f"this task is for other data: it needs {', '.join(wanted)}: leave task= out, and the "
            f"data choose theirs, or {fix}"
        )
    kind = "words" if "vocab_size" in data else "frames" if "num_frames" in data else "series"
    stem = str(OmegaConf.select(config, "model.stem._target_") or "seqfuse.")
    given = "source_channels" in data or not stem.startswith(
        "seqfuse."
    )  # stems of another's making
    lacking = sorted(_asked(model) - there)
    if not lacking and (given or _reads(model) == kind):
        return
    fitting = [
        f"model={name}"
        for name, text in _models().items()
        if _asked(text) <= there
        and (given or _reads(text) == kind)
        and any(head in text for head in TAG_HEADS) == loss.endswith(".TagLoss")
        and (name != "bank" or loss.endswith(".CrossEntropy"))
    ]
    why = f"it needs {', '.join(lacking)}" if lacking else f"it reads {_reads(model)}"
    raise InputError(
        f"this model is for other data or another task: {why}, and the data are {kind}: type "
        f"{' or '.join(fitting) or 'another model'}"
    )


def asked(model: DictConfig) -> set[str]:
    """Keys of the data section that a model refers to."""
    keys = _asked(str(OmegaConf.to_container(model, resolve=False)))
    return {key.removeprefix("data.") for key in keys if key.startswith("data.")}


def _asked(text: str) -> set[str]:
    """Keys of the sections data and task that a text refers to."""
    return set(re.findall(r"\$\{((?:data|task)\.\w+)\}", text))


def _data_with(keys: Sequence[str]) -> list[str]:
    """Options of data whose YAML has all of these keys itself."""
    lines = [f"\n{key.removeprefix('data.')}: " for key in keys]
    return [
        path.stem
        for path in sorted((CONF / "data").glob("*.yaml"))
        if all(line in path.read_text(encoding="utf-8") for line in lines)
    ]


def _reads(model: str) -> str:
    """Whether the stem of a model, as text, is one of words, frames or series."""
    if any(stem in model for stem in WORD_STEMS):
        return "words"
    return "frames" if ".FrameStem" in model else "series"


def _models() -> dict[str, str]:
    """Text of each of our models, with its parts."""
    models = {}
    for path in sorted((CONF / "model").glob("*.yaml")):
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        parts = [pair for entry in node["defaults"] for pair in entry.items()]
        files = [path, *(CONF / "model" / part / f"{option}.yaml" for part, option in parts)]
        models[path.stem] = "".join(file.read_text(encoding="utf-8") for file in files)
    return models


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


def _can_be_null(key: str) -> bool:
    """Whether a section can be switched off; those of `data` outside its module are the user's."""
    if key.startswith("model."):
        return key != "model.head"
    above = key.rpartition(".")[0]
    return above in PARTS or (above.startswith("data") and not key.startswith("data.module"))


def typed(settings: Any) -> dict[str, Any]:
    """Values typed on the command line of a job, by key, but for options of groups.

    Args:
        settings: the `hydra` node of its config.
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


def check_addresses(words: Sequence[str]) -> None:
    """Refuses secrets in the addresses of a command line, before anything keeps them."""
    for word in words:
        key, _, value = word.partition("=")
        if key.rpartition(".")[2] == "storage" and not value.startswith("redis"):
            check_database(key.lstrip("+"), value.strip("'\""))
        if key.rpartition(".")[2] not in SERVICES:
            for address in re.findall(rf"(?:{'|'.join(SCHEMES)})://[^\s,'\"\])]+", value):
                check_secrets(address)


def check_types(config: DictConfig, settings: Any) -> None:
    """Holds every value given on the command line against the type of the YAML's default.

    Args:
        config: of the command.
        settings: the `hydra` node of it.
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
    """Holds a value against the type of the YAML's default.

    Args:
        key: of the config.
        value: from the user.
        default: from the YAML.
        text: the value as it was typed.
    """
    if OmegaConf.is_dict(default) and value is None and not _can_be_null(key):
        raise InputError(f"{key}: a run needs this part, and it was left out")
    if OmegaConf.is_dict(default) and not _fits(value, default):
        raise InputError(f"{key}={value}: choose a part with {key.replace('.', '/')}={value}")
    if default is None and key in PATHS and not isinstance(value, (str, type(None))):
        raise InputError(f"{key}={text}: expected the name of a file or folder")
    # One number, or one per layer or class.
    if not _fits(value, default, lists=key.startswith(("model.", "task.", *COLUMNS))):
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


def precision(trainer: Mapping[str, Any]) -> str:
    """The precision, with `auto` resolved for this machine."""
    from seqfuse.ddp.checks import on_gpu, shards

    wanted = str(trainer["precision"])
    half = "bf16-mixed" if shards(trainer) else "16-mixed"
    return wanted if wanted != "auto" else half if on_gpu(dict(trainer)) else "32-true"


def validates(config: Mapping[str, Any]) -> bool:
    """Whether the run has a validation split to look at."""
    return config["data"].get("num_folds", 1) != 0 and config["trainer"]["limit_val_batches"] != 0


def ends(trainer: Mapping[str, Any]) -> bool:
    """Whether the number of steps of a run is known before it begins."""
    return trainer["max_epochs"] != -1 or trainer["max_steps"] != -1


def check_trainer(config: Mapping[str, Any], node: dict[str, Any]) -> None:
    """Checks of the trainer's section what Lightning would notice late, or with a traceback."""
    import torch

    from seqfuse.ddp.checks import check_devices, check_sharding, on_gpu, shards

    if node["accelerator"] not in ACCELERATORS:
        names = ", ".join(ACCELERATORS)
        raise InputError(f"trainer.accelerator={node['accelerator']} must be one of: {names}")
    if node["precision"] == "16-mixed" and not on_gpu(node):
        raise InputError("precision=16-mixed needs a GPU: type precision=auto or bf16-mixed")
    if node["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise InputError("trainer.accelerator=gpu: torch finds no GPU here: type trainer=cpu")
    check_devices(node)
    if shards(node):
        check_sharding(config, node)
    for key in ("check_val_every_n_epoch", "log_every_n_steps", "accumulate_grad_batches"):
        if node[key] < 1:
            raise InputError(f"trainer.{key}={node[key]} must be at least 1")
    _check_lengths(node)
    clip = node.get("gradient_clip_val")
    if clip is not None and clip <= 0:
        raise InputError(f"trainer.gradient_clip_val={clip} must be above 0: or type clip=none")
    check_monitors(config)
    patience = _section(config, "callbacks.early_stopping").get("patience", 0)
    if patience is not None and (type(patience) is not int or patience < 0):
        raise InputError(
            f"callbacks.early_stopping.patience={patience} must be at least 0, or null"
        )


def _check_lengths(node: Mapping[str, Any]) -> None:
    """Checks how long a run trains, and on how much of each split."""
    for key in ("max_epochs", "max_steps"):
        if key == "max_epochs" and node[key] is None:
            continue
        if type(node[key]) is not int or (node[key] < 1 and node[key] != -1):
            raise InputError(f"trainer.{key}={node[key]} must be at least 1, or -1 for no such end")
    if (steps := node["num_sanity_val_steps"]) < -1:
        raise InputError(f"trainer.num_sanity_val_steps={steps} must be at least 0, or -1 for all")
    for key, minimum in (("auto_steps", 1), ("auto_epochs", 0)):
        if node.get(key, minimum) < minimum:  # runs of before have none
            raise InputError(f"trainer.{key}={node[key]} must be at least {minimum}")
    time = node["max_time"]
    if time is not None and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", str(time)):
        raise InputError(
            f"trainer.max_time={time} must be days:hours:minutes:seconds, such as 00:12:00:00"
        )
    for key in (*LIMITS, "overfit_batches"):
        limit = node[key]
        batches = isinstance(limit, int) and limit > 1
        if not (batches or 0 <= limit <= 1) or (key == LIMITS[0] and limit == 0):
            raise InputError(
                f"trainer.{key}={limit} must be a whole number of batches, or a fraction of "
                "them from 0 to 1, but for training above 0"
            )


def _section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A section of the config; empty if it is switched off."""
    for name in key.split("."):
        config = config.get(name) or {}
    return config


def check_monitors(config: Mapping[str, Any], keys: Sequence[str] = MONITORS) -> None:
    """Checks that the monitors of parts of the config are logged when those parts look at them.

    All that are not are answered at once, with the nearest name that is.
    """
    wrong: dict[str, tuple[str, str]] = {}
    for key in keys:
        monitor, names = _section(config, key).get("monitor", "train/loss"), monitored(key, config)
        follows = key.startswith("callbacks.") and monitor == wrong.get("task", ("", ""))[0]
        is_last = key == "callbacks.checkpoint" and monitor is None
        if monitor in names or follows or is_last:
            continue
        near = difflib.get_close_matches(str(monitor), names, n=1)
        wrong[key] = str(monitor), near[0] if near else names[-1]
    if not wrong:
        return
    given = ", ".join(f"{key}.monitor={monitor}" for key, (monitor, _) in wrong.items())
    fixes = " ".join(f"{key}.monitor={name}" for key, (_, name) in wrong.items())
    why = "" if validates(config) else ", as there is no validation"
    raise InputError(f"{given}: type {fixes}{why}")


def monitored(key: str, config: Mapping[str, Any]) -> list[str]:
    """Metrics that a part of the config can go by; the last is the one without a choice.

    The task's decides at validation, where there is any; an epoch's `train/loss` comes after that.
    """
    if not validates(config):
        return ["train/loss"]
    names = [f"val/{name}" for name in config["task"].get("metrics", ())] + ["val/loss"]
    return names if key == "task" else [*names, "train/loss"]


def _check_cycle(data: Any) -> None:
    """Checks that what is known last is a part of the calendar, as sine and cosine."""
    from seqfuse.runtime.read.table.stamps import CALENDAR  # slow: numpy

    clock = (data.get("known") or [""])[-1]
    if clock not in {*CALENDAR} - {*data.get("categories", ())}:
        raise InputError(
            "model/autoregression=cycle finds its place by the part of the calendar that is known "
            "last: type data.known=[hour] without data.categories, or another autoregression"
        )


def check_task(recipe: Any) -> None:
    """Checks that task, net and data are of one kind, and that the monitor's mode is its best."""
    task, data = recipe.task, recipe.data
    _check_monitored(task)
    target, scorer, stem, head, loss = (
        str(OmegaConf.select(recipe, f"{key}._target_"))
        for key in ("task", "task.scorer", "model.stem", "model.head", "task.loss")
    )
    if recipe.model.get("bank") and "source_channels" in data:
        raise InputError("model.bank reads one source, and data has several: type model/bank=none")
    if str(OmegaConf.select(recipe, "model.autoregression._target_")).endswith(".Cycle"):
        _check_cycle(data)
    if scorer.endswith(".Subspace") and not data.get("reconstruct"):
        raise InputError(
            "task/scorer=subspace is for reconstructions: type data.reconstruct=true "
            "model=autoencoder and data.horizon as long as data.look_back, too"
        )
    if not data.get("labelled", True) and "contrastive" not in target:
        raise InputError(
            "data.labelled=false is for task=contrastive: leave it out, or type that, too"
        )
    _check_steps(loss, head)
    if "horizon" in data and data.get("label_type", "classes") != "classes":
        raise InputError(
            f"the task is for labels of items (data.label_type={data.label_type}), but data="
            f"{data.name} has none: leave out task=..., or take other data"
        )
    ours = recipe.model.get("stem") is None or stem.startswith("seqfuse.")
    if "vocab_size" in data and ours and not stem.endswith(WORD_STEMS):
        raise InputError("the data are words: type model=text for classes, model=tags for tags")
    monitor, mode = str(task.get("monitor")), task.get("mode")
    wanted = None
    if monitor.endswith("loss"):
        wanted = "min"
    elif monitor.endswith(("accuracy", "f1", "auroc", "vus_pr")):
        wanted = "max"
    if mode and wanted not in (None, mode):
        extreme = "lowest" if wanted == "min" else "highest"
        raise InputError(
            f"task.monitor={monitor} is best where it is {extreme}: type task.mode={wanted}"
        )


def _check_steps(loss: str, head: str) -> None:
    """Raises InputError where one of task and net is for a label per step, and the other is not."""
    if loss.endswith(".TagLoss") and head.endswith(".ClassHead"):
        raise InputError(
            "the task is for a label per step, the net for one per item: type model=tags (words) "
            "or model=steps, or another task"
        )
    if loss.endswith(".CrossEntropy") and head.endswith(TAG_HEADS):
        raise InputError(
            "the net is for a label per step, the task for one per item: type task=tagging, of "
            "series with model=steps, or another model"
        )


def _check_monitored(task: Any) -> None:
    """Raises InputError where a task does not say what its best checkpoint goes by."""
    for key, value in (("monitor", "val/loss"), ("mode", "min")):
        if task.get(key) is None:
            raise InputError(
                f"task.{key} is not there, which the best checkpoint goes by: add '{key}: {value}' "
                f"to the YAML of the task, or type +task.{key}={value}"
            )


def check_finders(config: Mapping[str, Any], given: Container[str]) -> None:
    """Checks that no value that is to be found is given, or swept, too.

    Args:
        config: of a run.
        given: keys on its command line.
    """
    for finder, key in FINDS.items():
        if config.get(finder) is True and key in given:
            raise InputError(f"{finder}=true chooses {key}: leave one of them out")

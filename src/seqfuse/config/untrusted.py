"""Rules for configs from strangers: of a checkpoint, a run folder, a folder of YAMLs.

A config names code under `_target_`, and building it calls that code; its paths are read and
written, its addresses fetched. Before any of that, a config that was not typed on the command
line and does not come with seqfuse is held against the rules here. Nothing here imports torch,
unless targets are checked.
"""

import inspect
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.addresses import is_address
from seqfuse.runtime.shown import say

Keys = tuple[str, ...]


class Slot(NamedTuple):
    """The kind of code that one section of a config takes."""

    base: str
    """Class that the node itself must be a subclass of; '' for none."""
    modules: Sequence[str]
    """Modules that define it and whatever stands below it."""


DATA = (
    "seqfuse.data",
    "seqfuse.runtime.pipelines",
    "seqfuse.runtime.read.table.holidays",
    "seqfuse.runtime.read.table.reader",
    "seqfuse.runtime.read.table.rows",
)
CALLBACKS = (
    *("device_stats_monitor", "early_stopping", "gradient_accumulation_scheduler", "lr_monitor"),
    *("model_checkpoint", "model_summary", "stochastic_weight_avg", "timer", "weight_averaging"),
)
"""Modules of Lightning's callbacks; one of the others writes wherever a checkpoint says."""
TASKS = tuple(
    f"seqfuse.tasks.{name}"
    for name in (
        *("base", "anomaly", "calibration", "clips", "contrastive", "distill", "losses"),
        *("measures", "metrics"),
    )
)
METRICS = ("torchmetrics.classification", "torchmetrics.regression")
PARTS = Slot("torch.nn.Module", ("seqfuse.nn", "torch.nn.modules"))
SLOTS: dict[Keys, Slot] = {
    ("model",): Slot("", PARTS.modules),
    ("task",): Slot(
        "seqfuse.tasks.base.Task",
        (
            *TASKS,
            *METRICS,
            "seqfuse.runtime.scores",
            *("seqfuse.data.augment", "torch.nn.modules.loss"),
        ),
    ),
    ("data", "module"): Slot("lightning.pytorch.LightningDataModule", DATA),
    ("data",): Slot("", DATA),
    ("optimizer",): Slot("torch.optim.Optimizer", ("torch.optim",)),
    ("scheduler",): Slot("", ("seqfuse.tasks.schedules",)),
    ("callbacks", "figures"): Slot("lightning.pytorch.Callback", ("seqfuse.figures",)),
    ("callbacks", "*"): Slot(
        "lightning.pytorch.Callback",
        (
            *("seqfuse.callbacks", "seqfuse.resume.last"),
            *(f"lightning.pytorch.callbacks.{name}" for name in CALLBACKS),
            "optuna.pruners",
        ),
    ),
    ("logger", "*"): Slot(
        "lightning.pytorch.loggers.Logger",
        (
            "seqfuse.callbacks.boards",
            "seqfuse.callbacks.journal",
            "lightning.pytorch.loggers.tensorboard",
            "lightning.pytorch.loggers.csv_logs",
        ),
    ),
    ("trainer",): Slot(
        "lightning.pytorch.Trainer",
        (
            *("lightning.pytorch.trainer", "lightning.pytorch.profilers.simple"),
            *("lightning.pytorch.profilers.advanced", "seqfuse.ddp.strategy"),
            "seqfuse.ddp.sharded",
        ),
    ),
}
"""By the keys that lead to a node; the first that fits counts. Parts of a model are `PARTS`."""
FUNCTIONS = ("seqfuse.nn.net.reference",)
READ = (
    *("root", "file", "path", "train", "val", "test", "folder", "table", "list", "names"),
    *("labels", "holidays", "given"),
)
"""Keys of the data section that hold paths which are read."""
WORDS = ("name", "sources", "groups")
"""Keys of the data section that hold words of which names of files are made."""
FOLDERS = ("dirpath", "save_dir", "default_root_dir", "root_dir", "folder", "path", "log_dir")
NAMES = ("filename", "name", "version", "sub_dir", "label")
"""Keys of callbacks, loggers and the trainer that hold paths which are written: where, and names
of files and folders within."""
REFERENCE = re.compile(r"\$\{[\w.\[\]-]*\}")
"""A plain interpolation, which looks a value up and runs nothing."""
TEXT = re.compile(r"\$\{(oc\.env|now):[^${}]*\}")
"""Interpolations whose value is a text, and no more."""
NODES = 1_000_000
"""Values of a config; more come of containers that are shared within shared ones."""
OPENED = ("storage", "model_registry")
"""Keys of callbacks and the trainer that hold addresses of services."""
ACCOUNTS = ("tracking_uri", "entity", "space_id")
"""Keys of loggers that say to whom a run is sent."""
FILE_NAME = re.compile(r"([\w.=/ -]|\{[\w/]+(:[\d.]*[dfeg])?\})+")
"""Name of a checkpoint, with metrics and the formats of numbers; others reach attributes."""
DEPTH = 60
"""Nodes within nodes; more is a cycle, or made to exhaust the stack."""
OURS = ("seqfuse", "hydra", "hydra_plugins", "torch", "torchmetrics", "lightning")


def check_targets(
    config: Mapping[str, Any],
    trust: Sequence[str] = (),
    source: str = "the checkpoint",
    unused: Collection[Keys] = (),
) -> None:
    """Checks all that a config would call, before any of it is called.

    The module path must begin with an allowed one before it is even imported; what it names
    must then be a public class, or a listed function, that was defined in an allowed module
    of its slot, and the node of a slot itself a subclass of the slot's base.

    Args:
        config: plain containers without interpolations.
        trust: further top-level packages, the user's own.
        source: of the config, for messages.
        unused: keys that lead to targets that are not called, and so are not imported either; they
            must be of an allowed package all the same.
    """
    check_resolved(config, source)
    for keys, target in _targets(config, source):
        called = not any((*keys, "_target_")[: len(place)] == place for place in unused)
        if reason := _foreign(keys, target, trust, source, called):
            raise _refusal(source, keys, target, reason)


def check_resolved(config: Any, source: str = "the checkpoint") -> None:
    """Checks that plain containers hold no interpolation, which would be resolved once more."""
    for keys, text in _texts(config, source):
        if "${" in text:
            raise InputError(
                f"{source}: its config holds the interpolation {text!r} at {'.'.join(keys)}: "
                "nothing was built"
            )


def _foreign(
    keys: Keys, target: Any, trust: Sequence[str], source: str, called: bool = True
) -> str:
    """Why a target may not be called where it stands; empty if it may, or will not be."""
    slot, top = _slot(keys)
    trusted = isinstance(target, str) and _within(target, trust)
    if not isinstance(target, str) or not (trusted or _leads_to(target, slot)):
        return "is not of an allowed package"
    if not called:
        return ""
    try:
        part = get_object(target)
    except Exception as error:
        cause = error.__cause__ or error
        hint = " (is its folder on PYTHONPATH?)" if isinstance(cause, ImportError) else ""
        reason = " ".join(str(cause).split())
        raise InputError(f"{source} names {target}, which fails: {reason}{hint}") from None
    home = getattr(part, "__module__", None)
    if not isinstance(home, str) or not _within(home, (*slot.modules, *trust)):
        return f"was defined in {home}"
    if target in FUNCTIONS or (trusted and inspect.isfunction(part)):
        return ""
    if not inspect.isclass(part) or part.__name__.startswith("_"):
        return "is no public class"
    based = not top or not slot.base or trusted
    return "" if based or issubclass(part, get_object(slot.base)) else f"is no {slot.base}"  # type: ignore[arg-type]


def _leads_to(target: str, slot: Slot) -> bool:
    """Whether looking a target up imports only modules of its slot, and packages around them."""
    package = target.rpartition(".")[0]
    return _within(package, slot.modules) or any(_within(m, [package]) for m in slot.modules)


def _slot(keys: Keys) -> tuple[Slot, bool]:
    """The slot that a node stands in, and whether it is the slot's own node."""
    if keys[:1] == ("model",) and len(keys) > 1:
        return PARTS, len(keys) == 2
    for place, slot in SLOTS.items():
        fits = all(name in ("*", key) for name, key in zip(place, keys, strict=False))
        if fits and len(keys) >= len(place):
            return slot, len(keys) == len(place)
    return Slot("", ()), False


def _refusal(source: str, keys: Keys, target: object, reason: str) -> InputError:
    package = str(target).split(".")[0]
    is_known = package in OURS or package in sys.stdlib_module_names or not package.isidentifier()
    hint = "" if is_known else f" (if the code is yours, add trust=[{package}])"
    return InputError(
        f"{source} names {target} at {'.'.join(keys)}, which {reason}: nothing was built{hint}"
    )


def _within(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _nodes(node: Any, source: str, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """All that is in containers, with the keys that lead there; containers come first."""
    if len(keys) > DEPTH:
        raise InputError(f"{source}: its config is nested too deeply, at {'.'.join(keys[:6])}...")
    yield keys, node
    pairs = node.items() if isinstance(node, Mapping) else ()
    pairs = enumerate(node) if isinstance(node, (list, tuple)) else pairs
    for key, child in pairs:
        yield from _nodes(child, source, (*keys, str(key)))


def check_size(node: Any, source: str) -> None:
    """Refuses containers that hold themselves, or more than any config does."""
    for count, _ in enumerate(_nodes(node, source)):
        if count > NODES:
            raise InputError(f"{source}: its config has more than {NODES:,} values")


def _texts(node: Any, source: str) -> Iterator[tuple[Keys, str]]:
    for keys, value in _nodes(node, source):
        if isinstance(value, str):
            yield keys, value
        for key in value if isinstance(value, Mapping) else ():
            yield keys, str(key)


def _targets(node: Any, source: str) -> Iterator[tuple[Keys, Any]]:
    for keys, value in _nodes(node, source):
        if isinstance(value, Mapping) and "_args_" in value:  # rules that go by names would miss it
            raise InputError(
                f"{source} has _args_ at {'.'.join(keys)}: nothing was built; give each its name"
            )
        if isinstance(value, Mapping) and "_target_" in value:
            yield keys, value["_target_"]


def check_references(recipe: Any, source: str = "the checkpoint") -> None:
    """Checks that the interpolations of a config are plain references, such as ${data.root}.

    Any other, such as ${oc.env:NAME}, runs a function.
    """
    for keys, text in _texts(recipe, source):
        if _runs(text):
            raise InputError(
                f"{source}: its config holds {text!r} at {'.'.join(keys)}, which is no plain "
                "reference such as ${data.root}: nothing was read or built"
            )


def _runs(text: str, *harmless: re.Pattern[str]) -> bool:
    """Whether an interpolation is left, once harmless ones, also within each other, are out."""
    before = ""
    while text != before:
        before = text
        for pattern in (REFERENCE, *harmless):
            text = pattern.sub("x", text)
    return "${" in text


def without_downloads(node: Any) -> Any:
    """A copy of plain containers in which no address is left to fetch from."""
    if isinstance(node, dict):
        off = {"url": None, "download": False}
        return {key: off.get(key, without_downloads(value)) for key, value in node.items()}
    return [without_downloads(value) for value in node] if isinstance(node, list) else node


def check_paths(config: Any, named: Mapping[str, Any], reads: bool, source: str) -> None:
    """Checks that the data section of a checkpoint stays within what the user named.

    That is the current folder, the folder of data that the environment names (SEQFUSE_DATA, else
    `data`), and whatever was typed.

    Args:
        named: values on the command line, by key.
        reads: whether the data is read; else only its cache counts, which is written.
        source: of the data section, for messages.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    check_resolved(plain, source)
    if reads:
        check_addresses({"data": plain["data"]}, named, source)
    for key, value in _unnamed(plain, named, (*READ, "cache") if reads else ("cache",), source):
        raise InputError(
            f"{source} has {key}={value}, which lies outside of this folder and of your data: "
            f"to use it all the same, type {key}={value}"
        )


def check_addresses(config: Any, named: Mapping[str, Any], source: str) -> None:
    """Checks that nothing is fetched from, or sent to, an address that the user did not name.

    Addresses of data sets (`url`), of services and of accounts have rules of their own. Arguments
    as of `check_paths`.
    """
    typed = {str(value) for values in named.values() for value in _list(values)}
    for keys, value in _nodes(config, source):
        others = ("url", *OPENED, *ACCOUNTS)
        if is_address(value) and value not in typed and keys[-1] not in others:
            key = _key_of(keys, value, config) if keys[0] == "data" else ".".join(keys)
            raise InputError(
                f"{source} names an address, {key}={value}: to use it all the same, type that"
            )


def _unnamed(
    config: Mapping[str, Any], named: Mapping[str, Any], wanted: Sequence[str], source: str
) -> Iterator[tuple[str, str]]:
    """Keys and values of paths in the data section that lie where the user did not say."""
    places = [Path.cwd(), Path(os.environ.get("SEQFUSE_DATA", "data")).absolute()]
    typed = (os.path.expanduser(str(value)) for value in named.values() if value)
    places += [Path(os.path.abspath(value)) for value in typed]  # without its ..
    for keys, node in _nodes(config["data"].get("module"), source, ("data", "module")):
        if not isinstance(node, Mapping):
            continue
        for key in WORDS if "root" in wanted else ():
            used = key != "sources" or "{source}" in str(node.get("file"))
            for value in _list(node.get(key)) if used else ():
                place = _key_of((*keys, key), node[key], config) if key in node else ""
                if re.search(r"[/\\]|\.\.", str(value)) and place not in named:
                    yield place, value
        for key in (key for key in wanted if key in node):  # root comes first
            for value in _list(node[key]):
                if isinstance(value, str) and value and _leads_away(key, value, node, places):
                    place = _key_of((*keys, key), value, config)
                    if key == "root" or value not in _list(named.get(place)):  # as it was typed
                        yield place, value


def _leads_away(key: str, value: str, node: Mapping[str, Any], places: Sequence[Path]) -> bool:
    bases = [".", str(node.get("root") or ".")] if key not in ("root", "cache") else ["."]
    if key == "root":
        others = [node[name] for name in READ[1:] if isinstance(node.get(name), str)]
        if others and all(map(os.path.isabs, others)):
            return False  # it is not used
    paths = [os.path.join(base, os.path.expanduser(value)) for base in bases]
    return not all(_inside(path, places) for path in paths)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _inside(path: str, places: Sequence[Path]) -> bool:
    full = os.path.abspath(path)
    return any(full == str(place) or full.startswith(os.path.join(place, "")) for place in places)


def _key_of(keys: Keys, value: Any, config: Mapping[str, Any]) -> str:
    """The shortest key that has a value."""
    if value == (config.get("paths") or {}).get("data"):
        return "paths.data"
    short = [key for key, other in config["data"].items() if other == value]
    return f"data.{short[0]}" if short else ".".join(keys)


SETTINGS = {
    "sweeper": ("num_trials", "num_jobs", "retries", "seed", "max_batch_size"),
    "launcher": (
        *("n_jobs", "timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "nodes"),
        *("tasks_per_node", "array_parallelism", "num_cpus", "num_gpus"),
    ),
}
"""Numbers that a folder may set of Hydra, by section."""
CHOICES = {
    "launcher": ("basic", "joblib", "ray", "submitit_local", "submitit_slurm"),
    "sweeper": ("basic", "grid", "optuna"),
    "sweeper/sampler": ("tpe", "gp", "random"),
    "sweeper/pruner": ("none", "median", "hyperband"),
}
"""Options that a defaults list may choose, by group of Hydra's."""
ENTRY = re.compile(r"(override |optional )?/?[\w-]+(/[\w-]+)*(@[\w.]+)?")
"""The group of an entry of a defaults list, or the config that it names."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads dates as text, as OmegaConf does."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if not tag.endswith(":timestamp")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def check_folder(folder: Path) -> None:
    """Checks what the YAMLs of a folder say of Hydra itself, which acts on it at once.

    Callbacks, logging, environment variables, search paths and folders belong on the command line.
    A folder may choose launcher and sweeper, and set a sweep's mode, parameters and sizes.
    """
    for path in _yamls(folder):
        names = (*path.relative_to(folder).parent.parts, path.stem)
        if any(re.split(r"\W", name)[0].casefold() == "hydra" for name in names):
            raise _of_hydra(path, "an option of a group of Hydra's")
        _check_yaml(path, _content(path))


def _yamls(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        for name in folders:
            if os.path.islink(os.path.join(place, name)):
                raise InputError(
                    f"{os.path.join(place, name)} is a link: a folder of YAMLs may have none to "
                    "another folder"
                )
        for name in sorted(names):
            if name.endswith(".yaml"):
                yield Path(place, name)


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read ({error.strerror}): let it be read")


def _content(path: Path) -> Any:
    """Content of a YAML; a directive that puts it into Hydra's own section is refused."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no YAML ({error.reason}): mend or remove it") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): mend or remove it") from None
    for line in text.splitlines():
        if line.lstrip().startswith("#") and "package" in line and "hydra" in line:
            raise _of_hydra(path, f"'{line.strip()}'")
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        where = f", line {mark.line + 1}," if mark else ""
        raise InputError(f"{path}{where} is no YAML: mend or remove it") from None


def _check_yaml(path: Path, content: Any) -> None:
    for keys, text in _texts(content, str(path)):
        if _runs(text, TEXT):
            raise InputError(
                f"{path}: {text!r} at {'.'.join(keys)} runs a function: write the value itself"
            )
    if not isinstance(content, dict):
        return
    for key in content:
        if key != "hydra" and re.split(r"\W", str(key))[0] == "hydra":
            raise _of_hydra(path, str(key))
    for group, option in _entries(content.get("defaults")):
        if not _may_choose(group, option):
            raise _of_hydra(path, f"'{group}: {option}' in its defaults list")
    settings = content.get("hydra", {})
    for key, value in settings.items() if isinstance(settings, dict) else [(settings, None)]:
        _check_setting(path, str(key), value)


def _entries(defaults: Any) -> Iterator[tuple[str, Any]]:
    """Group and option of each entry of a defaults list; an entry without a group is one itself."""
    for entry in _list(defaults or []):
        for group, options in entry.items() if isinstance(entry, dict) else [(entry, "")]:
            for option in _list(options):
                yield str(group), option


def _may_choose(group: str, option: Any) -> bool:
    """Whether an entry of a defaults list stays within its folder, and out of Hydra's own."""
    if (group, option) == ("hydra", "default"):
        return True
    words = option is None or bool(re.fullmatch(r"([\w.-]+(/[\w-]+)*)?", str(option)))
    if not ENTRY.fullmatch(group) or not words or ".." in str(option):
        return False
    if "hydra" not in group:
        return "hydra" not in str(option)
    place = group.removeprefix("override ").lstrip("/").removeprefix("hydra/")
    return option in CHOICES.get(place, ())


def _check_setting(path: Path, key: str, value: Any) -> None:
    if key == "mode" and isinstance(value, str):
        return
    for name, entry in value.items() if isinstance(value, dict) else [("", None)]:
        number = entry is None or isinstance(entry, (int, float))
        allowed = name in SETTINGS.get(key, ()) and number
        if (key, name) == ("sweeper", "params"):
            allowed = isinstance(entry, dict) and all(_may_sweep(*pair) for pair in entry.items())
        if (key, name) == ("sweeper", "study"):
            allowed = bool(re.fullmatch(r"[\w.-]+", str(entry)))
        if not allowed:
            raise _of_hydra(path, f"hydra.{key}.{name}".rstrip("."))


def _may_sweep(key: Any, values: Any) -> bool:
    """Whether a folder may have a key swept: a value, or an option by its name."""
    first = re.split(r"[./]", str(key).lstrip("+"))[0]
    if first in ("hydra", "trust", "resume", "paths", "trial", "ckpt"):
        return False
    words = re.fullmatch(r"\+{0,2}\w+([./]\w+)*", str(key))
    return bool(words) and not re.search(r"\.\.|(^|[,(\s])/", str(values))


def _of_hydra(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} sets {what}, which Hydra acts on at once: nothing was run; what you want of it, "
        "type on the command line"
    )


def check_composed(
    config: Any, named: Mapping[str, Any], run: Path, urls: Sequence[str], source: str
) -> None:
    """Checks a composed config, parts of which come from a folder of YAMLs.

    Args:
        config: of a run, composed; `trust` in it becomes what was typed, and addresses that are
            neither typed nor those of seqfuse's own data sets are not followed.
        named: values on the command line, by key.
        run: folder that the run may write to.
        urls: patterns of the addresses of seqfuse's own data sets.
    """
    trust = [str(package) for package in named.get("trust") or ()]
    OmegaConf.update(config, "trust", trust)
    plain: Any = OmegaConf.to_container(config, resolve=False)
    for key in _addresses(config, named, urls, source):
        OmegaConf.update(config, key, None)
        say(f"note        {key} of {source} is not fetched, unless you type it")
    for keys, target in _targets(plain, source):
        if "${" in str(target):
            raise _refusal(source, keys, target, "is no name")
    copy = config.copy()
    OmegaConf.update(copy, "paths.run", str(run))
    whole: Any = OmegaConf.to_container(copy, resolve=True)
    check_resolved(whole, source)
    check_addresses(whole, named, source)
    sections = {place[0] for place in SLOTS} & set(whole)
    check_targets({key: whole[key] for key in sections}, trust, source)
    writing = {key: whole.get(key) for key in ("callbacks", "logger", "trainer")}
    for keys, text in _nodes(writing, source):
        key = ".".join(keys)
        if isinstance(text, str) and key not in named:
            _check_written(keys[-1], key, text, run, source, "trial.storage" in named)
    check_paths(copy, named, False, source)


def _check_written(name: str, key: str, text: str, run: Path, source: str, may_open: bool) -> None:
    """Checks that a text of a callback, a logger or the trainer makes it write into the run."""
    path = name in (*FOLDERS, *NAMES)
    if path and re.search(r"[$~]", text.removeprefix(str(run))):
        raise InputError(f"{source} has a variable in {key}={text}: to allow it, type that")
    if name in ACCOUNTS:
        raise InputError(f"{source} would send the run to {key}={text}: to allow it, type that")
    if name in OPENED and not may_open:
        raise InputError(f"{source} would open {key}={text}: leave it out")
    if name == "filename" and not FILE_NAME.fullmatch(text):
        raise InputError(f"{source} would format {key}={text}: to allow it, type that")
    place = "." if name in FOLDERS else run
    if path and not _inside(os.path.join(place, text), [run]):
        raise InputError(f"{source} would write to {key}={text}: to allow it, type that")


def _addresses(
    config: Any, named: Mapping[str, Any], urls: Sequence[str], source: str
) -> list[str]:
    """Keys of addresses that are neither typed nor seqfuse's own, for a place that was named."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    whole: Any = OmegaConf.to_container(config, resolve=True)
    outside = any(_unnamed(whole, named, READ, source)) if "data" in whole else False
    typed = [str(value) for value in named.values()]
    unknown = []
    for keys, value in _nodes(plain.get("data") or {}, source, ("data",)):
        key = ".".join(keys)
        if keys[-1] not in ("url", "download") or not value or key in named:
            continue
        address = str(OmegaConf.select(config, key))
        is_known = any(re.fullmatch(url, address) for url in urls) or address in typed
        if (keys[-1] == "url" and not is_known) or outside:
            unknown.append(key)
    return unknown


def addresses(folder: Path) -> list[str]:
    """Patterns of the addresses that the YAMLs of a folder of data sets name as `url`."""
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")]
    urls = {url for text in texts for url in re.findall(r"^url: (http\S+)$", text, re.MULTILINE)}
    return [r"[\w-]+".join(map(re.escape, REFERENCE.split(url))) for url in sorted(urls)]


def check_links(run: Path) -> None:
    """Checks that no link in a run folder that is gone on with leads out of it."""
    home = Path(os.path.realpath(run))
    for place, folders, names in os.walk(run, onerror=_unreadable):
        for path in (os.path.join(place, name) for name in (*folders, *names)):
            if os.path.islink(path) and not _inside(os.path.realpath(path), [home]):
                raise InputError(
                    f"{path} is a link to {os.path.realpath(path)}, out of the run folder: put "
                    "what it leads to in its place"
                )


def check_output(folder: str, named: Mapping[str, Any], source: Path) -> None:
    """Checks that a run is kept below the current folder, or where the command line says."""
    typed = [key for key in ("paths.logs", "hydra.run.dir", "hydra.sweep.dir") if key in named]
    places = [Path.cwd(), *(Path(str(named[key])).absolute() for key in typed)]
    if not _inside(folder, [*places, source.absolute()]):
        raise InputError(f"{source} would keep its run in {folder}: to allow it, type paths.logs=")

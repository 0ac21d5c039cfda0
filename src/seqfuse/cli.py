"""What the commands share: composing, and one clear line for a user's mistake.

Nothing here imports torch, so `--help`, `--cfg job` and mistakes answer at once.
"""

import difflib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqfuse.plain.errors import InputError, Interrupted

HERE = Path(__file__).parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parents[1] / "conf"
Command = Callable[[DictConfig, Path], Any]
MISTAKES = (InputError, HydraException, OmegaConfBaseException, OSError)


def run(command: Command, config_name: str, prepare: Callable[[], None] = lambda: None) -> None:
    """Composes the config from the command line and calls the command with it and a folder.

    Args:
        command: takes the composed config and the folder that Hydra made.
        config_name: a file of `conf/`.
        prepare: called before composing; may change `sys.argv`.

    A mistake of the user's ends with one line and exit code 1; Ctrl-C with 130. With
    HYDRA_FULL_ERROR=1 in the environment, tracebacks are shown instead.
    """
    debugging = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its own many lines

    def job(config: DictConfig) -> Any:
        try:
            return _checked(command, config)
        except (*MISTAKES, Interrupted) as error:
            if debugging or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            _end(error)

    try:
        prepare()
        sys.argv[1:] = [_quoted(word) for word in sys.argv[1:]]
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)()
    except BrokenPipeError:  # whoever was reading has gone, as in `... --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (*MISTAKES, Interrupted) as error:
        if debugging:
            raise
        _end(error)
    except KeyboardInterrupt:
        fail("stopped", 128 + signal.SIGINT)
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1" if debugging else "0"


def _quoted(word: str) -> str:
    """`precision=32` as `precision='32'`: Hydra takes no numbers for the names of options."""
    group, equals, options = word.partition("=")
    if not equals or not (CONF / group).is_dir():
        return word
    names = [f"'{name}'" if name.isdigit() else name for name in options.split(",")]
    return f"{group}={','.join(names)}"


def _checked(command: Command, config: DictConfig) -> Any:
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        check_types(config)
        return command(config, folder)
    except InputError:
        _remove_if_empty(folder)
        raise


def _end(error: Exception) -> None:
    fail(explain(error), getattr(error, "exit_code", 1))


def _remove_if_empty(folder: Path) -> None:
    """A run that never began leaves no folder."""
    for empty in (folder, folder.parent):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def resume_run() -> None:
    """Turns `resume=<run folder|latest>` into that run's own config and folder."""
    given = [word for word in sys.argv[1:] if word.startswith("resume=")]
    if not given or given[-1] == "resume=null":
        return
    logs = [word[11:] for word in sys.argv[1:] if word.startswith("paths.logs=")]
    folder = _find_run(given[-1][7:].strip("'\""), Path(logs[-1] if logs else "logs"))
    rest = [word for word in sys.argv[1:] if word not in given]
    run = str(folder.resolve()).replace("'", "\\'")
    options = ["--config-dir", str(folder), "--config-name", "config"]
    sys.argv[1:] = [
        *options,
        *rest,
        f"hydra.run.dir='{run}'",
        f"resume='{run}/checkpoints/last.ckpt'",
    ]


def _find_run(name: str, logs: Path) -> Path:
    if name == "latest":
        found = sorted(logs.glob("**/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise InputError(f"resume=latest: no run in {logs} has a checkpoint")
        return found[-1].parents[1]
    for needed in ("config.yaml", "checkpoints/last.ckpt"):
        if not (Path(name) / needed).is_file():
            raise InputError(f"resume={name}: no run folder, it has no {needed}")
    return Path(name)


def fail(message: str, code: int = 1) -> None:
    """Prints one line and exits."""
    print(f"seqfuse: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


def explain(error: Exception) -> str:
    """One line for an error: what is wrong, and what to type."""
    text = str(error)
    if isinstance(error, (InputError, Interrupted)):
        return text
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        where = error.filename or "a file"
        return (
            f"cannot read or write {where} ({error.strerror or text}): set paths.logs or paths.data"
        )
    if found := re.search(r"Could not (?:find|load) '(.+?)'", text):
        group, _, option = found[1].rpartition("/")
        return _unknown_option(group, option)
    if found := re.search(r"Could not (?:override|append|delete).*? '(.+?)'", text):
        return _unknown_key(found[1].split("=")[0])
    if found := re.search(r"Key '(.+?)' is not in struct\s+full_key: (\S+)", text):
        return _unknown_key(found[2])
    return text.split("See https")[0]


def _unknown_option(group: str, option: str) -> str:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = GlobalHydra.instance().config_loader().get_group_options(group)
    near = _nearest(option, options)
    return f"{group or 'config'}={option}: no such option{near} (options: {', '.join(options)})"


def _unknown_key(key: str) -> str:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        choices = compose("train", return_hydra_config=True).hydra.runtime.choices
        groups = [word for word in sys.argv[1:] if word.split("=")[0] in choices]
        config = OmegaConf.to_container(compose("train", groups))
    near = _nearest(key, [*_keys(config), *map(str, choices)])
    return f"{key}: no such key{near}; --cfg job lists them all"


def _nearest(word: str, options: list[str]) -> str:
    last = word.split(".")[-1]
    near = [option for option in options if option.split(".")[-1] == last]  # in the wrong place
    near = near or difflib.get_close_matches(word, options, n=1, cutoff=0.4)
    return f", did you mean {near[0]}?" if near else ""


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _keys(value, f"{prefix}{key}.")


def check_types(config: DictConfig) -> None:
    """Holds every value given on the command line against the type of the YAML's default.

    Raises:
        InputError: a word where a number belongs, and the like.
    """
    settings = HydraConfig.get()
    choices = settings.runtime.choices
    given = OverridesParser.create().parse_overrides(list(settings.overrides.task))
    values = [o for o in given if o.key_or_group not in choices and not o.is_delete()]
    if not values:
        return
    groups = [str(o.input_line) for o in given if o.key_or_group in choices]
    loader = GlobalHydra.instance().config_loader()
    defaults = loader.load_configuration(settings.job.config_name, groups, RunMode.RUN)
    for override in values:
        key = override.key_or_group
        try:
            default = OmegaConf.select(defaults, key)
            value = OmegaConf.select(config, key)
        except OmegaConfBaseException:
            continue
        if not _fits(value, default):
            raise InputError(
                f"{key}={override.get_value_element_as_str()}: expected {_kind(default)} "
                f"such as {_plain(default)}"
            )


def _fits(value: Any, default: Any) -> bool:
    value, default = _plain(value), _plain(default)
    if default is None or default == "auto" or type(value) is type(default):
        return True
    if isinstance(default, dict):
        return value is None  # switches a part off
    if isinstance(value, list):
        return not isinstance(default, list) and all(_fits(one, default) for one in value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and (isinstance(default, str) or (isinstance(default, float) and number))


def _kind(default: Any) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    return kinds.get(type(_plain(default)), "a list" if OmegaConf.is_list(default) else "null")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value

"""Commands: composed from the command line, with one clear line for a user's mistake.

Nothing here imports torch, so `--help`, `--cfg job` and mistakes answer at once.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import hydra
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from seqfuse.config import mistakes, names, runs, untrusted
from seqfuse.config.checks.groups import CONF, groups, own_folders, strange_folders
from seqfuse.config.checks.types import check_types, defaults
from seqfuse.config.checks.words import (
    TYPED,
    check_addresses,
    check_flags,
    check_launcher,
    check_left_out,
    remember,
    typed,
)
from seqfuse.config.mistakes import MISTAKES, explain
from seqfuse.runtime.errors import InputError, Interrupted, Stopped
from seqfuse.runtime.shown import say, stop_saying

Command = Callable[[DictConfig, Path], Any]
ONE_AT_A_TIME = ("predict", "explain", "export")
"""Commands whose output is one file or folder."""
KEEPING = ("train", "evaluate")
"""Commands, by their config, that leave something in the run folder."""


def run(command: Command, config_name: str, usage: str, prepare: Callable[[], None]) -> None:
    """Composes the config from the command line and calls the command with it and a folder.

    A mistake ends with one line and code 1 (a traceback, if HYDRA_FULL_ERROR=1), Ctrl-C with one
    and 130, SIGTERM with one and 143.

    Args:
        command: takes the composed config and the folder that Hydra made.
        config_name: a file of `conf/`.
        usage: what `--help` prints, above the groups.
        prepare: called before composing; may change `sys.argv`.
    """
    from seqfuse.ddp import start

    # A child of Lightning has it from its parent, who set it below.
    debugging = os.environ.get("HYDRA_FULL_ERROR") == "1" and not start.is_child()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its own many lines
    # Of errors that are no mistakes of the user's.
    sys.excepthook = lambda *error: say(
        "".join(traceback.format_exception(*error)).rstrip(), file=sys.stderr
    )

    def job(config: DictConfig) -> Any:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _one_of_many(command, config, config_name)
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            with _claimed(folder, config, config_name):
                return _begin(command, config, folder)
        except (*MISTAKES, Interrupted) as error:
            if debugging and not isinstance(error, Interrupted):
                raise
            ours = isinstance(error, (InputError, Interrupted))
            fail(explain(error, config_name), error.exit_code if ours else 1)

    try:
        if {"--help", "-h"} & set(sys.argv):
            table = (f"  {group}: {', '.join(names)}" for group, names in groups().items())
            return say(f"{usage}\nGroups (group=option):\n\n" + "\n".join(table))
        with _safe_path(), _stoppable():
            start.prepare()
            prepare()
            if config_name in ONE_AT_A_TIME and (words := start.sweeping(sys.argv[1:])):
                raise InputError(f"seqfuse-{config_name} does one thing: leave out {words[0]}")
            _prepare_words(config_name)
            _start(
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)
            )
    except BrokenPipeError:  # whoever was reading has gone, as in `... --help | head`
        stop_saying()
    except MISTAKES as error:
        if debugging:
            raise
        fail(explain(error, config_name))
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1" if debugging else "0"


@contextmanager
def _safe_path() -> Iterator[None]:
    """Lets processes that are started meanwhile import nothing from the current folder."""
    before = {name: os.environ.get(name) for name in ("PYTHONSAFEPATH", TYPED)}
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def _prepare_words(config_name: str) -> None:
    """Checks the folders that the command line names, and writes it as Hydra wants it."""
    words = sys.argv[1:]
    check_flags(words)
    remember(words)
    check_addresses(words)
    for folder in own_folders():
        untrusted.check_folder(folder)
    # `sweep=` means -m, which Hydra must know before it composes, as mistakes read otherwise.
    sweeps = any(word.startswith("sweep=") and word != "sweep=null" for word in words)
    other = ("-m", "--multirun", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")
    if sweeps and not set(other) & set(words):
        words.append("-m")
    # -m comes first: between overrides, argparse would take it for their end.
    words.sort(key=lambda word: word not in ("-m", "--multirun"))
    check_left_out(words)
    if config_name == "train":
        words = names.with_name([_of_newest(word) for word in words])
    check_launcher(words)
    sys.argv[1:] = [quoted(word) for word in words]


def quoted(word: str) -> str:
    """`precision=32` as `precision='32'`: Hydra takes no numbers for the names of options."""
    group, _, options = word.partition("=")
    names = options.split(",")
    if not any(name.isdigit() for name in names) or group not in groups():
        return word
    options = ",".join(f"'{name}'" if name.isdigit() else name for name in names)
    return f"{group}={options}"


@contextmanager
def _stoppable() -> Iterator[None]:
    """Lets SIGTERM end the command as Ctrl-C does: with one line, and nothing left half made."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    foreign = (ValueError, TypeError)  # not in the main thread, or a handler that is not Python's
    if before[signal.SIGTERM] == signal.SIG_DFL:
        with suppress(*foreign):
            signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        if (stopped := _stopped(error)) is None:
            raise
        fail(str(stopped), 128 + stopped.number)
    finally:
        for number, handler in before.items():  # Lightning leaves Ctrl-C ignored
            with suppress(*foreign):
                signal.signal(number, handler)


def _stopped(error: BaseException) -> Stopped | None:
    """The signal that an error stems from: Lightning answers it with exit code 1."""
    cause = error.__context__ if isinstance(error, SystemExit) else error
    if isinstance(cause, Stopped):
        return cause
    return Stopped() if isinstance(cause, KeyboardInterrupt) else None


def _start(main: Callable[[], None]) -> None:
    """Lets Hydra run one job, or many and then their summary."""
    from seqfuse.search.sweep import Summaries

    try:
        main()
    except RuntimeError as error:
        if type(error).__name__ != "UncompletedJobError":
            raise
        raise InputError(explain(error)) from None
    finally:
        incomplete = Summaries.write()
        Summaries.tidy()
    if incomplete:
        fail(incomplete)


def _claimed(folder: Path, config: DictConfig, config_name: str) -> AbstractContextManager[None]:
    """The folder for this run alone, where the command leaves something there."""
    from seqfuse.ddp import start
    from seqfuse.resume import job

    child = start.is_child() or start.foreign_rank()  # the first of several processes has it
    if config_name not in KEEPING or child:
        return nullcontext()
    return runs.claimed(folder, bool(OmegaConf.select(config, "resume")) or job.restarted())


def _begin(command: Command, config: DictConfig, folder: Path) -> Any:
    """Checks the composed config and calls the command."""
    from seqfuse.ddp import start
    from seqfuse.resume import state

    settings = HydraConfig.get()
    check_types(config, settings)
    # What comes from a checkpoint, or from a folder of YAMLs, is held against the rules for it.
    named = typed(settings)
    if "ckpt" in config:  # its data section is the checkpoint's
        if not config.ckpt:
            raise InputError("ckpt is empty: type ckpt=logs/<name>/<time>/checkpoints/best.ckpt")
        reads = not config.get("input") and config.get("split") != "none"
        untrusted.check_paths(config, named, reads, "the checkpoint")
    for source in strange_folders(settings):
        urls = untrusted.addresses(CONF / "data")
        untrusted.check_composed(config, named, folder, urls, source)
    if settings.mode == RunMode.MULTIRUN:
        start.refuse_job(config.trainer)
    if OmegaConf.select(config, "trainer.deterministic"):
        # CUDA reads it when it starts; without it some sums come out in another order each time.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if "label" in config and not config.resume:  # a run that goes on has one
        config.label = names.label(_swept(settings, folder)) or config.label
    try:
        return command(config, folder)
    except InputError as error:
        raise mistakes.with_source(error, config) from None
    except (KeyboardInterrupt, SystemExit) as error:
        stopped = _stopped(error)
        if stopped is None or start.is_child() or not state.can_go_on(folder):
            raise
        raise Interrupted(stopped.number, os.path.relpath(folder)) from None


def _swept(settings: HydraConf, folder: Path) -> list[str]:
    """Overrides of a run; of a job of a sweep those that the sweep varies, if there are any."""
    words, file = list(settings.overrides.task), folder.parent / "multirun.yaml"
    if settings.mode != RunMode.MULTIRUN or not file.is_file():
        return words
    typed = OverridesParser.create().parse_overrides(OmegaConf.load(file).hydra.overrides.task)
    fixed = {word.get_key_element() for word in typed if not word.is_sweep_override()}
    return [word for word in words if word.partition("=")[0] not in fixed] or words


def _one_of_many(command: Command, config: DictConfig, config_name: str) -> dict[str, Any]:
    """A job of a sweep: keeps how it ended, and does not end the others."""
    from seqfuse.search import devices, outcome

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    devices.take(settings.launcher, settings.job.num)
    job = {
        "job": settings.job.num,
        "overrides": list(settings.overrides.task),
        "monitor": OmegaConf.select(config, "task.monitor"),
        "mode": OmegaConf.select(config, "task.mode"),
        "machine": runs.machine(),
        "pid": os.getpid(),
    }
    with _claimed(folder, config, config_name):
        outcome.KILLED.write(folder, **job)  # stays if nothing below comes to an end
        try:
            ended = outcome.Outcome("completed", _begin(command, config, folder) or {})
        except Interrupted as error:
            outcome.KILLED._replace(reason=str(error)).write(folder, **job)
            fail(str(error), error.exit_code)  # not an `Exception`, so that Hydra ends the sweep
        except Exception as error:
            ended = outcome.of_error(error, explain(error, config_name))
            outcome.keep_trace(error, folder)
            say(f"seqfuse: job {job['job']} {ended.status}: {ended.reason}", file=sys.stderr)
        ended.write(folder, **job)
    return ended._asdict()


def offer_recipe() -> None:
    """Puts the checkpoint's data section into the config, so that it can be overridden."""
    sys.argv[1:] = [_located(word) for word in sys.argv[1:]]
    given = [word[5:].strip("'\"") for word in sys.argv[1:] if word.startswith("ckpt=")]
    node: dict = {"data": {}, "seed": 0, "paths": {"data": None}}
    if given and given[-1]:
        from seqfuse.config import checkpoint  # slow: torch

        content = checkpoint.read(given[-1])
        recipe, config = content["recipe"], content["config"]
        try:
            node = {key: recipe[key] for key in ("data", "seed")}
            node["paths"] = {"data": recipe["paths"]["data"]}
            node["trainer"] = {key: config["trainer"][key] for key in ("precision", "num_threads")}
            untrusted.check_resolved(node["trainer"])
            node["callbacks"] = {"figures": config["callbacks"].get("figures")}
        except KeyError as error:
            raise InputError(f"{given[-1]} is no usable checkpoint: it lacks {error}") from None
        untrusted.check_references(node)
        node["data"] = untrusted.without_downloads(node["data"])
    ConfigStore.instance().store("recipe", node, group="checkpoint", package="_global_")
    defaults.cache_clear()  # they are those of this checkpoint now


def _located(word: str) -> str:
    """A word, with the path of the checkpoint that `ckpt=latest` or `ckpt=hf://...` names."""
    if not word.startswith("ckpt=") or not (name := word[5:].strip("'\"")):
        return word
    if name == "latest":
        return _of_newest(word)
    if "://" not in name:
        if not Path(name).exists():
            raise InputError(f"ckpt={name}: there is no such file; ckpt=latest is the last run's")
        return word
    from seqfuse.config import checkpoint  # slow: torch

    path = checkpoint.local(name)
    return word if path == name else _named("ckpt", path)


def _of_newest(word: str) -> str:
    """A word, with the path of the checkpoint that `ckpt=latest`, or another key's, names."""
    key, _, name = word.partition("=")
    if key not in ("ckpt", "init_from", "teacher") or name.strip("'\"") != "latest":
        return word
    return _named(key, _newest(key))


def _named(key: str, path: str | Path) -> str:
    say(f"checkpoint  {path}", file=sys.stderr)
    return "{}='{}'".format(key, str(path).replace("'", "\\'"))


def _newest(key: str) -> Path:
    """The checkpoint that a run wrote last."""
    logs = next((word[11:] for word in sys.argv[1:] if word.startswith("paths.logs=")), "logs")
    paths = Path(logs).glob("**/checkpoints/best.ckpt")
    path = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    if path is None:
        raise InputError(f"{key}=latest: no run in {logs} has a checkpoint: train first")
    return path


def fail(message: str, code: int = 1) -> NoReturn:
    """Prints one line and exits."""
    from seqfuse.ddp import start

    if start.speaks():
        say(f"seqfuse: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)

"""What the commands share: composing, and one clear line for a user's mistake.

Nothing here imports torch, so `--help`, `--cfg job` and mistakes answer at once.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from seqfuse.config import runs, untrusted
from seqfuse.config.mistakes import (
    CONF,
    MISTAKES,
    TYPED,
    check_flags,
    check_left_out,
    check_types,
    defaults,
    explain,
    groups,
    own_folders,
    remember,
    strange_folders,
    typed,
)
from seqfuse.ddp import start
from seqfuse.resume import slurm
from seqfuse.resume import state as resume
from seqfuse.runtime.errors import InputError, Interrupted, Stopped
from seqfuse.runtime.shown import say
from seqfuse.search import share
from seqfuse.search.callback import Summaries
from seqfuse.search.outcome import KILLED, Outcome, keep_trace, of_error

ONE_AT_A_TIME = ("predict", "export")
"""Commands whose output is one file or folder."""
Command = Callable[[DictConfig, Path], Any]
KEEPING = ("train", "evaluate")
"""Commands, by their config, that leave something in the run folder."""


def run(command: Command, config_name: str, usage: str, prepare: Callable[[], None]) -> None:
    """Composes the config from the command line and calls the command with it and a folder.

    Args:
        command: takes the composed config and the folder that Hydra made.
        config_name: a file of `conf/`.
        usage: what `--help` prints, above the groups.
        prepare: called before composing; may change `sys.argv`.

    A mistake ends with one line and code 1 (a traceback, if HYDRA_FULL_ERROR=1), Ctrl-C with one
    and 130, SIGTERM with one and 143.
    """
    # A child of Lightning has it from its parent, who set it below.
    debugging = os.environ.get("HYDRA_FULL_ERROR") == "1" and not start.is_child()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its own many lines
    sys.excepthook = _show  # of errors that are no mistakes of the user's

    def job(config: DictConfig) -> Any:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _one_of_many(command, config, config_name)
        try:
            return _checked(command, config, config_name)
        except (*MISTAKES, Interrupted) as error:
            if debugging and not isinstance(error, Interrupted):
                raise
            fail(explain(error, config_name), getattr(error, "exit_code", 1))

    try:
        if {"--help", "-h"} & set(sys.argv):
            return say(f"{usage}\nGroups (group=option):\n\n{_group_table()}")
        with _safe_path(), _stoppable():
            start.prepare()
            prepare()
            if config_name in ONE_AT_A_TIME and (words := start.sweeping(sys.argv[1:])):
                raise InputError(f"seqfuse-{config_name} does one thing: leave out {words[0]}")
            _prepare_words()
            _start(
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)
            )
    except BrokenPipeError:  # whoever was reading has gone, as in `... --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say("".join(traceback.format_exception(kind, error, trace)).rstrip(), file=sys.stderr)


def _prepare_words() -> None:
    """Checks the folders that the command line names, and writes it as Hydra wants it."""
    check_flags(sys.argv[1:])
    remember(sys.argv[1:])
    for folder in own_folders():
        untrusted.check_folder(folder)
    words = sorted([*sys.argv[1:], *_multirun()], key=_is_no_multirun)
    check_left_out(words)
    sys.argv[1:] = [_quoted(word) for word in words]


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


def _group_table() -> str:
    """One line per group: its options."""
    return "\n".join(f"  {name}: {', '.join(found)}" for name, found in groups().items())


def _is_no_multirun(word: str) -> bool:
    """-m comes first: between overrides, argparse would take it for their end."""
    return word not in ("-m", "--multirun")


def _quoted(word: str) -> str:
    """`precision=32` as `precision='32'`: Hydra takes no numbers for the names of options."""
    group, equals, options = word.partition("=")
    if not equals or group not in groups():
        return word
    names = [f"'{name}'" if name.isdigit() else name for name in options.split(",")]
    return f"{group}={','.join(names)}"


def _multirun() -> list[str]:
    """`sweep=` means -m, which Hydra must know before it composes, as mistakes read otherwise."""
    sweeps = any(word.startswith("sweep=") and word != "sweep=null" for word in sys.argv[1:])
    other = ("-m", "--multirun", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")
    return ["-m"] if sweeps and not set(other) & set(sys.argv) else []


def _start(main: Callable[[], None]) -> None:
    """Lets Hydra run one job, or many and then their summary."""
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


def _checked(command: Command, config: DictConfig, config_name: str) -> Any:
    folder = Path(HydraConfig.get().runtime.output_dir)
    with _own(folder, config, config_name):
        return _begin(command, config, folder)


def _own(folder: Path, config: DictConfig, config_name: str) -> AbstractContextManager[None]:
    """The folder for this run alone, where the command leaves something there."""
    child = start.is_child() or start.foreign_rank()  # the first of several processes has it
    if config_name not in KEEPING or child:
        return nullcontext()
    return runs.claimed(folder, bool(OmegaConf.select(config, "resume")) or slurm.restarted())


def _begin(command: Command, config: DictConfig, folder: Path) -> Any:
    check_types(config)
    _check_strangers(config, folder)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        start.refuse_job(config.trainer)
    _prepare_torch(config)
    try:
        return command(config, folder)
    except (KeyboardInterrupt, SystemExit) as error:
        stopped = _stopped(error)
        if stopped is None or start.is_child() or not resume.can_go_on(folder):
            raise
        raise Interrupted(stopped.number, os.path.relpath(folder)) from None


def _check_strangers(config: DictConfig, folder: Path) -> None:
    """Holds what comes from a checkpoint, or from a folder of YAMLs, against the rules for it."""
    named = typed(HydraConfig.get())
    if "ckpt" in config and config.ckpt:  # its data section is the checkpoint's
        reads = not config.get("input") and config.get("split") != "none"
        untrusted.check_paths(config, named, reads, "the checkpoint")
    for source in strange_folders(HydraConfig.get()):
        urls = untrusted.addresses(CONF / "data")
        untrusted.check_composed(config, named, folder, urls, source)


def _one_of_many(command: Command, config: DictConfig, config_name: str) -> dict[str, Any]:
    """A job of a sweep: keeps how it ended, and does not end the others."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    share.take(settings.launcher, settings.job.num)
    facts = {
        "job": settings.job.num,
        "overrides": list(settings.overrides.task),
        "monitor": OmegaConf.select(config, "task.monitor"),
        "mode": OmegaConf.select(config, "task.mode"),
    }
    with _own(folder, config, config_name):
        return _outcome_of(command, config, config_name, folder, facts)


def _outcome_of(
    command: Command, config: DictConfig, config_name: str, folder: Path, facts: dict[str, Any]
) -> dict[str, Any]:
    KILLED.write(folder, **facts)  # stays if nothing below comes to an end
    try:
        outcome = Outcome("completed", _begin(command, config, folder) or {})
    except Interrupted as error:
        KILLED._replace(reason=str(error)).write(folder, **facts)
        fail(str(error), error.exit_code)  # not an `Exception`, so that Hydra ends the sweep
    except Exception as error:
        outcome = of_error(error, explain(error, config_name))
        keep_trace(error, folder)
        say(f"seqfuse: job {facts['job']} {outcome.status}: {outcome.reason}", file=sys.stderr)
    outcome.write(folder, **facts)
    return outcome._asdict()


def _prepare_torch(config: DictConfig) -> None:
    """CUDA reads this when it starts; without it some sums come out in another order each time."""
    if OmegaConf.select(config, "trainer.deterministic"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def offer_recipe() -> None:
    """Puts the checkpoint's data section into the config, so that it can be overridden."""
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
    store = ConfigStore.instance()
    store.store("recipe", node, group="checkpoint", package="_global_")
    defaults.cache_clear()  # they are those of this checkpoint now


def fail(message: str, code: int = 1) -> None:
    """Prints one line and exits."""
    if start.speaks():
        say(f"seqfuse: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)

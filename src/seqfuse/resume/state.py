"""Going on with a run: which folder, which of its checkpoints, and whether there is more to do.

A run that is killed goes on from `last.ckpt`, which is at most as old as
`callbacks.last_checkpoint` says. If that cannot be read, the newest other one that can be
is taken. Finding the folder imports no torch.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.hydra_config import HydraConfig

from seqfuse.config import runs, untrusted
from seqfuse.config.checks.groups import CONF
from seqfuse.config.checks.words import typed
from seqfuse.ddp import start
from seqfuse.resume import job
from seqfuse.runtime import files
from seqfuse.runtime.errors import Finished, InputError
from seqfuse.runtime.read import addresses
from seqfuse.runtime.read.addresses import is_address
from seqfuse.runtime.shown import say

if TYPE_CHECKING:
    from omegaconf import DictConfig

CHECKPOINTS = ("checkpoints/*.ckpt", f"{runs.MEMBERS}/*/checkpoints/*.ckpt")
"""Patterns of the checkpoints of one net, and of the members of an ensemble."""
LAST = "checkpoints/last.ckpt"
STATES = ("loops", "optimizer_states", "lr_schedulers")
"""Sections of a checkpoint beside its weights, none of them empty."""
NAMED = ("trust=", "paths.", "data.", "callbacks.", "logger.", "trainer.")
"""Beginnings of words that may name packages and paths."""
ANY_SIZE = ("calibrator.scores", "calibrator.truths")
"""Tensors of a checkpoint that are as long as the calibration part was."""


def find_run() -> None:
    """Turns `resume=<run folder|latest>` into that run's own config and folder.

    So does a Slurm job that is put back into the queue, and a rank that torchrun starts again, for
    what its command had begun.
    """
    if start.is_child():  # its command is that of its parent, who looked
        return
    words = sys.argv[1:] = [_mirrored(word) for word in sys.argv[1:]]
    named = [word[7:].strip("'\"") for word in words if word.startswith("resume=")]
    several = start.sweeping(words)
    logs = [word[11:] for word in words if word.startswith("paths.logs=")]
    folder = Path(logs[-1] if logs else "logs")
    if not several and (run := job.run_before(folder)):
        if _any_checkpoint(run) and not start.foreign_rank():
            say(f"resume      {run} goes on")
        job.note(run)  # torchrun's name may be another in a job that was put back
        # Its config holds all that was typed, but trust and places are not taken from it.
        typed_again = [word.lstrip("+") for word in words]  # what was added is there by now
        return _go_on(run, [word for word in typed_again if word.startswith(NAMED)])
    if not named or named[-1] == "null":
        return
    if several:
        raise InputError(
            f"resume goes on with one run: leave out {several[0]} (a search, sweep=optuna, goes "
            "on without resume, by the command that began it)"
        )
    mirrors = [word[13:].strip("'\"") for word in words if word.startswith("paths.mirror=")]
    if named[-1] == "latest":
        run = _latest_at(mirrors[-1], folder) if mirrors else _latest(folder)
    elif is_address(named[-1]):
        base, *names = named[-1].rstrip("/").rsplit("/", 2)
        run = _named(str(_brought(named[-1], folder.joinpath(*names))))
        words = [*words, *([] if mirrors else [f"paths.mirror='{base}'"])]
    else:
        run = _named(named[-1])
    job.note(run)  # while the words are those that were typed
    _go_on(run, [word for word in words if not word.startswith("resume=")])


def _mirrored(word: str) -> str:
    """`paths.logs=s3://...` as what it means: a run is kept here, and has a copy there."""
    key, _, value = word.partition("=")
    return (
        f"paths.mirror={value}" if key == "paths.logs" and is_address(value.strip("'\"")) else word
    )


def _latest_at(address: str, logs: Path) -> Path:
    """The run that was last sent to an address, brought here."""
    address = address.rstrip("/")
    newest = addresses.newest(address, f"*/{LAST}")
    if newest is None:
        raise InputError(f"resume=latest: no run at {address} has a checkpoint")
    place = newest.removesuffix(f"/{LAST}").partition(f"/{runs.MEMBERS}/")[0]
    return _named(str(_brought(place, logs / place.removeprefix(f"{address}/"))))


def _brought(address: str, run: Path) -> Path:
    """A run folder at an address, copied among the runs here; what is here already is the run."""
    if run.exists():
        say(f"resume      {run} is here, and goes on from what it holds")
        return run
    copy = addresses.local(address)
    part = run.with_name(f".{run.name}.{os.getpid()}.part")
    try:
        shutil.copytree(copy, part)
        part.rename(run)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return run


def _go_on(run: Path, words: list[str]) -> None:
    untrusted.check_links(run)
    folder = str(run.resolve()).replace("'", "\\'")
    options = ["--config-dir", str(run), "--config-name", "config"]
    sys.argv[1:] = [*options, *words, f"hydra.run.dir='{folder}'", f"resume='{folder}/{LAST}'"]
    if not _any_checkpoint(run) and not start.foreign_rank():
        say(f"resume      {run} was stopped before its first checkpoint and begins anew")


def _latest(logs: Path) -> Path:
    """The run that was last written to, of those that can go on."""

    def written(run: Path) -> float:
        return max(p.stat().st_mtime for p in (run / "config.yaml", *_checkpoints(run)))

    folders = (path.parent for path in logs.glob("**/config.yaml"))
    alone = [run for run in folders if not _is_member(run)]
    for run in sorted(alone, key=written, reverse=True):
        if _any_checkpoint(run) or (not (run / "metrics.json").exists() and _keeps(run)):
            return run
    raise InputError(f"resume=latest: no run in {logs} has a checkpoint")


def _named(name: str) -> Path:
    run = Path(name)
    if run.is_file():
        raise InputError(f"resume={name}: name the run folder, such as {run.parents[1]}")
    if not (run / "config.yaml").is_file():
        raise InputError(f"resume={name}: no run folder, it has no config.yaml")
    if not _any_checkpoint(run) and not _keeps(run):
        raise InputError(
            f"resume={name}: the run keeps no {LAST} (callbacks.last_checkpoint): run it again "
            f"with --config-dir {name} --config-name config"
        )
    return run


def can_go_on(run: Path) -> bool:
    """Whether a folder holds a run that `resume` goes on with, or begins anew."""
    return (run / "config.yaml").is_file() and (_any_checkpoint(run) or _keeps(run))


def _any_checkpoint(run: Path) -> bool:
    return any(_checkpoints(run))


def _checkpoints(run: Path) -> Iterator[Path]:
    return (path for pattern in CHECKPOINTS for path in run.glob(pattern))


def _is_member(run: Path) -> bool:
    """Whether it is one of an ensemble, which goes on as a whole."""
    return run.parent.name == runs.MEMBERS and (run.parents[1] / "config.yaml").is_file()


def _keeps(run: Path) -> bool:
    """Whether the run writes checkpoints at all."""
    callbacks = yaml.safe_load((run / "config.yaml").read_text()).get("callbacks") or {}
    return bool(callbacks.get("last_checkpoint"))


def in_folder(recipe: "DictConfig") -> "DictConfig":
    """Lets a job of a sweep that Slurm or Ray puts back go on in its folder, by the recipe that it
    wrote there, with what it had found, as a trial of its search."""
    run = Path(str(recipe.paths.run))
    if recipe.resume or not job.restarted() or not _any_checkpoint(run):
        return recipe
    from omegaconf import OmegaConf

    kept: Any = OmegaConf.load(run / "config.yaml")
    kept.pop("defaults")
    named = typed(HydraConfig.get()) if HydraConfig.initialized() else {}
    untrusted.check_composed(kept, named, run, untrusted.addresses(CONF / "data"), str(run))
    kept.paths.run, kept.resume, kept.trial = recipe.paths.run, str(run / LAST), recipe.trial
    return kept


def checkpoint_of(config: dict[str, Any], weights: Mapping[str, Any] | None = None) -> Path | None:
    """The checkpoint that a run goes on from; None if it begins, perhaps anew.

    Weights of the checkpoint must have the names and shapes of these of its task.
    """
    if not config["resume"] or not _any_checkpoint(Path(config["resume"]).parents[1]):
        return None
    path, content = _readable(Path(config["resume"]))
    if content["config"]["model"] != config["model"]:
        raise InputError("resume goes on with the same net: leave out model.* and data.*")
    theirs = {name: weight.shape for name, weight in content["state_dict"].items()}
    ours = theirs if weights is None else {name: w.shape for name, w in weights.items()}
    for name in sorted({**theirs, **ours}):
        if name not in ANY_SIZE and theirs.get(name) != ours.get(name):
            raise InputError(f"{path}: its weight {name} does not fit the net of its config")
    if end := _end(config, content):
        _check_unfinished(config, content, path.parents[1], *end)
    return path


def _readable(wanted: Path) -> tuple[Path, dict[str, Any]]:
    """The checkpoint, or else the newest of its folder that can be read."""
    from seqfuse.config import checkpoint  # slow: torch

    others = sorted(wanted.parent.glob("*.ckpt"), key=lambda path: -path.stat().st_mtime)
    problems: list[str] = []
    for path in (wanted, *(path for path in others if path != wanted)):
        try:
            content = checkpoint.read(path)
            _check_whole(path, content)
        except InputError as error:
            problems.append(str(error))
            continue
        if problems:
            step = content.get("global_step")
            say(f"seqfuse: warning: {problems[0]}", file=sys.stderr)
            say(f"seqfuse: goes on from {path.name} instead, step {step}", file=sys.stderr)
        return path, content
    raise InputError(
        f"resume: no checkpoint in {wanted.parent} can be read: {problems[0].split(':')[0]}; to "
        f"begin anew, type --config-dir {wanted.parents[1]} --config-name config"
    )


def _check_whole(path: Path, content: dict[str, Any]) -> None:
    """Refuses a checkpoint that lacks what Lightning would begin anew without a word."""
    from seqfuse.compat.lightning import epochs_done  # slow: lightning

    for key in (*STATES, "callbacks", "global_step"):
        if key not in content or (key in STATES and not content[key]):
            raise InputError(f"{path} holds no {key}, which going on needs: copy it again")
    try:
        epochs_done(content)
        _stopped_early({"callbacks": {"early_stopping": True}}, content)
    except (LookupError, TypeError, AttributeError):
        raise InputError(f"{path} does not say how far it is: copy it again") from None


def _end(config: dict[str, Any], content: dict[str, Any]) -> tuple[str, str] | None:
    """Why there is no step left to train, and what to type for more; None if there is one."""
    from seqfuse.compat.lightning import epochs_done  # slow: lightning

    epochs, max_epochs = epochs_done(content), config["trainer"]["max_epochs"]
    if _stopped_early(config, content):
        return f"stopped early after {epochs} epochs", "callbacks.early_stopping=null"
    if 0 < (steps := config["trainer"]["max_steps"]) <= content["global_step"]:
        return f"trained all {steps} steps", f"trainer.max_steps={2 * steps}"
    if max_epochs is not None and 0 < max_epochs <= epochs:
        return f"trained all {epochs} epochs", f"trainer.max_epochs={2 * epochs}"
    return None


def _stopped_early(config: dict[str, Any], content: dict[str, Any]) -> bool:
    if not (config.get("callbacks") or {}).get("early_stopping"):
        return False
    states = [value for key, value in content["callbacks"].items() if "EarlyStopping" in key]
    return any(state["wait_count"] >= state["patience"] for state in states)


def _check_unfinished(
    config: dict[str, Any], content: dict[str, Any], run: Path, end: str, more: str
) -> None:
    """A run that was killed before its test, or before it could tell, goes on."""
    path = run / "metrics.json"
    metrics = files.read_json(path) if path.is_file() else {}
    tested = not config["test"] or any(name.startswith("test/") for name in metrics)
    if tested and metrics.get("steps") == content["global_step"]:
        name = os.path.relpath(run)
        # What falls to 0 at the last step cannot be made longer: the run begins anew.
        ends = str(config["scheduler"]["_target_"]).endswith((".OneCycle", ".Cosine"))
        how = f"--config-dir {name} --config-name config" if ends else f"resume={name}"
        raise Finished(
            f"{name} is finished: it {end}; to train on, type seqfuse-train {how} {more}",
            exit_code=0 if job.restarted() or start.torchrun() else 1,
        )

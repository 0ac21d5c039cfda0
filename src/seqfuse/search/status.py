"""How runs are: at work, ended, dead; read from their folders or from a search's storage."""

import json
import math
import os
import statistics
import textwrap
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from seqfuse.config import runs
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.addresses import READ_ONLY, NotThere, cached, is_address, local
from seqfuse.search import outcome

AT_WORK = ("preparing", "training", "testing", "silent")
"""States of a run that has not ended; a silent one has a process, and leaves no signs of life."""
ENDED_WELL = ("completed", "pruned")
SILENCE = 3 * runs.BEAT
"""Seconds without a sign of life after which a run counts as killed, or as silent."""
UNCOUNTED = ("abandoned", "surplus", "retried")
"""States of trials that a search does not count, and runs others instead."""
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("state", "reason", "machine", "monitor"), (str,)),
    **dict.fromkeys(("pid", "epoch", "step"), (int,)),
    **dict.fromkeys(("began", "time"), (int, float)),
    **{"steps": (int, type(None)), "first": (list,), "metrics": (dict,)},
}
"""Types of the values in a status file."""


class Row(NamedTuple):
    """A run, a job of a sweep or a trial of a search.

    Args:
        name: its folder, or its number.
        state: one of `AT_WORK`, or of `outcome.STATUSES`, or `stopped`.
        machine: where it is, or was, at work; with the number of its process.
        began: seconds since 1970; None where it is not known.
        step: of the optimizer; None before the first.
        steps: in all; None without an end.
        monitor: name of the metric that decides.
        metrics: of the last validation, by name.
        left: seconds to the end, at the speed so far.
        reason: why it ended otherwise than it should.
        settings: what a job of a sweep, or a trial, was told to try, by key.
        wanted: trials of its study in all; None where it is not known, or no trial.
        took: seconds from its begin to its end, of a trial that has ended.
    """

    name: str
    state: str
    machine: str = ""
    began: float | None = None
    step: int | None = None
    steps: int | None = None
    monitor: str = ""
    metrics: dict[str, float] = {}
    left: float | None = None
    reason: str = ""
    settings: dict[str, str] = {}
    wanted: int | None = None
    took: float | None = None


def rows(place: str) -> Iterator[Row]:
    """Runs in a folder, here or in a bucket, or trials in a storage: a journal, a database."""
    if is_address(place) and not place.startswith(READ_ONLY):
        return folders(_fetched(place.rstrip("/")), place)
    return trials(place) if "://" in place or Path(place).is_file() else folders(Path(place))


def _fetched(address: str) -> Path:
    """The folder of what runs at an address say of themselves, and of nothing else."""
    for name in (runs.STATUS, outcome.FILE):
        try:
            local(f"{address}/**/{name}")
        except NotThere:
            for path in cached(address).rglob(name):  # of an earlier look
                path.unlink()
    return cached(address)


def exit_code(rows: list[Row]) -> int:
    """Exit code of the command, for schedulers."""
    states = {row.state for row in rows}
    if states - {*AT_WORK, *ENDED_WELL, *UNCOUNTED}:
        return 4
    return 3 if states & {*AT_WORK} else 0


def folders(place: Path, address: str = "") -> Iterator[Row]:
    """Runs in a folder, and in those below it, in the order of their names.

    Args:
        address: of which the folder is a copy.
    """
    named = address or place
    if not place.is_dir():
        raise InputError(f"status: {named} is not there: name a run, a folder of runs or a study")
    names = (runs.STATUS, outcome.FILE)
    paths = {path.parent for name in names for path in place.rglob(name)}
    if not paths:
        raise InputError(f"status: no run in {named} has a {runs.STATUS}: train first")
    parts = {path: path.relative_to(place).parts for path in paths}
    for path in sorted(paths, key=lambda path: [_by_number(part) for part in parts[path]]):
        yield of_folder(path, "/".join(parts[path]) or str(named), bool(address))


def _by_number(name: str) -> tuple[int, str]:
    return (int(name) if name.isdecimal() else -1, name)


def of_folder(folder: Path, name: str, is_copy: bool = False) -> Row:
    """A run, by what it left in its folder.

    Args:
        is_copy: whether it is a copy from an address, which gets a new one with each checkpoint:
            a run that says nothing meanwhile may be at work.
    """
    path = folder / runs.STATUS
    status, job = _status(path), outcome.load(folder)
    if status is None:
        return Row(name, "unknown", reason=f"{path} is broken: remove it, or copy it again")
    process: Any = status or _process(job)
    machine, _, _ = process.get("machine", "").partition("/")
    row = Row(
        name,
        status.get("state", "preparing"),
        f"{machine}:{process['pid']}" if machine else "",
        status.get("began"),
        status.get("step"),
        status.get("steps"),
        status.get("monitor", ""),
        status.get("metrics", {}),
        _left(status),
        status.get("reason", ""),
        _settings(job),
    )
    if (job and job["status"] != outcome.KILLED.status) or (job and not status and not process):
        row = row._replace(state=job["status"], reason=job["reason"])
    elif row.state in AT_WORK:
        seen = (path if status else folder / outcome.FILE).stat().st_mtime
        seen = status.get("time", row.began or seen) if is_copy else seen
        row = _with_life(row, process, time.time() - seen, is_copy)
    return row if row.state in AT_WORK else row._replace(left=None)


def _status(path: Path) -> dict[str, Any] | None:
    """Content of a status file: nothing where there is none, None where it is broken."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and _is_sound(content) else None


def _is_sound(content: dict[str, Any]) -> bool:
    """Whether a status file holds what runs write there."""
    if not {"state", "machine", "pid", "began"} <= content.keys():
        return False
    if not all(isinstance(content[key], TYPES[key]) for key in TYPES.keys() & content.keys()):
        return False
    numbers = [*content.get("metrics", {}).values(), *content.get("first", [])]
    numbers += [content["began"], content.get("time", 0)]
    plain = all(isinstance(number, (int, float)) and abs(number) < 1e11 for number in numbers)
    return plain and 0 < content["pid"] < 2**31


def _settings(job: dict[str, Any]) -> dict[str, str]:
    overrides = job.get("overrides")
    if not isinstance(overrides, list) or not all(isinstance(word, str) for word in overrides):
        return {}
    return outcome.settings(overrides)


def _process(job: dict[str, Any]) -> dict[str, Any]:
    """The process that an outcome names, as a status does."""
    process = {key: job.get(key) for key in ("machine", "pid")}
    is_known = isinstance(process["machine"], str) and isinstance(process["pid"], int)
    return process if is_known else {}


def _with_life(row: Row, process: dict[str, Any], silence: float, is_copy: bool) -> Row:
    """A run that has not ended, by its own account: killed where its process is gone."""
    here = os.name == "posix" and process["machine"] == runs.machine()
    ago = f"its last sign of life came {_span(silence)} ago"
    if here and not runs.is_running(process["pid"]):
        return row._replace(state="killed", reason=f"its process is gone; {ago}")
    if silence <= SILENCE:
        return row
    return row._replace(state="silent" if here or is_copy else "killed", reason=ago)


def _left(status: dict[str, Any]) -> float | None:
    """Seconds to the end of training, at the speed since it began or went on."""
    first, step, steps = status.get("first"), status.get("step"), status.get("steps")
    if not first or len(first) != 2 or step is None or not steps or step <= first[0]:
        return None
    noted = status.get("time", first[1])
    left = (noted - first[1]) / (step - first[0]) * (steps - step)
    return max(left - (time.time() - noted), 0.0)


def trials(address: str) -> Iterator[Row]:
    """Trials of all studies in a storage, as their processes left them there."""
    from seqfuse.config.checks.extras import need

    need(f"status of {address.partition('://')[0]}", "optuna", "sqlalchemy")
    import optuna

    from seqfuse.search.storage import open_storage, trouble
    from seqfuse.search.study import WANTED, is_gone

    path = address.removeprefix("sqlite:///")
    if "://" not in path and not Path(path).is_file():
        raise InputError(f"status: {path} is not there: name a study's journal or database")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with trouble(address):
        storage = open_storage(address)
        names = optuna.get_all_study_names(storage)
        for name in names:
            study = optuna.load_study(study_name=name, storage=storage)
            wanted, listed = study.user_attrs.get(WANTED), []
            for trial in study.get_trials(deepcopy=False):
                worker = str(trial.user_attrs.get("worker", ""))
                machine, *rest = worker.split("|")
                began = trial.datetime_start.timestamp() if trial.datetime_start else None
                row = Row(
                    f"{name}/{trial.number}" if len(names) > 1 else str(trial.number),
                    str(trial.user_attrs.get("status", TRIALS[trial.state.name])),
                    f"{machine.partition('/')[0]}:{rest[0]}" if rest else "",
                    began,
                    metrics=_values(trial),
                    monitor="value",
                    reason=str(trial.user_attrs.get("reason", "")),
                    settings={key: str(value) for key, value in trial.params.items()},
                    wanted=wanted if isinstance(wanted, int) else None,
                    took=trial.duration.total_seconds() if trial.duration else None,
                )
                if row.state == "training" and is_gone(study, worker or None, began or 0.0):
                    row = row._replace(state="killed", reason="its search ended")
                listed.append(row)
            yield from (row._replace(left=_left_of_trial(row, listed)) for row in listed)
    if not names:
        raise InputError(f"status: {path} holds no study: begin one with sweep=optuna")


TRIALS = {
    **{"RUNNING": "training", "COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "failed"},
    "WAITING": "preparing",
}
"""States by Optuna's names."""


def _values(trial: Any) -> dict[str, float]:
    """The metric that was searched for: at the end, or as it was reported last."""
    reported = [value for _, value in sorted(trial.intermediate_values.items())][-1:]
    values = [*reported, *(trial.values or [])]
    return {"value": float(values[-1])} if values and math.isfinite(values[-1]) else {}


def _usual(trials: list[Row]) -> float | None:
    """Median seconds of the trials of a study that trained to their end."""
    took = [row.took for row in trials if row.state == "completed" and row.took is not None]
    return statistics.median(took) if took else None


def _left_of_trial(row: Row, trials: list[Row]) -> float | None:
    """Seconds to the end of a trial that takes as long as those of its study usually do."""
    usual = _usual(trials)
    if row.state not in AT_WORK or row.began is None or usual is None:
        return None
    return max(usual - (time.time() - row.began), 0.0)


def _progress(trials: list[Row]) -> str:
    """How many trials of a study have ended, of how many, and the time left at today's speed."""
    counted = [row for row in trials if row.state not in UNCOUNTED]
    wanted = trials[-1].wanted
    if wanted is None:
        return ""
    at_work = [row for row in counted if row.state in AT_WORK]
    text = f"{len(counted) - len(at_work)} of {wanted} trials done"
    usual, ahead = _usual(trials), max(wanted - len(counted), 0)
    if usual is None or not at_work:
        return text
    seconds = (sum(row.left or 0.0 for row in at_work) + ahead * usual) / len(at_work)
    return f"{text}, about {_span(seconds)} left by {len(at_work)} at once"


def as_json(rows: list[Row]) -> str:
    """The table for programs."""
    content = {"code": exit_code(rows), "runs": [row._asdict() for row in rows]}
    return json.dumps(content, indent=2)


def table(rows: list[Row], columns: int | None = None) -> Iterator[str]:
    """Lines of runs, without what none of them has, and one that counts.

    Args:
        columns: of the terminal: in a line that would not fit the reason comes below, indented.
    """
    head = ("run", "settings", "state", "where", "since", "step", "metric", "left")
    sweeps = {sweep: [*jobs] for sweep, jobs in groupby(rows, _sweep)}
    studies = [(name, _progress(jobs)) for name, jobs in sweeps.items()]
    cells = [head, *(_cells(row, _varied(sweeps[_sweep(row)])) for row in rows)]
    shown = [column for column in zip(*cells, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in shown]
    reasons = ["why" if any(row.reason for row in rows) else "", *(row.reason for row in rows)]
    for line, words in zip(zip(*shown, strict=True), reasons, strict=True):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        start, reason = "  ".join(padded), " ".join(words.split())
        if columns is None or len(f"{start}  {reason}") <= columns:
            yield f"{start}  {reason}".rstrip()
            continue
        yield start.rstrip()
        yield from (f"    {part}" for part in textwrap.wrap(reason, max(columns - 4, 40)))
    yield from (f"{name}: {text}" if name else text for name, text in studies if text)
    states = [row.state for row in rows]
    yield ", ".join(f"{states.count(state)} {state}" for state in sorted({*states}))


def _sweep(row: Row) -> str:
    return row.name.rpartition("/")[0]


def _varied(jobs_of_one: list[Row]) -> set[str]:
    """Keys of settings that are not the same in all jobs of a sweep."""
    jobs = [row.settings for row in jobs_of_one if row.settings]
    keys = {key for settings in jobs for key in settings}
    return {key for key in keys if len({settings.get(key) for settings in jobs}) > 1}


def _cells(row: Row, varied: set[str]) -> tuple[str, ...]:
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.began)) if row.began else ""
    step = "" if row.step is None else f"{row.step}{f'/{row.steps}' if row.steps else ''}"
    value = row.metrics.get(row.monitor)
    metric = "" if value is None else f"{row.monitor} {value:.6g}"
    left = "" if row.left is None else _span(row.left)
    pairs = ((key, value) for key, value in row.settings.items() if key in varied)
    settings = " ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in pairs)
    cells = (row.name, settings, row.state, row.machine, since, step, metric, left)
    return tuple(" ".join(cell.split()) for cell in cells)


def _short(value: str) -> str:
    """A value without digits that tell nobody anything."""
    try:
        return f"{float(value):.4g}" if len(value) > 8 else value
    except ValueError:
        return value


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

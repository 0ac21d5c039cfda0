"""Outcome of one job of a sweep. Nothing here imports torch."""

import json
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from seqfuse.runtime import files
from seqfuse.runtime.errors import Diverged, InputError, Pruned

FILE = "outcome.json"
NOT_SWEPT = ("trial.", "hydra.")
"""Overrides that a sweeper adds for itself."""
STATUSES = ("completed", "failed", "diverged", "out of memory", "pruned", "killed", "retried")


class Outcome(NamedTuple):
    """Outcome of a job, as plain data that any launcher can carry.

    Args:
        status: one of `STATUSES`.
        metrics: what the run logged last, by name; `best/<monitor>` is the best validation.
        reason: one line for a job that did not complete.
    """

    status: str
    metrics: dict[str, float]
    reason: str = ""

    def write(self, folder: Path, **metadata: Any) -> None:
        """Keeps the outcome in the job's folder, beside metadata of the job."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {**metadata, **self._asdict()}
        files.write(folder / FILE, json.dumps(content, indent=2) + "\n")


KILLED = Outcome("killed", {}, "the process ended before the job did")


def load(folder: Path) -> dict[str, Any]:
    """All that a job left about itself in its folder; nothing if that cannot be read."""
    try:
        content = files.read_json(folder / FILE)
    except InputError:
        return {}
    return content if {*Outcome._fields} <= {*content} else {}


def read(folder: Path) -> Outcome | None:
    """The outcome that a job left in its folder; None if it did not get that far."""
    content = load(folder)
    return Outcome(*(content[name] for name in Outcome._fields)) if content else None


def of_error(error: Exception, reason: str) -> Outcome:
    """The outcome of a job that ended with an error."""
    status = "out of memory" if _is_out_of_memory(error) else "failed"
    status = "diverged" if isinstance(error, Diverged) else status
    status = "pruned" if isinstance(error, Pruned) else status
    return Outcome(status, {}, " ".join(reason.split()))


def _is_out_of_memory(error: BaseException | None) -> bool:
    """torch raises a plain RuntimeError on a CPU."""
    if error is None:
        return False
    texts = ("out of memory", "not enough memory", "can't allocate memory")
    plain = isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    return isinstance(error, MemoryError) or plain or _is_out_of_memory(error.__cause__)


def keep_trace(error: Exception, folder: Path) -> None:
    """Keeps the traceback of what is no mistake of the user's in `error.txt`."""
    if not isinstance(error, (InputError, Pruned)):
        folder.mkdir(parents=True, exist_ok=True)
        files.write(folder / "error.txt", "".join(traceback.format_exception(error)))


def retried(folder: Path) -> None:
    """Notes that a killed job is run again, as another job; nothing where it had not begun."""
    if content := load(folder):
        files.write(folder / FILE, json.dumps({**content, "status": "retried"}, indent=2) + "\n")


def settings(overrides: Iterable[str]) -> dict[str, str]:
    """Overrides of a job by key, without those that a sweeper adds for itself."""
    pairs = [override.lstrip("+").partition("=") for override in overrides]
    return {key: value for key, _, value in pairs if not key.startswith(NOT_SWEPT)}


def settings_of(folder: Path) -> dict[str, str]:
    """Overrides of the job that has this folder; none where it is no job of a sweep."""
    return settings(load(folder).get("overrides", []))

"""The jobs of a sweep as a table, and what repeats of one setting have in common."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from seqfuse.search.outcome import FILE, KILLED, load
from seqfuse.search.outcome import settings as settings_from

SEED = "seed"


class Jobs(NamedTuple):
    """Rows, and what their columns are."""

    table: pd.DataFrame
    """Per job: job, status, reason, settings by key, metrics by name; or a row per setting."""
    settings: list[str]
    """What varies."""
    metrics: list[str]
    """What was measured; what decides comes first."""
    mode: str
    """Whether `max` or `min` is best."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table, row by row."""
        return self.table.to_dict("records")  # type: ignore[return-value]

    @property
    def completed(self) -> "Jobs":
        """Those that came to their end."""
        return self._replace(table=self.table[self.table["status"] == "completed"])


def read(sweep: Path) -> Jobs:
    """What the jobs left in their folders, in order."""
    found = [_job(path.parent) for path in sweep.glob(f"*/{FILE}")]
    found.sort(key=lambda job: job["job"])
    settings = pd.DataFrame([settings_from(job["overrides"]) for job in found])
    varied = [str(key) for key in settings if settings[key].nunique(dropna=False) > 1]
    metrics = pd.DataFrame([job["metrics"] for job in found])
    facts = pd.DataFrame([{key: job[key] for key in ("job", "status", "reason")} for job in found])
    names = sorted(map(str, metrics), key=lambda name: (not name.startswith("best/"), name))
    mode = next((job["mode"] for job in found if job["mode"]), "max")
    return Jobs(pd.concat([facts, settings[varied], metrics], axis=1), varied, names, mode)


def _job(folder: Path) -> dict[str, Any]:
    """What a job left; a broken file is a job that was lost."""
    number = int(folder.name) if folder.name.isdigit() else -1
    lost = KILLED._replace(reason=f"its {FILE} cannot be read")._asdict()
    return {"job": number, "overrides": [], "mode": None, **lost, **load(folder)}


def groups(jobs: Jobs) -> Jobs:
    """Completed jobs that differ only in their seed, as one row; the best setting comes first.

    Columns are the settings, `n`, and for each metric `<metric>`, which is the mean, and
    `<metric>/std`, the sample standard deviation.
    """
    keys = [key for key in jobs.settings if key != SEED]
    done = jobs.completed.table
    grouped: Any = done.groupby(keys or (lambda row: "all"), sort=False, dropna=False)
    columns = {"n": grouped.size()}
    for name in jobs.metrics:
        columns |= {name: grouped[name].mean(), f"{name}/std": grouped[name].std()}
    means = pd.DataFrame(columns).reset_index(drop=not keys)
    if jobs.metrics:
        rising = jobs.mode == "min"
        means = means.sort_values(jobs.metrics[0], ascending=rising, kind="stable")
    return jobs._replace(table=means.reset_index(drop=True), settings=keys)

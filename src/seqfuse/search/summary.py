"""What a sweep leaves behind beside its jobs: tables and figures."""

import math
import shlex
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from seqfuse.runtime import files
from seqfuse.runtime.shown import cell_text, say, visible
from seqfuse.search import plots
from seqfuse.search.jobs import Jobs, groups, read
from seqfuse.search.outcome import KILLED

SHOWN = ("best/", "test/")
"""Metrics of the tables that people read; `summary.csv` has all."""


def write(sweep: Path, launched: Collection[int] | None = None) -> str:
    """Writes `summary.csv`, `summary.md` and the figures into the sweep's folder.

    Args:
        sweep: its folder.
        launched: numbers of the jobs that this process answers for; None: all.

    Returns:
        how many of these did not complete, as one line; empty if all did. A job that a search
        gave up on has done its part.
    """
    jobs = read(sweep)
    own: Any = jobs.table["job"].isin(jobs.table["job"] if launched is None else list(launched))
    _tell_apart(jobs, own)
    table = jobs.table.map(lambda one: cell_text(one) if isinstance(one, str) else one)
    files.write_shared(sweep / "summary.csv", table.to_csv(index=False))
    means = groups(jobs)
    files.write_shared(sweep / "summary.md", markdown(jobs, means))
    for name, draw in plots.figures(jobs).items():
        plots.save(draw, sweep / f"{name}.png")
    say(f"\n{means_table(means)}\n\nsummary     {sweep / 'summary.md'}")
    say(f"dashboard   tensorboard --logdir {shlex.quote(str(sweep))}")
    lost = (own & ~jobs.table["status"].isin(["completed", "pruned"])).sum()
    what = f"{lost} of {own.sum()} jobs did not complete: see {sweep / 'summary.md'}"
    return what if lost else ""


def _tell_apart(jobs: Jobs, own: Any) -> None:
    """What another process has not finished looks like killed, and may still be at work."""
    unknown = ~own & (jobs.table["status"] == KILLED.status)
    facts = ("running or abandoned", "another process began it")
    jobs.table.loc[unknown, ["status", "reason"]] = facts


def markdown(jobs: Jobs, means: Jobs) -> str:
    """The summary as people read it: settings, jobs, and what went wrong."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    counts = jobs.table["status"].value_counts().to_dict()
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    parts = [f"# {len(jobs.rows)} jobs: {told}", f"```bash\n{command}\n```"]
    if means.rows:
        parts += ["## Settings, the best first", means_table(means)]
    parts += ["## Jobs", _jobs_table(jobs)]
    columns = ["job", "status", "reason"]
    rows = [row for row in jobs.rows if row["status"] != "completed"]
    lost = [[row[name] for name in columns] for row in rows]
    if lost:
        parts += ["## Not completed", _table(columns, lost)]
    return "\n\n".join(parts) + "\n"


def means_table(means: Jobs) -> str:
    """Settings with n and, where there are several seeds, mean ± standard deviation."""
    metrics = _shown(means)
    rows = [
        [*(row[key] for key in means.settings), row["n"], *(_spread(row, name) for name in metrics)]
        for row in means.rows
    ]
    return _table([*means.settings, "n", *metrics], rows)


def _spread(row: dict[str, Any], name: str) -> str:
    spread = row[f"{name}/std"]
    return _number(row[name]) + ("" if math.isnan(spread) else f" ± {_number(spread)}")


def _jobs_table(jobs: Jobs) -> str:
    facts, metrics = ["job", "status", *jobs.settings], _shown(jobs)
    rows = [
        [*(row[key] for key in facts), *(_number(row[name]) for name in metrics)]
        for row in jobs.rows
    ]
    return _table([*facts, *metrics], rows)


def _shown(jobs: Jobs) -> list[str]:
    return [name for name in jobs.metrics if name.startswith(SHOWN)]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table, its columns aligned so that it reads as plain text, too."""
    cells = [[visible(str(cell)).replace("|", r"\|") for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])

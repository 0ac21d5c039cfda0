"""Summary of a sweep: tables, and figures of the effect of each setting."""

import math
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seqfuse.config.mistakes import explain
from seqfuse.runtime import files
from seqfuse.runtime.shown import cell_text, say, visible
from seqfuse.search import outcome

SEED = "seed"
SHOWN = ("best/", "test/")
"""Metrics of the tables that people read; `summary.csv` has all."""
MAX_SETTINGS = 12
COLOURS = mpl.colormaps["viridis"]
Settings = Mapping[str, Sequence[str]]
"""By key, what each job had."""
Numbers = NDArray[np.float64]


class Jobs(NamedTuple):
    """Rows, and what their columns are.

    Args:
        table: per job: job, status, reason, settings by key, metrics by name; or a row per setting.
        settings: what varies.
        metrics: what was measured; what decides comes first.
        mode: whether `max` or `min` is best.
    """

    table: pd.DataFrame
    settings: list[str]
    metrics: list[str]
    mode: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table, row by row."""
        return self.table.to_dict("records")  # type: ignore[return-value]

    @property
    def completed(self) -> "Jobs":
        """Jobs that came to their end."""
        return self._replace(table=self.table[self.table["status"] == "completed"])


def read(sweep: Path) -> Jobs:
    """Outcomes and settings in the folders of the jobs, in order."""
    jobs = [_job(path.parent) for path in sweep.glob(f"*/{outcome.FILE}")]
    jobs.sort(key=lambda job: job["job"])
    settings = pd.DataFrame([outcome.settings(job["overrides"]) for job in jobs])
    varied = [str(key) for key in settings if settings[key].nunique(dropna=False) > 1]
    metrics = pd.DataFrame([job["metrics"] for job in jobs])
    ends = pd.DataFrame(jobs, columns=["job", "status", "reason"])
    names = sorted(map(str, metrics), key=lambda name: (not name.startswith("best/"), name))
    mode = next((job["mode"] for job in jobs if job["mode"]), "max")
    return Jobs(pd.concat([ends, settings[varied], metrics], axis=1), varied, names, mode)


def _job(folder: Path) -> dict[str, Any]:
    """Outcome and settings of a job; a broken file is a job that was lost."""
    number = int(folder.name) if folder.name.isdigit() else -1
    lost = outcome.KILLED._replace(reason=f"its {outcome.FILE} cannot be read")
    return {"job": number, "overrides": [], "mode": None, **lost._asdict(), **outcome.load(folder)}


def groups(jobs: Jobs) -> Jobs:
    """Completed jobs that differ only in their seed, as one row; the best setting comes first.

    Columns are the settings, `n`, and for each metric `<metric>`, which is the mean, and
    `<metric>/std`, the sample standard deviation.
    """
    keys = [key for key in jobs.settings if key != SEED]
    completed: Any = jobs.completed.table
    grouped = completed.groupby(keys or (lambda row: "all"), sort=False, dropna=False)
    columns = {"n": grouped.size()}
    for name in jobs.metrics:
        columns |= {name: grouped[name].mean(), f"{name}/std": grouped[name].std()}
    means = pd.DataFrame(columns).reset_index(drop=not keys)
    if jobs.metrics:
        rising = jobs.mode == "min"
        means = means.sort_values(jobs.metrics[0], ascending=rising, kind="stable")
    return jobs._replace(table=means.reset_index(drop=True), settings=keys)


def write(sweep: Path, launched: Collection[int] | None = None) -> str:
    """Writes `summary.csv`, `summary.md` and the figures into the sweep's folder.

    Of the jobs that this process launched (None: all), returns in one line how many did not
    complete; empty if all did. A job that a search gave up on has done its part.
    """
    jobs = read(sweep)
    table, status = jobs.table, jobs.table["status"]
    ours: Any = table["job"].isin(table["job"] if launched is None else list(launched))
    lost = (ours & ~status.isin(["completed", "pruned"])).sum()
    # What another process has not finished looks like killed, and may still be at work.
    unknown = ("running or abandoned", "another process began it")
    table.loc[~ours & (status == outcome.KILLED.status), ["status", "reason"]] = unknown
    cells = table.map(lambda cell: cell_text(cell) if isinstance(cell, str) else cell)
    files.write_shared(sweep / "summary.csv", cells.to_csv(index=False))
    means = groups(jobs)
    files.write_shared(sweep / "summary.md", markdown(jobs, means))
    for name, draw in figures(jobs).items():
        save(draw, sweep / f"{name}.png")
    say(f"\n{means_table(means)}\n\nsummary     {sweep / 'summary.md'}")
    say(f"dashboard   tensorboard --logdir {shlex.quote(str(sweep))}")
    what = f"{lost} of {ours.sum()} jobs did not complete: see {sweep / 'summary.md'}"
    return what if lost else ""


def markdown(jobs: Jobs, means: Jobs) -> str:
    """The summary as people read it: settings, jobs, and what went wrong."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    counts = jobs.table["status"].value_counts().to_dict()
    ends = ", ".join(f"{count} {status}" for status, count in counts.items())
    parts = [f"# {len(jobs.rows)} jobs: {ends}", f"```bash\n{command}\n```"]
    if means.rows:
        parts += ["## Settings, the best first", means_table(means)]
    parts += ["## Jobs", _table(jobs.rows, ["job", "status", *jobs.settings], _shown(jobs))]
    if lost := [row for row in jobs.rows if row["status"] != "completed"]:
        parts += ["## Not completed", _table(lost, ["job", "status", "reason"])]
    return "\n\n".join(parts) + "\n"


def means_table(means: Jobs) -> str:
    """Settings with n and, where there are several seeds, mean ± standard deviation."""
    return _table(means.rows, [*means.settings, "n"], _shown(means))


def _shown(jobs: Jobs) -> list[str]:
    return [name for name in jobs.metrics if name.startswith(SHOWN)]


def _table(rows: list[dict[str, Any]], texts: list[str], metrics: Sequence[str] = ()) -> str:
    """A Markdown table, its columns aligned so that it reads as plain text, too."""
    head = [*texts, *metrics]
    lines = [
        [*(str(row[name]) for name in texts), *(_spread(row, name) for name in metrics)]
        for row in rows
    ]
    cells = [[visible(cell).replace("|", r"\|") for cell in row] for row in (head, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in cells]
    top, *body = [f"| {' | '.join(row)} |" for row in padded]
    return "\n".join([top, f"|{'|'.join('-' * (w + 2) for w in widths)}|", *body])


def _spread(row: dict[str, Any], name: str) -> str:
    value, std = row[name], row.get(f"{name}/std", math.nan)
    text = "" if math.isnan(value) else f"{value:.4f}"
    return text if math.isnan(std) else f"{text} ± {std:.4f}"


def figures(jobs: Jobs) -> dict[str, Callable[[], Figure]]:
    """By file name: of what varied, if anything did and jobs completed."""
    rows = jobs.completed.rows
    if len(rows) < 2 or not jobs.metrics or not jobs.settings:
        return {}
    settings = {key: [str(row[key]) for row in rows] for key in jobs.settings[:MAX_SETTINGS]}
    metric = jobs.metrics[0]
    value = np.array([row[metric] for row in rows], float)
    draws = {"main_effects": partial(main_effects, settings, value, metric)}
    if len(settings) > 1:
        draws["parallel_coordinates"] = partial(parallel_coordinates, settings, value, metric)
    return draws


def save(draw: Callable[[], Figure], path: Path) -> bool:
    """Draws into a PNG file; if that fails, says so: the sweep itself has not."""
    content = BytesIO()
    try:
        draw().savefig(content, dpi=120, format="png")
        files.write_shared(path, content.getvalue())
    except Exception as error:
        say(f"seqfuse: there is no {path.name}: {explain(error)}", file=sys.stderr)
        return False
    return True


def parallel_coordinates(settings: Settings, value: Numbers, metric: str) -> Figure:
    """One line per job through its settings to its metric, coloured by the metric."""
    columns = {key: _heights(texts) for key, texts in settings.items()}
    names, span = [*columns, metric], Normalize(value.min(), value.max())
    figure = Figure(figsize=(max(6.0, 1.7 * len(names)), 4.5), layout="constrained")
    axes = figure.subplots()
    lines = np.column_stack([*columns.values(), _unit(value)])
    for line, colour in zip(lines, COLOURS(span(value)), strict=True):
        axes.plot(line, color=colour, alpha=0.8, linewidth=1.4)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6}
    for x, (key, heights) in enumerate(columns.items()):
        axes.axvline(x, color="#bbbbbb", linewidth=0.8, zorder=0)
        for height, text in dict(zip(heights, settings[key], strict=True)).items():
            axes.text(x, height, f" {_short(text)}", va="center", fontsize=8, bbox=box)
    axes.set_xticks(range(len(names)), [_wrapped(name) for name in names])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(span, COLOURS), ax=axes, label=metric)
    return figure


def main_effects(settings: Settings, value: Numbers, metric: str) -> Figure:
    """Per setting: each job's metric, and the mean over all jobs with the same value."""
    keys = [key for key in settings if key != SEED] or [SEED]
    figure = Figure(figsize=(max(4.0, 2.8 * len(keys)), 3.4), layout="constrained")
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for axes, key in zip(panels, keys, strict=True):
        _effect(axes, settings[key], value)
        axes.set_xlabel(_wrapped(key))
    panels[0].set_ylabel(metric)
    return figure


def _effect(axes: Axes, texts: Sequence[str], value: Numbers) -> None:
    numbers = _numbers(texts)
    places = _ranks(texts) if numbers is None else numbers
    axes.plot(places, value, "o", color="#1b4f72", alpha=0.45, markersize=4)
    means: Any = pd.Series(value).groupby(places).mean()
    if len(means) <= 12:
        style = "D" if numbers is None else "-D"
        axes.plot(means.index, means, style, color="#c0392b", markersize=5)
    if numbers is not None and _is_wide(numbers):
        axes.set_xscale("log")
        axes.minorticks_off()
    if numbers is None or len(means) <= 6:
        labels = dict(zip(places, texts, strict=True))
        axes.set_xticks(list(labels), [_short(text) for text in labels.values()], fontsize=8)


def _heights(texts: Sequence[str]) -> Numbers:
    """From 0 to 1: by rank, and by size where numbers are many."""
    numbers = _numbers(texts)
    if numbers is None or len(set(texts)) <= 6:
        return _unit(_ranks(texts))
    return _unit(np.log(numbers) if _is_wide(numbers) else numbers)


def _numbers(texts: Sequence[str]) -> Numbers | None:
    try:
        return np.array(texts, float)
    except ValueError:
        return None


def _ranks(texts: Sequence[str]) -> Numbers:
    numbers = _numbers(texts)
    order = np.array(texts) if numbers is None else numbers
    return np.unique(order, return_inverse=True)[1].astype(float)


def _is_wide(numbers: Numbers) -> bool:
    return bool(numbers.min() > 0 and numbers.max() >= 10 * numbers.min())


def _unit(values: Numbers) -> Numbers:
    span = np.ptp(values)
    return (values - values.min()) / span if span else np.full_like(values, 0.5)


def _short(text: str) -> str:
    try:
        return f"{float(text):.3g}"
    except ValueError:
        return text[:20]


def _wrapped(name: str) -> str:
    """A dotted key over two lines."""
    head, dot, last = name.rpartition(".")
    return f"{head}{dot}\n{last}" if dot else name

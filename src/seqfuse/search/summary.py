"""Summary of a sweep: tables, and figures of the effect of each setting."""

import math
import re
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
from scipy import stats

from seqfuse.config.mistakes import explain
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import cell_text, markdown_table, say
from seqfuse.search import outcome
from seqfuse.search.noise import LEVEL, Verdict, verdict, verdict_over_sets
from seqfuse.tasks.summary import interval

SEED = "seed"
DATA = re.compile(r"experiment|data(\.(name|file|train|val|test|folder|test_fold|horizon))?")
"""Settings whose values have metrics of their own scale: one is no better than another."""
RATES = ("lr", "min_lr", "weight_decay")
"""Last parts of settings that are drawn on a logarithmic axis."""
SHOWN = ("best/", "test/")
"""Metrics of the tables that people read; `summary.csv` has all."""
FRACTIONS = {"best/val/accuracy": "val_items", "test/accuracy": "test_items"}
"""Metrics that are a fraction of items, and what `metrics.json` calls the number of those."""
BOUNDED = re.compile(r".*(accuracy|f1|precision|recall|roc|pr|coverage|calibration_error)")
"""Metrics from 0 to 1, which no interval leaves."""
INTERVALS = (
    "In brackets intervals of 95 % confidence: of the mean over seeds by Student's t; of the "
    "accuracy of one run, over items, by Wilson. A setting in bold is better than every other by "
    "more than seeds differ by."
)
MAX_SETTINGS = 12
PRINTED = 20
"""Settings whose means are printed."""
MAX_COMPARED = 20
"""Settings that are held against the best."""
CAUTION = (
    "What decides was looked at to choose: of many settings the best is better than it will be "
    "again. A test metric of the setting that was chosen is fair, the best of several is not."
)
COLOURS = mpl.colormaps["viridis"]
Settings = Mapping[str, Sequence[str]]
"""By key, what each job had."""
Numbers = NDArray[np.float64]


class Jobs(NamedTuple):
    """Rows, and what their columns are.

    Args:
        table: per job: job, status, reason, settings by key, metrics by name; or a row per setting.
        metrics: what was measured; what decides comes first.
        mode: whether `max` or `min` is best.
    """

    table: pd.DataFrame
    settings: list[str]
    metrics: list[str]
    mode: str

    @property
    def rows(self) -> list[dict[str, Any]]:
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
    items = pd.DataFrame([job["items"] for job in jobs])
    ends = pd.DataFrame(jobs, columns=["job", "status", "reason"])
    monitor = next((job["monitor"] for job in jobs if job["monitor"]), "")
    mode = next((job["mode"] for job in jobs if job["mode"]), "max")
    # Without validation there is no best: what the mode is of, measured on the test split.
    tested = f"test/{monitor.partition('/')[2]}"
    names = sorted(map(str, metrics), key=lambda n: (not n.startswith("best/"), n != tested, n))
    return Jobs(pd.concat([ends, settings[varied], metrics, items], axis=1), varied, names, mode)


def _job(folder: Path) -> dict[str, Any]:
    """Outcome and settings of a job; a broken file is a job that was lost."""
    number = int(folder.name) if folder.name.isdigit() else -1
    lost = outcome.KILLED._replace(reason=f"its {outcome.FILE} cannot be read")
    unknown = {"job": number, "overrides": [], "monitor": None, "mode": None}
    return {**unknown, **lost._asdict(), **outcome.load(folder), "items": _num_items(folder)}


def _num_items(folder: Path) -> dict[str, int]:
    """How many items the accuracies of a job are fractions of, as far as it says so."""
    try:
        content = files.read_json(folder / "metrics.json")
    except InputError:
        return {}
    return {name: content[name] for name in FRACTIONS.values() if name in content}


def groups(jobs: Jobs) -> Jobs:
    """Completed jobs that differ only in their seed, as one row; the best setting comes first.

    Of several data sets, one comes after the other.

    Columns are the settings, `n`, and for each metric `<metric>`, which is the mean,
    `<metric>/std`, the sample standard deviation, and `<metric>/low` and `<metric>/high`, an
    interval of 95 % confidence: of the mean over seeds by Student's t, of a fraction of the items
    of one run by Wilson.
    """
    keys = [key for key in jobs.settings if key != SEED]
    completed: Any = jobs.completed.table
    grouped = completed.groupby(keys or (lambda row: "all"), sort=False, dropna=False)
    columns = {"n": grouped.size()}
    for name in jobs.metrics:
        mean, std, n = grouped[name].mean(), grouped[name].std(), grouped[name].count()
        reach = stats.t.ppf(1 - LEVEL / 2, n - 1) * std / n**0.5
        low, high = mean - reach, mean + reach
        if FRACTIONS.get(name) in completed:
            items = grouped[FRACTIONS[name]].first()
            for i in np.flatnonzero((n == 1) & items.notna()):
                low.iloc[i], high.iloc[i] = interval(mean.iloc[i], int(items.iloc[i]))
        if BOUNDED.fullmatch(name):
            low, high = low.clip(lower=0), high.clip(upper=1)
        named = {"": mean, "/std": std, "/low": low, "/high": high}
        columns |= {f"{name}{end}": column for end, column in named.items()}
    means = pd.DataFrame(columns).reset_index(drop=not keys)
    if jobs.metrics:
        rising = jobs.mode == "min"
        means = means.sort_values(jobs.metrics[0], ascending=rising, kind="stable")
        if sets := data_sets(keys):
            means = means.sort_values(sets, kind="stable")
    return jobs._replace(table=means.reset_index(drop=True), settings=keys)


def data_sets(settings: Sequence[str]) -> list[str]:
    """Settings that choose the data."""
    return [key for key in settings if DATA.fullmatch(key)]


def write(sweep: Path, launched: Collection[int] | None = None) -> str:
    """Writes `summary.csv`, `summary.md` and the figures into the sweep's folder.

    Of the jobs that this process launched (None: all), returns in one line how many did not
    complete; empty if all did. A job that a search gave up on, or ran again, has
    done its part.
    """
    jobs = read(sweep)
    table, status = jobs.table, jobs.table["status"]
    ours: Any = table["job"].isin(table["job"] if launched is None else list(launched))
    lost = (ours & ~status.isin(["completed", "pruned", "retried"])).sum()
    # What another process has not finished looks like killed, and may still be at work.
    unknown = ("running or abandoned", "another process began it")
    table.loc[~ours & (status == outcome.KILLED.status), ["status", "reason"]] = unknown
    cells = table.map(lambda cell: cell_text(cell) if isinstance(cell, str) else cell)
    files.write_shared(sweep / "summary.csv", cells.to_csv(index=False))
    means = groups(jobs)
    files.write_shared(sweep / "summary.md", markdown(jobs, means))
    for name, draw in figures(jobs).items():
        save(draw, sweep / f"{name}.png")
    answers = verdicts(jobs, means)
    lines = means_table(means, answers).splitlines()
    say("\n" + "\n".join(lines[: PRINTED + 2]))  # two of them are the head
    if (more := len(lines) - 2 - PRINTED) > 0:
        say(f"({more:,} more settings: see summary.md)")
    say("")
    for sentence in over_sets(jobs, means).partition("\n\n")[0].splitlines()[:MAX_SETTINGS]:
        say(f"over sets   {sentence}")
    for answer in [*answers.values()][:MAX_SETTINGS]:
        say(f"{'best' if answer.is_best else 'no best':<12}{answer.text.partition(chr(10))[0]}")
    say(f"summary     {sweep / 'summary.md'}")
    say(f"dashboard   tensorboard --logdir {shlex.quote(str(sweep))}")
    what = f"{lost} of {ours.sum()} jobs did not complete: see {sweep / 'summary.md'}"
    return what if lost else ""


def markdown(jobs: Jobs, means: Jobs) -> str:
    """The summary as people read it: settings, jobs, and what went wrong."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    counts = jobs.table["status"].value_counts().to_dict()
    ends = ", ".join(f"{count} {status}" for status, count in counts.items())
    parts = [f"# {len(jobs.rows)} jobs: {ends}", f"```bash\n{command}\n```"]
    answers = verdicts(jobs, means)
    if answers:
        texts = [over_sets(jobs, means), *(answer.text for answer in answers.values())]
        parts += ["## Which was best, and is that noise?", *filter(None, texts), CAUTION]
    if means.rows:
        sets = data_sets(means.settings)
        order = "by their means for each data set" if sets else "by their means"
        parts += [f"## Settings, {order}", means_table(means, answers), INTERVALS]
    parts += ["## Jobs", _table(jobs.rows, ["job", "status", *jobs.settings], _shown(jobs))]
    if lost := [row for row in jobs.rows if row["status"] != "completed"]:
        parts += ["## Not completed", _table(lost, ["job", "status", "reason"])]
    return "\n\n".join(parts) + "\n"


def verdicts(jobs: Jobs, means: Jobs) -> dict[int, Verdict]:
    """The deciding metric, compared between settings, for each data set.

    By the row of the means that comes first there.
    """
    keys = [key for key in means.settings if key not in data_sets(means.settings)]
    if not keys or not jobs.metrics:
        return {}
    metric, rows = jobs.metrics[0], jobs.completed.table
    answers: dict[int, Verdict] = {}
    for data, group in _within(means.table, data_sets(means.settings)):
        names, values = [], []
        for _, setting in group.dropna(subset=[metric]).iterrows():
            equal = [_equal(rows[key], setting[key]) for key in means.settings]
            same = np.logical_and.reduce(equal)
            chosen: Any = rows[same & rows[metric].notna()]
            seeds = chosen[SEED] if SEED in rows else np.arange(len(chosen))
            if len(chosen):
                names.append(_named(setting, keys))
                values.append(pd.Series(chosen[metric].to_numpy(float), index=[*seeds]))
        if len(names) > 1:
            answer = verdict(metric, names[:MAX_COMPARED], values[:MAX_COMPARED])
            text = f"{data}: {answer.text}" if data else answer.text
            row: Any = group[metric].first_valid_index()
            answers[row] = answer._replace(text=text)
    return answers


def over_sets(jobs: Jobs, means: Jobs) -> str:
    """The deciding metric over data sets, each of which counts once; empty for fewer than two."""
    sets = data_sets(means.settings)
    keys = [key for key in means.settings if key not in sets]
    if not sets or not keys or not jobs.metrics:
        return ""
    metric = jobs.metrics[0]
    completed: Any = jobs.completed.table
    rows = completed.dropna(subset=[metric])
    records = rows.to_dict("records")
    rows = rows.assign(
        data=[" ".join(str(row[key]) for key in sets) for row in records],
        setting=[_named(row, keys) for row in records],
    )
    if SEED not in rows:
        rows[SEED] = rows.groupby(["data", "setting"]).cumcount()
    table = rows.pivot_table(index="data", columns="setting", values=metric).dropna()
    if min(table.shape) < 2:
        return ""
    names = [*table.mean().sort_values(ascending=jobs.mode == "min", kind="stable").index]
    names = names[:MAX_COMPARED]
    by_setting = rows.set_index(["data", SEED]).groupby("setting")[metric]
    values = [by_setting.get_group(name) for name in names]
    return verdict_over_sets(metric, names, values, jobs.mode)


def _named(row: Any, keys: Sequence[str]) -> str:
    return " ".join(f"{key}={row[key]}" for key in keys)


def _within(table: pd.DataFrame, sets: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """Parts of a table, of one data set each, by what they are called."""
    if not sets:
        return [("", table)]
    groups = table.groupby(sets, sort=False, dropna=False)
    return [(" ".join(map(str, names)), group) for names, group in groups]  # type: ignore[arg-type]


def _equal(column: Any, value: Any) -> Any:
    return column.isna() if pd.isna(value) else column == value


def means_table(means: Jobs, answers: Mapping[int, Verdict]) -> str:
    """Settings with n, and mean ± standard deviation over seeds (interval) of each metric.

    A setting that is best beyond noise, by the answer to its row, is in bold.
    """
    rows = means.rows
    for number, answer in answers.items():
        if answer.is_best:
            rows[number] |= {key: f"**{rows[number][key]}**" for key in means.settings}
    return _table(rows, [*means.settings, "n"], _shown(means))


def _shown(jobs: Jobs) -> list[str]:
    return [name for name in jobs.metrics if name.startswith(SHOWN)]


def _table(rows: list[dict[str, Any]], texts: list[str], metrics: Sequence[str] = ()) -> str:
    lines = [
        [*(str(row[name]) for name in texts), *(_spread(row, name) for name in metrics)]
        for row in rows
    ]
    return markdown_table([*texts, *metrics], lines)


def _spread(row: dict[str, Any], name: str) -> str:
    nothing = math.nan  # rows of jobs have values alone
    value, std = row[name], row.get(f"{name}/std", nothing)
    low, high = row.get(f"{name}/low", nothing), row.get(f"{name}/high", nothing)
    text = "" if math.isnan(value) else f"{value:.4f}"
    text += "" if math.isnan(std) else f" ± {std:.4f}"
    return text if math.isnan(low) else f"{text} ({low:.4f} to {high:.4f})"


def figures(jobs: Jobs) -> dict[str, Callable[[], Figure]]:
    """By file name: of what varied, if anything did and jobs completed."""
    rows = jobs.completed.rows
    varied = [key for key in jobs.settings if key != SEED] or jobs.settings
    if len(rows) < 2 or not jobs.metrics or not varied:
        return {}
    settings = {key: [str(row[key]) for row in rows] for key in varied[:MAX_SETTINGS]}
    values = {name: np.array([row[name] for row in rows], float) for name in _drawn(jobs.metrics)}
    draws = {"main_effects": partial(main_effects, settings, values)}
    if len(settings) > 1:
        metric = jobs.metrics[0]
        draws["parallel_coordinates"] = partial(
            parallel_coordinates, settings, values[metric], metric
        )
    return draws


def _drawn(metrics: Sequence[str]) -> list[str]:
    """The deciding metric and, where that is a loss, a metric of the test beside it."""
    others = [name for name in metrics if name.startswith("test/") and name != "test/loss"]
    first = metrics[0]
    return [first, *others[:1]] if first.endswith("loss") else [first]


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
    columns = {key: _heights(key, texts) for key, texts in settings.items()}
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


def main_effects(settings: Settings, values: Mapping[str, Numbers]) -> Figure:
    """Per setting and metric: each job, and the mean over all jobs with the same value.

    Words have bars of the standard deviation; numbers lie on an axis.
    """
    size = (max(4.0, 2.8 * len(settings)), 0.8 + 2.6 * len(values))
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(values), len(settings), sharey="row", sharex="col", squeeze=False)
    for panels, (metric, value) in zip(rows, values.items(), strict=True):
        for axes, key in zip(panels, settings, strict=True):
            _effect(axes, key, settings[key], value)
        panels[0].set_ylabel(metric)
    for axes, key in zip(rows[-1], settings, strict=True):
        axes.set_xlabel(_wrapped(key))
    return figure


def _effect(axes: Axes, key: str, texts: Sequence[str], value: Numbers) -> None:
    numbers = _numbers(texts)
    places = _ranks(texts) if numbers is None else numbers
    means: Any = pd.Series(value).groupby(places).agg(["mean", "std"])
    if numbers is None:
        style = {"fmt": "D", "color": "#c0392b", "markersize": 5, "capsize": 4}
        axes.errorbar(means.index, means["mean"], means["std"].fillna(0.0), **style)
        axes.margins(x=0.2)
    axes.plot(places, value, "o", color="#1b4f72", alpha=0.45, markersize=4, zorder=3)
    if numbers is not None and len(means) <= 12:
        axes.plot(means.index, means["mean"], "-D", color="#c0392b", markersize=5)
    if numbers is not None and _is_logarithmic(key, numbers):
        axes.set_xscale("log")
        axes.minorticks_off()
    if numbers is None or len(means) <= 6:
        labels = dict(zip(places, texts, strict=True))
        turned = numbers is None and max(map(len, labels.values())) > 6
        style = {"rotation": 30, "ha": "right"} if turned else {}
        names = [_short(text) for text in labels.values()]
        axes.set_xticks(list(labels), names, fontsize=8, **style)


def _heights(key: str, texts: Sequence[str]) -> Numbers:
    """From 0 to 1: by rank, and by size where numbers are many."""
    numbers = _numbers(texts)
    if numbers is None or len(set(texts)) <= 6:
        return _unit(_ranks(texts))
    return _unit(np.log(numbers) if _is_logarithmic(key, numbers) else numbers)


def _numbers(texts: Sequence[str]) -> Numbers | None:
    try:
        return np.array(texts, float)
    except ValueError:
        return None


def _ranks(texts: Sequence[str]) -> Numbers:
    numbers = _numbers(texts)
    order = np.array(texts) if numbers is None else numbers
    return np.unique(order, return_inverse=True)[1].astype(float)


def _is_logarithmic(key: str, numbers: Numbers) -> bool:
    """Whether ratios count: of rates, and of what spans a power of ten."""
    low, high = numbers.min(), numbers.max()
    return bool(low > 0 and (key.rpartition(".")[2] in RATES or high >= 10 * low))


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

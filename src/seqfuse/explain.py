"""seqfuse-explain writes what each step and channel contributes to the predictions of a checkpoint.

Usage: seqfuse-explain ckpt=<path> input=<file or folder> output=<folder> [key=value ...]
       seqfuse-explain ckpt=<path> split=train|val|test output=<folder> [key=value ...]

  seqfuse-explain ckpt=<path> input=new.npz output=why
  seqfuse-explain ckpt=<path> input=new.csv output=why method=occlusion target=price step=3
  seqfuse-explain ckpt=<path> split=test output=why max_items=50 figures=5
  python shipped/run.py new.csv why.csv --explain   # an exported folder: by occlusion

  method=gradients   integrated gradients, from the training mean on (of words from zero vectors, of
                     clips from one in which nothing moves); they sum up to the score less that of
                     this baseline
  method=occlusion   the score less that with a segment of a channel at the baseline
  method=attention   where the net looked, by step
  ckpt=<path> --cfg job   prints the composed config, with every key

The input is as for seqfuse-predict. What is explained is one number of each item, its score: of
classes the log-odds of the predicted one, of labels those of the likeliest, of a class for each
step the mean over its steps (step=3 takes one), of numbers the number, of forecasts the mean of
the first target over the horizon (target=price step=3 takes one), in the user's units, of gaps what
they are filled with (target=price takes those of one column), of alarms by forecasts the error at
their peak (of one column likewise).

The folder gets attributions.csv, a row for each step and channel: row (or id; of forecasts the
group and from; of gaps column, from and to; of alarms recording and peak), source, step, what the
input calls it (time, word, token), channel (of clips a region, row,column), attribution; items.csv,
a row for each item: explained, score, baseline, sum, and the step and channel that contribute most;
and figures/, a .png for each of the first items.
Reconstructions, and scores of clips, are not explained.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seqfuse.config import cli
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say

OPTIONS = ("every", "start", "horizon", "known")
"""Options of forecasts."""
TABLE, ITEMS, FIGURES = "attributions.csv", "items.csv", "figures"


def main() -> None:
    """The command; `seqfuse-explain --help` explains it."""
    cli.run(explain, "explain", __doc__ or "", cli.offer_recipe)


def explain(config: DictConfig, run: Path) -> int:
    """Explains the predictions for a file, a folder or a split; returns the number of items.

    Nothing is written to the folder of the run.
    """
    _check(config)
    from seqfuse.config import loading, runs  # slow: torch
    from seqfuse.data.progress import bar
    from seqfuse.exporting.folder import whole  # an annex
    from seqfuse.runtime.explanations.deletion import ITEMS as JUDGED
    from seqfuse.runtime.explanations.deletion import judged
    from seqfuse.runtime.explanations.explained import attributions, of_batch
    from seqfuse.runtime.jobs.make import make_job
    from seqfuse.runtime.writer import Writer

    engine, splits = loading.load_engine(config, run)
    metadata = {**splits.metadata(), **engine.model.metadata()}
    options = {name: config[name] for name in OPTIONS if config[name] is not None}
    job = make_job(metadata, engine, _batch_size(config), **options)
    cases = _cases(config, job, splits)
    explained = attributions(job.engine, cases, config.method, config.segment)
    kept: list[Any] = []  # for the deletion test

    def each() -> Iterator[Any]:
        for case, attribution in explained:
            if sum(batch.size for batch, _ in kept) < JUDGED:
                kept.append((case, attribution))
            yield from of_batch(case, attribution)

    figures = _figures(config)
    shown, count, gap, lines = config.trainer.enable_progress_bar, 0, 0.0, []
    with whole(config.output, ITEMS) as part:
        tables = Writer(part / TABLE), Writer(part / ITEMS)
        with tables[0] as rows, tables[1] as items, bar("explain", None, "item", shown) as progress:
            for explanation in islice(each(), config.max_items):
                rows.write(explanation.table())
                items.write(explanation.summary())
                if count < config.figures:
                    figures.add(part / FIGURES, explanation)
                    lines.append(explanation.line())
                count, gap = count + 1, max(gap, abs(explanation.gap or 0))
                progress.update(1)
            if not count:
                raise InputError(f"{config.input or config.split} holds nothing to explain")
    for line in lines:
        say(line)
    for note in _notes(config.method, job.engine, gap, judged(job.engine, kept)):
        say(f"note  {note}")
    say(f"{count:,} items explained by {config.method}  {runs.short(config.output)}")
    return count


def _batch_size(config: DictConfig) -> Any:
    """Items at once, no more than are asked for."""
    from seqfuse.runtime.explanations.cases import explained_at_once

    size = config.batch_size
    return size if config.max_items is None else min(explained_at_once(size), config.max_items)


def _cases(config: DictConfig, job: Any, splits: Any) -> Iterator[Any]:
    """Batches to explain, of a split or of all files of the input."""
    from seqfuse.runtime.explanations.cases import Wanted
    from seqfuse.runtime.jobs.make import input_files
    from seqfuse.runtime.read.addresses import local

    wanted = Wanted(None if config.target is None else str(config.target), config.step)
    if config.split:
        yield from job.cases_known(wanted, *splits.rows(config.split))
        return
    given = str(local(config.input))
    paths = input_files(job, given, Path(config.output))
    is_folder = Path(given).is_dir()
    for path in paths:
        yield from job.cases_of(path, wanted, *([path.name] if is_folder else []))


def _figures(config: DictConfig) -> Any:
    """Draws explanations; None where none are asked for."""
    if not config.figures:
        return None
    try:
        from seqfuse.explaining.figures import ExplanationFiles  # an annex, with matplotlib
    except ImportError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"figures need matplotlib ({reason}): type figures=0") from None
    return ExplanationFiles()


def _notes(method: str, engine: Any, gap: float, said: Any) -> Iterator[str]:
    """Limits of the explanations, for people."""
    if method == "gradients" and engine.has_bank:
        yield (
            "gradients are those of the net without its bank of convolutions, which has none: "
            "method=occlusion explains both"
        )
    if gap > 1e-3:
        yield f"a sum of attributions differs from what it explains by {gap:.2g}"
    if said is not None:
        yield said.line(method)


def _check(config: DictConfig) -> None:
    if not config.output:
        raise InputError("output is empty: type output=<a new folder>")
    from seqfuse.exporting.settings import check_output

    check_output(config.output)
    if bool(config.input) == bool(config.split):
        raise InputError("name either what to explain, input=<file or folder>, or split=test")
    if config.trainer.get("strategy"):
        raise InputError("seqfuse-explain uses one device: leave out trainer=ddp")
    if config.split not in (None, "train", "val", "test"):
        raise InputError(f"split={config.split} must be one of: train, val, test")
    from seqfuse.runtime.explanations.methods import check_method  # slow: numpy

    check_method(config.method, config.segment)
    for name, minimum in (("figures", 0), ("max_items", 1), ("step", 1)):
        value = config[name]
        if value is not None and (type(value) is not int or value < minimum):
            raise InputError(f"{name}={value} must be a whole number from {minimum}")


if __name__ == "__main__":
    main()

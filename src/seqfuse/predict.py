"""seqfuse-predict writes what a checkpoint says about new data, in the user's units.

Usage: seqfuse-predict ckpt=<path> input=<file or folder> output=<file> [key=value ...]
       seqfuse-predict ckpt=<path> split=train|val|test output=<file> [key=value ...]

  seqfuse-predict ckpt=<path> input=new.npz output=classes.csv
  seqfuse-predict ckpt=<path> input=new.csv output=forecasts.csv figure=forecasts.png
  seqfuse-predict ckpt=<path> input=new.csv output=past.parquet start=2024-01-31 every=24
  seqfuse-predict ckpt=<path> split=test output=test.jsonl overwrite=true

  output             ends in .csv, .csv.gz, .parquet or .jsonl
  trainer=gpu        goes faster, where there is one
  batch_size=64      items at once: auto (as many as suit the memory), or fewer, or more
  ckpt=<path> --cfg job   prints the composed config, with every key

Texts: a .csv, .tsv or .jsonl with the column of texts (and, if you like, id). Tagged words: CoNLL-U
or a word per line; one row per word: row, step, token, prediction, probability.

Classes: the input is an .npz (x and, if you like, id and lengths), .npy, .ts, .tsv or .arff, or a
.csv or .jsonl with a row per step (and an id per series), plain or gzipped, read in blocks; or a
.parquet with a list per channel and a row per series, or with a row per step and an id. Labels
are ignored: a `?` may stand there (in .ts also nothing, with `@classLabel false`). One row per
series: row (or id), prediction, p_<class>. abstain=0.9 leaves predictions, and tags, empty that are
less probable. level=0.9 adds set, the classes (a|b) one of which is the true one that often; the
net was trained with a calibration part (data.calibration=true). unfamiliar is the fraction of
ordinary items that are nearer to those of training (of numbers and labels, too): unfamiliar=0.95
leaves predictions empty above that, of one ordinary item in twenty.

Numbers and several labels: the same files. Numbers have the columns prediction, lower and upper (of
several targets <target>_prediction and so on); labels prediction (a|b) and score_<label>, above 0.5
where a label is predicted (threshold=0.3 asks for less, or more), and p_<label>, the probability.
data=table_windows reads tables, one row for each window.

Many files: those of a folder are predicted one by one, and the column file names them; Parquet
files that make up one table are named by a pattern: input='tables/**/*.parquet'.

Several sources: an .npz with <source>_x for each, and, if you like, <source>_lengths and id.
Recordings of devices (data=har_steps, har_fusion) add <source>_t_ms and, for several recordings,
<source>_id or <source>_subject and <source>_execution; a single device has x, t_ms and so on. One
row per step: id, step, t_ms (when it begins), prediction, probability. data.missing=[watch] does
without one.

Clips: the input is a video, a strip of frames or a folder of them. One row per clip: id,
prediction, p_<class>; or id and score, where anomalies are looked for. data.skip_bad=true
leaves out what cannot be read, and says so. Key points: a .csv in the format of the training
data, with labels or without.

Forecasts: the input is a .csv, .tsv, .jsonl or .parquet, read whole, its dates as in training
(data.time_format); the last rows with targets are looked back on. What is known ahead stands in
the rows after them, with empty targets, or in a file of its own, known=ahead.csv. One row per
step: the group, from, time, step, <target>, <target>_q0.1 ... (log-returns, where
data.returns=true). horizon=12 gives the first steps alone. start=2024-01-31 begins at that stamp,
or at the next row; every=24 goes on from there, or, without a start, counts back from the end. Both
write <target>_true as far as it is known, and say how large the errors are beside those of naive
forecasts, as does a split. With them adaptive=true lets bands follow the errors of the forecasts
before, for series that drift, and says how often they held what came. figure=<folder> gets a .png
of each series, figure=all.png is one of all. For data=mapped the input is a .npy or .parquet, read
window by window; from is a number of row, and there is no time.

Gaps (data=incomplete): the input is a table, as for forecasts. Its rows, in its order, with its
columns, of which the targets are filled; a row for each time stamp that is missing; and imputed,
the columns that were filled in a row (a|b). A split has a row for each value that was held out: the
group, from (where its window begins), time, column, prediction, interpolation and true.

Anomalies: the input is in the format of the training data, labels or not. The leading part of
each recording, as long as in training, is taken to be normal. One row per time step: recording,
time, score (0 to 1; empty where no window looks), anomaly (1 from the threshold on), and label,
for split=test. threshold=0.6 takes another score; quantile=0.99 that which as many of the normal
steps held out in training are below; budget=2 the one with two alarms a day, at most, in the file.
alarms=alarms.csv writes an alarm per row: recording, start, end, peak, score (at the peak) and
channels, the fewest that make up half of it (a|b). Flags nearer than a score looks are one alarm.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seqfuse.config import cli
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say


def main() -> None:
    """The command; `seqfuse-predict --help` explains it."""
    cli.run(predict, "predict", __doc__ or "", cli.offer_recipe)


def predict(config: DictConfig, run: Path) -> int:
    """Predicts a file, a folder or a split, and writes one row per item (and step), or several;
    returns their number.

    Nothing is written to the folder of the run.
    """
    _check(config)
    from seqfuse.runtime.read.addresses import local
    from seqfuse.runtime.writer import Alarms, Writer  # slow: numpy

    writer = Writer(config.output, config.overwrite)
    alarms = Alarms(config.alarms, writer) if config.alarms else None
    from seqfuse.config import loading, runs  # slow: torch
    from seqfuse.data.progress import bar
    from seqfuse.runtime.jobs.make import OPTIONS, make_job, of_input

    engine, splits = loading.load_engine(config, run)
    split, given = config.split, config.input and str(local(config.input))
    metadata = {**splits.metadata(), **engine.model.metadata()}
    options = {name: config[name] for name in OPTIONS if config[name] is not None}
    if "known" in options:
        options["known"] = str(local(options["known"]))
    job = make_job(metadata, engine, config.batch_size, **options)
    figures = _figures(config, job, given)
    items = split and splits.rows(split)
    outputs = [each.path for each in (writer, alarms) if each is not None]
    rows = job.known(*items) if split else of_input(job, given, *outputs)
    shown = config.trainer.enable_progress_bar
    with writer, bar("predict", rows.total, "row", shown) as progress:
        for block in rows:
            progress.update(writer.write(block))
        if not writer.rows:
            raise InputError(f"{config.input or split} holds nothing to predict")
        if figures is not None:
            _draw(figures, job, items or job.windows(Path(given)))
        if alarms is not None:
            alarms.write_all(rows)
    for line in rows.notes():
        say(line)
    say(f"{writer.rows:,} rows  {writer.address or runs.short(writer.path)}")
    if alarms is not None:
        say(f"{alarms.rows:,} alarms  {alarms.address or runs.short(alarms.path)}")
    if figures is not None:
        count = f"{len(figures.written):,} figures" if len(figures.written) > 1 else "1 figure"
        say(f"{count}  {runs.short(figures.path)}")
    return writer.rows


def _figures(config: DictConfig, job: Any, given: str | None) -> Any:
    """The files for figures of forecasts; None where none are asked for."""
    if not config.figure:
        return None
    from seqfuse.runtime.jobs.forecasts import Forecaster

    if not isinstance(job, Forecaster):
        raise InputError(f"figure={config.figure} is for forecasts: leave it out")
    if config.adaptive:
        raise InputError(
            f"figure={config.figure} draws bands as they were calibrated: leave out adaptive=true"
        )
    if given and Path(given).is_dir():
        raise InputError(f"figure={config.figure} is for a single file: name one, input=<file>")
    try:
        from seqfuse.figures.forecasting import FigureFiles  # an annex, with matplotlib
    except ImportError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"figure= needs matplotlib ({reason}): pip install matplotlib") from None
    return FigureFiles(str(config.figure), config.overwrite)


def _draw(figures: Any, job: Any, windows: tuple[Any, Any]) -> None:
    for name, panels in job.panels(*windows):
        figures.add(name, panels)
    figures.close()


def _check(config: DictConfig) -> None:
    if not config.output:
        raise InputError("output is empty: type output=a.csv")
    if bool(config.input) == bool(config.split):
        raise InputError("name either what to predict, input=<file or folder>, or split=test")
    if config.trainer.get("strategy"):
        raise InputError("seqfuse-predict uses one device: leave out trainer=ddp")
    if config.split not in (None, "train", "val", "test"):
        raise InputError(f"split={config.split} must be one of: train, val, test")


if __name__ == "__main__":
    main()

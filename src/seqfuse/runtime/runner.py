"""Predictions from an exported folder, with numpy and onnxruntime alone.

Usage: python run.py <input> <output> [--int8] [key=value ...]
       python run.py <input> <output> --explain   # what each step and channel contributes
       python run.py --check

Forecasts: every=24 start="2024-01-31 12:00" horizon=12 known=ahead.csv adaptive=true, as of
    seqfuse-predict
Anomalies: threshold=0.6 or quantile=0.999 or budget=2, and alarms=alarms.csv; labels: threshold=0.6
Classes and tags: abstain=0.9 leaves answers empty that are less probable
Classes: level=0.9 adds a set of classes that holds the true one so often; unfamiliar=0.95 leaves
    answers empty for items further from those of training than that fraction of ordinary ones

From Python: import run; model = run.load(folder); model.predict(x)
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqfuse.runtime.bundle import GRAPH, GRAPH_INT8, METADATA, check_example, read_metadata
from seqfuse.runtime.engine import OnnxEngine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations.cases import Wanted
from seqfuse.runtime.explanations.explained import explanations
from seqfuse.runtime.jobs.make import OPTIONS, make_job, without_cache
from seqfuse.runtime.read.addresses import local
from seqfuse.runtime.shown import say
from seqfuse.runtime.writer import Alarms, Rows, Writer

USAGE = (
    "usage: python run.py <input> <output> [--int8] [--explain] [key=value], or: "
    "python run.py --check"
)
EXPLAINED = ("target", "step", "segment", "method")
"""Options of explanations; the method is occlusion."""
OPTION = re.compile(rf"({'|'.join([*OPTIONS, *EXPLAINED])})=(.+)")


def load(folder: str | Path, int8: bool = False, threads: int = 0, **options: Any) -> Any:
    """The job of a folder that `seqfuse-export` wrote, with options of its own.

    `int8` takes the graph with weights in 8 bits; 0 threads leave their number to onnxruntime.
    """
    folder, name = Path(folder), GRAPH_INT8 if int8 else GRAPH
    metadata = read_metadata(folder)
    if name not in metadata["files"]:
        raise InputError(f"{folder} has no {name}: export it with int8=true")
    engine = OnnxEngine(folder / name, threads)
    try:
        return make_job(without_cache(metadata), engine, **options)
    except InputError as error:
        if str(error).partition("=")[0] in options:  # which is no fault of the folder
            raise
        raise InputError(f"{folder / METADATA}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError):
        raise InputError(f"{folder / METADATA}: its 'pipeline' is none that was exported") from None


def main(words: Sequence[str], folder: Path) -> int:
    """The command of the exported folder; returns its exit code."""
    options = {word for word in words if word.startswith("--")}
    matches = [match for word in words if (match := OPTION.fullmatch(word))]
    given = {str(match[1]): str(match[2]) for match in matches}
    names = [word for word in words if word not in options and not OPTION.fullmatch(word)]
    wanted = 0 if "--check" in options else 2
    flags = {"--check"} if "--check" in options else {"--int8", "--explain"}
    if options - flags or len(names) != wanted or (given and not names):
        say(USAGE, file=sys.stderr)
        return 2
    try:
        values = {key: _value(key, text) for key, text in given.items()}
        asked = _asked(values, "--explain" in options)
        model = load(folder, int8="--int8" in options, **values)
        if not names:
            worst = check_example(model.engine, folder, model.metadata["tolerance"])
            say(f"the largest difference from the example is {worst:.2g}")
            return 0
        source = local(names[0])
        _check_output(source, Path(names[1]))
        writer = Writer(names[1], overwrite=True, key="")
        alarms = Alarms(given["alarms"], writer) if "alarms" in given else None
        if alarms is not None:
            _check_output(source, alarms.path)
        with writer:
            rows = model.rows(source) if asked is None else _explained(model, source, **asked)
            for block in rows:
                writer.write(block)
            if not writer.rows:
                raise InputError(f"{names[0]} holds nothing to predict")
            if alarms is not None:
                alarms.write_all(rows)
        for line in rows.notes():
            say(line)
        say(f"{writer.rows:,} rows  {names[1]}")
        if alarms is not None:
            say(f"{alarms.rows:,} alarms  {alarms.address or alarms.path}")
    except (InputError, OSError) as error:
        say(f"run.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _asked(options: dict[str, Any], explains: bool) -> dict[str, Any] | None:
    """Takes the options of explanations from those of predictions; None without `--explain`."""
    asked = {name: options.pop(name) for name in EXPLAINED if name in options}
    if asked and not explains:
        raise InputError(f"{next(iter(asked))}= is for --explain: leave it out")
    if (method := asked.pop("method", "occlusion")) != "occlusion":
        raise InputError(
            f"method={method}: an exported graph is explained by occlusion alone, as it has no "
            "gradients: leave it out"
        )
    if explains and "alarms" in options:
        raise InputError("alarms= is for predictions: leave out --explain")
    return asked if explains else None


def _explained(
    model: Any, path: Path, target: Any = None, step: Any = None, segment: Any = None
) -> Rows:
    """Rows of what each step and channel of a file contributes, by occlusion."""
    cases = model.cases_of(path, Wanted(None if target is None else str(target), step))
    explained = explanations(model.engine, cases, "occlusion", segment)
    return Rows(each.table() for each in explained)


def _value(key: str, text: str) -> Any:
    """Value of an option: a number, or a text; the file that an address names."""
    if key == "known":
        return str(local(text))
    if key == "level":
        try:
            return float(text)
        except ValueError:
            return text  # which is then refused by name
    if key == "adaptive" and text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() else text


def _check_output(given: Path, output: Path) -> None:
    """Raises InputError where predictions would replace what they are made from."""
    if output.exists() and given.exists() and output.samefile(given):
        raise InputError(f"{output} is the input: name another output")

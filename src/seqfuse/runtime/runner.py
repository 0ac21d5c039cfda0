"""Predictions from an exported folder, with numpy and onnxruntime alone.

Usage: python run.py <input> <output.csv or .jsonl> [--int8]
       python run.py --check

From Python: import run; model = run.load(folder); model.predict(x)
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqfuse.runtime.anomalies import Detector
from seqfuse.runtime.bundle import FACTS, Bundle
from seqfuse.runtime.classes import Classifier, ClipScorer, Tagger
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.forecasts import Forecaster, RowForecaster
from seqfuse.runtime.items import write_rows
from seqfuse.runtime.shown import say

MODELS: dict[str, Any] = {
    "classes": Classifier,
    "tags": Tagger,
    "clip_scores": ClipScorer,
    "forecasts": Forecaster,
    "row_forecasts": RowForecaster,
    "anomalies": Detector,
}
"""What predicts, by job."""
USAGE = "usage: python run.py <input> <output.csv or .jsonl> [--int8], or: python run.py --check"


def load(folder: str | Path | None = None, int8: bool = False, threads: int = 0) -> Any:
    """What predicts with an exported folder.

    Args:
        folder: that `seqfuse-export` wrote; without one, that of this file.
        int8: takes the graph with weights in 8 bits.
        threads: of onnxruntime; 0 leaves their number to it.

    Raises:
        InputError: a file is missing, truncated or changed.
    """
    bundle = Bundle(Path(__file__).parent if folder is None else folder, int8, threads)
    job, path = bundle.facts["job"], bundle.folder / FACTS
    if job not in MODELS:
        raise InputError(f"{path}: '{job}' is no job that this run.py knows: export it again")
    try:
        return MODELS[job](bundle)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: its 'pipeline' is none that was exported") from None


def main(words: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = {word for word in words if word.startswith("--")}
    names = [word for word in words if word not in options]
    wanted = 0 if "--check" in options else 2
    known = {"--check"} if "--check" in options else {"--int8"}
    if options - known or len(names) != wanted:
        say(USAGE, file=sys.stderr)
        return 2
    try:
        model = load(int8="--int8" in options)
        if not names:
            say(f"the largest difference from the example is {model.bundle.check():.2g}")
            return 0
        _check_output(*map(Path, names))
        count = write_rows(Path(names[1]), model.table(names[0]))
        say(f"{count:,} rows  {names[1]}")
    except (InputError, OSError) as error:
        say(f"run.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _check_output(given: Path, output: Path) -> None:
    """Raises InputError where predictions would replace what they are made from."""
    if output.exists() and given.exists() and output.samefile(given):
        raise InputError(f"{output} is the input: name another output")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

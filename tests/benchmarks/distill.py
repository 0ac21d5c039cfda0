"""What a small student gains from a teacher: test accuracy with and without, on real sets.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.distill [set ...] --seeds 5`. Each seed has
a teacher, a student with at most a fifth of its parameters, and the same student without teacher;
all three see the same rows. Nothing is chosen on a test split. Results are printed as they come.
"""

import argparse
import contextlib
import io
import json
import re
import statistics
import tempfile
from pathlib import Path

from seqfuse.train import train
from tests.conftest import composed

QUIET = (
    *("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1"),
    *("logger=none", "callbacks.figures=null"),
)
SERIES = (
    *("model.cnn.channels=[24,24]", "model.lstm.hidden_size=30"),
    "model.attention.attention_size=32",
)
TEXTS = (
    *("model.stem.out_channels=24", "model.cnn.channels=[16]", "model.lstm.hidden_size=16"),
    "model.head.dropout=0.3",
)
# Nets as small as these are not done at the default rate.
FAST = ("scheduler=onecycle", "optimizer.lr=1e-2", "callbacks.early_stopping=null")
HAR = ("data=har_windows", "data.batch_size=128", "trainer.max_epochs=20")
# What the teacher is trained by, and what makes the student small.
SETS = {
    "har_windows": ((*HAR, *FAST), SERIES),
    "snips_intent": (("experiment=snips_intent",), TEXTS),
    "banking77": (("experiment=banking77",), TEXTS),
    "japanese_vowels": (("experiment=japanese_vowels", *FAST), SERIES),
}
# Chosen on validation splits, as sizes and dropout: people of har_windows, a tenth of snips_intent.
TEACHING = ("task=distill", "task.teaching=0.9")
ROWS = ("teacher", "student taught", "student alone")


def accuracies(name: str, seed: int, folder: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Test accuracies of one seed, and the numbers of parameters."""
    words, small = SETS[name]
    taught = (*TEACHING, f"teacher={folder}/teacher/checkpoints/best.ckpt", *small)
    found, sizes = {}, {}
    for row, more in zip(ROWS, ((), taught, small), strict=True):
        run = folder / row.split()[-1]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            metrics = train(composed([*words, *QUIET, f"seed={seed}", *more]), run)
        found[row] = metrics["test/accuracy"]
        found[f"{row}, val"] = metrics.get("val/accuracy", float("nan"))
        [size] = re.findall(r"net +([\d,]+) parameters", said.getvalue())
        sizes[row] = int(size.replace(",", ""))
    return found, sizes


def main() -> None:
    """Prints a row per set and seed, and the means."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.distill", description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("logs", "benchmarks", "distill.json"))
    given = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {}
    for name in given.sets:
        for seed in range(given.seeds):
            with tempfile.TemporaryDirectory() as folder:
                found, sizes = accuracies(name, seed, Path(folder))
            results.setdefault(name, []).append(found)
            print(name, seed, {row: round(one, 4) for row, one in found.items()}, sizes, flush=True)
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps(results, indent=2) + "\n")
        for row in ROWS:
            each = [one[row] for one in results[name]]
            spread = statistics.stdev(each) if len(each) > 1 else 0.0
            print(f"{name:<16} {row:<15} {statistics.mean(each):.4f} ± {spread:.4f}", flush=True)


if __name__ == "__main__":
    main()

"""Calibration of the default on sets of the UCR archive, and coverage of conformal sets.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.calibration set [set ...]`. Sets are
trained on one thread by the default, whose temperature is fitted by the bank where nothing is held
out, or (`--variant "held out"`) with `data.calibration=true`, which holds a tenth out for
calibration alone and a tenth for the choice of the checkpoint. Errors are of the test split,
before and after the temperature; sets of classes are those of level 0.9. Texts and windows of
sensors can be named, too. Rows that are there are not made again. Nothing is chosen on a test
split, but that the rule for nothing held out (`tasks.calibration.between`) was chosen among six by
the eleven sets from ArrowHead to DodgerLoopGame: the others judge it.
"""

import contextlib
import io
import math
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd

from seqfuse.train import train
from tests.benchmarks import common
from tests.benchmarks.archive import QUIET
from tests.composing import composed

VARIANTS = {"default": (), "held out": ("data.calibration=true",)}
APART = ("data.num_folds=10", "task.monitor=val/loss")
OTHERS = {
    "banking77": ("experiment=banking77", *APART),
    "snips_intent": ("experiment=snips_intent", *APART),
    "har_windows": (
        *("data=har_windows", "data.batch_size=128", "trainer.max_epochs=6"),
        *("scheduler=onecycle", "optimizer.lr=3e-3"),
    ),
}
"""Sets that are none of the archive: texts, and people who are not those of training."""
MEASURES = ("calibration_error", "log_loss", "brier")
NAMES = ("accuracy", *(f"{name}{end}" for name in MEASURES for end in ("_uncalibrated", "")))
SETS = ("coverage_90", "set_size_90")
QUALIFIES = 0.03
"""Calibration error of a set that is to be halved."""


def measure(root: Path, set: str, variant: str, seed: int) -> dict[str, object]:
    """Test metrics of a set, before and after calibration."""
    start = time.process_time()
    place = (*OTHERS.get(set, (f"data.root={root}", f"data.name={set}")), f"seed={seed}")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        recipe = composed([*QUIET, *place, *VARIANTS[variant]])
        metrics = train(recipe, Path(folder, "run"))
    values = {key: round(metrics.get(f"test/{key}", math.nan), 5) for key in (*NAMES, *SETS)}
    return {**values, "seconds": round(time.process_time() - start, 1)}


def summary(path: Path) -> str:
    """How many sets above `QUALIFIES` got better, and by how much."""
    table, lines = pd.read_csv(path), []
    for variant, part in table.groupby("variant", sort=False):
        before, after = part["calibration_error_uncalibrated"], part["calibration_error"]
        chosen = before > QUALIFIES
        lines.append(
            f"{variant}: {len(part)} runs, calibration error above {QUALIFIES} in {chosen.sum()}: "
            f"{before[chosen].mean():.4f} before, {after[chosen].mean():.4f} after; lower in "
            f"{(after < before)[chosen].sum()}, halved in {(2 * after <= before)[chosen].sum()}"
        )
        for name in ("log_loss", "brier"):
            lines.append(
                f"  {name}: {part[f'{name}_uncalibrated'].mean():.4f} before, "
                f"{part[name].mean():.4f} after"
            )
        if part["coverage_90"].notna().any():
            lines.append(
                f"  coverage of 0.9: {part['coverage_90'].mean():.4f}, classes in a set: "
                f"{part['set_size_90'].mean():.2f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Measures what is not there yet."""
    parser = common.parser("calibration", __doc__)
    parser.add_argument("sets", nargs="*", help=f"of ucr/, or {', '.join(OTHERS)}")
    parser.add_argument("--variant", choices=VARIANTS, default="default")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=common.RESULTS / "calibration.csv")
    given = parser.parse_args()
    root = Path(composed([]).paths.data) / "ucr"
    runs = (
        {"set": name, "variant": given.variant, "seed": seed}
        for seed, name in product(range(given.seeds), given.sets)
    )
    common.complete(given.out, runs, partial(measure, root))
    print(summary(given.out), flush=True)


if __name__ == "__main__":
    main()

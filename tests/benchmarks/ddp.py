"""Losses and metrics of one process, and of two that share every batch.

Five small jobs (classes with weights, classes by a net with batch norm, forecasts with missing
targets, forecasts read from disk, anomalies), each trained for at least 50 steps, validated,
calibrated and tested twice: by one process, and by two over gloo that torchrun starts. Dropout is
off; batches, validation and test splits are of odd sizes, so that shares differ and some are empty.

    python -m tests.benchmarks.ddp [--steps 50] [--out file.json]

Printed are the first losses side by side, and the largest differences.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from lightning.pytorch import Callback, Trainer
from torch.nn.utils import get_total_norm

from seqfuse.config import cli
from tests.benchmarks import common

STEPS = 50
ROOT = Path(__file__).parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
QUIET = (
    "model.lstm.dropout=0.0",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.num_threads=1",
    "callbacks.figures.every_n_epochs=5",
    "callbacks.early_stopping=null",
    "+callbacks.witness._target_=tests.benchmarks.ddp.Witness",
)
WINDOWS = (
    *("data.look_back=24", "data.horizon=6", "model.segment_size=6"),
    *("model.attention.dropout=0.0", "data.split=[0.5,0.15,0.15,0.2]", "data.season=12"),
)
JOBS: dict[str, tuple[str, ...]] = {
    "classes": (
        *("data=synthetic", "model=base", "data.num_samples=81", "data.num_steps=12"),
        *("data.batch_size=9", "task.loss.class_weights=[1.0,3.0]", "trainer.max_epochs=7"),
    ),
    "series": (
        *("data=synthetic", "data.num_samples=81", "data.num_steps=12", "data.batch_size=9"),
        "trainer.max_epochs=10",
    ),
    "forecasts": (
        *("data=csv", "data.file=table.csv", "data.time=when", "data.targets=[load,heat]"),
        *("data.gaps=ignore", *WINDOWS, "data.batch_size=34", "trainer.max_epochs=9"),
    ),
    "mapped": (
        *("data=mapped", "data.file=table.parquet", "data.targets=[load,heat]", *WINDOWS),
        *("data.batch_size=27", "trainer.max_epochs=8"),
    ),
    "anomalies": (
        *("data=labelled", "data.file=watched.csv", "data.group=pump", "data.look_back=24"),
        *(
            "data.horizon=6",
            "model.segment_size=6",
            "model.attention.dropout=0.0",
            "data.batch_size=19",
        ),
        *("task.measures.pca.size=24", "trainer.max_epochs=17"),
    ),
}


def main() -> None:
    given = common.arguments("ddp", __doc__, steps=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    results = {name: compared(*found[name], given.steps) for name in JOBS}
    for name, (one, two) in found.items():
        print(f"\n{name:<10}  {'one':>11}  {'two':>11}  {'difference':>10}")
        for step in range(0, given.steps, 7):
            a, b = one["losses"][step], two["losses"][step]
            print(f"step {step + 1:<5}  {a:>11.8f}  {b:>11.8f}  {abs(a - b):>10.1e}")
    print()
    for name, values in results.items():
        print(name, ", ".join(f"{what} {value:.1e}" for what, value in values.items()))
    losses = {name: [side["losses"][: given.steps] for side in found[name]] for name in JOBS}
    common.write(given.out, differences=results, losses=losses)


def measure(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What one process and two left of each job, by its name."""
    write_tables(folder)
    worker = ["-m", "tests.benchmarks.ddp", "--worker"]
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        common.call([sys.executable, *launcher, *worker, str(folder), name], ROOT)
    return {name: (left(folder / "one" / name), left(folder / "two" / name)) for name in JOBS}


def left(run: Path) -> dict[str, Any]:
    """What a run left: losses, gradient norms, metrics, and rows seen, by rank."""
    ranks = [json.loads(path.read_text()) for path in sorted(run.glob("witness-*.json"))]
    metrics = json.loads((run / "metrics.json").read_text())
    return {**ranks[0], "seen": [one["seen"] for one in ranks], "metrics": metrics}


def compared(one: dict[str, Any], two: dict[str, Any], steps: int) -> dict[str, float]:
    """The largest differences of the first losses, gradient norms, and of the metrics."""
    pairs = {name: list(zip(one[name], two[name], strict=True)) for name in ("losses", "norms")}
    names = [name for name in one["metrics"] if name != "fit_seconds"]
    pairs["metrics"] = [(one["metrics"][name], two["metrics"][name]) for name in names]
    worst = {name: max(abs(a - b) for a, b in found[:steps]) for name, found in pairs.items()}
    return {name: float(value) for name, value in worst.items()}


def work(folder: Path, name: str) -> None:
    """Runs every job; in each process that was started."""
    from seqfuse.train import train

    for job, words in JOBS.items():
        with initialize_config_dir(str(cli.CONF), version_base="1.3"):
            more = ["trainer=ddp", "trainer.devices=2"] if name == "two" else []
            recipe = compose("train", [*words, *QUIET, *more, f"paths.data={folder}"])
        train(recipe, folder / name / job)


class Witness(Callback):
    """Keeps what every rank saw: losses before each step, gradient norms, rows of batches."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": [], "test": []}

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Any) -> None:
        self.losses.append(loss.item())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        self.norms.append(get_total_norm(gradients).item())

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, _: Any, batch: Any, i: int):
        self.seen["train"].append(batch.index.tolist())

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, _: Any, batch: Any, i: int, dataloader_idx: int = 0
    ) -> None:
        if not trainer.current_epoch and dataloader_idx + 1 == len(trainer.num_val_batches):
            self.seen["val"].append(batch.index.tolist())

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Any, _: Any, batch: Any, i: int, dataloader_idx: int = 0
    ) -> None:
        self.seen["test"].append(batch.index.tolist())

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        root = trainer.strategy.broadcast(trainer.default_root_dir)
        content = {"losses": self.losses, "norms": self.norms, "seen": self.seen}
        Path(root, f"witness-{trainer.global_rank}.json").write_text(json.dumps(content))


def write_tables(folder: Path) -> None:
    """Hourly rows with a daily course and holes; and two pumps that fail at times."""
    generator, steps = np.random.default_rng(0), np.arange(400)
    load = np.sin(steps * np.pi / 6) + 0.1 * generator.normal(size=400)
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=400, freq="h")})
    frame = frame.assign(load=load, heat=50 - 3 * load + generator.normal(size=400))
    frame.to_parquet(folder / "table.parquet", row_group_size=100)
    holes: Callable[[int], np.ndarray] = lambda n: generator.choice(400, n, replace=False)  # noqa: E731
    frame.loc[holes(60), "load"] = np.nan
    frame.loc[holes(20), "heat"] = np.nan
    frame.to_csv(folder / "table.csv", index=False)
    pumps = [watched(name, generator) for name in ("north", "south")]
    pd.concat(pumps).to_csv(folder / "watched.csv", index=False)


def watched(name: str, generator: np.random.Generator) -> pd.DataFrame:
    steps = np.arange(300)
    value, anomaly = np.sin(steps / 4) + 0.1 * generator.normal(size=300), np.zeros(300, dtype=int)
    value[200:212] += 2.0
    anomaly[200:212] = 1
    date = pd.date_range("2024-01-01", periods=300, freq="h")
    return pd.DataFrame({"pump": name, "date": date, "value": value, "anomaly": anomaly})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]), sys.argv[3])
    else:
        main()

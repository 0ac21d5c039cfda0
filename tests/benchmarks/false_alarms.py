"""How often normal rows are flagged, held against what the quantile of a threshold promises.

Run as `python -m tests.benchmarks.false_alarms --seeds 3`. Ten stationary recordings are made:
sines, autoregressive and white noise, a square wave, several channels, heavy tails; each has a
leading part of 600 to 3,000 rows and 20,000 normal rows behind it, no anomaly at all. Each seed
makes them anew, trains a net on the leading part, and counts flags among the rows behind it, and
among those of a second recording of the same kind that the net has never seen, whose own leading
part gives the scale. Both scorers. Writes all numbers (.json).
"""

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

import seqfuse
from seqfuse.train import train
from tests.benchmarks import common
from tests.composing import composed

Generator = np.random.Generator
TESTED = 20_000
QUANTILE = 0.999
SCORERS = {
    "likelihood": (),
    "subspace": (
        *("data.reconstruct=true", "data.horizon=96", "model=autoencoder"),
        "task/scorer=subspace",
    ),
}
QUIET = (
    *("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1"),
    *("callbacks.figures=null", "logger=none", "test=false", "data=labelled"),
)


def sine(period: float, size: int, generator: Generator) -> np.ndarray:
    return np.sin(2 * np.pi * (np.arange(size) / period + generator.random()))


def noise(size: int, generator: Generator) -> np.ndarray:
    return generator.normal(size=size)


def autoregressive(coefficients: list[float], size: int, generator: Generator) -> np.ndarray:
    steps = lfilter([1.0], [1.0, *(-np.array(coefficients))], noise(size + 500, generator))
    return np.asarray(steps)[500:]


def mixed(size: int, generator: Generator) -> np.ndarray:
    """Four channels of two hidden ones."""
    hidden = np.stack([autoregressive([0.95], size, generator) for _ in range(2)], axis=1)
    weights = np.array([[0.9, -0.4, 0.7, 0.2], [0.1, 0.8, -0.6, 0.5]])
    return hidden @ weights / 2 + 0.3 * generator.normal(size=(size, 4))


def three(size: int, generator: Generator) -> np.ndarray:
    waves = [sine(period, size, generator) + 0.2 * noise(size, generator) for period in (40, 25)]
    return np.stack([*waves, autoregressive([0.8], size, generator)], axis=1)


def swelling(size: int, generator: Generator) -> np.ndarray:
    swell = 1 + 0.06 * autoregressive([0.98], size, generator)
    return sine(36, size, generator) * swell + 0.1 * noise(size, generator)


MADE: dict[str, tuple[int, Callable[[int, Generator], np.ndarray]]] = {
    "sine": (600, lambda n, g: sine(48, n, g) + 0.1 * noise(n, g)),
    "two sines": (3000, lambda n, g: sine(24, n, g) + sine(168, n, g) / 2 + 0.2 * noise(n, g)),
    "AR(1)": (1200, lambda n, g: autoregressive([0.9], n, g)),
    "AR(2)": (3000, lambda n, g: autoregressive([1.6, -0.8], n, g)),
    "noise": (2000, noise),
    "square wave": (900, lambda n, g: np.sign(sine(60, n, g)) + 0.1 * noise(n, g)),
    "three channels": (2400, three),
    "four channels": (2000, mixed),
    "heavy tails": (2700, lambda n, g: sine(30, n, g) + 0.1 * g.laplace(size=n)),
    "swelling": (1500, swelling),
}
"""Rows of the leading part, and how all rows are made."""


def made(name: str, seed: int, number: int, path: Path) -> float:
    """Writes a recording and returns the fraction that leads."""
    leading, make = MADE[name]
    size = leading + TESTED
    values = make(size, np.random.default_rng([seed, number, list(MADE).index(name)]))
    columns = {f"v{i}": one for i, one in enumerate(np.atleast_2d(values.T))}
    date = pd.date_range("2024-01-01", periods=size, freq="min")
    pd.DataFrame({"date": date, **columns, "anomaly": 0}).to_csv(path, index=False)
    return (leading + 0.5) / size


def measure(name: str, scorer: str, seed: int, epochs: int) -> dict[str, Any]:
    """Fractions of normal rows that are flagged: of the recording trained on, and of another."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "trained.csv"), Path(folder, "new.csv")
        for number, path in enumerate(paths):
            fraction = made(name, seed, number, path)
        words = [*QUIET, *SCORERS[scorer], f"data.file={paths[0]}", f"data.train={fraction}"]
        words += [f"seed={seed}", f"task.quantile={QUANTILE}", f"trainer.max_epochs={epochs}"]
        with contextlib.redirect_stdout(io.StringIO()):
            train(composed(words), Path(folder, "run"))
        model: Any = seqfuse.load(Path(folder, "run", "checkpoints", "best.ckpt"))
        rates = [model.predict(path).anomaly[-TESTED:].mean() for path in paths]
    trained, new = (float(one) for one in rates)
    return {"name": name, "scorer": scorer, "seed": seed, "trained": trained, "new": new}


def main() -> None:
    """Measures, and writes what is known so far after each recording."""
    given = common.arguments("false_alarms", __doc__, seeds=3, epochs=20)
    promised, results = 1 - QUANTILE, []
    for seed in range(given.seeds):
        for name in MADE:
            for scorer in SCORERS:
                results.append(measure(name, scorer, seed, given.epochs))
                print(results[-1], flush=True)
    print(f"{'promised':<16}{promised:.5f}")
    for scorer in SCORERS:
        for kind in ("trained", "new"):
            rates = [one[kind] for one in results if one["scorer"] == scorer]
            mean, most = statistics.mean(rates), max(rates)
            print(
                f"{scorer:<10} {kind:<8} mean {mean:.5f}, {mean / promised:.2f} of it, most {most}"
            )
    common.write(given.out, promised=promised, results=results)


if __name__ == "__main__":
    main()

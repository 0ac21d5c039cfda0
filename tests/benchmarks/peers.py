"""Other libraries' LSTMs by their own defaults, on the splits of our tables.

Each runs in an environment of its own, on one thread (`python -m venv other; other/bin/pip install
tsai`, or `neuralforecast`), from the root of this repository:

    export OMP_NUM_THREADS=1 SEQFUSE_DATA=<folder>
    other/bin/python -m tests.benchmarks.peers tsai --seeds 3

`tsai` is LSTM_FCN as its notebook 05 trains it: `TSClassifier`, batches of 64, 100 epochs of
one-cycle to 1e-3, the last weights; the test part is not looked at on the way, which spares it the
seconds of its validations. `neuralforecast` is LSTM on ETTh1, 96 hours ahead, by
`cross_validation` as its page on long horizons has it: each column a series, values standardised
by the first 8,640 rows, every window of the test part; `--words max_steps=500` changes its options.
`loader` is neuralforecast's loader on the long table of `tests.benchmarks.panel`, with a net that
answers nothing: windows a second of its training steps, 256 in each, of 32 series at a time as by
default. It needs seqfuse in the same environment (`other/bin/pip install neuralforecast -e .`).
Seconds begin before the data are read and end with the last prediction; imports are left out, as
in `tests.benchmarks.archive` and `tests.benchmarks.forecasts`, whose rows stand beside these.
"""

import gzip
import importlib.metadata
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks import common

SETS = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf")
TRAIN, VALIDATION, TEST, HORIZON = 8640, 2880, 2880, 96


def series(root: Path, name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Series (n 1 t) and classes (n) of a set of the UCR archive."""
    with gzip.open(root / "ucr" / name / f"{name}_{part}.tsv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter="\t", dtype=np.float32)
    return rows[:, None, 1:], rows[:, 0].astype(int).astype(str)


def lstm_fcn(root: Path, words: dict[str, Any], name: str, seed: int) -> dict[str, float]:
    """Test accuracy of tsai's LSTM_FCN."""
    from fastai.callback.core import Callback, CancelValidException  # type: ignore
    from tsai.basics import TSClassification, TSClassifier  # type: ignore

    class Unseen(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

    (x, y), (other, truth) = (series(root, name, part) for part in ("TRAIN", "TEST"))
    both = np.concatenate([x, other]), np.concatenate([y, truth])
    splits = [*range(len(x))], [*range(len(x), len(x) + len(other))]
    options = {"tfms": [None, TSClassification()], "device": "cpu", **words}
    model = TSClassifier(*both, splits=splits, arch="LSTM_FCN", seed=seed, **options)
    with model.no_bar(), model.no_logging():
        model.fit_one_cycle(100, 1e-3, cbs=[Unseen()])
    guesses = model.get_X_preds(other, with_decoded=True)[2]
    return {"accuracy": float((np.asarray(guesses) == truth).mean())}


def lstm(root: Path, words: dict[str, Any], name: str, seed: int) -> dict[str, float]:
    """Test errors of neuralforecast's LSTM."""
    from neuralforecast import NeuralForecast  # type: ignore
    from neuralforecast.models import LSTM  # type: ignore
    from pytorch_lightning import Callback

    spent = [time.process_time()]

    class Watch(Callback):
        def on_train_end(self, *_: Any) -> None:
            spent.append(time.process_time())

    table = pd.read_csv(root / "ett" / f"{name}.csv.gz", parse_dates=["date"])
    table = table[: TRAIN + VALIDATION + TEST]
    values = table.drop(columns="date")
    values = (values - values[:TRAIN].mean()) / values[:TRAIN].std(ddof=0)
    long = values.assign(ds=table["date"]).melt("ds", var_name="unique_id", value_name="y")
    quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
    options = {**quiet, "accelerator": "cpu", "random_seed": seed, "callbacks": [Watch()], **words}
    forecaster = NeuralForecast([LSTM(HORIZON, **options)], freq="h")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = forecaster.cross_validation(
            long, val_size=VALIDATION, test_size=TEST, n_windows=None
        )
    assert len(found) == len(values.columns) * (TEST - HORIZON + 1) * HORIZON
    error = found["LSTM"] - found["y"]
    errors = {"mse": float(error.pow(2).mean()), "mae": float(error.abs().mean())}
    return {**errors, "training": spent[-1] - spent[0]}


def loader(root: Path, words: dict[str, Any], name: str, seed: int) -> dict[str, float]:
    """Seconds to read a long table, and windows of training steps without a net in a second of
    the processor."""
    import torch
    from neuralforecast.models import LSTM  # type: ignore
    from neuralforecast.tsdataset import TimeSeriesDataset, TimeSeriesLoader  # type: ignore

    from tests.benchmarks.panel import BATCHES, write

    torch.manual_seed(seed)
    names = {"shop": "unique_id", "date": "ds", "sales": "y"}
    options = {"windows_batch_size": 256, "scaler_type": "identity", **words}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "panel.csv")
        write(path, 10_000, 200)
        began = time.perf_counter()
        table = pd.read_csv(path, parse_dates=["date"]).rename(columns=names)
    static = table.groupby("unique_id", as_index=False)["town"].first()
    static["town"] = pd.factorize(static["town"])[0]
    table["weekday"] = table["ds"].dt.weekday
    dataset = TimeSeriesDataset.from_df(table.drop(columns="town"), static)[0]
    read = time.perf_counter()
    known = {"futr_exog_list": ["price", "weekday"], "stat_exog_list": ["town"]}
    model = LSTM(14, input_size=56, **known, **options)
    zeros = torch.zeros(model.windows_batch_size, 14, 1)
    model.forward = lambda batch: zeros
    model.log = lambda *_, **__: None
    batches = iter(TimeSeriesLoader(dataset, batch_size=model.batch_size, shuffle=True))
    begun = time.process_time()
    for number, batch in zip(range(BATCHES), batches, strict=False):
        model.training_step(batch, number)
    rate = len(zeros) * BATCHES / (time.process_time() - begun)
    return {"read": read - began, "windows_per_second": rate}


PEERS = {
    "tsai": ("tsai", lstm_fcn, SETS),
    "neuralforecast": ("neuralforecast", lstm, ("ETTh1",)),
    "loader": ("neuralforecast", loader, ("panel",)),
}
"""Of each name the package, the function, and what it is measured on."""


def main() -> None:
    """Measures what is not there yet, seed by seed."""
    parser = common.parser("peers", __doc__)
    parser.add_argument("library", choices=PEERS)
    parser.add_argument("sets", nargs="*", help="names; without any, all")
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=common.RESULTS, help="folder of the rows")
    parser.add_argument("--words", nargs="*", default=[], help="name=value, of the library's model")
    given = parser.parse_args()
    options = {name: json.loads(value) for name, value in (w.split("=", 1) for w in given.words)}
    package, score, sets = PEERS[given.library]
    root, out = Path(os.environ["SEQFUSE_DATA"]).resolve(), given.out.resolve()
    words = " ".join([importlib.metadata.version(package), *given.words])

    def measure(**run: Any) -> common.Row:
        clock, processor = time.perf_counter(), time.process_time()
        metrics = score(root, options, run["set"], run["seed"])
        seconds = time.process_time() - processor, time.perf_counter() - clock
        found = {name: round(value, 5) for name, value in metrics.items()}
        return {**found, "seconds": round(seconds[0], 1), "clock": round(seconds[1], 1)}

    runs = [
        {"set": name, "seed": seed, "words": words}
        for seed in range(given.first, given.seeds)
        for name in given.sets or sets
    ]
    common.complete(out / f"{given.library}.csv", runs, measure)


if __name__ == "__main__":
    main()

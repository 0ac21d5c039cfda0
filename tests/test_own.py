"""What a user adds in a package of his own, file by file: it trains, is measured and predicts."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from seqfuse import evaluate, predict, train

FAST = ("debug=fast", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
Command = Callable[..., tuple[int, str, str]]

DATA_SET = {
    "lab1/data.py": """
import numpy as np
from seqfuse.runtime.pipelines.series import series

def read(split):
    draw = np.random.default_rng(len(split))
    x = draw.normal(size=(40, 12, 2))
    return series(x, np.where(x[:, :, 0].mean(axis=1) > 0, "up", "down"), origin="made up")
""",
    "conf/data/mine.yaml": """
defaults: [_series, _self_]
name: mine
module: {splits: {dataset: {_target_: lab1.data.read, _partial_: true}}}
""",
}
TASK = {
    "lab2/ranks.py": """
import torch
from torch import nn
from seqfuse.tasks.base import Task
from seqfuse.tasks.metrics import ObservedMean

def error(prediction, y):
    ranks = torch.arange(prediction.shape[-1], dtype=prediction.dtype)
    return prediction.softmax(dim=-1) @ ranks - y

class Squared(nn.Module):
    def forward(self, prediction, y):
        return error(prediction, y).square().mean()

class Absolute(ObservedMean):
    def update(self, preds, target):
        self.add(error(preds, target).abs(), torch.ones_like(target, dtype=torch.bool))

class Ranks(Task):
    # Classes with an order, by the distance of their mean from the true one.
    def _loss(self, prediction, batch, stage):
        return self._pooled(self.loss(prediction, batch.y), batch.y)
""",
    "conf/task/ranks.yaml": """
_target_: lab2.ranks.Ranks
monitor: val/loss
mode: min
loss: {_target_: lab2.ranks.Squared}
metrics: {rank_error: {_target_: lab2.ranks.Absolute}}
""",
}
KIND = {
    "lab3/events.py": """
import json
from dataclasses import replace
import numpy as np
from seqfuse.data.items import Source
from seqfuse.runtime.pipelines.labels import Labelled
from seqfuse.runtime.pipelines.packed import KINDS
from seqfuse.runtime.read.labelled import READERS
from seqfuse.runtime.recordings import Recordings

class Events(Labelled):
    # Times of events, of which a net gets the number in each bin of so many seconds.
    def __init__(self, width=1.0):
        super().__init__()
        self.width = width
    def fit(self, items):
        self.fit_labels(items)
        return self
    def sizes(self):
        return {"channels": 1, **self.labels.sizes()}
    def transform(self, items):
        bins = [(times // self.width).astype(int) for times in items]
        counts = Recordings.of([np.bincount(b)[:, None].astype(np.float32) for b in bins])
        return replace(items, values=counts.values, offsets=counts.offsets)
    def state_dict(self):
        return {"labels": self.labels.state_dict()}
    def load_state_dict(self, state):
        self.load_labels(state)

def read(path, size=64):
    lines = path.read_text().splitlines()
    yield Recordings.of([np.array(json.loads(line)) for line in lines], origin=str(path))

class Clicks(Source):
    def __call__(self, split):
        draw = np.random.default_rng(len(split))
        counts = np.where(np.arange(40) % 2, 30, 6)
        times = [np.sort(draw.uniform(0, 20, count)) for count in counts]
        labels = ["busy" if count > 9 else "calm" for count in counts]
        return Recordings.of(times, labels=labels, origin="made up")
    def file_format(self, pipeline):
        return {"kind": "events"}

KINDS[Events] = ("width",)
READERS["events"] = (read, (".jsonl",))
""",
    "conf/data/clicks.yaml": """
name: clicks
root: ${paths.data}
width: 2.0
batch_size: auto
num_folds: 5
channels: auto
num_classes: auto
classes: auto
class_counts: auto
module:
  _target_: seqfuse.data.module.DataModule
  splits:
    _target_: seqfuse.data.splits.Folds
    dataset: {_target_: lab3.events.Clicks}
    pipeline:
      _target_: lab3.events.Events
      width: ${data.width}
    num_folds: ${data.num_folds}
    seed: ${seed}
  batch_size: ${data.batch_size}
  seed: ${seed}
""",
}


def lab(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Writes the files into the current folder; words that make a command know them."""
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    monkeypatch.syspath_prepend(Path.cwd())
    [package] = {name.partition("/")[0] for name in files if not name.startswith("conf/")}
    return "--config-dir", "conf", f"trust=[{package}]"


@pytest.mark.long
@pytest.mark.parametrize(
    ("files", "most", "words", "metric"),
    [
        (DATA_SET, 2, ("data=mine",), "accuracy"),
        (TASK, 3, ("data=synthetic", "task=ranks", "data.num_samples=60"), "rank_error"),
        (KIND, 5, ("data=clicks",), "accuracy"),
    ],
    ids=["data set", "task", "data kind"],
)
def test_so_many_files_are_enough(
    files: dict[str, str],
    most: int,
    words: tuple[str, ...],
    metric: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(files) <= most
    known = lab(files, monkeypatch)
    code, out, err = command(train.main, *known, *words, *FAST)
    assert code == 0, err
    assert f"test/{metric}" in out
    [best] = Path().glob("logs/**/best.ckpt")
    code, again, err = command(evaluate.main, f"ckpt={best}", known[-1])
    assert code == 0, err
    [line] = [line for line in out.splitlines() if line.startswith(f"test/{metric}")]
    assert line.split() in [line.split() for line in again.splitlines()]
    given = "split=test"
    if files is KIND:
        Path("new.jsonl").write_text("[0.5, 1.5, 9.0]\n" + str([i / 2 for i in range(40)]))
        given = "input=new.jsonl"
    code, _, err = command(predict.main, f"ckpt={best}", known[-1], given, "output=a.csv")
    assert code == 0, err
    with Path("a.csv").open(newline="") as file:
        assert {row["prediction"] for row in csv.DictReader(file)}

"""What a run says about its speed: counted right, logged, and no metric of the trainer."""

import csv
import re
import time
from pathlib import Path

import pytest

from seqfuse.callbacks import throughput
from seqfuse.data.loader import Loader
from seqfuse.train import train
from tests.conftest import Compose

NAMES = {"train/samples_per_second", "train/data_wait", "train/memory_mib"}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["train/data_wait"]]


@pytest.mark.long
def test_every_epoch_has_its_row_and_the_run_its_line(
    tiny: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = train(tiny("trainer.max_epochs=3"), tmp_path)
    assert not NAMES & set(metrics), "what differs between two runs is no metric"
    logged = rows(tmp_path)
    assert [(row["epoch"], row["step"]) for row in logged] == [("0", "3"), ("1", "7"), ("2", "11")]
    for row in logged:
        assert float(row["train/samples_per_second"]) > 0
        assert 0 < float(row["train/data_wait"]) < 1
        assert 100 < float(row["train/memory_mib"]) <= (throughput.peak() or 0)
    line = re.search(
        r"^speed +([\d,]+) samples/s, waiting for data ([\d.]+)% of", capsys.readouterr().out, re.M
    )
    assert line is not None


@pytest.mark.long
@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_slow_loader_is_seen(
    workers: int, tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 batches of 0.5 s each, loaded one after the other: most of an epoch is waiting."""
    from seqfuse.data.items import Items

    fetch = Items.__getitems__

    def slow(self, indices):
        time.sleep(0.5)
        return fetch(self, indices)

    monkeypatch.setattr(Items, "__getitems__", slow)
    train(tiny("test=false", f"data.num_workers={workers}"), tmp_path)
    last = rows(tmp_path)[-1]
    assert float(last["train/data_wait"]) > 0.5
    assert float(last["train/samples_per_second"]) < 64 / 1.5


@pytest.mark.long
def test_validation_does_not_count(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqfuse.tasks.base import Task

    step = Task.validation_step

    def slow(self, *args):
        time.sleep(2.0)
        return step(self, *args)

    monkeypatch.setattr(Task, "validation_step", slow)
    train(tiny("test=false"), tmp_path)
    assert float(rows(tmp_path)[-1]["train/samples_per_second"]) > 64 / 2.0


def test_the_loader_counts_what_it_delivers(tiny: Compose) -> None:
    from seqfuse.config import build, recipes

    data = build.build_data(recipes.resolve(tiny("data.batch_size=24")))
    data.setup("fit")
    loader = data.train_dataloader()
    assert isinstance(loader, Loader)
    assert (loader.items, loader.waited) == (0, 0.0)
    assert [len(batch.y) for batch in loader] == [24, 24, 16]
    assert loader.items == 64
    assert loader.waited > 0


def test_memory_within_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's or a job's limit is less than what the machine has."""
    whole = throughput.available()
    assert whole is not None
    (tmp_path / "memory.max").write_text(f"{300 * 2**20}\n")
    (tmp_path / "memory.current").write_text(f"{100 * 2**20}\n")
    monkeypatch.setattr(throughput, "CGROUP", tmp_path)
    assert throughput.available() == pytest.approx(min(200, whole), rel=0.2)
    (tmp_path / "memory.max").write_text("max\n")
    assert throughput.available() == pytest.approx(whole, rel=0.2)

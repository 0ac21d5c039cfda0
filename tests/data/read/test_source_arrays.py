"""The user's own sources: series of two rates and facts, from a file to predictions."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.data.items import Items
from seqfuse.data.read.source_arrays import SourceArrays
from seqfuse.predict import main
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.clips import ClipPipeline
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.pipelines.sources import SourcesPipeline, clocked
from seqfuse.runtime.read.labelled import read_sources
from seqfuse.runtime.recordings import Recordings
from seqfuse.train import train
from tests.conftest import QUIET, assert_refused, composed


def arrays(items: int = 60) -> dict[str, np.ndarray]:
    """The class is the sign of a fact, and half of the items have shorter series."""
    generator = np.random.default_rng(0)
    slow, fast = generator.normal(size=(items, 10, 3)), generator.normal(size=(items, 25, 2))
    slow[::2, 8:], fast[::2, 20:] = np.nan, np.nan
    facts = generator.normal(size=(items, 4))
    return {"slow_x": slow, "fast_x": fast, "facts_x": facts, "y": facts[:, 0] > 0}


def without(name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in arrays().items() if key != name}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.savez(tmp_path / "mine.npz", **arrays())
    return tmp_path / "mine.npz"


@pytest.mark.long
def test_from_a_file_to_predictions(path: Path, command: Callable, tmp_path: Path) -> None:
    words = ("data=sources", f"data.train={path}", "trainer.max_epochs=3", *QUIET)
    train(composed([*words, "model.cnn.channels=[8]", "model.lstm.hidden_size=8"]), tmp_path / "r")
    ckpt = f"ckpt={tmp_path / 'r' / 'checkpoints' / 'best.ckpt'}"
    assert (tmp_path / "r" / "figures" / "test_attention.png").is_file()
    assert command(main, ckpt, "split=test", "output=t.csv", *QUIET)[0] == 0
    found = pd.read_csv("t.csv")
    assert len(found) == 12
    measured = json.loads((tmp_path / "r" / "metrics.json").read_text())["test/accuracy"]
    assert (found.prediction == found.label).mean() == pytest.approx(measured, abs=1e-6)
    own = {key: array for key, array in arrays(9).items() if key != "y"}
    np.savez("own.npz", **own, id=np.arange(100, 109))
    assert command(main, ckpt, "input=own.npz", "output=p.csv", *QUIET)[0] == 0
    assert pd.read_csv("p.csv").id.tolist() == [*range(100, 109)]
    own["fast_x"] = own["fast_x"][..., :1]
    np.savez("own.npz", **own)
    assert_refused(
        command(main, ckpt, "input=own.npz", "output=q.csv", *QUIET),
        "own.npz: 'fast': the series have 1 channels, the training data 2",
    )


def test_splits_share_no_item_and_facts_have_one_step(path: Path) -> None:
    source = SourceArrays(str(path))
    train_, test = source("train"), source("test")
    assert (len(train_), len(test)) == (48, 12)
    assert set(test.sources["facts"].lengths.tolist()) == {1}
    assert set(test.lengths.tolist()) <= {8, 10}
    assert list(SourceArrays(str(path), missing=["slow"])("test").sources) == ["fast", "facts"]


def test_the_clock_is_the_first_source_of_training_in_any_file(path: Path) -> None:
    given = dict(np.load(path))
    first, *others = [name for name in given if name.endswith("_x")]
    swapped = path.with_name("swapped.npz")
    np.savez(swapped, **{name: given[name] for name in (*others, first)})
    source = SourceArrays(str(path))
    trained = source("train")
    names = list(trained.sources)
    assert names == [one[:-2] for one in (first, *others)]
    clock = next(read_sources(swapped, names, size=60)).lengths
    np.testing.assert_array_equal(clock, next(read_sources(path, names, size=60)).lengths)
    assert list(next(read_sources(swapped, names)).sources) == names
    without = SourceArrays(str(path), missing=names[:1])
    assert set(without("test").lengths.tolist()) <= set(trained.lengths.tolist())
    found = next(read_sources(path, names, names[:1], size=60))
    np.testing.assert_array_equal(found.lengths, clock)
    assert list(found.sources) == names[1:]
    np.savez(path.with_name("rest.npz"), **{name: given[name] for name in others})
    with pytest.raises(InputError, match="its steps are the clock"):
        next(read_sources(path.with_name("rest.npz"), names, names[:1]))


def test_a_source_that_is_not_in_the_file(path: Path) -> None:
    source = SourceArrays(str(path), sources=["slow", "film"])
    with pytest.raises(InputError, match=r"no array 'film_x' .*type data.missing=\[film\]"):
        source("train")


def test_sources_of_any_kind_stand_beside_each_other() -> None:
    film = Recordings.of([np.ones((5, 3, 2, 2), dtype=np.uint8)] * 3, unit="clips")
    facts = series(np.arange(6.0).reshape(3, 1, 2))
    items = clocked(film.lengths, {"film": film, "facts": facts}, labels=["a", "b", "a"])
    pipeline = SourcesPipeline(SeriesPipeline, {"film": ClipPipeline}).fit(items)
    assert pipeline.sizes()["source_channels"] == {"film": 3, "facts": 2}
    y = pipeline.labels.encode(items)
    batch = Items(pipeline.transform(items), y, np.arange(3)).__getitems__([0, 2])
    shapes = {name: tuple(x.shape) for name, x in batch.x.items()}
    assert shapes == {"clock": (2, 5, 0), "film": (2, 5, 3, 2, 2), "facts": (2, 1, 2)}
    assert items.take(np.array([2])).fingerprint() != items.fingerprint()

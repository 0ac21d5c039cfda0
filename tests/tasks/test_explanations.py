"""Explanations of nets of every job: complete, the same in any batch, and of one number."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqfuse.predicting.engine import TorchEngine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations.cases import Wanted
from seqfuse.runtime.explanations.explained import Explanation, explanations
from seqfuse.runtime.jobs.make import make_job
from tests import clips, tables
from tests.bad_inputs import catalogue, makers
from tests.made import make

SPANS = (
    "data.look_back=24",
    "data.horizon=6",
    "model=segments",
    "model.normalization.segment_size=6",
)
NETS = {
    "series": ("data=arrays", "data.train=ragged.npz", "model=base"),
    "shapes": ("data=arrays", "data.train=ragged.npz", "model=series", "model/bank=none"),
    "indicator": ("data=arrays", "data.train=holes.npz", "model=base", "data.missing=indicator"),
    "labels": ("data=arrays", "data.train=labels.npz", "model=base", "task=multilabel"),
    "numbers": ("data=arrays", "data.train=numbers.npz", "model=base", "task=regression"),
    "texts": ("data=text", "data.train=texts.csv"),
    "tags": ("data=conll", "data.train=tags.tsv"),
    "sources": ("data=sources", "data.train=sources.npz", "model=base"),
    "forecasts": ("data=csv", "data.file=table.csv", "data.known=[hour]", *SPANS),
    "gaps": ("data=incomplete", "data.file=table.csv", "data.look_back=24"),
    "anomalies": (*tables.PUMPS, "data.file=pumps.csv", *tables.AIMS["forecast"]),
}


def ragged(**changes: Any) -> dict[str, Any]:
    """Series of 5 to 12 steps; the classes differ in their level."""
    arrays = makers.series(count=24, steps=12, **changes)
    arrays["lengths"] = 5 + np.arange(24) % 8
    return arrays


def write_files(root: Path) -> None:
    holes = ragged()
    holes["x"][::2, 1:3, 0] = np.nan
    for name, content in {
        "ragged.npz": ragged(),
        "holes.npz": holes,
        "labels.npz": ragged(y=(np.arange(48) % 3 > 0).reshape(24, 2).astype(int)),
        "numbers.npz": ragged(y=makers.NORMAL(5.0, 3.0, size=24)),
        "texts.csv": makers.texts(),
        "tags.tsv": makers.tags(),
        "sources.npz": makers.sources(),
        "table.csv": makers.table(300),
    }.items():
        catalogue.write(root / name, content)
    tables.pumps(root / "pumps.csv")
    clips.folder(root, 6, 3)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The job of a net of some kind with first weights, and the first items of its data."""
    root = tmp_path_factory.mktemp("nets")
    with pytest.MonkeyPatch.context() as patch:  # the same, whatever tests came before
        patch.setattr(makers, "NORMAL", np.random.default_rng(0).normal)
        write_files(root)

    @functools.cache
    def job_of(kind: str) -> tuple[Any, Any]:
        words = NETS[kind] if kind != "clips" else (
            *("data=video", f"data.root={root}", "data.folder=clips", "data.list=clips.csv"),
            *(f"data.cache={root}/cache", "data.num_frames=6", "data.size=16"),
            "model.stem.channels=[4,8]",
        )  # fmt: skip
        torch.manual_seed(0)
        task, data, _ = make(*words, f"data.root={root}")
        if kind == "anomalies":
            task.calibrator.value.fill_(0.6)
        metadata = {**data.splits.metadata(), **task.metadata()}
        if kind == "forecasts":
            table, starts = data.splits.rows("train")
            return make_job(metadata, TorchEngine(task)), (table, np.asarray(starts)[[0, 3, 9]])
        if kind == "gaps":
            table, starts, hidden = data.splits.rows("train")
            return make_job(metadata, TorchEngine(task)), (table, [0, 30], hidden)
        if kind == "anomalies":
            return make_job(metadata, TorchEngine(task)), data.splits.rows("test")
        items, rows = data.splits.rows("train")
        return make_job(metadata, TorchEngine(task)), (items, rows[:5])

    return job_of


KINDS = [*NETS, "clips"]


def found(pair: tuple[Any, Any], method: str, wanted: Wanted | None = None) -> list[Explanation]:
    job, known = pair
    return list(explanations(job.engine, job.cases_known(wanted or Wanted(), *known), method))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_complete_and_occlusion_has_the_same_score(
    explained: Callable, kind: str
) -> None:
    by_gradients, by_occlusion = (
        found(explained(kind), method) for method in ("gradients", "occlusion")
    )
    assert len(by_gradients) >= (2 if kind == "anomalies" else 3)
    for left, right in zip(by_gradients, by_occlusion, strict=True):
        assert (left.target, left.unit, left.columns) == (right.target, right.unit, right.columns)
        assert left.score == pytest.approx(right.score, abs=1e-4)
        assert left.baseline == pytest.approx(right.baseline, abs=1e-4)
        total = sum(source.values.sum() for source in left.sources)
        assert total == pytest.approx(left.score - left.baseline, abs=1e-3)
        for mine, other in zip(left.sources, right.sources, strict=True):
            assert mine.values.shape == other.values.shape == mine.present.shape
            # A clip in which nothing moves is its own baseline.
            assert mine.values.any() == other.values.any()
            assert mine.values.any() or kind == "clips"
    assert max(abs(each.score - each.baseline) for each in by_gradients) > 1e-3


@pytest.mark.long
@pytest.mark.parametrize("kind", ["series", "shapes", "texts", "tags", "sources"])
@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_an_item_alone_is_explained_as_in_a_batch(
    explained: Callable, kind: str, method: str
) -> None:
    job, (items, rows) = explained(kind)
    together = found((job, (items, rows)), method)
    for row in (0, 3):
        [alone] = found((job, (items, rows[row : row + 1])), method)
        for mine, other in zip(alone.sources, together[row].sources, strict=True):
            assert mine.values.shape == other.values.shape
            np.testing.assert_allclose(mine.values, other.values, atol=1e-3)


def test_occlusion_is_the_difference_of_two_predictions(explained: Callable) -> None:
    job, (items, rows) = explained("series")
    explanation = found((job, (items, rows)), "occlusion")[1]
    raw = items.item(int(rows[1])).copy()
    label = job.classes.index(explanation.target)

    def odds(x: np.ndarray) -> float:
        chance = job.predict_proba([x])[0, label]
        return float(np.log(chance / (1 - chance)))

    whole = odds(raw)
    assert explanation.score == pytest.approx(whole, abs=1e-4)
    for step, channel in ((0, 0), (2, 1), (len(raw) - 1, 0)):
        x = raw.copy()
        x[step, channel] = job.pipeline.standardisation.mean[channel]
        difference = explanation.sources[0].values[step, channel]
        assert difference == pytest.approx(whole - odds(x), abs=2e-4)


@pytest.mark.long
def test_a_target_and_a_step_can_be_named(explained: Callable) -> None:
    job, known = explained("tags")
    [first, *_] = found((job, known), "gradients", Wanted("NOUN", 2))
    assert first.target == "NOUN at step 2"
    assert first.sources[0].values.shape == (3, 1)
    assert list(first.steps["token"]) == ["the", "cat", "sleeps"]
    job, known = explained("forecasts")
    [first, *_] = found((job, known), "occlusion", Wanted("b", 2))
    bands = job.known(*known)
    row = next(iter(bands))
    assert first.target == "b at step 2"
    assert first.score == pytest.approx(row["b"][1], abs=1e-4)
    mean, *_ = found((job, known), "occlusion", Wanted("a"))
    assert mean.score == pytest.approx(row["a"][:6].mean(), abs=1e-4)


def test_what_is_known_ahead_is_explained_too(explained: Callable) -> None:
    table = found(explained("forecasts"), "gradients")[0].table()
    assert list(table) == ["from", "step", "time", "channel", "attribution"]
    ahead = table["step"] > 0
    assert set(table["channel"][ahead]) <= {name for name in table["channel"] if "hour" in name}
    assert table["step"].min() == -23
    assert table["step"].max() == 6
    assert np.abs(table["attribution"][ahead]).max() > 0
    assert (table["from"] == table["time"][table["step"] == 0][0]).all()


def test_a_gap_is_explained_by_what_is_seen_around_it(explained: Callable) -> None:
    job, _ = explained("gaps")
    x = np.random.default_rng(0).normal(size=(20, len(job.columns)))
    x[8:11, 0] = x[3, 1] = x[5] = np.nan

    def filled(x: np.ndarray) -> float:
        return job.predict(x)[8:11, 0].mean()

    for method in ("gradients", "occlusion"):
        table = job.explain(x, method, target="a")
        assert list(table) == ["column", "from", "to", "step", "channel", "attribution"]
        gaps = set(zip(table["column"], table["from"], table["to"], strict=True))
        assert gaps == {("a", 8, 10), ("a", 5, 5)}
        table = {name: column[table["from"] == 8] for name, column in table.items()}
        places = set(zip(table["step"], table["channel"], strict=True))
        assert places == {(i + 1, job.columns[j]) for i, j in np.argwhere(~np.isnan(x)).tolist()}
    for step, column in ((7, 0), (11, 0), (6, 1)):
        without = x.copy()
        without[step, column] = np.nan  # one more gap
        place = (table["step"] == step + 1) & (table["channel"] == job.columns[column])
        assert table["attribution"][place] == pytest.approx(filled(x) - filled(without), abs=1e-4)
    assert set(job.explain(x)["column"]) == {"a", "b"}


def test_the_error_at_the_peak_of_an_alarm_is_explained(explained: Callable) -> None:
    job, (recordings,) = explained("anomalies")
    for one, explanation in zip(
        recordings, found((job, (recordings,)), "occlusion", Wanted("value")), strict=True
    ):
        assert explanation.target == "error of value"
        scores, _ = job.predict(one.values, one.num_train, one.name)
        peak = int(np.nanargmax(scores))
        assert (explanation.columns["recording"], explanation.columns["peak"]) == (
            one.name, one.time[peak]
        )  # fmt: skip
        table = explanation.table()
        assert table["step"].tolist() == list(range(-15, 1))
        assert one.time[peak - 8] <= table["time"][-1] < one.time[peak]
        assert explanation.score > 0


@pytest.mark.long
def test_numbers_are_in_the_units_of_the_user(explained: Callable) -> None:
    job, (items, rows) = explained("numbers")
    scores = [each.score for each in found((job, (items, rows)), "occlusion")]
    np.testing.assert_allclose(scores, job.predict([items.item(i) for i in rows]), atol=1e-4)


def test_arrays_are_as_long_as_the_items(explained: Callable) -> None:
    job, (items, rows) = explained("series")
    x = [items.item(row) for row in rows]
    for method, shape in (("gradients", (2,)), ("occlusion", (2,)), ("attention", ())):
        assert [e.shape for e in job.explain(x, method)] == [(len(i), *shape) for i in x]
    np.testing.assert_allclose([each.sum() for each in job.explain(x, "attention")], 1, atol=1e-6)
    job, _ = explained("texts")
    assert [each.shape for each in job.explain(["the good day", "bad"])] == [(3,), (1,)]
    job, (items, rows) = explained("sources")
    [first] = job.explain({name: [part.item(0)] for name, part in items.sources.items()})
    assert {name: len(each) for name, each in first.items()} == {
        name: len(part.item(0)) for name, part in items.sources.items()
    }
    job, _ = explained("forecasts")
    columns = len(job.columns)
    [window] = job.explain(np.ones((1, 30, columns)))
    assert window.shape == (30, columns)


@pytest.mark.long
def test_a_bank_has_no_gradients(tmp_path: Path) -> None:
    catalogue.write(tmp_path / "a.npz", makers.series(steps=40))
    made = make("data=arrays", f"data.root={tmp_path}", "data.train=a.npz", "model=bank")
    job = make_job({**made.data.splits.metadata(), **made.task.metadata()}, TorchEngine(made.task))
    with pytest.raises(InputError, match="method=occlusion"):
        job.explain(makers.series(steps=40)["x"][:2])

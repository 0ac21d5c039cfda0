"""Temperature scaling: what it is fitted to, that it changes no class, and where it is applied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torch import Tensor

import seqfuse
from seqfuse import predict
from seqfuse.config import build, loading, recipes, starting
from seqfuse.data.splits import Folds
from seqfuse.nn import crf
from seqfuse.predicting.model import Model
from seqfuse.runtime import runner
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.softmax import softmax
from seqfuse.runtime.pipelines.series import SeriesPipeline
from seqfuse.tasks.calibration import Temperature, between
from seqfuse.tasks.metrics import Brier
from seqfuse.train import train
from tests import shipped
from tests.conftest import TINY, composed
from tests.data.small import Toy
from tests.trained import weights

APART = (*TINY, "data.calibration=true")
BANK = (
    *("model/bank=convolutions", "model.bank.num_features=500", "model.bank.num_groups=4"),
    *("data.scaling=channel", "data.num_steps=20"),
)
X = np.random.default_rng(1).normal(size=(9, 26, 3)).astype(np.float32)
CLASSES = ["a", "b", "c"]


def drawn(n: int = 4000) -> tuple[Tensor, Tensor]:
    """Scores (n 3), and classes drawn by their probabilities."""
    scores = 2 * torch.randn(n, 3)
    return scores, torch.multinomial(scores.softmax(dim=1), 1).squeeze(1)


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_it_undoes_a_factor_of_the_scores(factor: float) -> None:
    scores, y = drawn()
    calibrator = Temperature(CLASSES)
    assert torch.equal(calibrator(scores), scores)
    calibrator.fit((factor * scores).split(1000), y.split(1000))
    assert float(calibrator.temperature) == pytest.approx(factor, rel=0.08)
    assert int(calibrator.num_items) == len(y)


def test_steps_without_a_label_do_not_count() -> None:
    scores, y = drawn()
    calibrator, steps = Temperature(CLASSES), Temperature(CLASSES)
    calibrator.fit([3 * scores], [y])
    padded, labels = torch.zeros(1000, 6, 3), torch.full((1000, 6), -1)
    padded[:, :4], labels[:, :4] = 3 * scores.reshape(1000, 4, 3), y.reshape(1000, 4)
    padded[:, 4:, 0] = 99.0
    steps.fit([padded], [labels])
    assert float(steps.temperature) == pytest.approx(float(calibrator.temperature), rel=1e-4)
    assert int(steps.num_items) == 4000


def test_of_a_crf_paths_get_likelier() -> None:
    scores = torch.randn(200, 5, 3, 3)
    y = crf.decode(scores + 2 * torch.randn(200, 5, 3, 3), torch.ones(200, 5, dtype=torch.bool))
    y[:50, 3:] = -1
    calibrator = Temperature(CLASSES)
    calibrator.fit([4 * scores], [y])

    def likelihood(factor: float) -> float:
        return float(crf.log_likelihood(factor * 4 * scores, y, y >= 0).sum())

    best = 1 / float(calibrator.temperature)
    assert likelihood(best) > max(likelihood(1.0), likelihood(0.9 * best), likelihood(1.1 * best))
    rows, labels = calibrator.rows(4 * scores, y)
    assert rows.exp().sum(dim=1).allclose(torch.ones(len(rows)), atol=1e-5)
    assert len(rows) == len(labels) == int(calibrator.num_items)


@pytest.mark.parametrize("shape", [(50, 3), (50, 4, 3), (50, 4, 3, 3)])
@pytest.mark.parametrize("temperature", [0.02, 0.7, 50.0])
def test_no_class_changes(shape: tuple[int, ...], temperature: float) -> None:
    scores, mask = torch.randn(shape), torch.ones(50, 4, dtype=torch.bool)
    calibrator = Temperature(CLASSES)
    calibrator.set(temperature, 1)

    def classes(scores: Tensor) -> Tensor:
        return scores.argmax(dim=1) if scores.dim() == 2 else crf.decode(scores, mask)

    assert torch.equal(classes(calibrator(scores)), classes(scores))


def test_scores_without_a_mistake_are_not_endlessly_sure() -> None:
    calibrator = Temperature(CLASSES)
    calibrator.fit([torch.eye(3)[[0, 1, 2, 0]]], [torch.tensor([0, 1, 2, 0])])
    assert float((torch.eye(3) / calibrator.temperature).softmax(dim=1).max()) < 0.95
    calibrator = Temperature(CLASSES)
    calibrator.fit([], [])
    calibrator.fit([torch.randn(2, 4, 3)], [torch.full((2, 4), -1)])
    assert not calibrator.is_fitted


def test_brier_is_scikit_learn_s() -> None:
    scores, y = drawn(60)
    metric = Brier()
    for rows in torch.arange(60).split(25):
        metric.update(scores[rows], y[rows])
    wanted = brier_score_loss(y, scores.softmax(dim=1).numpy(), scale_by_half=False)
    assert float(metric.compute()) == pytest.approx(wanted, rel=1e-5)


def folds(**knobs: Any) -> Folds:
    splits = Folds(Toy(groups=knobs.pop("groups", False)), SeriesPipeline(), **knobs)
    splits.fit()
    return splits


def test_halves_of_what_is_held_out() -> None:
    whole, halved = folds(num_folds=3), folds(num_folds=3, calibration=True)
    assert whole.tensors("calibration") is whole.tensors("val")
    assert not whole.calibrates_apart
    assert halved.calibrates_apart
    val, apart = (set(halved.tensors(name).index.tolist()) for name in ("val", "calibration"))
    assert not val & apart
    assert val | apart == set(whole.tensors("val").index.tolist())
    assert len(val) == len(apart) == 5
    assert halved.tensors("train").index.equal(whole.tensors("train").index)


def test_people_are_in_one_half() -> None:
    splits = folds(num_folds=3, calibration=True, groups=True)
    people = [
        {row // 3 for row in splits.tensors(name).index.tolist()}
        for name in ("train", "val", "calibration")
    ]
    assert all(people)
    assert sum(map(len, people)) == len(set.union(*people)) == 10


def test_few_items_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert folds(num_folds=3, calibration="auto").sizes()["calibration"] is False
    monkeypatch.setattr("seqfuse.data.splits.HALVED", 10)
    assert folds(num_folds=3, calibration="auto").sizes()["calibration"] is True
    assert folds(num_folds=0, calibration="auto").sizes()["calibration"] is False


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"calibration": "some"}, "data.calibration=some must be auto, true or false"),
        ({"calibration": True, "num_folds": 0}, "data.calibration=true .*data.num_folds=5"),
    ],
)
def test_ranges(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        folds(**knobs)


def test_what_is_halved_is_held_out() -> None:
    series = ("data=arrays", "data.train=x.npz")
    assert recipes.with_validation(composed(series)).data.num_folds == "auto"
    asked = recipes.with_validation(composed([*series, "data.calibration=true"]))
    assert asked.data.num_folds == 5
    without = recipes.with_validation(composed([*series, "task.calibrator=null"]))
    assert without.data.calibration is False


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, train(composed([*APART, "data.num_samples=300"]), folder)


@pytest.mark.long
def test_it_is_kept_and_measured(run: tuple[Path, dict[str, float]]) -> None:
    folder, metrics = run
    kept = weights(folder, "best")
    assert kept["calibrator.num_items"] == 30  # half of a fifth of 300
    assert kept["calibrator.temperature"] != 1
    for name in ("calibration_error", "log_loss", "brier"):
        assert metrics[f"test/{name}"] != metrics[f"test/{name}_uncalibrated"]
    assert (folder / "metrics.json").read_text().count("uncalibrated") == 3
    assert metrics["test/coverage_90"] > 0.7
    assert 1 <= metrics["test/set_size_90"] <= 2
    each = [metrics[f"test/set_size_90_{name}"] for name in ("negative", "positive")]
    assert min(each) <= metrics["test/set_size_90"] <= max(each)


@pytest.mark.long
def test_every_surface_applies_it(
    run: tuple[Path, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ckpt = run[0] / "checkpoints" / "best.ckpt"
    task, _, _ = loading.load(ckpt)
    model: Any = seqfuse.load(ckpt)
    calibrated = model.predict_proba(X)
    folder = shipped.export(run[0], tmp_path / "shipped", "split=none")
    np.testing.assert_allclose(runner.load(folder).predict_proba(X), calibrated, atol=1e-5)
    monkeypatch.setattr(Model, "calibrate", lambda model, prediction: prediction)
    raw = model.predict_proba(X)
    temperature = float(task.calibrator.temperature)
    np.testing.assert_allclose(softmax(np.log(raw) / temperature), calibrated, atol=1e-5)
    assert not np.allclose(raw, calibrated, atol=1e-4)


@pytest.mark.long
def test_without_held_out_items_it_is_fitted_by_the_bank(tmp_path: Path) -> None:
    words = (*TINY, *BANK, "data.num_folds=0", "task.monitor=train/loss", "scheduler=constant")
    metrics = train(composed(words), tmp_path / "bank")
    kept = weights(tmp_path / "bank", "best")
    assert kept["calibrator.num_items"] == 80  # all that are trained on
    assert metrics["test/brier_uncalibrated"] > 0
    words = (*(word for word in words if "bank" not in word), "model.bank=null")
    metrics = train(composed(words), tmp_path / "net")
    assert "test/brier" not in metrics
    assert weights(tmp_path / "net", "best")["calibrator.num_items"] == 0


def test_a_bank_that_is_given_is_left_out_alike(tmp_path: Path) -> None:
    recipe = composed([*TINY, *BANK])
    data = build.build_data(recipes.resolve(recipe))
    data.setup("fit")
    task = starting.first_task(recipes.sized(recipe, data), data)
    bank: Any = task.net.bank
    rows, left_out = task._leave_out(bank, data.tensors("train"))
    before = bank.weight.clone()
    again = task.left_out(bank, data.tensors("train"))
    assert torch.equal(again[0], rows)
    assert torch.equal(again[1], left_out)
    assert torch.equal(bank.weight, before)


def test_between_a_net_that_knows_and_one_that_errs(tmp_path: Path) -> None:
    recipe = composed([*TINY, *BANK])
    data = build.build_data(recipes.resolve(recipe))
    data.setup("fit")
    bank: Any = starting.first_task(recipes.sized(recipe, data), data).net.bank
    scores, y = drawn(500)
    scores, calibrator = scores.log_softmax(dim=1), Temperature(CLASSES)
    sure = 9.0 * torch.nn.functional.one_hot(y, 3)
    accuracy = float((scores.argmax(dim=1) == y).float().mean())
    loud = bank.join(sure, scores)
    bank.soften(sure, scores, y)
    soft = sure / bank.net_temperature
    assert float(soft.softmax(dim=1).max()) == pytest.approx(accuracy, abs=0.08)
    mean = (soft.log_softmax(dim=1) + scores) / 2
    torch.testing.assert_close(bank.join(sure, scores), mean.log_softmax(dim=1))
    assert (bank.join(sure, scores).amax(dim=1) < loud.amax(dim=1)).all()
    found = between(bank.join, sure, scores, y, calibrator)
    assert calibrator.likeliest([bank.join(sure, scores)], [y]) < found < 1.5
    bank.soften(soft, scores, y)
    assert float(bank.net_temperature) == 1, "it makes nothing surer"
    assert not calibrator.is_fitted


@pytest.mark.long
def test_checkpoints_of_before_have_none(
    run: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    content = torch.load(run[0] / "checkpoints" / "best.ckpt", weights_only=True)
    for key in ("config", "recipe"):
        del content[key]["task"]["calibrator"], content[key]["data"]["calibration"]
        del content[key]["data"]["module"]["splits"]["calibration"]
    for name in ("temperature", "num_items", "scores", "truths"):
        del content["state_dict"][f"calibrator.{name}"]
    path = tmp_path / "old.ckpt"
    torch.save(content, path)
    old, new = seqfuse.load(path), seqfuse.load(run[0] / "checkpoints" / "best.ckpt")
    assert (old.predict(X) == new.predict(X)).all()  # type: ignore[union-attr, call-arg]
    assert not np.allclose(old.predict_proba(X), new.predict_proba(X))  # type: ignore


@pytest.mark.long
def test_sets_on_every_surface(
    run: tuple[Path, dict[str, float]], tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    np.save("new.npy", X)
    ckpt = f"ckpt={run[0]}/checkpoints/best.ckpt"
    words = (ckpt, "input=new.npy", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
    assert command(predict.main, *words, "level=0.95", "output=a.csv")[0] == 0
    table = pd.read_csv("a.csv")
    assert list(table)[:3] == ["row", "prediction", "set"]
    model: Any = seqfuse.load(run[0] / "checkpoints" / "best.ckpt")
    assert ["|".join(row) for row in model.predict(X, level=0.95)] == table["set"].tolist()
    folder = shipped.export(run[0], tmp_path / "shipped", "split=none")
    assert runner.main(["new.npy", "b.csv", "level=0.95"], folder) == 0
    assert pd.read_csv("b.csv")["set"].tolist() == table["set"].tolist()
    assert runner.main(["new.npy", "b.csv", "level=much"], folder) == 1
    for level, text in (("1.5", "level=1.5 must be"), ("0.99", "level=0.99 needs 99")):
        code, _, err = command(predict.main, *words, f"level={level}", "output=c.csv")
        assert code == 1
        assert text in err
        assert "Traceback" not in err


@pytest.mark.long
def test_sets_need_a_calibration_part(tmp_path: Path) -> None:
    train(composed(TINY), tmp_path)
    model: Any = seqfuse.load(tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="level=0.9 needs a calibration part"):
        model.predict(X, level=0.9)

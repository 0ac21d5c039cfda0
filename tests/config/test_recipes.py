"""The recipe of labelled series: on all rows, for a number of steps that grows with them."""

from pathlib import Path

import numpy as np
import pytest

from seqfuse.config import build, recipes
from seqfuse.data import splits
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests.conftest import QUIET, composed
from tests.trained import assert_same, checkpoint

MARKS = {"GunPoint": 0.95, "Coffee": 0.95, "ArrowHead": 0.75}


def filled(*words: str, num_folds: int = 0, num_batches: int = 3) -> recipes.Config:
    recipe = composed([*words])
    sizes = recipes.any_sizes(recipe) | {"num_folds": num_folds, "num_batches": num_batches}
    return recipes.resolve(recipes.fill(recipe, sizes))


@pytest.mark.parametrize(("batches", "steps"), [(1, 400), (16, 400), (17, 425), (1000, 25_000)])
def test_steps_grow_with_the_data(batches: int, steps: int) -> None:
    config = filled(num_batches=batches)
    assert config["trainer"]["max_steps"] == steps
    assert config["trainer"]["max_epochs"] == -1


def test_the_number_of_steps_can_be_given() -> None:
    words = ("trainer.auto_steps=50", "trainer.auto_epochs=2")
    assert filled(*words, num_batches=3)["trainer"]["max_steps"] == 50
    assert filled(*words, num_batches=30)["trainer"]["max_steps"] == 60
    for word in ("trainer.auto_steps=0", "trainer.auto_epochs=-1"):
        with pytest.raises(InputError, match=word):
            build.rehearse(composed([word]))


def test_steps_are_those_of_the_optimizer() -> None:
    words = ("trainer.accumulate_grad_batches=4", "data=arrays", "data.train=x.npz")
    assert filled(*words, num_batches=102)["trainer"]["max_steps"] == 25 * 26


def test_epochs_that_are_given_count() -> None:
    config = filled("trainer.max_epochs=7")
    assert config["trainer"]["max_epochs"] == 7
    assert config["trainer"]["max_steps"] == -1


def test_the_monitor_is_what_there_is() -> None:
    assert filled()["task"]["monitor"] == "train/loss"
    assert filled("scheduler=plateau")["scheduler"]["monitor"] == "train/loss"
    assert filled(num_folds=20)["task"]["monitor"] == "val/loss"
    assert filled(num_folds=20)["callbacks"]["checkpoint"]["monitor"] is None, "the last weights"
    named = filled("callbacks.checkpoint.monitor=val/accuracy", num_folds=20)
    assert named["callbacks"]["checkpoint"]["monitor"] == "val/accuracy"
    asked = filled("data.num_folds=5", num_folds=5)
    assert asked["task"]["monitor"] == asked["callbacks"]["checkpoint"]["monitor"] == "val/loss"


def test_without_validation_a_monitor_of_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"task.monitor=train/loss"):
        build.rehearse(composed(["data.num_folds=0"]))


def test_what_is_calibrated_has_validation() -> None:
    asked = composed(["data=arrays", "data.train=x.npz", "task=multilabel"])
    assert recipes.with_validation(asked).data.num_folds == 5
    assert recipes.with_validation(composed([])).data.num_folds == "auto"


@pytest.mark.parametrize(
    ("words", "stops"), [([], 0), (["callbacks.early_stopping.patience=3"], 1)]
)
def test_early_stopping_is_asked_for(words: list[str], stops: int, tmp_path: Path) -> None:
    config = filled(*words, *QUIET, "data.num_folds=5", f"paths.run={tmp_path}", num_folds=5)
    callbacks = build.build_trainer(config).early_stopping_callbacks
    assert len(callbacks) == stops


def test_labels_of_steps_want_a_net_that_keeps_them() -> None:
    with pytest.raises(InputError, match=r"model=steps"):
        build.rehearse(composed(["model/attention=steps", "model/head=tags"]))


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        ([], 3e-3),
        (["model=base"], 2e-3),
        (["model=base", "optimizer.lr=4e-3"], 4e-3),
        (["model=base", "optimizer=sgd"], 1e-2),
    ],
)
def test_a_model_may_have_a_rate_of_its_own(words: list[str], rate: float) -> None:
    assert composed(["data.name=Coffee", *words]).optimizer.lr == rate


@pytest.fixture
def ragged(tmp_path: Path) -> Path:
    """Two classes of unequal length, one of a single row."""
    rng = np.random.default_rng(0)
    y = np.array([0, 1] * 12 + [2])
    lengths = rng.integers(8, 100, len(y))
    x = rng.normal(size=(len(y), 100, 2)) + y[:, None, None]
    np.savez(tmp_path / "mine.npz", x=x, y=y, lengths=lengths)
    return tmp_path / "mine.npz"


@pytest.mark.long
def test_the_default_learns_few_series(
    ragged: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    words = ("data=arrays", f"data.train={ragged}", "data.test_folds=3", "trainer.max_steps=40")
    metrics = train(composed([*words, *QUIET, "logger=none"]), tmp_path / "run")
    out = capfd.readouterr().out
    assert metrics["test/accuracy"] >= 0.8
    assert not any(name.startswith("val/") for name in metrics)
    for part in ("0 to validate", "fewer than 5 rows", "2 (1)", "95 % confidence"):
        assert part in out
    kept = checkpoint(tmp_path / "run", "best")["config"]
    assert kept["trainer"]["max_steps"] == 40
    assert kept["data"]["num_folds"] == 0
    assert kept["task"]["monitor"] == "train/loss"


@pytest.mark.long
def test_what_auto_holds_out_chooses_no_weights(
    ragged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "ENOUGH", 20)
    with np.load(ragged) as arrays:
        np.savez(ragged, **{name: np.concatenate([each, each]) for name, each in arrays.items()})
    words = ("data=arrays", f"data.train={ragged}", "data.test_folds=3", "model/bank=none")
    few = ("trainer.auto_steps=12", "trainer.auto_epochs=1", "logger=none", "test=false")
    metrics = train(composed([*words, *few, *QUIET]), tmp_path / "run")
    assert "val/accuracy" in metrics
    kept = [checkpoint(tmp_path / "run", name) for name in ("best", "last")]
    assert [each["global_step"] for each in kept] == [12, 12]
    nets = [
        {name: weight for name, weight in each["state_dict"].items() if name.startswith("net.")}
        for each in kept
    ]
    assert_same(*nets)
    assert kept[0]["config"]["callbacks"]["checkpoint"]["monitor"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "name"),
    [*(("series", name) for name in MARKS), ("base", "GunPoint"), ("base", "Coffee")],
)
def test_the_default_wins(model: str, name: str, data_root: Path, tmp_path: Path) -> None:
    words = (f"data.root={data_root}/ucr", f"data.name={name}", f"model={model}", "logger=none")
    metrics = train(composed([*words, *QUIET, "callbacks=none"]), tmp_path / "run")
    # `base`, the reference, has no norm and no skip: it must learn, not win.
    assert metrics["test/accuracy"] >= (MARKS[name] if model == "series" else 0.6)

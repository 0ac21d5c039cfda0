"""The finders: a run with what they found is the run that was given it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Trainer
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqfuse.callbacks.pruning import Pruning
from seqfuse.data.module import DataModule
from seqfuse.runtime.errors import InputError
from seqfuse.train import main, train
from seqfuse.tuning import batch_size, precision
from seqfuse.tuning.tune import tune
from tests.conftest import TINY, Compose
from tests.trained import assert_same, checkpoint, weights, without_time

Command = Callable[..., tuple[int, str, str]]


def found(run: Path) -> dict[str, float]:
    return json.loads((run / "provenance.json").read_text())["runs"][-1]["found"]


def by_hand(values: dict[str, float]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


@pytest.fixture
def fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve samples in a batch are fastest, whatever the clock says."""
    monkeypatch.setattr(batch_size, "SMALLEST", 3)
    monkeypatch.setattr(batch_size.Clock, "rate", lambda self, size: min(size, 12))


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        (),
        ("scheduler=onecycle", "callbacks=ema", "data.num_workers=1"),
        ("scheduler=cosine", "optimizer=sgd", "trainer.accumulate_grad_batches=2"),
    ],
)
def test_found_equals_given(
    tiny: Compose, tmp_path: Path, extra: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights, random state (dropout) and the order of samples are left alone."""
    searched = train(tiny(*extra, "find_lr=true"), tmp_path / "searched")
    values = found(tmp_path / "searched")
    assert list(values) == ["optimizer.lr"]
    assert 1e-6 < values["optimizer.lr"] <= 0.1
    before = OmegaConf.select(tiny(*extra), "optimizer.lr")
    line = f"found       optimizer.lr={values['optimizer.lr']:g} instead of {before}"
    assert line in capsys.readouterr().out
    given = train(tiny(*extra, *by_hand(values)), tmp_path / "given")
    assert without_time(searched) == without_time(given)
    assert_same(weights(tmp_path / "searched"), weights(tmp_path / "given"))
    assert found(tmp_path / "given") == {}


@pytest.mark.slow
def test_the_written_config_repeats_the_run_without_a_search(
    tiny: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str], fastest: None
) -> None:
    words = ("find_lr=true", "find_batch_size=true", "data.num_samples=200")
    first = train(tiny(*words), tmp_path / "first")
    assert capsys.readouterr().out.count("\nfound  ") == 2
    values = found(tmp_path / "first")
    assert values["data.batch_size"] == 12
    written = OmegaConf.load(tmp_path / "first" / "config.yaml")
    assert (written.find_lr, written.find_batch_size) == (False, False)
    for key, value in values.items():
        assert OmegaConf.select(written, key) == value
    content = checkpoint(tmp_path / "first")
    assert content["found"] == values
    assert content["config"]["optimizer"]["lr"] == values["optimizer.lr"]
    assert content["config"]["data"]["batch_size"] == 12
    assert content["global_step"] == 2 * -(-160 // 12)
    written.pop("defaults")
    second = train(written, tmp_path / "second")
    assert "found" not in capsys.readouterr().out
    assert without_time(first) == without_time(second)
    given = train(tiny(*words[2:], *by_hand(values)), tmp_path / "given")
    assert without_time(first) == without_time(given)
    assert_same(weights(tmp_path / "first"), weights(tmp_path / "given"))


@pytest.mark.long
@pytest.mark.parametrize("faster", [False, True])
def test_bfloat16_is_taken_where_it_is_faster(
    tiny: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    faster: bool,
) -> None:
    """The run is then the one that was given the precision, and its config repeats it."""
    rates = iter([1.0, 2.0 if faster else 0.5])
    monkeypatch.setattr(precision.Watch, "rate", lambda *_: next(rates))
    searched = train(tiny("find_precision=true"), tmp_path / "searched")
    chosen = "bf16-mixed" if faster else "32-true"
    out = capsys.readouterr().out
    assert f"steps/s     32-true: 1, bf16-mixed: {'2' if faster else '0.5'}; " in out
    assert f"found       trainer.precision={chosen} instead of auto" in out
    assert found(tmp_path / "searched") == {"trainer.precision": chosen}
    written = OmegaConf.load(tmp_path / "searched" / "config.yaml")
    assert (written.find_precision, written.trainer.precision) == (False, chosen)
    given = train(tiny(f"trainer.precision={chosen}"), tmp_path / "given")
    assert without_time(searched) == without_time(given)
    assert_same(weights(tmp_path / "searched"), weights(tmp_path / "given"))


def test_a_precision_that_learns_worse_is_not_taken() -> None:
    tries = {
        "32-true": precision.Tried(1.0, [2.0, 1.0, 0.1]),
        "bf16-mixed": precision.Tried(3.0, [2.0, 1.2]),
    }
    attempts, why = precision.search(tries.__getitem__, "32-true")
    assert precision.choose(attempts) == "32-true"
    assert "loss" in why
    tries["bf16-mixed"] = precision.Tried(3.0, [2.0, 1.01])
    assert precision.choose(tries) == "bf16-mixed"


@pytest.mark.long
def test_the_curve_is_drawn_for_both(tiny: Compose, tmp_path: Path) -> None:
    train(tiny("find_lr=true", "test=false"), tmp_path)
    assert (tmp_path / "figures" / "learning_rate.png").stat().st_size > 5_000
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert len(events.Images("tuning/learning_rate")) == 1
    assert events.Scalars("train/lr")[0].value == pytest.approx(found(tmp_path)["optimizer.lr"])
    assert not list(tmp_path.glob("**/.lr_find*"))


@pytest.mark.slow
def test_a_search_that_is_resumed_goes_on_with_what_it_found(
    command: Command, tmp_path: Path
) -> None:
    code, _, err = command(main, *TINY, "find_lr=true", "hydra.run.dir=run")
    assert (code, err) == (0, "")
    lr = found(tmp_path / "run")["optimizer.lr"]
    code, out, err = command(main, "resume=run", "trainer.max_epochs=3")
    assert (code, err) == (0, "")
    assert "found" not in out
    assert checkpoint(tmp_path / "run")["config"]["optimizer"]["lr"] == lr
    code, _, err = command(main, "resume=run", "find_lr=true")
    assert (code, err.count("\n")) == (1, 1)
    assert "resume goes on with optimizer.lr as it was: leave out find_lr" in err


def test_several_devices_are_refused(tiny: Compose) -> None:
    two: Any = SimpleNamespace(world_size=2)
    with pytest.raises(InputError, match="find_lr=true works on one device"):
        tune(tiny("find_lr=true"), DataModule(splits=None), two)  # type: ignore[arg-type]


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["find_lr=true", "debug=overfit"], "find_lr=true needs more than a batch to overfit"),
        (["find_lr=true", "optimizer.lr=0.1"], "find_lr=true chooses optimizer.lr: leave one of"),
        (["find_batch_size=true"], "find_batch_size=true chooses data.batch_size: leave one of"),
        (
            ["find_precision=true", "precision=bf16-mixed"],
            "find_precision=true chooses trainer.pre",
        ),
        (["find_lr=0.1"], "find_lr=0.1: expected true or false"),
        (["find_lr=true", "~optimizer.lr"], "find_lr=true: the config has no optimizer.lr"),
        (["find_lr=true", "optimizer.weight_decay=1e6"], "find_lr=true found none: in"),
    ],
)
def test_mistakes_are_one_line(command: Command, words: list[str], message: str) -> None:
    code, out, err = command(main, *TINY, *words)
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert "test/accuracy" not in out


def test_ctrl_c_in_a_search(tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning would end the process with code 1, as after a mistake."""

    def interrupted(*_: object, **__: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(Trainer, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny("find_lr=true"), tmp_path)


@pytest.mark.long
def test_a_trial_that_found_its_batch_size_reports_to_its_search(
    tiny: Compose, tmp_path: Path, fastest: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    storages: list[str | None] = []
    monkeypatch.setattr(Pruning, "on_fit_start", lambda self, *_: storages.append(self.storage))
    monkeypatch.setattr(Pruning, "on_validation_end", lambda self, *_: None)
    trial = ("trial.storage=search.log", "trial.study=search", "trial.number=0")
    train(tiny("find_batch_size=true", *trial), tmp_path / "run")
    assert storages == ["search.log"]
    again: Any = OmegaConf.load(tmp_path / "run" / "config.yaml")
    for config in (checkpoint(tmp_path / "run")["config"], again):
        assert config["trial"]["storage"] is None

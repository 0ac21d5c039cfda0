"""Runs with a bank beside the net, or alone: fitted once, kept, predicted, exported."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from onnxruntime import InferenceSession

import seqfuse
from seqfuse.config import build, checkpoint, loading, recipes, starting
from seqfuse.nn.bank.bank import Bank
from seqfuse.runtime import runner
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests import shipped
from tests.conftest import TINY, Compose, composed
from tests.trained import Killed, assert_same, stop_after, weights

SMALL = (
    *("model/bank=convolutions", "model.bank.num_features=500", "model.bank.num_groups=4"),
    *("data.scaling=channel", "data.num_steps=20"),
)
TABLE = (
    *("data=csv", "data.targets=[sales]", "data.known=[offer]", "data.look_back=24"),
    *("data.horizon=4", "model.segment_size=4", "trainer.accelerator=cpu", "logger=none"),
    *("trainer.enable_progress_bar=false", "trainer.max_steps=250", "callbacks.figures=null"),
)
X = np.random.default_rng(1).normal(size=(9, 26, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(composed([*TINY, *SMALL]), folder)
    return folder


def bank_of(run: Path) -> dict[str, torch.Tensor]:
    return {n: w for n, w in weights(run).items() if n.startswith("net.bank.")}


@pytest.mark.long
def test_a_checkpoint_holds_the_bank(run: Path) -> None:
    bank = bank_of(run)
    assert bank["net.bank.is_fitted"]
    assert bank["net.bank.weight"].abs().max() > 0
    task, _, _ = loading.load(run / "checkpoints" / "last.ckpt")
    assert_same({f"net.{n}": w for n, w in task.net.state_dict().items() if "bank" in n}, bank)


@pytest.mark.long
def test_each_part_has_an_accuracy_of_its_own(tiny: Compose, tmp_path: Path) -> None:
    last = (*SMALL, "callbacks=none")  # the best by validation is another for each
    both = train(tiny(*last), tmp_path / "both")
    net = train(tiny(*last, "model.bank.share=0.0"), tmp_path / "net")
    bank = train(tiny(*last, "model.bank.share=1.0"), tmp_path / "bank")
    assert both["test/net_alone"] == net["test/accuracy"]
    assert both["test/bank_alone"] == bank["test/accuracy"]
    assert not {"test/net_alone", "test/bank_alone"} & {*net, *bank}


@pytest.mark.long
def test_it_is_fitted_to_training_rows_without_augmentation(run: Path, tiny: Compose) -> None:
    changed = tiny(*SMALL, "+data.augment.jitter._target_=seqfuse.data.augment.Jitter")
    data = build.build_data(recipes.resolve(changed))
    data.setup("fit")
    task = starting.first_task(recipes.sized(changed, data), data)
    items = data.tensors("train")
    batch = items.__getitems__(range(len(items)))
    task.net.bank.fit(batch.x, batch.mask, batch.y)
    wanted = {n: w for n, w in task.state_dict().items() if n.startswith("net.bank.")}
    assert_same(bank_of(run), wanted)


@pytest.mark.long
def test_class_weights_reach_the_bank(tiny: Compose, tmp_path: Path) -> None:
    words = (*SMALL, "trainer.max_epochs=1")
    for name, each in (("even", "[1.0,1.0]"), ("second", "[1.0,1e6]")):
        train(tiny(*words, f"task.loss.class_weights={each}"), tmp_path / name)
    even, second = (bank_of(tmp_path / name)["net.bank.bias"] for name in ("even", "second"))
    assert (second.softmax(1)[:, 1] > even.softmax(1)[:, 1]).all(), "of both regressions"


@pytest.mark.long
def test_a_resumed_run_keeps_its_bank(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 0)
    with pytest.raises(Killed):
        train(composed([*TINY, *SMALL]), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(Bank, "fit", None)
    resumed = composed([*TINY, *SMALL, f"resume={tmp_path}/checkpoints/last.ckpt"])
    train(resumed, tmp_path)
    assert_same(weights(tmp_path), weights(run))


@pytest.mark.long
def test_an_averaged_net_keeps_its_bank(run: Path, tmp_path: Path) -> None:
    train(composed([*TINY, *SMALL, "callbacks=ema", "callbacks.figures=null"]), tmp_path)
    assert_same(bank_of(tmp_path), bank_of(run))


@pytest.mark.long
def test_a_bank_is_exported_with_its_net(run: Path, tmp_path: Path) -> None:
    folder = shipped.export(run, tmp_path / "shipped", "int8=true", "bound=1")
    task = seqfuse.load(run / "checkpoints" / "best.ckpt")
    for x in (X, X[:1, :7], [row[: 3 + 2 * i] for i, row in enumerate(X)]):
        wanted = task.predict_proba(x)  # type: ignore[union-attr, call-arg]
        np.testing.assert_allclose(runner.load(folder).predict_proba(x), wanted, atol=1e-5)
    alone = tmp_path / "alone"
    train(composed([*TINY, *SMALL, "model=bank"]), alone)
    folder = shipped.export(alone, tmp_path / "bank", "int8=true", "bound=1")
    full, small = (runner.load(folder, int8=int8).predict_proba(X) for int8 in (False, True))
    np.testing.assert_allclose(full, small, atol=1e-6)
    assert InferenceSession(folder / "model.int8.onnx").get_inputs()[0].name == "x"


@pytest.mark.long
def test_a_bank_alone_predicts_as_it_was_fitted(tmp_path: Path) -> None:
    train(composed([*TINY, *SMALL, "model=bank"]), tmp_path)
    task, data, _ = loading.load(tmp_path / "checkpoints" / "last.ckpt")
    batch = data.tensors("test").__getitems__(range(5))
    prediction = task.net(batch.x, batch.mask).prediction
    torch.testing.assert_close(prediction, task.net.bank(batch.x, batch.mask))
    model = seqfuse.load(tmp_path / "checkpoints" / "last.ckpt")
    assert model.predict_proba(X).shape == (9, 2)  # type: ignore[union-attr, call-arg]


@pytest.mark.long
@pytest.mark.parametrize("task", ["multilabel", "contrastive"])
def test_other_tasks_have_no_bank(task: str) -> None:
    words = ["data.channels=3", "data.num_classes=2", "data.num_steps=20", "data.class_counts=null"]
    config = recipes.resolve(composed([*TINY, *words, f"task={task}", "model/bank=convolutions"]))
    assert build.build_task(config).net.bank is None


def test_a_bank_is_for_one_source() -> None:
    words = ["data=har_fusion", "model=wide", "model/bank=convolutions"]
    with pytest.raises(InputError, match=r"model.bank.*model/bank=none"):
        build.rehearse(composed(words))


@pytest.mark.long
def test_first_weights_come_without_the_bank_of_another_run(run: Path, tmp_path: Path) -> None:
    path = f"init_from={run}/checkpoints/last.ckpt"
    train(composed([*TINY, *SMALL, path, "seed=1"]), tmp_path)
    ours, theirs = bank_of(tmp_path), bank_of(run)
    assert not torch.equal(ours["net.bank.weight"], theirs["net.bank.weight"])


@pytest.mark.long
def test_a_bank_that_is_told_less_has_a_smaller_share(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is known ahead makes the targets: the net sees it, a bank of lags does not."""
    offer = np.random.default_rng(0).integers(0, 2, 600)
    hours = pd.date_range("2024-01-01", periods=600, freq="h")
    frame = pd.DataFrame({"date": hours, "sales": 10 + 5.0 * offer, "offer": offer})
    frame.to_csv(tmp_path / "a.csv", index=False)
    metrics = train(composed([*TABLE, f"data.file={tmp_path}/a.csv"]), tmp_path / "run")
    said = capfd.readouterr().out
    assert "bank        0.0" in said
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    kept = checkpoint.read(best)["state_dict"]
    share = float(kept["net.bank.fitted_share"])
    assert share < 0.1
    assert metrics["test/mse"] < 0.3 * metrics["test/bank_alone"]
    # Another net that is joined to this bank begins with its own.
    other, _, _ = loading.load(best)
    other.net.bank.fitted_share.fill_(0.5)
    other.take_bank({"state_dict": kept})
    assert other.net.bank.fitted_share == 0.5
    # Bands and metrics are those of this share: as validating these weights makes them.
    task, data, _ = loading.load(best)
    widths = task.calibrator.margins.clone()
    task.calibrator.margins.zero_()
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(task, data)
    torch.testing.assert_close(task.calibrator.margins, widths)
    shown = dict(line.split() for line in said.splitlines() if line.startswith("val/"))
    assert {name: f"{value:.4f}" for name, value in trainer.callback_metrics.items()} == shown

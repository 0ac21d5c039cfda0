"""Rounded weights: what a step sees, what it changes, and what int8 may cost."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from seqfuse.config import build, loading, recipes
from seqfuse.exporting import finetune, measure
from seqfuse.exporting.finetune import Rounded, matrices, rounded
from seqfuse.train import train
from tests import shipped
from tests.conftest import composed

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
RUN = (
    *("data=synthetic", "model=base", "data.num_samples=1000", "data.num_steps=12"),
    *("trainer.max_epochs=12", "optimizer.lr=0.01", "scheduler=constant", *QUIET),
)


def test_rounded_weights_are_as_onnx_runtime_rounds_them() -> None:
    weight = torch.tensor([[-2.54, 0.011, 0.009, 1.27]])
    torch.testing.assert_close(rounded(weight), torch.tensor([[-2.54, 0.02, 0.0, 1.28]]))
    assert torch.equal(rounded(torch.zeros(2, 2)), torch.zeros(2, 2))


def test_a_step_sees_rounded_weights_and_changes_the_true_ones() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    lstm = nn.LSTM(4, 2)
    both = nn.ModuleList([net, lstm])
    found = matrices(both)
    assert [tuple(one.shape) for one in found] == [(4, 3), (8, 4), (8, 2)]
    before = [one.detach().clone() for one in found]
    callback = Rounded()
    callback.on_train_batch_start(None, both, None, 0)  # type: ignore[arg-type]
    assert all(torch.equal(a, rounded(b)) for a, b in zip(found, before, strict=True))
    lstm(net(torch.randn(5, 3)))[0].sum().backward()
    callback.on_after_backward(None, both)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(found, before, strict=True))
    assert all(one.grad is not None for one in found)


@pytest.mark.parametrize(
    ("before", "after", "more", "lost"),
    [(0.9, 0.85, True, 0.05), (0.5, 0.6, True, -0.1), (2.0, 2.1, False, 0.05)],
)
def test_what_is_lost(before: float, after: float, more: bool, lost: float) -> None:
    assert measure.loss_of(before, after, more) == pytest.approx(lost)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["data=synthetic"], ("accuracy", True)),
        (["data=ewt"], ("accuracy", True)),
        (["data=snips_slots"], ("entity_f1", True)),
        (["data=ett"], ("crps", False)),
        (["data=ett", "task/loss=absolute"], ("mse", False)),
        (["data=fight_anomaly"], ("auroc", True)),
        (["data=nab", "task=nab"], ("nab_standard", True)),
        (["data=skab"], ("f1", True)),
    ],
)
def test_the_metric_that_decides(words: list[str], wanted: tuple[str, bool]) -> None:
    recipe = composed(words)
    auto = {n: value for n, value in recipes.ANY_SIZES.items() if recipe.data.get(n) == "auto"}
    config = recipes.resolve(recipes.fill(recipe, auto))
    config["optimizer"].pop("fused", None)
    with torch.device("meta"):
        task = build.build_task(config)
    assert measure.deciding(task, config) == wanted


def broken(run: Path, weight: float = 1e6) -> None:
    """A unit that is always 0 has a weight so large that others are rounded coarsely, or to 0."""
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    state = content["state_dict"]
    names = [name for name in state if "lstm.layers.1.forwards" in name]
    for name in names:
        for gate in range(4):
            state[name][gate * 64 + 5] = 0
    state["net.head.linear.weight"][:, 5] = weight
    torch.save(content, path)


@pytest.mark.slow
@pytest.mark.parametrize("int8", ["true", "finetune"])
def test_int8_that_breaks_accuracy_is_refused(
    int8: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = train(composed(list(RUN)), tmp_path / "run")
    assert metrics["test/accuracy"] > 0.8
    broken(tmp_path / "run")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        shipped.export(tmp_path / "run", tmp_path / "out", f"int8={int8}", "finetune.epochs=1")
    out, err = capsys.readouterr()
    assert "int8 makes accuracy" in err
    assert "above bound=0.01" in err
    assert err.count("\n") == 1
    assert ("finetune  1 epochs" in out) == (int8 == "finetune")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


@pytest.mark.slow
def test_finetuning_mends_what_int8_breaks_and_is_judged_by_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accuracy = train(composed(list(RUN)), tmp_path / "run")["test/accuracy"]
    broken(tmp_path / "run", 100.0)
    words = ("int8=finetune", "finetune.epochs=6")
    with pytest.raises(SystemExit):
        shipped.export(tmp_path / "run", tmp_path / "out", *words, "finetune.lr_fraction=100")
    assert f"which was {accuracy:.4f}" in capsys.readouterr().err
    shipped.export(tmp_path / "run", tmp_path / "out", *words, "finetune.lr_fraction=0.3")
    assert "finetune  6 epochs, as int8 makes accuracy" in capsys.readouterr().out
    assert "weights were fine-tuned (6 epochs)" in (tmp_path / "out" / "card.md").read_text()


@pytest.mark.slow
def test_finetuning_learns_to_do_with_rounded_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three values for each weight, accuracy comes back."""
    train(composed(list(RUN)), tmp_path)
    task, data, trained = loading.load(tmp_path / "checkpoints" / "best.ckpt")
    monkeypatch.setattr(finetune, "LEVELS", 1)
    before = accuracy(task, data)
    words = [*QUIET, "callbacks=none", "logger=none"]
    config = recipes.resolve(composed([*RUN, *words]))
    config = {key: config[key] for key in ("trainer", "callbacks", "logger")}
    config |= {"paths": {"run": str(tmp_path)}, "finetune": {"epochs": 4, "lr_fraction": 0.3}}
    tuned = finetune.finetune(task, data, trained, config)
    assert accuracy(tuned, data) > before + 0.05
    assert accuracy(task, data) == before
    assert not np.isnan(before)


def accuracy(task, data) -> float:
    """Of the test split, with rounded weights, which are put back."""
    batch = data.tensors("test").__getitems__(range(200))
    kept = {one: one.detach().clone() for one in matrices(task)}
    for one in kept:
        one.data.copy_(rounded(one.data))
    with torch.no_grad():
        found = task(batch.x, batch.mask).prediction.argmax(dim=1)
    for one, value in kept.items():
        one.data.copy_(value)
    return float((found == batch.y).float().mean())

"""What only a GPU can show. Skipped where there is none."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from omegaconf import DictConfig

import seqfuse
from seqfuse.config.checks import trainer
from seqfuse.data.read.synthetic import Synthetic
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Task
from seqfuse.train import train
from tests.conftest import TINY, composed
from tests.trained import Killed, assert_same, stop_after, weights, without_time

gpu = pytest.mark.gpu


def on_gpu(*overrides: str) -> DictConfig:
    words = [word for word in TINY if "accelerator" not in word]
    return composed([*words, "trainer=gpu", *overrides])


@pytest.mark.parametrize(
    ("present", "accelerator", "wanted"),
    [
        (True, "auto", "16-mixed"),
        (True, "gpu", "16-mixed"),
        (True, "cpu", "32-true"),
        (False, "auto", "32-true"),
    ],
)
def test_precision_auto(
    present: bool, accelerator: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needs no GPU: whether there is one is only asked."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert trainer.precision({"precision": "auto", "accelerator": accelerator}) == wanted


@gpu
def test_auto_is_16_mixed_with_a_scaler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(on_gpu(), tmp_path)
    assert "16-mixed on cuda:0" in capsys.readouterr().out
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert 2.0**12 <= content["MixedPrecision"]["scale"] <= 2.0**16


@gpu
@pytest.mark.parametrize("precision", ["32", "16-mixed", "bf16-mixed"])
def test_it_learns(precision: str, tmp_path: Path) -> None:
    """As on a CPU: 2000 series, 8 epochs, accuracy 0.94 (chance: 0.5)."""
    words = ("data.num_samples=2000", "trainer.max_epochs=8", "optimizer.lr=3e-3")
    metrics = train(on_gpu(f"precision='{precision}'", *words), tmp_path)
    assert metrics["test/accuracy"] > 0.88


class Overflow(Callback):
    """Makes the gradients of some steps infinite, as an overflow in float16 does."""

    def __init__(self, steps: set[int]):
        self.steps, self.scales, self.weights = steps, [], []

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        first = next(pl_module.net.parameters())
        if trainer.global_step in self.steps:
            first.grad.fill_(math.inf)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.scales.append(trainer.precision_plugin.scaler.get_scale())
        self.weights.append(next(pl_module.net.parameters()).detach().clone())


@gpu
def test_loss_scaling_survives_overflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqfuse.config import build

    overflow, original = Overflow({1, 2}), build.build_trainer

    def with_overflow(config: dict[str, Any]) -> Any:
        trainer = original(config)
        trainer.callbacks.append(overflow)  # type: ignore[attr-defined]
        return trainer

    monkeypatch.setattr(build, "build_trainer", with_overflow)
    metrics = train(on_gpu("precision=16-mixed"), tmp_path)
    begin = overflow.scales[0]
    assert overflow.scales[:4] == [begin, begin / 2, begin / 4, begin / 4]
    torch.testing.assert_close(overflow.weights[2], overflow.weights[0], atol=0, rtol=0)
    assert not torch.equal(overflow.weights[3], overflow.weights[2]), "training goes on"
    assert len(overflow.scales) == 8
    assert math.isfinite(metrics["test/loss"])
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())


@gpu
def test_a_loss_that_overflows_once_skips_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = [], Task.training_step

    def step(self: Task, batch: Any, batch_idx: int) -> torch.Tensor:
        calls.append(batch_idx)
        return original(self, batch, batch_idx) * (math.inf if len(calls) == 3 else 1)

    monkeypatch.setattr(Task, "training_step", step)
    metrics = train(on_gpu("precision=16-mixed"), tmp_path / "scaled")
    assert len(calls) == 8
    assert math.isfinite(metrics["val/loss"])
    content = torch.load(tmp_path / "scaled" / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["MixedPrecision"]["scale"] <= 2.0**15
    calls.clear()
    with pytest.raises(InputError, match="the loss is inf in batch 2"):
        train(on_gpu("precision=32"), tmp_path / "plain")


@gpu
def test_a_loss_that_stays_infinite_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Task.training_step
    monkeypatch.setattr(Task, "training_step", lambda *words: original(*words) * math.nan)
    with pytest.raises(InputError, match="the loss is nan in batch"):
        train(on_gpu("precision=16-mixed", "trainer.max_epochs=9", "test=false"), tmp_path)


@gpu
@pytest.mark.parametrize("precision", ["32", "16-mixed"])
@pytest.mark.parametrize("model", ["base", "wide"])
def test_deterministic_gives_the_same_weights_twice(
    model: str, precision: str, tmp_path: Path
) -> None:
    words = (f"precision='{precision}'", f"model={model}", "trainer.deterministic=true")
    runs = [train(on_gpu(*words), tmp_path / name) for name in "ab"]
    assert without_time(runs[0]) == without_time(runs[1])
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8", ":4096:2")


@gpu
@pytest.mark.parametrize("precision", ["32", "16-mixed"])
def test_resumed_equals_uninterrupted(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, so the GPU's random state is kept, and the scale too."""
    words = (f"precision='{precision}'", "trainer.deterministic=true", "trainer.max_epochs=6")
    train(on_gpu(*words), tmp_path / "whole")
    stop_after(monkeypatch, epoch=2)
    with pytest.raises(Killed):
        train(on_gpu(*words), tmp_path / "part")
    monkeypatch.undo()
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    train(on_gpu(*words, f"resume={last}"), tmp_path / "part")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "part"))


@gpu
def test_a_checkpoint_of_a_gpu_predicts_the_same_on_a_cpu(tmp_path: Path) -> None:
    train(on_gpu("precision=32", "test=false"), tmp_path)
    predictor = seqfuse.load(tmp_path / "checkpoints" / "best.ckpt")
    x = Synthetic(80, 12, 3)("test").padded()[0]
    on_cpu = predictor.predict_proba(x)
    net, inputs = (
        predictor.engine.model.net.to("cuda"),
        torch.as_tensor(np.asarray(x), device="cuda"),
    )
    with torch.no_grad():
        output = net(inputs, torch.ones(inputs.shape[:2], dtype=torch.bool, device="cuda"))
    on_gpu_too = output.prediction.softmax(dim=-1).cpu().numpy()
    np.testing.assert_allclose(on_gpu_too, on_cpu, atol=1e-4)


@gpu
@pytest.mark.parametrize("clip", ["norm", "value"])
def test_fused_optimizers_clip_as_plain_ones_do(clip: str, tmp_path: Path) -> None:
    words = (
        "precision=32",
        f"clip={clip}",
        "trainer.gradient_clip_val=0.01",
        "model.lstm.dropout=0.0",
    )
    for fused in ("true", "false"):
        run = on_gpu(*words, f"optimizer.fused={fused}", "trainer.deterministic=true", "test=false")
        train(run, tmp_path / fused)
    one, two = weights(tmp_path / "true"), weights(tmp_path / "false")
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


@gpu
def test_finders_and_throughput(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("find_lr=true", "find_batch_size=true", "data.num_samples=2000")
    train(on_gpu(*words), tmp_path)
    out = capsys.readouterr().out
    assert out.count("\nfound  ") == 2
    assert "GPU memory" in out
    head = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "train/gpu_memory_mib" in head


@gpu
def test_the_trace_holds_kernels(tmp_path: Path) -> None:
    import gzip
    import json

    train(on_gpu("debug=profile", "data.num_samples=400", "test=false"), tmp_path)
    text = gzip.decompress((tmp_path / "profile" / "trace.json.gz").read_bytes())
    kinds = {event.get("cat") for event in json.loads(text)["traceEvents"]}
    assert "kernel" in kinds

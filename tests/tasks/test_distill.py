"""Students and teachers: losses against scipy's entropy, runs from the command line."""

import csv
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy

from seqfuse.config import build, loading, starting
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import NO_LABEL
from seqfuse.tasks import distill
from seqfuse.tasks.base import Task
from seqfuse.tasks.distill import DistillTask, SameOutputs, SoftTargets
from seqfuse.train import main, train
from tests.conftest import TINY, composed
from tests.made import Made, make

T = 3.0


def softened(scores: torch.Tensor) -> np.ndarray:
    powers = np.exp(scores.double().numpy() / T)
    return powers / powers.sum(axis=-1, keepdims=True)


def test_soft_targets_are_the_divergence_from_the_mean_of_the_teachers() -> None:
    student, one, two = torch.randn(3, 5, 4)
    wanted = (softened(one) + softened(two)) / 2
    expected = T**2 * entropy(wanted, softened(student), axis=1).mean()
    found = SoftTargets(T)(student, [one, two], torch.arange(5) % 4)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert SoftTargets(T)(one, [one], torch.zeros(5).long()).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_is_that_of_the_softened_scores() -> None:
    student, teacher = torch.randn(2, 5, 4)
    student.requires_grad_()
    SoftTargets(T)(student, [teacher], torch.zeros(5).long()).backward()
    expected = T * (softened(student.detach()) - softened(teacher)) / 5
    np.testing.assert_allclose(student.grad, expected, rtol=1e-4, atol=1e-6)


def test_steps_without_a_label_do_not_count() -> None:
    student, teacher = torch.randn(2, 2, 3, 4)
    y = torch.tensor([[1, 2, 0], [3, NO_LABEL, NO_LABEL]])
    real = (y != NO_LABEL).numpy()
    each = entropy(softened(teacher), softened(student), axis=2)
    found = SoftTargets(T)(student, [teacher], y)
    assert found.item() == pytest.approx(T**2 * each[real].mean(), rel=1e-5)
    student[1, 1:] += 9
    torch.testing.assert_close(SoftTargets(T)(student, [teacher], y), found)


def test_a_crf_matches_the_probabilities_of_its_steps() -> None:
    student, teacher = torch.randn(2, 1, 3, 2, 2)
    for scores in (student, teacher):
        scores[:, 0] = scores[:, 0, :1]  # at the first step all rows are alike
    found = SoftTargets(T)(student, [teacher], torch.zeros(1, 3).long())
    each = entropy(by_paths(teacher), by_paths(student), axis=1)
    assert found.item() == pytest.approx(T**2 * each.mean(), rel=1e-4)


def by_paths(scores: torch.Tensor) -> np.ndarray:
    """(t k) of one CRF: the share of each tag in the weight of all paths."""
    shares = np.zeros((3, 2))
    for path in itertools.product(range(2), repeat=3):
        before = (0, *path[:-1])
        weight = sum(scores[0, t, before[t], path[t]].item() for t in range(3)) / T
        shares[range(3), path] += np.exp(weight)
    return shares / shares.sum(axis=1, keepdims=True)


def test_forecasts_match_the_mean_of_the_teachers() -> None:
    student, one, two = torch.randn(3, 2, 4, 3, 5)
    y = torch.randn(2, 4, 3)
    y[0, 1:] = torch.nan
    distance = (student - (one + two) / 2).abs().mean(dim=-1)
    expected = distance[~y.isnan()].mean()
    torch.testing.assert_close(SameOutputs()(student, [one, two], y), expected)


def test_a_temperature_is_above_nothing() -> None:
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        SoftTargets(0)


TEACHER = list(TINY)
SMALL = ("model.lstm.hidden_size=16", "model.cnn.channels=[8]", "model.lstm.num_layers=1")
STUDENT = [*TEACHER, "task=distill", *SMALL]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    train(composed(TEACHER), folder)
    return folder / "checkpoints" / "last.ckpt"


def content(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def watch(monkeypatch: pytest.MonkeyPatch) -> list[DistillTask]:
    """Students, as they are made with their teachers."""
    seen: list[DistillTask] = []
    make_task = starting.start_task

    def start_task(*arguments: Any) -> Task:
        seen.append(make_task(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(starting, "start_task", start_task)
    return seen


@pytest.mark.long
def test_teachers_stay_as_they_are_and_out_of_the_checkpoint(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    seen = watch(monkeypatch)
    metrics = train(composed([*STUDENT, f"teacher=[{teacher},{teacher}]"]), tmp_path)
    said = f"teacher     {teacher}: 64,451 parameters"
    assert capsys.readouterr().out.count(said) == 2
    [task] = seen
    before = torch.load(teacher, weights_only=True)["state_dict"]
    for net in task.teachers:
        assert not any(part.training for part in net.modules())
        assert not any(p.requires_grad for p in net.parameters())
        after = {f"net.{name}": one for name, one in net.state_dict().items()}
        assert len(after) > 10
        torch.testing.assert_close(after, {n: before[n] for n in after}, atol=0, rtol=0)
    found = content(tmp_path)
    assert {name for name in found["state_dict"] if "teach" in name} == set()
    own = sum(p.numel() for p in task.net.parameters())
    kept = [one.numel() for name, one in found["state_dict"].items() if name.startswith("net.")]
    assert sum(kept) == own < 64_451 / 5
    moments = found["optimizer_states"][0]["state"].values()
    assert sum(one["exp_avg"].numel() for one in moments) == own
    assert metrics["test/loss"] > 0


@pytest.mark.long
def test_a_loaded_student_needs_no_teacher(teacher: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost.ckpt"
    lost.write_bytes(teacher.read_bytes())
    train(composed([*STUDENT, f"teacher={lost}", "trainer.max_steps=1"]), tmp_path / "run")
    lost.unlink()
    task, _, config = loading.load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert isinstance(task, DistillTask)
    assert config["teacher"] == str(lost)
    assert task.teachers == ()


@pytest.mark.long
def test_a_resumed_distillation_equals_an_uninterrupted_one(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*STUDENT, f"teacher={teacher}", "test=false", "trainer.max_epochs=3"]
    whole = train(composed(words), tmp_path / "whole")
    given = DistillTask.training_step

    def step(self, batch, batch_idx):
        if self.trainer.current_epoch == 2:
            raise Killed
        return given(self, batch, batch_idx)

    monkeypatch.setattr(DistillTask, "training_step", step)
    with pytest.raises(Killed):
        train(composed(words), tmp_path / "part")
    monkeypatch.undo()
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    resumed = train(composed([*words, f"resume={last}"]), tmp_path / "part")
    assert resumed["train/loss"] == whole["train/loss"]
    states = [content(tmp_path / name)["state_dict"] for name in ("whole", "part")]
    torch.testing.assert_close(*states, atol=0, rtol=0)


class Killed(Exception):
    """Stands for whatever ends a process."""


def teachers(made: Made, **changes: Any) -> dict[str, Any]:
    return distill.teachers({**made.config, **changes}, made.task.net, made.data)


@pytest.fixture(scope="module")
def student() -> Made:
    return make(*STUDENT)


@pytest.mark.long
def test_labels_and_teachers_share_the_loss(teacher: Path, student: Made) -> None:
    given = teachers(student, teacher=str(teacher))
    task: Any = build.build_task(student.config, student.task.net, **given).eval()
    batch, found = student.data.tensors("train").__getitems__([0, 1, 2, 3]), []
    for share in (0.0, 0.25, 1.0):
        task.teaching = share
        found.append(task._step(batch, "train")["loss"].item())
    hard, between, soft = found
    assert hard == pytest.approx(task._step(batch, "val")["loss"].item())
    assert between == pytest.approx(0.75 * hard + 0.25 * soft, rel=1e-5)
    scores = [net(batch.x, batch.mask).prediction / 4 for net in (task.net, *task.teachers)]
    logs = [one.log_softmax(dim=1) for one in scores]
    divergence = (logs[1].exp() * (logs[1] - logs[0])).sum(dim=1).mean()
    assert soft == pytest.approx(16 * divergence.item(), rel=1e-4)


@pytest.mark.long
def test_a_student_of_one_batch_becomes_its_teacher(
    teacher: Path, tmp_path: Path, command: Callable
) -> None:
    words = [*STUDENT, f"teacher={teacher}", "task.teaching=1.0", "model.lstm.dropout=0.0"]
    more = ["data.batch_size=8", "trainer.overfit_batches=1", "optimizer.lr=0.02", "test=false"]
    code, _, err = command(main, *words, *more, "callbacks=none", "trainer.max_epochs=25")
    assert not code, err
    [run] = tmp_path.glob("logs/*/*")
    with (run / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses[-1] < 0.05 * losses[0]


def test_a_teacher_needs_a_distillation() -> None:
    made = make(*TINY, "teacher=some.ckpt")
    with pytest.raises(InputError, match="is for task=distill: type it, or leave out teacher"):
        teachers(made)


def scale(mean: list[float]) -> dict:
    """A part of the state of a pipeline."""
    return {"standardisation": {"mean": mean, "std": [1.0] * len(mean)}}


@pytest.mark.long
def test_mistakes_name_the_teacher(teacher: Path, student: Made) -> None:
    cases = [
        ({"teacher": "no.ckpt"}, "teacher=no.ckpt: there is no such file"),
        ({"teacher": [str(teacher), str(teacher.parent)]}, "is a folder: name a file"),
        ({"data": {"horizon": 4}}, "has data.horizon=None, this run 4"),
        (
            {"task": {**student.config["task"], "quantiles": [0.5]}},
            "forecasts task.quantiles=None, this run \\[0.5\\]",
        ),
    ]
    for changes, message in cases:
        with pytest.raises(InputError, match=message):
            teachers(student, **{"teacher": str(teacher), **changes})
    pipeline = student.data.splits.pipeline
    state = pipeline.state_dict()
    named = {**state["labels"], "classes": ["a", "b"]}
    cases = [
        ({"labels": named}, "knows negative, positive; the classes here are a, b"),
        (scale([0.0]), "was trained on 3 channels, the data here has 1"),
        (
            scale([0.0, 9.0, 0.0]),
            "fitted to other rows: its 'standardisation'",
        ),
    ]
    for changes, message in cases:
        pipeline.load_state_dict({**state, **changes})
        with pytest.raises(InputError, match=message):
            teachers(student, teacher=str(teacher))
    kept = state["standardisation"]
    rounded = {**kept, "mean": [mean * (1 + 1e-9) for mean in kept["mean"]]}
    pipeline.load_state_dict({**state, "standardisation": rounded})
    teachers(student, teacher=str(teacher))  # another machine may round


TAGS = (
    *("data=conll", "data.train=tags.tsv", "data.test=tags.tsv", "callbacks.figures=null"),
    *("model.stem.word_size=8", "model.stem.subword_size=8", "model.lstm.hidden_size=8"),
    *(word for word in TINY if word.startswith("trainer.")),
)


@pytest.mark.long
def test_tags_are_taught_by_a_crf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tags.tsv").write_text("fly\tVERB\nto\tADP\n\nrome\tPROPN\n\n" * 20)
    one = ("trainer.limit_train_batches=1", "trainer.max_epochs=1", "test=false")
    train(composed([*TAGS, *one, "model/head=crf"]), tmp_path / "teacher")
    named = "teacher=teacher/checkpoints/last.ckpt"
    for head in ("crf", "tags"):
        made = make(*TAGS, "task=distill_tags", named, f"model/head={head}", "task.teaching=1.0")
        task: Any = starting.start_task(made.config, made.data).eval()
        loss = task._step(made.data.tensors("train").__getitems__([0, 1, 2]), "train")["loss"]
        assert loss.isfinite()
        loss.backward()
        assert all(p.grad is not None for p in task.net.head.parameters())
    made = make(*TAGS, "task=distill", named)
    with pytest.raises(InputError, match="task=distill is for labels of items, task=distill_tags"):
        teachers(made)


FORECAST = (
    *("data=csv", "data.look_back=24", "data.horizon=8", "data.file=table.csv"),
    *("model.segment_size=4", "model.lstm.hidden_size=8", "model.cnn.out_channels=8"),
    *("trainer.max_epochs=1", "callbacks.figures=null", "trainer.limit_train_batches=1"),
    *(word for word in TINY if word.startswith("trainer.") and "epochs" not in word),
)


@pytest.mark.slow
def test_forecasts_are_taught(
    tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=300, freq="h")})
    frame.assign(value=generator.normal(size=300)).to_csv("table.csv", index=False)
    train(composed([*FORECAST, "test=false"]), tmp_path / "teacher")
    ckpt = "teacher/checkpoints/best.ckpt"
    pupil = ("task=distill_forecasts", f"teacher={ckpt}")
    code, out, err = command(main, *FORECAST, *pupil)
    assert not code, err
    assert "test/mse" in out
    one = make(*FORECAST, *pupil, "task/loss=absolute")
    with pytest.raises(InputError, match=re.escape("[8, 1, 7] numbers an item, the student [8, 1")):
        teachers(one)

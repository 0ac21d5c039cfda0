"""Pre-training, what a run takes over from it, and what then stays as it is."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import seqfuse
from seqfuse import predict
from seqfuse.config import loading, starting
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.train import main, train
from tests.conftest import TINY, assert_refused, composed
from tests.made import make

WIDE = [*TINY, "model=wide"]
SMALL = ("model.cnn.channels=[8]", "model.lstm.hidden_size=8", "model.attention.attention_size=8")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    train(composed([*WIDE, "task=contrastive", "test=false"]), folder)
    return folder / "checkpoints" / "last.ckpt"


def state(ckpt: Path) -> dict[str, torch.Tensor]:
    """Weights and batch statistics of the net."""
    found = torch.load(ckpt, weights_only=True)["state_dict"]
    return {name: one for name, one in found.items() if name.startswith("net.")}


def encoder(ckpt: Path) -> dict[str, torch.Tensor]:
    return {name: one for name, one in state(ckpt).items() if ".head." not in name}


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


@pytest.mark.long
def test_a_frozen_encoder_stays_bit_for_bit(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batch norm's statistics, too; and the optimizer knows the head alone."""
    words = [*WIDE, f"init_from={pretrained}", "freeze=true", "optimizer=adamw"]
    train(composed([*words, "optimizer.weight_decay=0.5", "test=false"]), tmp_path)
    out = capsys.readouterr().out
    assert f"init_from   {pretrained}: 20 of 20 tensors\n" in out
    assert re.search(r"net +[\d,]{6,} parameters, 258 of them trained, ", out)
    last = tmp_path / "checkpoints" / "last.ckpt"
    found, before = encoder(last), encoder(pretrained)
    assert sum("running" in name for name in found) == 4
    torch.testing.assert_close(found, before, atol=0, rtol=0)
    [optimizer] = torch.load(last, weights_only=True)["optimizer_states"]
    assert len(optimizer["param_groups"][0]["params"]) == 2
    task, _, _ = loading.load(last)
    assert set(state(last)) == {f"net.{name}" for name in task.net.state_dict()}


@pytest.mark.long
def test_without_freeze_the_encoder_begins_there_and_moves(
    pretrained: Path, tmp_path: Path
) -> None:
    words = [*WIDE, f"init_from={pretrained}", "test=false", "trainer.max_epochs=1"]
    words = [*words, "trainer.limit_train_batches=1"]
    train(composed([*words, "optimizer.lr=0"]), tmp_path / "still")
    names = [name for name in encoder(pretrained) if "running" not in name and "num_" not in name]
    found, before = encoder(tmp_path / "still/checkpoints/last.ckpt"), encoder(pretrained)
    for name in names:
        assert torch.equal(found[name], before[name]), name
    train(composed(words), tmp_path / "moved")
    found = encoder(tmp_path / "moved/checkpoints/last.ckpt")
    assert all(not torch.equal(found[name], before[name]) for name in names)


@pytest.mark.slow  # tests/tasks/test_distilling.py resumes, too
def test_a_resumed_probe_equals_an_uninterrupted_one(pretrained: Path, tmp_path: Path) -> None:
    given = tmp_path / "given.ckpt"
    given.write_bytes(pretrained.read_bytes())
    words = [*WIDE, f"init_from={given}", "freeze=true", "test=false"]
    train(composed([*words, "trainer.max_epochs=4"]), tmp_path / "whole")
    train(composed(words), tmp_path / "part")
    given.unlink()  # a run that goes on has all it needs
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    train(composed([*words, "trainer.max_epochs=4", f"resume={last}"]), tmp_path / "part")
    states = [state(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "part")]
    torch.testing.assert_close(*states, atol=0, rtol=0)


STILL = ("task.pairs.changes.crop=null", "task.pairs.changes.permute=null")


@pytest.mark.long
@pytest.mark.parametrize(
    "task", [["task=contrastive", *STILL], ["task=contrastive_scales"]], ids=lambda task: task[0]
)
def test_pairs_are_told_apart(task: list[str], tmp_path: Path, command: Callable) -> None:
    """From the command line: the loss falls well below that of a guess."""
    words = [*WIDE, *SMALL[:2], *task, "callbacks=none", "test=false"]
    more = ["trainer.max_epochs=24", "optimizer.lr=0.02", "trainer.overfit_batches=1"]
    code, _, err = command(main, *words, *more)
    assert not code, err
    [run] = tmp_path.glob("logs/*/*")
    found = losses(run)
    assert sum(found[-5:]) < 0.9 * sum(found[:5])


@pytest.mark.long
def test_what_does_not_fit_is_named(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WIDE, f"init_from={pretrained}", "test=false", "trainer.max_epochs=1"]
    words = [*words, "model/attention=mean", "model.lstm.hidden_size=32"]
    train(composed(words), tmp_path)
    out = capsys.readouterr().out
    assert "12 of 16 tensors; not lstm." in out
    assert "[128, 64], there [256, 64]" in out


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["init_from={ckpt}", *SMALL], "no weight of it fits this encoder (cnn.layers"),
        (
            ["init_from={ckpt}", "freeze=true", "model/attention=multihead"],
            "does not have attention.queries [1, 64]",
        ),
        (
            ["init_from={ckpt}", "freeze=true", "data.scaling=series"],
            "was trained with data.scaling=none, not series: type that, or leave out freeze",
        ),
    ],
)
def test_mistakes_are_named(pretrained: Path, words: list[str], message: str) -> None:
    made = make(*WIDE, *(word.format(ckpt=pretrained) for word in words))
    with pytest.raises(InputError, match=re.escape(message)):
        starting.start_weights(made.task.net, made.data, made.config)


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=distill", "teacher={ckpt}"], "was pre-trained and predicts nothing: train a hea"),
        (["task=contrastive", "data.batch_size=1"], "leaves nothing to compare with: type at lea"),
        (["task=contrastive", "data.label_fraction=0.5"], "pre-training reads none: leave it out"),
        (["task=contrastive", "model/attention=steps"], "type model/attention=additive or task=c"),
        (["task=contrastive", "model/attention=each_step"], "type model/attention=additive or t"),
        (["model/attention=each_step"], "a class needs a whole item: type model/attention"),
        (["model/attention=steps"], "a class needs a whole item: type model/attention=mean"),
    ],
)
def test_mistakes_are_one_line(
    pretrained: Path, command: Callable, words: list[str], message: str
) -> None:
    assert_refused(command(main, *WIDE, *(word.format(ckpt=pretrained) for word in words)), message)


@pytest.mark.long
def test_series_need_no_labels(tmp_path: Path, command: Callable) -> None:
    """From a file that has none, with figures that would need a prediction."""
    np.savez("mine.npz", x=np.random.default_rng(0).normal(size=(40, 9, 3)).astype(np.float32))
    words = ["data=arrays", "data.train=mine.npz", "data.batch_size=8", "model=wide", *SMALL]
    words = [*words, *(word for word in TINY if word.startswith("trainer.")), "logger=none"]
    figures = "callbacks.figures={_target_:seqfuse.figures.classification.ClassFigures}"
    code, _, err = command(main, *words, "task=contrastive", "data.labelled=false", figures)
    assert not code, err
    for more, message in (
        ([], "mine.npz has no array 'y' (it has: x); without labels, type task=contrastive data.l"),
        (["data.labelled=false"], "data.labelled=false is for task=contrastive"),
    ):
        assert_refused(command(main, *words, *more), message)


def test_the_loss_of_validation_does_not_hang_on_the_order_of_a_file() -> None:
    made = make(*WIDE, "task=contrastive")

    def order() -> list[int]:
        return [i for batch in made.data.loader("val") for i in batch.index.tolist()]

    as_read = order()
    made.data.mix()
    assert order() == order() != as_read == sorted(order())


@pytest.mark.long
def test_a_pretrained_encoder_predicts_nothing(pretrained: Path, command: Callable) -> None:
    np.savez("own.npz", x=np.zeros((3, 12, 3)))
    quiet = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
    words = (f"ckpt={pretrained}", "input=own.npz", "output=p.csv", *quiet)
    assert_refused(
        command(predict.main, *words), "was pre-trained and predicts nothing: train a head first"
    )
    with pytest.raises(InputError, match="was pre-trained and predicts nothing"):
        seqfuse.load(pretrained)
    task, _, _ = loading.load(pretrained)
    task.net = torch.nn.Identity()  # as an export stands in for it
    x, y = torch.zeros(2, 5, 3), torch.zeros(2).long()
    with pytest.raises(InputError, match="was pre-trained and predicts nothing"):
        task._step(Batch(x, x[..., 0] == 0, y, y), "test")

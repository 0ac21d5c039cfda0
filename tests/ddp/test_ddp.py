"""Two processes train as one: real ones, over gloo."""

import os
from itertools import chain
from pathlib import Path

import pytest
import torch
import yaml

from seqfuse.runtime.errors import Diverged, Interrupted
from seqfuse.train import train
from tests.benchmarks import ddp
from tests.conftest import DRAWN, TINY, Compose, composed
from tests.ddp.agents import command
from tests.trained import assert_same, checkpoint, weights

pytestmark = pytest.mark.slow
TWO = ("trainer.devices=2", "data.batch_size=17")
FAULT = "+callbacks.fault._target_=tests.ddp.faults.Fault"


def folders(root: Path) -> list[Path]:
    return sorted((root / "logs" / "synthetic").iterdir())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory):
    """What one process and two, started by torchrun, left of each job."""
    return ddp.measure(tmp_path_factory.mktemp("ddp"))


@pytest.mark.parametrize("job", ddp.JOBS)
def test_two_processes_train_and_measure_as_one(found, job: str) -> None:
    one, two = found[job]
    assert len(one["losses"]) >= ddp.STEPS
    differences = ddp.compared(one, two, ddp.STEPS)
    assert differences["losses"] < 1e-5
    assert differences["norms"] < 1e-5
    assert differences["metrics"] < 1e-6
    assert one["metrics"].keys() == two["metrics"].keys()


@pytest.mark.parametrize("job", ddp.JOBS)
def test_every_row_is_seen_once_and_by_one_rank(found, job: str) -> None:
    (alone,), ranks = (side["seen"] for side in found[job])
    for stage in ("train", "val", "test"):
        rows = zip(*(rank[stage] for rank in ranks), strict=True)
        assert [[*chain(*parts)] for parts in rows] == alone[stage]
    lengths = [len(rows) for rank in ranks for stage in rank.values() for rows in stage]
    assert 0 in lengths or job == "anomalies"  # there the last of the calibration, not kept


def test_the_command_starts_itself_again_and_leaves_one_folder(tmp_path: Path) -> None:
    # Adam would make of the least gradient, and so of its rounding, a step of the learning rate.
    plain = ["optimizer=sgd", "model.lstm.dropout=0.0"]
    done = command(
        tmp_path, *DRAWN, *TWO, *plain, "callbacks.figures.every_n_epochs=1", "trainer=ddp"
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.count("run  ") == done.stdout.count("parameters") == 1
    (run,) = folders(tmp_path)
    label = yaml.safe_load((run / "config.yaml").read_text())["label"]
    alone = composed([*DRAWN, *TWO[1:], *plain, f"label='{label}'"])
    expected = train(alone, tmp_path / "alone")
    told = dict(line.split() for line in done.stdout.splitlines() if line.startswith("test/"))
    for name, value in told.items():
        assert float(value) == pytest.approx(expected[name], abs=6e-5)
    names = {path.name for path in run.iterdir()}
    assert names == {path.name for path in (tmp_path / "alone").iterdir()}
    torch.testing.assert_close(weights(run), weights(tmp_path / "alone"), atol=1e-6, rtol=1e-5)


def test_two_ranks_fit_the_bank_of_one(tmp_path: Path) -> None:
    words = ["model/bank=convolutions", "model.bank.num_features=500", "test=false"]
    done = command(tmp_path, *TINY, *TWO, *words, "trainer=ddp")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bank  ") == 1
    (run,) = folders(tmp_path)
    train(composed([*TINY, *TWO[1:], *words]), tmp_path / "alone")
    two, one = (
        {name: value for name, value in weights(path).items() if "bank" in name}
        for path in (run, tmp_path / "alone")
    )
    assert two["net.bank.is_fitted"]
    assert_same(two, one)


def test_ranks_that_were_stopped_go_on_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    """A signal to one ends both after the same step; each goes on with its own dropout."""
    words = [*TINY, *TWO, "trainer=ddp", "test=false", "trainer.max_epochs=3"]
    assert command(tmp_path, *words).returncode == 0
    done = command(tmp_path, *words, FAULT, "+callbacks.fault.kind=SIGTERM")
    whole, part = folders(tmp_path)
    assert done.returncode == 143
    assert done.stderr.splitlines() == [
        f"seqfuse: stopped by SIGTERM; go on with: seqfuse-train resume=logs/synthetic/{part.name}"
    ]
    assert checkpoint(part)["global_step"] == 4
    resumed = command(tmp_path, f"resume={part}", "callbacks.fault=null")
    assert resumed.returncode == 0, resumed.stderr
    assert len(folders(tmp_path)) == 2
    assert_same(weights(part), weights(whole))


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("mistake", "seqfuse: a mistake on one rank"),
        ("blown_up", "seqfuse: the loss is nan in batch 3 of epoch 0: try optimizer.lr from"),
        ("SIGKILL", "seqfuse: a process of this run was ended by SIGKILL (out of memory?)"),
    ],
)
def test_what_ends_one_rank_ends_both_with_one_line(kind: str, line: str, tmp_path: Path) -> None:
    done = command(tmp_path, *TINY, *TWO, "trainer=ddp", FAULT, f"+callbacks.fault.kind={kind}")
    assert done.returncode == 1
    (told,) = done.stderr.splitlines()
    assert told.startswith(line)


def test_spawned_ranks_bring_back_what_they_found(
    tiny: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*TWO[1:], "model.lstm.dropout=0.0", "callbacks.early_stopping.patience=0")
    port = os.environ.get("MASTER_PORT")
    metrics = train(tiny(*words, "trainer=ddp_spawn", "trainer.devices=2"), tmp_path / "two")
    out = capsys.readouterr().out
    expected = train(tiny(*words), tmp_path / "one")
    assert metrics.keys() == expected.keys()
    assert metrics == pytest.approx(expected, abs=1e-6)
    for line in ("checkpoint  ", "run  ", "test/accuracy"):
        assert out.count(line) == 1
    for name in ("best", "last"):
        one, two = (weights(tmp_path / run, name) for run in ("one", "two"))
        for basis in ("familiarity.whitening", "familiarity.means"):  # rounding may turn it
            assert one.pop(basis).shape == two.pop(basis).shape
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    assert "familiarity.distances" in one
    assert os.environ.get("MASTER_PORT") == port


@pytest.mark.parametrize(("kind", "error"), [("blown_up", Diverged), ("SIGTERM", Interrupted)])
def test_errors_of_spawned_ranks_keep_their_kind(
    kind: str, error: type[Exception], tiny: Compose, tmp_path: Path
) -> None:
    words = ("trainer=ddp_spawn", *TWO, FAULT, f"+callbacks.fault.kind={kind}")
    with pytest.raises(error):
        train(tiny(*words), tmp_path)


def test_a_student_is_taught_alike_by_two(tmp_path: Path) -> None:
    """With weights of classes, which teachers do not have, and a share that is empty."""
    whole = [*TINY, "model.lstm.dropout=0.0", "trainer.max_epochs=2", "test=false"]
    train(composed(whole), tmp_path / "teacher")
    teacher = f"teacher={tmp_path}/teacher/checkpoints/best.ckpt"
    words = [*whole, "task=distill", teacher, "task.loss.class_weights=[10.0,1.0]"]
    words = [*words, "data.batch_size=63"]  # of 64
    expected = train(composed(words), tmp_path / "one")
    done = [*words, "trainer=ddp_spawn", "trainer.devices=2"]
    metrics = train(composed(done), tmp_path / "two")
    assert metrics == pytest.approx(expected, abs=1e-6)

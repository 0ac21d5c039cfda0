"""Two processes with half of the weights each train as one process with all of them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.tensor import DTensor

from seqfuse import evaluate
from seqfuse.config import build, loading, recipes, runs
from seqfuse.config.checks.trainer import check_trainer, precision
from seqfuse.runtime.errors import InputError
from seqfuse.train import main, train
from tests.benchmarks import ddp
from tests.conftest import TINY, Compose, composed
from tests.ddp import agents
from tests.trained import assert_same, checkpoint, weights

TWO = ("trainer=fsdp", "trainer.devices=2")
PLAIN = ("model.lstm.dropout=0.0", "data.batch_size=9", "trainer.max_epochs=4")
"""The last batch of an epoch has one item, and so none for the second rank."""
JOBS = {
    "classes": (*TINY, *PLAIN, "task.loss.class_weights=[1.0,3.0]", "clip=norm"),
    "series": (
        *("data=synthetic", "data.num_samples=80", "data.num_steps=12", *PLAIN),
        *(*ddp.QUIET[1:4], "callbacks.figures=null"),
    ),
    "bank": (
        *(*TINY, *PLAIN, "model.bank.num_features=500", "model/bank=convolutions"),
        *("data.num_folds=5", "optimizer=adamw", "optimizer.weight_decay=0.01"),
    ),
    "forecasts": (
        *("data=csv", "data.file=table.csv", "data.time=when", "data.targets=[load,heat]"),
        *("data.gaps=ignore", *ddp.WINDOWS, "data.batch_size=34", "trainer.max_epochs=4"),
        *("callbacks.ema=null", *ddp.QUIET[:4], "callbacks.figures=null"),
    ),
    "anomalies": (
        *(*ddp.JOBS["anomalies"][:-1], "trainer.max_epochs=3"),
        *(*ddp.QUIET[:4], "callbacks.figures=null"),
    ),
}
WITNESS = "+callbacks.witness._target_=tests.benchmarks.ddp.Witness"
HELD = "+callbacks.held._target_=tests.ddp.held.Held"
FAULT = "+callbacks.fault._target_=tests.ddp.faults.Fault"


def the_run(folder: Path) -> Path:
    [config] = folder.glob("logs/*/*/config.yaml")
    return config.parent


@pytest.fixture(scope="module")
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """The folders of one process and of two, after the same job."""
    folder = tmp_path_factory.mktemp(request.param)
    ddp.write_tables(folder)
    words = [*JOBS[request.param], WITNESS, f"paths.data={folder}"]
    train(composed(words), folder / "one")
    done = agents.command(folder, *words, *TWO, HELD, "trust=[tests]")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.count("parameters") == 1
    return folder / "one", the_run(folder)


@pytest.mark.slow
@pytest.mark.parametrize("trained", JOBS, indirect=True)
def test_two_halves_train_and_measure_as_one(trained: tuple[Path, Path]) -> None:
    whole, two = trained
    differences = ddp.compared(ddp.left(whole), ddp.left(two), 100)
    assert differences["losses"] < 1e-6
    assert differences["metrics"] < 1e-6
    alone, shared = checkpoint(whole), checkpoint(two)
    # Which no prediction depends on: Adam makes steps of the rounding of its gradient.
    free = "net.attention.score.bias"
    one, other = (
        {name: weight for name, weight in found["state_dict"].items() if name != free}
        for found in (shared, alone)
    )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    [theirs], [ours] = shared["optimizer_states"], alone["optimizer_states"]
    shapes = [
        {i: {name: value.shape for name, value in of.items()} for i, of in found["state"].items()}
        for found in (theirs, ours)
    ]
    assert shapes[0] == shapes[1]
    assert theirs["param_groups"][0]["params"] == ours["param_groups"][0]["params"]
    parts = [json.loads((two / f"held-{rank}.json").read_text()) for rank in (0, 1)]
    assert math.isclose(sum(parts), 1.0)
    assert max(parts) < 0.52


@pytest.mark.slow
@pytest.mark.parametrize("trained", ["classes"], indirect=True)
def test_its_checkpoint_is_that_of_one_process(trained: tuple[Path, Path], command) -> None:
    _, two = trained
    best = two / "checkpoints" / "best.ckpt"
    code, out, err = command(evaluate.main, f"ckpt={best}", "trainer=cpu")
    assert code == 0, err
    found = dict(line.split()[:2] for line in out.splitlines() if line.startswith("test/"))
    told = json.loads((two / "metrics.json").read_text())
    for name, value in found.items():
        assert float(value) == pytest.approx(told[name], abs=6e-5)
    task, *_ = loading.load(best)
    assert not [p for p in task.parameters() if isinstance(p, DTensor)]


@pytest.mark.slow
def test_a_killed_run_of_shards_goes_on_bit_for_bit(tmp_path: Path) -> None:
    words = [*TINY, "data.batch_size=17", "test=false", "trainer.max_epochs=3", *TWO]
    assert agents.command(tmp_path, *words).returncode == 0
    done = agents.command(tmp_path, *words, FAULT, "+callbacks.fault.kind=SIGTERM")
    assert done.returncode == 143, done.stderr
    whole, part = sorted((tmp_path / "logs" / "synthetic").iterdir())
    assert checkpoint(part)["global_step"] == 4
    resumed = agents.command(tmp_path, f"resume={part}", "callbacks.fault=null")
    assert resumed.returncode == 0, resumed.stderr
    assert_same(weights(part), weights(whole))


@pytest.mark.slow
@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2)])
def test_shards_go_on_by_another_number_of_ranks(before: int, now: int, tmp_path: Path) -> None:
    words = [*TINY, *PLAIN, "optimizer=sgd", "test=false"]
    train(composed(words), tmp_path / "whole")
    fault = [FAULT, "+callbacks.fault.kind=SIGTERM", "+callbacks.fault.rank=0"]
    ranks = ["trainer=fsdp", f"trainer.devices={before}"]
    done = agents.command(tmp_path, *words, *fault, *ranks)
    assert done.returncode == 143, done.stderr
    run = the_run(tmp_path)
    done = agents.command(
        tmp_path, f"resume={run}", "callbacks.fault=null", f"trainer.devices={now}"
    )
    assert done.returncode == 0, done.stderr
    assert "not bit for bit" in done.stdout
    torch.testing.assert_close(weights(run), weights(tmp_path / "whole"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["callbacks=ema"], "callbacks.ema .* trainer=fsdp: type callbacks.ema=null"),
        (["trainer.compile=true"], "trainer.compile=true .* trainer=fsdp"),
        (["find_lr=true"], "find_lr=true .* trainer=fsdp"),
        (["task=contrastive", "model/head=projection"], "task=contrastive .*type trainer=ddp"),
        (["ensemble=2"], "ensemble=2.*fsdp"),
    ],
)
def test_what_needs_whole_weights_is_refused(
    words: list[str], message: str, tiny: Compose, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        train(tiny(*TWO, *words), tmp_path / "run")


def test_a_search_of_shards_is_refused(command, tmp_path: Path) -> None:
    code, _, err = command(main, "-m", "trainer=fsdp", "seed=0,1")
    assert code == 1
    assert err.startswith("seqfuse: trainer=fsdp starts the command again")
    assert err.count("\n") == 1


def test_half_precision_of_shards_needs_no_scale(
    tiny: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    config = recipes.resolve(tiny(*TWO, "trainer.accelerator=gpu"))
    assert precision(config["trainer"]) == "bf16-mixed"
    trainer: Any = {**config["trainer"], "precision": "16-mixed"}
    with pytest.raises(InputError, match="16-mixed .*type precision=bf16-mixed"):
        check_trainer(config, trainer)


def test_the_optimizer_of_shards_is_not_fused(tiny: Compose, tmp_path: Path) -> None:
    for words, fused in ((("trainer=fsdp",), False), ((), True)):
        config = recipes.resolve(runs.prepare(tiny(*words, "data.channels=3"), tmp_path))
        config["data"]["class_counts"] = [1, 1]
        task = build.build_task(config)
        assert task.optimizer(task.net.parameters()).defaults["fused"] is fused

"""Ensembles: trained member by member, resumed, joined, and used as one net."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.config import build, ensemble, loading, recipes
from seqfuse.config.cli import offer_recipe
from seqfuse.evaluate import evaluate
from seqfuse.nn.bank.bank import Bank
from seqfuse.resume import state
from seqfuse.runtime import runner
from seqfuse.runtime.errors import Finished, InputError, Interrupted
from seqfuse.tasks.base import Task
from seqfuse.train import train
from tests import shipped
from tests.conftest import DRAWN, TINY, composed
from tests.trained import Killed, assert_same, weights

SMALL = (
    *("model/bank=convolutions", "model.bank.num_features=500", "model.bank.num_groups=4"),
    *("data.scaling=channel", "data.num_steps=20", "trainer.max_epochs=3"),
)
# The mean of members is that of predictions that nothing has calibrated.
PLAIN = (*SMALL, "task.calibrator=null")
BOTH = (*TINY, *PLAIN, "ensemble=2")
X = np.random.default_rng(1).normal(size=(9, 26, 3)).astype(np.float32)


def ckpt(run: Path) -> str:
    return str(run / "checkpoints" / "best.ckpt")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        fits, fit = [], Bank.fit
        patch.setattr(Bank, "fit", lambda *args: fits.append(1) or fit(*args))
        train(composed([*DRAWN, *PLAIN, "ensemble=2"]), folder)
        assert len(fits) == 1, "one bank for all"
    return folder


@pytest.mark.long
def test_members_are_the_runs_of_their_seeds(run: Path, tmp_path: Path) -> None:
    words = ["seed=1", "data.module.splits.seed=0"]  # of the folds
    train(composed([*TINY, *PLAIN, *words]), tmp_path)
    assert_same(weights(run / "members" / "1", "best"), weights(tmp_path, "best"))
    models = [seqfuse.load(ckpt(path)) for path in (run / "members" / "0", tmp_path, run)]
    first, second, both = (model.predict_proba(X) for model in models)
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-6)
    tasks = [loading.load(ckpt(path))[0] for path in (run / "members" / "0", tmp_path, run)]
    x, mask = torch.from_numpy(X), torch.ones(9, 26, dtype=torch.bool)
    one, two, joint = (task.net(x, mask).prediction for task in tasks)
    wanted = tasks[2].net.average.join(torch.stack([one, two]))
    torch.testing.assert_close(joint, wanted, atol=0, rtol=0)


@pytest.mark.long
def test_members_and_all_of_them_are_calibrated_by_one_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, fit = [], Bank.fit
    monkeypatch.setattr(Bank, "fit", lambda *args: fits.append(1) or fit(*args))
    both = tmp_path / "both"
    train(composed([*TINY, *SMALL, "ensemble=2"]), both)
    assert len(fits) == 1
    train(composed([*TINY, *SMALL, "seed=1", "data.module.splits.seed=0"]), tmp_path / "one")
    assert_same(weights(both / "members" / "1", "best"), weights(tmp_path / "one", "best"))
    joint = weights(both, "best")
    assert joint["calibrator.num_items"] > 0
    assert joint["net.bank.net_temperature"] == 1
    assert weights(tmp_path / "one", "best")["net.bank.net_temperature"] >= 1


@pytest.mark.long
def test_a_run_says_what_its_members_and_all_of_them_reached(run: Path) -> None:
    names = {"config.yaml", "metrics.json", "members", "members.csv", "checkpoints", "figures"}
    assert names <= {path.name for path in run.iterdir()}
    table = pd.read_csv(run / "members.csv", index_col="member")
    assert list(table.index) == ["seed 0", "seed 1", "mean", "std", "ensemble"]
    known = json.loads((run / "metrics.json").read_text())
    for i in range(2):
        member = json.loads((run / "members" / str(i) / "metrics.json").read_text())
        assert table.loc[f"seed {i}", "test/loss"] == member["test/loss"]
    assert known["members"] == 2
    assert known["fit_seconds"] == pytest.approx(
        table.loc[["seed 0", "seed 1"], "fit_seconds"].sum()
    )
    assert table.loc["ensemble", "test/loss"] == known["test/loss"] < table.loc["mean", "test/loss"]
    assert known["test/disagreement"] > 0
    assert known["best/val/loss"] == known["val/loss"]
    assert (run / "figures" / "test_disagreement.png").is_file()


@pytest.mark.long
def test_it_is_evaluated_as_it_was_tested(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = json.loads((run / "metrics.json").read_text())
    monkeypatch.setattr("sys.argv", ["seqfuse-evaluate", f"ckpt={ckpt(run)}"])
    offer_recipe()
    quiet = ("trainer=cpu", "trainer.enable_progress_bar=false")
    for split in ("val", "test"):
        recipe = composed([f"ckpt={ckpt(run)}", f"split={split}", *quiet], "evaluate")
        found = evaluate(recipe, tmp_path / split)
        assert f"{split}/disagreement" in found
        assert found == {name: pytest.approx(known[name]) for name in found}


@pytest.mark.long
def test_every_surface_says_how_far_members_are_apart(run: Path, tmp_path: Path) -> None:
    folder = shipped.export(run, tmp_path / "shipped", "int8=true", "bound=1")
    loaded, shipped_model = seqfuse.load(ckpt(run)), runner.load(folder)
    members = [seqfuse.load(ckpt(run / "members" / str(i))) for i in range(2)]
    p = np.stack([model.predict_proba(X).astype(np.float64) for model in members])
    entropy = [-(q * np.log(q)).sum(axis=-1) for q in (p.mean(axis=0), p)]
    wanted = entropy[0] - entropy[1].mean(axis=0)
    np.testing.assert_allclose(loaded.disagreement(X), wanted, atol=1e-6)
    np.testing.assert_allclose(shipped_model.disagreement(X), wanted, atol=1e-5)
    np.savez(tmp_path / "x.npz", x=X)
    for model in (loaded, shipped_model):
        table = model.table(tmp_path / "x.npz")
        assert list(table)[-1] == "disagreement"
        np.testing.assert_allclose(table["disagreement"], wanted, atol=1e-5)
    small = runner.load(folder, int8=True)
    assert small.disagreement(X).shape == (9,)
    with pytest.raises(InputError, match="ensemble=5"):
        members[0].disagreement(X)
    assert "disagreement" not in members[0].table(tmp_path / "x.npz")


def killed(patch: pytest.MonkeyPatch, seed: int, error: type[Exception] | Exception) -> None:
    """Ends the member of a seed in its second epoch."""
    original = Task.training_step

    def step(self, batch, batch_idx):
        if self.record.config["seed"] == seed and self.trainer.current_epoch == 2:
            raise error
        return original(self, batch, batch_idx)

    patch.setattr(Task, "training_step", step)


@pytest.mark.long
def test_it_goes_on_where_it_was_stopped(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    folder = logs / "name" / "time"
    killed(monkeypatch, 1, Killed)
    with pytest.raises(Killed):
        train(composed(BOTH), folder)
    monkeypatch.undo()
    assert state._latest(logs) == folder, "and not its member"
    steps: list[int] = []
    original = Task.training_step

    def step(self, batch, batch_idx):
        steps.append(self.record.config["seed"])
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", step)
    resumed = composed([*BOTH, f"resume={folder}/checkpoints/last.ckpt"])
    train(resumed, folder)
    assert set(steps) == {1}
    assert len(steps) < 8, "the last epoch alone"
    assert_same(weights(folder, "best"), weights(run, "best"))
    with pytest.raises(Finished, match=r"name.time is finished.*max_epochs=6"):
        train(resumed, folder)
    more = composed([*BOTH, "ensemble=3", f"resume={folder}/checkpoints/last.ckpt"])
    steps.clear()
    train(more, folder)
    assert set(steps) == {2}
    with pytest.raises(InputError, match="3 members.*ensemble=3"):
        train(resumed, folder)


@pytest.mark.long
def test_whoever_stops_it_is_told_to_go_on_with_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    killed(monkeypatch, 0, Interrupted(2, "logs/members/0"))
    with pytest.raises(Interrupted, match=r"resume=logs$"):
        train(composed(BOTH), tmp_path / "logs")


@pytest.mark.long
def test_a_run_of_one_net_does_not_become_an_ensemble(tmp_path: Path) -> None:
    train(composed([*TINY, "trainer.max_epochs=1"]), tmp_path)
    words = ["trainer.max_epochs=2", f"resume={tmp_path}/checkpoints/last.ckpt"]
    with pytest.raises(InputError, match="one net.*ensemble=2"):
        train(composed([*TINY, *words, "ensemble=2"]), tmp_path)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["ensemble=0"], "ensemble=0"),
        (["ensemble=-1"], "ensemble=-1"),
        (["trainer.max_steps=0"], "trainer.max_steps=0"),
        (["find_lr=true"], "find_lr=true.*ensemble=2"),
        (["trainer=ddp"], "ensemble=2.*trainer=ddp"),
        (["callbacks=none"], "ensemble=2.*callbacks.checkpoint"),
        (["seed=null"], "seed=None"),
        (["task=contrastive"], "ensemble=2.*NtXent"),
    ],
)
def test_what_it_cannot_do_is_refused_before_training(
    words: list[str], named: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=named):
        train(composed([*TINY, "ensemble=2", *words]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_other_data_are_noticed(run: Path) -> None:
    data = build.build_data(recipes.resolve(composed([*TINY, *SMALL, "data.num_samples=90"])))
    data.setup("fit")
    with pytest.raises(InputError, match="data changed"):
        ensemble._trained(run / "members" / "0" / "checkpoints" / "best.ckpt", data)


@pytest.mark.long
def test_a_student_learns_from_an_ensemble(run: Path, tmp_path: Path) -> None:
    metrics = train(composed([*TINY, *SMALL, "task=distill", f"teacher={ckpt(run)}"]), tmp_path)
    assert np.isfinite(metrics["train/loss"])


@pytest.mark.long
def test_fine_tuning_for_int8_is_for_one_net(run: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        shipped.export(run, tmp_path / "shipped", "int8=finetune")
    assert "int8=finetune trains one net" in capsys.readouterr().err

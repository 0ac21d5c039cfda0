"""The anomaly task: what its scores and its threshold may see."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from seqfuse.data.monitored import Monitored
from seqfuse.nn.shapes import Batch
from seqfuse.predict import main
from seqfuse.runtime.pipelines.scaling import RecordingPipeline
from seqfuse.runtime.read.monitored import Recording
from seqfuse.runtime.scores.likelihood import Likelihood
from seqfuse.runtime.scores.subspace import Subspace
from seqfuse.tasks.calibration import Errors, Threshold
from seqfuse.tasks.measures import Scorer
from seqfuse.train import train
from tests import tables
from tests.conftest import QUIET, composed
from tests.tables import AIMS, PUMPS

N, TRAIN, H = 300, 100, 20


def recording(values: np.ndarray, name: str = "a") -> Recording:
    nowhere = np.zeros(len(values), dtype=bool)
    return Recording(name, np.arange(len(values)), values, ["value"], nowhere, TRAIN)


def scores(values: np.ndarray, scorer: Likelihood) -> np.ndarray:
    """Of windows whose prediction is 0 everywhere; two recordings, one after the other."""
    errors, both = Errors(), np.concatenate([values, values])
    starts = torch.tensor([*range(N - H + 1), *range(N, 2 * N - H + 1)])
    y = torch.from_numpy(np.stack([both[i : i + H] for i in starts.tolist()]))
    batch = Batch(y, torch.ones(y.shape[:2], dtype=torch.bool), y, starts)
    errors.add(torch.zeros(*y.shape, 1), batch)
    found = errors.score([recording(values), recording(values, "b")], scorer)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)
    return found[0].scores


@pytest.mark.parametrize("whole", [False, True])
def test_what_comes_behind_training_does_not_change_what_is_normal(whole: bool) -> None:
    values = np.random.default_rng(0).normal(size=(N, 1)).astype(np.float32)
    scorer = Likelihood(recent=1, history=0, whole=whole)
    before = scores(values, scorer)
    values[TRAIN + 2 : TRAIN + 10] += 9
    after = scores(values, scorer)
    np.testing.assert_array_equal(after[:TRAIN], before[:TRAIN])
    np.testing.assert_array_equal(after[TRAIN + 10 + H :], before[TRAIN + 10 + H :])
    assert after[TRAIN + 2 : TRAIN + 10].min() > 0.5


def test_a_level_counts_as_much_as_an_error() -> None:
    values = np.random.default_rng(0).normal(size=(N, 1)).astype(np.float32)
    values[200:] += 30
    one, errors = recording(values), np.random.default_rng(1).random(N)
    known = one.values, one.num_train, errors
    alone = Likelihood(recent=1, history=0).of_values(*known)
    both = Likelihood(recent=1, history=0, level=True).of_values(*known)
    assert alone[200:].mean() < 0.3
    np.testing.assert_allclose(both[200:], (alone[200:] + 1) / 2, atol=0.08)


@pytest.mark.parametrize("scorer", [Likelihood(recent=4, history=0), Subspace()])
def test_the_threshold_is_that_of_normal_rows_that_nothing_has_seen(scorer: Scorer) -> None:
    """Of validation, of 200 rows here: neither of the rows before, nor of the test part."""
    calm = np.random.default_rng(0).normal(size=(1500, 1)).astype(np.float32)
    found = {}
    for name, rows in {"none": [], "tested": [1000, 1499], "held out": [850, 950]}.items():
        values = calm.copy()
        values[slice(*rows) if rows else []] *= 3
        found[name] = threshold_of(values, scorer)
    assert found["tested"] == found["none"] < found["held out"] < 1
    labelled = np.arange(1500) % 2 > 0
    assert threshold_of(calm, scorer, labelled) == found["none"]


def threshold_of(values: np.ndarray, scorer: Scorer, labels: np.ndarray | None = None) -> float:
    """By the errors of a net that says 0 everywhere, of all windows."""
    one = recording(values)._replace(num_train=1000)
    one = one if labels is None else one._replace(labels=labels)
    splits = Monitored(lambda: [one], RecordingPipeline(), look_back=H, horizon=H, reconstruct=True)
    splits.fit()
    threshold = Threshold(scorer, 0.99)
    windows = splits.tensors("test")
    batch = windows.__getitems__(range(len(windows)))
    threshold.errors.add(torch.zeros(*batch.y.shape, 1), batch)
    threshold.fit(splits)
    return float(threshold.value)


@pytest.mark.long
@pytest.mark.parametrize("aim", ["reconstruct", "subspace"])
def test_half_precision_is_scored(aim: str, tmp_path: Path) -> None:
    tables.pumps(tmp_path / "pumps.csv")
    few = ("trainer.max_epochs=1", "precision=bf16-mixed", "callbacks.figures=null")
    words = [*QUIET, *PUMPS, *AIMS[aim], *few, f"data.file={tmp_path}/pumps.csv"]
    assert 0 < train(composed(words), tmp_path / "run")["test/threshold"] < 1


@pytest.mark.long
def test_a_threshold_that_no_validation_set_is_named(tmp_path: Path, command: Callable) -> None:
    tables.pumps(tmp_path / "pumps.csv")
    never = ("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=5", "callbacks.figures=null")
    words = [*QUIET, *PUMPS, *AIMS["forecast"], *never, f"data.file={tmp_path}/pumps.csv"]
    metrics = train(composed(words), tmp_path / "run")
    assert 0 < metrics["test/threshold"] < 1
    ckpt = f"ckpt={tmp_path}/run/checkpoints/last.ckpt"
    code, _, err = command(main, ckpt, "split=test", "output=p.csv", *QUIET)
    assert code
    assert "no validation has set the threshold" in err

"""scikit-learn's own checks of an estimator, whose X is (series, steps)."""

from pathlib import Path
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import seqfuse
from tests import composing

SHORT: dict[str, Any] = {
    "model": "base",
    "max_steps": 10,
    "learning_rate": 0.01,
    "overrides": ["trainer.accelerator=cpu", "callbacks.figures=null"],
}
ENOUGH = {"check_classifiers_train": 25, "check_regressors_train": 100}
"""Steps until a net predicts what it was trained on, which these checks look at."""
EXPECTED = {
    "Classifier": {
        "check_sample_weight_equivalence_on_dense_data": "batches of repeated items are others",
    },
    "Regressor": {
        "check_sample_weight_equivalence_on_dense_data": "batches of repeated items are others",
        "check_methods_subset_invariance": "sums of float32 are of another order: 1e-6, not 1e-7",
    },
}
"""Checks that cannot hold of nets, and why."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    composing.remember(monkeypatch)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # of type_of_target
@parametrize_with_checks(
    [seqfuse.Classifier(**SHORT), seqfuse.Regressor(**SHORT)],
    expected_failed_checks=lambda estimator: EXPECTED[type(estimator).__name__],
)
def test_check(estimator: Any, check: Any) -> None:
    steps = ENOUGH.get(check.func.__name__, SHORT["max_steps"])
    check(estimator.set_params(max_steps=steps))

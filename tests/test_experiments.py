"""Numbers as promised; `tests/golden` trains, predicts and ships every experiment for two steps."""

import statistics
from pathlib import Path

import pytest

from seqfuse.train import train
from tests.conftest import QUIET, composed


@pytest.mark.slow
def test_japanese_vowels(tmp_path: Path) -> None:
    results = [
        train(
            composed(["experiment=japanese_vowels", f"seed={seed}", *QUIET]), tmp_path / str(seed)
        )
        for seed in range(5)
    ]
    assert statistics.mean(result["test/accuracy"] for result in results) >= 0.98


@pytest.mark.slow
def test_synthetic_with_the_reference_net(tmp_path: Path) -> None:
    words = ["data=synthetic", "model=base", "trainer.max_epochs=10", *QUIET]
    assert train(composed(words), tmp_path)["test/accuracy"] >= 0.95

"""What the tables share: an empty folder to stand in, and small runs made once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_inputs import catalogue
from tests.bad_inputs.catalogue import Row

Judge = Callable[..., str]
BRIEF = (
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.num_threads=1",
    "trainer.limit_train_batches=1",
    "logger=none",
    "callbacks.figures=null",
)
"""Of a run that a wrong input may let begin."""


@pytest.fixture
def judge(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Judge:
    """Runs a command on a row in an empty folder; returns what is wrong with the answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQFUSE_DATA", raising=False)

    def call(row: Row, main: Callable[[], object], *before: str, name: str = "seqfuse") -> str:
        found = catalogue.answer(row, main, capfd, *before)
        wrong = catalogue.faults(row, found, name)
        said = f"{found.err}{found.out}"
        return "\n".join(["", *wrong, f"it says: {said}"]) if wrong else ""

    return call

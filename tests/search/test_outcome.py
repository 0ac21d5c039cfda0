"""How a job ended, told apart by its error."""

import json
from pathlib import Path

import pytest
import torch

from seqfuse.config.mistakes import explain
from seqfuse.runtime.errors import Diverged, InputError, Pruned
from seqfuse.search import outcome
from tests.conftest import full_disk


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("data.x"), "failed"),
        (ValueError("a bug"), "failed"),
        (Diverged("the loss is nan"), "diverged"),
        (Pruned("behind"), "pruned"),
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("cuDNN error"), "failed"),
    ],
)
def test_errors_have_a_status(error: Exception, status: str) -> None:
    assert outcome.of_error(error, str(error)).status == status
    assert status in outcome.STATUSES


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InputError("data.x"), "data.x"),
        (Pruned("behind"), "behind"),
        (AssertionError(), "AssertionError"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError("a bug"), "ValueError: a bug"),
    ],
)
def test_a_reason_says_what_kind_of_error_it_was(error: Exception, reason: str) -> None:
    assert explain(error) == reason


def test_torch_running_out_of_memory_on_a_cpu_is_seen() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert outcome.of_error(caught.value, "").status == "out of memory"


def test_the_outcome_lies_in_the_jobs_folder(tmp_path: Path) -> None:
    outcome.Outcome("failed", {"best/val/loss": 0.5}, "why").write(tmp_path / "0", job=0)
    known = json.loads((tmp_path / "0" / outcome.FILE).read_text())
    assert known == {
        "job": 0,
        "status": "failed",
        "metrics": {"best/val/loss": 0.5},
        "reason": "why",
    }


def test_only_an_unexpected_error_leaves_its_trace(tmp_path: Path) -> None:
    outcome.keep_trace(InputError("a mistake"), tmp_path)
    assert not (tmp_path / "error.txt").exists()
    outcome.keep_trace(ValueError("a bug"), tmp_path)
    assert "ValueError: a bug" in (tmp_path / "error.txt").read_text()


def test_a_full_disk_leaves_no_half_of_a_trace(tmp_path: Path) -> None:
    with full_disk(3), pytest.raises(OSError, match="File too large"):
        outcome.keep_trace(ValueError("a bug"), tmp_path / "0")
    assert not list((tmp_path / "0").iterdir())
    outcome.keep_trace(ValueError("a bug"), tmp_path / "0")
    assert (tmp_path / "0/error.txt").read_text() == "ValueError: a bug\n"

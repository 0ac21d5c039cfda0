"""What is on the disk while a checkpoint is written."""

import os
from pathlib import Path

import pytest
import torch

from seqfuse.config.checkpoint import WholeFiles
from seqfuse.runtime.errors import InputError


def saved(path: Path) -> int:
    return torch.load(path, weights_only=True)["step"]


@pytest.fixture
def last(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoints" / "last.ckpt"


def test_the_one_before_is_kept(last: Path) -> None:
    disk = WholeFiles()
    for step in (1, 2, 3):
        disk.save_checkpoint({"step": step}, last)
        disk.save_checkpoint({"step": step}, last.with_name("best.ckpt"))
    assert saved(last) == saved(last.with_name("best.ckpt")) == 3
    assert saved(last.with_name("previous.ckpt")) == 2
    assert len(list(last.parent.iterdir())) == 3


def test_a_broken_last_checkpoint_never_takes_the_place_of_a_whole_one(last: Path) -> None:
    disk = WholeFiles()
    for step in (1, 2):
        disk.save_checkpoint({"step": step}, last)
    last.write_bytes(b"broken")
    disk = WholeFiles()  # of the resumed run
    disk.load_checkpoint(last.with_name("previous.ckpt"), weights_only=True)
    disk.save_checkpoint({"step": 3}, last)
    assert (saved(last), saved(last.with_name("previous.ckpt"))) == (3, 1)


def test_a_run_that_begins_anew_keeps_nothing_of_the_one_before(last: Path) -> None:
    disk = WholeFiles()
    for step in (1, 2):
        disk.save_checkpoint({"step": step}, last)
    WholeFiles().save_checkpoint({"step": 1}, last)
    assert saved(last) == 1
    assert not last.with_name("previous.ckpt").exists()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_is_one_line(last: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    disk = WholeFiles()
    disk.save_checkpoint({"step": 1}, last)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(InputError) as error:
        disk.save_checkpoint({"step": 2}, last)
    assert str(error.value) == (
        f"cannot write {last} (No space left on device): what was saved before is still there; "
        f"make room, then type seqfuse-train resume={last.parents[1]}"
    )
    assert saved(last) == 1

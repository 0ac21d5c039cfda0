"""The same seed gives the same weights, and what a GPU needs for it is set in time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqfuse.config import build
from seqfuse.train import train
from tests.conftest import TINY, Compose


def test_the_same_weights_with_any_number_of_workers(tiny: Compose, tmp_path: Path) -> None:
    states = []
    for workers in (0, 1, 2):
        run = tmp_path / str(workers)
        recipe = tiny(f"data.num_workers={workers}", "callbacks.figures=null", "test=false")
        assert recipe.model.lstm.dropout > 0
        train(recipe, run)
        states.append(torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
    for state in states[1:]:
        torch.testing.assert_close(states[0], state, atol=0, rtol=0)


WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch sees", os.environ.get("CUBLAS_WORKSPACE_CONFIG"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
sys.argv = ["seqfuse-train", *{words!r}]
from seqfuse.train import main
main()
"""


@pytest.mark.parametrize(
    ("word", "own", "seen"),
    [
        ("trainer.deterministic=true", None, ":4096:8"),
        ("trainer.deterministic=true", ":16:8", ":16:8"),
        ("trainer.deterministic=false", None, "None"),
    ],
)
def test_cublas_is_told_before_torch_is_imported(
    tmp_path: Path, word: str, own: str | None, seen: str
) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    env = {key: value for key, value in os.environ.items() if key != name}
    done = subprocess.run(
        [sys.executable, "-c", WATCH.format(words=[*TINY, word])],
        cwd=tmp_path,
        env=env | ({name: own} if own else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == f"torch sees {seen}\n", done.stderr


def test_lightning_does_not_write_over_the_user_s_own(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    recipe = tiny("trainer.deterministic=true")
    recipe.paths.run = str(tmp_path)
    try:
        build.build_trainer(build.resolve(recipe))
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    finally:
        torch.use_deterministic_algorithms(False)

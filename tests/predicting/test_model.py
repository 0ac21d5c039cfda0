"""What a checkpoint predicts with: without what trained it, and yet the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from seqfuse.config import loading
from seqfuse.predicting.engine import place
from seqfuse.predicting.model import MODELS
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Task
from seqfuse.train import train
from tests.conftest import composed

TRAINING = ("lightning", "torchmetrics", "tensorboard", "matplotlib", "pandas", "sklearn", "scipy")
LOADED = f"""
import sys, seqfuse

model = seqfuse.load(sys.argv[1])
print(len(model.predict(sys.argv[2])))
seqfuse.build("model=wide", channels=3, num_classes=2)
print(sorted(set({TRAINING}) & set(sys.modules)))
"""
COMMAND = f"""
import sys
from seqfuse.{{0}} import main

main()
print(sorted(set({TRAINING}) & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with series, and a run that was trained on them."""
    folder = tmp_path_factory.mktemp("run")
    draw = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = draw.normal(size=(40, 12, 2)).astype(np.float32) + y[:, None, None]
    np.savez(folder / "mine.npz", x=x, y=y)
    np.savez(folder / "new.npz", x=x[:5])
    words = ["data=arrays", f"data.train={folder / 'mine.npz'}", "trainer.max_epochs=2"]
    plain = ["trainer.accelerator=cpu", "logger=none", "callbacks.figures=null"]
    train(composed([*words, *plain]), folder / "run")
    return folder


def python(code: str, folder: Path, *words: str) -> str:
    """The last line that a process of its own prints."""
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.long
def test_a_checkpoint_predicts_without_what_trained_it(run: Path) -> None:
    assert python(LOADED, run, "run/checkpoints/best.ckpt", "new.npz") == "[]"


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "words"),
    [("predict", ("output=out.csv",)), ("explain", ("output=why", "figures=0"))],
)
def test_commands_predict_without_it(run: Path, command: str, words: tuple[str, ...]) -> None:
    given = ("ckpt=run/checkpoints/best.ckpt", "input=new.npz", *words)
    assert python(COMMAND.replace("{0}", command), run, *given) == "[]"


@pytest.mark.long
def test_a_checkpoint_is_measured_without_a_word_of_libraries(run: Path) -> None:
    code = "from seqfuse.evaluate import main; main()"
    words = ("ckpt=run/checkpoints/best.ckpt", "trainer.enable_progress_bar=false")
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=run, capture_output=True, text=True, check=True
    )
    assert not done.stderr


@pytest.mark.long
def test_it_is_the_task_without_training(run: Path) -> None:
    path = run / "run/checkpoints/best.ckpt"
    task, data, _ = loading.load(path)
    model, splits = loading.load_model(path)
    assert not isinstance(model, Task)
    assert isinstance(task, type(model))
    assert model.metadata() == task.metadata()
    assert splits.metadata() == data.splits.metadata()
    weights = task.state_dict()
    assert weights.keys() == model.state_dict().keys()
    torch.testing.assert_close(weights, model.state_dict(), atol=0, rtol=0)


def test_tasks_are_the_models_that_predict_for_them() -> None:
    from hydra.utils import get_object

    for target, model in MODELS.items():
        assert issubclass(get_object(target), model)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "32-true", "32"])
def test_a_precision_is_that_of_training(precision: str) -> None:
    device, context = place({"accelerator": "cpu", "devices": 1}, precision)
    assert device == torch.device("cpu")
    with context():
        assert torch.is_autocast_enabled("cpu") == ("mixed" in precision)


@pytest.mark.parametrize(
    ("words", "named"),
    [({"precision": "8"}, "trainer.precision=8"), ({"accelerator": "mps"}, "accelerator=mps")],
)
def test_no_such_precision_or_device(words: dict[str, str], named: str) -> None:
    given = {"accelerator": "cpu", "devices": 1, "precision": "32-true", **words}
    if torch.backends.mps.is_available() and given["accelerator"] == "mps":
        return
    with pytest.raises(InputError, match=named):
        place(given, given["precision"])

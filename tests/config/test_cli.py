"""The commands as a user types them, and one clear line for each mistake."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from seqfuse.config import cli, names
from seqfuse.runtime.errors import InputError
from seqfuse.train import main
from tests.conftest import TINY, assert_refused
from tests.trained import run_python

Command = Callable[..., tuple[int, str, str]]
SMALL = [word for word in TINY if "accelerator" not in word]


def arrays(path: Path, **changes: np.ndarray) -> Path:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 10, 3)).astype(np.float32)
    y = np.array(["up", "down", "flat"] * 20)
    np.savez(path, **{"x": x, "y": y, **changes})
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lrr=1"], "optimizer.lrr: no such key, did you mean optimizer.lr?"),
        (["model.lstm.hiden_size=8"], "did you mean model.lstm.hidden_size?"),
        (["lr=1"], "lr: no such key, did you mean optimizer.lr?"),
        (["epochs=1"], "epochs: no such key, did you mean trainer.max_epochs?"),
        (["--epochs=1"], "--epochs: no such flag: values are typed as key=value"),
        (["data=mine.npz"], "data=arrays data.train=mine.npz"),
        (["data=my/table.csv"], "data=csv data.file=my/table.csv"),
        (["table.csv.gz"], "data=csv data.file=table.csv.gz"),
        (["modle=base"], "modle: no such key, did you mean model?"),
        (
            ["model=bse"],
            "model=bse: no such option, did you mean base? "
            "(options: autoencoder, bank, base, imputation, plain_segments, segments, series, "
            "steps, tags, text, video, video_autoencoder, wide)",
        ),
        (
            ["data.name=GunPoint", "model=segments"],
            "it needs data.horizon, data.look_back, data.num_known,",
        ),
        (["data.name=GunPoint", "model=segments"], "model=base or model="),
        (
            ["data=csv", "data.file=a.csv", "model=wide"],
            "type model=autoencoder or model=plain_segments or model=segments",
        ),
        (["model/attention=multi"], "did you mean multihead?"),
        (["experiment=japanese"], "did you mean japanese_vowels?"),
        (["optimizer.lr=abc"], "optimizer.lr=abc: expected a number such as 0.003"),
        (["model=wide", "model.cnn.residual=1"], "expected true or false such as False"),
        (["model.cnn.channels=16"], "model.cnn.channels=16: expected a list such as [16, 32, 32]"),
        (["seed=x"], "seed=x: expected a whole number such as 0"),
        (["seed=-1"], "seed=-1"),
        (["model.lstm.dropout=1.5"], "model.lstm: dropout=1.5 must be at least 0 and below 1"),
        (["data.num_folds=5", "data.fold=7"], "data.fold=7 must be from 0 to 4"),
        (
            ["data.num_folds=0", "scheduler=plateau"],
            "type task.monitor=train/loss scheduler.monitor=train/loss, as",
        ),
        (["data.channels=3"], "data.channels=3, but the data has 12: read as (series, 26 steps"),
        (["precision=16-mixed", "trainer=cpu"], "precision=16-mixed needs a GPU"),
        (["resume=latest"], "resume=latest: no run in logs has a checkpoint"),
        (["trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch=0 must be"),
        (["runs/best.ckpt"], "cannot read 'runs/best.ckpt': an override is key=value"),
        (["data.train=a=b.csv"], "quote what has spaces or ="),
        (["model.cnn.channels=[16,", "32]"], "cannot read 'model.cnn.channels=[16,'"),
        (["resume=pyproject.toml"], "resume=pyproject.toml: no run folder"),
        (["trainer=gpu"], "torch finds no GPU here: type trainer=cpu"),
        (["trainer.num_threads=0"], "trainer.num_threads=0 must be null or at least 1"),
        (["data=csv", "data.horizn=9"], "data.horizn: no such key, did you mean data.horizon?"),
        (["data=ett", "model.normalization.norm=lst"], "norm='lst' must be one of"),
        (["data=ett", "task.quantiles=[0.1,0.9]"], "must have 0.5 in the middle"),
        (["data=nab", "paths.data=."], "there is no folder"),
        (["task.monitor=val/acuracy", "task.mode=max"], "type task.monitor=val/accuracy"),
        (["scheduler=plateau", "scheduler.monitor=val/macro_fl"], "=val/macro_f1"),
        (["task.monitor=val/foo"], "task.monitor=val/foo: type task.monitor=val/loss"),
        (["task.monitor=train/loss"], "task.monitor=train/loss: type task.monitor=val/loss"),
        (["task.monitor=val/accuracy"], "val/accuracy is best where it is highest: type task.mode"),
        (["task.mode=max"], "val/loss is best where it is lowest: type task.mode=min"),
        (["trainer.limit_val_batches=0"], "as there is no validation"),
        (["model.in_channels=9"], "model.in_channels follows data.channels: leave it out"),
        (["model.cnn=none"], "choose a part with model/cnn=none"),
        (["trainer.max_epochs="], "trainer.max_epochs"),
        (["model.lstm=[1"], "[1"),
    ],
)
def test_a_mistake_gets_one_line(command: Command, words: list[str], message: str) -> None:
    code, out, err = command(main, "trainer.enable_progress_bar=false", *words)
    assert code == 1
    assert message in err
    assert err.startswith("seqfuse: ")
    assert err.count("\n") == 1
    assert "test/accuracy" not in out
    assert not list(Path("logs").glob("*/*/*")), "a run that never began leaves no folder"


@pytest.mark.long
def test_arrays_train_in_both_layouts(command: Command, tmp_path: Path) -> None:
    data = dict(np.load(arrays(tmp_path / "btc.npz")))
    arrays(tmp_path / "bct.npz", x=data["x"].transpose(0, 2, 1), y=data["y"])
    lines = []
    for layout in ("btc", "bct"):
        words = ["data=arrays", f"data.train={layout}.npz", f"data.layout={layout}", *SMALL[4:]]
        code, out, err = command(main, *words, "model=base", "data.batch_size=16")
        assert code == 0, err
        lines.append([line for line in out.splitlines() if line.startswith("test/")])
    assert lines[0] == lines[1]


def test_unwritable_log_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    assert_refused(command(main, *SMALL), "set paths.logs")


@pytest.mark.slow
def test_multirun_sweeps_data_sets(command: Command) -> None:
    words = ["-m", "data.name=GunPoint,ItalyPowerDemand", "model=base", "debug=fast"]
    code, out, err = command(main, *words, "trainer.enable_progress_bar=false")
    assert code == 0, err
    assert len(re.findall("^test/accuracy", out, re.MULTILINE)) == 2
    runs = sorted(path.parent.name for path in Path("logs/sweeps").glob("*/*/metrics.json"))
    assert runs == ["0", "1"]


def test_options_may_look_like_numbers(command: Command) -> None:
    code, out, err = command(main, "--cfg", "job", "precision=32")
    assert code == 0, err
    assert "precision: 32-true" in out


@pytest.mark.long
def test_resume_from_the_command_line(command: Command) -> None:
    code, _, err = command(main, *SMALL)
    assert code == 0, err
    code, out, err = command(main, "resume=latest", "trainer.max_epochs=4")
    assert code == 0, err
    [run] = Path("logs/synthetic").iterdir()
    assert str(run) in out
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["epoch"] == 3
    [board] = {path.parent for path in run.rglob("events*")}  # named by what was overridden
    assert len(list(board.glob("events*"))) > 1
    assert board.name.startswith(names.label(SMALL) or "")
    assert_refused(
        command(main, f"resume={run}", "trainer.max_epochs=5", "trainer.log_every_n_steps=x"),
        "expected a whole number",
    )


@pytest.mark.long
def test_a_run_repeats_from_its_folder(command: Command) -> None:
    code, first, err = command(main, *SMALL)
    assert code == 0, err
    [run] = Path("logs/synthetic").iterdir()
    code, second, err = command(main, "--config-dir", str(run), "--config-name", "config")
    assert code == 0, err
    results = [[line for line in out.splitlines() if "test/" in line] for out in (first, second)]
    assert results[0] == results[1] != []
    assert len(list(Path("logs/synthetic").iterdir())) == 2


def answer_without_torch(module: str, words: list[str], folder: Path) -> str:
    """The output of a command, which must import nothing slow."""
    code = f"""
import sys
sys.argv = ["seqfuse-{module}", *{words!r}]
from seqfuse.{module} import main
try:
    main()
except SystemExit:
    pass
print("imported", sorted({{"torch", "lightning", "numpy"}} & set(sys.modules)))
"""
    done = run_python(code, folder)
    assert "imported []" in done.stdout, done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--cfg", "job"],
        ["optimizer.lrr=1"],
        ["model=bse"],
        ["optimizer.lr=abc"],
        ["trainer.max_epochs=many"],
    ],
)
@pytest.mark.parametrize("module", ["train", "evaluate", "predict", "explain", "export"])
def test_answers_come_without_torch(tmp_path: Path, words: list[str], module: str) -> None:
    if module != "train" and words[0] not in ("--help", "--cfg", "optimizer.lrr=1"):
        return
    assert len(answer_without_torch(module, words, tmp_path)) > 30


@pytest.mark.parametrize("key", ["init_from", "teacher"])
def test_the_last_run_is_named_by_one_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["seqfuse-train", f"{key}=latest"])
    with pytest.raises(InputError, match=f"{key}=latest"):
        cli._prepare_words("train")
    for run in ("first", "second"):
        path = tmp_path / "logs" / run / "checkpoints" / "best.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, ns=(len(run), len(run)))
    cli._prepare_words("train")
    assert any(f"{key}='logs/second/checkpoints/best.ckpt'" in word for word in sys.argv)


@pytest.mark.long
@pytest.mark.parametrize("module", ["evaluate", "predict", "export"])
def test_a_checkpoint_that_is_not_there_is_missed_without_torch(
    tmp_path: Path, module: str
) -> None:
    answer = answer_without_torch(module, ["ckpt=nowhere.ckpt"], tmp_path)
    assert "nowhere.ckpt" in answer
    assert "ckpt=latest" in answer


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("seqfuse-train model=", "model=wide"),
        ("seqfuse-train experiment=jap", "experiment=japanese_vowels"),
        ("seqfuse-train model.lstm.hid", "model.lstm.hidden_size="),
    ],
)
def test_tab_completion(tmp_path: Path, line: str, wanted: str) -> None:
    program = shutil.which("seqfuse-train", path=Path(sys.executable).parent)
    assert program is not None
    done = subprocess.run(
        [program, "-sc", "query=bash"],
        cwd=tmp_path,
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert wanted in done.stdout.split()


INTERRUPT = """
import os, signal, sys
from seqfuse.tasks.base import Task
original, count = Task.training_step, []
def step(self, batch, batch_idx):
    count.append(1)
    if len(count) == {step}:
        os.kill(os.getpid(), signal.{name})
    return original(self, batch, batch_idx)
Task.training_step = step
from seqfuse.train import main
sys.argv = ["seqfuse-train", *{words!r}]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code", "step"), [("SIGINT", 130, 6), ("SIGTERM", 143, 8)])
def test_interrupted_runs_can_be_resumed(
    command: Command, tmp_path: Path, name: str, code: int, step: int
) -> None:
    """Within an epoch or in its last step: the resumed run equals one that went through."""
    words = [*SMALL, "trainer.max_epochs=4", "scheduler.patience=0", "optimizer.lr=0.1"]
    done = run_python(INTERRUPT.format(name=name, step=step, words=words), tmp_path)
    assert done.returncode == code, done.stderr
    assert "resume=logs/synthetic/" in done.stderr
    assert "Traceback" not in done.stderr
    [run] = Path("logs/synthetic").iterdir()
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == step
    code, out, err = command(main, f"resume={run}")
    assert code == 0, err
    assert "test/accuracy" in out
    code, whole, err = command(main, *words, "hydra.run.dir=whole")
    assert code == 0, err
    results = [[line for line in text.splitlines() if "test/" in line] for text in (out, whole)]
    assert results[0] == results[1]
    states = [
        torch.load(f"{one}/checkpoints/last.ckpt", weights_only=True) for one in (run, "whole")
    ]
    torch.testing.assert_close(states[0]["state_dict"], states[1]["state_dict"], atol=0, rtol=0)


@pytest.mark.long
def test_mistakes_beside_one_s_own_folder(command: Command, tmp_path: Path) -> None:
    """Own options are known, and a part of one's own that fails says why."""
    (tmp_path / "conf" / "model" / "cnn").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "cnn" / "mine.yaml").write_text("_target_: nolab.cnn.Mine\n")
    own = ["--config-dir", str(tmp_path / "conf")]
    code, _, err = command(main, *own, "model/cnn=mine", "optimizer.lrr=1")
    assert (code, err.count("\n")) == (1, 1)
    assert "optimizer.lrr: no such key, did you mean optimizer.lr?" in err
    assert "did you mean mine?" in command(main, *own, "model/cnn=minee")[2]
    own = [*own, "model/cnn=mine"]
    assert "add trust=[nolab]" in command(main, *own)[2]
    assert "No module named 'nolab'" in command(main, *own, "trust=[nolab]")[2]


@pytest.mark.long
def test_the_profile_lies_in_the_run_folder(command: Command) -> None:
    words = ["debug=profile", "data=synthetic", "data.num_samples=80", "model=base"]
    code, _, err = command(main, *words, "trainer.enable_progress_bar=false")
    assert code == 0, err
    [report] = Path("logs").glob("debug/*/fit-profile.txt")
    assert "run_training_epoch" in report.read_text()

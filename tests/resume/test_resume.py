"""A run that is killed, again and again, ends where one ends that was left alone."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.config import checkpoint
from seqfuse.resume import state as resume
from seqfuse.runtime.errors import InputError
from tests.conftest import TINY
from tests.forks import Forks
from tests.trained import MEASURED, table

WORDS = [
    *TINY,
    "data.num_samples=160",
    "data.batch_size=8",
    "trainer.max_epochs=5",
    "trainer.log_every_n_steps=5",
    "callbacks.last_checkpoint.every_n_steps=3",
]
STEPS = 5 * 16
MOMENTS = ("step", "step", "validation", "write", "replace")


def the_run(folder: Path) -> Path:
    [config] = folder.glob("logs/*/*/config.yaml")
    return config.parent


def kill_and_resume(forked: Forks, folder: Path, words: list[str], kills: int, seed: int) -> str:
    """Kills a run at random, sorted steps, and lets it go on to its end; returns a report."""
    chance = random.Random(seed)
    report = []
    for step in sorted(chance.sample(range(1, STEPS - 2), kills)):
        moment = chance.choice(MOMENTS)
        words = ["resume=latest"] if report else words
        ended = forked.run(folder, *words, step=step, moment=moment)
        assert ended.code == -9, ended
        report.append(f"{moment} {step}")
    ended = forked.run(folder, "resume=latest")
    assert ended.code == 0, ended
    return f"{folder.name}, seed {seed}: killed at {', '.join(report)}"


def order_of(folder: Path) -> dict[str, str]:
    """Rows by step; those of a step that was trained again must be the same."""
    found: dict[str, str] = {}
    for line in (folder / "order.txt").read_text().splitlines():
        step, rows = line.split(": ")
        assert found.setdefault(step, rows) == rows, f"step {step} saw other rows the second time"
    return found


def assert_same_run(one: Path, two: Path) -> None:
    """Weights, optimizer, schedules, callbacks, metrics and logs, bit for bit."""
    assert order_of(one) == order_of(two)
    one, two = the_run(one), the_run(two)
    for name in ("last", "best"):
        a, b = (content(run / f"checkpoints/{name}.ckpt") for run in (one, two))
        for key in ("state_dict", "optimizer_states"):
            torch.testing.assert_close(a[key], b[key], atol=0, rtol=0)
        assert a["global_step"] == b["global_step"]
        if name == "best":  # the last one may stem from before or behind the schedule's step
            assert a["lr_schedulers"] == b["lr_schedulers"]
        stopping = [[v for k, v in c["callbacks"].items() if "Early" in k] for c in (a, b)]
        assert stopping[0] == stopping[1] != []
    assert table(one) == table(two)
    known = [json.loads((run / "metrics.json").read_text()) for run in (one, two)]
    assert {**known[0], "fit_seconds": 0} == {**known[1], "fit_seconds": 0}
    assert "val/loss" in known[0]
    assert scalars(one) == scalars(two)
    assert {path.suffix for path in two.glob("checkpoints/*")} == {".ckpt"}, "litter"


def content(path: Path) -> dict[str, Any]:
    """A checkpoint without the sum of the epoch's losses: it is 0 once the epoch is logged."""
    found = torch.load(path, weights_only=True)
    state = found["state_dict"].items()
    found["state_dict"] = {name: one for name, one in state if not name.startswith("losses.")}
    return found


def scalars(run: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows, by tag and step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [folder] = {path.parent for path in run.rglob("events*")}
    board = EventAccumulator(str(folder)).Reload()
    return {
        tag: {event.step: event.value for event in board.Scalars(tag)}
        for tag in board.Tags()["scalars"]
        if tag not in MEASURED
    }


@pytest.mark.slow
def test_killed_ten_times_equals_uninterrupted(
    forked: Forks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 0, 1 and 2 workers: the same weights, metrics, logs and order of samples."""
    whole = forked.run(tmp_path / "whole", *WORDS)
    assert whole.code == 0, whole
    for workers, kills in ((0, 10), (1, 3), (2, 10)):
        folder = tmp_path / f"workers-{workers}"
        words = [*WORDS, f"data.num_workers={workers}"]
        report = kill_and_resume(forked, folder, words, kills, seed=workers)
        with capsys.disabled():
            print(f"\n{report}")
        assert_same_run(tmp_path / "whole", folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["npy", "parquet", "parts"])
def test_killed_over_a_mapped_file(forked: Forks, tmp_path: Path, kind: str) -> None:
    """With averaged weights, a schedule by step, and gradients of two batches."""
    values = np.random.default_rng(0).normal(size=(700, 2)).astype(np.float32)
    frame = pd.DataFrame(values, columns=["a", "b"])
    if kind == "npy":
        np.save(tmp_path / "rows.npy", values)
    elif kind == "parquet":
        frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    else:
        (tmp_path / "rows.parts").mkdir()
        for first in range(0, 700, 140):
            path = tmp_path / f"rows.parts/{first}.parquet"
            frame[first : first + 140].to_parquet(path, row_group_size=100)
    words = [
        "data=mapped",
        f"data.file={tmp_path}/rows.{kind}",
        "data.look_back=96",
        "data.horizon=24",
        "data.batch_size=16",
        "callbacks=ema",
        "scheduler=cosine",
        "trainer.max_epochs=4",
        "trainer.accumulate_grad_batches=2",
        "callbacks.last_checkpoint.every_n_steps=2",
        *(word for word in WORDS if word.startswith("trainer.") and "epochs" not in word),
    ]
    whole = forked.run(tmp_path / "whole", *words)
    assert whole.code == 0, whole
    folder = tmp_path / "killed"
    for i, step in enumerate((3, 17, 37)):
        first = [*words, "data.num_workers=1"]
        ended = forked.run(folder, *(["resume=latest"] if i else first), step=step)
        assert ended.code == -9, ended
    assert forked.run(folder, "resume=latest").code == 0
    assert_same_run(tmp_path / "whole", folder)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    forked: Forks, tmp_path: Path
) -> None:
    assert forked.run(tmp_path / "whole", *TINY).code == 0
    assert forked.run(tmp_path / "killed", *TINY, step=2).code == -9
    ended = forked.run(tmp_path / "killed", "resume=latest")
    assert ended.code == 0, ended
    assert "was stopped before its first checkpoint and begins anew" in ended.out
    assert len(list((tmp_path / "killed").glob("logs/*/*"))) == 1
    order = (tmp_path / "killed" / "order.txt").read_text().splitlines()
    assert len(order) == 3 + 8
    runs = [the_run(tmp_path / name) for name in ("whole", "killed")]
    states = [content(run / "checkpoints/last.ckpt")["state_dict"] for run in runs]
    torch.testing.assert_close(*states, atol=0, rtol=0)
    assert table(runs[0]) == table(runs[1])


@pytest.mark.slow
def test_a_broken_checkpoint_falls_back_to_the_one_before(forked: Forks, tmp_path: Path) -> None:
    words = [*TINY, "callbacks.last_checkpoint.every_n_steps=1"]
    assert forked.run(tmp_path / "whole", *words).code == 0
    folder = tmp_path / "broken"
    assert forked.run(folder, *words, step=6).code == -9
    run = the_run(folder)
    last = run / "checkpoints" / "last.ckpt"
    assert content(last)["global_step"] == 6
    last.write_bytes(last.read_bytes()[:5000])
    kept = last.with_name("kept.ckpt")
    kept.write_bytes(last.read_bytes())
    ended = forked.run(folder, "resume=latest")
    assert ended.code == 0, ended
    assert "warning" in ended.err
    assert "last.ckpt is truncated or no checkpoint" in ended.err
    assert "goes on from previous.ckpt instead, step 5" in ended.err
    states = [content(the_run(one) / "checkpoints/last.ckpt")["state_dict"]
              for one in (tmp_path / "whole", folder)]  # fmt: skip
    torch.testing.assert_close(*states, atol=0, rtol=0)
    assert table(run) == table(the_run(tmp_path / "whole"))
    for path in run.glob("checkpoints/*"):
        path.write_bytes(b"broken")
    for name in ("latest", str(run)):
        ended = forked.run(folder, f"resume={name}", "trainer.max_epochs=9")
        assert ended.code == 1
        assert ended.err.count("\n") == 1
        assert "can be read" in ended.err
        assert f"--config-dir {run} --config-name config" in ended.err


@pytest.mark.parametrize(
    ("lost", "how"),
    [
        *((name, how) for name in (*resume.STATES, "fit_loop") for how in ("missing", "empty")),
        *((name, "missing") for name in ("callbacks", "global_step")),
    ],
)
def test_a_checkpoint_without_its_states_falls_back_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: str, how: str
) -> None:
    """Lightning would begin what is not there anew, or leave it out, without a word."""
    progress = {"processed": 1, "started": 1}
    loop = {"epoch_progress": {"current": progress},
            "epoch_loop.batch_progress": {"is_last_batch": False}}  # fmt: skip
    config: dict = {name: {} for name in checkpoint.SECTIONS["config"]}
    config["trainer"] = {"max_epochs": 9, "max_steps": -1}
    whole = {
        **{"config": config, "recipe": {"data": {}, "paths": {}}},
        **{"state_dict": {"w": torch.zeros(2)}, "DataModule": {"pipeline": {}}},
        **{"optimizer_states": [{"state": {}}], "lr_schedulers": [{"last_epoch": 1}]},
        **{"callbacks": {"Journal": {}}, "global_step": 7, "loops": {"fit_loop": loop}},
    }
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(whole, folder / "previous.ckpt")
    torch.save(whole, folder / "last.ckpt")
    given = {**config, "resume": str(folder / "last.ckpt")}
    assert resume.checkpoint_of(given) == folder / "last.ckpt"
    place = whole["loops"] if lost == "fit_loop" else whole
    place.pop(lost) if how == "missing" else place.update({lost: type(place[lost])()})
    torch.save(whole, folder / "last.ckpt")
    assert resume.checkpoint_of(given) == folder / "previous.ckpt"
    err = capsys.readouterr().err
    assert "last.ckpt holds no" in err or "last.ckpt does not say how far it is" in err
    assert "goes on from previous.ckpt instead, step 7" in err
    (folder / "previous.ckpt").unlink()
    with pytest.raises(InputError, match="no checkpoint in .* can be read: .*last.ckpt"):
        resume.checkpoint_of(given)


@pytest.mark.slow
def test_a_finished_run_says_so(forked: Forks, tmp_path: Path) -> None:
    assert forked.run(tmp_path, *TINY).code == 0
    ended = forked.run(tmp_path, "resume=latest")
    assert ended.code == 1
    run = the_run(tmp_path).relative_to(tmp_path)
    assert ended.err == (
        f"seqfuse: {run} is finished: it trained all 2 epochs; to train on, type "
        f"seqfuse-train resume={run} trainer.max_epochs=4\n"
    )
    # What was asked for when it went on is what it goes on with.
    ended = forked.run(tmp_path, "resume=latest", "trainer.max_epochs=4", step=12)
    assert ended.code == -9
    ended = forked.run(tmp_path, "resume=latest")
    assert ended.code == 0, ended
    assert content(the_run(tmp_path) / "checkpoints/last.ckpt")["epoch"] == 3


@pytest.mark.slow
def test_killed_after_training_the_test_is_made_up_for(forked: Forks, tmp_path: Path) -> None:
    """Also where early stopping had decided: not one step more is trained."""
    words = [*TINY, "trainer.max_epochs=30", "callbacks.early_stopping.patience=1",
             "optimizer.lr=0.5"]  # fmt: skip
    assert forked.run(tmp_path / "whole", *words).code == 0
    last = content(the_run(tmp_path / "whole") / "checkpoints/last.ckpt")
    assert last["epoch"] < 29
    step = last["global_step"] - 1
    assert forked.run(tmp_path / "killed", *words, step=step, moment="saved").code == -9
    assert forked.run(tmp_path / "killed", "resume=latest").code == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    ended = forked.run(tmp_path / "killed", "resume=latest")
    assert ended.code == 1
    assert "is finished: it stopped early after" in ended.err
    assert ended.err.endswith(" callbacks.early_stopping=null\n")


@pytest.mark.slow
def test_a_full_disk_in_the_midst_of_a_checkpoint_is_one_line(
    forked: Forks, tmp_path: Path
) -> None:
    """The kernel refuses to write more than 400 KB into one file, half of a checkpoint."""
    assert forked.run(tmp_path, *TINY, step=6).code == -9
    run = the_run(tmp_path)
    before = (run / "checkpoints/last.ckpt").read_bytes()
    ended = forked.run(tmp_path, "resume=latest", most=400_000)
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "cannot write" in ended.err
    assert "File too large" in ended.err
    assert f"make room, then type seqfuse-train resume={run}" in ended.err
    assert (run / "checkpoints/last.ckpt").read_bytes() == before
    assert {path.suffix for path in run.glob("checkpoints/*")} == {".ckpt"}
    assert forked.run(tmp_path, "resume=latest").code == 0

"""Processes that are started: none runs what lies in the current folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from seqfuse.callbacks.provenance import git_state
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.decode import decode
from tests.conftest import TINY
from tests.security.conftest import Server

EVIL = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nraise SystemExit(3)\n"
NAMES = ("pickle", "random", "torch", "seqfuse", "numpy", "hydra", "json")


@pytest.mark.long
@pytest.mark.parametrize("started", ["script", "module"])
def test_an_export_is_not_its_folder_s(classifier: Path, tmp_path: Path, started: str) -> None:
    """The process that writes the graph would import a pickle.py that lies there."""
    script = Path(sys.executable).with_name("seqfuse-export")
    start = [sys.executable, "-P", "-m", "seqfuse.export"] if started == "module" else [str(script)]
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(EVIL)
    words = [f"ckpt={classifier}", "output=shipped", "split=none", "repeats=1", "trainer=cpu"]
    done = subprocess.run([*start, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("*.ran"))
    assert (tmp_path / "shipped" / "model.onnx").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["trainer=ddp", "trainer.devices=2"],
        ["trainer=fsdp", "trainer.devices=2"],
        ["trainer=ddp_spawn", "trainer.devices=2"],
        ["launcher=joblib", "seed=0,1", "-m", "hydra.launcher.n_jobs=2"],
        ["launcher=submitit_local", "seed=0", "-m"],
        ["data.num_workers=2"],
    ],
    ids=["ddp", "fsdp", "ddp_spawn", "joblib", "submitit", "workers"],
)
def test_no_process_of_a_run_is_its_folder_s(tmp_path: Path, words: list[str]) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(EVIL)
    script = Path(sys.executable).with_name("seqfuse-train")
    more = [word for word in TINY if "accelerator" not in word]
    words = [str(script), *more, "trainer.accelerator=cpu", "trainer.max_epochs=1", *words]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("*.ran"))


def test_git_runs_no_program_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        own = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *own, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "a").touch()
    git("add", "a")
    git("commit", "-m", "a")
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    git("config", "core.fsmonitor", str(hook))
    monkeypatch.chdir(tmp_path)
    assert git_state()["changed_files"] == 1
    assert not (tmp_path / "ran").exists()
    (tmp_path / ".gitattributes").write_text("* filter=evil\n")
    (tmp_path / "a").write_text("changed")
    git("config", "filter.evil.clean", str(hook))
    assert git_state()["changed_files"] is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{address}'\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        "v=0\nc=IN IP4 127.0.0.1\nm=video 9999 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".png"])
def test_a_clip_fetches_nothing(tmp_path: Path, server: Server, text: str, ending: str) -> None:
    path = tmp_path / f"clip{ending}"
    path.write_text(text.format(address=f"{server.address}/x.ts"))
    with pytest.raises(InputError, match="clip"):
        decode(path, 4, 8)
    assert server.asked == []

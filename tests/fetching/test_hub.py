"""Checkpoints on the Hugging Face Hub, by its own client, against a stand-in on this machine."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import seqfuse
from seqfuse import __main__, predict, sample
from seqfuse.config import checkpoint
from seqfuse.fetching import hub
from seqfuse.runtime.errors import InputError
from tests.conftest import assert_refused

Command = Callable[..., tuple[int, str, str]]
OWNER = "me/nets"
QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
Y = np.repeat(["slow", "fast"], 20)
X = np.random.default_rng(0).normal(size=(40, 12, 2)).astype(np.float32)


class Server(ThreadingHTTPServer):
    """Repositories in memory: the files of each commit, by the name of the commit."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits: dict[str, dict[str, bytes]] = {}
        self.made: list[dict[str, Any]] = []
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(f"POST {self.path}")
        if self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif not self.headers.get("Authorization"):
            self.answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            self.server.made.append(json.loads(body))
            self.answer({"url": f"{self.server.address}/{OWNER}"})
        elif self.path.endswith("/preupload/main"):
            files = [file["path"] for file in json.loads(body)["files"]]
            kind = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": path, **kind} for path in files]})
        else:
            assert self.path == f"/api/models/{OWNER}/commit/main"
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            commit = hashlib.sha1(body).hexdigest()
            before = next(reversed(self.server.commits.values()), {})
            added = {file["path"]: base64.b64decode(file["content"]) for file in files}
            self.server.commits[commit] = {**before, **added}
            address = f"{self.server.address}/{OWNER}/commit/{commit}"
            self.answer({"commitUrl": address, "commitOid": commit})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        match = re.fullmatch(rf"/{OWNER}/resolve/([^/]+)/(.+)", self.path)
        if not match:
            return self.answer({"error": "Repository not found"}, 404, "RepoNotFound")
        commits = self.server.commits
        commit = next(reversed(commits), "") if match[1] == "main" else match[1]
        if commit not in commits:
            return self.answer({"error": "Invalid rev id"}, 404, "RevisionNotFound")
        if match[2] not in commits[commit]:
            return self.answer({"error": "Entry not found"}, 404, "EntryNotFound")
        content = commits[commit][match[2]]
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def answer(self, content: dict[str, Any], code: int = 200, error: str = "") -> None:
        text = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, format: str, *words: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """The only Hub, where somebody is logged in."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small estimator."""
    path = tmp_path_factory.mktemp("saved") / "model.ckpt"
    words = ["trainer.accelerator=cpu"]
    model = seqfuse.Classifier(model="base", max_steps=2, overrides=words).fit(X, Y)
    model.save(path)
    return path


@pytest.mark.long
def test_what_is_pushed_predicts_alike(server: Server, saved: Path, command: Command) -> None:
    wanted = seqfuse.load(saved).predict_proba(X)
    code, out, err = command(__main__.main, "push", str(saved), OWNER)
    assert code == 0, err
    assert f"{server.address}/{OWNER}" in out
    assert [(made["name"], made["visibility"]) for made in server.made] == [("nets", "private")]
    [first] = server.commits
    np.testing.assert_array_equal(seqfuse.load(f"hf://{OWNER}").predict_proba(X), wanted)
    again = seqfuse.Classifier.load(f"hf://{OWNER}@{first}")
    np.testing.assert_array_equal(again.predict_proba(X), wanted)
    assert again.classes_.tolist() == ["fast", "slow"]
    np.save("new.npy", X)
    words = [f"ckpt=hf://{OWNER}", "input=new.npy", "output=out.csv"]
    code, _, err = command(predict.main, *words)
    assert code == 0, err
    np.testing.assert_allclose(pd.read_csv("out.csv")[["p_fast", "p_slow"]], wanted, atol=1e-6)


@pytest.mark.long
def test_revisions_are_kept_apart(server: Server, saved: Path) -> None:
    seqfuse.push_to_hub(saved, OWNER, public=True)
    [first] = server.commits
    assert server.made[0]["visibility"] == "public"
    other = seqfuse.Classifier(model="base", max_steps=1, overrides=["trainer.accelerator=cpu"])
    other.fit(X, Y).save("other.ckpt")
    server.commits[first]["README.md"] = b"by hand"
    seqfuse.push_to_hub("other.ckpt", OWNER)
    assert next(reversed(server.commits.values()))["README.md"] == b"by hand"
    newest = seqfuse.load(f"hf://{OWNER}").predict_proba(X)
    np.testing.assert_array_equal(newest, other.predict_proba(X))
    earlier = seqfuse.load(f"hf://{OWNER}@{first}").predict_proba(X)
    np.testing.assert_array_equal(earlier, seqfuse.load(saved).predict_proba(X))


@pytest.mark.long
def test_neither_pickles_nor_places_of_this_machine_leave_it(server: Server, saved: Path) -> None:
    seqfuse.push_to_hub(saved, OWNER)
    [files] = server.commits.values()
    assert {*files} == {hub.FILE, "README.md"}
    content = checkpoint.read(saved)
    places = {content["config"]["paths"]["run"], content["config"]["paths"]["data"]}
    assert all(map(os.path.isabs, places))
    for place in (*places, str(Path.home()), str(Path.cwd())):
        assert place.encode() not in files[hub.FILE]
    size = int.from_bytes(files[hub.FILE][:8], "little")
    header = json.loads(files[hub.FILE][8 : 8 + size])
    plain = json.loads(header["__metadata__"]["seqfuse"])
    assert {*plain} == {"config", "recipe", "DataModule", "estimator"}
    assert not {"logger", "trial", "label"} & {*plain["config"]}
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: seqfuse\n")
    for text in (f'seqfuse.load("hf://{OWNER}")', "## Input", "channels: 2", "fast, slow"):
        assert text in card


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("hf://me/other", "me/other"),
        (f"hf://{OWNER}@nowhere", "nowhere"),
        ("hf://one word/x", "one word/x"),
        ("hf://", "hf://"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(
    server: Server, saved: Path, command: Command, address: str, named: str
) -> None:
    seqfuse.push_to_hub(saved, OWNER)
    with pytest.raises(InputError, match=named) as caught:
        seqfuse.load(address)
    assert "\n" not in str(caught.value)


def test_a_push_that_is_refused_is_one_line(
    server: Server, saved: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, out, err = command(__main__.main, "push", str(saved), OWNER)
    assert (code, out) == (1, "")
    assert OWNER in err
    assert "hf auth login" in err
    assert not server.commits
    for words in (["a.ckpt"], ["a.ckpt", OWNER, "pubic"], ["a.ckpt", OWNER]):
        code, out, err = command(__main__.main, "push", *words)
        assert (code, out) == (1, "")
        assert err.count("\n") == 1


def test_a_stranger_s_file_is_held_against_the_rules(server: Server, saved: Path) -> None:
    hub.write(saved, OWNER, Path())
    weights = load_file(hub.FILE)
    plain = json.loads(hub_header(Path(hub.FILE)))
    plain["config"]["model"]["head"]["_target_"] = "os.system"
    save_file(weights, hub.FILE, {checkpoint.HEADER: json.dumps(plain)})
    server.commits["a" * 40] = {hub.FILE: Path(hub.FILE).read_bytes()}
    with pytest.raises(InputError, match=r"os\.system at model\.head"):
        seqfuse.load(f"hf://{OWNER}")
    for header in ("[]", "{", "[" * 100_000, '{"config": {}}'):
        save_file(weights, "other.safetensors", {checkpoint.HEADER: header})
        with pytest.raises(InputError, match=r"other\.safetensors"):
            seqfuse.load("other.safetensors")
    save_file(weights, "other.safetensors")
    with pytest.raises(InputError, match="no checkpoint of seqfuse"):
        seqfuse.load("other.safetensors")
    Path("other.safetensors").write_bytes(Path(hub.FILE).read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        seqfuse.load("other.safetensors")


def hub_header(path: Path) -> str:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"][checkpoint.HEADER]


@pytest.mark.long
def test_nothing_is_fetched_that_was_not_typed(
    server: Server, command: Command, tmp_path: Path
) -> None:
    """Not what a config names that somebody else wrote."""
    assert_refused(
        command(__main__.main, "train", "data=synthetic", "init_from=hf://me/nets", *QUIET),
        "init_from=hf://me/nets",
    )
    assert not server.asked


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in sample.MAKERS if kind != "large"])
def test_every_job_can_be_pushed(server: Server, command: Command, kind: str) -> None:
    _, out, _ = command(__main__.main, "sample", kind)
    _, *words = out.splitlines()[-1].partition("next        ")[2].split()
    code, _, err = command(__main__.main, *words, *QUIET, "debug=fast", "callbacks/figures=none")
    assert code == 0, err
    [ckpt] = Path("logs").glob("**/last.ckpt")
    seqfuse.push_to_hub(ckpt, OWNER)
    here, there = checkpoint.read(ckpt), checkpoint.read(hub.fetch(f"hf://{OWNER}"))
    for name, weight in here["state_dict"].items():
        np.testing.assert_array_equal(there["state_dict"][name], weight)
    assert there["DataModule"] == here["DataModule"]
    assert there["config"]["model"] == here["config"]["model"]
    metadata = seqfuse.load(f"hf://{OWNER}")
    assert type(metadata) is type(seqfuse.load(ckpt))


@pytest.mark.slow
def test_the_command_finds_the_hub_that_the_environment_names(
    server: Server, saved: Path, tmp_path: Path
) -> None:
    seqfuse.push_to_hub(saved, OWNER)
    np.save(tmp_path / "new.npy", X)
    words = ["predict", f"ckpt=hf://{OWNER}", "input=new.npy", "output=out.csv"]
    done = subprocess.run(
        [sys.executable, "-m", "seqfuse", *words],
        cwd=tmp_path,
        env={**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "out.csv")) == 40

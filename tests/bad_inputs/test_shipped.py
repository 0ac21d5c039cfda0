"""Wrong exported folders and inputs, given to the run.py in them."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.bundle import digest, seal
from tests.bad_inputs import makers
from tests.bad_inputs.catalogue import Content, Row, rows
from tests.bad_inputs.conftest import Judge

FACTS = "shipped/pipeline.json"
Change = Callable[[dict[str, Any]], object]


def main() -> int:
    """The run.py of the folder, as if it were started."""
    spec = importlib.util.spec_from_file_location("shipped_run", "shipped/run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["__file__"] = str(Path("shipped/run.py"))
    return module.main(sys.argv[1:])


def facts(change: Change) -> dict[str, Content]:
    """Other facts in the folder, sealed again; what a change returns replaces them."""

    def write(path: Path) -> None:
        found = json.loads(path.read_text())
        changed = change(found)
        found = found if changed is None else changed
        if isinstance(found, dict):
            found["seal"] = seal(found)
        path.write_text(json.dumps(found))

    return {FACTS: write}


def given(value: Any, *keys: str) -> dict[str, Content]:
    """Another value under a key."""

    def change(found: dict[str, Any]) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return facts(change)


def without(*keys: str) -> dict[str, Content]:
    def change(found: dict[str, Any]) -> None:
        for key in keys[:-1]:
            found = found[key]
        del found[keys[-1]]

    return facts(change)


def file(name: str, content: bytes) -> dict[str, Content]:
    """Another file in the folder, sealed as if it had been exported."""

    def change(found: dict[str, Any]) -> None:
        found["files"][name] = digest(content)

    return {f"shipped/{name}": content, **facts(change)}


def gone(name: str) -> dict[str, Content]:
    return {f"shipped/{name}": lambda path: path.unlink()}


GOOD = makers.series()
X = GOOD["x"]
USE = "a.npz b.csv"


@rows(
    Row("--check", "pipeline.json", gone("pipeline.json")),
    Row("--check", "model.onnx", gone("model.onnx")),
    Row("--check", "example.npz", gone("example.npz")),
    Row("--check", "pipeline.json", {FACTS: ""}),
    Row("--check", "pipeline.json", {FACTS: "{"}),
    Row("--check", "pipeline.json", {FACTS: b"\xff\xfe\x00"}),
    Row("--check", "pipeline.json", {FACTS: "[" * 100_000}),
    Row("--check", "pipeline.json", {FACTS: '{"a":' * 100_000}),
    Row("--check", "pipeline.json", {FACTS: "[1, 2]"}),
    Row("--check", "pipeline.json", {FACTS: "{}"}),
    Row("--check", "pipeline.json", {FACTS: "NaN"}),
    Row("--check", "pipeline.json", {FACTS: "1" * 5000}),
    Row("--check", ["model.onnx", "truncated"], {"shipped/model.onnx": b"onnx"}),
    Row("--check", ["pipeline.json", "job"], given("juggling", "job")),
    Row("--check", ["pipeline.json", "job"], given([1], "job")),
    Row("--check", ["pipeline.json", "job"], given(None, "job")),
    Row("--check", ["pipeline.json", "job"], without("job")),
    Row("--check", ["pipeline.json", "files"], without("files")),
    Row("--check", ["pipeline.json", "files"], given(None, "files")),
    Row("--check", ["pipeline.json", "files"], given([], "files")),
    Row("--check", ["pipeline.json", "model.onnx"], given({}, "files")),
    Row("--check", "../x", given("0", "files", "../x")),
    Row("--check", ["pipeline.json", "pipeline"], without("pipeline")),
    Row("--check", ["pipeline.json", "pipeline"], given(None, "pipeline")),
    Row("--check", ["pipeline.json", "pipeline"], given("text", "pipeline")),
    Row("--check", ["pipeline.json", "pipeline"], given({}, "pipeline")),
    Row("--check", ["pipeline.json", "pipeline"], given("Magic", "pipeline", "kind")),
    Row("--check", ["pipeline.json", "pipeline"], given([], "pipeline", "kind")),
    Row("--check", ["pipeline.json", "pipeline"], without("pipeline", "state")),
    Row("--check", ["pipeline.json", "pipeline"], without("pipeline", "options")),
    Row("--check", ["pipeline.json", "pipeline"], given({"a": 1}, "pipeline", "options")),
    Row(
        "--check",
        ["pipeline.json", "pipeline"],
        without("pipeline", "state", "standardisation", "mean"),
    ),
    Row(
        "--check",
        ["pipeline.json", "pipeline"],
        given("text", "pipeline", "state", "standardisation", "mean"),
    ),
    Row("--check", ["pipeline.json"], given(5, "pipeline", "state", "labels", "classes")),
    Row("--check", ["pipeline.json", "tolerance"], without("tolerance")),
    Row("--check", ["pipeline.json", "tolerance"], given("much", "tolerance")),
    Row("--check", "model.onnx", file("model.onnx", b"no graph at all")),
    Row("--check", "model.onnx", file("model.onnx", b"")),
    Row("--check", "example.npz", file("example.npz", b"no arrays")),
    Row("--check", "example.npz", file("example.npz", makers.npz(a=X))),
    Row(
        "--check",
        "example.npz",
        file(
            "example.npz",
            makers.npz(
                x=X[:3],
                mask=np.ones((3, 6), bool),
                prediction=np.zeros((3, 2)),
                weights=np.zeros((3, 1, 6)),
            ),
        ),
    ),
    Row(
        "--check", "example.npz", file("example.npz", makers.zipped(x=makers.head((10**12, 6, 2))))
    ),
    Row("a.npz b.csv --int8", ["model.int8.onnx", "int8=true"], {"a.npz": GOOD}),
    Row(USE, "a.npz: there is no such file"),
    Row("shipped b.csv", "shipped"),
    Row("a.txt b.csv", ["a.txt", "ending"], {"a.txt": "text"}),
    Row("a.npz b.txt", ["b.txt", ".csv"], {"a.npz": GOOD}),
    Row("a.npz no/b.csv", ["no", "folder"], {"a.npz": GOOD}),
    Row("a.npz a.npz", "a.npz", {"a.npz": GOOD}),
    Row("a.csv a.csv", ["a.csv", "input"], {"a.csv": "c0,c1\n1,2\n"}),
    Row("a.npz shipped", "shipped", {"a.npz": GOOD}),
    Row(USE, "a.npz", {"a.npz": makers.npz(**GOOD)[:300]}),
    Row(USE, ["a.npz", "3 channels"], {"a.npz": {"x": np.zeros((4, 6, 3))}}),
    Row("a.csv b.csv", "a.csv", {"a.csv": "c0,c1\n"}),
    Row("a.csv b.csv", ["a.csv, line 2", "'c1'", "'x'"], {"a.csv": "c0,c1\n1,x\n"}),
    Row(
        "a.csv b.csv", ["a.csv, line 4", "series '1'"], {"a.csv": "id,c0,c1\n1,1,2\n2,1,2\n1,1,2\n"}
    ),
    Row("a.jsonl b.csv", ["a.jsonl, line 1", "'a'"], {"a.jsonl": '{"a": [1], "b": 2}'}),
    Row("a.csv.gz b.csv", "a.csv.gz", {"a.csv.gz": makers.gz("c0,c1\n1,2\n" * 50)[:30]}),
)
def test_series(judge: Judge, shipped: Callable[[str], Path], row: Row) -> None:
    shutil.copytree(shipped("series"), "shipped")
    assert judge(row, main, name="run.py") == ""


TABLE = makers.table(30)


@pytest.mark.long
@rows(
    Row("a.csv b.csv", ["a.csv", "'date'", "a, b"], {"a.csv": TABLE.replace("date", "day")}),
    Row("a.npy b.csv", "a.npy", {"a.npy": X}),
)
def test_forecasts(judge: Judge, shipped: Callable[[str], Path], row: Row) -> None:
    shutil.copytree(shipped("forecasts"), "shipped")
    assert judge(row, main, name="run.py") == ""


@pytest.mark.long
@rows(
    Row("a.csv b.csv", ["a.csv, line 2", "'text'", "words"], {"a.csv": "words\nhello\n"}),
    Row("a.jsonl b.csv", ["a.jsonl, line 1", "text"], {"a.jsonl": '{"text": null}'}),
)
def test_texts(judge: Judge, shipped: Callable[[str], Path], row: Row) -> None:
    shutil.copytree(shipped("texts"), "shipped")
    assert judge(row, main, name="run.py") == ""


@pytest.mark.long
@rows(
    Row("a.npz b.csv", "a.npz", {"a.npz": makers.sources(watch_x=None, phone_x=None)}),
    Row("a.npz b.csv", ["a.npz", "'clock_t'"], {"a.npz": makers.sources(clock_t=X)}),
    Row("a.csv b.csv", ["a.csv", ".npz"], {"a.csv": "a,b\n1,2\n"}),
    Row("--check", ["pipeline.json", "pipeline"], given(None, "pipeline", "parts")),
    Row("--check", ["pipeline.json", "pipeline"], given({"phone": {}}, "pipeline", "parts")),
)
def test_sources(judge: Judge, shipped: Callable[[str], Path], row: Row) -> None:
    shutil.copytree(shipped("sources"), "shipped")
    assert judge(row, main, name="run.py") == ""

"""Four ways to one answer: training's reader, seqfuse-predict, seqfuse.load and run.py.

Whatever a file holds, all of them read the same and predict the same, or refuse it with the same
line.
"""

import importlib.util
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seqfuse
from seqfuse.config import build
from seqfuse.data.read.arrays import Arrays
from seqfuse.data.read.files import TableFile
from seqfuse.data.read.recordings import LabelledTable
from seqfuse.data.read.text import Conll, TextTable
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.make import make, of_input
from seqfuse.runtime.read import labelled, monitored
from seqfuse.runtime.read.tables import TableReader
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.shown import visible
from seqfuse.runtime.writer import Writer
from seqfuse.tasks.engine import TorchEngine
from seqfuse.train import train
from tests import shipped
from tests.conftest import composed
from tests.surfaces import files

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
ONE_STEP = (
    *("trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=2"),
    *("test=false", "logger=none", "callbacks.figures=null"),
)
TEXTS = {
    "text": files.one_of("fly to Rome", "is it warm?", "né, 2 \u201cof\u201d them", "a,b", "it's"),
    "label": files.one_of("flight", "weather"),
}
TABLE = {"date": files.hour, "load": files.number, "heat": files.number}
MONITORED = {**TABLE, "anomaly": files.zero}
SEPARATED = (".csv", ".tsv")


class Job(NamedTuple):
    """One job: how a tiny net is trained for it, and files like those it was trained on."""

    words: Callable[[Path], list[str]]
    files: st.SearchStrategy[files.File]
    read: Callable[[Path, Mapping[str, Any]], tuple[Any, Any]]
    """What training's own source reads from a file, and what the job does, by its metadata."""
    labels: str
    """What a message about labels names, which are read in training alone."""


def texts(folder: Path) -> list[str]:
    rows = ["fly to Rome,flight", "is it warm?,weather", "how warm,weather"] * 8
    (folder / "t.csv").write_text("\n".join(["text,label", *rows]))
    where = [f"data.train={folder}/t.csv", f"data.test={folder}/t.csv"]
    return ["data=text", *where, "data.buckets=50", "data.batch_size=8"]


def tags(folder: Path) -> list[str]:
    (folder / "t.tsv").write_text("fly\tVERB\nto\tADP\nRome\tNOUN\n\nit\tNOUN\nis\tVERB\n\n" * 10)
    where = [f"data.train={folder}/t.tsv", f"data.test={folder}/t.tsv"]
    return ["data=conll", *where, "model/head=crf", "data.buckets=50", "data.batch_size=8"]


def series(folder: Path) -> list[str]:
    x = np.random.default_rng(0).normal(size=(40, 8, 2))
    np.savez(folder / "t.npz", x=x, y=["a", "b"] * 20)
    return ["data=arrays", f"data.train={folder}/t.npz", "data.batch_size=8"]


def counted(folder: Path, rows: int) -> Path:
    draw = np.random.default_rng(0).normal(size=(rows, 2))
    frame = pd.DataFrame(draw, columns=["load", "heat"])
    frame.insert(0, "date", pd.date_range("2024-01-01", periods=rows, freq="h"))
    frame["anomaly"] = (np.arange(rows) == rows - 5).astype(int)
    frame.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def tables(folder: Path) -> list[str]:
    sizes = ["data.look_back=8", "data.horizon=4", "model.segment_size=4", "data.batch_size=8"]
    columns = ["data.targets=[load]", "data.covariates=[heat]", "data.gaps=fill"]
    return ["data=csv", f"data.file={counted(folder, 120)}", *columns, *sizes]


def recordings(folder: Path) -> list[str]:
    sizes = ["data.look_back=8", "data.horizon=2", "data.batch_size=8", "data.train=0.6"]
    return ["data=labelled", "task=anomaly", f"data.file={counted(folder, 120)}", *sizes]


def items(source: Callable[[str], Any]) -> Callable[..., tuple[Any, Any]]:
    def read(path: Path, metadata: Mapping[str, Any]) -> tuple[Any, Any]:
        def trained() -> Any:
            return source(str(path))("test")

        def predicted() -> Any:
            blocks = list(labelled.read(path, metadata["reader"]))
            return Recordings.joined(blocks) if blocks else None

        return outcome(trained), outcome(predicted)

    return read


def table(path: Path, metadata: Mapping[str, Any]) -> tuple[Any, Any]:
    options = {k: v for k, v in metadata["reader"].items() if k != "kind"}
    reader = TableReader(**options)
    return outcome(lambda: reader.read(TableFile(str(path)).path())), outcome(
        lambda: TableReader(**options).parse(reader.cells(path))
    )


def watched(path: Path, metadata: Mapping[str, Any]) -> tuple[Any, Any]:
    source = LabelledTable(TableFile(str(path)), train=0.6)
    return outcome(source), outcome(lambda: monitored.read_recordings(path, metadata["reader"]))


JOBS = {
    "series": Job(series, files.arrays(2, ["a", "b"]), items(lambda p: Arrays(p, p)), "label|'y'"),
    "texts": Job(
        texts,
        st.one_of(files.separated(TEXTS, 5, SEPARATED), files.objects(TEXTS, 5)),
        items(lambda p: TextTable(p, p)),
        "column 'label'",
    ),
    "sentences": Job(tags, files.sentences(["NOUN", "VERB"]), items(lambda p: Conll(p, p)), "tag"),
    "tables": Job(
        tables,
        st.one_of(
            files.separated(TABLE, 14, SEPARATED),
            files.objects(TABLE, 14),
            files.parquet(TABLE, 14),
        ),
        table,
        "no such thing",
    ),
    "recordings": Job(
        recordings,
        st.one_of(files.separated(MONITORED, 40, SEPARATED), files.parquet(MONITORED, 40)),
        watched,
        "column 'anomaly'|data.label",
    ),
}


class Surfaces(NamedTuple):
    """A trained net as each surface has it."""

    predicted: Any
    loaded: Any
    script: ModuleType
    folder: Path


@pytest.fixture(scope="module")
def surfaces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Surfaces:
    folder = tmp_path_factory.mktemp(request.param)
    train(composed([*QUIET, *ONE_STEP, *JOBS[request.param].words(folder)]), folder / "run")
    shipped.export(folder / "run", folder / "shipped", "split=none", "repeats=1")
    ckpt = folder / "run" / "checkpoints" / "best.ckpt"
    task, data, _ = build.load(ckpt, ())
    metadata = {**data.splits.metadata(), **task.metadata()}
    spec = importlib.util.spec_from_file_location(f"run_{request.param}", folder / "shipped/run.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return Surfaces(make(metadata, TorchEngine(task)), seqfuse.load(ckpt), script, folder)


def outcome(read: Callable[[], Any]) -> Any:
    """What it gives, or the line that refuses it, as it is printed."""
    try:
        return read()
    except InputError as error:
        return visible(" ".join(str(error).split()))


def written(rows: Any, output: Path) -> list[dict[str, Any]]:
    with Writer(output, overwrite=True) as writer:
        for block in rows:
            writer.write(block)
    return lines(output)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answers(found: Surfaces, path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Of each surface the rows, or the line."""
    output = found.folder / "out.jsonl"
    empty = f"{path} holds nothing to predict"
    rows = outcome(lambda: written(of_input(found.predicted, str(path), output), output))
    yield rows or empty
    loaded = outcome(lambda: found.loaded.table(path))
    yield loaded if isinstance(loaded, str) else written([loaded], output) if loaded else empty
    output.unlink(missing_ok=True)
    capsys.readouterr()
    code = found.script.main([str(path), str(output)])
    err = capsys.readouterr().err
    assert code == bool(err)
    assert err.count("\n") == code, err
    yield " ".join(err.removeprefix("run.py: ").split()) if code else lines(output)


def assert_alike(rows: Any, wanted: Any) -> None:
    if isinstance(rows, str) or isinstance(wanted, str):
        assert rows == wanted
        return
    assert len(rows) == len(wanted)
    for row, other in zip(rows, wanted, strict=True):
        assert list(row) == list(other)
        for name, value in row.items():
            if isinstance(value, float) and isinstance(other[name], float):
                assert math.isclose(value, other[name], rel_tol=1e-3, abs_tol=1e-4), name
            else:
                assert value == other[name], name


def assert_read_alike(trained: Any, predicted: Any) -> None:
    """The same values, or the same place is refused."""
    if isinstance(trained, str) or isinstance(predicted, str):
        assert places(trained) == places(predicted), (trained, predicted)
    elif isinstance(trained, list):
        for one, other in zip(trained, predicted, strict=True):
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.time, other.time)
    else:
        np.testing.assert_array_equal(trained.values, predicted.values)
        np.testing.assert_array_equal(trained.offsets, predicted.offsets)


def places(found: Any) -> Any:
    """Line, row and column that a message names; of what was read, that it was."""
    if not isinstance(found, str):
        return "read"
    return re.findall(r"line \d+|row \d+|column '[^']*'", found)[:2]


def check(name: str, found: Surfaces, file: files.File, capsys: Any) -> None:
    path = found.folder / f"in{file[0]}"
    path.write_bytes(file[1])
    trained, read = JOBS[name].read(path, found.predicted.metadata)
    if not (isinstance(trained, str) and re.search(JOBS[name].labels, trained)):
        assert_read_alike(trained, read)
    predicted, loaded, shown = answers(found, path, capsys)
    assert_alike(loaded, predicted)
    assert_alike(shown, predicted)
    path.unlink()


CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


FAST = ("texts", "tables")


@pytest.mark.parametrize(
    ("surfaces", "name", "count"),
    [
        *(pytest.param(name, name, 25, id=name) for name in FAST),
        *(pytest.param(n, n, 200, id=f"{n}-more", marks=pytest.mark.slow) for n in JOBS),
    ],
    indirect=["surfaces"],
)
def test_whatever_is_read_gives_one_answer(
    surfaces: Surfaces, name: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    @settings(deadline=None, max_examples=count, suppress_health_check=CHECKS)
    @given(JOBS[name].files)
    def every_file(file: files.File) -> None:
        check(name, surfaces, file, capsys)

    every_file()

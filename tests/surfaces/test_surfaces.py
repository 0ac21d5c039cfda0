"""Ways to one answer: training and its figures, seqfuse-predict, seqfuse.load and run.py.

Whatever a file holds, all of them read the same and predict the same, or refuse it with the same
line.
"""

import copy
import importlib.util
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from PIL import Image

import seqfuse
from seqfuse.config import build, loading
from seqfuse.data.module import DataModule
from seqfuse.data.read.files import TableFile
from seqfuse.data.read.recordings import LabelledTable
from seqfuse.figures.classification import ClassFigures
from seqfuse.figures.clips import ClipFigures
from seqfuse.figures.collect import Figures, Result
from seqfuse.figures.multilabel import LabelFigures
from seqfuse.figures.regression import NumberFigures
from seqfuse.figures.tagging import StepFigures, TagFigures
from seqfuse.predicting.engine import TorchEngine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.make import make_job, of_input
from seqfuse.runtime.jobs.softmax import sigmoid
from seqfuse.runtime.read import labelled, monitored
from seqfuse.runtime.read.arrays import load_arrays
from seqfuse.runtime.read.devices import Track
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.rows import MAPPED, RowReader
from seqfuse.runtime.read.table.table import Table
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.shown import visible
from seqfuse.runtime.writer import Writer
from seqfuse.tasks.base import Task
from seqfuse.train import train
from tests import devices, shipped
from tests.conftest import QUIET, composed
from tests.surfaces import files

ONE_STEP = (
    *("trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=2"),
    *("test=false", "logger=none", "callbacks.figures=null"),
)
TEXTS = {
    "text": files.one_of("fly to Rome", "is it warm?", "né, 2 \u201cof\u201d them", "a,b", "it's"),
    "label": files.one_of("flight", "weather"),
}
COLUMNS = {"0": files.number, "1": files.number}
TABLE = {"date": files.hour, "load": files.number, "heat": files.number}
LABELLED = {**TEXTS, "label": files.one_of("a", "a|b", "c|b", "")}
DEVICES = {"phone": (3, 50), "watch": (2, 25)}
"""Channels, and ms from row to row."""
SIDE = 16
"""Of frames, in pixels."""
MONITORED = {**TABLE, "anomaly": files.zero}
SEPARATED = (".csv", ".tsv")


class Job(NamedTuple):
    """One job: how a tiny net is trained for it, and files like those it was trained on."""

    words: Callable[[Path], list[str]]
    files: st.SearchStrategy[files.File]
    read: Callable[["Surfaces", Path], tuple[Any, Any]]
    """What training's own source reads from a file, and what the job does, by its metadata."""
    labels: str
    """What a message about labels names, which are read in training alone."""
    tested: Callable[[Path], dict[str, Any] | None] | None = None
    """Options of training's source, by which a file is the test split; None where it cannot be."""
    figures: type[Figures] | None = None
    drawn: Callable[[Result], dict[str, Any]] | None = None
    """Columns of the rows for people, as the dashboard's figures have them."""


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


def numbers(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    np.savez(folder / "t.npz", x=draw.normal(size=(40, 8, 2)), y=draw.normal(5, 2, (40, 2)))
    return ["data=arrays", "task=regression", f"data.train={folder}/t.npz", "data.batch_size=8"]


def several(folder: Path) -> list[str]:
    rows = ["fly to Rome,a|b", "is it warm?,b", "how warm,c|a", "fly,"] * 8
    (folder / "t.csv").write_text("\n".join(["text,label", *rows]))
    where = [f"data.train={folder}/t.csv", f"data.test={folder}/t.csv"]
    return ["data=text", "task=multilabel", *where, "data.buckets=50", "data.batch_size=8"]


def sources(folder: Path) -> list[str]:
    draw, y = np.random.default_rng(0), ["a", "b"] * 20
    np.savez(folder / "t.npz", p_x=draw.normal(size=(40, 8, 2)), q_x=draw.normal(size=(40, 5, 1)),
             y=y)  # fmt: skip
    return ["data=sources", f"data.train={folder}/t.npz", "data.batch_size=8"]


def recorded(folder: Path) -> list[str]:
    devices.write(folder)
    return ["data=har_fusion", f"data.root={folder}", *devices.OPTIONS, "data.rate=[10.0,20.0]"]


def recorded_windows(folder: Path) -> list[str]:
    words = ["data=har_windows", "task=multilabel", "model=base", f"data.root={folder}"]
    devices.write(folder)
    return [*words, *devices.OPTIONS, "data.size=4", "data.every=2"]


def clips(folder: Path) -> list[str]:
    draw, rows = np.random.default_rng(0), ["clip,label,split"]
    for label in ("a", "b"):
        (folder / "clips" / label).mkdir(parents=True)
        for i in range(9):
            strip = draw.integers(0, 256, (SIDE, SIDE * 4, 3)).astype(np.uint8)
            Image.fromarray(strip).save(folder / "clips" / label / f"{i}.png")
            rows.append(f"{i},{label},{'train' if i < 6 else 'val' if i < 8 else 'test'}")
    (folder / "list.csv").write_text("\n".join(rows))
    where = [f"data.folder={folder}/clips", f"data.list={folder}/list.csv", "data.cache=''"]
    sizes = ["data.num_frames=4", f"data.size={SIDE}", "data.batch_size=4"]
    return ["data=video", *where, *sizes]


def table_windows(folder: Path) -> list[str]:
    sizes = ["data.look_back=8", "data.horizon_mean=4", "data.every=2", "data.batch_size=8"]
    columns = ["data.targets=[load]", "data.covariates=[heat]", "data.gaps=fill"]
    return ["data=table_windows", f"data.file={counted(folder, 120)}", *columns, *sizes]


def tables(folder: Path) -> list[str]:
    sizes = ["data.look_back=8", "data.horizon=4", "model.segment_size=4", "data.batch_size=8"]
    columns = ["data.targets=[load]", "data.covariates=[heat]", "data.gaps=fill"]
    return ["data=csv", f"data.file={counted(folder, 120)}", *columns, *sizes]


def large(folder: Path) -> list[str]:
    np.save(folder / "t.npy", np.random.default_rng(0).normal(size=(120, 2)))
    sizes = ["data.look_back=8", "data.horizon=4", "model.segment_size=4", "data.batch_size=8"]
    return ["data=mapped", f"data.file={folder}/t.npy", "data.targets=[0]",
            "data.covariates=[1]", *sizes]  # fmt: skip


def incomplete(folder: Path) -> list[str]:
    sizes = ["data.look_back=8", "data.masking.lengths=[1,3]", "data.batch_size=8"]
    columns = ["data.targets=[load]", "data.covariates=[heat]", "model.lstm.hidden_size=8"]
    return ["data=incomplete", f"data.file={counted(folder, 120)}", *columns, *sizes]


def recordings(folder: Path) -> list[str]:
    sizes = ["data.look_back=8", "data.horizon=2", "data.batch_size=8", "data.train=0.6"]
    return ["data=labelled", "task=anomaly", f"data.file={counted(folder, 120)}", *sizes]


def items(found: "Surfaces", path: Path) -> tuple[Any, Any]:
    def predicted() -> Any:
        blocks = list(labelled.read(path, found.predicted.metadata["file_format"]))
        return Recordings.joined(blocks) if blocks else None

    def trained() -> Any:
        data = data_of(found, path)
        return data and data.splits.raw("test")

    return outcome(trained), outcome(predicted)


def windows(found: "Surfaces", path: Path) -> tuple[Any, Any]:
    """Of windows those that have the same name, and so end with the same row."""
    trained, predicted = items(found, path)
    if isinstance(trained, str) or isinstance(predicted, str):
        return trained, predicted
    rows = [predicted.names.index(name) for name in trained.names if name in predicted.names]
    kept = [i for i, name in enumerate(trained.names) if name in predicted.names]
    return trained.take(kept), predicted.take(rows)


def data_of(found: "Surfaces", path: Path) -> DataModule | None:
    """The run's data, of which a file is the test split."""
    tested = JOBS[found.name].tested
    options = None if tested is None else tested(path)
    if options is None:
        return None
    config = copy.deepcopy(found.config)
    config["data"]["module"]["splits"]["dataset"] |= options
    data = build.build_data(config)
    data.load_state_dict(found.state)
    return data


def by_device(path: Path) -> dict[str, Any]:
    """A file for each device, as training has them, and all people in it."""
    given = load_arrays(path)
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name in ("phone", "watch"):
        arrays = {k.removeprefix(f"{name}_"): v for k, v in given.items() if k.startswith(name)}
        np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    (folder / "labels.txt").write_text("\n".join(devices.LABELS))
    everyone = sorted(set(Track(given, str(path), "phone_").people.values()))
    people = {"_target_": "seqfuse.data.people.People", "test": everyone}
    return {"root": str(folder), "people": people}


def by_test(path: Path) -> dict[str, Any]:
    return {"test": str(path)}


def in_folder(path: Path) -> dict[str, Any] | None:
    """A folder of classes with one clip in it; arrays of clips are not trained on."""
    if path.suffix == ".npz":
        return None
    root = path.parent / "tested"
    shutil.rmtree(root, ignore_errors=True)
    (root / "a").mkdir(parents=True)
    shutil.copy(path, root / "a" / path.name)
    (root / "list.csv").write_text(f"clip,label,split\n{path.name},a,test")
    return {"folder": str(root), "table": str(root / "list.csv")}


def ahead(path: Path) -> dict[str, Any]:
    """Windows that end at each row of a table, as long as there is a row behind them."""
    file = {"_target_": "seqfuse.data.read.files.TableFile", "file": str(path)}
    return {"source": file, "every": 1, "horizon": 1, "split": [0.01, 0.01, 0.98]}


def table(found: "Surfaces", path: Path) -> tuple[Any, Any]:
    options = {k: v for k, v in found.predicted.metadata["file_format"].items() if k != "kind"}
    reader = TableReader(**options)
    return outcome(lambda: reader.read(TableFile(str(path)).path())), outcome(
        lambda: TableReader(**options).parse(reader.cells(path))
    )


def rows(found: "Surfaces", path: Path) -> tuple[Any, Any]:
    """Of an array or Parquet, which are trained on; tables of text are not."""
    if path.suffix not in MAPPED:
        return None, None
    options = {k: v for k, v in found.predicted.metadata["file_format"].items() if k != "kind"}

    def read(table: Table) -> Recordings:
        return Recordings(table.values[: table.values.shape[0]], table.offsets)

    reader, pipeline = RowReader(**options), found.predicted.pipeline
    return outcome(lambda: read(reader.read(path))), outcome(
        lambda: read(reader.ahead(path, pipeline))
    )


def watched(found: "Surfaces", path: Path) -> tuple[Any, Any]:
    file_format = found.predicted.metadata["file_format"]
    source = LabelledTable(TableFile(str(path)), train=0.6)
    return outcome(source), outcome(lambda: monitored.read_recordings(path, file_format))


def drawn_classes(result: Result) -> dict[str, Any]:
    _, _, probabilities = result.numbers
    names = result.splits.pipeline.labels.classes
    return {f"p_{name}": probabilities[:, i] for i, name in enumerate(names)}


def drawn_labels(result: Result) -> dict[str, Any]:
    _, _, scores = result.numbers
    names = result.splits.pipeline.labels.classes
    return {f"score_{name}": sigmoid(scores[:, i]) for i, name in enumerate(names)}


def drawn_numbers(result: Result) -> dict[str, Any]:
    labels, (_, _, outputs) = result.splits.pipeline.labels, result.numbers
    outputs = labels.undo(outputs)
    prefixes = [f"{name}_" for name in labels.targets] if len(labels.targets) > 1 else [""]
    return {
        f"{prefix}{name}": outputs[:, i, q]
        for i, prefix in enumerate(prefixes)
        for q, name in enumerate(("lower", "prediction", "upper"))
    }


def drawn_tags(result: Result) -> dict[str, Any]:
    _, answer = result.numbers
    return {"prediction": np.array(result.splits.pipeline.labels.classes)[answer]}


CLASSES = (ClassFigures, drawn_classes)
TABLES = st.one_of(
    files.separated(TABLE, 14, SEPARATED), files.objects(TABLE, 14), files.parquet(TABLE, 14)
)
JOBS = {
    "series": Job(series, files.arrays(2, ["a", "b"]), items, "label|'y'", by_test, *CLASSES),
    "numbers": Job(
        numbers,
        files.arrays(2, [[0.5, 1.0], [2.0, np.nan]]),
        items,
        "label|'y'",
        by_test,
        NumberFigures,
        drawn_numbers,
    ),
    "texts": Job(
        texts,
        st.one_of(files.separated(TEXTS, 5, SEPARATED), files.objects(TEXTS, 5)),
        items,
        "column 'label'|has label",
        by_test,
        *CLASSES,
    ),
    "labels": Job(
        several,
        st.one_of(files.separated(LABELLED, 5, SEPARATED), files.objects(LABELLED, 5)),
        items,
        "column 'label'|has label",
        by_test,
        LabelFigures,
        drawn_labels,
    ),
    "sentences": Job(
        tags,
        files.sentences(["NOUN", "VERB"]),
        items,
        "tag|has label",
        by_test,
        TagFigures,
        drawn_tags,
    ),
    "sources": Job(
        sources, files.sources({"p": 2, "q": 1}, ["a", "b"]), items, "label|'y'", by_test, *CLASSES
    ),
    "devices": Job(
        recorded, files.devices(DEVICES), items, "label", by_device, StepFigures, drawn_tags
    ),
    "device_windows": Job(
        recorded_windows,
        files.devices(DEVICES),
        items,
        "label",
        by_device,
        LabelFigures,
        drawn_labels,
    ),
    "clips": Job(
        clips,
        st.one_of(files.strips(SIDE), files.videos(), files.frames(SIDE)),
        items,
        "label",
        in_folder,
        ClipFigures,
        drawn_classes,
    ),
    "windows": Job(table_windows, TABLES, windows, "label", ahead, NumberFigures, drawn_numbers),
    "tables": Job(tables, TABLES, table, "no such thing"),
    "large": Job(
        large,
        st.one_of(
            files.mapped(14, 2),
            files.parquet(COLUMNS, 14),
            files.separated(COLUMNS, 14, SEPARATED),
            files.objects(COLUMNS, 14),
        ),
        rows,
        "no such thing",
    ),
    "incomplete": Job(incomplete, TABLES, table, "no such thing"),
    "recordings": Job(
        recordings,
        st.one_of(files.separated(MONITORED, 40, SEPARATED), files.parquet(MONITORED, 40)),
        watched,
        "column 'anomaly'|data.label",
    ),
}


class Surfaces(NamedTuple):
    """A trained net as each surface has it."""

    name: str
    predicted: Any
    loaded: Any
    script: ModuleType
    folder: Path
    task: Task
    config: dict[str, Any]
    state: dict[str, Any]
    """Of its data."""


@pytest.fixture(scope="module")
def surfaces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Surfaces:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    train(composed([*QUIET, *ONE_STEP, *JOBS[name].words(folder)]), folder / "run")
    shipped.export(folder / "run", folder / "shipped", "split=none", "repeats=1")
    ckpt = folder / "run" / "checkpoints" / "best.ckpt"
    task, data, config = loading.load(ckpt, ())
    metadata = {**data.splits.metadata(), **task.metadata()}
    spec = importlib.util.spec_from_file_location(f"run_{name}", folder / "shipped/run.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    predicted, state = make_job(metadata, TorchEngine(task)), data.state_dict()
    return Surfaces(name, predicted, seqfuse.load(ckpt), script, folder, task, config, state)


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
    said = capsys.readouterr().err.splitlines(keepends=True)
    err = "".join(line for line in said if not line.startswith("note  "))  # which refuses nothing
    assert code == bool(err)
    assert err.count("\n") == code, err
    yield " ".join(err.removeprefix("run.py: ").split()) if code else lines(output)


def figures(found: Surfaces, path: Path) -> tuple[Any, dict[str, Any]]:
    """What was tested, and what the dashboard's figures have of it; or the line."""
    job, seen = JOBS[found.name], []

    class Seen(job.figures):  # type: ignore[name-defined, misc]
        def draw(self, result: Result) -> dict[str, Figure]:
            seen.append(result)
            super().draw(result)
            return {}

    def tested() -> tuple[Any, dict[str, Any]]:
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            callbacks=[Seen()],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=found.folder,
        )
        trainer.test(found.task, data_of(found, path), verbose=False)
        (result,) = seen
        return result, job.drawn(result)  # type: ignore[misc]

    return outcome(tested)


def assert_drawn(found: Surfaces, path: Path, rows: list[dict[str, Any]]) -> None:
    """The dashboard shows what is predicted; windows are found by their names."""
    answer = figures(found, path)
    if isinstance(answer, str):
        assert re.search(JOBS[found.name].labels, answer), answer
        return
    result, columns = answer
    if found.name == "windows":
        by_name = {row["id"]: row for row in rows}
        index, names = result.numbers[0], result.raw.names
        kept = [i for i, row in enumerate(index) if names[row] in by_name]
        rows = [by_name[names[index[i]]] for i in kept]
        columns = {name: column[kept] for name, column in columns.items()}
    assert columns
    for name, column in columns.items():
        assert len(column) == len(rows)
        if column.dtype.kind == "f":
            numbers = [np.nan if row[name] is None else row[name] for row in rows]
            np.testing.assert_allclose(column, numbers, rtol=1e-3, atol=1e-4)
        else:
            assert column.tolist() == [row[name] for row in rows]


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
        assert trained.sources.keys() == predicted.sources.keys()
        for name, part in trained.sources.items():
            assert_read_alike(part, predicted.sources[name])


def places(found: Any) -> Any:
    """Line, row and column that a message names; of what was read, that it was."""
    if not isinstance(found, str):
        return "read"
    return re.findall(r"line \d+|row \d+|column '[^']*'", found)[:2]


def check(found: Surfaces, file: files.File, drawn: bool, capsys: Any) -> bool:
    """Whether there is an answer: the same everywhere, as is the line that refuses the file."""
    job, path = JOBS[found.name], found.folder / f"in{file[0]}"
    path.write_bytes(file[1])
    trained, read = job.read(found, path)
    if trained is not None and not (isinstance(trained, str) and re.search(job.labels, trained)):
        assert_read_alike(trained, read)
    predicted, loaded, shown = answers(found, path, capsys)
    assert_alike(loaded, predicted)
    assert_alike(shown, predicted)
    has_rows = not isinstance(predicted, str)
    if drawn and job.figures and trained is not None and has_rows:
        assert_drawn(found, path, predicted)
    path.unlink()
    return has_rows


CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
DRAWN = st.sampled_from([True, False, False, False])
"""Whether the figures are compared, too, which takes longer than all the rest."""
FAST = ("texts", "tables")


@pytest.mark.parametrize(
    ("surfaces", "count"),
    [
        *(pytest.param(name, 25, id=name) for name in FAST),
        *(pytest.param(n, 200, id=f"{n}-more", marks=pytest.mark.slow) for n in JOBS),
    ],
    indirect=["surfaces"],
)
def test_whatever_is_read_gives_one_answer(
    surfaces: Surfaces, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    answered: list[bool] = []

    @settings(deadline=None, max_examples=count, suppress_health_check=CHECKS)
    @given(JOBS[surfaces.name].files, DRAWN)
    def every_file(file: files.File, drawn: bool) -> None:
        answered.append(check(surfaces, file, drawn, capsys))

    every_file()
    assert sum(answered) >= len(answered) // 8, "nearly all files were refused"

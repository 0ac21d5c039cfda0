"""What the tables share: an empty folder to stand in, and small runs made once."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from seqfuse.export import main as export
from seqfuse.train import main as train
from tests import composing
from tests.bad_inputs import catalogue, makers
from tests.bad_inputs.catalogue import Content, Row

Judge = Callable[..., str]
BRIEF = (
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.num_threads=1",
    "trainer.limit_train_batches=1",
    "logger=none",
    "callbacks.figures=null",
)
"""Of a run that a wrong input may let begin."""

SPANS = ("data.look_back=8", "data.horizon=4", "model=segments", "data.batch_size=8")
FILES: dict[str, dict[str, Content]] = {
    "series": {"series.npz": makers.series()},
    "forecasts": {"table.csv": makers.table()},
    "rows": {"rows.npy": makers.NORMAL(size=(120, 2)).astype("float32")},
    "anomalies": {"labelled.csv": makers.table(200, anomaly=lambda i: int(i == 150))},
    "texts": {"texts.csv": makers.texts()},
    "tags": {"tags.tsv": makers.tags()},
    "sources": {"sources.npz": makers.sources()},
}
"""What is trained on, by kind."""
RUNS: dict[str, tuple[str, ...]] = {
    "series": ("data=arrays", "data.train=series.npz", "model=base", "scheduler=constant"),
    "forecasts": ("data=csv", "data.file=table.csv", *SPANS),
    "rows": ("data=mapped", "data.file=rows.npy", *SPANS),
    "anomalies": ("data=labelled", "data.file=labelled.csv", "data.train=0.5", *SPANS),
    "texts": ("data=text", "data.train=texts.csv", "data.test=texts.csv"),
    "tags": ("data=conll", "data.train=tags.tsv", "data.test=tags.tsv"),
    "sources": ("data=sources", "data.train=sources.npz", "model=base"),
}
"""How it is trained on."""


@pytest.fixture
def judge(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Judge:
    """Runs a command on a row in an empty folder; returns what is wrong with the answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQFUSE_DATA", raising=False)
    composing.remember(monkeypatch)

    def call(row: Row, main: Callable[[], object], *before: str, name: str = "seqfuse") -> str:
        found = catalogue.answer(row, main, capfd, *before)
        wrong = catalogue.faults(row, found, name)
        said = f"{found.err}{found.out}"
        return "\n".join(["", *wrong, f"it says: {said}"]) if wrong else ""

    return call


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run folder of a small run on each kind of data, trained when it is first asked for."""
    root = tmp_path_factory.mktemp("made")

    @functools.cache
    def call(kind: str) -> Path:
        run = root / kind
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path_factory.mktemp(kind))
            words = (*RUNS[kind], *(w for w in BRIEF if w != "logger=none"), "logger=csv")
            for name, content in FILES[kind].items():
                catalogue.write(root / name, content)
            with catalogue.typed("seqfuse-train", *words, f"hydra.run.dir={run}",
                                 f"paths.data={root}"):  # fmt: skip
                train()
        return run

    return call


@pytest.fixture(scope="session")
def shipped(made: Callable[[str], Path]) -> Callable[[str], Path]:
    """The exported folder of such a run."""

    @functools.cache
    def call(kind: str) -> Path:
        run = made(kind)
        ckpt = f"ckpt={run}/checkpoints/best.ckpt"
        output = run.with_name(f"shipped_{kind}")
        with catalogue.typed("seqfuse-export", ckpt, f"output={output}", "repeats=1", "split=none"):
            export()
        return output

    return call

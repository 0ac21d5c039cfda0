"""Wrong arguments and inputs of the commands that read a checkpoint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seqfuse import evaluate, explain, export, predict
from tests.bad_inputs.catalogue import Row, rows
from tests.bad_inputs.conftest import Judge
from tests.bad_inputs.makers import head, npz, series, sources, table, tags, texts, ts, zipped

Made = Callable[[str], Path]
GOOD = {"a.npz": series()}
X = GOOD["a.npz"]["x"]
IN = "input=a.npz output=b.csv"


def ckpt(made: Made, kind: str) -> tuple[str, str]:
    run = made(kind)
    return f"ckpt={run}/checkpoints/best.ckpt", f"paths.data={run.parent}"


@rows(
    Row("input=a.npz", "output is empty", GOOD),
    Row("output=b.csv", ["input=", "split=test"]),
    Row(f"{IN} split=test", ["input=", "split=test"], GOOD),
    Row("split=tset output=b.csv", ["split=tset", "test"]),
    Row("input=c.npz output=b.csv", "input=c.npz"),
    Row("input=e output=b.csv", ["input=e", ".npz"], {"e/a.txt": "text"}),
    Row("input=a.txt output=b.csv", ["a.txt", "ending"], {"a.txt": "text"}),
    Row("input=a.npz output=b.txt", ["output=b.txt", ".csv"], GOOD),
    Row("input=a.npz output=b.csv", ["output=b.csv", "overwrite=true"], {**GOOD, "b.csv": "x"}),
    Row("input=a.npz output=n/b.csv", ["output=n/b.csv", "folder"], GOOD),
    Row("input=a.npz output=e.csv", ["output=e.csv", "folder"], {**GOOD, "e.csv/a": "x"}),
    Row("input=a.ts output=a.ts overwrite=true", "a.ts", {"a.ts": ts()}),
    Row("input=e output=e/b.csv overwrite=maybe", "overwrite=maybe", {"e/a.npz": series()}),
    Row(f"{IN} every=5", "every=5", GOOD),
    Row(f"{IN} threshold=0.5", ["threshold=0.5", "classes"], GOOD),
    Row(f"{IN} budget=2", ["budget=2", "classes"], GOOD),
    Row(f"{IN} alarms=c.csv", ["alarms=c.csv", "classes"], GOOD),
    Row(f"{IN} abstain=1.5", "abstain=1.5", GOOD),
    Row(f"{IN} data.batch_size=0", "data.batch_size=0", GOOD),
    Row(f"{IN} trainer=ddp", "trainer=ddp", GOOD),
    Row(f"{IN} trainer=tpu", "tpu", GOOD),
    Row(f"{IN} data.horizon=5", "data.horizon", GOOD),
    Row(f"{IN} optimizer.lr=1", "optimizer.lr", GOOD),
    Row(f"{IN} resume=x", "resume", GOOD),
    Row(f"{IN} -m", ["seqfuse-predict", "-m"], GOOD),
    Row(IN, "a.npz", {"a.npz": b""}),
    Row(IN, "a.npz", {"a.npz": npz(**GOOD["a.npz"])[:300]}),
    Row(IN, ["a.npz", "1000000000000"], {"a.npz": zipped(x=head((10**12, 6, 2)))}),
    Row(IN, ["a.npz", "1000000000000"], {"a.npz": zipped(x=head((3, 10**12, 2)))}),
    Row("input=a.npy output=b.csv", ["a.npy", "1000000000000"], {"a.npy": head((10**12, 6, 2))}),
    Row(IN, ["a.npz", "Python objects"], {"a.npz": npz(x=X.astype(object))}),
    Row(IN, ["a.npz", "'x'"], {"a.npz": {"z": X}}),
    Row(IN, ["a.npz", "3 channels"], {"a.npz": {"x": np.zeros((4, 6, 3))}}),
    Row(IN, ["a.npz", "x.transpose"], {"a.npz": {"x": np.zeros((4, 2, 6))}}),
    Row(IN, ["a.npz", "(4, 6)"], {"a.npz": {"x": np.zeros((4, 6))}}),
    Row(IN, ["a.npz", "complex"], {"a.npz": {"x": X.astype(complex)}}),
    Row(IN, ["a.npz", "infinite"], {"a.npz": {"x": X * np.inf}}),
    Row(IN, "a.npz", {"a.npz": {"x": X[:0]}}),
    Row(IN, "a.npz", {"a.npz": {"x": X[:, :0]}}),
    Row(IN, ["a.npz", "id"], {"a.npz": {"x": X, "id": np.arange(3)}}),
    Row(IN, ["a.npz", "lengths"], {"a.npz": {"x": X, "lengths": np.full(20, 99)}}),
    Row("input=a.ts output=b.csv", "a.ts", {"a.ts": "@data\n"}),
    Row("input=a.ts output=b.csv", ["a.ts, line 2", "1 channels"], {"a.ts": "@data\n1,2:up\n"}),
    Row("input=a.tsv output=b.csv", ["a.tsv, line 1", "'x'"], {"a.tsv": "1\t2\tx\n"}),
    Row("input=e output=b.csv", "b.npz", {"e/a.npz": series(), "e/b.npz": b"nothing"}),
)
def test_predictions(judge: Judge, made: Made, row: Row) -> None:
    assert judge(row, predict.main, *ckpt(made, "series"), "trainer=cpu",
                 "trainer.enable_progress_bar=false") == ""  # fmt: skip


@pytest.mark.long
@rows(
    Row("forecasts input=a.csv output=b.csv", ["a.csv", "'date'"], {"a.csv": texts()}),
    Row("forecasts input=a.csv output=b.csv", "a.csv", {"a.csv": ""}),
    Row("forecasts input=a.csv output=b.csv", ["a.csv", "too few"], {"a.csv": table(3)}),
    Row("forecasts input=a.csv output=b.csv every=0", "every=0", {"a.csv": table()}),
    Row("forecasts input=a.csv output=b.csv every=x", "every=x", {"a.csv": table()}),
    Row("forecasts split=test output=b.csv every=2", "every=2"),
    Row("forecasts input=a.npz output=b.csv", "a.npz", {"a.npz": series()}),
    Row(
        "forecasts input=a.csv output=b.csv",
        ["a.csv", "'b'"],
        {"a.csv": table().replace("b\n", "c\n", 1)},
    ),
    Row("rows input=a.npy output=b.csv", "a.npy", {"a.npy": np.zeros((50, 3))[:, :1]}),
    Row("rows input=a.npy output=b.csv", ["a.npy", "too few"], {"a.npy": np.zeros((5, 2))}),
    Row("rows input=a.npy output=b.csv", "a.npy", {"a.npy": head((10**12, 2))}),
    Row(
        "anomalies input=a.csv output=b.csv",
        ["columns", "z, b"],
        {"a.csv": table().replace(",a,", ",z,", 1)},
    ),
    Row("anomalies split=val output=b.csv", ["split=val", "split=test"]),
    Row("anomalies input=a.csv output=b.csv", "too", {"a.csv": table(10)}),
    Row("anomalies input=a.txt output=b.csv", ["a.txt", ".csv"], {"a.txt": table()}),
    Row("texts input=a.csv output=b.csv", ["a.csv", "'text'"], {"a.csv": table()}),
    Row("texts input=a.csv output=b.csv", "a.csv", {"a.csv": "text\n"}),
    Row("texts input=a.jsonl output=b.csv", ["a.jsonl, line 1"], {"a.jsonl": "[" * 100_000}),
    Row("tags input=a.tsv output=b.csv", "a.tsv", {"a.tsv": ""}),
    Row(
        "tags input=a.tsv output=b.csv",
        ["a.tsv, line 5", "3 columns"],
        {"a.tsv": tags(1) + "a\tb\tc\n"},
    ),
    Row("tags input=a.tsv output=b.csv", ["a.tsv", "50,000"], {"a.tsv": "the\n" * 50_000}),
    Row("sources input=a.npz output=b.csv", ["a.npz", "watch"], {"a.npz": sources(watch_x=None)}),
    Row(
        "sources input=a.npz output=b.csv",
        ["a.npz", "watch"],
        {"a.npz": sources(watch_x=np.zeros((20, 4, 9)))},
    ),
)
def test_predictions_of_other_jobs(judge: Judge, made: Made, row: Row) -> None:
    kind, _, words = row.words.partition(" ")
    assert judge(row._replace(words=words), predict.main, *ckpt(made, kind), "trainer=cpu",
                 "trainer.enable_progress_bar=false") == ""  # fmt: skip


WHY = "input=a.npz output=b"


@rows(
    Row("series input=a.npz", "output is empty", GOOD),
    Row("series output=b", ["input=", "split=test"]),
    Row(f"series {WHY} split=test", ["input=", "split=test"], GOOD),
    Row("series split=tset output=b", ["split=tset", "test"]),
    Row("series input=c.npz output=b", "input=c.npz"),
    Row("series input=e output=b", ["input=e", ".npz"], {"e/a.txt": "text"}),
    Row(f"series {WHY}", ["output=b", "empty"], {**GOOD, "b/c.txt": "x"}),
    Row(f"series {WHY}", ["output=b", "file"], {**GOOD, "b": "x"}),
    Row(f"series {WHY} method=shap", ["method=shap", "occlusion"], GOOD),
    Row(f"series {WHY} segment=2", ["segment=2", "method=occlusion"], GOOD),
    Row(f"series {WHY} method=occlusion segment=0", "segment=0", GOOD),
    Row(f"series {WHY} figures=-1", "figures=-1", GOOD),
    Row(f"series {WHY} max_items=0", "max_items=0", GOOD),
    Row(f"series {WHY} step=1", "step=1", GOOD),
    Row(f"series {WHY} target=left", ["target=left", "down"], GOOD),
    Row(f"series {WHY} every=2", "every=2", GOOD),
    Row(f"series {WHY} -m", ["seqfuse-explain", "-m"], GOOD),
    Row(f"series {WHY} trainer=ddp", "trainer=ddp", GOOD),
    Row(f"series {WHY}", ["a.npz", "1 channels"], {"a.npz": series(channels=1)}),
    Row("forecasts input=a.csv output=b step=99", "step=99", {"a.csv": table()}),
    Row("forecasts input=a.csv output=b target=z", ["target=z", "a, b"], {"a.csv": table()}),
    Row("anomalies input=a.csv output=b step=2", ["step=2", "anomalies"], {"a.csv": table(200)}),
    Row("anomalies input=a.csv output=b target=z", "target=z", {"a.csv": table(200)}),
    Row("tags input=a.tsv output=b step=4", ["step=4", "3 steps"], {"a.tsv": tags(2)}),
)
def test_explanations(judge: Judge, made: Made, row: Row) -> None:
    kind, _, words = row.words.partition(" ")
    assert judge(row._replace(words=words), explain.main, *ckpt(made, kind), "trainer=cpu",
                 "trainer.enable_progress_bar=false") == ""  # fmt: skip


def test_a_checkpoint_to_explain_is_there(judge: Judge) -> None:
    for words, named in ((WHY, "ckpt"), (f"{WHY} ckpt=c.ckpt", "c.ckpt")):
        assert judge(Row(words, named, GOOD), explain.main) == ""


@rows(
    Row("split=tset", ["split=tset", "test"]),
    Row("split=null", "split"),
    Row("data.train=c.npz", "c.npz is not there"),
    Row("data.root=e data.train=c.npz", "e"),
    Row("data.nothing=1", "data.nothing"),
    Row("model=base", "model"),
    Row("model.lstm.hidden_size=8", "model.lstm.hidden_size"),
    Row("optimizer.lr=1", "optimizer.lr"),
    Row("trust=mylab", ["trust=mylab", "list"]),
    Row("trainer.accelerator=tpu", "accelerator=tpu"),
    Row("trainer.limit_test_batches=0", "trainer.limit_test_batches=0"),
    Row("data.batch_size=x", "data.batch_size=x"),
    Row("output=b.csv", "output"),
    Row("~data", "data"),
    Row("data=arrays", "data"),
)
def test_evaluations(judge: Judge, made: Made, row: Row) -> None:
    assert judge(row, evaluate.main, *ckpt(made, "series"), "trainer=cpu") == ""


OUT = "output=o split=none"


@rows(
    Row("", "output is empty"),
    Row("output=o opset=5", ["opset=5", "14"]),
    Row("output=o opset=x", "opset=x"),
    Row("output=o int8=maybe", ["int8=maybe", "finetune"]),
    Row(f"{OUT} int8=true", ["int8=True", "split=none"]),
    Row("output=o split=train", ["split=train", "test"]),
    Row("output=o bound=-1", "bound=-1"),
    Row("output=o bound=x", "bound=x"),
    Row("output=o repeats=0", "repeats=0"),
    Row("output=o finetune.epochs=0", "finetune.epochs=0"),
    Row("output=.", "output=."),
    Row(OUT, ["output=o", "empty"], {"o/a": "b"}),
    Row(OUT, ["output=o", "file"], {"o": "b"}),
    Row("output=a/o split=none", "a", {"a": "file"}),
    Row("output=o data.train=c.npz", "c.npz is not there"),
    Row("output=o inputs=5", "inputs"),
)
def test_exports(judge: Judge, made: Made, row: Row) -> None:
    assert judge(row, export.main, *ckpt(made, "series"), "repeats=1") == ""

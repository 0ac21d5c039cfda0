"""Wrong files of labelled series, to train on: arrays, and the formats of the archive."""

import numpy as np
import pytest

from seqfuse.train import main
from tests.bad_inputs.catalogue import Row, rows
from tests.bad_inputs.conftest import BRIEF, Judge
from tests.bad_inputs.makers import arff, compressed, gz, head, npz, saved, series, ts, tsv, zipped

ARRAYS = ("data=arrays", "model=base", "data.train=a.npz", *BRIEF)
GOOD = series()
X, Y = GOOD["x"], GOOD["y"]


def one(name: str = "a.npz", **changes: object) -> dict:
    return {name: series(**changes)}


@rows(
    Row("data.train=null", "data.train is empty"),
    Row("data.train=b.npz", "b.npz is not there"),
    Row("data.train=here", "here", {"here/a.npz": GOOD}),
    Row("data.train=a.txt", ["a.txt", "ending", ".npz"], {"a.txt": "x,y\n1,2\n"}),
    Row("data.train=a.csv", ["a.csv", "1 series", "data.test"], {"a.csv": "x,y\n1,2\n"}),
    Row("data.train=a.csv", ["a.csv", "'y'", "data.label=Class"], {"a.csv": "x,Class\n1,2\n"}),
    Row("data.train=a.csv data.id=b", ["a.csv", "'b'", "data.id"], {"a.csv": "x,y\n1,2\n"}),
    Row("data.train=a.csv", ["a.csv", "line 3", "'x'"], {"a.csv": "x,y\n1,2\nb,2\n"}),
    Row("data.train=a.npy", "a_y.npy", {"a.npy": X}),
    Row("data.train=a.npy", "a_y.npy", {"a.npy": X, "a_y.npy": b"nothing"}),
    Row("data.train=a.npy", ["a.npy", "20 series", "3 labels"], {"a.npy": X, "a_y.npy": Y[:3]}),
    Row(
        "data.train=a.npy",
        ["a.npy", "1000000000000"],
        {"a.npy": head((10**12, 6, 2)), "a_y.npy": Y},
    ),
    Row("data.train=a.npy", "a.npy", {"a.npy": head((-5, 6, 2)), "a_y.npy": Y}),
    Row("data.train=a.npy", "a.npy", {"a.npy": head((20, 6, 2)), "a_y.npy": Y}),
    Row("data.train=a.npy", "a.npy", {"a.npy": head((10**18, 10**18, 2)), "a_y.npy": Y}),
    Row("data.train=a.npy", "a.npy", {"a.npy": b"\x93NUMPY\x09\x00" + bytes(50), "a_y.npy": Y}),
    Row("data.train=a.npy", "a.npy", {"a.npy": saved(X)[:20], "a_y.npy": Y}),
    Row("data.train=a.npy", "a.npy", {"a.npy": b"", "a_y.npy": Y}),
    Row("", "a.npz", {"a.npz": b""}),
    Row("", "a.npz", {"a.npz": "x,y\n1,2\n"}),
    Row("", "a.npz", {"a.npz": npz(**GOOD)[:200]}),
    Row("", "a.npz", {"a.npz": npz(**GOOD)[:-100]}),
    Row("", "a.npz", {"a.npz": npz(**GOOD).replace(X.tobytes()[:8], b"\x00" * 8)}),
    Row("", "a.npz", {"a.npz": saved(X)}),
    Row("", "a.npz", {"a.npz": compressed(**GOOD).replace(b"\x00", b"\x01")}),
    Row("", "a.npz", {"a.npz": compressed(**GOOD)[:300] + b"..." + compressed(**GOOD)[303:]}),
    Row("", "a.npz", {"a.npz": zipped(x=b"\x93NUMPY\x01\x00\xf0\x03" + b"(" * 1008, y=saved(Y))}),
    Row("", ["a.npz", "1000000000000"], {"a.npz": zipped(x=head((10**12, 6, 2)), y=saved(Y))}),
    Row("", "a.npz", {"a.npz": zipped(x=b"not an array", y=saved(Y))}),
    Row(
        "",
        ["a.npz", "Python objects"],
        {"a.npz": zipped(x=saved(np.array([[1], [1, 2]], object)), y=saved(Y))},
    ),
    Row("", ["a.npz", "Python objects"], {"a.npz": zipped(x=saved(X), y=saved(Y.astype(object)))}),
    Row("", ["a.npz", "'x'", "y"], one(x=None)),
    Row("", ["a.npz", "'y'", "x", "data.labelled=false"], one(y=None)),
    Row("", ["a.npz", "rename 'Y' to 'y'"], {"a.npz": {"x": X, "Y": Y}}),
    Row("", ["a.npz", "task=regression"], one(y=np.arange(20) / 7)),
    Row(
        "data.test=b.npz",
        ["a.npz", "20 items", "task=regression"],
        {**one(y=np.arange(20) / 7), "b.npz": GOOD},
    ),
    Row("", ["a.npz", "(20, 6, 2, 1)", "data.layout"], one(x=X[..., None])),
    Row("", ["a.npz", "(20, 6, 2, 1)"], one(x=X[..., None])),
    Row("", ["a.npz", "()"], one(x=np.float32(3))),
    Row("", ["a.npz", "<U"], one(x=X.astype(str))),
    Row("", ["a.npz", "complex"], one(x=X.astype(complex))),
    Row("", ["a.npz", "datetime64"], one(x=X.astype(int).astype("datetime64[s]"))),
    Row("", ["a.npz", "expected numbers"], one(x=np.zeros((20, 6, 2), [("p", "f4")]))),
    Row("", "a.npz", one(x=X[:0], y=Y[:0])),
    Row("", "a.npz", one(x=X[:, :0])),
    Row("", "a.npz", one(x=X[:, :, :0])),
    Row("", "a.npz", one(x=X[:2], y=Y[:2])),
    Row("", ["a.npz", "20 series", "19 labels"], one(y=Y[:19])),
    Row("", ["a.npz", "label"], one(y=Y[:, None])),
    Row("", ["a.npz", "label"], one(y=np.array("up"))),
    Row("", ["a.npz", "'up'"], one(y=np.array(["up"] * 20))),
    Row("", ["a.npz", "label"], one(y=np.array([""] * 20))),
    Row("", ["a.npz", "label"], one(y=np.array([np.nan, 1.0] * 10))),
    Row("", ["a.npz", "channel 1", "missing"], one(x=X * [1, np.nan])),
    Row("", ["a.npz", "infinite"], one(x=np.where(X[3, 2, 1] == X, np.inf, X))),
    Row("", ["a.npz", "groups"], one(groups=np.arange(19))),
    Row("data.split=grouped", ["a.npz", "group"], one(groups=np.zeros(20))),
    Row("data.split=grouped", ["data.split=grouped", "groups"], one()),
    Row("data.layout=tbc", ["data.layout=tbc", "btc"], one()),
    Row("data.test_folds=1", "data.test_folds=1", one()),
    Row("data.test_folds=50", ["a.npz", "test split"], one()),
    Row("data.num_folds=1", "data.num_folds=1", one()),
    Row("data.num_folds=50", ["a.npz", "data.num_folds"], one()),
    Row("data.fold=-1", "data.fold=-1", one()),
    Row("data.split=sorted", "data.split=sorted", one()),
    Row("data.label_fraction=0", "data.label_fraction=0", one()),
    Row("data.label_fraction=2", "data.label_fraction=2", one()),
    Row("data.scaling=rows", ["data.scaling=rows", "channel"], one()),
    Row("data.missing=zero", ["data.missing=zero", "indicator"], one()),
    Row("data.num_workers=-1", "data.num_workers=-1", one()),
    Row("data.batch_size=2.5", "data.batch_size=2.5", one()),
    Row("data.batch_size=many", "data.batch_size=many", one()),
    Row("data.channels=3", ["data.channels=3", "2"], one()),
    Row("data.num_classes=3", ["data.num_classes=3", "2"], one()),
    Row("data.labelled=false", ["data.labelled=false", "task=contrastive"], one()),
    Row("data.augment.jitter=5", "data.augment.jitter", one()),
    Row(
        "+data.augment.jitter._target_=seqfuse.data.augment.Jiter",
        "seqfuse.data.augment.Jiter",
        one(),
    ),
    Row("data.nothing=1", "data.nothing", one()),
    Row("data.root=null", "data.root", one()),
    Row("data.test=b.npz", "b.npz is not there", one(), begins=True),
    Row(
        "data.test=b.npz",
        ["b.npz", "3 channels"],
        {**one(), **one("b.npz", channels=3)},
        begins=True,
    ),
    Row(
        "data.test=b.npz",
        ["b.npz", "row 1", "left"],
        {**one(), **one("b.npz", y=np.array(["up", "left"] * 10))},
        begins=True,
    ),
    Row("data.test=b.npz", "b.npz", {**one(), "b.npz": npz(**GOOD)[:300]}, begins=True),
    Row("data.test=b.npz", ["b.npz", "'y'"], {**one(), **one("b.npz", y=None)}, begins=True),
)
def test_arrays(judge: Judge, row: Row) -> None:
    assert judge(row, main, *ARRAYS) == ""


ARCHIVE = ("data.name=Mine", "paths.data=d", "model=base", *BRIEF)


def train(ending: str, content: str | bytes) -> dict:
    return {f"d/Mine/Mine_TRAIN.{ending}": content}


def first(item: str) -> dict:
    """A .ts with another item before those that are right."""
    return train("ts", ts(head=f"@classLabel true up down\n@data\n{item}\n"))


@pytest.mark.long
@rows(
    Row("data.name=GunPiont", ["GunPiont", "GunPoint"]),
    Row("data.name=", "data.name"),
    Row("data.name=a/../b", "a/../b"),
    Row("", ["Mine_TRAIN.ts", "@data"], train("ts", ts().replace("@data", "@date"))),
    Row("", "Mine_TRAIN.ts", train("ts", "")),
    Row("", "Mine_TRAIN.ts", train("ts", "@data\n")),
    Row("", "Mine_TRAIN.ts", train("ts", b"\x00\xff\xfe" * 100)),
    Row(
        "",
        ["Mine_TRAIN.ts, line 4", "not UTF-8"],
        train("ts", ts().encode().replace(b"@data\n", b"@data\n\xff", 1)),
    ),
    Row(
        "",
        ["Mine_TRAIN.ts, line 5, column 2", "'x'"],
        train("ts", ts(head="@classLabel true up down\n#\n\n@data\n1,x,3:up\n")),
    ),
    Row("", ["Mine_TRAIN.ts, line 3", "sideways"], first("1,2,3:sideways")),
    Row("", ["Mine_TRAIN.ts, line 3"], first("1,2,3")),
    Row("", ["Mine_TRAIN.ts, line 3", "different lengths"], first("1,2,3:1,2:up")),
    Row("", ["Mine_TRAIN.ts", "channels"], first("1,2,3:1,2,3:up")),
    Row(
        "",
        ["Mine_TRAIN.ts", "@classLabel false", "task=contrastive"],
        train("ts", "@classLabel false\n@data\n1,2,3\n"),
    ),
    Row(
        "",
        ["Mine_TRAIN.ts", "time stamps"],
        train("ts", ts(head="@timestamps true\n@classLabel true up down\n@data\n")),
    ),
    Row("", ["Mine_TRAIN.ts", "infinite"], first("1,inf,3:up")),
    Row("", ["Mine_TRAIN.ts, line 3, column 2", "infinite"], first("1,1e999,3:up")),
    Row("", ["Mine_TRAIN.tsv, line 4", "5 values"], train("tsv", tsv(3) + "1\t1\t2\t3\t4\t5\n")),
    Row("", ["Mine_TRAIN.tsv, line 2, column 3", "'?x'"], train("tsv", "1\t1\t2\n1\t1\t?x\n")),
    Row("", "Mine_TRAIN.ts, line 2", train("ts", "@data\n1,2,3:\n1,2,4:up\n")),
    Row("", "Mine_TRAIN.tsv, line 1", train("tsv", "1\n2\n")),
    Row("", "Mine_TRAIN.tsv", train("tsv", "\n\n\n")),
    Row("", "Mine_TRAIN.tsv", train("tsv", tsv().replace("\t", ","))),
    Row("", ["Mine_TRAIN.arff", "@data"], train("arff", arff().replace("@data", "@dat"))),
    Row("", ["Mine_TRAIN.arff, line 11", "label"], train("arff", arff(1) + "5\n")),
    Row("", ["Mine_TRAIN.arff, line 11, column 2", "'b'"], train("arff", arff(1) + "1,b,3,up\n")),
    Row("", "Mine_TRAIN.tsv.gz is truncated", train("tsv.gz", gz(tsv())[:40])),
    Row("", "Mine_TRAIN.tsv.gz", train("tsv.gz", tsv())),
    Row("", "Mine_TRAIN.ts.gz", train("ts.gz", b"")),
    Row("", "Mine_TRAIN.ts.gz", train("ts.gz", gz(b"\xff\xfe"))),
    Row("", ["Mine_TRAIN.ts", "'up'"], train("ts", ts().replace(":down", ":up"))),
    Row(
        "data.num_folds=0 task.monitor=train/loss",
        "Mine_TEST",
        train("ts", ts()),
        begins=True,
    ),
    Row(
        "",
        "Mine_TEST.ts, line 4",
        {
            **train("ts", ts()),
            "d/Mine/Mine_TEST.ts": "@classLabel true up down\n@data\n1,2,3:up\n1,2,3\n",
        },
        begins=True,
    ),
)
def test_archive_formats(judge: Judge, row: Row) -> None:
    assert judge(row, main, *ARCHIVE) == ""


NUMBERS = np.linspace(0.0, 1.0, len(X))
SEVERAL = np.stack([np.arange(len(X)) % 2, np.arange(len(X)) % 3 == 0], axis=1)


@pytest.mark.long
@rows(
    Row("task=regression", ["a.npz", "row 0", "no number", "task=classification"], one()),
    Row(
        "task=regression",
        ["a.npz", "row 3", "NaN"],
        one(y=np.where(np.arange(20) == 3, np.nan, NUMBERS)),
    ),
    Row("task=regression", ["a.npz", "20 series", "7 labels"], one(y=NUMBERS[:7])),
    Row("task=regression", ["a.npz", "y0"], one(y=np.stack([NUMBERS * np.nan, NUMBERS], axis=1))),
    Row(
        "task=regression",
        ["a.npz", "y_names"],
        one(y=SEVERAL.astype(float), y_names=np.array(["a"])),
    ),
    Row("", ["a.npz", "(20, 2)", "task=regression", "task=multilabel"], one(y=SEVERAL)),
    Row("task=multilabel", ["a.npz", "row 0", "0 or 1"], one(y=SEVERAL + np.arange(2))),
    Row("task=multilabel", ["a.npz", "no item has a label"], one(y=SEVERAL * 0)),
)
def test_numbers_and_several_labels(judge: Judge, row: Row) -> None:
    assert judge(row, main, *ARRAYS) == ""


@pytest.mark.long
@rows(
    Row("data=csv data.file=a.csv task=regression", ["data.label_type=numbers", "data=csv"]),
    Row("data=synthetic task=regression", ["data.label_type=numbers", "task=classification"]),
)
def test_data_without_such_labels(judge: Judge, row: Row) -> None:
    assert judge(row, main, *BRIEF) == ""

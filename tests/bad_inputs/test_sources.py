"""Wrong sources, recordings of devices, key points and clips, to train on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seqfuse.train import main
from tests import devices
from tests.bad_inputs.catalogue import Content, Row, rows
from tests.bad_inputs.conftest import BRIEF, Judge
from tests.bad_inputs.makers import NORMAL, gz, head, npz, saved, sources, zipped

SOURCES = ("data=sources", "data.train=a.npz", "model=base", *BRIEF)
X = NORMAL(size=(20, 4, 3)).astype(np.float32)


def one(**changes: Any) -> dict[str, Content]:
    return {"a.npz": sources(**changes)}


HUGE = {"a.npz": zipped(phone_x=head((10**12, 6, 2)), y=saved(np.array(["a", "b"])))}


@rows(
    Row("data.train=null", "data.train is empty"),
    Row("", "a.npz is not there"),
    Row("", "a.npz", {"a.npz": b"nothing"}),
    Row("", ["a.npz", "1000000000000"], HUGE),
    Row("", ["a.npz", "'y'"], one(y=None)),
    Row("", ["a.npz", "<source>_x"], one(phone_x=None, watch_x=None)),
    Row("data.sources=[phone,ring]", ["a.npz", "'ring_x'"], one()),
    Row("data.sources=[]", "data.sources", one()),
    Row("data.sources=[phone,phone]", "data.sources", one()),
    Row("data.missing=[ring]", ["data.missing=[ring]", "phone"], one()),
    Row("data.missing=[phone,watch]", "data.missing", one()),
    Row("", ["a.npz", "watch", "19"], one(watch_x=X[:19])),
    Row("", ["a.npz", "watch_x", "(20,)"], one(watch_x=X[:, 0, 0])),
    Row("", ["a.npz", "watch_x", "<U"], one(watch_x=X.astype(str))),
    Row("", ["a.npz", "watch_x", "complex"], one(watch_x=X.astype(complex))),
    Row("", ["a.npz", "Python objects"], {"a.npz": npz(**sources(watch_x=X.astype(object)))}),
    Row("", ["a.npz", "watch", "infinite"], one(watch_x=X * np.inf)),
    Row("", ["a.npz", "watch", "no value"], one(watch_x=X * np.nan)),
    Row("", ["a.npz", "19"], one(y=np.array(["up"] * 19))),
    Row("", ["a.npz", "label"], one(y=np.array([np.nan] * 20))),
    Row("", ["a.npz", "'up'"], one(y=np.array(["up"] * 20))),
    Row("", ["a.npz", "groups"], one(groups=np.arange(19))),
    Row("", "a.npz", one(watch_x=X[:0], phone_x=X[:0], y=X[:0, 0, 0])),
    Row("data.test_folds=0", "data.test_folds=0", one()),
    Row("data.test_folds=30", ["a.npz", "test split"], one()),
)
def test_sources(judge: Judge, row: Row) -> None:
    assert judge(row, main, *SOURCES) == ""


HAR = ("data=har_steps", "data.root=d", *[w.format(source="{source}") for w in devices.OPTIONS],
       *BRIEF)  # fmt: skip
PHONE, WATCH = devices.phone(), devices.watch()


def recordings(name: str = "phone", labels: Content = "REST\nMOVE\n", **changes: Any) -> dict:
    """Both devices; arrays of one are changed, or taken out by None."""
    both = {"phone": dict(PHONE), "watch": dict(WATCH)}
    both[name] = {k: v for k, v in {**both[name], **changes}.items() if v is not None}
    files: dict[str, Content] = {f"d/{key}.npz": arrays for key, arrays in both.items()}
    return {**files, "d/labels.txt": labels}


@rows(
    Row("data.root=e", "phone.npz is not there", recordings()),
    Row("data.sources=[phone,ring]", "ring.npz is not there", recordings()),
    Row("data.sources=[]", "data.sources", recordings()),
    Row("data.file=phone.npz", "data.file", recordings()),
    Row("data.rate=[]", "data.rate", recordings()),
    Row("data.rate=[0]", "data.rate", recordings()),
    Row("data.rate=[10,20,30]", "data.rate", recordings()),
    Row("data.rate=10", "data.rate=10", recordings()),
    Row("data.sources=[phone,phone]", "data.sources", recordings()),
    Row("data.labels=names.txt", "names.txt is not there", recordings()),
    Row("", ["phone.npz", "data.labels"], recordings(labels="REST\n")),
    Row("", "labels.txt", recordings(labels=b"\xff\xfe")),
    Row("data.test_people=[99]", "99", recordings()),
    Row("data.test_people=[1] data.validation_people=[1]", "1", recordings()),
    Row("data.test_people=null", "data.test_people", recordings()),
    Row(
        "data.test_fold=9 data.test_people=null data.validation_people=null",
        "data.test_people",
        recordings(),
    ),
    Row("", "phone.npz", {**recordings(), "d/phone.npz": b"nothing"}),
    Row("", ["phone.npz", "x"], recordings(x=None)),
    Row("", ["phone.npz", "t_ms"], recordings(t_ms=None)),
    Row("", ["phone.npz", "label"], recordings(label=None)),
    Row("", "watch.npz", recordings(subject=None)),
    Row("", ["phone.npz", "t_ms"], recordings(t_ms=PHONE["t_ms"][:9])),
    Row("", ["phone.npz", "x"], recordings(x=PHONE["x"][:, 0])),
    Row("", ["phone.npz", "infinite"], recordings(x=PHONE["x"] * np.inf)),
    Row("", ["phone.npz", "t_ms"], recordings(t_ms=PHONE["t_ms"][::-1].copy())),
    Row("", ["watch.npz"], recordings("watch", subject=WATCH["subject"] + 10)),
)
def test_devices(judge: Judge, row: Row) -> None:
    assert judge(row, main, *HAR) == ""


POINTS = ("data=hand_gesture", "data.file=p.csv", "data.names=n.txt", "data.gap=0",
          "model=base", *BRIEF)  # fmt: skip


def points(*more: str, rows: int = 30) -> dict:
    lines = [f"{i % 2}," + ",".join(f"{v:.3f}" for v in NORMAL(size=8)) for i in range(rows)]
    return {"p.csv": "\n".join([*lines, *more]) + "\n", "n.txt": "left\nright\n"}


@rows(
    Row("data.file=q.csv", "q.csv is not there", points()),
    Row("data.names=m.txt", "m.txt is not there", points()),
    Row("data.file=null", "data.file", points()),
    Row("", ["p.csv, line 31"], points("0,1,2,3")),
    Row("", ["p.csv, line 31", "'x'"], points("0,1,2,3,x,5,6,7,8")),
    Row("", ["p.csv, line 31"], points("a,1,2,3,4,5,6,7,8")),
    Row("", ["p.csv, line 31"], points("0.5,1,2,3,4,5,6,7,8")),
    Row("", ["n.txt", "2 names", "class 5"], points("5,1,2,3,4,5,6,7,8")),
    Row("", "p.csv", {**points(), "p.csv": ""}),
    Row("", "p.csv", {**points(), "p.csv": b"\xff\xfe\n"}),
    Row("data.file=p.csv.gz", "p.csv.gz", {**points(), "p.csv.gz": gz("0,1,2\n" * 99)[:30]}),
    Row("", "n.txt", {**points(), "n.txt": ""}),
    Row("", "n.txt", {**points(), "n.txt": b"\xff\xfe"}),
    Row("data.gap=100", ["class 0", "data.gap=100"], points()),
    Row("data.gap=-1", "data.gap=-1", points()),
    Row("data.test_fold=9", "data.test_fold=9", points()),
    Row("data.test_folds=2", "data.test_folds=2", points()),
    Row("data.val_fraction=2", "data.val_fraction=2", points()),
    Row("data.val_fraction=0", "data.val_fraction=0", points()),
)
def test_key_points(judge: Judge, row: Row) -> None:
    assert judge(row, main, *POINTS) == ""


def strip(path: Path) -> None:
    """Three square frames side by side."""
    Image.fromarray((NORMAL(size=(8, 24, 3)) * 99).astype(np.uint8)).save(path)


def clips(changed: dict[str, Content] | None = None, count: int = 6) -> dict[str, Content]:
    names = [f"c/{label}/{i}.png" for label in ("up", "down") for i in range(count)]
    return {**dict.fromkeys(names, strip), **(changed or {})}


VIDEO = ("data=video", "data.folder=c", "data.size=8", "data.num_frames=3", "data.cache=''",
         "data.test_folds=3", "data.num_folds=2", *BRIEF)  # fmt: skip


def listed(text: str) -> dict[str, Content]:
    return clips({"l.csv": text})


LIST = "data.list=l.csv"


@pytest.mark.long
@rows(
    Row("data.folder=null", "data.folder is empty"),
    Row("data.folder=e", "e is not there", clips()),
    Row("data.folder=c/up/1.png", "c/up/1.png", clips()),
    Row("data.folder=e", "e", {**clips(), "e/a.txt": "text"}),
    Row("", ["c/sideways", "no clip"], clips({"c/sideways/a.txt": "text"})),
    Row("", "c/up/1.png", clips({"c/up/1.png": b""})),
    Row("", "c/up/1.png", clips({"c/up/1.png": b"nothing"})),
    Row("", "c/up/1.mp4", clips({"c/up/1.mp4": b"nothing" * 100}), begins=True),
    Row("", "c/up/1.avi", clips({"c/up/1.avi": b""}), begins=True),
    Row("data.skip_bad=true", "none of", dict.fromkeys(clips(), b"nothing"), begins=True),
    Row("", ["1 clips", "data.test_folds=3"], {"c/up/0.png": strip, "c/down/0.png": strip}),
    Row("data.list=m.csv", "m.csv is not there", clips()),
    Row(LIST, "l.csv", listed("")),
    Row(LIST, ["l.csv", "'label'"], listed("clip,labels\n0,up\n")),
    Row(LIST, ["l.csv", "no clip"], listed("clip,label\n")),
    Row(LIST, ["l.csv", "up/9"], listed("clip,label\n9,up\n0,down\n")),
    Row(LIST, ["l.csv", "'down'"], listed("clip,label\n0,up\n")),
    Row(LIST, ["l.csv", "'left'"], listed("clip,label\n0,up\n0,down\n0,left\n")),
    Row(LIST, ["l.csv, line 3", "label"], listed("clip,label\n0,up\n0,\n")),
    Row(LIST, ["l.csv, line 3", "no clip"], listed("clip,label\n0,up\n,down\n")),
    Row(LIST, ["l.csv, line 3", "0 once more"], listed("clip,label\n0,up\n0,up\n0,down\n")),
    Row(LIST, ["l.csv, line 3", "'tset'"], listed("clip,label,split\n0,up,train\n0,down,tset\n")),
    Row(
        LIST,
        ["l.csv", "s1", "split"],
        listed("clip,label,source,split\n0,up,s1,train\n0,down,s1,test\n"),
    ),
    Row(LIST, "c (train)", listed("clip,label,split\n0,up,test\n0,down,test\n")),
    Row(LIST, "l.csv", clips({"l.csv": b"\xff\xfe\x00"})),
    Row("data.num_frames=0", "data.num_frames=0", clips()),
    Row("data.size=-1", "data.size=-1", clips()),
    Row("data.test_folds=1", "data.test_folds=1", clips()),
    Row("data.normal=up", "data.normal", clips()),
)
def test_clips(judge: Judge, row: Row) -> None:
    assert judge(row, main, *VIDEO) == ""

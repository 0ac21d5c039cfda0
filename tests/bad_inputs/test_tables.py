"""Wrong tables, to train on: forecasts, mapped arrays, recordings with anomalies."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqfuse.train import main
from tests.bad_inputs.catalogue import Row, rows
from tests.bad_inputs.conftest import BRIEF, SPANS, Judge
from tests.bad_inputs.makers import NORMAL, gz, head, table

TABLE = ("data=csv", "data.file=t.csv", *SPANS, *BRIEF)
DAYS = np.datetime64("2024-01-01") + np.arange(100)


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    found = {"date": DAYS.astype("datetime64[s]"), "a": np.arange(100.0), **columns}
    pd.DataFrame(found).to_parquet(file)
    return file.getvalue()


def day(rows: dict[int, str]) -> dict:
    """A table of days, some of which are written otherwise."""
    return {"t.csv": table(100, date=lambda i: rows.get(i, str(DAYS[i])))}


def cell(row: int, text: str) -> dict:
    """A table with another cell in column a."""
    return {"t.csv": table(100, a=lambda i: text if i == row else f"{np.sin(i):.3f}")}


def files(*contents: bytes) -> dict:
    """Files 1, 2, ... of a folder."""
    return {f"t/{i}.parquet": content for i, content in enumerate(contents, start=1)}


GOOD = {"t.csv": table()}


@rows(
    Row("data.file=null", "data.file is empty"),
    Row("data.file=u.csv", "u.csv is not there"),
    Row("data.file=here", "here", {"here/t.csv": table()}),
    Row("data.file=5", ["data.file=5", "name of a file"]),
    Row("data.file=[t.csv]", "data.file", GOOD),
    Row("", "t.csv is empty", {"t.csv": ""}),
    Row("", "t.csv", {"t.csv": "\n\n\n"}),
    Row("", "t.csv has no rows", {"t.csv": "date,a\n"}),
    Row(
        "",
        ["t.csv, line 3", "UTF-8"],
        {"t.csv": table().encode().replace(b"2024-01-01 01", b"2024-\xff1-01 01")},
    ),
    Row("", "t.csv", {"t.csv": b"\x00\x01\x02\x03" * 100}),
    Row("", "t.csv", {"t.csv": gz(table())}),
    Row("data.file=t.csv.gz", "t.csv.gz", {"t.csv.gz": table()}),
    Row("data.file=t.csv.gz", "t.csv.gz", {"t.csv.gz": gz(table())[:200]}),
    Row("data.file=t.parquet", "t.parquet", {"t.parquet": b""}),
    Row("data.file=t.parquet", "t.parquet", {"t.parquet": table()}),
    Row("data.file=t.parquet", "t.parquet", {"t.parquet": parquet()[:-20]}),
    Row("data.file=t.parquet data.targets=[z]", ["t.parquet", "'z'"], {"t.parquet": parquet()}),
    Row("data.file=t.parquet", ["t.parquet", "'w'"], {"t.parquet": parquet(w=["x"] * 100)}),
    Row("data.file=t.parquet", ["t.parquet", "'w'"], {"t.parquet": parquet(w=[[1, 2]] * 100)}),
    Row("data.file=t.parquet", ["t.parquet", "date"], {"t.parquet": parquet(date=np.arange(100))}),
    Row(
        "data.file=t.parquet",
        ["t.parquet", "has no rows"],
        {"t.parquet": lambda path: pd.DataFrame({"date": [], "a": []}).to_parquet(path)},
    ),
    Row("", ["t.csv", "data.time", "'date'", "a, b"], {"t.csv": table().replace("date", "day", 1)}),
    Row("data.time=a", ["t.csv", "'a'", "numbers"], GOOD),
    Row("data.time=[date,hour]", ["t.csv", "'hour'", "data.time"], GOOD),
    Row("data.time=[a,b]", ["data.time", "'a'", "year"], GOOD),
    Row("data.time=null", "data.time", GOOD),
    Row("data.targets=[z]", ["t.csv", "'z'", "data.targets"], GOOD),
    Row("data.targets=[]", ["data.targets"], GOOD),
    Row("data.targets=[a,a]", ["data.targets", "'a'"], GOOD),
    Row("data.targets=[date]", ["t.csv", "date"], GOOD),
    Row("data.targets={a:b}", "data.targets", GOOD),
    Row("data.targets=null", "data.targets", GOOD),
    Row("data.covariates=[z]", ["t.csv", "'z'", "data.covariates"], GOOD),
    Row("data.covariates=[a,b]", ["data.targets"], GOOD),
    Row("data.covariates=[a] data.targets=[a]", "'a'", GOOD),
    Row("data.known=[z]", ["t.csv", "'z'", "data.known"], GOOD),
    Row("data.known=[hours]", ["t.csv", "'hours'", "data.known"], GOOD),
    Row("data.words={a:[x,y]}", ["data.words", "+data.words."], GOOD),
    Row("data.words={z:[x,y]}", ["data.words", "+data.words."], GOOD),
    Row("data.words=5", "data.words", GOOD),
    Row("data.group=z", ["t.csv", "'z'", "data.group"], GOOD),
    Row("data.group=a", ["t.csv", "too few"], GOOD),
    Row("data.group=a", ["t.csv", "line 5", "'a'", "empty"], cell(3, "")),
    Row("", ["t.csv", "line 12", "'a'", "'x'"], cell(10, "x")),
    Row("", ["t.csv", "line 12", "'a'", "empty", "data.gaps=fill"], cell(10, "")),
    Row("", ["t.csv", "line 12", "'a'", "infinite"], cell(10, "inf")),
    Row("", ["t.csv", "line 12", "'a'", "1.2.3"], cell(10, "1.2.3")),
    Row("", ["t.csv", "'a'"], {"t.csv": table(a=lambda i: "")}),
    Row("data.gaps=fill", ["t.csv", "'a'", "no value"], {"t.csv": table(a=lambda i: "")}),
    Row("data.gaps=fix", ["data.gaps=fix", "refuse"], GOOD),
    Row("", ["t.csv", "line 12", "before"], day({10: "2023-12-31"})),
    Row("", ["t.csv", "line 12", "twice"], day({10: str(DAYS[9])})),
    Row("", ["t.csv", "missing", "line 100", "data.gaps=fill"], day({99: "2024-04-12"})),
    Row("", ["t.csv", "line 12", "stamp"], day({10: ""})),
    Row("", ["t.csv", "too few"], {"t.csv": table(20)}),
    Row("", ["t.csv"], {"t.csv": table(1)}),
    Row("data.file=t.parquet", "t.parquet", {"t.parquet": b"PAR1" + parquet()[100:]}),
    Row("data.file=t", "t holds no file that ends in .parquet", {"t/t.csv": table()}),
    Row("data.file=t/*.parquet", ["t/*.parquet", "data."], {"t/t.csv": table()}),
    Row("data.file=t", ["t/2.parquet", "'b'", "t/1.parquet"], files(parquet(b=DAYS), parquet())),
    Row("data.file=t", ["t/2.parquet", "'b'"], files(parquet(), parquet(b=DAYS))),
    Row("data.file=t", ["t/2.parquet", "'a'"], files(parquet(), parquet(a=["x"] * 100))),
    Row("data.file=t", "t/2.parquet", files(parquet(), parquet()[:-20], parquet())),
    Row("data.file=t", "t/2.parquet", files(parquet(), parquet()[100:], parquet())),
    Row(
        "data.file=t",
        ["row 102 (row 2 of 2.parquet)", "row 2 of 1.parquet"],
        files(parquet(), parquet()),
    ),
    Row("data.time=5", "data.time", GOOD),
    Row("data.targets=5", ["data.targets"], GOOD),
    Row("", ["t.csv", "line 12", "off the step"], day({10: "2024-01-11 05:00"})),
    Row("", ["t.csv", "date", "2024-13-45"], day({10: "2024-13-45"})),
    Row("", ["t.csv", "date", "yesterday"], day({10: "yesterday"})),
    Row("", ["t.csv", "date"], day({10: "2024-01-11T00:00:00+05:00"})),
    Row("", ["t.csv", "date"], day({10: "99999-01-01"})),
    Row("", ["t.csv"], {"t.csv": "date,a\n2024-01-01,1\n2024-01-02,2,3,4\n"}),
    Row("", ["t.csv"], {"t.csv": 'date,a\n2024-01-01,"1\n2024-01-02,2\n'}),
    Row("data.split=[0.5,0.6]", "data.split=[0.5, 0.6]", GOOD),
    Row("data.split=[]", "data.split=[]", GOOD),
    Row("data.split=[60,20,40]", ["t.csv", "data.split=[60, 20, 40]", "100 rows"], GOOD),
    Row("data.split=[0,0.5,0.5]", "data.split", GOOD),
    Row("data.split=[-1,1,1]", "data.split", GOOD),
    Row("data.split=[a,b,c]", "data.split", GOOD),
    Row("data.split=['2024-01-03','2024-01-02']", ["data.split", "order"], GOOD),
    Row("data.split=['2034-01-03','2034-01-04']", ["t.csv", "data.split"], GOOD),
    Row("data.split=['soon','later']", ["data.split", "soon"], GOOD),
    Row("data.split=null", "data.split", GOOD),
    Row("data.look_back=0", "data.look_back=0", GOOD),
    Row("data.look_back=1000", ["t.csv", "data.look_back=1000"], GOOD),
    Row("data.horizon=-1", "horizon=-1", GOOD),
    Row("data.horizon=1000", ["t.csv", "data.horizon=1000"], GOOD),
    Row("data.horizon=2.5", "data.horizon=2.5", GOOD),
    Row("data.season=0", "data.season=0", GOOD),
    Row("data.season=1000", ["t.csv", "data.season=1000"], GOOD),
    Row("data.scaling=rows", "data.scaling=rows", GOOD),
    Row("data.batch_size=1000", "data.batch_size=1000", GOOD),
    Row("data.returns=true", ["t.csv", "line 2", "data.returns"], GOOD),
    Row("task.quantiles=[0.9,0.5,0.1]", "quantiles", GOOD),
    Row("task.quantiles=[]", "quantiles", GOOD),
    Row("task.quantiles=[0.0,0.5,1.0]", "quantiles", GOOD),
    Row("task.quantiles=0.5", "quantiles", GOOD),
    Row("task=classification", "task", GOOD),
    Row("model=base", "model", GOOD),
)
def test_forecasts(judge: Judge, row: Row) -> None:
    words = [w for w in TABLE if not (row.words.startswith("model=") and w.startswith("model="))]
    assert judge(row, main, *words) == ""


MAPPED = ("data=mapped", "data.file=r.npy", *SPANS, *BRIEF)
ROWS = NORMAL(size=(120, 2)).astype(np.float32)


@pytest.mark.long
@rows(
    Row("data.file=null", "data.file is empty"),
    Row("", "r.npy is not there"),
    Row("", "r.npy", {"r.npy": b""}),
    Row("", "r.npy", {"r.npy": "a,b"}),
    Row("", ["r.npy", "truncated"], {"r.npy": head((10**12, 2))}),
    Row("", ["r.npy", "(120, 2, 1)"], {"r.npy": ROWS[..., None]}),
    Row("", ["r.npy", "complex"], {"r.npy": ROWS.astype(complex)}),
    Row("", ["r.npy", "<U"], {"r.npy": ROWS.astype(str)}),
    Row("", ["r.npy", "object"], {"r.npy": lambda path: np.save(path, ROWS.astype(object))}),
    Row("", ["r.npy", "infinite"], {"r.npy": np.where(ROWS > 1, np.inf, ROWS)}),
    Row("", ["r.npy", "'0'", "no value"], {"r.npy": ROWS * [np.nan, 1]}),
    Row("", "r.npy", {"r.npy": ROWS[:10]}),
    Row("", "r.npy", {"r.npy": ROWS[:0]}),
    Row("data.targets=[5]", ["r.npy", "5", "data.targets"], {"r.npy": ROWS}),
    Row("data.targets=[a]", ["r.npy", "a", "data.targets"], {"r.npy": ROWS}),
    Row("data.covariates=[0,1]", "data.targets", {"r.npy": ROWS}),
    Row("data.split=['2024-01-01','2024-02-01']", "data.split", {"r.npy": ROWS}),
    Row("data.pool=0", "data.pool=0", {"r.npy": ROWS}),
    Row("data.file=r.parquet", "r.parquet", {"r.parquet": b"PAR1"}),
    Row("data.file=r.csv", ["r.csv", ".npy"], {"r.csv": table()}),
)
def test_mapped(judge: Judge, row: Row) -> None:
    assert judge(row, main, *MAPPED) == ""


LABELLED = ("data=labelled", "data.file=t.csv", "data.train=0.5", *SPANS, *BRIEF)


def marked(label: Any = lambda i: int(i == 150)) -> dict:
    return {"t.csv": table(200, anomaly=label)}


@rows(
    Row("data.label=fault", ["t.csv", "'fault'", "data.label"], {"t.csv": table(200)}),
    Row("", ["t.csv", "anomaly", "2"], marked(lambda i: 2 * (i == 150))),
    Row("", ["t.csv", "'anomaly'", "'no'"], marked(lambda i: "yes" if i == 150 else "no")),
    Row("data.label=[anomaly]", "data.label", marked()),
    Row("data.label=null", "data.label", marked()),
    Row("data.train=0", "data.train=0", marked()),
    Row("data.train=1", "data.train=1", marked()),
    Row("data.train=0.01", "data.look_back=8", marked()),
    Row("data.validation=0", "data.validation=0", marked()),
    Row("data.validation=1.5", "data.validation=1.5", marked()),
    Row("data.stride=0", "data.stride=0", marked()),
    Row("data.stride=5", "data.stride=5", marked()),
    Row("data.limit=0", "data.limit=0", marked()),
    Row("data.columns=[z]", ["z", "data.columns"], marked()),
    Row("data.columns=[]", "data.columns", marked()),
    Row("data.reconstruct=true", "data.horizon", marked()),
    Row("task.quantile=2", "quantile=2", marked()),
    Row("task/scorer=nothing", "likelihood", marked()),
    Row("task/scorer=subspace", "data.reconstruct=true", marked()),
    Row("task.measures.vus_pr.max_buffer=-1", "max_buffer=-1", marked()),
)
def test_anomalies(judge: Judge, row: Row) -> None:
    assert judge(row, main, *LABELLED) == ""

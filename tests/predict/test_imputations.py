"""Files with gaps, filled: as they were, but for what they lacked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import seqfuse
from seqfuse.predict import main
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests import tables
from tests.conftest import QUIET, assert_refused, composed

SHOPS = ("data=incomplete", "data.time=when", "data.group=shop", "data.targets=[sales,stock]")
SIZES = (
    *("data.look_back=16", "data.masking.lengths=[1,4]", "model.cnn.channels=[8]"),
    "data.split=[0.6,0.2,0.2]",
    *("model.lstm.hidden_size=8", "trainer.max_epochs=1", "callbacks.figures=null"),
)


def fit(folder: Path, *words: str) -> Path:
    tables.shops(folder / "shops.csv")
    own = (*SHOPS, "data.known=[offer,hour]", f"data.file={folder}/shops.csv", "test=false")
    train(composed([*QUIET, *own, *SIZES, *words]), folder / "run")
    return folder / "run" / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shops")
    best = fit(folder)
    (folder / "shops.csv").unlink()  # a checkpoint needs none of it to fill
    return best


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """Shops whose rows take turns, with gaps, a note on each row, and rows that are missing."""
    found = tables.shops(tmp_path / "shops.csv")
    found["note"] = [f"note {i}" for i in range(len(found))]
    found.loc[[5, 6, 7], "sales"] = np.nan
    found.loc[140:149, ["sales", "stock"]] = np.nan  # the end of a shop
    found.loc[160:190, "stock"] = np.nan  # longer than a window
    found = found.drop(index=[20, 21, 200]).sort_values(["when", "shop"])
    return written(found)


def written(frame: pd.DataFrame) -> pd.DataFrame:
    frame.to_csv("new.csv", index=False)
    return pd.read_csv("new.csv")


@pytest.fixture
def predict(command: Callable, ckpt: Path) -> Callable[..., tuple[int, str, str]]:
    return lambda *words: command(main, f"ckpt={ckpt}", *QUIET, *words)


@pytest.mark.long
def test_a_file_is_written_back_with_its_gaps_filled(
    predict: Callable, frame: pd.DataFrame
) -> None:
    code, out, err = predict("input=new.csv", "output=out.csv")
    assert code == 0, err
    gaps = int(frame[["sales", "stock"]].isna().sum().sum()) + 6
    assert out == f"note  {gaps} values are filled, 3 rows are added\n300 rows  out.csv\n"
    found = pd.read_csv("out.csv")
    assert list(found) == [*frame, "imputed"]
    kept = found[found["note"].notna()].reset_index(drop=True)
    for name in frame:
        there = frame[name].notna()
        assert kept[name][there].tolist() == frame[name][there].tolist(), name
    lacking = frame[["sales", "stock"]].isna()
    names = [[n for n in ("sales", "stock") if row[n]] for _, row in lacking.iterrows()]
    assert kept["imputed"].fillna("").tolist() == ["|".join(row) for row in names]
    assert found["sales"].between(500, 1500).all(), "in the user's units"
    assert found["stock"].between(250, 750).all()
    added = found[found["note"].isna()]
    assert added["imputed"].tolist() == ["sales|stock"] * 3
    assert added["offer"].isna().all()
    assert added["shop"].tolist() == ["west", "west", "east"]
    full = pd.read_csv("shops.csv")
    wanted = full.loc[[20, 21, 200], ["when", "shop"]].values.tolist()
    assert added[["when", "shop"]].values.tolist() == wanted
    for _, shop in found.groupby("shop"):
        assert shop["when"].is_monotonic_increasing
        assert len(shop) == 150


@pytest.mark.long
def test_every_format_and_surface_gives_the_same(
    predict: Callable, ckpt: Path, frame: pd.DataFrame
) -> None:
    for name in ("out.csv", "out.parquet", "out.jsonl"):
        assert predict("input=new.csv", f"output={name}")[0] == 0
    wanted = pd.read_csv("out.csv")
    model = seqfuse.load(ckpt)
    columns = ["sales", "stock"]
    for other in (
        pd.read_parquet("out.parquet"),
        pd.read_json("out.jsonl", lines=True),
        pd.DataFrame(model.predict(frame)),
        pd.DataFrame(model.predict("new.csv")),
        pd.DataFrame(model.table("new.csv")),
    ):
        assert list(other) == list(wanted)
        assert other["imputed"].tolist() == wanted["imputed"].fillna("").tolist()
        np.testing.assert_allclose(other[columns], wanted[columns], rtol=1e-9)
    frame["when"] = pd.to_datetime(frame["when"])
    frame.to_parquet("new.parquet")
    assert predict("input=new.parquet", "output=again.parquet")[0] == 0
    again = pd.read_parquet("again.parquet")
    assert again["when"].dtype.kind == "M"
    assert (again["when"] == pd.to_datetime(wanted["when"])).all()
    np.testing.assert_allclose(again[columns], wanted[columns], rtol=1e-9)
    assert predict("input=out.csv", "output=twice.csv")[0] == 1  # it has the column `imputed`


@pytest.mark.long
def test_an_array_is_filled(ckpt: Path) -> None:
    model = seqfuse.load(ckpt)
    x = np.random.default_rng(0).normal(1000, 9, size=(50, len(model.columns)))
    x[3:9, 0] = np.nan
    found = model.predict(x)
    assert found.shape == (50, 2)
    there = ~np.isnan(x[:, :2])
    np.testing.assert_array_equal(found[there], x[:, :2][there])
    assert np.isfinite(found).all()
    with pytest.raises(InputError, match="x has 3 columns, training had sales, stock, offer"):
        model.predict(x[:, :3])
    with pytest.raises(InputError, match="nothing to fill: x is empty"):
        model.predict(x[:0])
    with pytest.raises(InputError, match="no row has a value in sales, stock"):
        model.predict(np.full((5, len(model.columns)), np.nan))


@pytest.mark.parametrize("rows", [1, 2, 5, 15, 16, 17, 24, 40])
def test_any_length_is_covered(rows: int, ckpt: Path) -> None:
    model = seqfuse.load(ckpt)
    x = np.random.default_rng(0).normal(1000, 9, size=(rows, len(model.columns)))
    x[::2, 1] = np.nan
    found = model.predict(x)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[1::2, 1], x[1::2, 1])


def test_windows_agree_on_what_they_see(ckpt: Path) -> None:
    """What lies a window or more away from a gap changes nothing in it."""
    model = seqfuse.load(ckpt)
    x = np.random.default_rng(0).normal(1000, 9, size=(200, len(model.columns)))
    x[100, 0] = np.nan
    far = x.copy()
    far[:80] += 500
    far[120:] -= 500
    assert model.predict(x)[100, 0] == pytest.approx(model.predict(far)[100, 0], rel=1e-6)
    near = x.copy()
    near[101:104] += 500
    assert model.predict(x)[100, 0] != pytest.approx(model.predict(near)[100, 0], rel=1e-6)


@pytest.mark.long
def test_a_file_without_a_gap_is_written_back(predict: Callable, frame: pd.DataFrame) -> None:
    whole = written(pd.read_csv("shops.csv"))
    code, out, err = predict("input=new.csv", "output=out.csv")
    assert code == 0, err
    assert "note  no value is missing" in out
    found = pd.read_csv("out.csv")
    assert found["imputed"].isna().all()
    pd.testing.assert_frame_equal(found.drop(columns="imputed"), whole)


@pytest.mark.long
def test_a_folder_of_files(predict: Callable, frame: pd.DataFrame) -> None:
    Path("in").mkdir()
    for name in ("b.csv", "a.csv"):
        frame.to_csv(f"in/{name}", index=False)
    assert predict("input=in", "output=out.csv")[0] == 0
    found = pd.read_csv("out.csv")
    assert found["file"].tolist() == ["a.csv"] * 300 + ["b.csv"] * 300


def all_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(sales=np.nan, stock=np.nan)


def one_shop(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[frame["shop"] == "east", ["sales", "stock"]] = np.nan
    return frame


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (lambda f: f.assign(stock=np.nan), [], "new.csv: column 'stock' has no value at all"),
        (all_rows, [], "new.csv (east): no row has a value in sales, stock"),
        (one_shop, [], "new.csv (east): no row has a value in sales, stock"),
        (lambda f: f.assign(imputed=""), [], "new.csv has a column 'imputed' already"),
        (lambda f: f, ["every=2"], "every=2 is not for imputations"),
        (lambda f: f, ["data.gaps=refuse"], "data.gaps=refuse"),
    ],
)
def test_a_mistake_gets_one_line_and_no_file(
    predict: Callable, frame: pd.DataFrame, change: Callable, words: list[str], message: str
) -> None:
    change(frame).to_csv("new.csv", index=False)
    assert_refused(predict("input=new.csv", "output=out.csv", *words), message)
    assert not list(Path().glob("*out*"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("form", "written_as"),
    [
        (None, "%Y-%m-%d %H:%M"),
        (None, "%Y/%m/%dT%H:%M:%S"),
        (None, "%Y-%m-%d %H:%MZ"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M"),
    ],
)
def test_added_rows_have_stamps_as_the_others(
    form: str | None, written_as: str, tmp_path: Path
) -> None:
    stamps = pd.date_range("2024-01-01", periods=60, freq="h")
    frame = pd.DataFrame({"date": stamps.strftime(written_as), "load": np.arange(60.0)})
    frame.drop(index=[30, 31]).to_csv(tmp_path / "mine.csv", index=False)
    words = ["data=incomplete", f"data.file={tmp_path}/mine.csv", "data.masking.lengths=[1,1]"]
    words += ["data.look_back=4", "test=false", *([f"data.time_format='{form}'"] if form else [])]
    train(composed([*QUIET, *SIZES, *words]), tmp_path / "run")
    model = seqfuse.load(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert list(model.table(tmp_path / "mine.csv")["date"]) == frame["date"].tolist()


@pytest.mark.long
def test_parts_of_a_stamp_are_added_each(tmp_path: Path) -> None:
    stamps = pd.date_range("2024-01-01", periods=60, freq="h")
    parts = {name: getattr(stamps, name) for name in ("year", "month", "day", "hour")}
    frame = pd.DataFrame({**parts, "load": np.arange(60.0)})
    frame.drop(index=[22, 23, 24]).to_csv(tmp_path / "mine.csv", index=False)
    words = ["data=incomplete", f"data.file={tmp_path}/mine.csv", "data.masking.lengths=[1,1]"]
    words += ["data.look_back=4", "data.time=[year,month,day,hour]", "test=false"]
    train(composed([*QUIET, *SIZES, *words]), tmp_path / "run")
    model = seqfuse.load(tmp_path / "run" / "checkpoints" / "best.ckpt")
    found = pd.DataFrame(model.table(tmp_path / "mine.csv"))
    assert found[list(parts)].astype(int).values.tolist() == frame[list(parts)].values.tolist()
    pd.read_csv(tmp_path / "mine.csv").to_parquet(tmp_path / "mine.parquet")
    found = pd.DataFrame(model.table(tmp_path / "mine.parquet"))
    assert found[list(parts)].values.tolist() == frame[list(parts)].values.tolist()

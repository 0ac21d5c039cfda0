"""Forecasts on the command line and from Python: the numbers of the test step, in its units."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.predict import main
from seqfuse.runtime import runner
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests import shipped, tables
from tests.conftest import QUIET, assert_refused, composed

SIZES = ("data.look_back=24", "data.horizon=6", "data.split=[0.6,0.1,0.1,0.2]")
LEVELS = [0.025, 0.1, 0.25, 0.75, 0.9, 0.975]


def fit(folder: Path, *words: str) -> Path:
    knobs = ("data=csv", "data.time=when", "data.group=shop", "data.targets=[sales,stock]")
    sizes = ("trainer.max_epochs=1", "model.segment_size=6", "callbacks.figures=null")
    file = f"data.file={folder}/shops.csv"
    train(composed([*QUIET, *knobs, *SIZES, *sizes, file, *words]), folder / "run")
    return folder / "run" / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shops")
    tables.shops(folder / "shops.csv")
    best = fit(folder, "data.known=[offer,hour]")
    (folder / "shops.csv").unlink()  # a checkpoint needs none of it to predict
    return best


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """As for training, but of the last ten rows only the offers are known."""
    found = tables.shops(tmp_path / "shops.csv")
    ahead = found.groupby("shop").cumcount() >= 140
    found.loc[ahead, ["sales", "stock"]] = np.nan
    found.to_csv(tmp_path / "new.csv", index=False)
    return found


@pytest.fixture
def predict(command: Callable, ckpt: Path) -> Callable[..., tuple[int, str, str]]:
    return lambda *words: command(main, f"ckpt={ckpt}", *QUIET, *words)


@pytest.mark.long
def test_one_forecast_for_each_series(predict: Callable, frame: pd.DataFrame) -> None:
    code, out, err = predict("input=new.csv", "output=out.csv")
    assert code == 0, err
    assert out == "12 rows  out.csv\n"
    found = pd.read_csv("out.csv", parse_dates=["from", "time"])
    bands = [f"{name}_q{q}" for name in ("sales", "stock") for q in LEVELS]
    wanted = ["shop", "from", "time", "step", "sales", *bands[:6], "stock", *bands[6:]]
    assert list(found) == wanted
    assert found["shop"].tolist() == ["east"] * 6 + ["west"] * 6
    assert found["step"].tolist() == [1, 2, 3, 4, 5, 6] * 2
    assert (found["from"] == pd.Timestamp("2020-01-06 19:00")).all()
    assert (found["time"] - found["from"] == pd.to_timedelta(found["step"], "h")).all()
    assert found["sales"].between(500, 1500).all(), "in the user's units"
    assert found["stock"].between(250, 750).all()


@pytest.mark.long
def test_a_pattern_names_one_table(predict: Callable, frame: pd.DataFrame) -> None:
    for i, part in frame.groupby(np.arange(len(frame)) // 90):
        Path(f"parts/part={i}").mkdir(parents=True)
        part.to_parquet(f"parts/part={i}/x.parquet")
    assert predict("input=new.csv", "output=one.csv")[0] == 0
    code, _, err = predict("input='parts/*/*.parquet'", "output=two.csv")
    assert code == 0, err
    assert Path("one.csv").read_text() == Path("two.csv").read_text()


@pytest.mark.long
def test_what_is_known_ahead_matters(predict: Callable, frame: pd.DataFrame) -> None:
    predict("input=new.csv", "output=one.csv")
    frame.loc[frame["sales"].isna(), "offer"] = 1 - frame["offer"]
    frame.to_parquet("changed.parquet")
    assert predict("input=changed.parquet", "output=two.csv")[0] == 0
    one, two = pd.read_csv("one.csv")["sales"], pd.read_csv("two.csv")["sales"]
    assert (one != two).any()


@pytest.mark.long
def test_a_split_gives_the_numbers_of_the_test_step(predict: Callable, ckpt: Path) -> None:
    tables.shops(Path("shops.csv"))
    code, _, err = predict("split=test", "output=test.parquet", "data.file=shops.csv")
    assert code == 0, err
    found = pd.read_parquet("test.parquet")
    metrics = json.loads((ckpt.parents[1] / "metrics.json").read_text())
    pipeline = torch.load(ckpt, weights_only=True)["DataModule"]["pipeline"]
    scales = dict(zip(pipeline["columns"], pipeline["standardisation"]["std"], strict=True))
    errors = [(found[n] - found[f"{n}_true"]) / scales[n] for n in ("sales", "stock")]
    assert np.square(errors).mean() == pytest.approx(metrics["test/mse"], rel=1e-5)
    assert np.abs(errors).mean() == pytest.approx(metrics["test/mae"], rel=1e-5)
    inside = found["sales_true"].between(found["sales_q0.1"], found["sales_q0.9"]).mean()
    inside += found["stock_true"].between(found["stock_q0.1"], found["stock_q0.9"]).mean()
    assert inside / 2 == pytest.approx(metrics["test/coverage_80"], abs=2e-3)


@pytest.mark.long
def test_every_row_gives_the_numbers_of_the_split(predict: Callable, tmp_path: Path) -> None:
    tables.shops(tmp_path / "shops.csv")
    predict("split=test", "output=test.csv", "data.file=shops.csv")
    frame = pd.read_csv("shops.csv")
    last = frame.groupby("shop").cumcount() >= 144
    frame.loc[last, ["sales", "stock"]] = np.nan
    frame.to_csv("new.csv", index=False)
    code, _, err = predict("input=new.csv", "output=every.csv", "every=1")
    assert code == 0, err
    keys = ["shop", "from", "step"]
    both = pd.read_csv("test.csv").merge(pd.read_csv("every.csv"), on=keys, suffixes=("", "_b"))
    assert len(both) == len(pd.read_csv("test.csv"))
    assert (both["time"] == both["time_b"]).all()
    for name in ("sales", "sales_q0.1", "stock"):
        np.testing.assert_allclose(both[name], both[f"{name}_b"], rtol=1e-6)


def whole(name: str = "whole.csv") -> pd.DataFrame:
    return tables.shops(Path(name)).assign(when=lambda f: pd.to_datetime(f["when"]))


@pytest.mark.long
def test_from_a_stamp_beside_what_came(predict: Callable) -> None:
    frame = whole()
    code, out, err = predict(
        "input=whole.csv", "output=out.csv", "start=2020-01-05 10:00", "every=12", "horizon=4"
    )
    assert code == 0, err
    found = pd.read_csv("out.csv", parse_dates=["from", "time"])
    assert found["time"].min() == pd.Timestamp("2020-01-05 10:00")
    assert found.groupby("shop")["from"].nunique().tolist() == [4, 4]
    assert found["step"].max() == 4
    both = found.merge(frame, left_on=["shop", "time"], right_on=["shop", "when"], how="left")
    np.testing.assert_allclose(both["sales_true"], both["sales_y"], rtol=1e-6)
    known = found.dropna(subset="sales_true")
    error = np.abs(known["sales"] - known["sales_true"])
    last = frame.set_index(["shop", "when"])["sales"]
    naive = [abs(y - last[place]) for *place, y in known[["shop", "from", "sales_true"]].values
             for place in [tuple(place)]]  # fmt: skip
    assert re.search(rf"sales +MAE +{error.mean():.4g} +{np.mean(naive):.4g} ", out), out
    assert re.search(r"^(worth|warning) +scaled MAE .*naive", out, re.MULTILINE)
    every = predict("input=whole.csv", "output=every.csv", "every=1")
    assert every[0] == 0
    rolled = pd.read_csv("every.csv", parse_dates=["from", "time"])
    same = found.merge(rolled, on=["shop", "from", "step"], suffixes=("", "_b"))
    assert len(same) == len(found)
    np.testing.assert_allclose(same["sales_q0.1"], same["sales_q0.1_b"], rtol=1e-6)


@pytest.mark.long
def test_a_scenario_is_as_rows_below(predict: Callable, frame: pd.DataFrame, ckpt: Path) -> None:
    predict("input=new.csv", "output=wanted.csv")
    seen, ahead = frame[frame["sales"].notna()], frame[frame["sales"].isna()]
    seen.to_csv("seen.csv", index=False)
    ahead[["offer", "when", "shop"]].to_csv("ahead.csv", index=False, sep=";")
    code, _, err = predict("input=seen.csv", "output=out.csv", "known=ahead.csv")
    assert code == 0, err
    wanted = pd.read_csv("wanted.csv")
    pd.testing.assert_frame_equal(pd.read_csv("out.csv"), wanted)
    found = pd.DataFrame(seqfuse.load(ckpt).predict(seen, known=ahead, horizon=2))
    kept = wanted[wanted["step"] <= 2]
    np.testing.assert_allclose(found["sales"], kept["sales"], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.drop(columns="when"), "ahead.csv has no column 'when'"),
        (lambda a: a.drop(columns="shop"), "ahead.csv has no column 'shop'"),
        (lambda a: a.drop(columns="offer"), "ahead.csv has no column 'offer'"),
        (lambda a: a.assign(when="soon"), "ahead.csv: line 2, column 'when': 'soon'"),
        (lambda a: a.assign(offer="no"), "ahead.csv: line 2, column 'offer': 'no' is no number"),
        (lambda a: a.assign(shop="north"), "(north) is of no series in seen.csv (it has: east"),
        (lambda a: a.assign(sales=1), "ahead.csv: line 2, column 'sales': a target is not known"),
        (lambda a: a.drop(a.index[2]), "missing, the first after line 3 of ahead.csv"),
        (lambda a: a[:3], "column 'offer' is to be known ahead, but 2020-01-06 20:00"),
        (lambda a: pd.concat([a[:1].assign(when="2020-01-06 19:00"), a]),
         "line 2: 2020-01-06 19:00:00 (west) is in seen.csv, too"),
        (lambda a: pd.concat([a[:1].assign(when="2019-01-06 19:00"), a]),
         "line 2: 2019-01-06 19:00:00 (west) is not behind the last row of seen.csv"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_scenario_is_named(
    predict: Callable, frame: pd.DataFrame, change: Callable, message: str
) -> None:
    frame[frame["sales"].notna()].to_csv("seen.csv", index=False)
    ahead = frame[frame["sales"].isna()][["when", "shop", "offer"]]
    change(ahead).to_csv("ahead.csv", index=False)
    assert_refused(predict("input=seen.csv", "output=out.csv", "known=ahead.csv"), message)
    assert not Path("out.csv").exists()


@pytest.mark.long
def test_figures_of_each_series(predict: Callable) -> None:
    whole()
    code, out, err = predict("input=whole.csv", "output=out.csv", "every=20", "figure=drawn")
    assert code == 0, err
    assert out.endswith("2 figures  drawn\n")
    assert {path.name for path in Path("drawn").iterdir()} == {"east.png", "west.png"}
    words = ("input=whole.csv", "output=out.csv", "overwrite=true")
    assert predict(*words, "figure=all.png", "start=2020-01-04")[0] == 0
    assert Path("all.png").stat().st_size > 10_000
    for figure, message in (("all.pdf", "figure=all.pdf must be"), ("out.csv", "figure=out.csv")):
        assert_refused(predict(*words, f"figure={figure}"), message)
    with mock.patch.dict(sys.modules, {"seqfuse.figures.forecasting": None}):
        code, _, err = predict(*words, "figure=other.png")
    assert code == 1
    assert "pip install matplotlib" in err


@pytest.mark.long
def test_bands_that_follow_earlier_errors(predict: Callable, ckpt: Path, tmp_path: Path) -> None:
    words = ("input=whole.csv", "every=1", "overwrite=true")
    whole()
    assert predict(*words, "output=plain.csv")[0] == 0
    code, out, err = predict(*words, "output=adapted.csv", "adaptive=true")
    assert code == 0, err
    assert "bands" in out
    assert "before adapting" in out
    plain, adapted = pd.read_csv("plain.csv"), pd.read_csv("adapted.csv")
    bands = [name for name in plain if "_q" in name]
    assert list(plain) == list(adapted)
    pd.testing.assert_frame_equal(plain.drop(columns=bands), adapted.drop(columns=bands))
    assert not np.allclose(plain[bands], adapted[bands])
    folder = shipped.export(ckpt.parents[1], tmp_path / "adaptive", "split=none")
    assert runner.main(["whole.csv", "r.csv", "every=1", "adaptive=true"], folder) == 0
    other = pd.read_csv("r.csv")
    np.testing.assert_allclose(other[bands], adapted[bands], rtol=1e-2, atol=1e-2)


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("input=new.csv",), "adaptive=true .*every=1"),
        (("every=1", "figure=a.png"), "figure=a.png .*adaptive"),
        (("every=1", "adaptive=2"), "adaptive=2 must be"),
    ],
)
@pytest.mark.usefixtures("frame")
def test_bands_that_cannot_follow(more: tuple[str, ...], message: str, predict: Callable) -> None:
    whole()
    code, _, err = predict("input=whole.csv", "output=x.csv", "adaptive=true", *more)
    assert code == 1
    assert re.search(message, err)
    assert "Traceback" not in err
    assert not Path("x.csv").exists()


def short(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[20:, ["sales", "stock"]] = np.nan
    return frame[:40]


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (lambda f: f[f["sales"].notna()], [], "'offer' is to be known ahead, but 2020-01-06"),
        (lambda f: f.assign(offer="no"), [], "line 2, column 'offer': 'no' is no number"),
        (short, [], "new.csv (west): 20 rows up to the last target are too few"),
        (lambda f: f, ["start=soon"], "start=soon is no time stamp such as 2024-01-31 12:00"),
        (lambda f: f, ["start=2021-01-01"], "must be from 2020-01-02 00:00:00"),
        (lambda f: f, ["horizon=7"], "horizon=7: the net was trained to forecast 6 steps"),
        (lambda f: f, ["known=none.csv"], "none.csv: there is no such file"),
        (lambda f: f, ["data.known=[hour]"], "is read as the columns sales, stock, hour_sin"),
    ],
)
def test_a_mistake_gets_one_line_and_no_file(
    predict: Callable,
    frame: pd.DataFrame,
    change: Callable,
    words: list[str],
    message: str,
) -> None:
    change(frame).to_csv("new.csv", index=False)
    assert_refused(predict("input=new.csv", "output=out.csv", *words), message)
    assert not list(Path().glob("*out*"))


@pytest.mark.long
def test_from_python(ckpt: Path, frame: pd.DataFrame, predict: Callable) -> None:
    model = seqfuse.load(ckpt)
    predict("input=new.csv", "output=out.parquet")
    written = pd.read_parquet("out.parquet")
    found = pd.DataFrame(model.predict(frame))
    pd.testing.assert_frame_equal(found, written, check_dtype=False)
    assert len(model.predict(frame, every=10)["time"]) == 2 * 12 * 6
    with pytest.raises(InputError, match="the table has no column 'sales'"):
        model.predict(frame[["when", "shop", "offer"]])


@pytest.mark.long
def test_returns_and_points_without_a_clock(tmp_path: Path) -> None:
    """A point forecast has no bands; prices come back as log-returns, without stamps."""
    frame = tables.shops(tmp_path / "shops.csv")
    words = ("data.returns=true", "data.gaps=ignore", "task/loss=absolute", *SIZES)
    best = fit(tmp_path, *words)
    found = pd.DataFrame(seqfuse.load(best).predict(frame[frame["shop"] == "west"]))
    assert list(found) == ["shop", "from", "time", "step", "sales", "stock"]
    assert found["time"].isna().all()
    assert found["sales"].abs().max() < 1

"""Each job exports, and its folder says without torch what seqfuse-predict says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import seqfuse
from seqfuse.predict import main as predict
from seqfuse.runtime import runner
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests import clips, devices, shipped, tables
from tests.conftest import composed

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
ONE = (*QUIET, "trainer.max_epochs=1", "callbacks.figures=null")
SHOPS = (
    *("data=csv", "data.time=when", "data.group=shop", "data.targets=[sales,stock]"),
    *("data.look_back=24", "data.horizon=6", "data.split=[0.6,0.1,0.1,0.2]"),
    "model.segment_size=6",
)


def texts(folder: Path) -> list[str]:
    rows = ["fly to rome,flight", "how warm is it,weather", "is it warm in New York?,weather"] * 12
    (folder / "in.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return ["data=text", f"data.train={folder}/in.csv", f"data.test={folder}/in.csv",
            "data.buckets=500", "data.batch_size=8"]  # fmt: skip


def tags(folder: Path) -> list[str]:
    (folder / "in.tsv").write_text("fly\tVERB\nto\tADP\nRome\tPROPN\n\nis\tAUX\nit\tPRON\n\n" * 20)
    return ["data=conll", f"data.train={folder}/in.tsv", f"data.test={folder}/in.tsv",
            "model/head=crf", "data.batch_size=8"]  # fmt: skip


def shops(folder: Path) -> list[str]:
    frame = tables.shops(folder / "shops.csv")
    ahead = frame.groupby("shop").cumcount() >= 140
    frame["kind"] = np.where(np.arange(len(frame)) % 3 == 0, "a", "b")
    frame.to_csv(folder / "shops.csv", index=False)
    frame.loc[ahead, ["sales", "stock"]] = np.nan
    frame.to_csv(folder / "in.csv", index=False)
    known = ("data.known=[offer,hour,weekday]", "data.covariates=[kind]", "+data.words.kind=[a,b]")
    return [*SHOPS, *known, f"data.file={folder}/shops.csv"]


def cycle(folder: Path) -> list[str]:
    words = [word for word in shops(folder) if not word.startswith("data.known=")]
    return [*words, "data.known=[offer,weekday,hour]", "model/autoregression=cycle"]


def towns(folder: Path) -> list[str]:
    """A new town, and a new code, in the file to predict."""
    frame = tables.shops(folder / "shops.csv")
    frame["town"] = np.where(frame["shop"] == "east", "Rome", "Bari")
    frame["code"] = np.arange(len(frame)) % 3
    frame.to_csv(folder / "shops.csv", index=False)
    frame.loc[frame["shop"] == "east", "town"] = "Pisa"
    frame["code"] = (frame["code"] + 1.0).where(np.arange(len(frame)) % 5 > 0)
    frame.to_csv(folder / "in.csv", index=False)
    columns = ("data.static=[town]", "data.covariates=[code]", "data.categories=[code,weekday]")
    more = (
        "data.known=[weekday]",
        "data.holidays=[2020-01-03]",
        "data.gaps=fill",
        f"data.file={folder}/shops.csv",
    )
    return [*SHOPS, *columns, *more]


def short(folder: Path) -> list[str]:
    """A series that is shorter than the look-back, and in the file to predict a new one."""
    frame = tables.shops(folder / "in.csv")
    few = frame[:20].assign(shop="new")
    pd.concat([frame[: 150 + 20], few]).to_csv(folder / "in.csv", index=False)
    frame[: 150 + 20].to_csv(folder / "shops.csv", index=False)
    more = (
        "data.min_look_back=3",
        "data.scaling=series",
        "data.known=[hour]",
        f"data.file={folder}/shops.csv",
    )
    return [*SHOPS, *more]


def prices(folder: Path) -> list[str]:
    frame = tables.shops(folder / "in.csv")
    frame.drop(index=[30, 31, 200]).to_csv(folder / "in.csv", index=False)
    return [*SHOPS, "data.returns=true", "data.gaps=ignore", f"data.file={folder}/in.csv"]


def gaps(folder: Path) -> list[str]:
    frame = tables.shops(folder / "in.csv")
    frame.loc[[140, 290], "sales"] = np.nan
    frame.drop(index=[130, 131, 285]).to_csv(folder / "in.csv", index=False)
    return [*SHOPS, "data.gaps=fill", "data.known=[dayofyear,month]", f"data.file={folder}/in.csv"]


def holes(folder: Path) -> list[str]:
    frame = tables.shops(folder / "in.csv")
    frame.loc[[7, 8, 140], "sales"] = np.nan
    frame.drop(index=[30, 31, 200]).to_csv(folder / "in.csv", index=False)
    sizes = ["data.look_back=16", "data.masking.lengths=[1,4]", "data.split=[0.6,0.2,0.2]"]
    return [*SHOPS[1:4], *sizes, "data=incomplete", f"data.file={folder}/in.csv",
            "data.known=[offer,hour]", "model.lstm.hidden_size=8"]  # fmt: skip


def days(folder: Path) -> list[str]:
    """Dates day first: without their form all of them would be refused, or read month first."""
    frame = tables.shops(folder / "in.csv")
    frame["when"] = frame["when"].dt.strftime("%d.%m.%Y %H:%M")
    frame.to_csv(folder / "in.csv", index=False)
    form = "data.time_format='%d.%m.%Y %H:%M'"
    return [*SHOPS, form, "data.known=[weekday]", f"data.file={folder}/in.csv"]


def mapped(folder: Path) -> list[str]:
    values = np.random.default_rng(0).normal(size=(400, 3)) * 7 + 50
    values[395, 1] = np.nan
    np.save(folder / "in.npy", values)
    return ["data=mapped", f"data.file={folder}/in.npy", "data.targets=[2,0]",
            "data.covariates=[1]", "data.look_back=24", "data.horizon=6",
            "model.segment_size=6"]  # fmt: skip


def pumps(folder: Path, aim: str) -> list[str]:
    tables.pumps(folder / "in.csv")
    return [*tables.PUMPS, *tables.AIMS[aim], f"data.file={folder}/in.csv"]


def numbers(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 9, 2)).astype(np.float32)
    y = np.stack([x.mean(axis=(1, 2)) * 100, x[:, 0, 0]], axis=1)
    y[4, 1] = np.nan
    np.savez(folder / "train.npz", x=x, y=y, y_names=np.array(["far", "near"]))
    np.savez(folder / "in.npz", x=x[:7], id=np.arange(7))
    return ["data=arrays", f"data.train={folder}/train.npz", "task=regression", "model=base"]


def several(folder: Path) -> list[str]:
    rows = ["fly to rome,flight|city", "how warm is it,weather", "is it warm in Rome?,weather|city"]
    rows = [*rows, "good morning,"] * 12
    (folder / "in.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return ["data=text", f"data.train={folder}/in.csv", f"data.test={folder}/in.csv",
            "task=multilabel", "data.buckets=500", "data.batch_size=8"]  # fmt: skip


def windows(folder: Path) -> list[str]:
    frame = tables.shops(folder / "in.csv")
    frame[frame["shop"] == frame["shop"].iloc[0]].to_csv(folder / "in.csv", index=False)
    return ["data=table_windows", f"data.file={folder}/in.csv", "data.time=when",
            "data.targets=[sales]", "data.covariates=[stock]", "data.look_back=12",
            "data.horizon_mean=6", "data.every=2", "task/loss=intervals",
            "model=base"]  # fmt: skip


JOBS: dict[str, Callable[[Path], list[str]]] = {
    "texts": texts,
    "numbers": numbers,
    "several": several,
    "windows": windows,
    "tags": tags,
    "shops": shops,
    "low_rank": lambda folder: [*shops(folder), "model/autoregression=low_rank"],
    "decomposed": lambda folder: [*shops(folder), "model/autoregression=decomposed"],
    "cycle": cycle,
    "towns": towns,
    "short": short,
    "prices": prices,
    "gaps": gaps,
    "days": days,
    "holes": holes,
    "mapped": mapped,
    "forecast": lambda folder: pumps(folder, "forecast"),
    "reconstruct": lambda folder: pumps(folder, "reconstruct"),
    # Two steps of one window share the highest score: no threshold lies on it.
    "subspace": lambda folder: [*pumps(folder, "subspace"), "task.quantile=0.95"],
}


LIMITS = {
    "forecast": ("quantile=0.9", "alarms=alarms.csv"),
    "subspace": ("budget=15", "alarms=alarms.csv"),
    "several": ("threshold=0.3",),
}
"""Thresholds at the time of prediction, and alarms."""


@pytest.mark.slow
def test_anomalies_are_not_measured_on_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(composed([*pumps(tmp_path, "forecast"), *ONE]), tmp_path / "run")
    with pytest.raises(SystemExit):
        shipped.export(tmp_path / "run", tmp_path / "shipped", "split=val")
    assert "type split=test or split=none" in capsys.readouterr().err


def made(folder: Path, job: str, *more: str) -> Path:
    """A run of a job, and its exported folder."""
    train(composed([*ONE, *JOBS[job](folder), *more]), folder / "run")
    return shipped.export(folder / "run", folder / "shipped")


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_files_are_predicted_as_by_the_checkpoint(
    job: str, tmp_path: Path, command: Callable
) -> None:
    folder = made(tmp_path, job)
    [given] = tmp_path.glob("in.*")
    site = shipped.bare(tmp_path / "site")
    limit = LIMITS.get(job, ())
    done = shipped.python(site, tmp_path, f"{folder}/run.py", given.name, "out.csv", *limit)
    assert done.returncode == 0, done.stderr
    ckpt = f"ckpt={tmp_path}/run/checkpoints/best.ckpt"
    of_torch = [word.replace("alarms.csv", "torch_alarms.csv") for word in limit]
    code, _, err = command(predict, ckpt, f"input={given}", "output=torch.csv", *of_torch, *QUIET)
    assert code == 0, err
    for name in ("out.csv", *(["alarms.csv"] if "alarms=alarms.csv" in limit else [])):
        found = pd.read_csv(tmp_path / name)
        wanted = pd.read_csv("torch.csv" if name == "out.csv" else "torch_alarms.csv")
        pd.testing.assert_frame_equal(found, wanted, rtol=1e-5, atol=1e-6, check_dtype=False)
    found = pd.read_csv("out.csv")
    assert len(found) > 5
    if job == "days":
        loaded = seqfuse.load(tmp_path / "run" / "checkpoints" / "best.ckpt")
        told = loaded.predict(pd.read_csv(given))
        np.testing.assert_allclose(told["sales"], found.sales, rtol=1e-5)
        assert found["from"].str.startswith("2020-01-07").all()
    if job == "shops":
        arrays_are_forecast_like_files(folder, found)


@pytest.mark.slow
def test_a_folder_forecasts_from_a_stamp_and_by_a_scenario(
    tmp_path: Path, command: Callable
) -> None:
    folder = made(tmp_path, "shops")
    frame = pd.read_csv(tmp_path / "in.csv")
    is_ahead = frame["sales"].isna()
    frame[~is_ahead].to_csv(tmp_path / "seen.csv", index=False)
    frame.loc[is_ahead, ["when", "shop", "offer"]].to_csv(tmp_path / "ahead.csv", index=False)
    words = ["start=2020-01-05 10:00", "every=12", "horizon=4", "known=ahead.csv"]
    site = shipped.bare(tmp_path / "site")
    run = (site, tmp_path, f"{folder}/run.py", "seen.csv", "out.csv")
    done = shipped.python(*run, *words)
    assert done.returncode == 0, done.stderr
    ckpt = f"ckpt={tmp_path}/run/checkpoints/best.ckpt"
    code, out, err = command(predict, ckpt, f"input={tmp_path}/seen.csv", "output=torch.csv",
                             *words[:-1], f"known={tmp_path}/ahead.csv", *QUIET)  # fmt: skip
    assert code == 0, err
    found, wanted = pd.read_csv(tmp_path / "out.csv"), pd.read_csv("torch.csv")
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-5, atol=1e-6, check_dtype=False)
    assert len(found) == 2 * 3 * 4
    assert found["sales_true"].notna().any()
    assert done.stdout.splitlines()[:-1] == out.splitlines()[:-1]
    assert done.stdout.startswith("back-test")
    for option in ("start=soon", "horizon=9", "every=x", "known=none.csv"):
        done = shipped.python(*run, option)
        assert done.returncode == 1
        assert option.partition("=")[2] in done.stderr
        assert done.stderr.count("\n") == 1


POINTS = {"numbers": "far_prediction", "windows": "prediction", "shops": "sales"}
"""Columns of numbers, whose disagreement is the standard deviation over members."""


@pytest.mark.slow
@pytest.mark.parametrize("job", ["texts", "several", "tags", "forecast", "subspace", *POINTS])
def test_files_are_predicted_by_an_ensemble_as_by_its_checkpoint(
    job: str, tmp_path: Path, command: Callable
) -> None:
    folder = made(tmp_path, job, "ensemble=2", *(["model/head=tags"] if job == "tags" else []))
    [given] = tmp_path.glob("in.*")
    done = shipped.python(
        shipped.bare(tmp_path / "site"), tmp_path, f"{folder}/run.py", given.name, "out.csv"
    )
    assert done.returncode == 0, done.stderr
    tables_of = {}
    for name, run in {"all": "run", "0": "run/members/0", "1": "run/members/1"}.items():
        ckpt = f"ckpt={tmp_path}/{run}/checkpoints/best.ckpt"
        code, _, err = command(predict, ckpt, f"input={given}", f"output={name}.csv", *QUIET)
        assert code == 0, err
        tables_of[name] = pd.read_csv(f"{name}.csv")
    found, wanted = pd.read_csv("out.csv"), tables_of["all"]
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-4, atol=1e-5, check_dtype=False)
    [*apart] = [name for name in found if name.endswith("disagreement")]
    assert apart
    assert (found[apart].min() >= 0).all()
    assert (found[apart].max() > 0).all()
    assert not any(name.endswith("disagreement") for name in tables_of["0"])
    if job in POINTS:
        members = np.stack([tables_of[name][POINTS[job]] for name in "01"])
        np.testing.assert_allclose(wanted[POINTS[job]], members.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(wanted[apart[0]], members.std(axis=0), rtol=1e-3, atol=1e-5)


def arrays_are_forecast_like_files(folder: Path, found: pd.DataFrame) -> None:
    """Raw windows in the order of the columns, or a table in memory."""
    model = runner.load(folder)
    frame = pd.read_csv(folder.parent / "in.csv")
    table = model.predict(frame)
    np.testing.assert_allclose(table["sales"], found.sales, rtol=1e-6)
    np.testing.assert_allclose(table["stock_q0.9"], found["stock_q0.9"], rtol=1e-6)
    newest_first = pd.DataFrame(model.predict(frame[::-1]))
    assert sorted(newest_first["sales"]) == pytest.approx(sorted(found.sales), rel=1e-6)
    assert model.columns[:5] == ["sales", "stock", "kind=a", "kind=b", "offer"]
    with pytest.raises(InputError, match="expected 30 steps or more of the 9 columns"):
        model.predict(np.ones((29, 9)))
    window = np.ones((2, 40, 9))
    assert model.predict(window).shape == (2, 6, 2, 7)
    for change, message in (
        (frame.drop(columns="stock"), "has no column 'stock'"),
        (frame.assign(offer="no"), "row 2|line 2, column 'offer': 'no' is no number"),
        (frame[frame.sales.notna()], "'offer' is to be known ahead"),
        (frame[:0], "no row"),
        (pd.concat([frame[1:2], frame[:1], frame[2:]]), "before the row above it"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(change)


@pytest.mark.slow
def test_several_sources_and_one_that_is_missing(tmp_path: Path, command: Callable) -> None:
    root = devices.write(tmp_path / "data")
    words = ("data=har_fusion", "data.rate=[10.0,20.0]", *devices.OPTIONS, f"data.root={root}")
    train(composed([*words, "callbacks.figures=null"]), tmp_path / "run")
    folder = shipped.export(tmp_path / "run", tmp_path / "shipped")
    model = runner.load(folder)
    generator = np.random.default_rng(0)
    phone = [generator.normal(size=(n, 3)) for n in (9, 14)]
    watch = [generator.normal(size=(2 * n, 2)) for n in (9, 14)]
    from seqfuse.config import loading

    task, data, _ = loading.load(tmp_path / "run" / "checkpoints" / "best.ckpt")
    alone = {"watch": watch, "clock": [9, 14]}
    for x in ({"phone": phone, "watch": watch}, {"phone": phone}, alone):
        wanted = by_torch(task, data.splits.pipeline, x)
        for found, one in zip(model.predict_proba(x), wanted, strict=True):
            np.testing.assert_allclose(found, one, atol=1e-5)
    with pytest.raises(InputError, match="'phone', whose steps are the clock of the others, is mi"):
        model.predict({"watch": watch})
    with pytest.raises(InputError, match="'clock' must be 2 whole numbers of at least 1"):
        model.predict({"watch": watch, "clock": [9]})
    with pytest.raises(InputError, match="'foot' was not trained on"):
        model.predict({"foot": phone})
    with pytest.raises(InputError, match="'watch' has 1 items, the first source 2"):
        model.predict({"phone": phone, "watch": watch[:1]})
    with pytest.raises(InputError, match="'phone': the series have 2 channels"):
        model.predict({"phone": watch})


def by_torch(task, pipeline, x: dict) -> list[np.ndarray]:
    """Probabilities of each step."""
    from seqfuse.data.items import Items
    from seqfuse.runtime.pipelines.series import series
    from seqfuse.runtime.pipelines.sources import clocked

    given = dict(x)
    clock = given.pop("clock", None)
    parts = {name: series(one) for name, one in given.items()}
    clock = parts["phone"].lengths if clock is None else np.array(clock)
    rows = np.arange(len(clock))
    items = Items(pipeline.transform(clocked(clock, parts)), rows, rows)
    batch = items.__getitems__(rows.tolist())
    import torch

    with torch.no_grad():
        sure = task(batch.x, batch.mask).prediction.softmax(dim=-1).numpy()
    return [row[:n] for row, n in zip(sure, clock, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("job", ["classes", "scores"])
def test_clips(job: str, tmp_path: Path, command: Callable) -> None:
    root = clips.folder(tmp_path / "made")
    own = ["data=video", "model.stem.channels=[4,8]"]
    if job == "scores":
        own = ["data=fight_anomaly", "data.normal=stays", "model.head.num_targets=9",
               "model.stem.channels=[4,8]"]  # fmt: skip
    sizes = ("data.num_frames=8", "data.size=16", "data.batch_size=8", f"data.cache={tmp_path}/c")
    where = (f"data.root={root}", "data.folder=clips", "data.list=clips.csv")
    train(composed([*ONE, *own, *sizes, *where]), tmp_path / "run")
    folder = shipped.export(tmp_path / "run", tmp_path / "shipped")
    ckpt = f"ckpt={tmp_path}/run/checkpoints/best.ckpt"
    assert command(predict, ckpt, "split=test", "output=torch.csv", *QUIET)[0] == 0
    wanted = pd.read_csv("torch.csv")
    from seqfuse.runtime.read.decode import decode

    x = [decode(root / "clips" / name, 8, 16) for name in wanted.id]
    model = runner.load(folder)
    assert model.metadata["file_format"]["cache"] is None
    if job == "scores":
        np.testing.assert_allclose(model.predict(x), wanted.score, rtol=1e-4)
    else:
        np.testing.assert_allclose(model.predict_proba(x)[:, 0], wanted.p_moves, atol=1e-5)
        assert model.predict(x).tolist() == wanted.prediction.tolist()
    with pytest.raises(InputError, match="clip 0 is float64"):
        model.predict([x[0] / 255])
    with pytest.raises(InputError, match="were trained on"):
        model.predict([x[0][..., :8]])

"""The runner of the benchmarks, and what a comparison says of its rows."""

import csv
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks import archive, common, compare, coverage, labels, loops, scale
from tests.conftest import TINY
from tests.made import make


def test_a_stopped_benchmark_goes_on_where_it_was(tmp_path: Path) -> None:
    path, measured = tmp_path / "new" / "rows.csv", []

    def measure(**run: Any) -> common.Row:
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(run)
        return {"accuracy": 0.5}

    runs = [{"set": name, "seed": seed} for seed in range(2) for name in "ab"]
    with pytest.raises(KeyboardInterrupt):
        common.complete(path, runs, measure)
    common.complete(path, runs, lambda **run: {"accuracy": 0.75})
    with path.open(newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [("a", "0", "0.5"), ("b", "0", "0.5"), ("a", "1", "0.5"), ("b", "1", "0.75")]


SMALL = (
    *("trainer.auto_steps=3", "trainer.auto_epochs=1", "model.bank.num_features=200"),
    "model.bank.num_groups=4",
)


@pytest.mark.long
def test_nets_of_an_ensemble_are_measured_as_those_of_their_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More nets later are added to those that are there."""
    (tmp_path / "ucr" / "Drawn").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for split in ("TRAIN", "TEST"):
        rows = draw.normal(size=(24, 30)).cumsum(axis=1) * np.array([1, -2]).repeat(12)[:, None]
        table = np.column_stack([np.array([1, 2]).repeat(12), rows])
        np.savetxt(tmp_path / "ucr" / "Drawn" / f"Drawn_{split}.tsv", table, delimiter="\t")
    monkeypatch.setattr(archive, "folders", lambda root: {"Drawn": tmp_path / "ucr"})

    def rows_of(file: str, *words: str) -> pd.DataFrame:
        options = ("--out", str(tmp_path), "--kept", str(tmp_path / "kept"), "--words", *SMALL)
        monkeypatch.setattr(sys, "argv", ["archive", *words, *options])
        archive.main()
        return pd.read_csv(tmp_path / file)

    trained, fit = [], archive.command.fit

    def counted(recipe: Any, *args: Any, **kwargs: Any) -> Any:
        trained.append(recipe.seed)
        return fit(recipe, *args, **kwargs)

    monkeypatch.setattr(archive.command, "fit", counted)
    rows_of("ucr.csv", "--nets", "2")
    table = rows_of("ucr_nets.csv", "--nets", "3")
    assert trained == [0, 1, 2]
    assert [*table["nets"]] == [2, 3]
    assert (table["seconds"] > table["bank_seconds"]).all()
    members = pd.read_csv(tmp_path / "ucr.csv")
    assert [*members["seed"]] == [0, 1, 2]
    (tmp_path / "ucr.csv").unlink()
    alone = rows_of("ucr.csv", "--seeds", "3")
    metrics = [*archive.METRICS]
    pd.testing.assert_frame_equal(members[metrics], alone[metrics])


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    compare.main()


@pytest.mark.long
def test_settings_are_compared_by_the_runner_of_the_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The LSTM is worth nothing on one set, and the same on seven others."""
    names, calls = [f"Set{i}" for i in range(8)], []
    monkeypatch.setattr(archive, "folders", lambda root: dict.fromkeys(names, root))

    def measure(root: Path, words: list[str], **run: Any) -> common.Row:
        calls.append((run["set"], run["seed"], *words))
        loses = "model/lstm=none" in words and run["set"] != "Set0"
        return dict.fromkeys(archive.COLUMNS, 0.9 - 0.1 * loses + 0.001 * run["seed"])

    monkeypatch.setattr(archive, "measure", measure)
    words = ["", "model/lstm=none", "--seeds", "2", "--words", "model/bank=none"]
    for _ in range(2):
        run(monkeypatch, *words, "--out", str(tmp_path / "rows.csv"))
    assert len(calls) == len({*calls}) == 2 * 2 * 8, "rows that are there are not made again"
    assert calls[:2] == [
        ("Set0", 0, "model/bank=none"),
        ("Set0", 0, "model/bank=none", "model/lstm=none"),
    ]
    answer = capsys.readouterr().out.splitlines()[-20:]
    text = "\n".join(answer)
    assert "`model/lstm=none` against `default`, accuracy over 8 data sets" in text
    assert "more than noise, and worse" in text
    assert "0, 1, 7" in text
    assert "-0.0875" in text
    assert "Set7 (-0.1000)" in answer[-1]
    assert "Set0" not in answer[-1]


def test_rows_of_other_settings_and_seeds_are_left_out() -> None:
    rows = [
        (w, f"Set{i}", 0, a) for w, a in (("", 0.5), ("x=1", 0.6), ("y=1", 0.0)) for i in "012345"
    ]
    table = pd.DataFrame(rows, columns=["words", "set", "seed", "accuracy"])
    text = compare.report(table, {"default": "", "x=1": "x=1"}, "accuracy")
    assert "6, 0, 0" in text
    assert "y=1" not in text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["model/lstm=none"], "two settings"),
        (["model/lstm=none", "model/lstm=none"], "two settings"),
        (["", "model/lstm=none", "--seeds", "0"], "one seed"),
        (["", "model.lstm.hidden=3"], "model.lstm.hidden"),
        (["", "model/lstm=none", "--sets", "NoSuchSet"], "NoSuchSet"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    named: str,
) -> None:
    monkeypatch.setattr(common, "complete", lambda *_: pytest.fail("nothing is to be trained"))
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *words)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


def test_gains_with_few_labels_are_paired_by_seed() -> None:
    """Pre-training is worth 0.1 at 1 % of the labels; the probe is level with the SVM."""
    accuracies = {
        ("scratch", 0.01): (0.4, 0.5, 0.6),
        ("frozen", 0.01): (0.51, 0.6, 0.69),
        ("svm", 1.0): (0.8, 0.8, 0.8),
        ("frozen", 1.0): (0.79, 0.80, 0.81),
    }
    results = [
        {"set": "ECG5000", "seed": seed, "row": row, "share": share, "test": accuracy}
        for (row, share), values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    lines = [line.split("|")[1:-1] for line in labels.gains(results).splitlines()[2:]]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert [line[1:4] for line in cells] == [
        ["frozen less scratch", "1%", "+0.100"],
        ["frozen less svm", "100%", "+0.000"],
    ]
    assert [line[-1] for line in cells] == ["more than noise", "noise"]


def test_frozen_features_are_held_against_published_ones(tmp_path: Path) -> None:
    """Means over seeds, of the sets that both have."""
    ours, theirs = tmp_path / "features.csv", tmp_path / "ssl.csv"
    ours.write_text("set,seed,accuracy\nCar,0,0.5\nCar,1,0.7\nBeef,0,0.4\nTrace,0,0.9\n")
    rows = [f"UCR,Car,{name},frozen,accuracy,0.7,x\n" for name in ("TS2Vec", "T-Loss", "TNC")]
    rows += [row.replace("Car", "Beef").replace("0.7", "0.3") for row in rows]
    rows += [rows[0].replace("accuracy", "macro F1"), rows[0].replace("UCR", "UEA")]
    theirs.write_text("benchmark,dataset,system,protocol,metric,value,source\n" + "".join(rows))
    lines = labels.beside(ours, tmp_path).splitlines()
    assert "3 sets, mean 0.6333" in lines[0]
    assert "TS2Vec: 2 sets, ours 0.5000, theirs 0.5000; better, level, worse 1, 0, 1" in lines[1]


@pytest.mark.parametrize(
    ("right", "count", "level"),
    [(80, 100, 0.9), (92, 100, 0.95), (96, 100, 0.99), (96, 98, 0.95), (80, 15, 0.9)],
)
def test_the_level_of_sets_is_above_the_accuracy_of_calibration_items(
    right: int, count: int, level: float
) -> None:
    """In so many of a hundred the most probable class is right, which has a score of 0."""
    scores = np.where(np.arange(count) < right / 100 * count, 0.0, 0.7)
    probabilities = np.tile([0.7, 0.2, 0.1], (4, 1))
    given = coverage.Outputs(scores, np.zeros(count, int), probabilities, np.array([0, 0, 1, 2]))
    row = coverage.judged(given)
    assert row["level"] == level
    assert row["accuracy"] == 0.5
    # The second class has a score of 0.7; the first alone is in where the level is below accuracy.
    assert (row["coverage"], row["set_size"]) == (
        (0.5, 1.0) if row["calibration_accuracy"] > level else (0.75, 2.0)
    )


RECORDED = scale.Recorded(start=2.0, beside=1.0, steps=[0.1], megabytes=90.0, trial=0.5)


@pytest.mark.parametrize(("workers", "cores", "whole"), [(1, 1, 48.0), (2, 2, 25.0), (2, 1, 48.0)])
def test_workers_share_trials_and_cores(workers: int, cores: int, whole: float) -> None:
    """Four trials of 11.5 s, of which 0.5 s need no core, behind starts of 2 s."""
    place = scale.Place(workers=workers, cores=cores)
    found = scale.Simulation(RECORDED, place, trials=4, steps=100).run()
    assert found["seconds"] == pytest.approx(whole, abs=0.5)
    names = ("training", "starting", "beside", "saving", "asking", "lost")
    assert sum(found[name] for name in names) == pytest.approx(1)
    assert found["saving"] == found["lost"] == found["store_busy"] == 0
    assert found["database_busy"] == pytest.approx(4 * 0.5 / found["seconds"] / place.connections)


def test_no_step_that_was_saved_is_trained_twice() -> None:
    place = scale.Place(workers=3, cores=3, between_failures=40.0, back=5.0)
    simulation = scale.Simulation(RECORDED, place, trials=9, steps=1_000, every=10.0)
    found = simulation.run()
    assert found["lost"] > 0.1
    assert simulation.seconds["training"] == pytest.approx(9 * 1_000 * 0.1)
    assert simulation.seconds["saving"] == pytest.approx(9 * 10 * 1.0)


def test_young_s_interval_is_near_the_best() -> None:
    place = scale.Place(workers=1, cores=1, between_failures=2_000.0)
    best = scale.interval(RECORDED, place)
    assert best == pytest.approx(math.sqrt(2 * 1.0 * 2_000))
    factors = (0.1, 1.0, 10.0)
    runs = [scale.Simulation(RECORDED, place, 1, 5_000_000, best * factor) for factor in factors]
    often, young, seldom = (run.run()["training"] for run in runs)
    assert young > often
    assert young > seldom


def test_ranks_in_step_wait_for_the_slowest_and_fail_together() -> None:
    recorded = scale.Recorded(2.0, 1.0, [0.1, 0.2], megabytes=75.0, trial=0.5)
    place = scale.Place(workers=64, cores=64, between_failures=640.0)
    together, alone = scale.in_step(recorded, place, ranks=64)
    ring = 2 * 63 / 64 * 25.0 / 1_250
    assert {round(step, 9) for step in together.steps} == {round(0.2 + ring, 9)}
    assert (alone.workers, alone.cores, alone.between_failures) == (1, 1, 10.0)


def test_loops_without_lightning_take_steps() -> None:
    made = make(*TINY)
    bare = loops.Bare(made.task, made.data.train_dataloader())
    for loop in (bare, loops.Classic(made.task, made.data)):
        before = [weight.clone() for weight in loop.net.parameters()]
        next(loop.epoch())
        after = loop.net.parameters()
        assert any(not old.equal(new) for old, new in zip(before, after, strict=True))

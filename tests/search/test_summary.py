"""Tables of a sweep, from outcomes as jobs leave them."""

import math
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime import files
from seqfuse.search import outcome, summary
from seqfuse.search.outcome import Outcome


def leave(
    sweep: Path, job: int, overrides: list[str], status: str = "completed", **metrics
) -> None:
    named = {name.replace("_", "/"): value for name, value in metrics.items()}
    reason = "" if status == "completed" else "because"
    facts = {"job": job, "overrides": overrides, "monitor": "val/loss", "mode": "min"}
    Outcome(status, named, reason).write(sweep / str(job), **facts)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    values = {("8", 0): 0.5, ("8", 1): 0.7, ("16", 0): 0.2, ("16", 1): 0.3}
    for job, ((size, seed), loss) in enumerate(values.items()):
        words = ["data=synthetic", f"model.lstm.hidden_size={size}", f"seed={seed}"]
        leave(tmp_path, job, words, best_val_loss=loss, test_loss=loss + 1, epoch=3.0)
    leave(tmp_path, 10, ["data=synthetic", "model.lstm.hidden_size=32", "seed=0"], "diverged")
    return tmp_path


def test_jobs_come_in_order_with_what_was_varied(sweep: Path) -> None:
    found = summary.read(sweep)
    table = found.table
    assert table["job"].tolist() == [0, 1, 2, 3, 10]
    assert found.settings == ["model.lstm.hidden_size", "seed"]
    assert found.metrics[0] == "best/val/loss"
    assert table["status"].tolist() == ["completed"] * 4 + ["diverged"]
    assert math.isnan(table["best/val/loss"][4])


def test_seeds_become_mean_spread_and_n(sweep: Path) -> None:
    means = summary.groups(summary.read(sweep)).table
    assert means["model.lstm.hidden_size"].tolist() == ["16", "8"], "the best comes first"
    assert means["n"].tolist() == [2, 2], "one that diverged is no repeat"
    assert means["best/val/loss"].tolist() == pytest.approx([0.25, 0.6])
    spread = [statistics.stdev([0.2, 0.3]), statistics.stdev([0.5, 0.7])]
    assert means["best/val/loss/std"].tolist() == pytest.approx(spread)


def test_without_validation_the_best_is_the_best(tmp_path: Path) -> None:
    """The mode is that of the loss, and so another metric may not decide."""
    for job, (rate, accuracy) in enumerate({"0.1": 0.9, "0.3": 0.6, "0.2": 0.8}.items()):
        leave(tmp_path, job, [f"lr={rate}"], test_accuracy=accuracy, test_loss=1 - accuracy)
    jobs = summary.read(tmp_path)
    assert jobs.metrics[0] == "test/loss"
    means = summary.groups(jobs)
    assert means.table["lr"].tolist() == ["0.1", "0.2", "0.3"]
    [answer] = summary.verdicts(jobs, means).values()
    assert "lr=0.1" in answer.text.partition("\n")[0]


def test_seeds_alone_make_one_row(tmp_path: Path) -> None:
    for job, loss in enumerate((0.1, 0.2, 0.6)):
        leave(tmp_path, job, [f"seed={job}"], best_val_loss=loss)
    means = summary.groups(summary.read(tmp_path)).table
    assert means["n"].tolist() == [3]
    assert means["best/val/loss"].tolist() == pytest.approx([0.3])


def test_what_a_sweeper_adds_is_not_a_setting(tmp_path: Path) -> None:
    for job in range(2):
        leave(tmp_path, job, [f"trial.number={job}", f"optimizer.lr=0.{job + 1}"], best_val_loss=1)
    assert summary.read(tmp_path).settings == ["optimizer.lr"]


def test_the_summary_is_written(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = summary.write(sweep)
    assert lost == f"1 of 5 jobs did not complete: see {sweep / 'summary.md'}"
    text = (sweep / "summary.md").read_text()
    assert "# 5 jobs: 4 completed, 1 diverged" in text
    assert "0.2500 ± 0.0707" in text
    assert "| 10  | diverged | because |" in text
    back = pd.read_csv(sweep / "summary.csv")
    assert back["epoch"].dropna().tolist() == [3.0] * 4
    assert (sweep / "main_effects.png").stat().st_size > 5000
    assert not (sweep / "parallel_coordinates.png").exists(), "a seed is no axis"
    assert "summary     " in capsys.readouterr().out


@pytest.mark.long
def test_a_summary_is_whole_or_the_one_before(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in range(4):
        words = [f"optimizer.lr=0.0{job + 1}", "seed=0"]
        leave(sweep, 20 + job, words, best_val_loss=0.1 * job, test_loss=1.0)
    names = ["summary.csv", "summary.md", "main_effects.png", "parallel_coordinates.png"]
    written = []
    monkeypatch.setattr(files, "write_shared", lambda path, content: written.append(path.name))
    summary.write(sweep)
    assert written == names
    assert not [name for name in names if (sweep / name).exists()], "written in another way"


@pytest.mark.long
def test_a_job_that_failed_without_a_word_is_listed(sweep: Path) -> None:
    Outcome("failed", {}).write(sweep / "11", job=11, overrides=[], mode="min")
    summary.write(sweep)
    listed = (sweep / "summary.md").read_text().split("## Not completed")[1]
    assert "| 11  | failed " in listed
    assert "completed" not in listed


@pytest.mark.long
def test_what_another_process_began_is_not_answered_for(sweep: Path) -> None:
    leave(sweep, 11, ["data=synthetic", "model.lstm.hidden_size=64", "seed=0"], "killed")
    assert summary.write(sweep, {0, 1}) == ""
    text = (sweep / "summary.md").read_text()
    assert "# 6 jobs: 4 completed, 1 diverged, 1 running or abandoned" in text
    assert "another process began it" in text
    assert summary.write(sweep, set()) == ""
    assert summary.write(sweep, {0, 10, 11}).startswith("2 of 3 jobs did not complete")
    assert "1 killed" in (sweep / "summary.md").read_text()


@pytest.mark.long
@pytest.mark.parametrize("content", [b"", b'{"job": 2, "stat', b"[]", b'{"job": 2}', b"\xff"])
def test_a_broken_outcome_is_a_lost_job(sweep: Path, content: bytes) -> None:
    (sweep / "2/outcome.json").write_bytes(content)
    rows = summary.read(sweep).rows
    assert [row["job"] for row in rows] == [0, 1, 2, 3, 10]
    assert rows[2]["status"] == "killed"
    assert outcome.read(sweep / "2") is None
    assert outcome.settings_of(sweep / "2") == {}
    assert summary.write(sweep).startswith("2 of 5 jobs did not complete")
    assert "its outcome.json cannot be read" in (sweep / "summary.md").read_text()


def test_main_effects_are_means() -> None:
    settings = {"model.lstm.hidden_size": ["8", "8", "16", "16"]}
    value = np.array([0.5, 0.7, 0.2, 0.3])
    figure = summary.main_effects(settings, {"best/val/loss": value})
    [panel] = figure.axes
    dots, means = panel.lines
    assert len(dots.get_xdata()) == 4
    assert dict(zip(*means.get_data(), strict=True)) == pytest.approx({8: 0.6, 16: 0.25})


def test_an_ablation_has_bars_of_its_deviation_and_a_metric_beside_the_loss(tmp_path: Path) -> None:
    for job in range(4):
        words = [f"ablation={('full', 'no_cnn')[job // 2]}", f"seed={job % 2}"]
        leave(tmp_path, job, words, best_val_loss=0.1 * job, test_accuracy=0.5 + 0.1 * job)
    drawn = summary.figures(summary.read(tmp_path))
    assert set(drawn) == {"main_effects"}, "a seed is no axis"
    upper, lower = drawn["main_effects"]().axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("best/val/loss", "test/accuracy")
    bars = lower.containers[0][2][0].get_segments()
    deviation = statistics.stdev([0.5, 0.6])
    assert bars[0][:, 1] == pytest.approx([0.55 - deviation, 0.55 + deviation])


def test_rates_have_a_logarithmic_axis() -> None:
    settings = {"optimizer.lr": ["0.001", "0.002", "0.004"], "model.dropout": ["0.1", "0.2", "0.4"]}
    axes = summary.main_effects(settings, {"best/val/loss": np.array([0.5, 0.7, 0.2])}).axes
    assert [panel.get_xscale() for panel in axes] == ["log", "linear"]


@pytest.mark.long
def test_no_data_set_is_better_than_another(tmp_path: Path) -> None:
    losses = {("B", "adam"): 0.9, ("B", "sgd"): 0.8, ("A", "adam"): 0.1, ("A", "sgd"): 0.2}
    for job, ((data, optimizer), loss) in enumerate(losses.items()):
        words = [f"data.name={data}", f"optimizer={optimizer}", "seed=0"]
        leave(tmp_path, job, words, best_val_loss=loss)
    summary.write(tmp_path)
    text = (tmp_path / "summary.md").read_text()
    assert "## Settings, by their means for each data set" in text
    means = summary.groups(summary.read(tmp_path)).table
    assert means["data.name"].tolist() == ["A", "A", "B", "B"]
    assert means["optimizer"].tolist() == ["adam", "sgd", "sgd", "adam"]
    assert "A: `optimizer=adam` comes first" in text
    assert "B: `optimizer=sgd` comes first" in text
    assert "over 2 data sets: too few" in text
    assert text.count("seed=0,1,2,3,4") == 2, "one run each says nothing of noise"


def test_the_page_says_which_was_best_and_whether_that_is_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = (0.0, 0.01, -0.01, 0.02, -0.02)
    losses = {"full": 0.50, "no_lstm": 0.505, "no_cnn": 0.80}
    for i, (name, loss) in enumerate(losses.items()):
        for seed in range(5):
            value = loss + noise[seed] * (1 if name == "full" else -1)
            words = [f"ablation={name}", f"seed={seed}"]
            leave(tmp_path, 5 * i + seed, words, best_val_loss=value)
    summary.write(tmp_path)
    answer = (tmp_path / "summary.md").read_text().split("is that noise?")[1]
    assert "`ablation=full` comes first by best/val/loss: 0.5000" in answer
    assert "It may be noise that it is better than `ablation=no_lstm`." in answer
    out = capsys.readouterr().out
    assert "no best     `ablation=full` comes first" in out
    assert "**" not in out
    rows = {line.split()[1]: line for line in answer.splitlines() if line.startswith("| ablation")}
    assert "+0.3000" in rows["ablation=no_cnn"]
    assert "< 0.001" in rows["ablation=no_cnn"]


@pytest.mark.long
def test_a_winner_beyond_noise_is_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On A the smaller step is best; on B its lead is within what seeds differ by."""
    losses = {("A", "1"): 0.5, ("A", "2"): 0.8, ("B", "1"): 0.50, ("B", "2"): 0.51}
    for i, ((data, lr), loss) in enumerate(losses.items()):
        for seed, noise in enumerate((0.02, 0.0, -0.02)):
            value = loss + noise * (1 if lr == "1" else -1)
            words = [f"data.name={data}", f"optimizer.lr={lr}", f"seed={seed}"]
            leave(tmp_path, 3 * i + seed, words, best_val_loss=value)
    summary.write(tmp_path)
    out = capsys.readouterr().out
    assert "\nbest        A: `optimizer.lr=1`" in out
    assert "\nno best     B: `optimizer.lr=1`" in out
    marked = [line for line in out.splitlines() if "**" in line]
    assert [line.split()[1:4:2] for line in marked] == [["**A**", "**1**"]]


def test_means_have_intervals_over_seeds_and_single_accuracies_over_items(tmp_path: Path) -> None:
    values = {"8": (0.90, 0.95, 0.94), "16": (0.8,), "32": (0.7,)}
    for i, (size, accuracies) in enumerate(values.items()):
        for seed, accuracy in enumerate(accuracies):
            job = 10 * i + seed
            leave(tmp_path, job, [f"model.size={size}", f"seed={seed}"], test_accuracy=accuracy)
            if size != "32":
                (tmp_path / str(job) / "metrics.json").write_text('{"test_items": 50, "epochs": 1}')
    (tmp_path / "20" / "metrics.json").write_text("{")
    rows = summary.groups(summary.read(tmp_path)).table.set_index("model.size")
    mean, std = statistics.mean(values["8"]), statistics.stdev(values["8"])
    reach = 4.302653 * std / math.sqrt(3)  # 97.5 % of Student's t of two degrees of freedom
    low, high = rows["test/accuracy/low"], rows["test/accuracy/high"]
    assert (low["8"], high["8"]) == pytest.approx((mean - reach, mean + reach))
    assert (low["16"], high["16"]) == pytest.approx((0.6696, 0.8876), abs=1e-4)  # Wilson 1927
    assert math.isnan(low["32"])
    summary.write(tmp_path)
    assert "0.8000 (0.6696 to 0.8876)" in (tmp_path / "summary.md").read_text()
    assert pd.read_csv(tmp_path / "summary.csv")["test_items"].dropna().tolist() == [50] * 4


def test_no_interval_leaves_the_range_of_its_metric(tmp_path: Path) -> None:
    for seed, value in enumerate((0.3, 1.0, 0.9)):
        leave(tmp_path, seed, [f"seed={seed}"], test_f1=value, test_loss=value)
    (row,) = summary.groups(summary.read(tmp_path)).table.to_dict("records")
    assert (row["test/f1/low"], row["test/f1/high"]) == (0, 1)
    assert row["test/loss/low"] < 0 < 1 < row["test/loss/high"]


@pytest.mark.long
@pytest.mark.parametrize("seeds", [("seed=0", "seed=1"), ("",)])
def test_settings_are_compared_over_data_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: tuple[str, ...]
) -> None:
    """The metric rises by the number of the data set, and the CNN is worth 0.1 on each."""
    jobs = 0
    for data in range(8):
        for name, loss in (("full", 0.4), ("no_cnn", 0.5)):
            for seed in seeds:
                words = [f"data.name=Set{data}", f"ablation={name}", *filter(None, [seed])]
                leave(tmp_path, jobs, words, best_val_loss=data + loss + 0.01 * bool(seed))
                jobs += 1
    summary.write(tmp_path)
    answer = "`ablation=no_cnn` against `ablation=full`, best/val/loss over 8 data sets"
    assert f"over sets   {answer}: more than noise, and worse." in capsys.readouterr().out
    assert f"{answer}: more than noise, and worse." in (tmp_path / "summary.md").read_text()


def test_lines_run_through_every_setting_to_the_metric() -> None:
    settings = {"model/cnn": ["none", "none", "wide", "wide"], "seed": ["0", "1", "0", "1"]}
    value = np.array([0.5, 0.7, 0.2, 0.3])
    figure = summary.parallel_coordinates(settings, value, "best/val/loss")
    lines = [line.get_ydata() for line in figure.axes[0].lines[:4]]
    assert [tuple(line[:2]) for line in lines] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [line[2] for line in lines] == pytest.approx([0.6, 1.0, 0.0, 0.2])


def test_a_sweep_of_failures_has_a_summary_and_no_figure(tmp_path: Path) -> None:
    for job in range(2):
        leave(tmp_path, job, [f"seed={job}"], "out of memory")
    assert "2 of 2 jobs" in summary.write(tmp_path)
    assert not list(tmp_path.glob("*.png"))
    assert "2 out of memory" in (tmp_path / "summary.md").read_text()

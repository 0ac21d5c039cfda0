"""Figures: what is on their axes."""

from pathlib import Path
from types import SimpleNamespace

import matplotlib.dates as mdates
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from torchmetrics.functional.classification import multiclass_calibration_error

from seqfuse.figures import imputations as imputed
from seqfuse.figures.anomalies import anomalies, thresholds
from seqfuse.figures.classification import (
    ClassFigures,
    Example,
    attention,
    confusion_matrix,
    prediction_sets,
    reliability,
)
from seqfuse.figures.clips import ClipFigures, ClipScoreFigures
from seqfuse.figures.collect import Figures, Item, Result
from seqfuse.figures.drawing import pixels
from seqfuse.figures.forecasting import FigureFiles, forecasts
from seqfuse.figures.multilabel import precision_recall
from seqfuse.figures.regression import predictions
from seqfuse.figures.tagging import step_classes
from seqfuse.figures.texts import MAX_WORDS, Sentence, sentences, worst_pairs
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.forecasts import Panel
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.read.monitored import Recording
from seqfuse.tasks.measures import Scored

START = np.datetime64("2024-01-01T00:00:00")
TIMES = {
    "dates": START + np.arange(12).astype("timedelta64[h]"),
    "rows": np.arange(16_000, 16_012),
}


def test_signs_that_no_font_has_are_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib warns of each of them."""
    text = sentences([Sentence(["正面", "\U0001f642"], np.ones(2), "行 0")])
    assert pixels(text).std() > 0
    monkeypatch.setattr("seqfuse.figures.drawing.fallbacks", lambda: ["DejaVu Serif"])
    assert pixels(text).std() > 0
    fonts = [word.get_fontfamily() for word in text.findobj(Text) if "正" in word.get_text()]
    assert fonts
    assert all(families[-1] == "DejaVu Serif" for families in fonts)


@pytest.mark.parametrize(
    ("figures", "rows"),
    [
        (ClassFigures(), [0, 1, 4, 2]),  # the first of each class, and one that is wrong
        (ClassFigures(max_panels=2), [0, 1, 2]),
        (ClipFigures(), [0, 3, 2, 1, 5, 4, 7]),
        (ClipScoreFigures(max_panels=3), [7, 5, 6]),
    ],
)
def test_what_is_chosen_does_not_depend_on_batches(figures: Figures, rows: list[int]) -> None:
    truth, guesses = np.array([0, 1, 0, 0, 2, 1, 0, 2]), np.array([0, 1, 1, 0, 2, 1, 0, 2])
    scores = np.array([3.0, 2, 5, 4, 1, 6, 0, 7])
    answers = scores if isinstance(figures, ClipScoreFigures) else np.eye(3)[guesses]
    items = [Item(i, truth[i], answers[i]) for i in range(8)]
    halves = figures.choose([*figures.choose(items[:4]), *items[4:]])
    assert [item.index for item in halves] == [item.index for item in figures.choose(items)] == rows


def test_figures_of_a_split_open_no_other() -> None:
    """What has only the test split draws it, as where a training file is no longer there."""
    items = series(np.zeros((4, 3, 1)), list("abab"))
    labels = SimpleNamespace(classes=["a", "b"])
    splits = SimpleNamespace(
        rows=lambda split: (items, np.arange(4)), pipeline=SimpleNamespace(labels=labels)
    )
    numbers = [np.arange(4), np.array([0, 1, 0, 1]), np.tile([0.25, 0.75], (4, 1))]
    drawn = ClassFigures().draw(
        Result([], numbers, splits, "test", SimpleNamespace(is_scaled=False))
    )
    assert {"confusion_matrix", "reliability"} <= set(drawn)


def test_confusion_matrix_counts() -> None:
    figure = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), ["a", "b", "c"])
    axes = figure.axes[0]
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    counts = [text.get_text() for text in axes.texts]
    assert counts == ["1", "1", "", "", "1", "", "", "", "1"]
    assert axes.get_title() == "accuracy 0.750"


@pytest.mark.long
def test_many_classes_have_their_names() -> None:
    for k in (77, 400):
        names = [f"class_{i}" for i in range(k)]
        axes = confusion_matrix(np.arange(k), np.arange(k), names).axes[0]
        shown = [text.get_text() for text in axes.get_yticklabels()]
        assert shown == names[:: -(-k // 160)]
        assert shown == [text.get_text() for text in axes.get_xticklabels()]


def test_what_was_most_wrong_comes_first() -> None:
    answers = np.array([[0.9, 0.1], [0.4, 0.6], [0.99, 0.01], [0.2, 0.8]])
    items = [Item(i, np.array(truth), answers[i]) for i, truth in enumerate([1, 0, 1, 1])]
    assert [item.index for item in ClassFigures().worst(items)] == [2, 0, 1]
    assert not ClassFigures().worst(items[3:])


def test_short_texts_leave_no_room_beside_them() -> None:
    short = pixels(sentences([Sentence(["two", "words"], np.ones(2), "row 0")]))
    wide = pixels(sentences([Sentence(["word"] * 60, np.ones(60), "row 0")]))
    assert short.shape[1] < 0.6 * wide.shape[1]


def test_precision_and_recall_of_anomalies_are_drawn_over_the_threshold() -> None:
    scores = np.arange(100) / 100
    labels = (scores >= 0.8) & (scores < 0.95)
    figure = thresholds(labels, scores, 0.7)
    left, right = figure.axes
    [used] = [line for line in left.get_lines() if line.get_marker() == "o"]
    assert used.get_xydata().tolist() == [[1.0, 0.5]]
    assert [line.get_label() for line in right.get_lines()] == [
        *("precision", "recall", "F1", "threshold"),
    ]
    assert "F1 0.667 at the threshold, 0.857" in right.get_title()
    pixels(figure)


@pytest.mark.parametrize("dated", [True, False])
def test_anomalies_have_dates_all_channels_and_their_units(dated: bool) -> None:
    steps = np.arange(200)
    start = np.datetime64("2024-01-01T00:00:00")
    time = start + steps.astype("timedelta64[h]") if dated else steps
    values = np.stack([np.sin(steps / 9), 100 + 5 * np.cos(steps / 7)], axis=1).astype(np.float32)
    labels = (steps >= 150) & (steps < 160)
    columns = ["flow (l/min)", "temperature (K)"]
    recording = Recording("pump", time, values, columns, labels, 100)
    figure = anomalies([Scored(recording, steps / 200)], 0.9)
    upper, lower = figure.subfigs[0].axes
    assert upper.get_title() == "pump"
    names = [text.get_text() for text in upper.get_yticklabels()]
    assert [name.split("\n")[0] for name in names] == columns
    assert names[1].endswith("95 to 105")
    assert len(upper.get_lines()) == 2
    end = mdates.date2num(time[-1]) if dated else 199
    assert lower.get_xlim()[1] == pytest.approx(end)
    pixels(figure)
    if dated:
        assert any("Jan" in text.get_text() for text in lower.get_xticklabels())
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["values", "labelled", "trained on", "score", "threshold"]


def test_reliability_names_the_calibration_error_of_torchmetrics() -> None:
    probabilities = torch.rand(200, 4).softmax(dim=1) ** 2
    probabilities /= probabilities.sum(dim=1, keepdim=True)
    truth = torch.randint(4, (200,))
    figure = reliability(truth.numpy(), probabilities.numpy())
    expected = multiclass_calibration_error(probabilities, truth, num_classes=4, n_bins=10)
    upper, lower = figure.axes
    assert upper.get_title() == f"expected calibration error {expected:.3f}"
    assert sum(bar.get_height() for bar in lower.patches) == 200  # type: ignore[attr-defined]


def test_sets_of_each_class_and_of_all() -> None:
    truth = np.array([0, 0, 1, 1])
    included = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
    left, right = prediction_sets(truth, included, ["a", "b", "c"], 0.8).axes
    assert left.get_title() == "coverage 0.750 of 0.8"
    assert right.get_title() == "mean size 1.50"
    for axes, wanted in ((left, [0.5, 1.0]), (right, [1.0, 2.0])):
        assert [bar.get_width() for bar in axes.patches] == wanted  # type: ignore[attr-defined]
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b"]


def test_attention_has_a_panel_per_example() -> None:
    signal = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    figure = attention([Example(signal, np.ones(12), str(i)) for i in range(4)])
    visible = [axes for axes in figure.axes if axes.get_visible() and axes.images]
    assert [axes.get_title() for axes in visible] == ["0", "1", "2", "3"]
    assert len(visible[0].lines) == 3


def test_every_source_has_a_panel_on_the_clock_of_the_labels() -> None:
    truth, answer = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    x = {
        "phone": np.ones((6, 5), dtype=np.float32),
        "watch": np.ones((12, 2), dtype=np.float32),
    }
    items = [Item(row, truth, answer, x, np.ones(6)) for row in (0, 4)]
    figure = step_classes(items, ["a", "b", "c"], "missing: film")
    bands, phone, watch = figure.subfigs[1].axes
    assert bands.get_title() == "row 4, 67% of steps right"
    assert np.asarray(bands.get_images()[0].get_array()).tolist() == [
        *np.stack([truth, answer]).tolist()
    ]
    assert len(phone.get_lines()) == 3
    assert phone.get_ylabel() == "phone\n3 of 5 channels"
    time = np.asarray(watch.get_lines()[0].get_xdata(), dtype=float)
    assert (time[0], time[-1]) == pytest.approx((0.25, 5.75))
    left, right, *_ = watch.get_images()[0].get_extent()
    assert (left, right) == (0, 6)
    np.testing.assert_allclose(np.asarray(watch.get_images()[0].get_array()), 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]
    assert "missing: film" in figure.get_supxlabel()


@pytest.mark.parametrize("clock", TIMES)
def test_a_forecast_lies_on_its_clock(clock: str) -> None:
    prediction = np.stack([np.zeros(4), np.ones(4), np.full(4, 2.0)], axis=1)
    time = TIMES[clock]
    panel = Panel(time, np.ones(8), np.ones(4), prediction, [0.1, 0.5, 0.9], np.ones(8), "load")
    axes = forecasts([panel]).axes[0]
    low, high = axes.get_xlim()
    history, truth = axes.get_lines()[0], axes.get_lines()[1]
    assert high - low == pytest.approx(11 if clock == "rows" else 11 / 24)
    assert len(history.get_xdata()) == 8  # type: ignore[arg-type]
    assert np.asarray(truth.get_xdata())[0] == time[8]
    left, right, *_ = axes.get_images()[0].get_extent()
    assert (left, right) == pytest.approx((low, low + (high - low) * 7 / 11))


@pytest.mark.parametrize("clock", TIMES)
def test_an_imputation_is_marked_where_a_value_was_held_out(clock: str) -> None:
    time, steps = TIMES[clock], len(TIMES[clock])
    hidden = np.arange(steps) % 3 == 1
    truth = np.where(hidden, 1.0, np.nan)
    panel = imputed.GapPanel(
        time, np.where(hidden, np.nan, 2.0), truth, truth + 1, truth + 2, np.ones(steps), "load"
    )
    figure = imputed.imputations([panel])
    axes = figure.axes[0]
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.get_lines()}
    assert list(lines) == ["seen", "held out", "imputed", "interpolation"]
    np.testing.assert_array_equal(np.isnan(lines["seen"]), hidden)
    for level, name in enumerate(("held out", "imputed", "interpolation"), 1):
        np.testing.assert_array_equal(np.isnan(lines[name]), ~hidden)
        assert set(lines[name][hidden]) == {level}
    low, high = axes.get_xlim()
    assert high - low == pytest.approx(11 if clock == "rows" else 11 / 24)
    left, right, *_ = axes.get_images()[0].get_extent()
    assert (left, right) == pytest.approx((low, high))


@pytest.mark.long
def test_a_figure_of_each_series_or_one_of_all(tmp_path: Path) -> None:
    prediction, unknown = np.ones((4, 1)), np.full(4, np.nan)
    known = Panel(TIMES["rows"], np.ones(8), np.ones(4), prediction, [0.5], np.ones(8), "load")
    panels = [known, known._replace(truth=unknown)]
    assert [len(axes.get_lines()) for axes in forecasts(panels).axes] == [3, 2]
    labels = [text.get_text() for text in forecasts(panels[::-1]).legends[0].get_texts()]
    assert labels == ["history", "forecast", "truth", "attention"]
    folder = FigureFiles(str(tmp_path / "new"))
    for name in ("west", "a/b", "a_b", ""):
        folder.add(name, panels)
    folder.close()
    names = ["west.png", "a_b.png", "a_b_2.png", "forecasts.png"]
    assert [path.name for path in folder.written] == names
    assert {path.name for path in (tmp_path / "new").iterdir()} == {*names}
    with pytest.raises(InputError, match=r"west.png exists: type overwrite=true"):
        FigureFiles(str(tmp_path / "new")).add("west", panels)
    FigureFiles(str(tmp_path / "new"), overwrite=True).add("west", panels)
    one = FigureFiles(str(tmp_path / "all.png"))
    one.add("west", panels)
    assert not one.path.exists()
    one.close()
    assert one.written == [tmp_path / "all.png"]
    with pytest.raises(InputError, match="all.png exists"):
        FigureFiles(str(tmp_path / "all.png"))
    with pytest.raises(InputError, match="more than 48 .* name a folder"):
        FigureFiles(str(tmp_path / "many.png")).add("west", panels * 25)
    with pytest.raises(InputError, match="figure=.*all.pdf must be a folder, or end in .png"):
        FigureFiles(str(tmp_path / "all.pdf"))


@pytest.mark.parametrize("word", ["$$", "$_$", r"$\foo$"])
def test_a_word_is_no_formula(word: str) -> None:
    text = ["pay", word, "now"]
    tagged = Sentence(text, np.ones(3), f"row 0: {word}", ["O", word, "O"], ["O"] * 3)
    truth, predicted, classes = np.array([0, 1, 1]), np.array([0, 1, 0]), ["a", word]
    for figure in (
        sentences([tagged]),
        worst_pairs(truth, predicted, classes),
        confusion_matrix(truth, predicted, classes),
    ):
        assert pixels(figure).std() > 0


@pytest.mark.long
def test_a_long_text_is_drawn_in_part() -> None:
    figure = sentences([Sentence(["word"] * 5000, np.ones(5000), "row 0")])
    drawn = [text.get_text() for text in figure.axes[0].texts]
    assert drawn.count("word") == MAX_WORDS
    assert drawn[0] == "row 0, the first 120 of 5,000 words"
    assert pixels(figure).shape[0] < 1000


def test_predicted_numbers_against_true_ones() -> None:
    truth = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 6.0]])
    outputs = np.stack([truth - 0.5, truth + 0.25, truth + 0.5], axis=2)
    outputs[0, 0] += 10
    figure = predictions(truth, np.nan_to_num(outputs), ["a", "b"])
    first, second = figure.axes
    assert first.get_title() == "MAE 3.583"
    assert second.get_title() == "MAE 0.25"
    assert second.get_xlabel() == "true b"
    np.testing.assert_allclose(second.collections[-1].get_offsets(), [[5, 5.25], [6, 6.25]])
    labels = [text.get_text() for text in first.get_legend().get_texts()]
    assert labels[0] == "band, 67% within"
    alone = predictions(truth[1:, :1], outputs[1:, :1, 1:2], ["a"])
    assert len(alone.axes[0].collections) == 1


def test_precision_and_recall_of_each_label() -> None:
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    scores = np.array([[2.0, -1, -3], [1, 2, -1], [0.5, -2, -4], [-1, -3, -2]])
    figure = precision_recall(truth, scores, scores > 0, ["a", "b", "c"])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["a: F1 0.667, 3 items", "b: F1 1.000, 1 items", "c: F1 0.000, 0 items"]
    place = figure.axes[0].lines[-1].get_xydata()
    np.testing.assert_allclose(place, [[2 / 3, 2 / 3]])
    assert not figure.axes[2].lines
    two = precision_recall(truth, scores, scores > 0, ["a", "b", "c"], max_panels=2)
    assert len(two.axes) == 2

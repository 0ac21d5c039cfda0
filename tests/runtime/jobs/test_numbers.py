"""Numbers and several labels of items: columns of a table, arrays, in the user's units."""

from pathlib import Path

import numpy as np
import pytest

from seqfuse.runtime.engine import Feeds, Predicted
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.classes import Labeller
from seqfuse.runtime.jobs.numbers import Regressor
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from tests.runtime.fakes import metadata

X = np.random.default_rng(0).normal(size=(3, 5, 2))


class Constant:
    """Answers the same for each item."""

    def __init__(self, answer: list):
        self.answer = np.array(answer, dtype=np.float32)

    def __call__(self, feeds: Feeds) -> Predicted:
        batch, steps = feeds["mask"].shape
        answers = np.repeat(self.answer[None], batch, axis=0)
        return Predicted(answers, np.zeros((batch, 1, steps)))


def regressor(y: np.ndarray, answer: list, quantiles: list[float]) -> Regressor:
    pipeline = SeriesPipeline("none").fit(series(X, y, label_type="numbers"))
    about = metadata(pipeline, file_format={"kind": "series"}, quantiles=quantiles)
    return Regressor(about, Constant(answer))


def test_numbers_come_in_the_user_s_units(tmp_path: Path) -> None:
    model = regressor(np.array([10.0, 20.0, 30.0]), [[-1.0, 0.0, 2.0]], [0.05, 0.5, 0.95])
    deviation = np.std([10, 20, 30])
    np.testing.assert_allclose(model.predict(X), [20.0] * 3)
    bands = [[20 - deviation, 20, 20 + 2 * deviation]]
    np.testing.assert_allclose(model.predict_bands(X), [bands] * 3)
    np.savez(tmp_path / "x.npz", x=X, id=np.array(["a", "b", "c"]))
    table = model.table(tmp_path / "x.npz")
    assert list(table) == ["id", "prediction", "lower", "upper"]
    np.testing.assert_allclose(table["upper"], bands[0][2])
    with pytest.raises(InputError, match="predict_bands"):
        model.predict_proba(X)


def test_several_numbers_have_names_and_perhaps_no_band(tmp_path: Path) -> None:
    y = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]])
    model = regressor(y, [[0.0], [1.0]], [0.5])
    np.testing.assert_allclose(model.predict(X), [[3.0, 6.0]] * 3)
    np.save(tmp_path / "x.npy", X)
    assert list(model.table(tmp_path / "x.npy")) == ["row", "y0_prediction", "y1_prediction"]
    items = series(X, y, label_type="numbers")
    [known] = model.known(items, np.array([1]))
    assert known["y0_label"] == (3.0,)
    assert np.isnan(known["y1_label"][0])


def test_labels_are_those_above_their_threshold(tmp_path: Path) -> None:
    items = series(X, ["a|b", "c", ""], label_type="several")
    pipeline = SeriesPipeline("none").fit(items)
    model = Labeller(metadata(pipeline, file_format={"kind": "series"}), Constant([2.0, -3.0, 0.1]))
    assert model.predict(X) == [["a", "c"]] * 3
    np.testing.assert_allclose(model.scores(X)[0], 1 / (1 + np.exp([-2.0, 3.0, -0.1])), rtol=1e-6)
    np.save(tmp_path / "x.npy", X)
    table = model.table(tmp_path / "x.npy")
    assert list(table) == ["row", "prediction", "score_a", "score_b", "score_c"]
    assert table["prediction"].tolist() == ["a|c"] * 3
    [known] = model.known(items, np.arange(3))
    assert known["label"] == ["a|b", "c", ""]
    with pytest.raises(InputError, match="scores"):
        model.predict_proba(X)


@pytest.mark.parametrize(
    ("threshold", "wanted"), [(0.9, []), (0.4, ["a", "c"]), ("0.01", list("abc"))]
)
def test_labels_of_another_threshold(threshold: object, wanted: list[str], tmp_path: Path) -> None:
    items = series(X, ["a|b", "c", ""], label_type="several")
    pipeline = SeriesPipeline("none").fit(items)
    known, engine = metadata(pipeline, file_format={"kind": "series"}), Constant([2.0, -3.0, 0.1])
    model = Labeller(known, engine, threshold=threshold)
    assert model.predict(X) == [wanted] * 3
    assert Labeller(known, engine).predict(X, threshold=threshold) == [wanted] * 3
    np.save(tmp_path / "x.npy", X)
    assert model.table(tmp_path / "x.npy")["prediction"].tolist() == ["|".join(wanted)] * 3
    with pytest.raises(InputError, match="threshold=2"):
        Labeller(known, engine, threshold=2)

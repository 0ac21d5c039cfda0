"""Classes of items and of their steps, from files and from memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime.engine import Feeds, Predicted
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.classes import Classifier, Tagger
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.pipelines.text import TextPipeline, texts
from tests.runtime.fakes import Zeros, metadata


def test_a_long_sentence_is_cut_as_in_training(tmp_path: Path) -> None:
    pipeline = TextPipeline(max_length=2, buckets=10).fit(texts([["a", "b"]], labels=[["x", "y"]]))
    (tmp_path / "in.conll").write_text("fly\nto\nRome\n\nyes\n")
    tagger = Tagger(metadata(pipeline, file_format={"kind": "sentences"}), Zeros(2, 2))
    [rows] = tagger.rows(tmp_path / "in.conll")
    assert rows["token"].tolist() == ["fly", "to", "yes"]
    assert rows["prediction"].tolist() == ["x"] * 3
    np.testing.assert_array_equal(rows["row"], [0, 0, 1])


X = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)


def classifier(channels: int, layout: str = "btc") -> tuple[Classifier, Zeros]:
    pipeline = SeriesPipeline().fit(series(X[..., :channels], ["a", "b", "a"]))
    engine = Zeros(2)
    file_format = {"kind": "series", "layout": layout}
    return Classifier(metadata(pipeline, file_format=file_format), engine), engine


@pytest.mark.parametrize("layout", ["btc", "bct"])
def test_series_come_as_a_path_an_array_a_list_or_frames(layout: str, tmp_path: Path) -> None:
    array = X if layout == "btc" else X.transpose(0, 2, 1)
    np.savez(tmp_path / "new.npz", x=array)
    index = pd.MultiIndex.from_product([["z", "y", "x"], range(5)])
    each_step = pd.DataFrame(X.reshape(-1, 2), index, columns=["u", "v"])
    frames = [pd.DataFrame(one) for one in X]
    for x in (array, list(array), tmp_path / "new.npz", f"{tmp_path}/new.npz", each_step, frames):
        model, engine = classifier(2, layout)
        assert model.predict(x).tolist() == ["a"] * 3
        [fed] = engine.fed
        wanted, again = classifier(2)
        wanted.predict(X)
        np.testing.assert_array_equal(fed["x"], again.fed[0]["x"])


def test_a_frame_of_one_channel_has_a_series_in_each_row() -> None:
    (model, engine), (other, wanted) = classifier(1), classifier(1)
    model.predict(pd.DataFrame(X[..., 0]))
    other.predict(X[..., :1])
    np.testing.assert_array_equal(engine.fed[0]["x"], wanted.fed[0]["x"])


def test_texts_come_as_a_list_a_column_a_frame_or_a_path(tmp_path: Path) -> None:
    pipeline = TextPipeline(buckets=10).fit(texts([["a"], ["b", "c"]], labels=["x", "y"]))
    frame = pd.DataFrame({"id": [1, 2], "said": ["a b", "c"]})
    frame.to_csv(tmp_path / "new.csv", index=False)
    fed = []
    for x in (["a b", "c"], frame["said"], frame["said"].to_numpy(), frame, tmp_path / "new.csv"):
        engine = Zeros(2)
        model = Classifier(
            metadata(pipeline, file_format={"kind": "texts", "text": "said"}), engine
        )
        assert model.predict(x).tolist() == ["x", "x"]
        fed.append(engine.fed[0]["x"])
    for each in fed[1:]:
        np.testing.assert_array_equal(each, fed[0])
    with pytest.raises(InputError, match="one text"):
        model.predict("a b")
    with pytest.raises(InputError, match="no column 'said'"):
        model.predict(frame[["id"]])
    (tmp_path / "none.csv").write_text("said\n")
    with pytest.raises(InputError, match=r"none\.csv"):
        model.predict(tmp_path / "none.csv")


class Known:
    """Scores of classes that differ from item to item."""

    def __call__(self, feeds: Feeds) -> Predicted:
        scores = np.array([[3.0, 0.0], [0.5, 0.0], [0.0, 0.4]], dtype=np.float32)
        return Predicted(scores, np.zeros((3, 1, 5)))


def test_answers_that_are_not_probable_enough_stay_empty(tmp_path: Path) -> None:
    pipeline = SeriesPipeline().fit(series(X, ["a", "b", "a"]))
    known = metadata(pipeline, file_format={"kind": "series"})
    np.save(tmp_path / "x.npy", X)
    for abstain, wanted in ((None, "aab"), (0.61, ["a", "a", ""]), ("0.9", ["a", "", ""])):
        model = Classifier(known, Known(), abstain=abstain)
        assert model.predict(X).tolist() == list(wanted)
        table = model.table(tmp_path / "x.npy")
        assert table["prediction"].tolist() == list(wanted)
        assert list(table) == ["row", "prediction", "p_a", "p_b"]
    for abstain in (1.5, -0.1, "sure", True):
        with pytest.raises(InputError, match=f"abstain={abstain}"):
            Classifier(known, Known(), abstain=abstain)


def test_tags_that_are_not_probable_enough_stay_empty() -> None:
    pipeline = TextPipeline(buckets=10).fit(texts([["a", "b"]], labels=[["x", "y"]]))
    known = metadata(pipeline, file_format={"kind": "sentences"})
    assert Tagger(known, Zeros(2, 2), abstain=0.6).predict([["a", "b"]]) == [["", ""]]
    assert Tagger(known, Zeros(2, 2), abstain=0.5).predict([["a", "b"]]) == [["x", "x"]]

"""Estimators of labelled items, beside the command that does the same."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback
from scipy.sparse import csr_array, dok_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import seqfuse
from seqfuse import predict, train
from seqfuse.runtime.errors import InputError
from tests import composing

GENERATOR = np.random.default_rng(0)
Y = np.repeat([7, 3], 20)
X = GENERATOR.normal(0, 0.3, (40, 12, 2)).astype(np.float32)
X[:, :, 0] += np.sin(np.where(Y == 3, 1, 3)[:, None] * np.linspace(0, 6, 12))
SMALL = {"model": "base", "max_steps": 3, "overrides": ["trainer.accelerator=cpu"]}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    composing.remember(monkeypatch)


@pytest.fixture(scope="module")
def fitted() -> seqfuse.Classifier:
    return seqfuse.Classifier(**SMALL).fit(X, Y)


@pytest.mark.long
def test_it_is_the_run_of_the_command(fitted: seqfuse.Classifier, command) -> None:
    np.savez("mine.npz", x=X, y=Y)
    words = ["data=arrays", "data.train=mine.npz", "data.test=mine.npz", "model=base"]
    words += ["trainer.max_steps=3", "trainer.accelerator=cpu", "callbacks.figures=null"]
    code, _, err = command(train.main, *words)
    assert code == 0, err
    [ckpt] = Path("logs").glob("*/*/checkpoints/best.ckpt")
    probabilities = seqfuse.load(ckpt).predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(X), probabilities)
    assert fitted.classes_.tolist() == [3, 7]


@pytest.mark.long
def test_it_learns_and_predicts_its_own_classes() -> None:
    model = seqfuse.Classifier(max_steps=40, model="base", overrides=SMALL["overrides"])
    assert model.fit(X, np.where(Y == 3, "low", "high")).score(X, np.where(Y == 3, "low", "high"))
    assert model.score(X, np.where(Y == 3, "low", "high")) > 0.9
    assert model.classes_.tolist() == ["high", "low"]


@pytest.mark.long
def test_a_saved_net_is_a_checkpoint(fitted: seqfuse.Classifier, command) -> None:
    wanted = fitted.predict_proba(X)
    fitted.save("model.ckpt")
    again = seqfuse.Classifier.load("model.ckpt")
    np.testing.assert_array_equal(again.predict_proba(X), wanted)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.classes_.dtype.kind == "i"
    np.save("new.npy", X)
    code, _, err = command(predict.main, "ckpt=model.ckpt", "input=new.npy", "output=out.csv")
    assert code == 0, err
    np.testing.assert_allclose(pd.read_csv("out.csv")[["p_3", "p_7"]], wanted, atol=1e-6)
    with pytest.raises(InputError, match="Classifier, not of a Regressor"):
        seqfuse.Regressor.load("model.ckpt")
    with pytest.raises(InputError, match=r"none\.ckpt"):
        seqfuse.Classifier.load("none.ckpt")


def test_a_pickle_predicts_alike(fitted: seqfuse.Classifier) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert pickle.loads(pickle.dumps(seqfuse.Classifier(max_steps=2))).max_steps == 2


@pytest.mark.long
def test_items_come_in_many_forms(fitted: seqfuse.Classifier) -> None:
    wanted = fitted.predict_proba(X)
    index = pd.MultiIndex.from_product([range(40), range(12)])
    frame = pd.DataFrame(X.reshape(-1, 2), index, columns=["u", "v"])
    for x in (list(X), [pd.DataFrame(item) for item in X], frame):
        np.testing.assert_allclose(fitted.predict_proba(x), wanted, atol=1e-6)
        other = seqfuse.Classifier(**SMALL).fit(x, Y)
        np.testing.assert_array_equal(other.predict_proba(x), wanted)
        assert other.n_features_in_ == 2
    other = seqfuse.Classifier(**SMALL, layout="bct").fit(X.transpose(0, 2, 1), Y)
    np.testing.assert_array_equal(other.predict_proba(X.transpose(0, 2, 1)), wanted)
    short = fitted.predict_proba([X[0], X[1, :7]])
    np.testing.assert_allclose(short[0], wanted[0], atol=1e-6)


@pytest.mark.long
def test_a_table_keeps_its_columns() -> None:
    frame = pd.DataFrame(X[:, :, 0], columns=[f"t{i}" for i in range(12)])
    model = seqfuse.Classifier(**SMALL).fit(frame, Y)
    assert model.n_features_in_ == 12
    assert model.feature_names_in_.tolist() == list(frame)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list(frame)[::-1]])
    assert len(model.predict([X[0, :, 0], X[0, :5, 0]])) == 2


@pytest.mark.long
def test_texts_and_sources_are_items_too() -> None:
    words = {**SMALL, "model": None}
    said = ["fly to rome", "is it warm"] * 10
    model = seqfuse.Classifier(**words).fit(said, ["go", "ask"] * 10)
    assert set(model.predict(pd.Series(said))) <= {"go", "ask"}
    sources = {"watch": X, "phone": [item[:6] for item in X]}
    model = seqfuse.Classifier(**words).fit(sources, Y)
    assert model.predict(sources).shape == (40,)


@pytest.mark.long
def test_scikit_learn_can_handle_it() -> None:
    model = seqfuse.Classifier(**SMALL, random_state=3)
    assert clone(model).get_params() == model.get_params()
    assert not [name for name in model.get_params() if name.startswith("_")]
    assert clone(model).set_params(max_steps=1).max_steps == 1
    pipeline = make_pipeline(FunctionTransformer(np.tanh), model)
    scores = cross_val_score(pipeline, X, Y, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


@pytest.mark.long
def test_what_cannot_be_fitted_is_named() -> None:
    for model in (seqfuse.Classifier(**SMALL), seqfuse.Regressor(**SMALL)):
        with pytest.raises(NotFittedError):
            model.predict(X)
        for sparse in (csr_array(X[:, :, 0]), dok_array(X[:, :, 0])):  # of which one is a mapping
            with pytest.raises(InputError, match="X is sparse"):
                model.fit(sparse, Y)
        with pytest.raises(ValueError, match=r"weight.*zero"):
            model.fit(X, Y, sample_weight=np.zeros(40))
        with pytest.raises(ValueError, match=r"y.*None|None.*y|1d array"):
            model.fit(X, None)
    with pytest.raises(ValueError, match="1 sample"):
        seqfuse.Regressor(**SMALL).fit(X[:1], Y[:1])


@pytest.mark.long
def test_series_and_texts_of_other_containers() -> None:
    ragged = np.empty(40, dtype=object)
    ragged[:] = [x[: 6 + i % 6] for i, x in enumerate(X)]
    model = seqfuse.Classifier(**SMALL).fit(ragged, Y)
    np.testing.assert_array_equal(model.predict(ragged[:3]), model.predict(list(ragged[:3])))
    steps = pd.DataFrame({"id": np.repeat(range(40), 12), "v": X[:, :, 0].ravel()})
    for wrong, y, said in (
        (steps, Y, "480 rows, y 40 .*set_index"),
        (pd.DataFrame({"text": ["good", "bad"] * 20}), Y, r"words in column 'text': .*X\['text'\]"),
        (pd.DataFrame(X[:, :, 0]).assign(name="a"), Y, "'name': leave it out"),
        (X[:, :, :, None].repeat(2, axis=3), Y, r"\(40, 12, 2, 2\).*X.reshape\(40, 12, -1\)"),
        (X, np.eye(2)[(Y == 7).astype(int)], r"y has shape \(40, 2\).*task=multilabel"),
    ):
        with pytest.raises(InputError, match=said):
            seqfuse.Classifier(**SMALL).fit(wrong, y)


def test_channels_of_frames_keep_their_names() -> None:
    frames = [pd.DataFrame(x, columns=["a", "b"]) for x in X]
    model = seqfuse.Classifier(**SMALL).fit(frames, Y)
    turned = [frame[["b", "a"]] for frame in frames]
    with pytest.raises(InputError, match=r"are b, a, .*fitted a, b: .*X\[\['a', 'b'\]\]"):
        pickle.loads(pickle.dumps(model)).predict(turned)
    with pytest.raises(InputError, match="frame 1 of X has the columns b, a, the first a, b"):
        model.predict([frames[0], turned[1]])
    assert (model.predict(frames) == model.predict(X)).all()
    long = pd.concat(dict(enumerate(turned)))
    with pytest.raises(InputError, match="are b, a"):
        model.predict(long)


def test_a_fit_repeats_itself_and_leaves_the_process_alone(fitted: seqfuse.Classifier) -> None:
    np.random.seed(5)
    torch.manual_seed(5)
    before = (np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads())
    again = clone(fitted).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_num_threads() == before[2]
    other = clone(fitted).set_params(random_state=1).fit(X, Y)
    assert (other.predict_proba(X) != fitted.predict_proba(X)).any()


@pytest.mark.long
def test_nothing_is_printed_or_left_but_where_it_is_asked_for(capsys) -> None:
    class Count(Callback):
        steps = 0

        def on_train_batch_end(self, *_: object) -> None:
            self.steps += 1

    count = Count()
    seqfuse.Classifier(**SMALL, callbacks=[count]).fit(X, Y)
    assert count.steps == 3
    assert capsys.readouterr() == ("", "")
    assert not list(Path().iterdir())
    seqfuse.Classifier(**SMALL, folder="kept", verbose=True).fit(X, Y)
    out, err = capsys.readouterr()
    assert "40 series to train on" in out
    assert "step/s" in err
    [run] = Path("kept").iterdir()
    assert (run / "config.yaml").is_file()
    assert (run / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.long
def test_weights_scale_what_each_item_teaches() -> None:
    words = {**SMALL, "max_steps": 5, "batch_size": 40, "learning_rate": 0.5}
    words["overrides"] = [*SMALL["overrides"], "optimizer=sgd", "scheduler=constant"]
    words["overrides"] += ["model.cnn.dropout=0.0", "model.lstm.dropout=0.0"]
    words["overrides"] += ["model.head.dropout=0.0"]
    alike = seqfuse.Classifier(**words).fit(X, Y, np.full(40, 5.0))
    np.testing.assert_array_equal(
        alike.predict_proba(X), seqfuse.Classifier(**words).fit(X, Y).predict_proba(X)
    )
    weighted = seqfuse.Classifier(**words).fit(X, Y, np.where(Y == 3, 9.0, 1.0))
    assert weighted.predict_proba(X)[:, 0].mean() > alike.predict_proba(X)[:, 0].mean()
    for wrong in (np.ones(3), -np.ones(40), np.zeros(40)):
        with pytest.raises(ValueError, match="sample_weight"):
            seqfuse.Classifier(**words).fit(X, Y, wrong)


@pytest.mark.long
def test_numbers_have_bands() -> None:
    y = X[:, :, 0].mean(axis=1).astype(float)
    model = seqfuse.Regressor(**SMALL).fit(X, y)
    assert model.predict(X).shape == (40,)
    bands = model.predict_bands(X)
    assert bands.shape == (40, 1, 3)
    assert (np.diff(bands, axis=2) >= 0).all()
    two = seqfuse.Regressor(**SMALL).fit(X, np.stack([y, -y], axis=1))
    assert two.predict(X).shape == (40, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "wid"}, "model=wid"),
        ({"max_steps": 2.5}, "trainer.max_steps=2.5"),
        ({"overrides": ["model.lstm.hiden=3"]}, "hidden_size"),
        ({"overrides": ["callbacks.checkpoint=null"]}, "callbacks.checkpoint"),
        ({"layout": "tbc"}, "layout=tbc"),
        ({"model": "segments"}, "model=series"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(options: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        seqfuse.Classifier(**{**SMALL, **options}).fit(X, Y)
    assert said in str(error.value)
    assert "\n" not in str(error.value)

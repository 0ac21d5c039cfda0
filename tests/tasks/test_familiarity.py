"""Distances from the training items: their rule, what they are held against, every surface."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import seqfuse
from seqfuse import predict
from seqfuse.config import loading
from seqfuse.runtime import runner
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.make import make_job
from seqfuse.tasks import calibration
from seqfuse.tasks.calibration import Familiarity
from seqfuse.train import train
from tests import shipped
from tests.conftest import DRAWN, TINY, assert_refused, composed
from tests.trained import weights

X = np.random.default_rng(1).normal(size=(9, 26, 3)).astype(np.float32)
FAR = np.full((1, 26, 3), 40, dtype=np.float32)


def drawn(n: int = 400, width: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Encodings (n p) of three classes that share a covariance."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=draw)
    mix = (
        torch.eye(width) + torch.randn(width, width, generator=torch.Generator().manual_seed(9)) / 8
    )
    return torch.randn(n, width, generator=draw) @ mix + 8 * y.unsqueeze(1), y


def fitted(*given: Any) -> Familiarity:
    familiarity = Familiarity()
    familiarity.fit(*given)
    return familiarity


def above(familiarity: Familiarity, encodings: Tensor, level: float = 0.95) -> float:
    """Fraction of items that are further than a fraction of the known ones."""
    known = familiarity.distances
    ranks = torch.searchsorted(known, familiarity(encodings.unsqueeze(1)))
    return float((ranks / (len(known) + 1) > level).float().mean())


def test_it_is_the_distance_of_mahalanobis() -> None:
    encodings, y = drawn(4000)
    familiarity = fitted(encodings, y)
    means = torch.stack([encodings[y == k].mean(dim=0) for k in range(3)])
    inverse = torch.linalg.inv((encodings - means[y]).T.double().cov(correction=0)).float()
    new, _ = drawn(50, seed=1)
    apart = new.unsqueeze(1) - means
    wanted = torch.einsum("nkp,pr,nkr->nk", apart, inverse, apart).amin(dim=1).div(10).sqrt()
    found = familiarity(new.reshape(50, 2, 5))
    torch.testing.assert_close(found, wanted, rtol=0.02, atol=0)


@pytest.mark.parametrize("size", [60, 400])
def test_one_ordinary_item_in_twenty_is_above(size: int) -> None:
    rates = []
    for seed in range(10):
        encodings, y = drawn(size, seed=seed)
        rates.append(above(fitted(encodings, y), drawn(2000, seed=seed + 50)[0]))
    assert np.mean(rates) == pytest.approx(0.05, abs=0.015)


def test_a_training_item_is_held_against_the_others() -> None:
    """As by a fit without it, where shrinkage is the same."""
    encodings, y = drawn(120)
    familiarity = fitted(encodings, y)
    left_out = sorted(
        float(fitted(encodings[rows], y[rows])(encodings[[i]].unsqueeze(1)))
        for i in range(120)
        for rows in [torch.arange(120) != i]
    )
    torch.testing.assert_close(familiarity.distances, torch.tensor(left_out), rtol=0.02, atol=0)


def test_items_that_are_held_out_are_what_new_ones_are_held_against() -> None:
    encodings, y = drawn()
    others, _ = drawn(150, seed=3)
    familiarity = fitted(encodings, y, others)
    assert torch.equal(familiarity.distances, familiarity(others.unsqueeze(1)).sort().values)
    few = fitted(encodings, y, others[:20])
    assert len(few.distances) == len(encodings)


def test_the_longer_distance_of_an_item_and_of_its_changed_form_counts() -> None:
    encodings, y = drawn(60)
    alone = fitted(encodings, y).distances
    changed = encodings + torch.linspace(0, 4, 60).unsqueeze(1)
    familiarity = fitted(encodings, y, None, changed)
    there = familiarity(changed.unsqueeze(1))
    assert (familiarity.distances >= alone).all()
    assert familiarity.distances[-1] == there.max()
    # Of the two, in the order of items: none is lost, and none is below its own.
    assert set(familiarity.distances.tolist()) <= {*alone.tolist(), *there.tolist()}
    np.testing.assert_array_equal(fitted(encodings, y, None, encodings).distances, alone)
    held_out = drawn(120, seed=4)[0]
    both = fitted(encodings, y, held_out, changed), fitted(encodings, y, held_out)
    assert torch.equal(*(each.distances for each in both)), "held-out items need no changed form"


@pytest.mark.parametrize("y", [torch.rand(40, 2), torch.ones(40, 3, dtype=torch.long)])
def test_items_without_classes_have_one_mean(y: Tensor) -> None:
    familiarity = fitted(drawn(40)[0], y)
    assert len(familiarity.means) == 1
    assert above(familiarity, 1e3 + drawn(5)[0]) == 1


def test_few_items_equal_ones_and_numbers_that_are_none() -> None:
    encodings, y = drawn(6)
    assert not fitted(encodings[:1], y[:1]).is_fitted
    assert not fitted(encodings * float("nan"), y).is_fitted
    alone = fitted(encodings[:3], torch.arange(3))  # each is a class of its own
    assert not alone.is_fitted
    same = fitted(torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
    assert not same.is_fitted
    rounded = fitted(1 + 1e-6 * encodings, y)
    assert not rounded.is_fitted, "distances would be those of rounding"


def test_many_classes_are_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    familiarity, given = fitted(*drawn(40)), drawn(9)[0].unsqueeze(1)
    whole = familiarity(given)
    monkeypatch.setattr(calibration, "MOST_DIFFERENCES", 1)
    assert torch.equal(familiarity(given), whole)


def test_it_comes_back_from_a_checkpoint_and_fits_its_net() -> None:
    encodings, y = drawn()
    familiarity, other = fitted(encodings, y), Familiarity()
    assert other.metadata() == {}
    other.load_state_dict(familiarity.state_dict())
    assert other.metadata() == familiarity.metadata()
    assert torch.equal(other(encodings.unsqueeze(1)), familiarity(encodings.unsqueeze(1)))
    with pytest.raises(InputError, match="10 features.* 7"):
        other(torch.zeros(2, 1, 7))
    state = familiarity.state_dict()
    with pytest.raises(ValueError, match="dimensions"):
        Familiarity().load_state_dict({**state, "means": torch.zeros(3, 4)})
    Familiarity().load_state_dict({})  # of before
    with pytest.raises(ValueError, match="max_items"):
        Familiarity(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(composed([*DRAWN, "data.num_samples=300"]), folder)
    return folder


@pytest.mark.long
def test_a_far_item_is_beyond_all(run: Path) -> None:
    path = run / "checkpoints" / "best.ckpt"
    model: Any = seqfuse.load(path)
    items, rows = loading.load(path)[1].splits.rows("test")
    x = [items.item(row) for row in rows]
    ordinary, far = model.unfamiliar(x), model.unfamiliar(FAR)
    count = len(weights(run, "best")["familiarity.distances"])
    assert far == pytest.approx(count / (count + 1))
    assert np.mean(ordinary > 0.95) < 0.2
    padded = model.unfamiliar([*x, np.zeros((90, 3), dtype=np.float32)])
    np.testing.assert_allclose(padded[:-1], ordinary, atol=2 / count)
    np.testing.assert_allclose(model.unfamiliar(x[::-1])[::-1], ordinary, atol=2 / count)
    assert (run / "figures" / "test_unfamiliar.png").is_file()


@pytest.mark.long
def test_every_surface_says_it(
    run: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    np.save("new.npy", np.concatenate([X, FAR]))
    ckpt = f"ckpt={run}/checkpoints/best.ckpt"
    words = (ckpt, "input=new.npy", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
    assert command(predict.main, *words, "unfamiliar=0.99", "output=a.csv")[0] == 0
    table = pd.read_csv("a.csv", keep_default_na=False)
    model: Any = seqfuse.load(run / "checkpoints" / "best.ckpt", unfamiliar=0.99)
    folder = shipped.export(run, tmp_path / "shipped", "split=none")
    assert runner.main(["new.npy", "b.csv", "unfamiliar=0.99"], folder) == 0
    exported = pd.read_csv("b.csv", keep_default_na=False)
    assert table["prediction"].tolist() == exported["prediction"].tolist()
    assert table["prediction"].tolist() == model.predict("new.npy").tolist()
    assert table["prediction"][9] == ""
    count = len(model.metadata["distances"])
    np.testing.assert_allclose(exported["unfamiliar"], table["unfamiliar"], atol=2 / count)
    np.testing.assert_array_equal(model.unfamiliar("new.npy"), table["unfamiliar"])
    assert_refused(
        command(predict.main, *words, "unfamiliar=much", "output=c.csv"), "unfamiliar=much"
    )
    assert runner.main(["new.npy", "b.csv", "unfamiliar=2"], folder) == 1


@pytest.mark.long
def test_a_net_without_distances_says_so(run: Path, tmp_path: Path) -> None:
    train(composed([*TINY, "task.familiarity=null", "test=false"]), tmp_path)
    path = tmp_path / "checkpoints" / "best.ckpt"
    model: Any = seqfuse.load(path)
    with pytest.raises(InputError, match="distance"):
        model.unfamiliar(X)
    with pytest.raises(InputError, match=r"unfamiliar=0\.9"):
        seqfuse.load(path, unfamiliar=0.9)
    np.save(tmp_path / "new.npy", X)
    assert "unfamiliar" not in model.table(tmp_path / "new.npy")
    known: Any = seqfuse.load(run / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="unfamiliar"):
        make_job({**known.metadata, "job": "labels"}, known.engine, unfamiliar=0.9)

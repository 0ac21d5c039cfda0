"""Configs composed in Python, and nets built of them."""

import sys
from collections.abc import Sequence

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import seqfuse
from seqfuse.config.compose import compose
from seqfuse.runtime.errors import InputError
from tests.conftest import composed

WRONG = [
    (["model=wid"], "did you mean wide"),
    (["model.lstm.hiden=3"], "did you mean model.lstm.hidden_size"),
    (["model.lstm.hidden_size=a"], "model.lstm.hidden_size=a"),
    (["model=wide,base"], "model=wide,base"),
    (["~model"], "~model"),
    (["-m"], "-m"),
    (["hydra.searchpath=[file://elsewhere]"], "hydra.searchpath"),
    (["sweep=optuna"], "sweep=optuna"),
]


@pytest.mark.long
def test_words_compose_as_on_the_command_line() -> None:
    words = ["data.name=GunPoint", "precision=32", "model.lstm.hidden_size=8"]
    assert compose("train", words) == composed([*words[:1], "precision='32'", *words[2:]])


@pytest.mark.parametrize(("words", "said"), WRONG, ids=str)
def test_mistakes_are_one_line(words: Sequence[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        compose("train", words)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_command_around_it_stays_as_it_was() -> None:
    GlobalHydra.instance().clear()
    arguments, before = sys.argv, list(sys.argv)
    composed(["model=wide"])
    around = GlobalHydra.instance().hydra
    compose("train", ["model=base"])
    assert sys.argv is arguments
    assert sys.argv == before
    assert GlobalHydra.instance().hydra is around


@pytest.mark.long
def test_a_bare_net_trains_without_a_mask() -> None:
    net = seqfuse.build("model=wide", "model/skip=none", channels=3, num_classes=2)
    x, mask = torch.randn(4, 20, 3), torch.ones(4, 20, dtype=torch.bool)
    net(x).prediction.sum().backward()
    net.eval()
    torch.testing.assert_close(net(x), net(x, mask), atol=0, rtol=0)
    features, weights = net.encode(x)
    assert features.shape == (4, 1, 64)
    assert weights.shape == (4, 1, 20)
    torch.testing.assert_close(net.head(features), net(x).prediction, atol=0, rtol=0)


@pytest.mark.long
def test_a_bare_net_has_a_bank_where_it_was_chosen() -> None:
    sizes = {"channels": 1, "num_classes": 2, "num_steps": 30}
    assert seqfuse.build(channels=1, num_classes=2).bank is None
    assert seqfuse.build("model/bank=convolutions", **sizes).bank is not None
    assert seqfuse.build("model=bank", **sizes).bank is not None


@pytest.mark.long
def test_a_bare_forecaster() -> None:
    sizes = {"channels": 7, "num_targets": 7, "num_known": 0, "horizon": 48}
    net = seqfuse.build("data=csv", **sizes)
    assert net(torch.randn(2, 336, 7)).prediction.shape == (2, 48, 7, 7)
    assert net.stride == 48
    assert seqfuse.build("data=csv", look_back=21, season=7, **sizes).stride == 3
    assert seqfuse.build("data=csv", look_back=28, season=7, **sizes).stride == 7
    assert seqfuse.build("data=csv", look_back=36, season=12, **sizes).stride == 9
    with pytest.raises(InputError, match=r"horizon=\.\.\."):
        seqfuse.build("data=csv", **{**sizes, "horizon": "auto"})


@pytest.mark.long
def test_a_bare_net_asks_for_its_sizes() -> None:
    with pytest.raises(InputError, match=r"num_classes=\.\.\."):
        seqfuse.build("model=wide", channels=3)
    with pytest.raises(InputError, match=r"chanels=3.*channels, num_classes"):
        seqfuse.build("model=wide", chanels=3)
    with pytest.raises(InputError, match="model=segments|data.horizon"):
        seqfuse.build("model=segments", channels=3)

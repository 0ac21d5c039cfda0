"""Jobs composed quickly are those that Hydra composes."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from seqfuse.compat.hydra import Composer
from seqfuse.config import cli

JOBS = [
    ["seed=1"],
    ["model=base", "optimizer.lr=0.01", "seed=2"],
    ["optimizer.lr=0.02", "model=base"],
    ["model.cnn.channels=[4,8]", "model=base", "data=synthetic", "name=mine"],
    ["+mine=3", "seed=4"],
    ["callbacks.early_stopping=null", "model/attention=multihead", "trainer=cpu"],
    ["callbacks.early_stopping.patience=3", "seed=1"],
]


@pytest.fixture
def loaders():
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        plain = GlobalHydra.instance().config_loader()
        yield plain, Composer(plain), plain.load_configuration("train", [], RunMode.MULTIRUN)
    HydraConfig.instance().cfg = None


@pytest.mark.slow
def test_they_equal_hydras(loaders) -> None:
    plain, quick, master = loaders
    for words in (*JOBS, *JOBS):  # the second time from what is kept
        expected, found = (one.load_sweep_config(master, words) for one in (plain, quick))
        found.hydra.runtime.choices = expected.hydra.runtime.choices  # sorted otherwise
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
        HydraConfig.instance().set_config(found)


@pytest.mark.long
def test_jobs_do_not_change_each_other(loaders) -> None:
    _, quick, master = loaders
    first = quick.load_sweep_config(master, ["optimizer.lr=0.5"])
    first.optimizer.lr = 7.0
    assert quick.load_sweep_config(master, ["seed=3"]).optimizer.lr == 0.003


@pytest.mark.long
def test_mistakes_are_explained_by_hydra(loaders) -> None:
    _, quick, master = loaders
    with pytest.raises(HydraException, match="Could not override 'model.lstm.hiden'"):
        quick.load_sweep_config(master, ["model.lstm.hiden=3"])


def test_jobs_of_a_kind_have_the_same_options_and_keys(loaders) -> None:
    _, quick, _ = loaders
    assert quick.kind(["model=base", "seed=1"]) == quick.kind(["model=base", "seed=2"])
    assert quick.kind(["model=base", "seed=1"]) != quick.kind(["model=wide", "seed=1"])
    assert quick.kind(["seed=1"]) != quick.kind(["optimizer.lr=1"])

"""A space is read as Hydra writes it, and refused before anything runs."""

from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from seqfuse.runtime.errors import InputError
from seqfuse.search import space
from tests.conftest import composed

BASE = composed(["model/attention=multihead"])


def parsed(*words: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(words))


def goal(*words: str, fixed: tuple[str, ...] = (), config: DictConfig = BASE) -> space.Goal:
    return space.goal(parsed(*words), parsed(*fixed), config, lambda overrides: composed(overrides))


@pytest.mark.parametrize(
    ("word", "distribution"),
    [
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("optimizer.lr=interval(0,1)", FloatDistribution(0, 1)),
        ("model.lstm.num_layers=interval(1,3)", IntDistribution(1, 3)),
        ("model.lstm.hidden_size=tag(log,interval(8,512))", IntDistribution(8, 512, log=True)),
        ("model.lstm.num_layers=range(1,4)", IntDistribution(1, 3)),
        ("model.lstm.hidden_size=range(16,65,16)", IntDistribution(16, 64, step=16)),
        ("model.lstm.hidden_size=range(64,0,-16)", IntDistribution(16, 64, step=16)),
        ("model.lstm.dropout=range(0.1,0.5,0.2)", FloatDistribution(0.1, 0.3, step=0.2)),
        ("model.lstm.hidden_size=32,64", CategoricalDistribution([32, 64])),
        ("model.lstm.hidden_size=choice(32,64)", CategoricalDistribution([32, 64])),
        ("model.lstm.bidirectional=true,false", CategoricalDistribution([True, False])),
        ("model.cnn.channels=[16,32],[8]", CategoricalDistribution(["[16,32]", "[8]"])),
        ("data.scaling=series,'channel'", CategoricalDistribution(["series", "'channel'"])),
        ("model/lstm=wide,base", CategoricalDistribution(["wide", "base"])),
        ("+trainer.mine=interval(0,1)", FloatDistribution(0, 1)),
    ],
)
def test_the_grammar_of_overrides(word: str, distribution: Any) -> None:
    [found] = goal(word).space
    assert found.distribution == distribution
    assert found.key == word.partition("=")[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.lstm.hiden_size=8,16"], "did you mean model.lstm.hidden_size?"),
        (["model/attention=additive,multihed"], "did you mean multihead?"),
        (["model/attention=interval(0,1)"], "name options, as in model/attention=additive,"),
        (["model.lstm.num_layers=range(4,4)"], "is empty: its stop is left out"),
        (["model.lstm.num_layers=interval(1.5,3)"], "expected a whole number such as 1"),
        (["model.lstm.num_layers=range(1.0,3.0,0.5)"], "expected a whole number"),
        (["model.lstm.num_layers=1,two"], "model.lstm.num_layers=two: expected a whole number"),
        (["model.lstm.bidirectional=interval(0,1)"], "expected true or false"),
        (["model.lstm=1,2"], "choose a part with model/lstm=1"),
        (["optimizer.lr=tag(log,choice(1,2))"], "log is for intervals and ranges"),
        (["model.lstm.hidden_size=tag(log,range(8,65,8))"], "log"),
        ([], "there is nothing to search"),
    ],
)
def test_a_mistake_in_the_space_gets_one_line(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        goal(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_a_key_may_belong_to_one_option_alone() -> None:
    base = composed([])
    words = ["model/attention=additive,multihead", "model.attention.num_heads=2,4"]
    assert [one.key for one in goal(*words, config=base).space] == [
        "model/attention",
        "model.attention.num_heads",
    ]
    with pytest.raises(InputError, match="model.attention.num_heads: no such key"):
        goal(words[1], config=base)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task.monitor=val/foo"], "task.monitor=val/foo: type task.monitor="),
        (["data.num_folds=0"], "task.monitor=val/loss: type task.monitor=train/loss, as there"),
        (["task.mode=least"], "task.mode=least: type task.mode=min or task.mode=max"),
    ],
)
def test_a_metric_that_no_job_logs(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        goal("optimizer.lr=interval(0,1)", config=composed(words))
    assert message in str(caught.value)


@pytest.mark.long
def test_what_is_drawn_becomes_overrides_that_hydra_reads() -> None:
    words = [
        "optimizer.lr=tag(log,interval(1e-6,1e-5))",
        "model.cnn.channels=[16,32],[8]",
        "model.lstm.bidirectional=true,false",
        "model/lstm=wide,base",
        "model.lstm.num_layers=range(1,3)",
    ]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        config = composed([one.override(one.draw(trial)) for one in goal(*words).space])
        assert config.optimizer.lr == trial.params["optimizer.lr"]
        assert list(config.model.cnn.channels) in ([16, 32], [8])
        assert config.model.lstm.bidirectional is trial.params["model.lstm.bidirectional"]
        assert config.model.lstm.num_layers == trial.params["model.lstm.num_layers"]


def test_what_must_be_the_same_for_a_study() -> None:
    fixed = ("data=synthetic", "sweep=optuna", "trainer.num_threads=1", "paths.logs=x")
    words = ("optimizer.lr=tag(log,interval(1e-4,1e-2))", "seed=1,2")
    # What `auto` leaves without validation is searched with one.
    assert goal(*words, fixed=fixed[1:]).fixed[-2:] == [
        *("data.num_folds=5", "data.calibration=false")
    ]
    facts = goal(*words, fixed=fixed, config=composed(["data=synthetic"])).identity()
    assert facts == {
        "the metric": "val/loss (min)",
        "the space of optimizer.lr": "0.0001 to 0.01, log",
        "the space of seed": "1, 2",
        "data": "synthetic",
    }

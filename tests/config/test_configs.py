"""Every YAML names something that exists and takes what is written there."""

import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from seqfuse.config import build, cli, loading, recipes
from seqfuse.config.untrusted import check_targets
from seqfuse.runtime.errors import InputError
from seqfuse.search.sweep import Summaries
from seqfuse.train import train
from tests.conftest import TINY, composed

FILES = sorted(cli.CONF.rglob("*.yaml"))
# What aeon ships; the others read real data.
SHIPPED = ("japanese_vowels", "ablation")
EXPERIMENT = cli.CONF / "experiment"
EXPERIMENTS = sorted(path.stem for path in EXPERIMENT.glob("*.yaml"))
# Groups whose options can stand in any run, and what an option needs beside it.
GROUPS = sorted(
    str(path.relative_to(cli.CONF).with_suffix(""))
    for path in FILES
    if len(path.relative_to(cli.CONF).parts) > 1
    and path.parent.name not in ("hydra", "experiment")
    and not path.stem.startswith("_")
)
FORECASTING = ["data=ett"]
INCOMPLETE = ["data=incomplete", "data.file=mine.csv"]
MONITORED = ["data=nab"]
TEXT, TAGS = ["data=snips"], ["data=ewt"]
FUSION = ["data=har_fusion"]
CLIPS = ["data=fight_anomaly"]
PAIRS = ["task=contrastive"]
NUMBERS = ["task=regression"]
NEEDS = {
    "data/arrays": ["data.train=x.npz"],
    "precision/16-mixed": ["trainer.accelerator=gpu"],
    "model/plain_segments": MONITORED,
    "model/segments": FORECASTING,
    "model/attention/conditioned": FORECASTING,
    "model/autoregression/linear": FORECASTING,
    "model/autoregression/none": FORECASTING,
    "model/autoregression/low_rank": FORECASTING,
    "model/autoregression/decomposed": FORECASTING,
    "model/autoregression/cycle": [*FORECASTING, "data.known=[hour]"],
    "model/bank/lags": FORECASTING,
    "model/cnn/segments": FORECASTING,
    "model/normalization/revin": FORECASTING,
    "model/head/horizon": FORECASTING,
    "data/incomplete": ["data.file=mine.csv"],
    "model/imputation": INCOMPLETE,
    "model/head/step_numbers": INCOMPLETE,
    "model/normalization/interpolation": INCOMPLETE,
    "task/imputation": INCOMPLETE,
    "task/forecasting": FORECASTING,
    "task/distill_forecasts": FORECASTING,
    "task/distill_tags": TAGS,
    "model/autoencoder": MONITORED,
    "model/stem/fusion": FUSION,
    "model/stem/late_fusion": FUSION,
    "task/anomaly": MONITORED,
    "task/nab": MONITORED,
    "task/scorer/likelihood": MONITORED,
    "task/scorer/nab": MONITORED,
    "task/scorer/subspace": MONITORED,
    "task/loss/absolute": FORECASTING,
    "task/loss/pinball": FORECASTING,
    "task/loss/intervals": NUMBERS,
    "model/head/numbers": NUMBERS,
    "task/loss/squared": FORECASTING,
    "callbacks/figures/tags": TAGS,
    "model/attention/each_step": TAGS,
    "model/attention/steps": TAGS,
    "model/head/crf": TAGS,
    "model/head/projection": PAIRS,
    "model/head/tags": TAGS,
    "model/stem/characters": TAGS,
    "model/stem/ngrams": TEXT,
    "model/tags": TAGS,
    "model/text": TEXT,
    "task/entities": TAGS,
    "task/tagging": TAGS,
    "data/sources": ["data.train=mine.npz"],
    "data/csv": ["data.file=mine.csv"],
    "data/mapped": ["data.file=large.npy"],
    "data/labelled": ["data.file=mine.csv"],
    "model/video_autoencoder": CLIPS,
    "task/clip_anomaly": CLIPS,
    "data/video": ["data.folder=mine"],
}
# What another part says: the net wires widths, the task gets its parts, the trainer its callbacks.
WIRED = {
    "normalization": {"in_channels"},
    "stem": {"in_channels"},
    "cnn": {"in_channels"},
    "lstm": {"in_channels"},
    "attention": {"in_channels"},
    "skip": {"in_channels"},
    "head": {"in_channels", "num_queries"},
    "init": {"net"},
    "bank": {"in_channels"},
    "task": {"net", "optimizer", "scheduler"},
    "optimizer": {"params"},
}
OURS = {"task": set(build.OURS), "trainer": set(build.TRAINER_OURS)}


def nodes(config: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(config, dict):
        if "_target_" in config:
            yield name, config
        for key, value in config.items():
            yield from nodes(value, key)


@functools.cache
def recipe_with(option: str) -> DictConfig:
    group, _, name = option.rpartition("/")
    return composed([f"{group}='{name}'", *NEEDS.get(option, [])])


@pytest.mark.slow  # each composes some forty files
@pytest.mark.parametrize("option", GROUPS)
def test_every_option_composes_and_binds(option: str) -> None:
    recipe = recipe_with(option).copy()
    for size, value in recipes.ANY_SIZES.items():
        if size in recipe.data:
            recipe.data[size] = value
    found = list(nodes(recipes.resolve(recipe)))
    assert len(found) > 10
    for key, node in found:
        target = get_object(node["_target_"])
        given = {k for k in node if not k.startswith("_")} - OURS.get(key, set())
        arguments = dict.fromkeys(given | WIRED.get(key, set()))
        inspect.signature(target).bind(**arguments)


@pytest.mark.slow  # composes all options once more
def test_every_target_in_the_files_is_seen() -> None:
    """No YAML is out of reach of the test above."""
    written = {
        node["_target_"]
        for path in FILES
        if path.parent.name != "hydra"
        for _, node in nodes(OmegaConf.to_container(OmegaConf.load(path)))
    }
    seen = set()
    own = [name for name in EXPERIMENTS if "_target_" in (EXPERIMENT / f"{name}.yaml").read_text()]
    for option in (*GROUPS, *(f"experiment/{name}" for name in own)):
        seen |= {node["_target_"] for _, node in nodes(recipes.unresolved(recipe_with(option)))}
    assert written == seen


def test_what_hydra_calls_itself_is_there() -> None:
    config = OmegaConf.load(cli.CONF / "hydra" / "default.yaml")
    targets = [node["_target_"] for _, node in nodes(OmegaConf.to_container(config))]
    assert [get_object(target) for target in targets] == [Summaries]


@pytest.mark.long
@pytest.mark.parametrize(
    "part", ["normalization", "stem", "cnn", "lstm", "attention", "skip", "bank"]
)
def test_every_part_has_a_none(part: str) -> None:
    recipe = composed([f"model/{part}=none"])
    assert recipe.model[part] is None
    build.rehearse(recipe)


@pytest.mark.slow  # tests/test_experiments.py takes a step of each and predicts, too
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_one_step(
    experiment: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if experiment not in SHIPPED:
        request.getfixturevalue("data_root")
    words = [word for word in TINY if word.startswith("trainer")]
    recipe = composed([f"experiment={experiment}", *words, "debug=fast", "trainer.max_steps=1"])
    metrics = train(recipe, tmp_path)
    assert metrics["test/loss"] > 0


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_says_what_it_measured(experiment: str) -> None:
    first = (cli.CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()[1]
    assert first.startswith("# ")
    assert "pending" not in first
    assert float(re.findall(r"\d\.\d+", first)[0]) > 0


def test_what_a_checkpoint_builds_is_allowed() -> None:
    config = recipes.resolve(composed([]))
    check_targets({key: config[key] for key in loading.BUILT})


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        ["experiment=har_fusion", "data.sources=[phone]", "model.stem.source_dropout=0.5"],
        ["optimizer=adamw", "clip=none", "trainer.gradient_clip_val=3", "seed=1"],
        ["+data.augment.jitter._target_=a.B", "trainer.max_epochs=3"],
    ],
    ids=" ".join,
)
def test_tests_compose_as_hydra_does(words: list[str]) -> None:
    composed(words).data.name = "changed"
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        assert recipes.unresolved(composed(words)) == recipes.unresolved(compose("train", words))


def test_no_config_needs_a_plus() -> None:
    """Every knob that the trainer's and the model's YAML name can be overridden as it is."""
    recipe = composed(["trainer.deterministic=true", "callbacks.early_stopping=null", "clip=none"])
    assert recipe.trainer.deterministic is True
    assert recipe.callbacks.early_stopping is None
    assert recipe.trainer.gradient_clip_val is None


@pytest.mark.parametrize("data", ["labelled", "nab"])
def test_anomalies_are_errors_of_the_net_alone(data: str) -> None:
    """A linear part forecasts anomalies, too: VUS-PR of the sample fell from 0.729 to 0.638."""
    model = composed([f"data={data}"]).model
    assert not {"autoregression", "bank"} & {*model}
    assert (model.cnn.out_channels, model.lstm.hidden_size, model.segment_size) == (128, 128, 48)


@pytest.mark.parametrize(
    "words",
    [[], ["data.known=[hour,HUFL]"], ["data.known=[hour]", "data.categories=[hour]"]],
    ids=" ".join,
)
def test_a_cycle_needs_a_clock(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"data\.known=\[hour\]"):
        build.rehearse(composed([*FORECASTING, "model/autoregression=cycle", *words]))


def test_a_cycle_with_a_clock_is_built() -> None:
    build.rehearse(
        composed([*FORECASTING, "model/autoregression=cycle", "data.known=[weekday,hour]"])
    )

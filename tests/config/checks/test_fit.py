"""Data, models and tasks that do not belong together get one line that says what to type."""

import re

import pytest
from omegaconf import OmegaConf

from seqfuse.config import build, recipes
from seqfuse.config.checks import fit, groups
from seqfuse.runtime.errors import InputError
from tests.conftest import composed

DATA = {
    "arrays": ["data.train=x.npz"],
    "steps": ["data.train=x.npz"],
    "csv": ["data.file=x.csv"],
    "incomplete": ["data.file=x.csv"],
    "mapped": ["data.file=x.npy"],
    "labelled": ["data.file=x.csv"],
    "text": ["data.train=x.csv"],
    "conll": ["data.train=x.tsv"],
    "video": ["data.folder=x"],
    "sources": ["data.train=x.npz"],
    "table_windows": ["data.file=x.csv"],
    "har_steps": [],
    "fight_anomaly": [],
}
"""One of each kind, and what it needs."""
MODELS = [path.stem for path in sorted((groups.CONF / "model").glob("*.yaml"))]
TASKS = [path.stem for path in sorted((groups.CONF / "task").glob("*.yaml"))]
QUICK = ("arrays", "csv", "text")
"""Data that are tried every day; the others in the slow tests."""
CASES = [pytest.param(d, marks=[] if d in QUICK else [pytest.mark.slow]) for d in DATA]


def answer(*words: str) -> str:
    """The line that a combination gets; nothing of one that can begin."""
    teacher = ["teacher=x.ckpt"] if any("=distill" in word for word in words) else []
    recipe = composed([*words, *teacher, "trainer=cpu"])
    try:
        fit.check_fit(recipe)
        build.rehearse(recipes.with_validation(recipe))
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.long
@pytest.mark.parametrize("data", CASES)
def test_each_model_fits_or_names_one_that_does(data: str) -> None:
    own = [f"data={data}", *DATA[data]]
    default = answer(*own)
    assert default == ""
    lines = {model: answer(*own, f"model={model}") for model in MODELS}
    assert "" in lines.values()
    for line in filter(None, lines.values()):
        assert "\n" not in line
        assert not any(word in line for word in ("Interpolation", "full_key", "_target_"))
        named = re.findall(r"model=(\w+)", line)
        if "is for other data or another task" in line:
            assert named
            assert not any(lines[model] for model in named), line


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
def test_each_task_fits_or_gets_one_line(data: str) -> None:
    for task in TASKS:
        line = answer(f"data={data}", *DATA[data], f"task={task}")
        assert "\n" not in line
        assert not any(word in line for word in ("Interpolation", "full_key"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("data.name=GunPoint", "model=segments"), ("data.horizon", "model=series")),
        (("data=csv", "data.file=x.csv", "model=wide"), ("data.num_classes", "model=segments")),
        (("data=text", "data.train=x.csv", "model=base"), ("words", "model=text")),
        (("data=arrays", "data.train=x.npz", "model=video"), ("frames", "model=series")),
        (("data=video", "data.folder=x", "model=wide"), ("frames", "model=video")),
        (("data=arrays", "data.train=x.npz", "model=steps"), ("task=tagging",)),
        (("data=video", "data.folder=x", "model=video_autoencoder"), ("task.quantiles", "=video")),
        (("data=csv", "data.file=x.csv", "model=imputation"), ("data.num_columns", "=segments")),
        (("data=csv", "data.file=x.csv", "task=imputation"), ("data.num_columns", "=incomplete")),
    ],
    ids=str,
)
def test_the_line_names_what_is_lacking_and_what_to_type(
    words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    line = answer(*words)
    assert all(part in line for part in parts), line


def test_a_stem_of_ones_own_reads_what_it_likes() -> None:
    recipe = composed(["data=text", "data.train=x.csv"])
    recipe = OmegaConf.merge(recipe, {"model": {"stem": {"_target_": "mylab.Stem"}}})
    fit.check_fit(recipe)  # type: ignore[arg-type]

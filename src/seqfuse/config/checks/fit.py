"""Data, model and task against each other: sections, sizes and kinds that must fit."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from seqfuse.config.checks.groups import CONF, read_from
from seqfuse.runtime.errors import InputError

SECTIONS = ("data", "model", "task", "optimizer", "scheduler", "trainer", "paths")
"""Sections of the config of seqfuse-train."""
WORD_STEMS = (".CharacterStem", ".NgramStem")
TAG_HEADS = (".TagHead", ".CrfHead")


def check_sections(config: DictConfig) -> None:
    """Checks that the config of a run has every section that a run reads."""
    for name in SECTIONS:
        if not OmegaConf.is_dict(config.get(name)):
            raise InputError(f"{read_from()} has no section '{name}': it is broken")


def check_fit(config: DictConfig) -> None:
    """Checks that the model reads what the data are, and finds what it asks of data and task.

    The message names those of our models that would do.
    """
    data, loss = config.data, str(OmegaConf.select(config, "task.loss._target_"))
    model, task = (
        str(OmegaConf.to_container(config[name], resolve=False)) for name in ("model", "task")
    )
    keys = {*(f"data.{key}" for key in data), *(f"task.{key}" for key in config.task)}
    if wanted := sorted(_asked(task) - keys):
        others = _data_with(wanted)
        fix = f"type data={others[0]}" if len(others) == 1 else "type another task"
        raise InputError(
            f"this task is for other data: it needs {', '.join(wanted)}: leave task= out, and the "
            f"data choose theirs, or {fix}"
        )
    kind = "words" if "vocab_size" in data else "frames" if "num_frames" in data else "series"
    stem = str(OmegaConf.select(config, "model.stem._target_") or "seqfuse.")
    given = "source_channels" in data or not stem.startswith(
        "seqfuse."
    )  # stems of another's making
    lacking = sorted(_asked(model) - keys)
    if not lacking and (given or _reads(model) == kind):
        return
    fitting = [
        f"model={name}"
        for name, text in _models().items()
        if _asked(text) <= keys
        and (given or _reads(text) == kind)
        and any(head in text for head in TAG_HEADS) == loss.endswith(".TagLoss")
        and (name != "bank" or loss.endswith(".CrossEntropy"))
    ]
    why = f"it needs {', '.join(lacking)}" if lacking else f"it reads {_reads(model)}"
    raise InputError(
        f"this model is for other data or another task: {why}, and the data are {kind}: type "
        f"{' or '.join(fitting) or 'another model'}"
    )


def asked(model: DictConfig) -> set[str]:
    """Keys of the data section that a model refers to."""
    keys = _asked(str(OmegaConf.to_container(model, resolve=False)))
    return {key.removeprefix("data.") for key in keys if key.startswith("data.")}


def _asked(text: str) -> set[str]:
    """Keys of the sections data and task that a text refers to."""
    return set(re.findall(r"\$\{((?:data|task)\.\w+)\}", text))


def _data_with(keys: Sequence[str]) -> list[str]:
    """Options of data whose YAML has all of these keys itself."""
    lines = [f"\n{key.removeprefix('data.')}: " for key in keys]
    return [
        path.stem
        for path in sorted((CONF / "data").glob("*.yaml"))
        if all(line in path.read_text(encoding="utf-8") for line in lines)
    ]


def _reads(model: str) -> str:
    """Whether the stem of a model, as text, is one of words, frames or series."""
    if any(stem in model for stem in WORD_STEMS):
        return "words"
    return "frames" if ".FrameStem" in model else "series"


def _models() -> dict[str, str]:
    """Text of each of our models, with its parts."""
    models = {}
    for path in sorted((CONF / "model").glob("*.yaml")):
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        parts = [pair for entry in node["defaults"] for pair in entry.items()]
        files = [path, *(CONF / "model" / part / f"{option}.yaml" for part, option in parts)]
        models[path.stem] = "".join(file.read_text(encoding="utf-8") for file in files)
    return models


def check_task(recipe: Any) -> None:
    """Checks that task, net and data are of one kind, and that the monitor's mode is its best."""
    task, data = recipe.task, recipe.data
    _check_monitored(task)
    target, scorer, stem, head, loss = (
        str(OmegaConf.select(recipe, f"{key}._target_"))
        for key in ("task", "task.scorer", "model.stem", "model.head", "task.loss")
    )
    if recipe.model.get("bank") and "source_channels" in data:
        raise InputError("model.bank reads one source, and data has several: type model/bank=none")
    if str(OmegaConf.select(recipe, "model.autoregression._target_")).endswith(".Cycle"):
        _check_cycle(data)
    if scorer.endswith(".Subspace") and not data.get("reconstruct"):
        raise InputError(
            "task/scorer=subspace is for reconstructions: type data.reconstruct=true "
            "model=autoencoder and data.horizon as long as data.look_back, too"
        )
    if not data.get("labelled", True) and "contrastive" not in target:
        raise InputError(
            "data.labelled=false is for task=contrastive: leave it out, or type that, too"
        )
    _check_steps(loss, head)
    if "horizon" in data and data.get("label_type", "classes") != "classes":
        raise InputError(
            f"the task is for labels of items (data.label_type={data.label_type}), but data="
            f"{data.name} has none: leave out task=..., or take other data"
        )
    ours = recipe.model.get("stem") is None or stem.startswith("seqfuse.")
    if "vocab_size" in data and ours and not stem.endswith(WORD_STEMS):
        raise InputError("the data are words: type model=text for classes, model=tags for tags")
    monitor, mode = str(task.get("monitor")), task.get("mode")
    wanted = None
    if monitor.endswith("loss"):
        wanted = "min"
    elif monitor.endswith(("accuracy", "f1", "auroc", "vus_pr")):
        wanted = "max"
    if mode and wanted not in (None, mode):
        extreme = "lowest" if wanted == "min" else "highest"
        raise InputError(
            f"task.monitor={monitor} is best where it is {extreme}: type task.mode={wanted}"
        )


def _check_cycle(data: Any) -> None:
    """Checks that what is known last is a part of the calendar, as sine and cosine."""
    from seqfuse.runtime.read.table.calendar import CALENDAR  # slow: numpy

    clock = (data.get("known") or [""])[-1]
    if clock not in {*CALENDAR} - {*data.get("categories", ())}:
        raise InputError(
            "model/autoregression=cycle finds its place by the part of the calendar that is known "
            "last: type data.known=[hour] without data.categories, or another autoregression"
        )


def _check_steps(loss: str, head: str) -> None:
    """Raises InputError where one of task and net is for a label per step, and the other is not."""
    if loss.endswith(".TagLoss") and head.endswith(".ClassHead"):
        raise InputError(
            "the task is for a label per step, the net for one per item: type model=tags (words) "
            "or model=steps, or another task"
        )
    if loss.endswith(".CrossEntropy") and head.endswith(TAG_HEADS):
        raise InputError(
            "the net is for a label per step, the task for one per item: type task=tagging, of "
            "series with model=steps, or another model"
        )


def _check_monitored(task: Any) -> None:
    """Raises InputError where a task does not say what its best checkpoint goes by."""
    for key, value in (("monitor", "val/loss"), ("mode", "min")):
        if task.get(key) is None:
            raise InputError(
                f"task.{key} is not there, which the best checkpoint goes by: add '{key}: {value}' "
                f"to the YAML of the task, or type +task.{key}={value}"
            )


def check_windows(data: Mapping[str, Any]) -> None:
    """Raises InputError for steps of windows that parts of a model could only name as theirs."""
    for name in ("look_back", "horizon"):
        value = data.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise InputError(f"data.{name}={value} must be a whole number of at least 1")

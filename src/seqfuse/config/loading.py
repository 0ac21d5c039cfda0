"""From a checkpoint to objects: for more training, for testing, and to predict alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig

from seqfuse.config import checkpoint, runs, untrusted
from seqfuse.config.build import build_data, build_task, build_trainer, make, new_net
from seqfuse.config.checks.trainer import check_trainer, precision
from seqfuse.config.recipes import Config, resolve
from seqfuse.data.interfaces import Splits
from seqfuse.nn import collectives
from seqfuse.predicting.engine import TorchEngine, place
from seqfuse.predicting.model import MODELS, Model, Record
from seqfuse.runtime.batches import check_batch_size
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.calibration import Threshold

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from seqfuse.data.module import DataModule
    from seqfuse.tasks.base import Task

MODULE = "seqfuse.data.module.DataModule"
TRAINING = (
    *(("task", name) for name in ("_target_", "metrics", "measures", "match")),
    *(("data", "module", name) for name in ("_target_", "augment")),
    *(("optimizer",), ("scheduler",)),
)
"""Parts that a model is rebuilt without, by the keys that lead there."""
WEIGHTS = ("net.", "calibrator.", "familiarity.")
"""Beginnings of the names of a model's weights."""
BUILT = ("data", "model", "task", "optimizer", "scheduler")


def load(
    path: str | Path,
    trust: Sequence[str] = (),
    recipe: DictConfig | None = None,
    key: str = "ckpt",
    evaluated: str = "test",
) -> "tuple[Task, DataModule, Config]":
    """Rebuilds task and data module from a checkpoint; no data is read.

    Args:
        trust: top-level packages of the user's own that its config may name.
        recipe: stands in for the checkpoint's data section.
        key: of the config, that names the checkpoint, for messages.
        evaluated: the split that testing looks at.

    Returns:
        both, and the config of the checkpoint.
    """
    with _read(path, key) as content:
        config, built = content["config"], BUILT
        if recipe is not None:
            config, built = _with_recipe(config, resolve(recipe)), (*BUILT, "callbacks")
        config = {**config, "data": untrusted.without_downloads(config["data"])}
        untrusted.check_targets({key: config[key] for key in built}, trust)
        record = Record(config, content["recipe"], {})
        task, data = build_task(config, record=record), build_data(config, evaluated)
        task.load_state_dict(content["state_dict"])
        data.load_state_dict(content[checkpoint.DATA])
    return task.eval(), data, config


def load_model(
    path: str | Path, trust: Sequence[str] = (), recipe: DictConfig | None = None
) -> tuple[Model, Splits]:
    """Rebuilds from a checkpoint what predicts, and the splits; no data is read. Arguments as of
    `load`.

    Without loss, metrics, optimizer and data module, so that Lightning is not imported; but a task
    or a data module of the user's own is built whole.
    """
    with _read(path, "ckpt") as content:
        config = content["config"]
        task, module = config["task"].get("_target_"), config["data"].get("module")
        if task not in MODELS or not isinstance(module, dict) or module.get("_target_") != MODULE:
            model, data, _ = load(path, trust, recipe)
            from seqfuse.tasks.contrastive import NO_HEAD, ContrastiveTask

            if isinstance(model, ContrastiveTask):
                raise InputError(NO_HEAD)
            return model, data.splits
        if recipe is not None:
            config = _with_recipe(config, resolve(recipe))
        config = {**config, "data": untrusted.without_downloads(config["data"])}
        untrusted.check_targets({key: config[key] for key in BUILT}, trust, unused=TRAINING)
        size = config["data"]["module"].get("batch_size", "auto")
        check_batch_size(size, "data.batch_size")
        model = _build_model(config, Record(config, content["recipe"], {}))
        weights = content["state_dict"]
        model.load_state_dict({n: w for n, w in weights.items() if n.startswith(WEIGHTS)})
        splits = make(config["data"]["module"]["splits"], "data.module.splits")
        splits.pipeline.load_state_dict(content[checkpoint.DATA]["pipeline"])
    return model.eval(), splits


def _build_model(config: Config, record: Record) -> Model:
    node, parts = config["task"], {}
    for name in ("calibrator", "familiarity"):
        if node.get(name):
            parts[name] = make(node[name], f"task.{name}")
    if "scorer" in node:
        given = {"quantile": node["quantile"]} if "quantile" in node else {}
        parts["calibrator"] = Threshold(make(node["scorer"], "task.scorer"), **given)
    return MODELS[node["_target_"]](new_net(config), **parts, record=record)


@contextmanager
def _read(path: str | Path, key: str) -> Iterator[dict[str, Any]]:
    """The content of a checkpoint, while it is rebuilt; mistakes in it name its path."""
    content = checkpoint.read(path, key)
    checkpoint.check_numbers(content, path)
    try:
        yield content
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from None
    except LookupError as error:
        raise InputError(f"{path} is no whole checkpoint: it lacks {error}") from None
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: its weights do not fit its config ({reason})") from None
    except (TypeError, AttributeError):
        raise InputError(f"{path}: its config or its pipeline is not one of seqfuse's") from None


def _with_recipe(config: Config, recipe: Config) -> Config:
    """The checkpoint's config with the data section, and the figures, of the command."""
    trained, wanted = config["data"].get("horizon"), recipe["data"].get("horizon")
    if trained != wanted:
        raise InputError(f"data.horizon={wanted}: the net forecasts {trained} steps: leave it out")
    return {**config, "data": recipe["data"], "callbacks": recipe.get("callbacks")}


def whole_task(sharded: "Task", content: Mapping[str, Any]) -> "Task":
    """A task with a whole net, in the place of one whose net was sharded while it was trained.

    Its weights are the last ones, unless `content` of a checkpoint is loaded next.
    """
    task = build_task(sharded.record.config, record=sharded.record)
    if not content:
        weights = sharded.state_dict().items()
        content = {"state_dict": {name: collectives.whole(w).cpu() for name, w in weights}}
        task.load_state_dict(content["state_dict"])
    task.take_bank(content)
    return task


class Loaded(NamedTuple):
    """A checkpoint at a command's work."""

    task: "Task"
    data: "DataModule"
    trained: Config
    """Config of the checkpoint."""
    config: Config
    """Config of the command."""
    trainer: "Trainer"


def load_for(recipe: DictConfig, run: Path, evaluated: str = "test") -> Loaded:
    """Loads a checkpoint for a command; seeds, and reads no data."""
    recipe = runs.prepare(recipe, run)
    task, data, trained = load(recipe.ckpt, recipe.trust, recipe, evaluated=evaluated)
    config = resolve(recipe)
    runs.seed(config)
    return Loaded(task, data, trained, config, build_trainer({**trained, **config}))


def load_engine(recipe: DictConfig, run: Path) -> tuple[TorchEngine, Splits]:
    """Loads a checkpoint for a command that predicts, onto the device that it names.

    Reads no data, and needs no trainer.
    """
    recipe = runs.prepare(recipe, run)
    model, splits = load_model(recipe.ckpt, recipe.trust, recipe)
    config = resolve(recipe)
    node = {**config["trainer"], "precision": precision(config["trainer"])}
    check_trainer({**model.record.config, **config}, node)
    runs.set_threads(config)
    return TorchEngine(model, *place(node, node["precision"])), splits

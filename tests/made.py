"""What a run makes before it trains: for tests of what is checked there."""

from typing import NamedTuple

from seqfuse.config import build, recipes
from seqfuse.data.module import DataModule
from seqfuse.tasks.base import Record, Task
from tests.conftest import composed


class Made(NamedTuple):
    """A task, its data and the config of both."""

    task: Task
    data: DataModule
    config: recipes.Config


def make(*words: str) -> Made:
    """Composes and builds; the data is read."""
    recipe = composed(words)
    data = build.build_data(recipes.resolve(recipe))
    data.setup("fit")
    config = recipes.resolve(recipes.fill(recipe, data.sizes()))
    task = build.build_task(config, record=Record(config, {}, {}))
    return Made(task.eval(), data, config)

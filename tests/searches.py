"""Small studies that tests begin, go on with and end."""

from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.pruners import NopPruner

from seqfuse.search.outcome import Outcome
from seqfuse.search.space import Dimension, Goal
from seqfuse.search.study import Search

SPACE = [
    Dimension("optimizer.lr", FloatDistribution(1e-4, 1e-2, log=True)),
    Dimension("model.lstm.num_layers", IntDistribution(1, 3)),
]
GOAL = Goal(SPACE, ["data=synthetic"], "val/loss", "min")


def search(folder: Path, total: int = 5, goal: Goal = GOAL, **changes: Any) -> Search:
    address = changes.get("address", str(folder / "study.journal"))
    seed, retries = changes.get("seed", 0), changes.get("retries", 0)
    return Search(address, "mine", goal, NopPruner(), total, seed, retries)


def random(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def completed(value: float) -> Outcome:
    return Outcome("completed", {"best/val/loss": value})


def finish(begun: Search, folder: Path) -> list[int]:
    """Runs what is left of a search; the numbers of its trials."""
    numbers = []
    with begun:
        while trials := begun.ask(1, random):
            for trial in trials:
                numbers.append(trial.number)
                begun.tell(trial, completed(1 / (1 + trial.number)), folder / str(trial.number))
    return numbers

"""What a search tries, and what it goes by."""

from typing import Any, NamedTuple

from hydra.core.override_parser.types import Transformer
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial

HARMLESS = (
    "sweep=",
    "launcher=",
    "logger",
    "callbacks.progress_bar",
    "paths.",
    "trainer.enable_progress_bar=",
    "trainer.num_threads=",
)
"""Overrides that may differ between the processes of one study."""


class Dimension(NamedTuple):
    """One key of the space.

    Args:
        key: of the config, or a group whose options are tried.
        distribution: what Optuna draws from.
    """

    key: str
    distribution: BaseDistribution

    def __str__(self) -> str:
        drawn: Any = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return ", ".join(map(_text, drawn.choices))
        ends = f"{drawn.low} to {drawn.high}"
        stepped = "" if drawn.step in (None, 1) else f" by {drawn.step}"
        return f"{ends}{stepped}{', log' if drawn.log else ''}"

    def draw(self, trial: Trial) -> Any:
        """A value, from the sampler of the trial's study."""
        drawn: Any = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return trial.suggest_categorical(self.key, drawn.choices)
        whole = isinstance(drawn, IntDistribution)
        suggest: Any = trial.suggest_int if whole else trial.suggest_float
        return suggest(self.key, drawn.low, drawn.high, step=drawn.step, log=drawn.log)

    def override(self, value: Any) -> str:
        """The word of a command line that sets the key to a drawn value."""
        return f"{self.key}={_text(value)}"


class Goal(NamedTuple):
    """What a study is about; another goal is another study.

    Args:
        space: the keys and what each may be.
        fixed: overrides that all trials share.
        monitor: the metric whose best validation counts.
        mode: "min" or "max".
    """

    space: list[Dimension]
    fixed: list[str]
    monitor: str
    mode: str

    def facts(self) -> dict[str, str]:
        """What must be the same for all trials of a study, as text."""
        fixed = [word for word in self.fixed if not word.startswith(HARMLESS)]
        facts = {"the metric": f"{self.monitor} ({self.mode})"}
        facts |= {f"the space of {one.key}": str(one) for one in self.space}
        return facts | {word.partition("=")[0]: word.partition("=")[2] for word in fixed}

    def difference(self, before: dict[str, str]) -> str:
        """How a study that began with those facts differs, as a clause; empty if it does not."""
        now = self.facts()
        for key in [*now, *before]:
            was, is_ = before.get(key, "not given"), now.get(key, "not given")
            if was != is_:
                return f"{key} was {was}, now {is_}"
        return ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else Transformer.str(value)

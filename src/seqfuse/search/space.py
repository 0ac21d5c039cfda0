"""Search space and metric: Hydra's overrides as distributions of Optuna."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    RangeSweep,
    Sweep,
    Transformer,
)
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from seqfuse.config.checks.groups import groups
from seqfuse.config.checks.trainer import check_finders, check_monitors
from seqfuse.config.checks.types import check_value
from seqfuse.config.mistakes import no_such_key, no_such_option
from seqfuse.runtime.errors import InputError

HARMLESS = (
    *("sweep=", "launcher=", "logger", "callbacks.progress_bar", "paths."),
    *("trainer.enable_progress_bar=", "trainer.num_threads="),
)
"""Overrides that may differ between the processes of one study."""
Compose = Callable[[Sequence[str]], DictConfig]


class Dimension(NamedTuple):
    """A key of the config, or a group whose options are tried, and what Optuna draws it from."""

    key: str
    distribution: BaseDistribution

    def __str__(self) -> str:
        drawn: Any = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return ", ".join(map(_text, drawn.choices))
        stepped = "" if drawn.step in (None, 1) else f" by {drawn.step}"
        return f"{drawn.low} to {drawn.high}{stepped}{', log' if drawn.log else ''}"

    def draw(self, trial: Trial) -> Any:
        """A value, from the sampler of the trial's study."""
        drawn: Any = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return trial.suggest_categorical(self.key, drawn.choices)
        is_int = isinstance(drawn, IntDistribution)
        suggest: Any = trial.suggest_int if is_int else trial.suggest_float
        return suggest(self.key, drawn.low, drawn.high, step=drawn.step, log=drawn.log)

    def override(self, value: Any) -> str:
        """The word of a command line that sets the key to a drawn value."""
        return f"{self.key}={_text(value)}"


class Goal(NamedTuple):
    """Goal of a study; another goal is another study.

    Trials share the overrides `fixed`; the best validation of `monitor`, by mode `min` or `max`,
    counts.
    """

    space: list[Dimension]
    fixed: list[str]
    monitor: str
    mode: str

    def identity(self) -> dict[str, str]:
        """Parts that must be the same for all trials of a study, as text."""
        fixed = [word.partition("=") for word in self.fixed if not word.startswith(HARMLESS)]
        return {
            "the metric": f"{self.monitor} ({self.mode})",
            **{f"the space of {dimension.key}": str(dimension) for dimension in self.space},
            **{key: value for key, _, value in fixed},
        }

    def difference(self, before: dict[str, str]) -> str:
        """Difference to a study of that identity, as a clause; empty if there is none."""
        now = self.identity()
        for key in [*now, *before]:
            was, is_ = before.get(key, "not given"), now.get(key, "not given")
            if was != is_:
                return f"{key} was {was}, now {is_}"
        return ""


def goal(
    swept: Sequence[Override], fixed: Sequence[Override], config: DictConfig, compose: Compose
) -> Goal:
    """Checks a space and its metric before anything is run; `config` is that of the fixed words."""
    words = [str(override.input_line) for override in fixed]
    if config.data.get("num_folds") == "auto":
        words.append("data.num_folds=5")  # validation decides
    if config.data.get("calibration") == "auto":
        words.append("data.calibration=false")
    if not swept:
        raise InputError(
            "there is nothing to search: give a key several values, as in "
            "optimizer.lr='tag(log,interval(1e-4,1e-2))'"
        )
    check_finders(config, [override.key_or_group for override in (*swept, *fixed)])
    check_monitors(config, ["task"])
    mode = str(config.task.get("mode"))
    if mode not in ("min", "max"):
        raise InputError(f"task.mode={mode}: type task.mode=min or task.mode=max")
    space, configs = [], [config]
    for override in swept:
        if override.key_or_group in groups():
            dimension, names = _options(override)
            space.append(dimension)
            # A key of the space may belong to one option alone.
            configs += [compose([*words, dimension.override(name)]) for name in names]
    values = [override for override in swept if override.key_or_group not in groups()]
    space += [_values(override, _default(override, configs)) for override in values]
    return Goal(space, words, config.task.monitor, mode)


def _options(override: Override) -> tuple[Dimension, list[str]]:
    """Dimension of a group, and the names of the options."""
    group, options = override.key_or_group, groups()[override.key_or_group]
    if not override.is_choice_sweep():
        example = f"{group}={','.join(options)}"
        raise InputError(f"{override.input_line}: name options, as in {example}")
    names = [str(name) for name in override.sweep_string_iterator()]
    for name in names:
        if name.strip("'\"") not in options:
            raise InputError(no_such_option(group, name))
    return Dimension(override.get_key_element(), CategoricalDistribution(names)), names


def _default(override: Override, configs: Sequence[DictConfig]) -> Any:
    missing, key = object(), override.key_or_group
    for config in configs:
        if (value := OmegaConf.select(config, key, default=missing)) is not missing:
            return value
    if not (override.is_add() or override.is_force_add()):
        raise InputError(no_such_key(key, configs[0]))
    return None


def _values(override: Override, default: Any) -> Dimension:
    """Dimension of a key; its own value decides whether numbers are whole."""
    key, value, line = override.get_key_element(), override.value(), str(override.input_line)
    ranged = isinstance(value, IntervalSweep | RangeSweep)
    tags = value.tags if isinstance(value, Sweep) else set()
    if "log" in tags and not (ranged and (value.start or 0) > 0):
        raise InputError(f"{line}: log is for intervals and ranges that begin above 0")
    if tags - {"log"}:
        raise InputError(f"{line}: unknown tag {', '.join(sorted(tags - {'log'}))}: only log is")
    try:
        if isinstance(value, IntervalSweep):
            return Dimension(key, _interval(value, default, line))
        if isinstance(value, RangeSweep):
            return Dimension(key, _range(value, default, line))
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"{line}: {error}") from None
    return Dimension(key, _choice(override, default))


def _interval(sweep: IntervalSweep, default: Any, line: str) -> BaseDistribution:
    """Both ends included."""
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    assert low is not None
    assert high is not None
    if not low <= high:
        raise InputError(f"{line} is empty: the smaller end comes first")
    whole = float(low).is_integer() and float(high).is_integer()
    if (isinstance(default, int) and whole) or (isinstance(low, int) and isinstance(high, int)):
        low, high = int(low), int(high)
    check_value(line.partition("=")[0], low, default, line.partition("=")[2])
    if isinstance(low, int) and not isinstance(default, float):
        return IntDistribution(low, int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _range(sweep: RangeSweep, default: Any, line: str) -> BaseDistribution:
    """The stop left out, as in Python."""
    values = list(sweep.range())
    if not values:
        raise InputError(f"{line} is empty: its stop is left out, as in Python")
    key, _, text = line.partition("=")
    for value in values:
        check_value(key, value, default, text)
    low, high, log = min(values), max(values), "log" in sweep.tags
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log, step=abs(int(sweep.step)))
    # Hydra adds binary fractions up exactly: 0.1 and 0.2 are 0.30000000000000004.
    low, high = float(f"{low:.12g}"), float(f"{high:.12g}")
    return FloatDistribution(low, high, log=log, step=None if log else abs(float(sweep.step)))


def _choice(override: Override, default: Any) -> BaseDistribution:
    words = list(override.sweep_string_iterator())
    parser = OverridesParser.create()
    for word in words:
        value: Any = parser.parse_override(f"key={word}").value()
        check_value(override.key_or_group, value, default, word)
    encoded = override.sweep_iterator(transformer=Transformer.encode)
    # What Optuna cannot keep, such as a list, is kept as its text.
    pairs = zip(encoded, words, strict=True)
    choices = [v if isinstance(v, int | float | bool) else word for v, word in pairs]
    return CategoricalDistribution(choices)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else Transformer.str(value)

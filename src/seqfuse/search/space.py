"""What a search may try: Hydra's grammar of overrides, as Optuna's distributions."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from seqfuse.config.mistakes import (
    check_finders,
    check_monitor,
    check_value,
    groups,
    no_such_key,
    no_such_option,
)
from seqfuse.runtime.errors import InputError
from seqfuse.search.goal import Dimension, Goal

Compose = Callable[[Sequence[str]], DictConfig]


def goal(
    swept: Iterable[Override], fixed: Iterable[Override], config: DictConfig, compose: Compose
) -> Goal:
    """Checks a space and its metric before anything is run.

    Args:
        swept: overrides that name several values.
        fixed: those that name one.
        config: composed from the fixed ones.
        compose: overrides to config.

    Raises:
        InputError: an unknown key or option, a value of the wrong type, an interval or range
            with nothing in it, a metric that no job logs, a key that each job is to find itself.
    """
    swept, fixed = list(swept), list(fixed)
    words = [str(one.input_line) for one in fixed]
    if not swept:
        raise InputError(
            "there is nothing to search: give a key several values, as in "
            "optimizer.lr='tag(log,interval(1e-4,1e-2))'"
        )
    check_finders(config, [one.key_or_group for one in (*swept, *fixed)])
    check_monitor("task", config)
    mode = str(config.task.get("mode"))
    if mode not in ("min", "max"):
        raise InputError(f"task.mode={mode}: type task.mode=min or task.mode=max")
    options = [one for one in swept if one.key_or_group in groups()]
    values = [one for one in swept if one.key_or_group not in groups()]
    space = [_options(one) for one in options]
    configs = [config, *_variants(space, words, compose)]
    space += [_values(one, _default(one, configs)) for one in values]
    return Goal(space, words, config.task.monitor, mode)


def _options(override: Override) -> Dimension:
    """Of a group."""
    group, known = override.key_or_group, groups()[override.key_or_group]
    if not override.is_choice_sweep():
        raise InputError(f"{override.input_line}: name options, as in {group}={','.join(known)}")
    names = [str(name) for name in override.sweep_string_iterator()]
    for name in names:
        if name.strip("'\"") not in known:
            raise InputError(no_such_option(group, name))
    return Dimension(override.get_key_element(), CategoricalDistribution(names))


def _variants(space: Iterable[Dimension], fixed: list[str], compose: Compose) -> list[DictConfig]:
    """A config with each option: a key of the space may belong to one of them alone."""
    drawn: list[Any] = [(one, one.distribution) for one in space]
    return [compose([*fixed, one.override(name)]) for one, all_ in drawn for name in all_.choices]


def _default(override: Override, configs: Sequence[DictConfig]) -> Any:
    missing = object()
    key = override.key_or_group
    found = (OmegaConf.select(config, key, default=missing) for config in configs)
    value = next((one for one in found if one is not missing), missing)
    if value is missing and not (override.is_add() or override.is_force_add()):
        raise InputError(no_such_key(key, configs[0]))
    return None if value is missing else value


def _values(override: Override, default: Any) -> Dimension:
    """Of a key; whether numbers are whole is what the key's own value says."""
    key, value, line = override.get_key_element(), override.value(), str(override.input_line)
    tags = getattr(value, "tags", set())
    if "log" in tags and (getattr(value, "start", None) or 0) <= 0:
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
    assert sweep.start is not None
    assert sweep.end is not None
    if not sweep.start <= sweep.end:
        raise InputError(f"{line} is empty: the smaller end comes first")
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
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
    for word in override.sweep_string_iterator():
        value = _parsed(word)
        check_value(override.key_or_group, value, default, word)
    encoded = override.sweep_iterator(transformer=Transformer.encode)
    # What Optuna cannot keep, such as a list, is kept as its text.
    plain = (int, float, bool)
    words = override.sweep_string_iterator()
    pairs = zip(encoded, words, strict=True)
    return CategoricalDistribution([one if isinstance(one, plain) else word for one, word in pairs])


def _parsed(word: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(f"key={word}").value()

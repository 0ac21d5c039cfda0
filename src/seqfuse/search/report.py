"""What a search leaves behind: its best config as an experiment, two figures, a few lines."""

import shlex
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from seqfuse.config.mistakes import own_folders
from seqfuse.runtime import files
from seqfuse.runtime.shown import say
from seqfuse.search.space import Compose
from seqfuse.search.storage import trouble
from seqfuse.search.study import Search

OWN = ("experiment", "sweep", "launcher", "debug")
"""Groups that only set others; what they set is written down value by value."""
PASSING = ("hydra", "trial", "resume", "test")
"""Parts of a config that say nothing of what is trained."""
ENOUGH = 10
"""Completed trials from which on it is asked which key mattered."""


def report(search: Search, folder: Path, compose: Compose, bare: Compose) -> None:
    """Writes the best config and the figures, and prints how to train the former.

    Args:
        search: at its end, or where it was stopped.
        folder: of the sweep.
        compose: overrides to the config of a job.
        bare: overrides to a config without anything of the search's.

    Raises:
        InputError: the storage failed.
    """
    with trouble(search.address):
        say(f"study       {search.name} in {search.address}: {_count(search)}")
        best = search.best()
        if best is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [one.override(best.params[one.key]) for one in search.goal.space]
        headline = f"{search.goal.monitor} {best.values[0]:.6g}, trial {best.number}"
        say(f"best        {headline}\n            {' '.join(drawn)}")
        config = compose([*search.goal.fixed, *drawn])
        if "experiment" in config.hydra.runtime.choices:
            head = f"# {headline} of {len(search.counted())}; searched by: {_typed()}"
            _write(folder / "experiment" / "best.yaml", head, delta(config, bare))
            say(f"train it    {_command(folder)}")
        for path in _figures(search, folder):
            say(f"figure      {path}")


def _count(search: Search) -> str:
    """How many trials ended in which way."""
    states = [one.user_attrs.get("status", one.state.name.lower()) for one in search.trials()]
    return ", ".join(f"{states.count(one)} {one}" for one in sorted(set(states))) or "no trials"


def delta(config: DictConfig, bare: Compose) -> dict[str, Any]:
    """What makes a plain command's config this one: options first, then values.

    Args:
        config: the one wanted, with its `hydra` node.
        bare: overrides to a config, with its `hydra` node.

    Returns:
        the content of an experiment file.
    """
    wanted = {
        group: option
        for group, option in config.hydra.runtime.choices.items()
        if option is not None and group not in OWN and not group.startswith("hydra/")
    }
    options: dict[str, str] = {}
    now = bare([])
    # From the top, as an option brings others along.
    for group in sorted(wanted, key=lambda name: (name.count("/"), name)):
        if now.hydra.runtime.choices.get(group) != wanted[group]:
            options[group] = wanted[group]
            now = bare([f"{one}='{option}'" for one, option in options.items()])
    defaults = [{f"override /{group}": option} for group, option in options.items()]
    values = _difference(_plain(config), _plain(now))
    return {**({"defaults": defaults} if defaults else {}), **values}


def _plain(config: DictConfig) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(config, resolve=False)
    return {key: value for key, value in content.items() if key not in PASSING}


def _difference(wanted: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            if inner := _difference(value, base[key]):
                found[key] = inner
        elif key not in base or value != base[key] or type(value) is not type(base[key]):
            found[key] = value
    return found


def _write(path: Path, head: str, content: dict[str, Any]) -> None:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    path.parent.mkdir(exist_ok=True)
    files.write_shared(path, f"# @package _global_\n{head}\n{text}")


def _typed() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _command(folder: Path) -> str:
    """What trains the best; a command takes one `--config-dir`, which may be the user's own."""
    own = own_folders()
    if not own:
        return shlex.join(["seqfuse-train", "--config-dir", str(folder), "experiment=best"])
    search = f"hydra.searchpath=[file://{folder.absolute()}]"
    return shlex.join(["seqfuse-train", "--config-dir", str(own[0]), search, "experiment=best"])


def _figures(search: Search, folder: Path) -> Iterator[Path]:
    """Optuna's history of the search and, from a few trials on, what mattered."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as draw

    from seqfuse.search.plots import save

    done = [one for one in search.trials() if one.state == TrialState.COMPLETE]
    plots: dict[str, Any] = {"history": draw.plot_optimization_history}
    if len(done) >= ENOUGH and len({one.values[0] for one in done}) > 1:
        plots["importance"] = draw.plot_param_importances
    try:
        for name, plot in plots.items():
            path = folder / f"{name}.png"
            if save(partial(_sized, plot, search), path):
                yield path
    finally:
        plt.close("all")


def _sized(plot: Any, search: Search) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = plot(search.study, target_name=search.goal.monitor).figure
    figure.set_size_inches(9, 5)
    figure.tight_layout()
    return figure

"""Report of a search: its best config as an experiment, two figures, a few lines."""

import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from seqfuse.config.checks.groups import own_folders
from seqfuse.runtime import files
from seqfuse.runtime.shown import say
from seqfuse.search.space import Compose
from seqfuse.search.storage import patiently, trouble
from seqfuse.search.study import Search

SETTING = ("experiment", "sweep", "launcher", "debug")
"""Groups that only set others; what they set is written down value by value."""
PASSING = ("hydra", "trial", "resume", "test")
"""Parts of a config that say nothing of what is trained."""
ENOUGH = 10
"""Completed trials from which on it is asked which key mattered."""


def report(search: Search, folder: Path, compose: Compose, bare: Compose) -> None:
    """Writes the best config and the figures of a search that has ended, or was stopped, and prints
    how to train the former.

    `bare` composes a config without anything of the search's.
    """
    with trouble(search.address):
        states = [t.user_attrs.get("status", t.state.name.lower()) for t in search.trials()]
        counts = [f"{states.count(state)} {state}" for state in sorted(set(states))]
        text = ", ".join(counts) or "no trials"
        say(f"study       {search.name} in {search.address}: {text}")
        best = search.best()
        if best is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [key.override(best.params[key.key]) for key in search.goal.space]
        headline = f"{search.goal.monitor} {best.values[0]:.6g}, trial {best.number}"
        say(f"best        {headline}\n            {' '.join(drawn)}")
        config = compose([*search.goal.fixed, *drawn])
        if "experiment" in config.hydra.runtime.choices:
            command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            head = f"# {headline} of {len(search.counted())}; searched by: {command}"
            text = yaml.safe_dump(delta(config, bare), sort_keys=False, allow_unicode=True)
            path = folder / "experiment" / "best.yaml"
            path.parent.mkdir(exist_ok=True)
            files.write_shared(path, f"# @package _global_\n{head}\n{text}")
            say(f"train it    {_command(folder)}")
        for path in _figures(search, folder):
            say(f"figure      {path}")


def delta(config: DictConfig, bare: Compose) -> dict[str, Any]:
    """The experiment file that makes a plain command's config this one: options, then values.

    Both the config and those that `bare` composes have their `hydra` node.
    """
    wanted = {
        group: option
        for group, option in config.hydra.runtime.choices.items()
        if option is not None and group not in SETTING and not group.startswith("hydra/")
    }
    options: dict[str, str] = {}
    now = bare([])
    # From the top, as an option brings others along.
    for group in sorted(wanted, key=lambda name: (name.count("/"), name)):
        if now.hydra.runtime.choices.get(group) != wanted[group]:
            options[group] = wanted[group]
            now = bare([f"{name}='{option}'" for name, option in options.items()])
    defaults = [{f"override /{group}": option} for group, option in options.items()]
    values = _difference(*(OmegaConf.to_container(c, resolve=False) for c in (config, now)))
    values = {key: value for key, value in values.items() if key not in PASSING}
    return {**({"defaults": defaults} if defaults else {}), **values}


def _difference(wanted: Any, base: Any) -> dict[str, Any]:
    changed = {}
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            if inner := _difference(value, base[key]):
                changed[key] = inner
        elif key not in base or value != base[key] or type(value) is not type(base[key]):
            changed[key] = value
    return changed


def _command(folder: Path) -> str:
    """The command that trains the best; its one `--config-dir` may be the user's own."""
    command = ["seqfuse-train", "--config-dir", str(folder)]
    if folders := own_folders():
        command[2:] = [str(folders[0]), f"hydra.searchpath=[file://{folder.absolute()}]"]
    return shlex.join([*command, "experiment=best"])


def _figures(search: Search, folder: Path) -> Iterator[Path]:
    """Optuna's history of the search and, from a few trials on, what mattered."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as draw

    from seqfuse.search.summary import save

    completed = [trial for trial in search.trials() if trial.state == TrialState.COMPLETE]
    plots: dict[str, Any] = {"history": draw.plot_optimization_history}
    if len(completed) >= ENOUGH and len({trial.values[0] for trial in completed}) > 1:
        plots["importance"] = draw.plot_param_importances

    def sized(plot: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            axes = patiently(
                search.address, lambda: plot(search.study, target_name=search.goal.monitor)
            )
        figure = axes.figure
        figure.set_size_inches(9, 5)
        figure.tight_layout()
        return figure

    with plt.style.context({}):  # Optuna sets its style for all
        for name, plot in plots.items():
            path = folder / f"{name}.png"
            if save(lambda plot=plot: sized(plot), path):
                yield path
            plt.close("all")

"""`hydra/sweeper=grid` and `hydra/sweeper=optuna`, whose jobs any launcher of Hydra's runs.

Hydra imports this file at each start, so Optuna is imported only when a search begins. The
published Optuna sweeper holds Optuna at 2 and gives its jobs no trial to prune.
"""

import contextlib
import io
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, Transformer
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqfuse.config.checks.extras import need
from seqfuse.config.mistakes import explain
from seqfuse.runtime.errors import InputError
from seqfuse.search.outcome import KILLED, Outcome, of_error, read, settings

if TYPE_CHECKING:
    from seqfuse.compat.hydra import Composer
    from seqfuse.search.space import Goal
    from seqfuse.search.study import Search, Trial


class _Sweeper(Sweeper):
    """A sweeper whose jobs are composed quickly, and launched again where one took others along.

    Args:
        params: values by key, in Hydra's grammar of overrides; the command line comes after them.
    """

    loader: "Composer"
    launcher: Launcher
    config: DictConfig
    folder: Path

    def __init__(self, params: Mapping[str, Any]):
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from seqfuse.compat.hydra import Composer
        from seqfuse.ddp import start
        from seqfuse.search.sweep import Steady

        start.refuse_job(config.trainer)
        if not isinstance(self.params, Mapping):
            raise InputError(
                f"hydra.sweeper.params={self.params}: expected values by key, as in "
                "+hydra.sweeper.params.seed='0,1'"
            )
        self.config, self.folder = config, Path(config.hydra.sweep.dir)
        self.loader = Composer(hydra_context.config_loader)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(self.loader, hydra_context.callbacks),
            task_function=task_function,
            config=config,
        )
        self.launcher = Steady(launcher, self.folder)

    def overrides(self, arguments: list[str]) -> list[Override]:
        """Overrides, swept and fixed; of two for a key the later."""
        params = [f"{key}={value}" for key, value in self.params.items() if value is not None]
        parser = OverridesParser.create(config_loader=self.loader)
        parsed = parser.parse_overrides([*params, *arguments])
        return list({(word.key_or_group, word.package): word for word in parsed}.values())

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        return self.loader.load_sweep_config(self.config, list(overrides))


class GridSweeper(_Sweeper):
    """Every combination of comma-separated values; `max_batch_size` jobs are launched together."""

    def __init__(self, max_batch_size: int | None, params: Mapping[str, Any]):
        _check("max_batch_size", max_batch_size, 1)
        super().__init__(params)
        self.max_batch_size = max_batch_size

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Composes one job for each choice of options, as the others have the same keys."""
        from seqfuse.config.checks.trainer import check_finders
        from seqfuse.search import devices
        from seqfuse.search.sweep import Summaries

        Summaries.check_new(self.folder)
        words = map(_words, self.overrides(arguments))
        jobs = [list(job) for job in itertools.product(*words)]
        if not jobs:
            raise InputError("there is nothing to run: a range or choice is empty")
        for job in {self.loader.kind(job): job for job in jobs}.values():
            check_finders(self.compose(job), settings(job))
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        size = self.max_batch_size or devices.at_a_time(self.config.hydra.launcher) or len(jobs)
        returns = []
        for first in range(0, len(jobs), size):
            returns.append(self.launcher.launch(jobs[first : first + size], first))
            for done in returns[-1]:
                _ = done.return_value  # raises the error of a job that has no outcome
        return returns


def _check(name: str, value: int | None, low: int) -> None:
    if value is not None and value < low:
        raise InputError(f"hydra.sweeper.{name}={value} must be at least {low}")


def _words(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise InputError(f"{override.input_line}: an interval is for sweep=optuna")
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


class OptunaSweeper(_Sweeper):
    """Asks Optuna for trials, launches them in batches and tells it how each ended.

    Args:
        study: its name; the same name in the same storage goes on.
        storage: a journal file or a database's address; None: a journal in the sweep's folder.
        num_trials: in all, those of earlier and of other processes included.
        num_jobs: launched at a time; None: as many as the launcher runs side by side.
        seed: of the search; with one process, the same seed tries the same values again.
        params: the space.
        sampler: node of an Optuna sampler that takes a seed.
        pruner: node of an Optuna pruner.
        retries: times that a trial whose process was killed is run again, with the same values.
    """

    def __init__(
        self,
        study: str,
        storage: str | None,
        num_trials: int,
        num_jobs: int | None,
        seed: int,
        params: Mapping[str, Any],
        sampler: DictConfig,
        pruner: DictConfig,
        retries: int = 0,
    ):
        _check("num_trials", num_trials, 1)
        _check("retries", retries, 0)
        _check("num_jobs", num_jobs, 1)
        _check("seed", seed, 0)
        super().__init__(params)
        self.study, self.storage = study, storage
        self.num_trials, self.num_jobs, self.seed = num_trials, num_jobs, seed
        self.sampler, self.pruner, self.retries = sampler, pruner, retries
        self._lost = 0

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Searches until the study has its number of trials, then says what did best."""
        need("sweep=optuna", "optuna", "sqlalchemy")
        from seqfuse.search.report import report
        from seqfuse.search.storage import Away
        from seqfuse.search.study import Search

        goal = self._goal(arguments)
        if self.pruner.get("max_resource", 1) < 1:
            raise InputError("hydra/sweeper/pruner=hyperband needs an end: set trainer.max_epochs")
        address = self.storage or str(self.folder / "study.journal")
        pruner, _ = instantiate(self.pruner), self._sampler(self.seed)  # mistakes come now
        counts = (self.num_trials, self.seed, self.retries)
        search = Search(address, self.study, goal, pruner, *counts)
        search.check_folder(self.folder)
        returns: list[Sequence[JobReturn]] = []
        try:
            with search:
                while trials := search.ask(self._batch_size(), self._sampler):
                    returns += self._run(search, trials)
        finally:
            if not isinstance(sys.exception(), Away):  # for which it would wait once more
                report(search, self.folder, self.compose, self._bare)
        return returns

    def _goal(self, arguments: list[str]) -> "Goal":
        """The keys that are searched, and the metric that decides."""
        from seqfuse.search import space

        overrides = self.overrides(arguments)
        swept = [override for override in overrides if override.is_sweep_override()]
        fixed = [override for override in overrides if not override.is_sweep_override()]
        return space.goal(swept, fixed, self.config, self.compose)

    def _bare(self, overrides: Sequence[str]) -> DictConfig:
        given = map(str, self.config.hydra.overrides.hydra)
        paths = [word for word in given if word.startswith("hydra.searchpath=")]
        name = self.config.hydra.job.config_name
        return self.loader.load_configuration(name, [*paths, *overrides], RunMode.RUN)

    def _sampler(self, seed: int) -> Any:
        return instantiate(self.sampler, seed=seed)

    def _batch_size(self) -> int:
        from seqfuse.compat import ray
        from seqfuse.search import devices

        launcher = self.config.hydra.launcher
        array = launcher.get("array_parallelism")  # of Slurm
        workers = launcher.get("n_jobs") or array or devices.at_a_time(launcher) or 1
        workers = ray.side_by_side(launcher) if ray.is_ray(launcher) else workers
        return self.num_jobs or (workers if workers > 0 else devices.cores() + 1 + workers)

    def _run(self, search: "Search", trials: list["Trial"]) -> list[Sequence[JobReturn]]:
        """Launches those that compose; jobs launched together need numbers in a row."""
        from seqfuse.search.sweep import in_a_row

        legal = {trial.number: trial for trial in trials if self._composes(search, trial)}
        rows = ([legal[number] for number in row] for row in in_a_row(legal))
        return [self._launch(search, row) for row in rows]

    def _composes(self, search: "Search", trial: "Trial") -> bool:
        """Options can lack a key of the space: such a trial has failed, and the search goes on."""
        try:
            self.compose([*search.goal.fixed, *trial.overrides])
        except (HydraException, OmegaConfBaseException) as error:
            outcome = of_error(error, explain(error, self.config.hydra.job.config_name))
            search.tell(trial, outcome, self.folder / str(trial.number))
            return False
        return True

    def _launch(self, search: "Search", trials: list["Trial"]) -> Sequence[JobReturn]:
        jobs = [self._job(search, trial) for trial in trials]
        places = [self.folder / str(trial.number) for trial in trials]
        returns: Sequence[JobReturn] = []
        try:
            returns = self.launcher.launch(jobs, initial_job_idx=trials[0].number)
            outcomes = [_outcome(done) for done in returns]
            self._lost = 0
        except Exception as error:  # none of them, or of those behind a killed one, began
            gone = of_error(error, repr(error))
            gone = KILLED._replace(reason=gone.reason) if self.retries else gone
            outcomes = [read(place) or gone for place in places]
            self._lost += 1
            if self._lost > 1:  # the launcher itself does not work
                raise
        for trial, outcome, place in zip(trials, outcomes, places, strict=True):
            search.tell(trial, outcome, place)
        return returns

    def _job(self, search: "Search", trial: "Trial") -> list[str]:
        """A job's command line; with a pruner, it says where the trial is to be reported."""
        words = [*search.goal.fixed, *trial.overrides]
        pruner: Any = OmegaConf.to_container(self.pruner, resolve=True)
        if pruner == PRUNERS["none"]:
            return words
        address = search.address
        if "://" not in address:
            address = str(Path(address).absolute())
        keys = {"storage": address, "study": search.name, "number": trial.number, "pruner": pruner}
        return [*words, *(f"trial.{key}={_quoted(value)}" for key, value in keys.items())]


def _outcome(done: JobReturn) -> Outcome:
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints before it raises
            return Outcome(**done.return_value)
    except Exception as error:
        return of_error(error, f"{type(error).__name__}: {error}")


def _quoted(value: Any) -> str:
    return Transformer.str(QuotedString(value, Quote.single) if isinstance(value, str) else value)


@dataclass
class OptunaSweeperConf:
    """Options of `hydra.sweeper`; `conf/sweep/optuna.yaml` says what each means."""

    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "none"}])
    _target_: str = "hydra_plugins.seqfuse_sweeper.OptunaSweeper"
    _recursive_: bool = False
    study: str = "${name}"
    storage: str | None = None
    num_trials: int = 20
    num_jobs: int | None = None
    retries: int = 0
    seed: int = 0
    params: dict[str, Any] = field(default_factory=dict)
    sampler: Any = MISSING
    pruner: Any = MISSING


GRID = {
    "_target_": "hydra_plugins.seqfuse_sweeper.GridSweeper",
    "max_batch_size": None,
    "params": {},
}
SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 10},
    "gp": {"_target_": "optuna.samplers.GPSampler", "n_startup_trials": 10},
    "random": {"_target_": "optuna.samplers.RandomSampler"},
}
PRUNERS: dict[str, dict[str, Any]] = {
    "none": {"_target_": "optuna.pruners.NopPruner"},
    "median": {
        "_target_": "optuna.pruners.MedianPruner",
        "n_startup_trials": 5,
        "n_warmup_steps": 5,
    },
    "hyperband": {
        "_target_": "optuna.pruners.HyperbandPruner",
        "min_resource": 1,
        "max_resource": "${trainer.max_epochs}",
        "reduction_factor": 3,
    },
}
for _group, _options in (
    ("", {"grid": GRID, "optuna": OptunaSweeperConf}),
    ("/sampler", SAMPLERS),
    ("/pruner", PRUNERS),
):
    for _name, _node in _options.items():
        ConfigStore.instance().store(_name, _node, f"hydra/sweeper{_group}", provider="seqfuse")

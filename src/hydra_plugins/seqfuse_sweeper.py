"""`hydra/sweeper=optuna`: a search with current Optuna, its trials run by any launcher of Hydra's.

Hydra imports this file at each start, so Optuna is imported only when a search begins.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString, Transformer
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqfuse.config.mistakes import explain
from seqfuse.runtime.errors import InputError
from seqfuse.search import parts
from seqfuse.search.outcome import Outcome, of_error, read

if TYPE_CHECKING:
    from seqfuse.search.space import Goal
    from seqfuse.search.study import Search, Trial


parts.register()


class OptunaSweeper(Sweeper):
    """Asks Optuna for trials, launches them in batches and tells it how each ended.

    Args:
        study: its name; the same name in the same storage goes on.
        storage: a journal file or a database's address; None: a journal in the sweep's folder.
        num_trials: in all, those of earlier and of other processes included.
        num_jobs: launched at a time; None: as many as the launcher runs side by side.
        seed: of the search; with one process, the same seed tries the same values again.
        params: the space, each value in Hydra's grammar of overrides.
        sampler: node of an Optuna sampler that takes a seed.
        pruner: node of an Optuna pruner.
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
    ):
        for name, value in (("num_trials", num_trials), ("num_jobs", num_jobs)):
            if value is not None and value < 1:
                raise InputError(f"hydra.sweeper.{name}={value} must be at least 1")
        if seed < 0:
            raise InputError(f"hydra.sweeper.seed={seed} must be at least 0")
        self.study, self.storage = study, storage
        self.num_trials, self.num_jobs, self.seed = num_trials, num_jobs, seed
        self.params = params
        self.sampler, self.pruner = sampler, pruner
        self.config: DictConfig = OmegaConf.create()
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None
        self._lost = 0

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from seqfuse.compat.hydra import quick
        from seqfuse.ddp import start
        from seqfuse.search.launching import Steady

        start.refuse_job(config.trainer)
        self.hydra_context, self.config = quick(hydra_context), config
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=task_function, config=config
        )
        self.launcher = Steady(launcher, Path(config.hydra.sweep.dir))

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Searches until the study has its number of trials, then says what did best.

        Raises:
            InputError: the space, the metric or the storage is wrong; nothing was launched.
        """
        from seqfuse.search.report import report
        from seqfuse.search.study import Search

        goal = self._goal(arguments)
        if self.pruner.get("max_resource", 1) < 1:
            raise InputError("hydra/sweeper/pruner=hyperband needs an end: set trainer.max_epochs")
        folder = Path(self.config.hydra.sweep.dir)
        address = self.storage or str(folder / "study.journal")
        pruner, _ = instantiate(self.pruner), self._sampler(self.seed)  # mistakes come now
        search = Search(address, self.study, goal, pruner, self.num_trials, self.seed)
        search.check_folder(folder)
        returns: list[Sequence[JobReturn]] = []
        try:
            with search:
                while trials := search.ask(self._batch_size(), self._sampler):
                    returns += self._run(search, trials, folder)
        finally:
            report(search, folder, self._compose, self._bare)
        return returns

    def _goal(self, arguments: list[str]) -> "Goal":
        """What is searched, and by which metric; the command line comes before `params`."""
        from seqfuse.search import space

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items() if value is not None]
        found = {one.key_or_group: one for one in parser.parse_overrides([*params, *arguments])}
        swept = [one for one in found.values() if one.is_sweep_override()]
        fixed = [one for one in found.values() if not one.is_sweep_override()]
        return space.goal(swept, fixed, self.config, self._compose)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a job."""
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        return loader.load_sweep_config(self.config, list(overrides))

    def _bare(self, overrides: Sequence[str]) -> DictConfig:
        """A config without anything of the search's."""
        assert self.hydra_context is not None
        given = map(str, self.config.hydra.overrides.hydra)
        paths = [word for word in given if word.startswith("hydra.searchpath=")]
        name = self.config.hydra.job.config_name
        loader = self.hydra_context.config_loader
        return loader.load_configuration(name, [*paths, *overrides], RunMode.RUN)

    def _sampler(self, seed: int) -> Any:
        return instantiate(self.sampler, seed=seed)

    def _batch_size(self) -> int:
        from seqfuse.search import share

        launcher = self.config.hydra.launcher
        array = launcher.get("array_parallelism")  # of Slurm
        workers = launcher.get("n_jobs") or array or share.at_a_time(launcher) or 1
        return self.num_jobs or (workers if workers > 0 else share.cores() + 1 + workers)

    def _run(
        self, search: "Search", trials: list["Trial"], folder: Path
    ) -> list[Sequence[JobReturn]]:
        """Launches those that compose; jobs launched together need numbers in a row."""
        from seqfuse.search.launching import in_a_row

        legal = {one.number: one for one in trials if self._composes(search, one, folder)}
        rows = ([legal[number] for number in row] for row in in_a_row(legal))
        return [self._launch(search, row, folder) for row in rows]

    def _composes(self, search: "Search", trial: "Trial", folder: Path) -> bool:
        """Options can lack a key of the space: such a trial has failed, and the search goes on."""
        try:
            self._compose([*search.goal.fixed, *trial.overrides])
        except (HydraException, OmegaConfBaseException) as error:
            name = self.config.hydra.job.config_name
            search.tell(trial, of_error(error, explain(error, name)), folder / str(trial.number))
            return False
        return True

    def _launch(self, search: "Search", trials: list["Trial"], folder: Path) -> Sequence[JobReturn]:
        assert self.launcher is not None
        jobs = [self._overrides(search, trial) for trial in trials]
        places = [folder / str(trial.number) for trial in trials]
        returns: Sequence[JobReturn] = []
        try:
            returns = self.launcher.launch(jobs, initial_job_idx=trials[0].number)
            outcomes = [_outcome(one) for one in returns]
            self._lost = 0
        except Exception as error:  # none of them, or of those behind a killed one, began
            outcomes = [read(place) or of_error(error, repr(error)) for place in places]
            self._lost += 1
            if self._lost > 1:  # the launcher itself does not work
                raise
        for trial, outcome, place in zip(trials, outcomes, places, strict=True):
            search.tell(trial, outcome, place)
        return returns

    def _overrides(self, search: "Search", trial: "Trial") -> list[str]:
        """A job's command line; with a pruner, it says where the trial is to be reported."""
        words = [*search.goal.fixed, *trial.overrides]
        pruner: Any = OmegaConf.to_container(self.pruner, resolve=True)
        if pruner == parts.PRUNERS["none"]:
            return words
        address = search.address
        if "://" not in address:
            address = str(Path(address).absolute())
        facts = {"storage": address, "study": search.name, "number": trial.number, "pruner": pruner}
        return [*words, *(f"trial.{key}={_quoted(value)}" for key, value in facts.items())]


def _outcome(done: JobReturn) -> Outcome:
    if done.status == JobStatus.COMPLETED:
        return Outcome(**done.return_value)
    error = done._return_value
    return of_error(error, f"{type(error).__name__}: {error}")


def _quoted(value: Any) -> str:
    return Transformer.str(QuotedString(value, Quote.single) if isinstance(value, str) else value)

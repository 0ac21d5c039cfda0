"""Hydra's own grid, whose jobs are composed quickly: `hydra/sweeper=grid`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seqfuse.runtime.errors import InputError


class GridSweeper(BasicSweeper):
    """Every combination of comma-separated values.

    Args:
        max_batch_size: jobs that are launched together; null: all.
        params: values by key, as on the command line, which comes after them.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from seqfuse.compat.hydra import quick
        from seqfuse.ddp import start
        from seqfuse.search import share
        from seqfuse.search.callback import Summaries
        from seqfuse.search.launching import Steady

        start.refuse_job(config.trainer)
        if not isinstance(self.params, Mapping):
            raise InputError(
                f"hydra.sweeper.params={self.params}: expected values by key, as in "
                "+hydra.sweeper.params.seed='0,1'"
            )
        Summaries.check_new(Path(config.hydra.sweep.dir))
        self.max_batch_size = self.max_batch_size or share.at_a_time(config.hydra.launcher)
        super().setup(
            hydra_context=quick(hydra_context), task_function=task_function, config=config
        )
        assert self.launcher is not None
        self.launcher = Steady(self.launcher, Path(config.hydra.sweep.dir))

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes one job for each choice of options: the others have the same keys."""
        from seqfuse.config.mistakes import check_finders
        from seqfuse.search.outcome import settings

        assert self.hydra_context is not None
        if not batch:
            raise InputError("there is nothing to run: a range or choice is empty")
        loader: Any = self.hydra_context.config_loader
        jobs = list({loader.kind(job): job for job in batch}.values())
        super().validate_batch_is_legal(jobs)
        for job in jobs:
            check_finders(loader.load_sweep_config(self.config, job), settings(job))


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="grid",
    node={
        "_target_": "hydra_plugins.seqfuse_grid.GridSweeper",
        "max_batch_size": None,
        "params": {},
    },
    provider="seqfuse",
)

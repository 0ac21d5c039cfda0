"""`hydra/launcher=ray`: the jobs of a sweep as tasks of a Ray cluster.

hydra-ray-launcher 1.2.2 holds cloudpickle below 3 and python-dateutil below 3, so that joblib and
scikit-learn go back with it, and stops waiting for all jobs when one is killed. Hydra imports this
file at each start, so Ray is imported only when jobs are launched.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from seqfuse.config.checks.extras import need
from seqfuse.runtime.errors import InputError, Stopped

if TYPE_CHECKING:
    from seqfuse.compat.hydra import Composer

CARRIED = ("SEQFUSE_", "HYDRA_FULL_ERROR", "PYTHONSAFEPATH")
"""Beginnings of environment variables that a job has from the command, not from its node."""


class RayLauncher(Launcher):
    """Jobs as tasks of a Ray cluster, whose nodes share the file system and the environment.

    Args:
        address: `local`, `auto` or `host:port`.
        num_cpus: cores of each job.
        num_gpus: GPUs of each job; a fraction is shared with others.
    """

    loader: "Composer"
    context: HydraContext
    task: TaskFunction
    config: DictConfig

    def __init__(self, address: str, num_cpus: float, num_gpus: float):
        for name, value in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
            if not isinstance(value, (int, float)) or value < 0 or (value > 1 and value % 1):
                raise InputError(
                    f"hydra.launcher.{name}={value} must be a fraction of one, or a whole number"
                )
        if not num_cpus and not num_gpus:
            raise InputError("hydra.launcher.num_cpus=0: a job needs a core or a GPU")
        self.address, self.num_cpus, self.num_gpus = address, num_cpus, num_gpus

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        need("launcher=ray", "ray")
        from seqfuse.compat import ray

        self.context, self.task, self.config = hydra_context, task_function, config
        ray.connect(self.address)
        ray.check_room(self.address, self.num_cpus, self.num_gpus)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Launches jobs, and returns when all have ended.

        Raises:
            InputError: if the process or the node of one was lost.
        """
        from seqfuse.compat import ray

        setup_globals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        environment = {name: os.environ[name] for name in os.environ if name.startswith(CARRIED)}
        jobs = []
        for number, words in enumerate(job_overrides, start=initial_job_idx):
            config = self.context.config_loader.load_sweep_config(self.config, list(words))
            with open_dict(config):
                config.hydra.job.id = f"{config.hydra.job.name}_{number}"
                config.hydra.job.num = number
            state = Singleton.get_state()
            jobs.append((self.context, config, self.task, state, environment, os.getcwd()))
        return ray.run_all(work, jobs, self.num_cpus, self.num_gpus)


def work(
    tries: int,
    context: HydraContext,
    config: DictConfig,
    task: TaskFunction,
    state: Any,
    environment: dict[str, str],
    folder: str,
) -> JobReturn | None:
    """Runs a job on its node, in the folder where the command was typed.

    Returns None if it was asked to end (SIGTERM), as before its node is taken away; `tries` says
    how often it was begun before.
    """
    from seqfuse.resume.job import TRIES

    def stop(number: int, frame: Any) -> None:
        raise Stopped(number)

    os.environ.update({**environment, TRIES: str(tries)})
    os.chdir(folder)
    before = signal.signal(signal.SIGTERM, stop)  # Ray's own ends the process
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(config)
    try:
        return run_job(
            hydra_context=context,
            config=config,
            task_function=task,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except SystemExit as error:  # it has saved
        if error.code != 128 + signal.SIGTERM:
            raise
    except Stopped as error:  # there is nothing to save yet
        if error.number != signal.SIGTERM:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)
    return None


NODE = {
    "_target_": "hydra_plugins.seqfuse_ray.RayLauncher",
    "address": "local",
    "num_cpus": 1,
    "num_gpus": 0,
}
ConfigStore.instance().store("ray", NODE, "hydra/launcher", provider="seqfuse")

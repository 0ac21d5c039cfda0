"""What `hydra/sweeper=optuna` offers: knobs, samplers and pruners. No Optuna is imported here."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class OptunaSweeperConf:
    """What `hydra.sweeper.` offers; `conf/sweep/optuna.yaml` says what each means."""

    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "none"}])
    _target_: str = "hydra_plugins.seqfuse_sweeper.OptunaSweeper"
    _recursive_: bool = False
    study: str = "${name}"
    storage: str | None = None
    num_trials: int = 20
    num_jobs: int | None = None
    seed: int = 0
    params: dict[str, Any] = field(default_factory=dict)
    sampler: Any = MISSING
    pruner: Any = MISSING


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


def register() -> None:
    """Makes them known to Hydra."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConf, provider="seqfuse")
    for part, options in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        for name, node in options.items():
            store.store(group=f"hydra/sweeper/{part}", name=name, node=node, provider="seqfuse")

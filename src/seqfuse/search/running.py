"""A trial of a search, seen from the job that runs it, which may be another process."""

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler

from seqfuse.runtime.errors import InputError
from seqfuse.search.storage import open_storage, trouble


class Running:
    """Reports to a trial straight in the storage.

    Args:
        address: of the storage.
        study: its name.
        number: of the trial.
        pruner: decides from what all trials reported.

    Raises:
        InputError: the storage cannot be used.
    """

    def __init__(self, address: str, study: str, number: int, pruner: BasePruner):
        self.address = address
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = open_storage(address)
        with trouble(address):
            try:
                # Nothing is drawn here, so any sampler does.
                found = optuna.load_study(
                    study_name=study, storage=storage, sampler=RandomSampler(), pruner=pruner
                )
                trial = found.get_trials(deepcopy=False)[number]
            except LookupError:
                raise InputError(
                    f"there is no trial {number} of study '{study}' in {address}: leave out trial.*"
                ) from None
            self.trial = optuna.Trial(found, trial._trial_id)

    def is_behind(self, value: float, step: int) -> bool:
        """Reports a value, and says whether the pruner would rather give up.

        Args:
            value: of the metric.
            step: epochs done, 1 or more.

        Raises:
            InputError: the storage failed.
        """
        with trouble(self.address):
            self.trial.report(value, step)
            return self.trial.should_prune()

"""One study of Optuna's: its trials are claimed, drawn and told how they ended."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.search.alive import Worker, is_gone
from seqfuse.search.goal import Goal
from seqfuse.search.outcome import Outcome
from seqfuse.search.storage import alone, open_storage, trouble

ABANDONED, SURPLUS = "abandoned", "surplus"
"""Trials that do not count: their search ended first, or another had taken the last place."""
ANEW = "begin anew with another hydra.sweeper.study"


class Trial(NamedTuple):
    """A trial to run.

    Args:
        number: in the study; also of its job and its folder.
        overrides: the values drawn for it.
    """

    number: int
    overrides: list[str]


class Search:
    """A study that this process, and maybe others, work at.

    Any call raises an InputError if the storage fails.

    Args:
        address: of the storage.
        name: of the study; the same name goes on.
        goal: what is searched.
        pruner: of Optuna's.
        num_trials: in all.
        seed: of what is drawn.

    Raises:
        InputError: the storage cannot be used, or the study has another goal.
    """

    def __init__(
        self,
        address: str,
        name: str,
        goal: Goal,
        pruner: BasePruner,
        num_trials: int,
        seed: int,
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.address, self.name, self.goal = address, name, goal
        self.num_trials, self.seed = num_trials, seed
        self._open: dict[int, optuna.Trial] = {}
        with trouble(address):
            storage = open_storage(address)
            with alone(address):
                self.study = optuna.create_study(
                    study_name=name,
                    storage=storage,
                    direction="minimize" if goal.mode == "min" else "maximize",
                    sampler=RandomSampler(),
                    pruner=pruner,
                    load_if_exists=True,
                )
                self._check_goal()
        self._worker = Worker(self.study, address)

    def _check_goal(self) -> None:
        before = self.study.user_attrs.get("goal")
        if before is None and self.trials():
            raise InputError(f"study '{self.name}' holds trials that are not ours: {ANEW}")
        if before is None:
            self.study.set_user_attr("goal", self.goal.facts())
        elif difference := self.goal.difference(before):
            raise InputError(
                f"study '{self.name}' in {self.address} began otherwise: {difference}: {ANEW}"
            )

    def trials(self) -> list[FrozenTrial]:
        """All there are, those of other processes included."""
        return self.study.get_trials(deepcopy=False)

    def counted(self) -> list[FrozenTrial]:
        """Those that count among `num_trials`, running ones included."""
        claimed = [one for one in self.trials() if one.state != TrialState.WAITING]
        return [one for one in claimed if one.user_attrs.get("status") not in (ABANDONED, SURPLUS)]

    def best(self) -> FrozenTrial | None:
        """The completed trial with the best value."""
        done = [one for one in self.trials() if one.state == TrialState.COMPLETE]
        sign = 1 if self.goal.mode == "min" else -1
        return min(done, key=lambda one: sign * one.values[0], default=None)

    def check_folder(self, folder: Path) -> None:
        """Checks that the sweep's folder holds runs of this study alone.

        Raises:
            InputError: a run could be overwritten.
        """
        found = {int(path.name) for path in folder.glob("*") if path.name.isdigit()}
        with trouble(self.address):
            strange = found - {one.number for one in self.trials()}
        if strange:
            raise InputError(
                f"{folder / str(min(strange))} is no run of study '{self.name}' in "
                f"{self.address}: {ANEW}, or move that folder away"
            )

    def __enter__(self) -> "Search":
        self._worker.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Trials that were not told of do not count: whoever goes on runs others instead."""
        self._worker.stop()
        with trouble(self.address):
            for number in list(self._open):
                self._fail(number, ABANDONED, "the search was stopped")

    def ask(self, size: int, sampler: Callable[[int], BaseSampler]) -> list[Trial]:
        """Claims at most `size` trials, none at the end, and draws their values.

        Args:
            size: of the batch.
            sampler: makes one from a seed.
        """
        with trouble(self.address):
            with alone(self.address):
                self._give_up_lost()
                claimed = self._claim(size)
            return [Trial(number, self._draw(number, sampler)) for number in claimed]

    def _give_up_lost(self) -> None:
        for one in self.trials():
            if one.state == TrialState.RUNNING and one.number not in self._open:
                began = one.datetime_start.timestamp() if one.datetime_start else 0.0
                if is_gone(self.study, one.user_attrs.get("worker"), began):
                    self._open[one.number] = optuna.Trial(self.study, one._trial_id)
                    self._fail(one.number, ABANDONED, "its search ended")

    def _claim(self, size: int) -> list[int]:
        """Numbers of new trials; drawing can take seconds, so it comes when others may ask."""
        self.study.sampler = RandomSampler()
        for _ in range(min(size, self.num_trials - len(self.counted()))):
            trial = self.study.ask()
            self._open[trial.number] = trial
            trial.set_user_attr("worker", self._worker.name)
        # Without a lock, another process can have claimed in between.
        places = [one.number for one in self.counted()][: self.num_trials]
        for number in sorted(set(self._open) - set(places)):
            self._fail(number, SURPLUS, "enough trials")
        return sorted(self._open)

    def _draw(self, number: int, sampler: Callable[[int], BaseSampler]) -> list[str]:
        # Seeded by the number, too: or a search that goes on would draw what it drew before.
        state = np.random.SeedSequence([self.seed, number]).generate_state(1)
        self.study.sampler = sampler(int(state[0]))
        trial = optuna.Trial(self.study, self._open[number]._trial_id)
        self._open[number] = trial
        return [one.override(one.draw(trial)) for one in self.goal.space]

    def tell(self, trial: Trial, outcome: Outcome, folder: Path) -> None:
        """Records how a trial ended, and prints one line of it."""
        name = f"best/{self.goal.monitor}"
        value = outcome.metrics.get(name, math.nan)
        status, reason = outcome.status, outcome.reason
        state = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(status)
        if state == TrialState.COMPLETE and not math.isfinite(value):
            status, state = ("diverged" if name in outcome.metrics else "failed"), None
            reason = f"{name} is {value}" if name in outcome.metrics else f"it has no {name}"
        with trouble(self.address):
            shown = self._end(
                trial.number,
                state or TrialState.FAIL,
                value if state == TrialState.COMPLETE else None,
                status=status,
                reason=reason,
                folder=str(folder),
            )
            self._say(trial.number, status if shown else "given up by another process", value)

    def _fail(self, number: int, status: str, reason: str) -> None:
        self._end(number, TrialState.FAIL, status=status, reason=reason)

    def _end(
        self, number: int, state: TrialState, value: float | None = None, **facts: str
    ) -> bool:
        """Closes a trial; False if another process has."""
        trial = self._open.pop(number)
        try:
            for key, fact in facts.items():
                trial.set_user_attr(key, fact)
            self.study.tell(trial, value, state)
        except UpdateFinishedTrialError:
            return False
        return True

    def _say(self, number: int, status: str, value: float) -> None:
        done = sum(one.state.is_finished() for one in self.counted())
        best = self.best()
        shown = f"{self.goal.monitor} {value:.6g}" if math.isfinite(value) else ""
        so_far = f"best {best.values[0]:.6g} (trial {best.number})" if best else "no best yet"
        count = f"{done} of {self.num_trials} done"
        say(f"trial {number:<4} {status:<13} {shown:<24} {so_far}, {count}")

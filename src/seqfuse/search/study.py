"""A study of Optuna's: its trials are claimed, drawn, watched and ended."""

import math
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from seqfuse.config import runs
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.search.outcome import KILLED, Outcome, retried
from seqfuse.search.space import Goal
from seqfuse.search.storage import alone, open_storage, patiently, trouble

UNCOUNTED = ABANDONED, SURPLUS, RETRIED = "abandoned", "surplus", "retried"
"""Trials that do not count: their search ended first, another had taken the last place, or their
process was killed and they are run again."""
ANEW = "begin anew with another hydra.sweeper.study"
BEAT, SILENCE = 60.0, 600.0
"""Seconds between two signs of life, and without any until a process counts as gone."""
WORKER = "worker "
WANTED = "num_trials"
"""Attribute of a study: the trials that whoever worked at it last wanted in all."""


class Trial(NamedTuple):
    """A trial to run: its number in the study, also of its job and folder, and its values."""

    number: int
    overrides: list[str]


class Search:
    """A study of `num_trials` in all that this process, and maybe others, work at.

    The same name at the same address goes on.

    Args:
        retries: times that a trial whose process was killed is run again, with the same values.
    """

    def __init__(
        self,
        address: str,
        name: str,
        goal: Goal,
        pruner: BasePruner,
        num_trials: int,
        seed: int,
        retries: int = 0,
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.address, self.name, self.goal = address, name, goal
        self.num_trials, self.seed, self.retries = num_trials, seed, retries
        self._open: dict[int, optuna.Trial] = {}
        self._again: list[FrozenTrial] = []
        with trouble(address):
            self.storage = open_storage(address)
            with alone(address):
                self.study = optuna.create_study(
                    study_name=name,
                    storage=self.storage,
                    direction="minimize" if goal.mode == "min" else "maximize",
                    sampler=RandomSampler(),
                    pruner=pruner,
                    load_if_exists=True,
                )
                self._check_goal()
                self.study.set_user_attr(WANTED, num_trials)
        self._worker = Worker(self.study, address)

    def _check_goal(self) -> None:
        before = self.study.user_attrs.get("goal")
        if before is None and self.trials():
            raise InputError(f"study '{self.name}' holds trials that are not ours: {ANEW}")
        if before is None:
            self.study.set_user_attr("goal", self.goal.identity())
        elif difference := self.goal.difference(before):
            raise InputError(
                f"study '{self.name}' in {self.address} began otherwise: {difference}: {ANEW}"
            )

    def trials(self) -> list[FrozenTrial]:
        """All trials, those of other processes included; a server that is away is waited for."""
        return patiently(self.address, lambda: self.study.get_trials(deepcopy=False))

    def counted(self) -> list[FrozenTrial]:
        """Trials that count among `num_trials`, running ones included."""
        claimed = [trial for trial in self.trials() if trial.state != TrialState.WAITING]
        return [t for t in claimed if t.user_attrs.get("status") not in UNCOUNTED]

    def best(self) -> FrozenTrial | None:
        """The completed trial with the best value."""
        completed = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        sign = 1 if self.goal.mode == "min" else -1
        return min(completed, key=lambda trial: sign * trial.values[0], default=None)

    def check_folder(self, folder: Path) -> None:
        """Checks that the sweep's folder holds runs of this study alone: none is overwritten."""
        numbers = {int(path.name) for path in folder.glob("*") if path.name.isdigit()}
        with trouble(self.address):
            strange = numbers - {trial.number for trial in self.trials()}
        if strange:
            raise InputError(
                f"{folder / str(min(strange))} is no run of study '{self.name}' in "
                f"{self.address}: {ANEW}, or move that folder away"
            )

    def __enter__(self) -> "Search":
        self._worker.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Trials without an end do not count: whoever goes on runs others instead."""
        self._worker.stop()
        with trouble(self.address):
            for number in list(self._open):
                self._fail(number, ABANDONED, "the search was stopped")

    def ask(self, size: int, sampler: Callable[[int], BaseSampler]) -> list[Trial]:
        """Claims at most `size` trials, none at the end, and draws values by seeded samplers."""
        claimed = patiently(self.address, lambda: self._claim(size))
        return [
            Trial(number, patiently(self.address, lambda n=number: self._draw(n, sampler)))
            for number in claimed
        ]

    def _give_up_lost(self) -> None:
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and trial.number not in self._open:
                began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
                if is_gone(self.study, trial.user_attrs.get("worker"), began):
                    self._fail(trial.number, ABANDONED, "its search ended")

    def _claim(self, size: int) -> list[int]:
        """Numbers of new trials; drawing can take seconds, so it comes when others may ask."""
        with alone(self.address):
            self._give_up_lost()
            # Some may be there already, where the server went away before it said so.
            left = self.num_trials - len(self.counted())
            for _ in range(min(size - len(self._mine()), left)):
                self._begin()
            for number in self._mine():
                self._open[number] = handle(self.study, self.storage, number)
            # Without a lock, another process can have claimed in between.
            places = [trial.number for trial in self.counted()][: self.num_trials]
            for number in sorted(set(self._open) - set(places)):
                self._fail(number, SURPLUS, "enough trials")
            return sorted(self._open)

    def _mine(self) -> list[int]:
        """Numbers of trials of this process that have not ended."""
        running = [trial for trial in self.trials() if trial.state == TrialState.RUNNING]
        return [t.number for t in running if t.user_attrs.get("worker") == self._worker.name]

    def _begin(self) -> None:
        """Makes a trial, at once with the name of its process: it can be killed right after."""
        before = self._again.pop(0) if self._again else None
        tries = before.user_attrs.get("tries", 1) + 1 if before else 1
        study_id = self.storage.get_study_id_from_name(self.name)
        trial = create_trial(
            state=TrialState.RUNNING,
            params=before.params if before else {},
            distributions=before.distributions if before else {},
            user_attrs={"worker": self._worker.name, "tries": tries},
        )
        self.storage.create_new_trial(study_id, trial)

    def _draw(self, number: int, sampler: Callable[[int], BaseSampler]) -> list[str]:
        # Seeded by the number, too: or a search that goes on would draw what it drew before.
        state = np.random.SeedSequence([self.seed, number]).generate_state(1)
        self.study.sampler = sampler(int(state[0]))
        trial = self._open[number] = handle(self.study, self.storage, number)
        return [dimension.override(dimension.draw(trial)) for dimension in self.goal.space]

    def tell(self, trial: Trial, outcome: Outcome, folder: Path) -> None:
        """Records how a trial ended, and prints one line of it."""
        name = f"best/{self.goal.monitor}"
        value = outcome.metrics.get(name, math.nan)
        status, reason = outcome.status, outcome.reason
        state = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(status)
        if state == TrialState.COMPLETE and not math.isfinite(value):
            status, state = ("diverged" if name in outcome.metrics else "failed"), None
            reason = f"{name} is {value}" if name in outcome.metrics else f"it has no {name}"
        if status == KILLED.status:
            before = self.trials()[trial.number]
            if before.user_attrs.get("tries", 1) <= self.retries:
                self._again.append(before)
                retried(folder)
                status = RETRIED
        is_ours = patiently(
            self.address,
            lambda: self._end(
                trial.number,
                state or TrialState.FAIL,
                value if state == TrialState.COMPLETE else None,
                status=status,
                reason=reason,
                folder=str(folder),
            ),
        )
        shown = status if is_ours else "given up by another process"
        self._say(trial.number, shown, value)

    def _fail(self, number: int, status: str, reason: str) -> None:
        self._end(number, TrialState.FAIL, status=status, reason=reason)

    def _end(
        self, number: int, state: TrialState, value: float | None = None, **attributes: str
    ) -> bool:
        """Closes a trial; False if another process has."""
        trial = self._open.get(number) or handle(self.study, self.storage, number)
        is_ours = True
        try:
            for key, text in attributes.items():
                trial.set_user_attr(key, text)
            self.study.tell(trial, value, state)
        except UpdateFinishedTrialError:  # or this one, and the server went away before it said so
            is_ours = self.trials()[number].user_attrs.get("status") == attributes["status"]
        self._open.pop(number, None)
        return is_ours

    def _say(self, number: int, status: str, value: float) -> None:
        done = sum(trial.state.is_finished() for trial in self.counted())
        best = self.best()
        shown = f"{self.goal.monitor} {value:.6g}" if math.isfinite(value) else ""
        so_far = f"best {best.values[0]:.6g} (trial {best.number})" if best else "no best yet"
        count = f"{done} of {self.num_trials} done"
        say(f"trial {number:<4} {status:<13} {shown:<24} {so_far}, {count}")


def handle(study: optuna.Study, storage: BaseStorage, number: int) -> optuna.Trial:
    """A trial to draw from, to report to or to end; which process began it does not matter."""
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    return optuna.Trial(study, trial_id)


class Running:
    """A trial, seen from the job that runs it, which may be another process."""

    def __init__(self, address: str, study: str, number: int, pruner: BasePruner):
        self.address, self.study, self.number, self.pruner = address, study, number, pruner
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.trial = patiently(address, self._trial)

    def _trial(self) -> optuna.Trial:
        storage = open_storage(self.address)
        try:
            # Nothing is drawn here, so any sampler does.
            loaded = optuna.load_study(
                study_name=self.study, storage=storage, sampler=RandomSampler(), pruner=self.pruner
            )
            return handle(loaded, storage, self.number)
        except LookupError:
            raise InputError(
                f"there is no trial {self.number} of study '{self.study}' in {self.address}: "
                "leave out trial.*"
            ) from None

    def is_behind(self, value: float, step: int) -> bool:
        """Reports the metric after `step` epochs; whether the pruner would rather give up."""
        return patiently(self.address, lambda: self._report(value, step))

    def _report(self, value: float, step: int) -> bool:
        self.trial.report(value, step)
        return self.trial.should_prune()


class Worker:
    """This process, as the others that share its study see it: by signs of life in the study."""

    def __init__(self, study: optuna.Study, address: str):
        self.study, self.address = study, address
        self.name = f"{runs.machine()}|{os.getpid()}|{uuid.uuid4().hex[:8]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Begins to leave signs of life."""
        self._sign()
        self._thread.start()

    def stop(self) -> None:
        """Ends."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            try:
                self._sign()
            except InputError:
                continue  # the next call of the search's own says what is wrong

    def _sign(self) -> None:
        with trouble(self.address):
            self.study.set_user_attr(f"{WORKER}{self.name}", time.time())


def is_gone(study: optuna.Study, worker: str | None, began: float) -> bool:
    """Whether the process that began a trial has ended without finishing it.

    Args:
        study: with the signs of life.
        worker: name of the process; None if it had no time to leave it.
        began: when it began the trial, in seconds since 1970.
    """
    machine, pid = (worker.split("|") if worker else ["", ""])[:2]
    if os.name == "posix" and machine == runs.machine() and not runs.is_running(int(pid)):
        return True
    return time.time() - study.user_attrs.get(f"{WORKER}{worker}", began) > SILENCE

"""Launches the jobs of a sweep so that one that is killed takes none behind it along."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import count, groupby
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from seqfuse.compat.submitit import is_submitit, waiting_for_all
from seqfuse.config.mistakes import explain
from seqfuse.runtime.shown import say
from seqfuse.search.callback import Summaries
from seqfuse.search.outcome import Outcome, read


class Steady(Launcher):
    """A launcher that launches again what another one had not begun when a job was killed.

    Args:
        inner: the other one, set up.
        folder: of the sweep.
    """

    def __init__(self, inner: Launcher, folder: Path):
        self.inner = inner
        self.folder = folder
        Summaries.launches([])

    def setup(self, **given: Any) -> None:
        """As the other one's."""
        self.inner.setup(**given)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Launches jobs whose numbers are in a row, and returns when all have ended.

        Raises:
            Exception: of the other launcher, if it began none of them.
        """
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        Summaries.launches(numbers)
        returns, error = self._attempt(job_overrides, initial_job_idx)
        done = {number: one for number, one in zip(numbers, returns, strict=True) if one}
        if error is None:
            return list(done.values())
        for number in set(numbers) - set(done):
            if outcome := read(self.folder / str(number)):
                done[number] = _returned(outcome)
        if not done:
            raise error
        say(f"seqfuse: {explain(error)}", file=sys.stderr)
        for row in in_a_row(number for number in numbers if number not in done):
            jobs = [job_overrides[number - initial_job_idx] for number in row]
            done |= zip(row, self.launch(jobs, row[0]), strict=True)
        return [done[number] for number in numbers]

    def _attempt(
        self, jobs: Sequence[Sequence[str]], first: int
    ) -> tuple[Sequence[JobReturn | None], Exception | None]:
        """What each job returned, None if it was lost; and why the first of those was."""
        lost: list[Exception] = []
        try:
            with waiting_for_all(lost) if is_submitit(self.inner) else nullcontext():
                returns = self.inner.launch(jobs, first)
        except Exception as error:
            return [None] * len(jobs), error
        return returns, next(iter(lost), None)


def in_a_row(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Rising numbers, cut where one is missing: the jobs of a launch are numbered in a row."""
    start = count()
    return (list(row) for _, row in groupby(numbers, lambda number: number - next(start)))


def _returned(outcome: Outcome) -> JobReturn:
    return JobReturn(status=JobStatus.COMPLETED, _return_value=outcome._asdict())

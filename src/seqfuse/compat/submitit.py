"""Hydra's launcher by submitit, which leaves at the first killed job (checked: 1.5.4, 1.2.0)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.plugins.launcher import Launcher


def is_submitit(launcher: Launcher) -> bool:
    """Whether submitit runs the jobs."""
    return ".hydra_submitit_launcher." in type(launcher).__module__


@contextmanager
def waiting_for_all(lost: list[Exception]) -> Iterator[None]:
    """Lets submitit's launcher wait for jobs behind a killed one: it returns None for that one, and
    its error is added to `lost`."""
    from submitit import Job

    results = Job.results

    def wait(self: Any) -> Any:
        try:
            return results(self)
        except Exception as error:
            lost.append(error)
            return [None]

    Job.results = wait
    try:
        yield
    finally:
        Job.results = results

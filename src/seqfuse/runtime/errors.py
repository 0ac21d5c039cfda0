"""The ways a run ends early: a mistake, numbers that blew up, a search, the user's wish."""

import signal
from collections.abc import Collection


class InputError(ValueError):
    """A mistake in what the user gave; its message is one line and names the fix.

    Whatever takes something from a user may raise it: docstrings name other errors alone.
    """

    exit_code = 1


def check_minimum(minimum: float, **options: float) -> None:
    """Raises InputError unless every option of the data section is at least so much."""
    for name, value in options.items():
        if value < minimum:
            raise InputError(f"data.{name}={value} must be at least {minimum}")


def check_option(options: Collection[str], **values: str) -> None:
    """Raises InputError unless every value of the data section is one of the options."""
    for name, value in values.items():
        if value not in options:
            raise InputError(f"data.{name}={value} must be one of: {', '.join(options)}")


class Diverged(InputError):
    """The loss is no number any more."""


class Pruned(Exception):
    """A search gave up on the run, because others did better by then."""


class Finished(InputError):
    """There is nothing left to do for a run; no failure where nobody asked for more."""

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(message)
        self.exit_code = exit_code


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal, at a moment when there is nothing to save."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class Interrupted(Exception):
    """The run was asked to stop by a signal and has saved its state; `note` says what else
    happened."""

    def __init__(self, number: int, run: str, note: str = ""):
        name = signal.Signals(number).name
        text = f"stopped by {name}; go on with: seqfuse-train resume={run}"
        super().__init__(f"{text}; {note}" if note else text)
        self.number, self.note = number, note
        self.exit_code = 128 + number


def number_within(name: str, value: object, low: float, high: float) -> float:
    """A number, or text that stands for it; raises InputError where it is out of range."""
    try:
        number = float("nan") if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise InputError(f"{name}={value} must be a number from {low:g} to {high:g}")
    return number

"""The ways a run ends early: a mistake, numbers that blew up, a search, the user's wish."""

import signal


class InputError(ValueError):
    """A mistake in what the user gave; its message is one line and names the fix."""


class Diverged(InputError):
    """The loss is no number any more."""


class Pruned(Exception):
    """A search gave up on the run, because others did better by then."""


class Interrupted(Exception):
    """The run was asked to stop and has saved its state.

    Args:
        number: of the signal.
        run: folder to resume from.
    """

    def __init__(self, number: int, run: str):
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name}; go on with: seqfuse-train resume={run}")
        self.exit_code = 128 + number

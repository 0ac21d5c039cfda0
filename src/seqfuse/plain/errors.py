"""The one error a user can cause."""


class InputError(ValueError):
    """A mistake in what the user gave; its message is one line and names the fix."""

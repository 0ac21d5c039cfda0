"""Range checks for constructors: each names the knob, its value and what it takes."""

from collections.abc import Collection


def positive(**knobs: int) -> None:
    """Raises ValueError unless every knob is a whole number of at least 1."""
    for name, value in knobs.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number of at least 1")


def fraction(**knobs: float) -> None:
    """Raises ValueError unless every knob is in [0, 1)."""
    for name, value in knobs.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value!r} must be at least 0 and below 1")


def choice(options: Collection[str], **knobs: str) -> None:
    """Raises ValueError unless every knob is one of the options."""
    for name, value in knobs.items():
        if value not in options:
            raise ValueError(f"{name}={value!r} must be one of: {', '.join(options)}")

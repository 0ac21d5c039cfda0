"""Progress bar on the terminal."""

import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a notebook without ipywidgets, where it is text
    from tqdm.auto import tqdm


def bar(
    name: str, total: int | None, unit: str, shown: bool, done: int = 0, seconds: float = 0.5
) -> tqdm:
    """A bar that is drawn seldom; into a file or a pipe, twenty times as seldom."""
    return tqdm(
        total=total,
        initial=done,
        desc=name,
        unit=unit,
        mininterval=seconds * (1 if sys.stderr.isatty() else 20),
        disable=not shown,
        dynamic_ncols=True,
    )

"""Text of unknown origin, made harmless for the terminals and spreadsheets that it reaches."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TextIO

from seqfuse.runtime.errors import InputError

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""Characters that a terminal acts on, or that turn the order of those around them; neither tab nor
line feed."""
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20].+", re.DOTALL)
"""Text that a spreadsheet takes for a formula."""


def visible(text: str) -> str:
    r"""Text with each control character as its code, such as `\x1b`."""
    return CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


@lru_cache(maxsize=10_000)
def cell_text(text: str) -> str:
    """Text for a cell of a .csv: visible, and with a ' in front where it would be a formula.

    Numbers stay as they are.
    """
    text = visible(text)
    if not FORMULA.fullmatch(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def counted(number: int, noun: str) -> str:
    """A number of things: 1 channel, 2 channels."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned so that it reads as plain text, too."""
    cells = [[visible(cell).replace("|", r"\|") for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in cells]
    top, *body = [f"| {' | '.join(row)} |" for row in padded]
    return "\n".join([top, f"|{'|'.join('-' * (w + 2) for w in widths)}|", *body])


def say(text: object, file: TextIO | None = None) -> None:
    """Prints visible text at once; to standard output, if no file is given."""
    print(visible(str(text)), file=sys.stdout if file is None else file, flush=True)


@contextmanager
def one_line() -> Iterator[None]:
    """Ends the process with one line, and code 1, where a user or the system made a mistake."""
    try:
        yield
    except BrokenPipeError:  # whoever was reading has gone
        raise
    except (InputError, OSError) as error:
        say(f"seqfuse: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def stop_saying() -> None:
    """Sends what is still printed nowhere: whoever was reading has gone, as in `... | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

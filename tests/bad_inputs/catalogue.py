"""Wrong inputs as rows of a table, and what is asked of the answer to each."""

import contextlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

Content = str | bytes | np.ndarray | dict[str, Any] | Callable[[Path], object]
"""Of a file: text, bytes, the array of an .npy, the arrays of an .npz, or what writes it."""
FOREIGN = (
    "Traceback",
    "You might want to try",
    "utc=True",
    "Error in call to target",
    "Interpolation key",
    "See https",
    "full_key",
    "object_type",
    "in struct",
    "LexerNoViableAlt",
    "<class ",
    " at 0x",
    "allow_pickle",
    "weights_only",
    "C error",
    "low_memory",
    "errno",
    "Errno",
    "codec can't",
    "NoneType",
    "unexpected keyword",
    "positional argument",
    "not subscriptable",
    "has no attribute",
    "object is not",
    "internal error",
)
"""Words of Hydra, OmegaConf, pandas, torch and Python that say nothing to a user."""
LONGEST = 600
"""Letters of a line that can still be read."""


class Row(NamedTuple):
    """One wrong input."""

    words: str
    """Of the command line, as in a shell."""
    names: str | Sequence[str]
    """What the line must name: file, line, column, key, and what to type."""
    files: Mapping[str, Content] = {}
    """Made beforehand, by path from where the command runs."""
    begins: bool = False
    """Whether it can be seen only once a run has begun, which then keeps what it has."""


class Answer(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str
    left: set[str]
    """Files and folders that it left behind."""


def rows(*table: Row) -> pytest.MarkDecorator:
    """A test that runs once for each row, named by its words.

    One row in three is for every day, so that these take a minute; CI runs all.
    """
    names = [re.sub(r"[^\w=.,/:\[\]{}~+-]+", " ", row.words)[:70] for row in table]
    cases = [
        pytest.param(row, id=f"{i}: {name}", marks=[pytest.mark.slow] * (i % 3 > 0))
        for i, (row, name) in enumerate(zip(table, names, strict=True))
    ]
    return pytest.mark.parametrize("row", cases)


def write(path: Path, content: Content) -> None:
    """Writes one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        content(path)


def faults(row: Row, answer: Answer, command: str = "seqfuse") -> list[str]:
    """What is wrong with an answer; nothing, if it is one clear line."""
    code, out, err, left = answer
    named = [row.names] if isinstance(row.names, str) else row.names
    checks: dict[str, Any] = {
        "exit code 0": code == 0,
        "not one line": err.count("\n") != 1 or not err.endswith("\n"),
        f"does not begin with {command}:": not err.startswith(f"{command}: "),
        "too long": len(err) > LONGEST,
        "does not name": [name for name in named if name not in err],
        "foreign words": [word for word in FOREIGN if word in err],
        "control characters": [c for c in err if ord(c) < 32 and c != "\n"],
        "says more": not row.begins and out,
        "leaves": not row.begins and sorted(left),
    }
    return [f"{fault} {found}" for fault, found in checks.items() if found]


def tree(folder: Path) -> set[str]:
    """All that lies below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextlib.contextmanager
def typed(*words: str) -> Iterator[None]:
    """As if these words were the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", list(words))
        GlobalHydra.instance().clear()
        yield


def answer(
    row: Row, main: Callable[[], object], capfd: pytest.CaptureFixture[str], *before: str
) -> Answer:
    """Makes the files of a row where we are, and runs a command on it in this process."""
    for name, content in row.files.items():
        write(Path(name), content)
    kept, code, trace = tree(Path.cwd()), 0, ""
    capfd.readouterr()
    with typed("seqfuse", *before, *shlex.split(row.words)):
        try:
            code = main() or 0  # type: ignore[assignment]
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        except BaseException as error:
            trace, code = f"Traceback: {type(error).__name__}: {error}\n", 1
    out, err = capfd.readouterr()
    return Answer(code, out, err + trace, tree(Path.cwd()) - kept)

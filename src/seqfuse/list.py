"""seqfuse list prints what can be chosen, with a line on each.

Usage: seqfuse list [data | models | tasks | experiments | parts | <group>]
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from seqfuse.config.checks.groups import CONF
from seqfuse.config.mistakes import no_such_option
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import one_line, say

KINDS = {"data": "data", "models": "model", "tasks": "task", "experiments": "experiment"}
"""Groups by the name that people have for them; `parts` are the groups below `model`."""
WIDTH = 100


def main() -> None:
    """The command; `seqfuse list --help` explains it."""
    words = sys.argv[1:]
    if {"--help", "-h"} & {*words}:
        return say((__doc__ or "").rstrip())
    with one_line():
        for word in words or ["data", "models", "tasks", "experiments"]:
            say("\n".join(table(word)))


def table(word: str) -> Iterator[str]:
    """Lines on all options of a group, or of all groups of parts."""
    if word == "parts":
        folders = sorted(path for path in (CONF / "model").iterdir() if path.is_dir())
    else:
        folders = [CONF / KINDS.get(word, word)]
    for folder in folders:
        group = folder.relative_to(CONF).as_posix() if folder.is_relative_to(CONF) else ""
        options = sorted(path for path in folder.glob("*.yaml") if path.stem[0] != "_")
        if not options:
            raise InputError(no_such_option("list", word, [*KINDS, "parts", *_groups()]))
        yield f"{group}=..."
        size = max(len(path.stem) for path in options) + 4
        for path in options:
            text = textwrap.wrap(about(path), WIDTH - size) or [""]
            yield f"  {path.stem}".ljust(size) + text[0]
            yield from (" " * size + line for line in text[1:])


def _groups() -> list[str]:
    folders = (path for path in CONF.rglob("*") if path.is_dir() and [*path.glob("*.yaml")])
    return sorted(path.relative_to(CONF).as_posix() for path in folders)


def about(path: Path) -> str:
    """The comment at the head of a YAML file; without one, what its class says of itself."""
    text = re.sub(r"^# @package.*\n", "", path.read_text(encoding="utf-8"))
    comment = re.match(r"(?:#.*\n)*", text)
    if comment and comment[0]:
        return " ".join(line.lstrip("# ") for line in comment[0].splitlines())
    target = re.search(r"^_target_: seqfuse\.(\S+)\.(\w+)$", text, re.MULTILINE)
    return _docstring(*target.groups()) if target else ""


def _docstring(module: str, name: str) -> str:
    """First line of a class's docstring; nothing is imported, as torch takes seconds."""
    place = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(place.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


if __name__ == "__main__":
    main()

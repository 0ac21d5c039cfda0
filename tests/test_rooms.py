"""The core imports no annex, nn knows torch alone, and runtime numpy alone; folders stay small."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import seqfuse

SRC = Path(seqfuse.__file__).parent
CORE = ("", "config", "nn", "predicting", "tasks", "data", "runtime", "compat")
ALLOWED = {
    "nn": {"torch", "einops", "jaxtyping"},
    "runtime": {"numpy"},
}
KNOWN = {}
"""What the core still imports of annexes."""
SIZE = 13
"""Files of a folder, at most."""

SETTABLE = {
    *("config", "kept", "part", "recipe"),  # trees of OmegaConf, copied
    *("sys.excepthook", "threading.excepthook", "error.filename", "trainer.should_stop"),
    *("options.intra_op_num_threads", "options.log_severity_level"),  # of ONNX Runtime
    *("self.study.sampler", "done[number].return_value"),  # of Optuna, of Hydra
    *("Summaries._folder", "Summaries._launched"),  # a class of which Hydra makes the object
    *("data.batch_size", "task.net", "task.calibrator"),  # of copies, in their own classes
}
"""What is set on other objects than `self`: their first name, or the whole."""


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports when it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                inside = SRC.parent.joinpath(*f"{node.module}.{name.name}".split("."))
                is_module = inside.with_suffix(".py").exists() or inside.is_dir()
                yield f"{node.module}.{name.name}" if is_module else str(node.module)


def files(room: str) -> list[Path]:
    return sorted((SRC / room).glob("*.py") if room == "" else (SRC / room).rglob("*.py"))


@pytest.mark.long
def test_core_imports_no_annex() -> None:
    crossings = set()
    for room in CORE:
        for path in files(room):
            for module in imports(path):
                parts = module.split(".")
                is_ours = parts[0] == "seqfuse" and len(parts) > 1
                if is_ours and (SRC / parts[1]).is_dir() and parts[1] not in CORE:
                    crossings.add(f"{path.relative_to(SRC).as_posix()}: {module}")
    assert not crossings


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_know_little(room: str) -> None:
    allowed = {*ALLOWED[room], *sys.stdlib_module_names}
    for path in files(room):
        for module in imports(path):
            top, *rest = module.split(".")
            ours = top == "seqfuse" and rest and rest[0] in (room, "runtime")
            assert ours or top in allowed, f"{path.relative_to(SRC)} imports {module}"


def test_folders_hold_about_a_dozen_files() -> None:
    sizes = {path: len(list(path.glob("*.py"))) for path in SRC.rglob("*") if path.is_dir()}
    assert not [path for path, size in sizes.items() if size > SIZE]


def attributes_set(path: Path) -> Iterator[str]:
    """Attributes that a file sets on other objects than `self` and `cls`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = ast.unparse(node)
            if name.partition(".")[0] not in ("self", "cls") or name.count(".") > 1:
                yield name


@pytest.mark.long
def test_nothing_is_set_on_an_object_after_it_was_built() -> None:
    for path in SRC.rglob("*.py"):
        if path.parent.name != "compat":
            for name in attributes_set(path):
                allowed = {name, name.partition(".")[0]} & SETTABLE
                assert allowed, f"{path.relative_to(SRC)} sets {name}"


@pytest.mark.long
def test_no_test_imports_another() -> None:
    root = Path(__file__).parent
    for path in root.rglob("*.py"):
        for module in imports(path):
            assert not re.search(r"(^|\.)test_", module), f"{path.relative_to(root)}: {module}"

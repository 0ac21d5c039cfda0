"""What the package offers, and what importing it costs."""

import ast
import pkgutil
import pydoc
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hydra_plugins
import seqfuse
from seqfuse import nn
from seqfuse.config.checks.extras import EXTRAS
from seqfuse.config.checks.groups import CONF

IMPORTING = '''
import importlib, sys

class Without:
    """A finder that finds all but the libraries."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if any(f"{name}.".startswith(f"{library}.") for library in LIBRARIES):
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):  # such as what finds distributions
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
failures = {}
for name in MODULES:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failures[name] = error.name
print(failures)
'''
"""Prints the library that each module failed to import."""


def test_dir_and_help_list_all_there_is() -> None:
    import_module("seqfuse.list")  # has the name of what is built in
    assert dir(seqfuse) == sorted(seqfuse.__all__)
    text = pydoc.render_doc(seqfuse, renderer=pydoc.plaintext)
    for name in seqfuse.__all__:
        assert getattr(seqfuse, name) is not None
        assert name.strip("_") in text.lower() if name.startswith("__") else name in text


def test_importing_it_imports_nothing_slow() -> None:
    slow = ("torch", "numpy", "hydra", "lightning", "pandas", "sklearn")
    code = f"import seqfuse, sys; assert not set({slow}) & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.long
def test_a_net_is_trained_and_asked_without_what_only_some_runs_need() -> None:
    rooms = (
        "config.build, config.ensemble, tasks.calibrate, tasks.metrics, data.splits, train, predict"
    )
    names = ", ".join(f"seqfuse.{name}" for name in rooms.split(", "))
    code = f"import {names}, sys; print(sorted({{'pandas', 'sklearn'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def asked_for() -> set[str]:
    """Distributions that an installation without extras brings."""
    found, left = set(), [("seqfuse", ())]
    while left:
        name, extras = left.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        try:
            requirements = map(Requirement, metadata.requires(name) or ())
        except metadata.PackageNotFoundError:  # of another system
            continue
        for each in requirements:
            if not each.marker or any(each.marker.evaluate({"extra": e}) for e in ("", *extras)):
                left.append((canonicalize_name(each.name), tuple(sorted(each.extras))))
    return {name for name, _ in found}


def extra_libraries() -> set[str]:
    """Top-level packages that are installed here, and are not by `pip install seqfuse`."""
    ours, installed = asked_for(), metadata.packages_distributions().items()
    return {top for top, names in installed if not {*map(canonicalize_name, names)} & ours}


@pytest.mark.slow
def test_every_module_imports_without_the_extras() -> None:
    libraries = {*extra_libraries(), *EXTRAS} - {"hydra_plugins"}  # where ours is, too
    assert {"aeon", "av", "onnx", "optuna", "pyarrow"} <= libraries
    packages = {package.__name__: package.__path__ for package in (seqfuse, hydra_plugins)}
    modules = [
        module.name
        for name, path in packages.items()
        for module in pkgutil.walk_packages(path, f"{name}.")
        if name == "seqfuse" or module.name.endswith("seqfuse_sweeper")
    ]
    assert len(modules) > 150
    names = f"LIBRARIES = {libraries}\nMODULES = {modules}\n"
    child = subprocess.run(
        [sys.executable, "-c", names + IMPORTING], check=True, capture_output=True, text=True
    )
    failures = ast.literal_eval(child.stdout.splitlines()[-1])
    # All about Optuna, and imported where a search begins, behind `need`.
    searching = {f"seqfuse.search.{name}" for name in ("report", "space", "storage", "study")}
    assert {*failures} == searching, failures
    assert {name.partition(".")[0] for name in failures.values()} <= {*EXTRAS}


def test_nn_offers_every_part_of_a_net() -> None:
    text = "".join(path.read_text() for path in Path(CONF / "model").rglob("*.yaml"))
    parts = set(re.findall(r"_target_: seqfuse\.nn\.[\w.]+\.([A-Z]\w+)", text))
    assert parts - {"Augment"} | {"Net", "Fusion", "Batch", "Output"} == set(nn.__all__)
    assert all(getattr(nn, name).__name__ == name for name in nn.__all__)

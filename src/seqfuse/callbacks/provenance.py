"""Provenance and results of a run, as files in its folder."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.config import runs
from seqfuse.config.checks.groups import CONF, HERE
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError

PACKAGES = (
    "seqfuse",
    "torch",
    "lightning",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "numpy",
    "aeon",
)


class Provenance(Callback):
    """Writes `provenance.json` when training starts and `metrics.json` when a stage ends."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()
        if trainer.is_global_zero:
            path = _path(trainer, "provenance.json")
            _write(path, {"runs": [*_runs(path), _provenance(trainer)]})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        work = {
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "fit_seconds": round(time.perf_counter() - self._start, 3),
        }
        if trainer.is_global_zero:  # what an earlier, shorter run measured no longer holds
            _write(_path(trainer, "metrics.json"), {**_metrics(trainer), **work})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        path = _path(trainer, "metrics.json")
        fitted = files.read_json(path) if path.is_file() else {}
        _write(path, fitted | _metrics(trainer))
        path = _path(trainer, "provenance.json")
        if path.is_file():
            earlier = _runs(path)
            earlier[-1]["data"] = _fingerprints(trainer)
            _write(path, {"runs": earlier})


def _path(trainer: Trainer, name: str) -> Path:
    return Path(trainer.default_root_dir) / name


def _metrics(trainer: Trainer) -> dict[str, float]:
    metrics = runs.metrics(trainer)
    return {**metrics, **runs.num_judged(metrics, trainer)}


def _fingerprints(trainer: Trainer) -> dict[str, str]:
    return dict(trainer.datamodule.splits.fingerprints)  # type: ignore[attr-defined]


def _provenance(trainer: Trainer) -> dict[str, Any]:
    task: Any = trainer.lightning_module
    device = trainer.strategy.root_device
    return {
        "command": command_line(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seed": task.record.config["seed"],
        "found": task.record.found,
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "precision": str(trainer.precision),
        "git": git_state(),
        "package": {"version": _version("seqfuse"), "sha256": package_hash()},
        "data": _fingerprints(trainer),
    }


def _runs(path: Path) -> list[Any]:
    earlier = files.read_json(path).get("runs") if path.is_file() else []
    if not isinstance(earlier, list):
        raise InputError(f"{path} has no list 'runs': remove it, or copy it again")
    return earlier


def command_line() -> str:
    """The command as it was typed, the program's folder left out."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def git_state() -> dict[str, Any]:
    """Commit and whether files differ from it; empty outside a repository."""
    try:
        ask = {"capture_output": True, "text": True, "check": True, "timeout": 10}
        git = ["git", "-c", "core.fsmonitor=false"]  # which would be a program of the folder's
        commit = subprocess.run([*git, "rev-parse", "HEAD"], **ask).stdout.strip()
        # A filter would be such a program, too.
        filters = subprocess.run(
            [*git, "config", "--local", "--get-regexp", r"^filter\."], **{**ask, "check": False}
        ).stdout
        if filters.strip():
            return {"commit": commit, "changed_files": None}
        changed = subprocess.run([*git, "status", "--porcelain"], **ask).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "changed_files": len(changed.splitlines())}


@cache
def package_hash() -> str:
    """SHA-256 of the code and the YAMLs that ran, by name: the same of the same files anywhere."""
    digest = hashlib.sha256()
    for root, pattern in ((HERE, "*.py"), (CONF, "*.yaml")):
        for path in sorted(root.rglob(pattern), key=lambda path: path.relative_to(root).as_posix()):
            if root != CONF and path.is_relative_to(CONF):
                continue
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _write(path: Path, content: dict[str, Any]) -> None:
    files.write(path, json.dumps(content, indent=2) + "\n")

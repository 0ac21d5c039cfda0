"""Mistakes in what an export is asked for, found before torch is imported."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from seqfuse.config.checks.extras import need
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import addresses

OPSETS = range(14, 21)
"""Versions of the ONNX operators that a graph can be written in."""
SPLITS = ("test", "val", "none")
INT8 = (None, False, True, "finetune")


def check_settings(config: Any) -> None:
    """Checks the options of `conf/export.yaml`, and that what writes and runs graphs is there."""
    if not config.output:
        raise InputError("output is empty: type output=<a new folder>")
    check_output(config.output)
    if config.opset not in OPSETS:
        raise InputError(f"opset={config.opset} must be from {OPSETS[0]} to {OPSETS[-1]}")
    if config.int8 not in INT8:
        raise InputError(f"int8={config.int8} must be one of: null, true, finetune")
    if config.split not in SPLITS:
        raise InputError(f"split={config.split} must be one of: {', '.join(SPLITS)}")
    if config.int8 and config.split == "none":
        raise InputError(f"int8={config.int8} is judged by a metric: leave out split=none")
    need("seqfuse-export", "onnx", "onnxruntime", "onnxscript")
    minimum = {"bound": 0, "repeats": 1, "finetune.epochs": 1, "finetune.lr_fraction": 0}
    for key, value in minimum.items():
        given = OmegaConf.select(config, key)
        if not given >= value:
            raise InputError(f"{key}={given} must be at least {value}")


def check_output(name: str | Path) -> None:
    """Raises InputError unless a folder can be written there, at a path or an address."""
    if addresses.is_address(name):
        addresses.check_writable(str(name))
        if not addresses.is_empty(str(name)):
            raise InputError(f"output={name} is not empty: name a new folder")
        return
    output = Path(name)
    if output.resolve() == Path.cwd():
        raise InputError(f"output={output} is the folder you are in: name a new one")
    if output.is_dir() and any(output.iterdir()):
        raise InputError(f"output={output} is not empty: name a new folder")
    if output.exists() and not output.is_dir():
        raise InputError(f"output={output} is a file: name a new folder")

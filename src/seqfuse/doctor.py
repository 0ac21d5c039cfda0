"""seqfuse doctor says what is installed, which devices there are, and where data is looked for.

Usage: seqfuse doctor
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seqfuse.runtime.shown import say

PACKAGES = (
    *("seqfuse", "torch", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard"),
    *("numpy", "pandas", "scikit-learn", "pyarrow", "aeon", "av", "onnx", "onnxruntime", "optuna"),
)
FLAGS = {"avx512_bf16": "bf16", "amx_bf16": "bf16 (AMX)", "avx512_vnni": "VNNI", "avx_vnni": "VNNI"}
"""Flags of a processor, by what they make fast: training in bfloat16, int8 weights."""
GIB = 1024**3


def main() -> None:
    """The command; `seqfuse doctor --help` explains it."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        return say((__doc__ or "").rstrip())
    for name, text in findings():
        say(f"{name:14}{text}")


def findings() -> Iterator[tuple[str, str]]:
    """Name and text of each line."""
    yield "python", f"{platform.python_version()} on {platform.platform(terse=True)}"
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, f"missing: type pip install {name}"
    import torch  # seconds

    from seqfuse.search.devices import cores

    yield "processor", ", ".join([f"{cores()} cores", *_abilities()])

    yield "threads", f"{torch.get_num_threads()} (trainer.num_threads=<n>, or OMP_NUM_THREADS)"
    count = torch.cuda.device_count()
    for number in range(count):
        of = torch.cuda.get_device_properties(number)
        yield f"gpu {number}", f"{of.name}, {of.total_memory / GIB:.0f} GiB: precision=16-mixed"
    if not count:
        mps = torch.backends.mps.is_available()
        yield "gpu", "mps: trainer.accelerator=mps" if mps else "none: trains on the processor"
    yield from _places()


def _abilities() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    abilities = list(dict.fromkeys(text for flag, text in FLAGS.items() if flag in flags))
    return abilities or ["neither bf16 nor VNNI"]


def _places() -> Iterator[tuple[str, str]]:
    """Folders of data and of runs."""
    given = os.environ.get("SEQFUSE_DATA")
    data = Path(given or "data")
    source = "SEQFUSE_DATA" if given else "SEQFUSE_DATA is not set, so here; or paths.data=<folder>"
    if data.is_dir():
        names = sorted(path.name for path in data.iterdir() if path.is_dir())
        yield "data", f"{data} ({source}): {', '.join(names) or 'empty'}"
    else:
        yield "data", f"{data} ({source}): not there; aeon's own sets and your files need none"
    free = shutil.disk_usage(Path.cwd()).free / GIB
    writable = os.access(Path.cwd(), os.W_OK)
    yield (
        "logs",
        f"{Path('logs').absolute()}: {free:.0f} GiB free{'' if writable else ', no right'}",
    )


if __name__ == "__main__":
    main()

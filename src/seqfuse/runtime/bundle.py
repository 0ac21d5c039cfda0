"""An exported folder: its files, checked, and the session that runs its graph."""

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.runtime.array_items import load_arrays
from seqfuse.runtime.errors import InputError

FACTS = "pipeline.json"
GRAPH, GRAPH_INT8 = "model.onnx", "model.int8.onnx"
EXAMPLE = "example.npz"
KINDS_OF_FACTS = {"job": str, "files": dict, "pipeline": dict, "tolerance": float}
TYPES = {
    "tensor(float)": "float32",
    "tensor(bool)": "bool",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
}


def digest(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()


def seal(facts: Mapping[str, Any]) -> str:
    """SHA-256 of facts, but for their seal itself."""
    plain = {key: value for key, value in facts.items() if key != "seal"}
    return digest(json.dumps(plain, sort_keys=True).encode())


def read_facts(folder: Path) -> dict[str, Any]:
    """What `pipeline.json` says, once all files are found to be those that were exported.

    Raises:
        InputError: a file is missing, truncated or changed.
    """
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is no exported folder: it has no {FACTS}") from None
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{path} is truncated or broken: export it again") from None
    _check_facts(facts, path)
    for name, wanted in facts["files"].items():
        try:
            found = digest((folder / name).read_bytes())
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{folder / name} cannot be read ({reason}): export again") from None
        if found != wanted:
            raise InputError(
                f"{folder / name} is truncated or was changed since it was exported: copy the "
                "folder again, or export it again"
            )
    return facts


def _check_facts(facts: Any, path: Path) -> None:
    """Raises InputError unless facts are sealed, and say what every folder must."""
    if not isinstance(facts, dict) or facts.get("seal") != seal(facts):
        raise InputError(f"{path} was changed since it was exported: export it again")
    for key, kind in KINDS_OF_FACTS.items():
        if not isinstance(facts.get(key), kind):
            raise InputError(f"{path} does not say what '{key}' is: export it again")
    for name in facts["files"]:
        if Path(name).name != name or name == "..":
            raise InputError(f"{path} names the file '{name}', which does not lie in its folder")
    for name in (GRAPH, EXAMPLE):
        if name not in facts["files"]:
            raise InputError(f"{path} has no {name} among its 'files': export it again")


def open_session(path: Path, threads: int = 0) -> Any:
    """A session of ONNX Runtime on the CPU; 0 threads leave their number to it.

    Raises:
        InputError: it cannot be opened, or onnxruntime is not there.
    """
    try:
        onnxruntime = import_module("onnxruntime")  # all that is needed beside numpy, and only here
    except ImportError as error:
        reason = " ".join(str(error).split())[:200]
        fix = "type pip install onnxruntime"
        raise InputError(f"onnxruntime cannot be imported ({reason}): {fix}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds have no common base
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be opened by onnxruntime ({reason})") from None


class Bundle:
    """Runs the graph of an exported folder.

    Args:
        folder: that `seqfuse-export` wrote.
        int8: takes the graph with weights in 8 bits.
        threads: of the session; 0 leaves their number to it.

    Raises:
        InputError: a file is missing, truncated or changed.
    """

    def __init__(self, folder: str | Path, int8: bool = False, threads: int = 0):
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        name = GRAPH_INT8 if int8 else GRAPH
        if name not in self.facts["files"]:
            raise InputError(f"{folder} has no {name}: export it with int8=true")
        self.session = open_session(self.folder / name, threads)
        self.inputs = {one.name: one for one in self.session.get_inputs()}

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Prediction and attention weights of a batch.

        Raises:
            InputError: an input is missing, or of another shape or kind.
        """
        for name, wanted in self.inputs.items():
            self._check(name, wanted, feeds)
        prediction, weights = self.session.run(
            ["prediction", "weights"], {name: feeds[name] for name in self.inputs}
        )
        return prediction, weights

    @staticmethod
    def _check(name: str, wanted: Any, feeds: Mapping[str, np.ndarray]) -> None:
        if name not in feeds:
            raise InputError(f"there is no input '{name}' (there are: {', '.join(feeds)})")
        found, kind = feeds[name], TYPES.get(wanted.type, wanted.type)
        fixed = [size for size in wanted.shape if isinstance(size, int)]
        rank = len(wanted.shape)
        same = found.ndim == rank and list(found.shape[rank - len(fixed) :]) == fixed
        if not same or found.dtype != kind:
            shape = ", ".join(str(size) for size in wanted.shape)
            raise InputError(
                f"input '{name}' is {found.dtype} of shape {found.shape}, expected {kind} of "
                f"shape ({shape})"
            )

    def check(self) -> float:
        """The largest difference from the outputs of the example; relative to those above 1.

        Raises:
            InputError: it is too large.
        """
        path = self.folder / EXAMPLE
        example = load_arrays(path)
        for name in ("prediction", "weights"):
            if name not in example:
                raise InputError(f"{path} has no array '{name}' (it has: {', '.join(example)})")
        try:
            found = dict(zip(("prediction", "weights"), self(example), strict=True))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        worst = max(float(difference(found[name], example[name])) for name in found)
        bound = self.facts["tolerance"]
        if not worst <= bound:
            raise InputError(f"{path}: outputs differ by {worst:.2g}, above {bound:g}")
        return worst


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, relative to values above 1; infinite for another shape or NaN."""
    if found.shape != wanted.shape:
        return np.inf
    gap = np.abs(found.astype(np.float64) - wanted) / np.maximum(np.abs(wanted), 1.0)
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))

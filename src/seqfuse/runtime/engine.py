"""Engines, which predict: feeds in, prediction, attention weights and what tells trust out."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

Feeds = Mapping[str, NDArray[Any]]
"""`x` and `mask` of a batch; of several sources `<source>_x` and `<source>_mask` of each, after
`clock_mask`. A source that is missing has neither."""


class Predicted(NamedTuple):
    """A batch as an engine predicts it, in float32."""

    prediction: NDArray[Any]
    """(b ...) calibrated."""
    weights: NDArray[Any]
    """(b q t') of attention."""
    disagreement: NDArray[Any] | None = None
    """(b ...) how far the members of an ensemble are apart; None of one net."""
    distance: NDArray[Any] | None = None
    """(b) of each item from the training items; None where none is measured."""

    def named(self) -> dict[str, NDArray[Any]]:
        """Outputs that the graph has, by name."""
        return {name: each for name, each in self._asdict().items() if each is not None}


OUTPUTS = Predicted._fields
"""Names of a graph's outputs, in their order; it has the first two, and any of the others."""
TYPES = {
    "tensor(float)": "float32",
    "tensor(bool)": "bool",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
}


class Engine(Protocol):
    """A trained net with its calibration."""

    def __call__(self, feeds: Feeds) -> Predicted: ...


def open_session(path: Path, threads: int = 0) -> Any:
    """A session of ONNX Runtime on the CPU; 0 threads leave their number to it."""
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


class OnnxEngine:
    """The graph of an exported folder, run by ONNX Runtime on the CPU, as by `open_session`."""

    def __init__(self, path: Path, threads: int = 0):
        self.session = open_session(path, threads)
        self.inputs = {given.name: given for given in self.session.get_inputs()}
        names = {output.name for output in self.session.get_outputs()}
        self.outputs = [name for name in OUTPUTS if name in names]

    def __call__(self, feeds: Feeds) -> Predicted:
        feeds = self._filled(feeds)
        for name, wanted in self.inputs.items():
            self._check(name, wanted, feeds)
        arrays = self.session.run(self.outputs, {name: feeds[name] for name in self.inputs})
        return Predicted(**dict(zip(self.outputs, arrays, strict=True)))

    def _filled(self, feeds: Feeds) -> Feeds:
        """Feeds with one step, masked, for each source that is missing."""
        sources = {name.removesuffix("_x") for name in self.inputs if name.endswith("_x")}
        missing = [name for name in sources if f"{name}_mask" not in feeds]
        if not missing or "clock_mask" not in feeds:
            return feeds
        filled, items = dict(feeds), len(feeds["clock_mask"])
        for name in missing:
            wanted = self.inputs[f"{name}_x"]
            shape = (items, 1, *wanted.shape[2:])
            filled[f"{name}_x"] = np.zeros(shape, dtype=TYPES[wanted.type])
            filled[f"{name}_mask"] = np.zeros((items, 1), dtype=bool)
        return filled

    @staticmethod
    def _check(name: str, wanted: Any, feeds: Feeds) -> None:
        if name not in feeds:
            raise InputError(f"there is no input '{name}' (there are: {', '.join(feeds)})")
        given, kind = feeds[name], TYPES.get(wanted.type, wanted.type)
        fixed = [size for size in wanted.shape if isinstance(size, int)]
        rank = len(wanted.shape)
        same = given.ndim == rank and list(given.shape[rank - len(fixed) :]) == fixed
        if not same or given.dtype != kind:
            shape = ", ".join(str(size) for size in wanted.shape)
            raise InputError(
                f"input '{name}' is {given.dtype} of shape {given.shape}, expected {kind} of "
                f"shape ({shape})"
            )


MAGNIFIED = {"distance": 100.0}
"""Outputs that magnify the rounding of others: a distance whitens encodings, whose variance in some
direction may be a ten-thousandth of the mean (`tasks.calibration.LEAST_VARIANCE`)."""


def difference(name: str, found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference of an output, relative to values above 1, and to `MAGNIFIED`.

    Infinite for another shape or NaN.
    """
    if found.shape != wanted.shape:
        return np.inf
    gap = np.abs(found.astype(np.float64) - wanted) / np.maximum(np.abs(wanted), 1.0)
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)) / MAGNIFIED.get(name, 1.0)

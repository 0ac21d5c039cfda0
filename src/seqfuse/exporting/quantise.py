"""Weights in 8 bits, activations rounded as they come (dynamic quantisation)."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPERATORS = ("LSTM", "MatMul", "Gather")
"""Convolutions stay: their whole-number kernels are slower on a CPU than those of floats."""


def write_int8(source: Path, target: Path) -> None:
    """Writes a graph whose LSTMs, linear layers and embeddings have whole-number weights.

    It measures no distance from training items: their encodings were not rounded.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            _without_distance(source),
            str(target),
            op_types_to_quantize=list(OPERATORS),
            weight_type=QuantType.QInt8,
        )


def _without_distance(source: Path) -> Any:
    """The path of a graph; where it measures a distance, the graph without what that takes."""
    import onnx
    from onnx.utils import Extractor

    graph = onnx.load(str(source))
    inputs, outputs = ([e.name for e in part] for part in (graph.graph.input, graph.graph.output))
    kept = [name for name in outputs if name != "distance"]
    return str(source) if kept == outputs else Extractor(graph).extract_model(inputs, kept)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without its advice about steps that were taken already, or are not needed."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)

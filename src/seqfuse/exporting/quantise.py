"""Weights in 8 bits, activations rounded as they come (dynamic quantisation)."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OPERATORS = ("LSTM", "MatMul", "Gather")
"""Convolutions stay: their whole-number kernels are slower on a CPU than those of floats."""


def write_int8(source: Path, target: Path) -> None:
    """Writes a graph whose LSTMs, linear layers and embeddings have whole-number weights."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=list(OPERATORS),
            weight_type=QuantType.QInt8,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without its advice about steps that were taken already, or are not needed."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)

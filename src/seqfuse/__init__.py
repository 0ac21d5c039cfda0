"""seqfuse: a PyTorch Lightning research template around one network, LSTM-CNN-Attention."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqfuse.predictions.predictor import Forecaster, Predictor, load

__version__ = version("seqfuse")
__all__ = ["Forecaster", "Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports torch only when something is loaded."""
    if name in ("Forecaster", "Predictor", "load"):
        from seqfuse.predictions import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module 'seqfuse' has no attribute '{name}'")

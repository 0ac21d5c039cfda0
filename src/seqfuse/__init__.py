"""seqfuse: a PyTorch Lightning research template around one network, LSTM-CNN-Attention."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqfuse.loading import load

__version__ = version("seqfuse")
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports torch only when something is loaded."""
    if name == "load":
        from seqfuse.loading import load

        return load
    raise AttributeError(f"module 'seqfuse' has no attribute '{name}'")

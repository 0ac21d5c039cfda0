"""seqfuse: a PyTorch Lightning research template around one network, LSTM-CNN-Attention."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqfuse.estimators.items import Classifier, Regressor
    from seqfuse.estimators.loading import load
    from seqfuse.estimators.net import build
    from seqfuse.estimators.tables import Detector, Forecaster, Imputer
    from seqfuse.fetching.hub import push_to_hub

__version__ = version("seqfuse")
__all__ = [
    "Classifier",
    "Detector",
    "Forecaster",
    "Imputer",
    "Regressor",
    "__version__",
    "build",
    "load",
    "push_to_hub",
]
_HOMES = {
    "Classifier": "seqfuse.estimators.items",
    "Detector": "seqfuse.estimators.tables",
    "Forecaster": "seqfuse.estimators.tables",
    "Imputer": "seqfuse.estimators.tables",
    "Regressor": "seqfuse.estimators.items",
    "build": "seqfuse.estimators.net",
    "load": "seqfuse.estimators.loading",
    "push_to_hub": "seqfuse.fetching.hub",
}
"""Modules that names come from; torch is imported only when one is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seqfuse' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> "list[str]":
    return [*__all__]  # `list` is a module here, once the command of that name was imported

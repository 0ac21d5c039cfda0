"""Libraries that not everybody has: an extra of ours brings each, and a line names it."""

from importlib import import_module

from seqfuse.runtime.errors import InputError

EXTRAS = {
    "aeon": "archive",
    "hydra_plugins.hydra_joblib_launcher": "cluster",
    "huggingface_hub": "hub",
    "hydra_plugins.hydra_submitit_launcher": "cluster",
    "mlflow": "mlflow",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "optuna": "search",
    "psycopg": "postgres",
    "ray": "ray",
    "safetensors": "hub",
    "sqlalchemy": "search",
    "trackio": "trackio",
    "wandb": "wandb",
}
"""Extra of each library; those that read files of a kind are named by the readers in `runtime`,
which stand alone in an exported folder."""


def need(use: str, *modules: str) -> None:
    """Checks that modules of `EXTRAS` can be imported; `use` says what they are for."""
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{use} needs what is not installed ({reason}): "
                f"type pip install 'seqfuse[{EXTRAS[module]}]'"
            ) from None

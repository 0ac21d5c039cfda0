"""The best validation of a run, as a metric of its own."""

from lightning.pytorch import Trainer


def metrics(trainer: Trainer) -> dict[str, float]:
    """What was logged last, by name, and under `best/<monitor>` the best of what decides."""
    last = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return last | best(trainer)


def best(trainer: Trainer) -> dict[str, float]:
    """`best/<monitor>` of the checkpoint that is kept; empty before one is."""
    kept = trainer.checkpoint_callback
    monitor, score = getattr(kept, "monitor", None), getattr(kept, "best_model_score", None)
    return {} if monitor is None or score is None else {f"best/{monitor}": float(score)}

"""Averages of the weights."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging


class Average(EMAWeightAveraging):
    """Lightning's moving average; the net takes it over behind the last checkpoint.

    Lightning does so before, and that checkpoint would go on from the average.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        return None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)

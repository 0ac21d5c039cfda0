"""The part of a net that a rank holds."""

import json
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.distributed.tensor import DTensor


class Held(Callback):
    """Keeps which part of the weights, and of the optimizer's states, a rank holds."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        states = [of for o in trainer.optimizers for of in o.state.values()]
        tensors = [*pl_module.parameters(), *(of["exp_avg"] for of in states)]
        assert all(isinstance(tensor, DTensor) for tensor in tensors)
        held: int = sum(tensor.to_local().numel() for tensor in tensors)  # type: ignore[union-attr]
        root = Path(trainer.strategy.broadcast(trainer.default_root_dir))
        part = held / sum(tensor.numel() for tensor in tensors)
        (root / f"held-{trainer.global_rank}.json").write_text(json.dumps(part))

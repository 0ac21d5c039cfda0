"""Training whose weights, gradients and optimizer states are sharded over the ranks (FSDP2)."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from seqfuse.compat.lightning import FullySharded
from seqfuse.ddp.strategy import Ranks, patience
from seqfuse.nn import collectives
from seqfuse.nn.net import Net
from seqfuse.tasks.base import Task

UNITS = ("stem", "cnn", "lstm", "attention", "skip", "head", "autoregression")
"""Parts of a net that are made whole one after the other, as each is called by its `forward`; all
others are whole from the first step of a forward to the last step of its backward."""


class Fsdp(Ranks, FullySharded):
    """One process per device; each holds a shard of all weights and of what belongs to them.

    The ranks share every batch, as in `Ddp`. A part of the net is whole while it is at work alone
    (Zhao et al. 2023; torch's `fully_shard`). Tensors are cut along their first dimension: those
    that have fewer rows than there are ranks lie on the first of them.

    A checkpoint is that of one process: rank 0 gathers it, and any number of ranks goes on from it.

    Args:
        start_method: `popen` starts the command again for each device, unless torchrun or Slurm
            has.
        num_threads: CPU threads of each process; None shares the cores out.
        timeout: seconds that a rank waits for the others, at the start and in each step.
    """

    def __init__(
        self,
        start_method: Literal["popen"] = "popen",
        num_threads: int | None = None,
        timeout: float = 1800.0,
    ):
        if start_method != "popen":
            raise ValueError(f"start_method={start_method} must be popen")
        self.patience = patience(timeout)
        super().__init__(self.patience)
        self.num_threads = num_threads

    def shard(self) -> None:
        assert isinstance(self.lightning_module, Task)
        self.lightning_module.shard_net(self._shard)

    def _shard(self, net: nn.Module) -> None:
        """Leaves this rank its shard of a net, whose weights are those of rank 0."""
        # Of outputs that are views, which nothing of ours writes into.
        warnings.filterwarnings("ignore", ".*FSDP2-wrapped module .* returned a view tensor.*")
        mesh = self.device_mesh["data_parallel"]
        parts = [getattr(net, name) for name in UNITS] if isinstance(net, Net) else []
        for part in (*(part for part in parts if part is not None), net):
            part.to(self.root_device)
            for tensor in (*part.parameters(), *part.buffers()):
                if not isinstance(tensor, DTensor):
                    torch.distributed.broadcast(tensor.detach(), src=0)
            if any(not isinstance(p, DTensor) for p in part.parameters()):
                fully_shard(part, mesh=mesh)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """All weights, gathered on rank 0; of the others none."""
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of an optimizer of whole weights, gathered on rank 0."""
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer.optimizer
        state = optimizer.state_dict()
        return {**state, "state": {i: self._gathered(of) for i, of in state["state"].items()}}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, whole in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            shards = [p for group in optimizer.param_groups for p in group["params"]]
            states = {
                i: {name: _like(value, shards[i]) for name, value in of.items()}
                for i, of in whole["state"].items()
            }
            fused = [group.get("fused") for group in optimizer.param_groups]
            optimizer.load_state_dict({**whole, "state": states})
            for group, ours in zip(optimizer.param_groups, fused, strict=True):
                if "fused" in group:
                    group["fused"] = ours

    def _gathered(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Whole tensors on the CPU, on rank 0 alone; one is whole at a time on the others."""
        gathered = {}
        for name, value in tensors.items():
            whole = collectives.whole(value) if isinstance(value, Tensor) else value
            if self.is_global_zero:
                gathered[name] = whole.cpu() if isinstance(value, DTensor) else whole
        return gathered


def _like(value: Any, shard: Tensor | None) -> Any:
    """The shard of a whole tensor that this rank has of a parameter; other values as they are."""
    if not isinstance(shard, DTensor) or not isinstance(value, Tensor):
        return value
    if value.shape != shard.shape:  # such as a count of steps; or a net of other sizes
        return value
    value = value.to(shard.device)
    return distribute_tensor(value, shard.device_mesh, shard.placements, src_data_rank=None)

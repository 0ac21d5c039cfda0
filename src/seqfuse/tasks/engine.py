"""A trained task on the device and in the precision of a trainer: its predictions, calibration."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch import Tensor, nn

from seqfuse.data.module import DataModule
from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import Batch, Output
from seqfuse.nn.stems import WordStem
from seqfuse.runtime.batches import input_name
from seqfuse.runtime.engine import Feeds, Predicted
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import Temperature, between
from seqfuse.tasks.ensemble import Ensemble

BATCH = 64
"""Items at a time, while something is fitted."""


class TorchEngine:
    """The net and the calibration of a task, as the test step sees them.

    Args:
        task: put into eval mode, on the device.
        trainer: chooses device and precision; without one, the CPU and 32 bits.
    """

    def __init__(self, task: Task, trainer: Trainer | None = None):
        self.device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
        self.context = (
            contextlib.nullcontext if trainer is None else trainer.precision_plugin.forward_context
        )
        self.task = task.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, feeds: Feeds) -> Predicted:
        with self.context():
            output = self.task(*_inputs(self._tensors(feeds)))
            named = {
                "prediction": self.task.calibrate(output.prediction),
                "weights": output.weights,
                "disagreement": output.disagreement,
                "distance": self.task.distance(output),
            }
        arrays = {n: e.float().cpu().numpy() for n, e in named.items() if e is not None}
        return Predicted(**arrays)

    def along(
        self,
        feeds: Feeds,
        baselines: Feeds,
        places: NDArray[np.floating],
        slope: Callable[[NDArray[Any]], NDArray[np.floating]],
    ) -> tuple[NDArray[Any], Mapping[str, NDArray[Any]]]:
        """Predictions on paths, and the growth of scores (see `Differentiable`), in 32 bits.

        Words, which are numbers of a vocabulary, have paths of their vectors, from zero on. Of a
        net that is joined to a bank of convolutions, which has no gradients, it is the net alone.
        """
        if any(bank.share == 1 for bank in self._banks):
            raise InputError(
                "method=gradients: a bank of convolutions alone has none: type method=occlusion"
            )
        ends, starts = self._tensors(feeds), self._tensors(baselines)
        place = torch.from_numpy(places).float().to(self.device)
        steps, points = {}, {}
        for name in starts:
            if ends[name].dtype == torch.int32:
                continue
            scale = 1 / 255 if ends[name].dtype == torch.uint8 else 1.0
            start, end = (tensor.float() * scale for tensor in (starts[name], ends[name]))
            steps[name] = end - start
            at = place.reshape(-1, *(1,) * (start.dim() - 1))
            points[name] = (start + at * steps[name]).requires_grad_()
        words: dict[str, list[tuple[Tensor, Tensor]]] = {}
        # cuDNN has the gradient of an LSTM in training alone.
        with self._scaled(place, words), torch.backends.cudnn.flags(enabled=False):
            values = _inputs(ends | points)
            if self.has_bank:
                prediction, _ = self.task.net.scores(*values)  # type: ignore[operator]
            else:
                prediction = self.task.calibrate(self.task(*values).prediction)
        numbers = prediction.detach().float().cpu().numpy()
        slopes = torch.from_numpy(slope(numbers)).to(prediction)
        vectors = [pair for pairs in words.values() for pair in pairs]
        leaves = [*points.values(), *(point for point, _ in vectors)]
        found = torch.autograd.grad(prediction, leaves, slopes, allow_unused=True)
        gradients = [torch.zeros_like(leaf) if g is None else g
                     for leaf, g in zip(leaves, found, strict=True)]  # fmt: skip
        growth = {n: g * steps[n] for n, g in zip(points, gradients, strict=False)}
        rest = iter(gradients[len(points) :])
        for name, pairs in words.items():
            each = [(next(rest) * vector).sum(dim=2) for _, vector in pairs]
            growth[name] = torch.stack(each).sum(dim=0)
        return numbers, {name: each.float().cpu().numpy() for name, each in growth.items()}

    @property
    def has_bank(self) -> bool:
        """Whether the prediction of a net is joined to that of a bank of convolutions."""
        return bool(self._banks)

    @property
    def _banks(self) -> list[Bank]:
        return [part for part in self.task.net.modules() if isinstance(part, Bank)]

    def _tensors(self, feeds: Feeds) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array).to(self.device) for name, array in feeds.items()}

    @contextlib.contextmanager
    def _scaled(
        self, place: Tensor, words: dict[str, list[tuple[Tensor, Tensor]]]
    ) -> Iterator[None]:
        """Multiplies the vectors of words by a place, and keeps the products and the vectors."""

        def hook_for(name: str) -> Callable[..., Any]:
            def hook(stem: nn.Module, given: Any, made: Any) -> Any:
                vectors = made[0].detach()
                point = (place.reshape(-1, 1, 1) * vectors).requires_grad_()
                words.setdefault(name, []).append((point, vectors))
                return point, made[1]

            return hook

        with contextlib.ExitStack() as hooks:
            for path, part in self.task.net.named_modules():
                if isinstance(part, WordStem):
                    _, _, inside = path.rpartition("sources.")
                    source = inside.partition(".")[0] if "sources." in path else ""
                    handle = part.register_forward_hook(hook_for(input_name(source, "x")))
                    hooks.callback(handle.remove)
            yield


def _inputs(tensors: Mapping[str, Tensor]) -> tuple[Any, Any]:
    """x and mask, or of several sources both by name."""
    if "x" in tensors:
        return tensors["x"], tensors["mask"]
    x, mask = (
        {n.removesuffix(kind): t for n, t in tensors.items() if n.endswith(kind)}
        for kind in ("_x", "_mask")
    )
    return x, mask


def calibrate(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits what is fitted when training has ended: temperature and familiarity.

    Args:
        task: with its final weights.
        data: set up.
        trainer: chooses device and precision.

    Returns:
        whether there was anything to fit.
    """
    task.eval().to(trainer.strategy.root_device)
    return any([_scale(task, data, trainer), _acquaint(task, data, trainer)])


def _acquaint(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits distances to training items, and to what is held out; of whole items alone."""
    familiarity = task.familiarity
    if familiarity is None or data.splits.metadata()["job"] not in ("classes", "labels", "numbers"):
        return False
    parts = []
    for split in ("train", "calibration" if data.splits.calibrates_apart else "val"):
        if split == "val" and not data.splits.has_validation:
            continue
        items = data.tensors(split)
        draw = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(items), generator=draw)[: familiarity.max_items]
        batches = _batches(items, rows)
        queries = [_outputs(task, trainer, batch).encoding for batch in batches]
        encodings = torch.cat([each.flatten(1).float().cpu() for each in queries])  # type: ignore[union-attr]
        parts.append((encodings, torch.cat([batch.y for batch in batches])))
    (encodings, y), *held_out = parts
    familiarity.fit(encodings, y, *(others for others, _ in held_out))
    return familiarity.is_fitted


def _scale(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits the temperature of a task; False where it has none, or nothing to fit it to.

    To the calibration part, where one is held out that chose no checkpoint. Else, of a net with a
    bank, to the training rows (see `Bank.soften` and `tasks.calibration.between`).
    """
    if not isinstance(task.calibrator, Temperature):
        return False
    bank = task.net.bank if isinstance(task.net, (Net, Ensemble)) else None
    if data.splits.calibrates_apart:
        items = data.tensors("calibration")
        batches = _batches(items, torch.arange(len(items)))
        predictions = [_outputs(task, trainer, batch).prediction.float().cpu() for batch in batches]
        task.calibrator.fit(predictions, [batch.y for batch in batches])
    elif isinstance(bank, Bank):
        items = data.tensors("train")
        rows, left_out = task.left_out(bank, items)
        batches = _batches(items, rows)
        net = torch.cat([_outputs(task, trainer, b).alone["net"].float().cpu() for b in batches])
        y = torch.cat([batch.y for batch in batches])
        if isinstance(task.net, Net):  # several nets, on average, are surer with more reason
            bank.soften(net, left_out, y)
        temperature = between(bank.join, net, left_out, y, task.calibrator)
        task.calibrator.set(temperature, len(y))
    return task.calibrator.is_fitted


def _batches(items: Any, rows: Tensor) -> list[Batch]:
    return [items.__getitems__(part.tolist()) for part in rows.split(BATCH)]


@torch.no_grad()
def _outputs(task: Task, trainer: Trainer, batch: Batch) -> Output:
    """Output for a batch, before calibration."""
    x, mask = task.transfer_batch_to_device((batch.x, batch.mask), task.device, 0)
    with trainer.precision_plugin.forward_context():
        return task.net(x, mask)

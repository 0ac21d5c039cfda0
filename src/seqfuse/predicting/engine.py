"""A trained model on a device and in a precision: its predictions and their gradients."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.stems import WordStem
from seqfuse.predicting.model import Model
from seqfuse.runtime.batches import input_name
from seqfuse.runtime.engine import Feeds, Predicted
from seqfuse.runtime.errors import InputError

Context = Callable[[], AbstractContextManager[Any]]
MIXED = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
"""Types of numbers by precision; in every other a model predicts in 32 bits."""
SHORT = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
PRECISIONS = ("16-mixed", "bf16-mixed", "32-true", "64-true", "16-true", "bf16-true")


def place(trainer: Mapping[str, Any], precision: str) -> tuple[torch.device, Context]:
    """The one device of a trainer's section, and the context of its precision, which is no
    `auto`."""
    precision = SHORT.get(precision, precision)
    if precision not in PRECISIONS:
        names = ", ".join(PRECISIONS)
        raise InputError(f"trainer.precision={precision} must be one of: auto, {names}")
    device = _device(trainer["accelerator"], trainer["devices"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if trainer.get("deterministic"):
        warns = trainer["deterministic"] == "warn"
        torch.use_deterministic_algorithms(True, warn_only=warns)
    if precision in MIXED:
        return device, partial(torch.autocast, device.type, dtype=MIXED[precision])
    return device, contextlib.nullcontext


def _device(accelerator: str, devices: Any) -> torch.device:
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        numbers = devices.split(",") if isinstance(devices, str) and "," in devices else devices
        return torch.device("cuda", int(numbers[0]) if isinstance(numbers, list) else 0)
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    if accelerator == "mps":
        raise InputError("trainer.accelerator=mps: torch finds no such GPU here: type trainer=cpu")
    return torch.device("cpu")


class TorchEngine:
    """The net and the calibration of a model, as the test step sees them, in eval mode on a device.

    `context` makes the context of a call, which sets its precision; 32 bits without one.
    """

    def __init__(
        self,
        model: Model,
        device: torch.device | str = "cpu",
        context: Context = contextlib.nullcontext,
    ):
        self.device, self.context = torch.device(device), context
        self.model = model.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, feeds: Feeds) -> Predicted:
        with self.context():
            output = self.model(*_inputs(self._tensors(feeds)))
            named = {
                "prediction": self.model.calibrate(output.prediction),
                "weights": output.weights,
                "disagreement": output.disagreement,
                "distance": self.model.distance(output),
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
                prediction, _ = self.model.net.scores(*values)  # type: ignore[operator]
            else:
                prediction = self.model.calibrate(self.model(*values).prediction)
        numbers = prediction.detach().float().cpu().numpy()
        slopes = torch.from_numpy(slope(numbers)).to(prediction)
        vectors = [pair for pairs in words.values() for pair in pairs]
        leaves = [*points.values(), *(point for point, _ in vectors)]
        grads = torch.autograd.grad(prediction, leaves, slopes, allow_unused=True)
        gradients = [torch.zeros_like(leaf) if g is None else g
                     for leaf, g in zip(leaves, grads, strict=True)]  # fmt: skip
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
        return [part for part in self.model.net.modules() if isinstance(part, Bank)]

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
            for path, part in self.model.net.named_modules():
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

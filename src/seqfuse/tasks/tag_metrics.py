"""Metrics of tags: one class per step."""

from collections.abc import Sequence

import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from seqfuse.nn.chain import decode
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.labels import NO_LABEL


class TokenAccuracy(MulticlassAccuracy):
    """The share of labelled steps whose best tag is right."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="micro")

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(*_labelled(preds, target))


class TokenMacroF1(MulticlassF1Score):
    """The mean over tags of F1 of labelled steps."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="macro")

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(*_labelled(preds, target))


class EntityF1(Metric):
    """F1 of whole spans, micro-averaged over types, by seqeval's reading of BIO tags.

    A span is right where its type and both of its ends are (Tjong Kim Sang & De Meulder 2003).

    Args:
        classes: names of the tags; of each type there is a B- or an I-.

    Raises:
        InputError: the names are no BIO tags.
    """

    right: Tensor
    predicted: Tensor
    true: Tensor

    def __init__(self, classes: Sequence[str]):
        super().__init__()
        check_bio(classes)
        self.classes = list(classes)
        for name in ("right", "predicted", "true"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        mask = target != NO_LABEL
        found = decode(preds, mask)
        for tags, truth, real in zip(found, target, mask, strict=True):
            ours, theirs = self._spans(tags[real]), self._spans(truth[real])
            self.right += len(ours & theirs)
            self.predicted += len(ours)
            self.true += len(theirs)

    def _spans(self, tags: Tensor) -> set[tuple[str, int, int]]:
        return set(get_entities([self.classes[i] for i in tags.tolist()]))

    def compute(self) -> Tensor:
        return 2 * self.right / (self.predicted + self.true).clamp(min=1)


def check_bio(classes: Sequence[str]) -> None:
    """Raises InputError unless the tags are `O`, `B-<type>` and `I-<type>`."""
    strange = [name for name in classes if name != "O" and name[:2] not in ("B-", "I-")]
    if strange:
        raise InputError(
            f"the tag '{strange[0]}' is not O, B-<type> or I-<type>: for other tags than BIO type "
            "task=tagging"
        )


def _labelled(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    mask = target != NO_LABEL
    return decode(preds, mask)[mask], target[mask]

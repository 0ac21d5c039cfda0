"""Deep ensembles (Lakshminarayanan et al. 2017): nets trained apart that predict as one."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.net import Net, Raw, Steps
from seqfuse.nn.shapes import Fitted, Output


@runtime_checkable
class Average(Protocol):
    """How the predictions of members (m b ...) become one, and how far they are apart."""

    def join(self, predictions: Tensor) -> Tensor:
        """(b ...) One prediction, of the kind that each member gives."""
        ...

    def disagreement(self, predictions: Tensor) -> Tensor:
        """(b ...) 0 where all members say the same; the higher, the further they are apart."""
        ...


class ClassAverage:
    """The mean of the members' probabilities, as its logarithm: of items, or of each step.

    Disagreement is the mutual information of class and member in nats: the entropy of the mean
    less the mean of the entropies (Houlsby et al. 2011; Depeweg et al. 2018). It is at most the
    logarithm of the number of members.
    """

    def join(self, predictions: Float[Tensor, "m b *t k"]) -> Float[Tensor, "b *t k"]:
        return _log_mean(predictions.log_softmax(dim=-1))

    def disagreement(self, predictions: Float[Tensor, "m b *t k"]) -> Float[Tensor, "b *t"]:
        return _information(predictions.log_softmax(dim=-1))


class LabelAverage:
    """The mean of the members' probabilities of each label, as log-odds.

    Disagreement is the mutual information of label and member, the mean over labels.
    """

    def join(self, predictions: Float[Tensor, "m b k"]) -> Float[Tensor, "b k"]:
        return _log_mean(F.logsigmoid(predictions)) - _log_mean(F.logsigmoid(-predictions))

    def disagreement(self, predictions: Float[Tensor, "m b k"]) -> Float[Tensor, " b"]:
        both = torch.stack([predictions, -predictions], dim=-1)
        return _information(F.logsigmoid(both)).mean(dim=-1)


class NumberAverage:
    """The mean of each output: of quantiles a quantile again (Lichtendahl et al. 2013).

    Disagreement is the standard deviation over members of the middle output, the median.
    """

    def join(self, predictions: Float[Tensor, "m b *s p"]) -> Float[Tensor, "b *s p"]:
        return predictions.mean(dim=0)

    def disagreement(self, predictions: Float[Tensor, "m b *s p"]) -> Float[Tensor, "b *s"]:
        middle = predictions[..., predictions.shape[-1] // 2]
        return (middle - middle.mean(dim=0)).square().mean(dim=0).sqrt()


def _log_mean(logs: Float[Tensor, "m *b"]) -> Float[Tensor, "*b"]:
    return logs.logsumexp(dim=0) - math.log(len(logs))


def _information(logs: Float[Tensor, "m *b k"]) -> Float[Tensor, "*b"]:
    """Mutual information of log-probabilities: the mean divergence of members from their mean."""
    divergence = logs.exp() * (logs - _log_mean(logs))
    return divergence.sum(dim=-1).mean(dim=0).clamp(min=0)


class Ensemble(nn.Module):
    """Nets of one kind, each with weights of its own, as one net that is trained no further.

    The prediction of a bank, one for all, is joined to those of each member, which has none itself.
    """

    def __init__(self, members: Sequence[Net], average: Average, bank: Fitted | None = None):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.average = average
        self.bank = bank

    def forward(self, x: Raw, mask: Steps) -> Output:
        predictions, weights, queries = self._each(x, mask)
        alone: dict[str, Tensor] = {}
        if self.bank is not None:
            known = self.bank(x, mask)  # type: ignore[arg-type]
            alone = {"net": self.average.join(predictions), "bank": known}
            predictions = torch.stack([self.bank.join(scores, known) for scores in predictions])
        disagreement = self.average.disagreement(predictions)
        return Output(self.average.join(predictions), weights, alone, disagreement, queries)

    def scores(self, x: Raw, mask: Steps) -> tuple[Tensor, Tensor]:
        """Prediction and attention weights of all members, without a bank."""
        predictions, weights, _ = self._each(x, mask)
        return self.average.join(predictions), weights

    def _each(self, x: Raw, mask: Steps) -> tuple[Float[Tensor, "m b ..."], Tensor, Tensor]:
        """Predictions of the members, the mean of their attention weights, and all queries."""
        outputs = [net(x, mask) for net in self.members]
        weights = torch.stack([output.weights for output in outputs]).mean(dim=0)
        queries = torch.cat([output.encoding for output in outputs], dim=-1)
        return torch.stack([output.prediction for output in outputs]), weights, queries

    def encode(self, x: Raw, mask: Steps) -> tuple[Tensor, Tensor]:
        """Queries (b q d) of all members side by side, and the mean of attention weights."""
        queries, weights = zip(*(net.encode(x, mask) for net in self.members), strict=True)  # type: ignore[operator]
        return torch.cat(queries, dim=-1), torch.stack(weights).mean(dim=0)

    @property
    def stride(self) -> int:
        return self.members[0].stride  # type: ignore[return-value]

"""What a student learns from the outputs of its teachers, beside the labels.

Each maps the student's prediction, the teachers' outputs and the labels to a scalar, the mean over
what `losses` take the mean over: series, labelled steps, or observed targets.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn import chain
from seqfuse.runtime.labels import NO_LABEL
from seqfuse.tasks.losses import mean_over

TINY = 1e-9
"""The least probability of a tag of a chain, so that it has a logarithm."""


class SoftTargets(nn.Module):
    """T² KL(teachers ‖ student), both softened by a temperature T (Hinton et al. 2015, section 2).

    T² keeps gradients about as large at every T. Several teachers are one: the mean of their
    softened probabilities. Of chains, it is the probabilities of each step's tags.

    Args:
        temperature: above 0; scores are divided by it.

    Raises:
        ValueError: it is not.
    """

    def __init__(self, temperature: float = 4.0):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        self.temperature = temperature

    def forward(
        self, prediction: Tensor, outputs: Sequence[Tensor], y: Tensor
    ) -> Float[Tensor, ""]:
        """Scores (b k), (b t k) or, of a chain, (b t k k), and labels (b) or (b t)."""
        labelled = y != NO_LABEL
        each = [self._softened(output, labelled).exp() for output in outputs]
        wanted = torch.stack(each).mean(dim=0)
        found = self._softened(prediction, labelled)
        divergence = F.kl_div(found, wanted, reduction="none").sum(dim=-1)
        return self.temperature**2 * mean_over(divergence, labelled)

    def items(self, y: Tensor) -> Tensor:
        """What the mean is taken over: labelled series or steps."""
        return (y != NO_LABEL).sum()

    def _softened(self, scores: Tensor, labelled: Tensor) -> Tensor:
        """Logarithms of softened probabilities."""
        scores = scores.float() / self.temperature
        if scores.dim() < 4:
            return scores.log_softmax(dim=-1)
        return chain.marginals(scores, labelled).clamp(min=TINY).log()


class SameOutputs(nn.Module):
    """The mean absolute distance of forecasts from the mean of the teachers'."""

    def forward(
        self,
        prediction: Float[Tensor, "b h k p"],
        outputs: Sequence[Float[Tensor, "b h k p"]],
        y: Float[Tensor, "b h k"],
    ) -> Float[Tensor, ""]:
        wanted = torch.stack(list(outputs)).mean(dim=0)
        return mean_over((prediction - wanted).abs().mean(dim=-1), ~y.isnan())

    def items(self, y: Float[Tensor, "b h k"]) -> Tensor:
        """What the mean is taken over: observed targets."""
        return (~y.isnan()).sum()

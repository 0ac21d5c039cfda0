"""Losses that tell what two views of a series share from what other series, or steps, have.

Each maps the features of both views (b q p) and where they are real (b q) to a scalar. The others
that a view is told from are those of its batch, on several devices those of its own share.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.checks import fraction
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.losses import mean_over

LOW = -1e9
"""Instead of minus infinity: rows that do not count may have nothing else."""


class NtXent(nn.Module):
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, equation 1).

    Each view has to find its twin among all other views of the batch, by cosine.

    Args:
        temperature: above 0; the lower, the more the nearest others count.

    Raises:
        ValueError: it is not.
    """

    def __init__(self, temperature: float = 0.2):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        self.temperature = temperature

    def forward(
        self,
        one: Float[Tensor, "b q p"],
        two: Float[Tensor, "b q p"],
        real: Bool[Tensor, "b t"],
    ) -> Float[Tensor, ""]:
        root = self.temperature**0.5  # of which both factors of a product have one
        one, two = (F.normalize(view.float().flatten(1)).unsqueeze(0) / root for view in (one, two))
        return contrast(one, two, torch.ones_like(one[..., 0], dtype=torch.bool))


class ScaleContrast(nn.Module):
    """Contrast at every scale of time (Yue et al. 2022, TS2Vec, section 3.3).

    A step of one view has to find itself in the other view, among the steps of its series and
    among the same steps of other series. Then pairs of steps become one, by their maximum, and so
    on until a series is one step; the loss is the mean over scales.

    Args:
        series: share of the contrast with other series; that with other steps has the rest.

    Raises:
        ValueError: it is not at least 0 and below 1.
        InputError: the features are not those of steps.
    """

    def __init__(self, series: float = 0.5):
        super().__init__()
        fraction(series=series)
        self.series = series

    def forward(
        self,
        one: Float[Tensor, "b q p"],
        two: Float[Tensor, "b q p"],
        real: Bool[Tensor, "b q"],
    ) -> Float[Tensor, ""]:
        if not one.shape[1] == two.shape[1] == real.shape[1]:
            raise InputError(
                "steps are compared one by one, but this net does not keep them: type "
                "model/attention=steps, and model.cnn.pool=1 where it pools"
            )
        one, two, losses = one.float(), two.float(), []
        while True:
            left, right = (rearrange(view, "b q p -> q b p") for view in (one, two))
            loss = self.series * contrast(left, right, real.T)
            if one.shape[1] > 1:
                loss = loss + (1 - self.series) * contrast(one, two, real)
            losses.append(loss)
            if one.shape[1] == 1:
                return torch.stack(losses).mean()
            one, two, real = _halved(one, real), _halved(two, real), _any_of_two(real)


def contrast(
    one: Float[Tensor, "g n p"], two: Float[Tensor, "g n p"], real: Bool[Tensor, "g n"]
) -> Float[Tensor, ""]:
    """Cross-entropy of each item's twin among the 2n - 1 others of its group, by dot product.

    Args:
        one: n items in each of g groups.
        two: their twins.
        real: which of them count.
    """
    n = one.shape[1]
    both, there = torch.cat([one, two], dim=1), torch.cat([real, real], dim=1)
    same = torch.eye(2 * n, dtype=torch.bool, device=one.device)
    with torch.autocast(one.device.type, enabled=False):  # half precision has no room for LOW
        likeness = both.float() @ both.float().transpose(1, 2)
    likeness = likeness.masked_fill(~there.unsqueeze(1) | same, LOW)
    twin = torch.arange(2 * n, device=one.device).roll(n).expand(len(one), -1)
    return mean_over(F.cross_entropy(likeness.transpose(1, 2), twin, reduction="none"), there)


def _halved(view: Tensor, real: Tensor) -> Tensor:
    """(b q/2 p): of two steps in a row the maximum; one that is left over goes."""
    least = view.masked_fill(~real.unsqueeze(2), LOW)
    halved = F.max_pool1d(least.transpose(1, 2), 2).transpose(1, 2)
    return halved.masked_fill(~_any_of_two(real).unsqueeze(2), 0.0)


def _any_of_two(real: Tensor) -> Tensor:
    even = real.shape[1] // 2 * 2
    return rearrange(real[:, :even], "b (q two) -> b q two", two=2).any(dim=2)

"""Ridge regression on lags, joined to a net's forecast."""

from collections.abc import Iterable, Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from seqfuse.nn.heads import lags
from seqfuse.nn.shapes import Batch, Fitted, positive


class LagBank(Fitted):
    """Linear forecasts of each target from its lags, averaged with those of a net.

    The last value is subtracted from look-back and horizon (NLinear, Zeng et al. 2023); the
    weights, the same for every target, are those of a ridge regression (closed forms for such
    models: Toner & Darlow 2024). Nothing is trained by gradients. Net and bank learn without each
    other and err differently, so their average is better than either.

    Args:
        in_channels: channels of the series.
        look_back: lags that have a weight; a shorter series lacks the far ones.
        horizon: steps to forecast.
        num_targets: first channels of the input, those to forecast.
        penalties: of the squared weights, as multiples of the mean square of a lag; `fit` takes
            that of the lowest squared error on held-out windows.
        share: of the bank; the net's median has the rest, and its other quantiles keep their
            distance from the median.
    """

    weight: Tensor

    def __init__(
        self,
        in_channels: int,
        look_back: int,
        horizon: int,
        num_targets: int = 1,
        penalties: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 1.0),
        share: float = 0.5,
    ):
        super().__init__(share)
        positive(look_back=look_back, horizon=horizon, num_targets=num_targets)
        if num_targets > in_channels:
            raise ValueError(f"num_targets={num_targets} is more than the {in_channels} channels")
        if not penalties or not all(0 < penalty < float("inf") for penalty in penalties):
            raise ValueError(f"penalties={list(penalties)} must be numbers above 0")
        self.look_back, self.num_targets = look_back, num_targets
        self.penalties = list(penalties)
        self.register_buffer("weight", torch.zeros(horizon, look_back))

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h k one"]:
        """The forecast by the bank alone."""
        with torch.autocast(x.device.type, enabled=False):
            seen, last = self._lags(x.to(self.weight.dtype), mask)
            # A convolution, as those stay as they are in an export of 8 bits.
            steps = F.conv1d(rearrange(seen, "b k l -> (b k) l 1"), self.weight.unsqueeze(2))
            steps = rearrange(steps, "(b k) h 1 -> b h k 1", k=self.num_targets)
            return steps + rearrange(last, "b k -> b 1 k 1")

    def join(
        self, net: Float[Tensor, "b h k p"], bank: Float[Tensor, "b h k one"]
    ) -> Float[Tensor, "b h k p"]:
        """The forecast by both together."""
        median = net[..., net.shape[-1] // 2].unsqueeze(-1)
        return net + self.share * (bank.to(net.dtype) - median)

    @torch.no_grad()
    def fit(self, training: Iterable[Batch], held_out: Iterable[Batch]) -> tuple[float, float]:
        """Takes the weights of the penalty that is best on held-out windows.

        Returns:
            the penalty, and the mean squared error there as a fraction of that of the last value;
            the weights stay zero, and so is the penalty, where nothing is better.
        """
        horizon, size = self.weight.shape
        squares = torch.zeros(size, size, dtype=torch.float64, device=self.weight.device)
        products = squares.new_zeros(size, horizon)
        for batch in training:
            seen, ahead = self._pairs(batch)
            squares += seen.T @ seen
            products += seen.T @ ahead
        seen, ahead = map(torch.cat, zip(*map(self._pairs, held_out), strict=True))
        last_value = ahead.square().mean()
        best = (1.0, 0.0, self.weight)
        ridge = squares.diagonal().mean() * torch.eye(size).to(squares)
        for penalty in self.penalties if last_value > 0 and ridge.any() else ():
            weight = torch.linalg.solve(squares + penalty * ridge, products).T.to(self.weight)
            error = (F.linear(seen, weight) - ahead).square().mean() / last_value
            best = min(best, (float(error), penalty, weight), key=lambda tried: tried[0])
        error, penalty, weight = best
        self.weight.copy_(weight)
        self.is_fitted.fill_(True)
        return penalty, error

    def _pairs(self, batch: Batch) -> tuple[Float[Tensor, "n l"], Float[Tensor, "n h"]]:
        """Lags of each target and what came behind, where none of that is missing."""
        seen, last = self._lags(batch.x.to(self.weight.dtype), batch.mask)
        ahead = rearrange(batch.y - last.unsqueeze(1), "b h k -> (b k) h").to(seen)
        observed = ~ahead.isnan().any(dim=1)
        return rearrange(seen, "b k l -> (b k) l")[observed], ahead[observed]

    def _lags(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b k l"], Float[Tensor, "b k"]]:
        """Lags without the last value, and that; lags that a series does not have are zero."""
        last = lags(x[..., : self.num_targets], mask, 1)
        steps = x[..., : self.num_targets] - rearrange(last, "b k 1 -> b 1 k")
        return lags(steps, mask, self.look_back), last.squeeze(2)

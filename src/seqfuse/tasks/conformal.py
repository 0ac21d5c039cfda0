"""Prediction intervals that hold what they promise, made right on data kept aside."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqfuse.nn import collectives
from seqfuse.tasks.losses import check_quantiles


class Conformal(nn.Module):
    """Split-conformal bands (Romano et al. 2019) around each pair of quantiles.

    For every step of the horizon and every target a band is widened, or narrowed, by the
    same amount in scaled units: the one that would have made it hold its share of the
    calibration windows. Windows overlap and the world moves on, so the promise holds only
    roughly; coverage on the test split is reported beside it.

    Args:
        quantiles: of the prediction, in order, around 0.5.
        horizon: steps of the prediction.
        num_targets: channels of the prediction.
    """

    margins: Tensor

    def __init__(self, quantiles: Sequence[float], horizon: int, num_targets: int):
        super().__init__()
        check_quantiles(quantiles)
        self.levels = [1 - 2 * q for q in quantiles if q < 0.5]
        self.register_buffer("margins", torch.zeros(len(self.levels), horizon, num_targets))
        self._scores: list[Tensor] = []

    def forward(self, prediction: Float[Tensor, "b h k p"]) -> Float[Tensor, "b h k p"]:
        """Moves the ends of each band; the median stays, and wider bands hold narrower ones."""
        if not self.levels:
            return prediction
        low, centre, high = self._ends(prediction)
        margins = self.margins.permute(1, 2, 0).to(prediction)
        # From the narrowest band outwards, step by step: ONNX has no running minimum.
        lows, highs = [centre], [centre]
        for i in range(len(self.levels) - 1, -1, -1):
            lows.append(torch.minimum(lows[-1], (low - margins)[..., i : i + 1]))
            highs.append(torch.maximum(highs[-1], (high + margins)[..., i : i + 1]))
        return torch.cat([*lows[:0:-1], *highs], dim=-1)

    def update(self, prediction: Float[Tensor, "b h k p"], y: Float[Tensor, "b h k"]) -> None:
        """Remembers how far each target was outside (above 0) or inside (below 0) each band."""
        low, _, high = self._ends(prediction.detach())
        target = y.unsqueeze(-1)
        self._scores.append(torch.maximum(low - target, target - high).cpu())

    def clear(self) -> None:
        """Forgets what was remembered."""
        self._scores = []

    def fit(self) -> None:
        """Sets the margins from what was remembered, if anything was."""
        scores = [one for ranks in collectives.gather(self._scores) for one in ranks]
        self._scores = []
        if not scores:
            return
        all_scores = torch.cat(scores)
        margins = [_margin(all_scores[..., i], level) for i, level in enumerate(self.levels)]
        self.margins.copy_(torch.stack(margins))

    def _ends(self, prediction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lower ends, median, and upper ends from the outermost band inwards."""
        n = len(self.levels)
        return prediction[..., :n], prediction[..., n : n + 1], prediction[..., n + 1 :].flip(-1)


def _margin(scores: Float[Tensor, "n h k"], level: float) -> Float[Tensor, "h k"]:
    """The score of rank (n + 1)·level, rounded up, among the n that are there."""
    count = (~scores.isnan()).sum(dim=0)
    rank = ((count + 1) * level).ceil().long().clamp(min=1).minimum(count.clamp(min=1))
    ordered = scores.sort(dim=0).values  # NaN comes last
    return ordered.gather(0, rank.unsqueeze(0) - 1).squeeze(0).nan_to_num(0.0)

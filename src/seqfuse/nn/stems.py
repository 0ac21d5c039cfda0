"""Stems: raw input to features."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from seqfuse.nn.checks import positive
from seqfuse.nn.masking import zero


class LinearStem(nn.Module):
    """Mixes the channels of each step into `out_channels` features."""

    def __init__(self, in_channels: int, out_channels: int = 64):
        super().__init__()
        positive(in_channels=in_channels, out_channels=out_channels)
        self.out_channels = out_channels
        self.mix = nn.Linear(in_channels, out_channels)

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
        return zero(self.mix(x), mask), mask

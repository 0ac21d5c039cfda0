"""Parts of a net: a block and a head.

b: series in a batch, t: steps, d: features, q: queries of the attention, k: classes. A mask (b t)
is true where a step is real; what is padding must stay zero.
"""

from torch import Tensor, nn


class Block(nn.Module):
    """A convolution of three steps: (b t d) and a mask to (b t out_channels) and the mask.

    Args:
        in_channels: features of a step; the net says how many.
        out_channels: features that come out, the width of the next part's input.
    """

    def __init__(self, in_channels: int, out_channels: int = 64):
        super().__init__()
        self.out_channels = out_channels
        self.convolution = nn.Conv1d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        features = self.convolution(x.transpose(1, 2)).transpose(1, 2).relu()
        return features * mask.unsqueeze(2), mask


class Head(nn.Module):
    """A score per class: what the attention read (b q d) to (b k).

    Args:
        in_channels: features of a query; the net says how many.
        num_queries: of the attention; the net says how many.
        num_classes: scores that come out.
        dropout: fraction of features dropped in training.
    """

    def __init__(
        self, in_channels: int, num_queries: int = 1, num_classes: int = 2, dropout: float = 0.2
    ):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(num_queries * in_channels, num_classes)
        )

    def forward(self, queries: Tensor) -> Tensor:
        return self.layers(queries)

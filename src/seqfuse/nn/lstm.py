"""The recurrent block: carries patterns through time."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seqfuse.nn.masking import pool_mean, reverse, zero
from seqfuse.nn.shapes import fraction, positive


class Lstm(nn.Module):
    """Stacked LSTM layers (Hochreiter & Schmidhuber 1997), one or two directions.

    Args:
        hidden_size: features of the state, per direction.
        bidirectional: adds a second LSTM that reads the real steps backwards.
        dropout: fraction of features dropped from the output.
        layer_dropout: fraction of features dropped between layers.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_size: int = 64,
        num_layers: int = 2,
        bidirectional: bool = False,
        dropout: float = 0.3,
        layer_dropout: float = 0.0,
    ):
        super().__init__()
        positive(in_channels=in_channels, hidden_size=hidden_size, num_layers=num_layers)
        fraction(dropout=dropout, layer_dropout=layer_dropout)
        layer = TwoWay if bidirectional else OneWay
        self.out_channels = hidden_size * (2 if bidirectional else 1)
        sizes = [in_channels] + [self.out_channels] * (num_layers - 1)
        self.layers = nn.ModuleList(layer(size, hidden_size) for size in sizes)
        # Dropout inside nn.LSTM is not reproducible on every device; between layers it is.
        self.layer_dropout = nn.Dropout(layer_dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
        for i, layer in enumerate(self.layers):
            x = layer(self.layer_dropout(x) if i else x, mask)
        return zero(self.dropout(x), mask), mask


class PooledLstm(Lstm):
    """An `Lstm` that sees at most `max_steps` steps: means of as many segments of a series."""

    def __init__(
        self,
        in_channels: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        layer_dropout: float = 0.0,
        max_steps: int = 20,
    ):
        super().__init__(
            in_channels, hidden_size, num_layers, bidirectional, dropout, layer_dropout
        )
        positive(max_steps=max_steps)
        self.max_steps = max_steps

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b u d"], Bool[Tensor, "b u"]]:
        return super().forward(*pool_mean(x, mask, self.max_steps))


class OneWay(nn.Module):
    """One LSTM layer that reads forwards; padding at the end cannot reach a real step."""

    def __init__(self, in_channels: int, hidden_size: int):
        super().__init__()
        self.forwards = nn.LSTM(in_channels, hidden_size, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.forwards(x)[0]


class TwoWay(OneWay):
    """Two one-way layers; the second is fed each series with its real steps reversed."""

    def __init__(self, in_channels: int, hidden_size: int):
        super().__init__(in_channels, hidden_size)
        self.backwards = nn.LSTM(in_channels, hidden_size, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        back = self.backwards(reverse(x, mask))[0]
        return torch.cat([self.forwards(x)[0], reverse(back, mask)], dim=-1)

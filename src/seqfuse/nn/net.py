"""The net: stem, cnn, lstm, attention, head, in this order."""

from collections.abc import Callable
from typing import Any

import torch
from einops import repeat
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from seqfuse.nn.attention import Mean
from seqfuse.nn.masking import all_real, spread, zero
from seqfuse.nn.revin import Interpolation, Normalized, RevIN, Unnormalized
from seqfuse.nn.shapes import Adaptive, Fitted, Output, ReadOut, Strided

Raw = Num[Tensor, "b t *c"] | dict[str, Num[Tensor, "b _ *_"]]
"""One source, or several by name: numbers, ids of words, frames."""
Steps = Bool[Tensor, "b t"] | dict[str, Bool[Tensor, "b _"]]
"""Masks of their real steps."""


class Net(nn.Module):
    """A CNN finds local patterns, an LSTM carries them, attention decides where to look.

    Args:
        head: queries (b q d) to prediction.
        stem: raw (b t ...) to features (b t d); without one the raw channels are the features.
        cnn: block (b t d) to (b t' d').
        lstm: block (b t' d') to (b t' d'').
        attention: (b t' d'') to (b q d''); without one the mean over real steps is read.
        skip: a second read-out, of the CNN's features, joined to every query.
        normalization: of raw series before the stem, undone behind the head.
        init: sets the first weights; without one torch's own stay.
        autoregression: a linear forecast of the normalised series (b t c) and its mask, added to
            the net's before that is undone.
        bank: joins its prediction to the head's outside of training: the net learns alone, as
            the bank knows the training rows by heart.
    """

    def __init__(
        self,
        head: nn.Module,
        stem: nn.Module | None = None,
        cnn: nn.Module | None = None,
        lstm: nn.Module | None = None,
        attention: ReadOut | None = None,
        skip: ReadOut | None = None,
        normalization: RevIN | Interpolation | None = None,
        init: Callable[[nn.Module], None] | None = None,
        autoregression: nn.Module | None = None,
        bank: Fitted | None = None,
    ):
        super().__init__()
        self.normalization = normalization or Unnormalized()
        self.stem = stem or Pass()
        self.cnn = cnn or Pass()
        self.lstm = lstm or Pass()
        self.attention = attention or Mean(0)
        self.skip = skip
        self.head = head
        self.autoregression = autoregression
        self.bank = bank
        self.frozen = False
        self.is_adaptive = any(isinstance(part, Adaptive) for part in (self.cnn, self.lstm))
        if init is not None:
            init(self)

    def forward(self, x: Raw, mask: Steps | None = None) -> Output:
        """Prediction and attention weights; without a mask every step is real."""
        mask = all_real(x) if mask is None else mask
        prediction, weights, queries = self._scored(x, mask)  # type: ignore[arg-type]
        if self.bank is None or self.training:
            return Output(prediction, weights, encoding=queries)
        alone = {"net": prediction, "bank": self.bank(x, mask)}
        return Output(self.bank.join(*alone.values()), weights, alone, encoding=queries)

    def scores(self, x: Raw, mask: Steps) -> tuple[Tensor, Tensor]:
        """Prediction and attention weights of the net alone, without a bank."""
        prediction, weights, _ = self._scored(x, mask)
        return prediction, weights

    def _scored(self, x: Raw, mask: Steps) -> tuple[Tensor, Tensor, Tensor]:
        """Prediction, attention weights and queries."""
        batch = self.normalization.normalize(x, mask)  # type: ignore[arg-type]
        queries, weights = self._read(batch)
        prediction = self.head(queries)
        if self.autoregression is not None:
            prediction = prediction + self.autoregression(batch.x, batch.mask)
        prediction = self.normalization.denormalize(prediction, batch)
        return prediction, self.normalization.mean_weights(weights), queries

    def encode(
        self, x: Raw, mask: Steps | None = None
    ) -> tuple[Float[Tensor, "b q d"], Float[Tensor, "b q u"]]:
        """All but the head: queries, which are features of the series, and attention weights."""
        mask = all_real(x) if mask is None else mask
        return self._read(self.normalization.normalize(x, mask))  # type: ignore[arg-type]

    def freeze(self) -> None:
        """Keeps all but the head as it is: no gradient, no dropout, no new batch statistics."""
        self.frozen = True
        for part in self._encoder():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Net":
        super().train(mode)
        for part in self._encoder() if self.frozen else ():
            part.eval()
        return self

    def _encoder(self) -> list[nn.Module]:
        given = (self.head, self.autoregression)
        return [part for part in self.children() if part not in given]

    def _read(self, batch: Normalized) -> tuple[Tensor, Tensor]:
        features, mask = self.cnn(*self.stem(*_real(batch.x, batch.mask)))
        states, seen = self.lstm(features, mask)
        context = (batch.context,) if self.attention.context_channels else ()
        queries, weights = self.attention(states, seen, *context)
        if self.skip is not None:
            pooled, _ = self.skip(features, mask)
            pooled = repeat(pooled, "b r d -> b q (r d)", q=queries.shape[1])
            queries = torch.cat([queries, pooled], dim=-1)
        if self.is_adaptive:
            weights = spread(weights, seen, batch.mask)
        return queries, weights

    @property
    def stride(self) -> int:
        """Input steps behind one attention weight."""
        if self.is_adaptive or not isinstance(self.cnn, Strided):
            return 1
        return self.cnn.stride


class Pass(nn.Module):
    """A block that is switched off."""

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return x, mask


def _real(x: Any, mask: Any) -> tuple[Any, Any]:
    if isinstance(x, dict):
        return {name: zero(x[name], mask[name]) for name in x}, mask
    return zero(x, mask), mask


def reference(net: nn.Module, linear_bias: float = 0.01) -> None:
    """Xavier-uniform linear layers, orthogonal LSTM weights with bias 0.

    Sources: Glorot & Bengio 2010; Saxe et al. 2014. Convolutions keep torch's own.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.constant_(module.bias, linear_bias)
        elif isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if name.startswith("weight"):
                    nn.init.orthogonal_(parameter)
                else:
                    nn.init.zeros_(parameter)

"""The bank: fixed convolutions, their ridge regression, and the join with a net."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.bank import ridge
from seqfuse.nn.bank.convolutions import Competing, Convolutions, Fractions
from seqfuse.nn.masking import zero
from seqfuse.nn.shapes import Fitted, positive

Series = Float[Tensor, "b t c"]
Steps = Bool[Tensor, "b t"]


class Bank(Fitted):
    """Log-probabilities of classes from fixed convolutions, joined to those of a net.

    Half of the features are of the series, the others of its first difference. They are
    standardised; a ridge regression reads those of MiniRocket, another those of Hydra, and their
    log-probabilities are averaged. Nothing of it is trained by gradients: `fit` looks at the
    training rows once.

    Args:
        num_steps: of the longest training row.
        num_features: of MiniRocket.
        num_groups: of Hydra.
        share: of the bank's log-probabilities; the net's have the rest.
        max_rows: training rows that a regression is fitted to; its cost grows with their cube.
        seed: of kernels, and of the rows that are drawn.
    """

    centre: Tensor
    weight: Tensor
    bias: Tensor
    net_temperature: Tensor

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        num_steps: int,
        num_features: int = 10_000,
        num_groups: int = 64,
        share: float = 0.5,
        max_rows: int = 2000,
        seed: int = 0,
    ):
        super().__init__(share)
        positive(num_features=num_features, num_groups=num_groups, max_rows=max_rows)
        self.max_rows, self.seed = max_rows, seed
        draw = self._draw()

        def both() -> list[Convolutions]:
            fractions = Fractions(in_channels, num_steps, num_features // 2, draw)
            return [fractions, Competing(in_channels, num_steps, max(num_groups // 2, 1), draw)]

        values, changes = both(), both()
        self.of_values, self.of_changes = nn.ModuleList(values), nn.ModuleList(changes)
        pairs = zip(values, changes, strict=True)
        self.widths = [sum(part.num_features for part in pair) for pair in pairs]
        """Features of MiniRocket, and of Hydra."""
        width = sum(self.widths)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("weight", torch.zeros(num_classes, width))
        self.register_buffer("bias", torch.zeros(len(self.widths), num_classes))
        self.register_buffer("net_temperature", torch.tensor(1.0))

    def _draw(self) -> torch.Generator:
        return torch.Generator("cpu").manual_seed(self.seed)

    def rows(self, y: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
        """Rows to fit to: all, or `max_rows` with each class's share of them, at least one."""
        if len(y) <= self.max_rows:
            return torch.arange(len(y))
        order = torch.randperm(len(y), generator=self._draw())
        order = order[y[order].argsort(stable=True)]
        counts = y.bincount()
        taken = torch.arange(len(y)) - (counts.cumsum(dim=0) - counts)[y[order]]
        first = (taken / counts[y[order]]).argsort(stable=True)[: self.max_rows]
        return order[first].sort().values

    @torch.no_grad()
    def fit(
        self,
        x: Series,
        mask: Steps,
        y: Int[Tensor, " n"],
        weights: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n k"]:
        """Takes all there is to learn from training rows.

        Args:
            weights: of the rows, above 0; without any, all alike.

        Returns:
            log-probabilities of each row by a regression that was fitted to all others.
        """
        draw = self._draw()
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for part, values, steps in self._views(x, mask):
                part.fit(values, steps, draw)
        features = self.features(x, mask)
        centre, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
        inverse = torch.where(deviation > 1e-6, 1 / deviation, 0.0)
        targets = 2 * F.one_hot(y, len(self.weight)).double() - 1
        left_out, maps = [], []
        standardised = ((features - centre) * inverse).split(self.widths, dim=1)
        for part, bias in zip(standardised, self.bias, strict=True):
            read = ridge.fit(part, targets, weights)
            temperature = ridge.temperature(read.left_out, y, weights)
            maps.append(read.weight / temperature)
            bias.copy_(read.bias / temperature)
            left_out.append((read.left_out / temperature).log_softmax(dim=1))
        self.centre.copy_(centre)
        self.weight.copy_((inverse.unsqueeze(1) * torch.cat(maps)).T)
        self.is_fitted.fill_(True)
        return torch.stack(left_out).mean(dim=0).log_softmax(dim=1)

    def features(self, x: Series, mask: Steps) -> Float[Tensor, "b p"]:
        with torch.backends.cudnn.flags(
            enabled=True, allow_tf32=False
        ):  # whose 10 bits are not exact
            return torch.cat([part(*view) for part, *view in self._views(x, mask)], dim=1)

    def _views(self, x: Series, mask: Steps) -> list[tuple[Convolutions, Series, Steps]]:
        x = zero(x.to(self.centre.dtype), mask)
        changes = F.pad(x[:, 1:] - x[:, :-1], (0, 0, 0, 1))
        known = F.pad(mask[:, 1:], (0, 1), value=False)
        changed = (zero(changes, known), known)
        pairs = zip(self.of_values, self.of_changes, strict=True)
        views = [view for v, c in pairs for view in ((v, x, mask), (c, *changed))]
        return views  # type: ignore[return-value]

    @torch.no_grad()
    def forward(self, x: Series, mask: Steps) -> Float[Tensor, "b k"]:
        with torch.autocast(x.device.type, enabled=False):
            features = (self.features(x, mask) - self.centre).unsqueeze(2)
            parts = features.split(self.widths, dim=1)
            maps = self.weight.unsqueeze(2).split(self.widths, dim=1)
            # Convolutions, as those stay as they are in an export of 8 bits.
            scores = [F.conv1d(*read) for read in zip(parts, maps, self.bias, strict=True)]
            each = torch.stack(scores).squeeze(3).log_softmax(dim=2)
            return each.mean(dim=0).log_softmax(dim=1)

    def soften(
        self, net: Float[Tensor, "n k"], left_out: Float[Tensor, "n k"], y: Int[Tensor, " n"]
    ) -> None:
        """Makes a net no surer of its training rows, on average, than this bank is right of rows
        that it was not fitted to: its log-probabilities of each, `left_out`, are by a fit to all
        others.

        A net that has learnt its rows by heart is sure of others, too, and would overrule a bank
        that knows better.
        """
        right = (left_out.argmax(dim=1) == y).sum()
        confidence = float((right + 0.5) / (len(y) + 1))
        self.net_temperature.fill_(ridge.softening(net, confidence))

    def join(self, net: Float[Tensor, "b k"], bank: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        net = (net.to(bank.dtype) / self.net_temperature.to(bank)).log_softmax(dim=1)
        return (self.share * bank + (1 - self.share) * net).log_softmax(dim=1)

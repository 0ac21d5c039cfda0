"""Features of fixed convolutions: MiniRocket's and Hydra's.

Series and kernels are rounded to whole numbers that are small enough for float32 to convolve
without error, so that every comparison comes out the same in torch and in ONNX, at any padding,
in any order of summation.
"""

import math
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.masking import lengths

EXACT = 2**24
"""Whole numbers up to this one are exact in float32."""
CHUNK = 300_000
"""Outputs of convolutions at a time, which fit into the cache."""
KERNEL = 9
"""Taps of a kernel."""
Series = Float[Tensor, "b t c"]
Steps = Bool[Tensor, "b t"]


class Convolutions(nn.Module):
    """Fixed kernels at several dilations, applied to whole numbers.

    Args:
        kernels: (dilations, kernels, 9) whole numbers.
        dilations: steps between the taps of a kernel.
        channels: (dilations, sums, c) 0 or 1: channels that are summed before a convolution.
            Each sum has as many kernels as the next.
    """

    num_features: int
    kernels: Tensor
    channels: Tensor
    scale: Tensor

    def __init__(self, kernels: Tensor, dilations: list[int], channels: Tensor):
        super().__init__()
        self.dilations = dilations
        largest = kernels.abs().sum(dim=-1).max() * channels.sum(dim=-1).max()
        self.limit = EXACT // int(largest)
        """The largest whole number of a series."""
        self.register_buffer("kernels", kernels)
        self.register_buffer("channels", channels)
        self.register_buffer("scale", torch.ones(channels.shape[-1]))

    def fit(self, x: Series, mask: Steps, draw: torch.Generator) -> None:
        """Takes the scale of each channel from the training rows."""
        steps = x[mask]
        if not len(steps):  # differences of series of one step
            return
        deviation = steps.std(dim=0, correction=0)
        deviation = deviation.where(deviation > 0, 1.0)
        highest = (steps / deviation).abs().max()
        self.scale.copy_(self.limit / (deviation * highest.where(highest > 0, 1.0)))

    def forward(self, x: Series, mask: Steps) -> Float[Tensor, "b p"]:
        """Features of series that are zero where the mask is false, a few rows at a time."""
        if torch.onnx.is_in_onnx_export():  # where the number of rows is open
            return self.features(self.whole(x), mask)
        rows = max(CHUNK // (self.kernels.shape[1] * x.shape[1]), 1)
        pairs = zip(x.split(rows), mask.split(rows), strict=True)
        return torch.cat([self.features(self.whole(part), steps) for part, steps in pairs])

    def features(self, x: Float[Tensor, "b c t"], mask: Steps) -> Float[Tensor, "b p"]:
        raise NotImplementedError

    def whole(self, x: Series) -> Float[Tensor, "b c t"]:
        return (x * self.scale).round().clamp(-self.limit, self.limit).transpose(1, 2)

    def convolve(self, x: Float[Tensor, "b c t"], place: int) -> Float[Tensor, "b k t"]:
        """All kernels of one dilation; steps beyond the ends are zero."""
        if self.channels.shape[-1] > 1:
            x = F.conv1d(x, self.channels[place].unsqueeze(2))
        return self.apply_kernels(x, place)

    def apply_kernels(self, sums: Float[Tensor, "b s t"], place: int) -> Float[Tensor, "b k t"]:
        kernels, dilation = self.kernels[place].unsqueeze(1), self.dilations[place]
        padding = KERNEL // 2 * dilation
        return F.conv1d(sums, kernels, padding=padding, dilation=dilation, groups=sums.shape[1])


class Fractions(Convolutions):
    """MiniRocket: the fraction of steps at which a convolution exceeds a bias.

    84 kernels: 2 at three taps and -1 at the other six. Biases are quantiles of the convolutions
    of training rows drawn at random. Half of the kernels are counted only where they lie within
    the series, if they do so anywhere. Source: Dempster, Schmidt & Webb 2021.

    Args:
        num_steps: of the longest training row, which the longest dilation spans.
        num_features: about so many; a multiple of 84.
    """

    biases: Tensor
    max_dilations = 32
    max_channels = 9

    def __init__(self, in_channels: int, num_steps: int, num_features: int, draw: torch.Generator):
        taps = torch.tensor(list(combinations(range(KERNEL), 3)), device="cpu")
        taps = torch.cat([taps[::2], taps[1::2]])  # those that are counted alike
        kernels = torch.full((len(taps), KERNEL), -1.0, device="cpu").scatter_(1, taps, 2.0)
        each = max(num_features // len(taps), 1)
        dilations, counts = _spread(num_steps, each, self.max_dilations)
        few = min(in_channels, self.max_channels)
        sizes = (few + 1) ** torch.rand(len(dilations), len(taps), generator=draw, device="cpu")
        channels = _choose(sizes.long().clamp(max=few), in_channels, draw)
        super().__init__(kernels.expand(len(dilations), -1, -1).clone(), dilations, channels)
        self.counts = counts
        """Biases of a kernel at each dilation."""
        self.num_features = each * len(taps)
        self.register_buffer("biases", torch.zeros(len(taps), each))

    def fit(self, x: Series, mask: Steps, draw: torch.Generator) -> None:
        """Takes scales, and biases, from the training rows."""
        super().fit(x, mask, draw)
        x, biases, num_kernels = self.whole(x), [], len(self.biases)
        # A low-discrepancy sequence in [0, 1), as in the paper.
        levels = torch.arange(1, self.num_features + 1, dtype=torch.float64, device=x.device)
        levels = levels * (math.sqrt(5) + 1) / 2 % 1
        each_place = levels.split([count * num_kernels for count in self.counts])
        for place, part in enumerate(each_place):
            rows = torch.randint(len(x), (num_kernels,), generator=draw, device="cpu")
            rows = rows.to(x.device)
            sums = torch.einsum("kc,kct->kt", self.channels[place], x[rows])
            outputs = self.apply_kernels(sums.unsqueeze(0), place).squeeze(0)
            quantiles = _quantiles(outputs, mask[rows], part.reshape(num_kernels, -1))
            biases.append(quantiles.floor() + 0.5)  # so that no whole number equals it
        self.biases.copy_(torch.cat(biases, dim=1))

    def features(self, x: Float[Tensor, "b c t"], mask: Steps) -> Float[Tensor, "b p"]:
        fractions = []
        for place, biases in enumerate(self.biases.split(self.counts, dim=1)):
            regions = [mask, _within(mask, KERNEL // 2 * self.dilations[place])]
            halves = self.convolve(x, place).chunk(2, dim=1)
            regions = regions[::-1] if place % 2 else regions
            for outputs, bias, region in zip(halves, biases.chunk(2), regions, strict=True):
                outputs = outputs.masked_fill(~region.unsqueeze(1), -math.inf)
                # Signs, as sums of booleans are slow.
                signs = (outputs.unsqueeze(2) - bias.unsqueeze(2)).sign_().sum(dim=-1)
                count = lengths(region).clamp(min=1).reshape(-1, 1, 1)
                fractions.append(((signs + mask.shape[1]) / (2 * count)).flatten(1))
        return torch.cat(fractions, dim=1)


class Competing(Convolutions):
    """Hydra: how often, and how strongly, each kernel of a group fits best, and how often worst.

    Kernels are random, with mean 0. Where several fit equally well, all of them count. Counts
    are per step, and their roots are taken. Source: Dempster, Schmidt & Webb 2023.

    Args:
        num_steps: of the longest training row, which the longest dilation spans.
        num_groups: of 8 kernels each, at each dilation.
    """

    size = 8
    """Kernels in a group."""
    units = 64
    """About the sum of a kernel's absolute weights."""
    max_channels = 8

    def __init__(self, in_channels: int, num_steps: int, num_groups: int, draw: torch.Generator):
        dilations = [2**i for i in range(int(_longest(num_steps)) + 1)]
        shape = (len(dilations), num_groups * self.size, KERNEL)
        kernels = torch.randn(shape, generator=draw, device="cpu")
        kernels = kernels - kernels.mean(dim=-1, keepdim=True)
        kernels = (self.units * kernels / kernels.abs().sum(dim=-1, keepdim=True)).round()
        kernels[..., 0] -= kernels.sum(dim=-1)  # what rounding left of a mean
        few = min(max(in_channels // 2, 2), self.max_channels, in_channels)
        sizes = torch.full((len(dilations), num_groups), few, device="cpu")
        super().__init__(kernels, dilations, _choose(sizes, in_channels, draw))
        self.num_features = 2 * kernels[..., 0].numel()

    def features(self, x: Float[Tensor, "b c t"], mask: Steps) -> Float[Tensor, "b p"]:
        counts = []
        real = mask.to(x.dtype).unsqueeze(1).unsqueeze(1)
        for place in range(len(self.dilations)):
            outputs = self.convolve(x, place).unflatten(1, (-1, self.size))
            highest = outputs.amax(dim=2, keepdim=True)
            lowest = outputs.amin(dim=2, keepdim=True)
            # 1 where a kernel is as good, or as bad, as the best, or worst, and 0 elsewhere.
            best = (outputs - highest).sign_().add_(1).mul_(highest * real).sum(dim=-1)
            worst = (lowest - outputs).sign_().add_(1).mul_(real).sum(dim=-1)
            counts += [best.flatten(1) / self.limit, worst.flatten(1)]
        each_step = torch.cat(counts, dim=1) / lengths(mask).clamp(min=1).unsqueeze(1)
        return each_step.clamp(min=0).sqrt()


def _longest(num_steps: int) -> float:
    """The exponent, to base 2, of the dilation at which a kernel spans a series."""
    return max(math.log2(max(num_steps - 1, 1) / (KERNEL - 1)), 0.0)


def _spread(num_steps: int, each: int, most: int) -> tuple[list[int], list[int]]:
    """Dilations, exponentially spaced, and how many of `each` features a kernel has at them."""
    points = min(each, most)
    exponents = torch.linspace(0, _longest(num_steps), points, dtype=torch.float64, device="cpu")
    dilations, counts = (2**exponents + 1e-9).long().unique(return_counts=True)
    counts = counts * each // points
    counts[: each - int(counts.sum())] += 1
    return dilations.tolist(), counts.tolist()


def _choose(sizes: Int[Tensor, "*s"], num: int, draw: torch.Generator) -> Float[Tensor, "*s c"]:
    """1 for so many of `num` channels, drawn at random, and 0 for the others."""
    order = torch.rand(*sizes.shape, num, generator=draw, device="cpu").argsort(dim=-1)
    return (order.argsort(dim=-1) < sizes.unsqueeze(-1)).float()


def _within(mask: Steps, margin: int) -> Steps:
    """Steps at least `margin` from both ends; all real ones of a series without any."""
    step, ends = torch.arange(mask.shape[1], device=mask.device), lengths(mask).unsqueeze(1)
    inner = (step >= margin) & (step < ends - margin)
    return inner | (mask & (ends <= 2 * margin))


def _quantiles(
    x: Float[Tensor, "k t"], mask: Bool[Tensor, "k t"], levels: Float[Tensor, "k q"]
) -> Float[Tensor, "k q"]:
    """Quantiles of real steps by linear interpolation, of each row at levels of its own."""
    last = (lengths(mask).unsqueeze(1) - 1).clamp(min=0)
    ordered = x.double().masked_fill(~mask, math.inf).sort(dim=1).values
    place = levels * last
    low = place.floor().long()
    below, above = ordered.gather(1, low), ordered.gather(1, (low + 1).minimum(last))
    # Of a row without a real step, which has no difference: 0.
    return (below + (place - low) * (above - below)).nan_to_num(0.0, 0.0, 0.0)

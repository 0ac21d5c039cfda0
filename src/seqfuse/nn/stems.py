"""Stems: numbers, ids of words or frames to features."""

import itertools
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.masking import SharedNorm, lengths, zero
from seqfuse.nn.shapes import fraction, positive

Frames = Float[Tensor, "b t c height width"]
Ids = Int[Tensor, "b t c"]
"""Id of a word, then those of its subwords; 0 is padding, 1 an unknown one."""
UNKNOWN = 1
Features = tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]


class LinearStem(nn.Module):
    """Mixes the channels of each step into `out_channels` features."""

    def __init__(self, in_channels: int, out_channels: int = 64):
        super().__init__()
        positive(in_channels=in_channels, out_channels=out_channels)
        self.out_channels = out_channels
        self.mix = nn.Linear(in_channels, out_channels)

    def forward(self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]) -> Features:
        return zero(self.mix(x), mask), mask


class ViewStem(nn.Module):
    """Each channel as it is, standardised per series, and its change from step to step.

    Where a series hardly varies, by less than `floor` of the standard deviation in training, its
    values are divided by that instead. The change is that of the standardised series, 0 at the
    first step.
    """

    floor = 1e-3

    def __init__(self, in_channels: int):
        super().__init__()
        positive(in_channels=in_channels)
        self.out_channels = 3 * in_channels

    def forward(self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]) -> Features:
        number = lengths(mask).clamp(min=1).reshape(-1, 1, 1)
        # Sums over a long series are beyond half precision.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = zero(wide - wide.sum(dim=1, keepdim=True) / number, mask)
        deviation = (centred.square().sum(dim=1, keepdim=True) / number).sqrt()
        shape = (centred / deviation.clamp(min=self.floor)).to(x.dtype)
        change = zero(F.pad(shape[:, 1:] - shape[:, :-1], (0, 0, 1, 0)), mask)
        return torch.cat([x, shape, change], dim=2), mask


class WordStem(nn.Module):
    """Base of the stems of words: embeddings of words and of their subwords."""

    def __init__(self, vocab_size: int, word_size: int, num_subwords: int, subword_size: int):
        super().__init__()
        positive(vocab_size=vocab_size, num_subwords=num_subwords, word_size=word_size)
        self.words = _embedding(vocab_size, word_size)
        self.subwords = _embedding(num_subwords, subword_size)


class NgramStem(WordStem):
    """The sum of the vectors of a word and of its n-grams (Bojanowski et al. 2017).

    It is divided by the root of their number, so that it is as large for every word.

    Args:
        in_channels: ids of a word and its n-grams.
        vocab_size, num_subwords: ids of words and of n-grams.
        id_dropout: fraction of ids left out in training, so that words do without each of them.
    """

    def __init__(
        self,
        in_channels: int,
        vocab_size: int,
        num_subwords: int,
        out_channels: int = 128,
        id_dropout: float = 0.1,
    ):
        super().__init__(vocab_size, out_channels, num_subwords, out_channels)
        fraction(id_dropout=id_dropout)
        self.out_channels = out_channels
        self.id_dropout = id_dropout

    def forward(self, x: Ids, mask: Bool[Tensor, "b t"]) -> Features:
        if self.training and self.id_dropout:
            dropped = torch.rand(x.shape, device=x.device) < self.id_dropout
            x = x.masked_fill(dropped, 0)
        total = self.words(x[..., 0]) + self._sum(x[..., 1:])
        count = (x > 0).sum(dim=-1, keepdim=True).clamp(min=1)
        return zero(total * count.to(total.dtype).rsqrt(), mask), mask

    def _sum(self, subwords: Ids) -> Float[Tensor, "b t d"]:
        if torch.onnx.is_in_onnx_export():  # which knows no bags with padding
            return self.subwords(subwords).sum(dim=2)
        flat = rearrange(subwords, "b t c -> (b t) c")
        # Gathers and adds at once: several times as fast as a sum over the embedding's output.
        sums = F.embedding_bag(flat, self.subwords.weight, mode="sum", padding_idx=0)
        return rearrange(sums, "(b t) d -> b t d", b=subwords.shape[0])


class CharacterStem(WordStem):
    """A vector per word beside a CNN over its characters (dos Santos & Zadrozny 2014).

    Each feature of the CNN is the maximum over the characters.

    Args:
        in_channels: ids of a word and its characters.
        vocab_size, num_subwords: ids of words and of characters.
        word_size, subword_size: features of a word and of its characters.
        word_dropout: fraction of words taken for unknown in training, so that characters learn.
        dropout: fraction of features dropped.
    """

    size = 32
    """Features of one character."""

    def __init__(
        self,
        in_channels: int,
        vocab_size: int,
        num_subwords: int,
        word_size: int = 128,
        subword_size: int = 64,
        word_dropout: float = 0.1,
        dropout: float = 0.3,
    ):
        super().__init__(vocab_size, word_size, num_subwords, self.size)
        positive(subword_size=subword_size)
        fraction(word_dropout=word_dropout, dropout=dropout)
        self.out_channels = word_size + subword_size
        self.conv = nn.Conv1d(self.size, subword_size, 3, padding=1)
        self.word_dropout = word_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Ids, mask: Bool[Tensor, "b t"]) -> Features:
        words = self.words(self._drop_words(x[..., 0]))
        features = torch.cat([words, self._characters(x[..., 1:])], dim=-1)
        return zero(self.dropout(features), mask), mask

    def _drop_words(self, words: Int[Tensor, "b t"]) -> Int[Tensor, "b t"]:
        if not self.training or not self.word_dropout:
            return words
        dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
        return words.masked_fill(dropped, UNKNOWN)

    def _characters(self, ids: Ids) -> Float[Tensor, "b t d"]:
        words = rearrange(ids, "b t c -> (b t) c")
        features = F.relu(self.conv(rearrange(self.subwords(words), "n c d -> n d c")))
        # Nothing is below zero here, so a place without a character never wins.
        highest = features.masked_fill((words == 0).unsqueeze(1), 0.0).amax(dim=2)
        return rearrange(highest, "(b t) d -> b t d", b=ids.shape[0])


def set_vectors(stem: nn.Module, ids: Tensor, vectors: Float[Tensor, "n d"]) -> None:
    """Begins with these vectors of words, as large on average as those they replace."""
    if not isinstance(stem, WordStem):
        raise ValueError("the stem has no words to set vectors of")
    table = stem.words
    if table.embedding_dim != vectors.shape[1]:
        raise ValueError(
            f"the vectors have {vectors.shape[1]} numbers, the stem {table.embedding_dim}: type "
            f"the stem's size as {vectors.shape[1]}"
        )
    with torch.no_grad():
        table.weight[ids] = vectors * (table.weight.std() / vectors.std())


def _embedding(num: int, size: int) -> nn.Embedding:
    """Small vectors to begin with; that of padding is and stays zero."""
    table = nn.Embedding(num, size, padding_idx=0)
    with torch.no_grad():
        nn.init.normal_(table.weight, std=0.1)[0] = 0
    return table


class FrameStem(nn.Module):
    """A 2-D CNN over each frame: convolutions of stride 2, then mean and maximum over space.

    Batch norm takes its statistics from real frames only.

    Args:
        channels: features of each layer; their number is the depth.
        augment: changes frames in training, once per clip.
        colour: whether the CNN sees the frames themselves.
        motion: whether it sees the change of their brightness since the frame before.
        dropout: fraction of features dropped from the output.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (16, 32, 64, 64),
        augment: nn.Module | None = None,
        colour: bool = True,
        motion: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        positive(in_channels=in_channels, channels=min(channels, default=0))
        fraction(dropout=dropout)
        if not (colour or motion):
            raise ValueError("colour=false and motion=false leave nothing to see")
        self.augment = augment
        self.colour, self.motion = colour, motion
        widths = [in_channels * colour + motion, *channels]
        self.layers = nn.Sequential(*(_layer(*pair) for pair in itertools.pairwise(widths)))
        self.dropout = nn.Dropout(dropout)
        self.out_channels = 2 * widths[-1]

    def forward(self, x: Num[Tensor, "b t c height width"], mask: Bool[Tensor, "b t"]) -> Features:
        frames = x if x.is_floating_point() else x / 255
        if not self.colour:
            frames = frames.mean(dim=2, keepdim=True)
        if self.augment is not None and self.training:
            frames = self.augment(frames)
        seen = self._seen(frames)
        if not self.training:
            features = self._features(rearrange(seen, "b t c height width -> (b t) c height width"))
            return zero(rearrange(features, "(b t) d -> b t d", b=x.shape[0]), mask), mask
        features = self._features(seen[mask])
        spread = features.new_zeros(*mask.shape, features.shape[-1])
        return spread.masked_scatter(mask.unsqueeze(-1), features), mask

    def _seen(self, frames: Frames) -> Float[Tensor, "b t k height width"]:
        parts = []
        if self.colour:
            parts.append((frames - 0.5) * 4)
        if self.motion:
            grey = frames.mean(dim=2, keepdim=True)
            change = grey[:, 1:] - grey[:, :-1]
            parts.append(F.pad(change, (0,) * 6 + (1, 0)) * 8)
        return torch.cat(parts, dim=2)

    def _features(self, frames: Float[Tensor, "n c height width"]) -> Float[Tensor, "n d"]:
        maps = self.layers(frames)
        return self.dropout(torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1))


def motion(
    x: Num[Tensor, "b t c height width"], mask: Bool[Tensor, "b t"], grid: int
) -> Float[Tensor, "b t k"]:
    """Change of brightness since the frame before, in percent, in each of grid x grid cells.

    NaN for the first frame and behind the last one.
    """
    grey = (x if x.is_floating_point() else x / 255).mean(dim=2)
    change = (grey[:, 1:] - grey[:, :-1]).abs() * 100
    cells = rearrange(F.adaptive_avg_pool2d(change, grid), "b t height width -> b t (height width)")
    cells = cells.masked_fill(~mask[:, 1:].unsqueeze(-1), torch.nan)
    return F.pad(cells, (0, 0, 1, 0), value=torch.nan)


def _layer(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        FrameNorm(out_channels),
        nn.ReLU(),
    )


class FrameNorm(SharedNorm, nn.BatchNorm2d):
    """Batch norm of frames."""


class Augment(nn.Module):
    """Mirrors, crops and relights clips: one draw per clip, the same for all of its frames.

    Args:
        flip: probability that a clip is mirrored.
        zoom: a crop shows from 1 down to 1 - zoom of height and width, enlarged to the whole.
        light: brightness and contrast change by up to this fraction.
    """

    def __init__(self, flip: float = 0.5, zoom: float = 0.3, light: float = 0.3):
        super().__init__()
        if not 0 <= flip <= 1:
            raise ValueError(f"flip={flip} must be from 0 to 1")
        fraction(zoom=zoom, light=light)
        self.flip, self.zoom, self.light = flip, zoom, light

    def forward(self, frames: Frames) -> Frames:
        n = len(frames)
        flip, scale, across, down, gain, shift = torch.rand(6, n, device=frames.device)
        scale = 1 - self.zoom * scale
        sign = 1 - 2 * (flip < self.flip).to(scale)
        nothing = torch.zeros_like(scale)
        grids = torch.stack(
            [
                torch.stack([sign * scale, nothing, (1 - scale) * (2 * across - 1)], dim=1),
                torch.stack([nothing, scale, (1 - scale) * (2 * down - 1)], dim=1),
            ],
            dim=1,
        )
        folded = rearrange(frames, "b t c height width -> b (t c) height width")
        grid = F.affine_grid(grids.to(folded), list(folded.shape), align_corners=False)
        folded = F.grid_sample(folded, grid, padding_mode="reflection", align_corners=False)
        moved = rearrange(folded, "b (t c) height width -> b t c height width", t=frames.shape[1])
        gain = (1 + self.light * (2 * gain - 1)).reshape(n, 1, 1, 1, 1).to(moved)
        shift = (self.light * (shift - 0.5)).reshape(n, 1, 1, 1, 1).to(moved)
        return (moved - 0.5) * gain + 0.5 + shift

"""Stems of words: ids of a word and its pieces to features."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.checks import fraction, positive
from seqfuse.nn.masking import zero

Ids = Int[Tensor, "b t c"]
"""The word first, then its pieces; 0 is padding, 1 an unknown one."""
UNKNOWN = 1
Features = tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]


class NgramStem(nn.Module):
    """The sum of the vectors of a word and of its pieces (Bojanowski et al. 2017).

    It is divided by the root of their number, so that it is as large for every word.

    Args:
        in_channels: ids of a word: its own, and those of its pieces.
        vocab_size: ids of words.
        num_pieces: ids of pieces.
        out_channels: features of a word.
        id_dropout: share of ids left out in training, so that words do without each of them.

    Raises:
        ValueError: a knob is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        vocab_size: int,
        num_pieces: int,
        out_channels: int = 128,
        id_dropout: float = 0.1,
    ):
        super().__init__()
        positive(vocab_size=vocab_size, num_pieces=num_pieces, out_channels=out_channels)
        fraction(id_dropout=id_dropout)
        self.out_channels = out_channels
        self.words = embedding(vocab_size, out_channels)
        self.pieces = embedding(num_pieces, out_channels)
        self.id_dropout = id_dropout

    def forward(self, x: Ids, mask: Bool[Tensor, "b t"]) -> Features:
        if self.training and self.id_dropout:
            drawn = torch.rand(x.shape, device=x.device) < self.id_dropout
            x = x.masked_fill(drawn, 0)
        both = self.words(x[..., 0]) + self._sum(x[..., 1:])
        count = (x > 0).sum(dim=-1, keepdim=True).clamp(min=1)
        return zero(both * count.to(both.dtype).rsqrt(), mask), mask

    def _sum(self, pieces: Ids) -> Float[Tensor, "b t d"]:
        if torch.onnx.is_in_onnx_export():  # which knows no bags with padding
            return self.pieces(pieces).sum(dim=2)
        flat = rearrange(pieces, "b t c -> (b t) c")
        # Gathers and adds at once: several times as fast as a sum over the embedding's output.
        found = F.embedding_bag(flat, self.pieces.weight, mode="sum", padding_idx=0)
        return rearrange(found, "(b t) d -> b t d", b=pieces.shape[0])


class CharacterStem(nn.Module):
    """A vector per word beside a CNN over its characters (dos Santos & Zadrozny 2014).

    Of each feature of the CNN the largest over the characters is taken.

    Args:
        in_channels: ids of a word: its own, and those of its characters.
        vocab_size: ids of words.
        num_pieces: ids of characters.
        word_size: features of a word.
        piece_size: features of its characters.
        word_dropout: share of words taken for unknown in training, so that characters learn.
        dropout: share of features dropped.

    Raises:
        ValueError: a knob is out of range.
    """

    size = 32
    """Features of one character."""

    def __init__(
        self,
        in_channels: int,
        vocab_size: int,
        num_pieces: int,
        word_size: int = 128,
        piece_size: int = 64,
        word_dropout: float = 0.1,
        dropout: float = 0.3,
    ):
        super().__init__()
        positive(vocab_size=vocab_size, num_pieces=num_pieces)
        positive(word_size=word_size, piece_size=piece_size)
        fraction(word_dropout=word_dropout, dropout=dropout)
        self.out_channels = word_size + piece_size
        self.words = embedding(vocab_size, word_size)
        self.pieces = embedding(num_pieces, self.size)
        self.conv = nn.Conv1d(self.size, piece_size, 3, padding=1)
        self.word_dropout = word_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Ids, mask: Bool[Tensor, "b t"]) -> Features:
        features = torch.cat([self.words(self._some(x[..., 0])), self._of(x[..., 1:])], dim=-1)
        return zero(self.dropout(features), mask), mask

    def _some(self, words: Int[Tensor, "b t"]) -> Int[Tensor, "b t"]:
        if not self.training or not self.word_dropout:
            return words
        drawn = torch.rand(words.shape, device=words.device) < self.word_dropout
        return words.masked_fill(drawn, UNKNOWN)

    def _of(self, pieces: Int[Tensor, "b t c"]) -> Float[Tensor, "b t d"]:
        words = rearrange(pieces, "b t c -> (b t) c")
        found = F.relu(self.conv(rearrange(self.pieces(words), "n c d -> n d c")))
        # Nothing is below zero here, so a place without a character never wins.
        largest = found.masked_fill((words == 0).unsqueeze(1), 0.0).amax(dim=2)
        return rearrange(largest, "(b t) d -> b t d", b=pieces.shape[0])


def set_vectors(stem: nn.Module, ids: Tensor, vectors: Float[Tensor, "n d"]) -> None:
    """Begins with these vectors of words, as large on average as those they replace.

    Raises:
        ValueError: the stem has no words, or vectors of another size.
    """
    table = getattr(stem, "words", None)
    if not isinstance(table, nn.Embedding):
        raise ValueError("the stem has no words to set vectors of")
    if table.embedding_dim != vectors.shape[1]:
        raise ValueError(
            f"the vectors have {vectors.shape[1]} numbers, the stem {table.embedding_dim}: type "
            f"the stem's size as {vectors.shape[1]}"
        )
    with torch.no_grad():
        table.weight[ids] = vectors * (table.weight.std() / vectors.std())


def embedding(num: int, size: int) -> nn.Embedding:
    """Small vectors to begin with; that of padding is and stays zero."""
    found = nn.Embedding(num, size, padding_idx=0)
    with torch.no_grad():
        nn.init.normal_(found.weight, std=0.1)[0] = 0
    return found

"""Texts in memory: words as a source reads them."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from seqfuse.data.labels import as_text
from seqfuse.data.loader import LengthShuffle
from seqfuse.data.series import SeriesTensors
from seqfuse.runtime.errors import InputError


class TextTensors(SeriesTensors):
    """Texts ready for a net; in training, batches are of texts of about one length."""

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        return LengthShuffle(self.lengths, seed, batch_size)


class Texts:
    """Labelled texts of one split, as read: a `Labelled`.

    Args:
        x: n texts of one word or more.
        y: n labels, or n lists of a label for each word.
        origin: where they were read; error messages begin with it.
        lines: n numbers of the line each begins at, in error messages; or, where words have
            labels, n lists of a number for each word.

    Raises:
        InputError: there is no text, or numbers of texts and labels differ.
    """

    groups = None

    def __init__(
        self,
        x: Sequence[Sequence[str]],
        y: Sequence[Any],
        origin: str = "the data",
        lines: Sequence[Any] | None = None,
    ):
        if not len(x):
            raise InputError(f"{origin} holds no text")
        if len(x) != len(y):
            raise InputError(f"{origin}: {len(x)} texts but {len(y)} labels")
        self.x: Any = x
        self.y, self.origin = y, origin
        self.lines = range(len(x)) if lines is None else lines

    @property
    def unit(self) -> str:
        """What there are several of."""
        return "texts" if isinstance(self.y[0], str) else "sentences"

    @property
    def steps(self) -> dict[str, Sequence[Sequence[str]]]:
        """What the user calls the steps."""
        return {"token": self.x}

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> "Texts":
        """The texts at these rows."""
        x, y = [self.x[i] for i in rows], [self.y[i] for i in rows]
        return Texts(x, y, self.origin, [self.lines[i] for i in rows])

    def tensors(self, pipeline: Any, index: np.ndarray, labelled: bool = True) -> SeriesTensors:
        """Ids of words and their pieces, by a fitted `TextPipeline`."""
        ids, lengths = pipeline.transform(self.x)
        y = pipeline.encode(self.y, self.lines) if labelled else np.zeros(len(self), np.int64)
        y = y[:, : ids.shape[1]] if y.ndim > 1 else y
        return TextTensors(ids, lengths, y, index)

    def fingerprint(self) -> str:
        """SHA-256 of words and labels, first 16 digits."""
        digest = hashlib.sha256("\n".join("\t".join(text) for text in self.x).encode())
        digest.update(as_text(self.y).encode())  # type: ignore[arg-type]
        return digest.hexdigest()[:16]

"""From what a net says of windows to anomaly scores, one recording at a time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.read.recordings import Recording
from seqfuse.runtime.likelihood import Likelihood, merge
from seqfuse.runtime.subspace import Subspace

__all__ = ["Floats", "Likelihood", "Scored", "Scorer", "Subspace", "merge"]
Floats = NDArray[np.float64]
Scorer = Likelihood | Subspace


class Scored(NamedTuple):
    """A recording and what was said of it."""

    recording: Recording
    scores: Floats
    """(t) from 0 to 1; the higher, the stranger."""

    @property
    def tested(self) -> slice:
        """The steps that were not trained on."""
        return slice(self.recording.num_train, None)

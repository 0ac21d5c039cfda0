"""From forecast errors to anomaly scores, one recording at a time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.recordings import Recording
from seqfuse.plain import likelihood
from seqfuse.plain.likelihood import merge

__all__ = ["Floats", "Likelihood", "Scored", "merge"]
Floats = NDArray[np.float64]


class Scored(NamedTuple):
    """A recording and what was said of it."""

    recording: Recording
    scores: Floats
    """(t) from 0 to 1; the higher, the stranger."""

    @property
    def tested(self) -> slice:
        """The steps that were not trained on."""
        return slice(self.recording.num_train, None)


class Likelihood(likelihood.Likelihood):
    """The same for recordings; see there for its knobs."""

    def of(self, one: Recording, errors: Floats) -> Scored:
        """A recording with its scores, NaN where errors (t) are."""
        return Scored(one, self.of_values(one.values, one.num_train, errors))

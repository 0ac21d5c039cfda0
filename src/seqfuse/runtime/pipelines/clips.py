"""Labels of clips to class numbers; their frames stay whole numbers, as a stem scales them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import Classes, Labelled
from seqfuse.runtime.pipelines.series import check_several
from seqfuse.runtime.recordings import Recordings

ANOMALY = "anomaly"
REGIONS = 4
"""Rows and columns of the regions of a frame that are explained apart."""


class ClipPipeline(Labelled):
    """Class numbers of clips, and the colours and size of frames that were trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = ()

    def fit(self, items: Recordings) -> "ClipPipeline":
        self.shape = items.values.shape[1:]
        self.fit_labels(items)
        return self

    def items(self, x: Any) -> Recordings:
        check_several(x)
        clips = [np.asarray(clip) for clip in x]
        for i, clip in enumerate(clips):
            if clip.dtype != np.uint8 or clip.ndim != 4 or not len(clip):
                raise InputError(
                    f"clip {i} is {clip.dtype} of shape {clip.shape}, expected (time, colours, "
                    "height, width) of uint8"
                )
            self._check(clip.shape[1:])
        return Recordings.of(clips, origin="x", unit="clips")

    def sizes(self) -> dict[str, Any]:
        return {"channels": self.shape[0], **self.labels.sizes()}

    def transform(self, items: Recordings) -> Recordings:
        self._check(items.values.shape[1:])
        return items

    def baseline(self, items: Recordings) -> NDArray[np.uint8]:
        """Clips in which nothing moves: the mean of all frames at each of them."""
        means = [np.repeat(clip.mean(axis=0)[None].round(), len(clip), axis=0) for clip in items]
        return np.concatenate(means).astype(np.uint8)

    def groups(self, items: Recordings) -> tuple[NDArray[np.int64], list[str]]:
        """The region of each pixel, in a grid of `REGIONS` x `REGIONS`: names are row,column."""
        places = [np.arange(size) * REGIONS // size for size in self.shape[1:]]
        regions = places[0][:, None] * REGIONS + places[1]
        names = [f"{row},{column}" for row in range(REGIONS) for column in range(REGIONS)]
        return np.broadcast_to(regions, self.shape).astype(np.int64), names

    def _check(self, shape: tuple[int, ...]) -> None:
        if shape != self.shape:
            raise InputError(
                f"the frames are (colours, height, width) = {shape}, but {self.shape} were "
                "trained on"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "labels": self.labels.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.shape = tuple(state["shape"])
        self.load_labels(state)


class NormalOrNot(Classes):
    """Classes 0, the label `normal`, and 1, an anomaly, whatever its label."""

    def __init__(self, normal: str):
        super().__init__()
        self.normal = normal

    def fit(self, items: Recordings) -> "NormalOrNot":
        if odd := sorted(set(items.labels or ()) - {self.normal}):
            raise InputError(f"'{odd[0]}' is trained on, but data.normal={self.normal}")
        self.classes = [self.normal, ANOMALY]
        return self

    def encode(self, items: Recordings) -> NDArray[np.int64]:
        """(n) 0 where a label is that of normal clips, else 1."""
        return np.array([label != self.normal for label in items.labels or ()], dtype=np.int64)


class NormalClipPipeline(ClipPipeline):
    """One class is normal and trained on; whatever else there is, is an anomaly."""

    def __init__(self, normal: str | None):
        if not normal:
            raise InputError("data.normal is empty: name the class that is trained on")
        super().__init__()
        self.normal = normal
        self.labels = NormalOrNot(normal)

    def fit_labels(self, items: Recordings) -> None:
        self.labels.fit(items)

    def load_labels(self, state: dict[str, Any]) -> None:
        self.labels.load_state_dict(state["labels"])

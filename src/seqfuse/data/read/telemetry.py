"""Recordings of NASA's spacecraft SMAP and MSL, with labelled anomalies."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqfuse.data.read.cells import find
from seqfuse.data.read.recordings import Recording, runs, stem
from seqfuse.runtime.cells import read_cells
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.numbers import as_float32

SOURCE = "the telemetry is at GitHub, khundman/telemanom, to be packed as one .npz per channel"
ARRAYS = ("train_value", "train_command", "test_value", "test_command", "test_label")
SPACECRAFT = ("SMAP", "MSL", "both")


class SmapMsl:
    """81 telemetry channels of the satellite SMAP (54) and the rover MSL, Curiosity (27).

    The train part comes first, labelled normal, and the test part behind it: steps run on,
    though the two were not recorded back to back. Columns are one telemetry value from -1
    to 1 and 24 (SMAP) or 54 (MSL) commands, 0 or 1.

    Source: Hundman et al., KDD 2018; published with telemanom under NASA/JPL's terms.

    Args:
        root: folder that holds `labeled_anomalies.csv` and one `.npz` per channel.
        spacecraft: SMAP, MSL or both.
        leave_out: channels. P-2 is labelled twice, differently, and most papers since
            OmniAnomaly (Su et al., KDD 2019) leave it out.

    Raises:
        InputError: there is no such spacecraft.
    """

    def __init__(
        self, root: str, spacecraft: str = "both", leave_out: Sequence[str] = ("P-2",)
    ) -> None:
        if spacecraft not in SPACECRAFT:
            raise InputError(f"spacecraft={spacecraft} must be one of: {', '.join(SPACECRAFT)}")
        self.root = Path(root)
        self.spacecraft = spacecraft
        self.leave_out = leave_out

    def __call__(self) -> list[Recording]:
        """Reads the channels, in the order of `labeled_anomalies.csv`.

        Raises:
            InputError: a channel to leave out is unknown, or a file is missing or broken.
        """
        known = self._channels()
        for channel in self.leave_out:
            if channel not in known:
                raise InputError(f"leave_out: SMAP and MSL have no channel '{channel}'")
        wanted = [one for one in known if self.spacecraft in ("both", known[one])]
        return [self._read(channel) for channel in wanted if channel not in self.leave_out]

    def _channels(self) -> dict[str, str]:
        """The spacecraft of each channel."""
        path = find(self.root, "labeled_anomalies.csv", SOURCE)
        columns = read_cells(path).columns
        if not {"chan_id", "spacecraft"} <= set(columns):
            raise InputError(f"{path}, line 1 lacks the columns chan_id and spacecraft")
        return dict(zip(columns["chan_id"], columns["spacecraft"], strict=True))

    endings = (".npz",)

    def file(self, path: Path) -> list[Recording]:
        """A channel in the same format, without labels."""
        one = self._parse(path, labelled=False)
        return [one]

    def _read(self, channel: str) -> Recording:
        return self._parse(find(self.root, f"{channel}.npz", SOURCE))

    @staticmethod
    def _parse(path: Path, labelled: bool = True) -> Recording:
        train, test, test_labels = _parts(path, labelled)
        values = as_float32(
            np.concatenate([train, test]), lambda i: f"{path}: row {i[0]}, column {i[1]}"
        )
        labels = np.append(np.zeros(len(train), dtype=bool), test_labels)
        columns = ["value", *(f"command_{i}" for i in range(values.shape[1] - 1))]
        time = np.arange(len(values))
        return Recording(stem(path), time, values, columns, labels, runs(labels), len(train))


def _parts(path: Path, labelled: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train and test values, (t c), and labels of the test part, (t,), or zeros."""
    arrays = _arrays(path, ARRAYS if labelled else ARRAYS[:4])
    arrays.setdefault("test_label", np.zeros(len(arrays["test_value"])))
    for part, names in (("train", ARRAYS[:2]), ("test", ARRAYS[2:])):
        lengths = {name: len(arrays[name]) for name in names}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{path}: the {part} part has arrays of other lengths, {lengths}")
    train = np.column_stack([arrays["train_value"], arrays["train_command"]])
    test = np.column_stack([arrays["test_value"], arrays["test_command"]])
    if train.shape[1] != test.shape[1]:
        raise InputError(f"{path}: {train.shape[1]} columns to train on, {test.shape[1]} to test")
    for part, values in (("train", train), ("test", test)):
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            row, column = wrong[0]
            raise InputError(f"{path}: {part} part, row {row}, column {column} is not finite")
    return train, test, arrays["test_label"] == 1


def _arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        # Opened here, as numpy leaves a broken archive open.
        with path.open("rb") as raw, np.load(raw) as file:
            return {name: file[name] for name in names}
    except (EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is truncated ({error}): fetch it again") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(f"{path} is no .npz that holds {', '.join(names)} as numbers") from None

"""Series of the UCR/UEA archive, by name."""

import difflib
import importlib.util
from pathlib import Path

from seqfuse.config.checks.extras import need
from seqfuse.data.items import Source
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.formats import SERIES_ENDINGS, read_archive
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.shown import say

ENDINGS = SERIES_ENDINGS


class Archive(Source):
    """Finds `<name>_TRAIN` and `<name>_TEST`, and reads the split that is asked for.

    Looked for in `root` (and up to two folders below it), then among the sets that aeon
    ships, then, if that is allowed, downloaded by aeon into `root`.

    Source: Dau et al. 2019 (UCR); Bagnall et al. 2018 (UEA).

    Args:
        name: of the data set, such as `GunPoint`.
        labelled: without it, labels are not read, and need not be there.
        download: whether a set that is not there is downloaded.
        label_type: `classes`, or `numbers`, as in the TSER archive.
    """

    def __init__(
        self,
        name: str,
        root: str,
        labelled: bool = True,
        download: bool = False,
        label_type: str = "classes",
    ):
        self.name, self.label_type = name, label_type
        self.download = download
        self.labelled = labelled
        self.root = Path(root)

    def __call__(self, split: str) -> Recordings:
        return read_archive(self.find(split), self.labelled, self.label_type)

    def find(self, split: str) -> Path:
        """The file of a split; downloads it where there is a network."""
        stem = f"{self.name}_{split.upper()}"
        for folder in self._folders():
            for ending in ENDINGS:
                if (folder / f"{stem}{ending}").is_file():
                    return folder / f"{stem}{ending}"
        return self._download(stem)

    def _folders(self) -> list[Path]:
        folders = [self.root, self.root / self.name, *sorted(self.root.glob(f"*/{self.name}"))]
        return [*folders, bundled() / self.name]

    def _download(self, stem: str) -> Path:
        need(f"data.name={self.name}: no {stem} in {self.root}: to look among aeon's", "aeon")
        from aeon.datasets import load_classification  # slow to import, and rarely needed
        from aeon.datasets.tsc_datasets import multivariate, univariate

        listed = sorted({*univariate, *multivariate})
        if self.name not in listed and self.name in self.names():
            endings = ", ".join(ENDINGS)
            raise InputError(f"{stem} is not beside the other split in {self.root} ({endings})")
        if self.name not in listed:
            near = difflib.get_close_matches(self.name, [*listed, *self.names()], n=1, cutoff=0.5)
            hint = f": did you mean {near[0]}?" if near else ""
            raise InputError(f"data.name={self.name} is no data set of the UCR/UEA archive{hint}")
        if not self.download:
            raise InputError(
                f"data.name={self.name}: no {stem}.ts, .tsv or .arff (or .gz) in {self.root}, and "
                "nothing is downloaded (data.download=false, as for any checkpoint): set "
                "paths.data to a folder that has it"
            )
        try:
            say(f"{self.name}: downloading into {self.root}")
            load_classification(self.name, extract_path=str(self.root))
            return next(p for e in ENDINGS for p in self.root.glob(f"**/{stem}{e}"))
        except Exception as error:
            raise InputError(
                f"data.name={self.name}: no {stem}.ts, .tsv or .arff (or .gz) in {self.root}, "
                f"and the download failed ({type(error).__name__}): set paths.data to a folder "
                "that has it, or fetch it from timeseriesclassification.com"
            ) from None

    def names(self) -> list[str]:
        paths = [*self.root.glob("**/*_TRAIN.*"), *bundled().glob("*/*_TRAIN.*")]
        return sorted({path.name.split("_TRAIN")[0] for path in paths})


def bundled() -> Path:
    """The folder of data sets that aeon ships, found without importing it; not there without it."""
    spec = importlib.util.find_spec("aeon")
    package = Path(str(spec.origin)).parent if spec else Path("aeon is not installed")
    return package / "datasets" / "data"

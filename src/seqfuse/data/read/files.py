"""Files of tables: found, or downloaded."""

from pathlib import Path

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import find, find_in


class TableFile:
    """A file of a table, downloaded where it is missing and has a public address.

    Args:
        file: from `root` or from here; without its `.gz` too. A folder, or a pattern such as
            `tables/*.parquet`, names Parquet files that are one table.
        root: folder that a relative name starts from, and that a download goes to.
        url: where the plain file can be had.
    """

    def __init__(
        self, file: str | None, root: str = ".", url: str | None = None, sha256: str | None = None
    ):
        if not file:
            raise InputError("data.file is empty: name your CSV or Parquet file")
        self.file, self.root, self.url, self.sha256 = file, Path(root), url, sha256

    def path(self) -> Path:
        if not self.url:
            key = "its name in data.* and paths.data"
            return find(self.file, self.root, key, folders=True, patterns=True)
        return find_in((".", self.root), self.file) or self._download(
            self.url, self.root / self.file.removesuffix(".gz")
        )

    def _download(self, url: str, path: Path) -> Path:
        import pooch  # slow, and seldom needed

        options = {"fname": path.name, "path": path.parent, "progressbar": True}
        try:
            return Path(pooch.retrieve(url, f"sha256:{self.sha256}", **options))
        except (OSError, ValueError) as error:  # no network, or another file than it should be
            reason = str(error).splitlines()[0][:120]
            raise InputError(
                f"{path.name} is not in {path.parent}, and could not be downloaded from {url} "
                f"({reason}): fetch it and put it there, or set paths.data"
            ) from None

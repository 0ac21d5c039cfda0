"""Lines of text files, and what is said of broken ones."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from seqfuse.runtime.errors import InputError


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file, plain or gzipped, with their numbers from 1 and their ends."""
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or not gzip ({error}): fetch it again") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, line {number}, column {error.start + 1} is not UTF-8 ({error.reason}): "
            "save it as UTF-8"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from None

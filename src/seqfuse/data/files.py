"""CSV and Parquet files, plain or gzipped."""

from pathlib import Path

import pandas as pd

from seqfuse.plain.errors import InputError


def find_table(file: str | None, root: Path) -> Path:
    """The file, from `root` or from here.

    Raises:
        InputError: none is named, or there is none.
    """
    if not file:
        raise InputError("data.file is empty: name your CSV or Parquet file")
    for path in (root / file, Path(file)):
        if path.is_file():
            return path
    raise InputError(f"{file} is not there, nor in {root}: check data.file and paths.data")


def load_frame(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file, as it is.

    Raises:
        InputError: it is missing, empty, truncated, or in another encoding.
    """
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from None
    except (pd.errors.ParserError, OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is truncated or no table: {reason}") from None
    if not len(frame):
        raise InputError(f"{path} has no rows")
    return frame

"""Content of small files, right ones to be changed and wrong ones."""

import gzip
import io
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy

NORMAL = np.random.default_rng(0).normal


def series(count: int = 20, steps: int = 6, channels: int = 2, **changes: Any) -> dict[str, Any]:
    """Arrays of an .npz of labelled series; None takes one out."""
    x = NORMAL(size=(count, steps, channels)).astype(np.float32)
    arrays = {"x": x, "y": np.array(["up", "down"] * (count // 2)), **changes}
    return {name: array for name, array in arrays.items() if array is not None}


def head(shape: tuple[int, ...], descr: str = "<f4", content: bytes = b"") -> bytes:
    """An .npy whose header says what its content does not hold."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": descr})
    return file.getvalue() + content


def saved(array: np.ndarray) -> bytes:
    """An .npy."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    """An .npz of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    """An .npz as bytes, to be cut or changed."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def compressed(**arrays: Any) -> bytes:
    """The same, packed."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def gz(text: str | bytes) -> bytes:
    """The same, gzipped."""
    return gzip.compress(text.encode() if isinstance(text, str) else text)


def ts(rows: int = 20, head: str = "@problemname a\n@classLabel true up down\n@data\n") -> str:
    """A .ts of one channel."""
    values = NORMAL(size=(rows, 6)).round(3)
    lines = [f"{','.join(map(str, v))}:{'up' if i % 2 else 'down'}" for i, v in enumerate(values)]
    return head + "\n".join(lines) + "\n"


def tsv(rows: int = 20) -> str:
    """A .tsv of the UCR archive."""
    values = NORMAL(size=(rows, 6)).round(3)
    return "".join("\t".join(map(str, [1 + i % 2, *v])) + "\n" for i, v in enumerate(values))


def arff(rows: int = 20) -> str:
    """An .arff of one channel."""
    values = NORMAL(size=(rows, 6)).round(3)
    head = "".join(f"@attribute a{i} numeric\n" for i in range(6))
    lines = [",".join(map(str, v)) + (",up" if i % 2 else ",down") for i, v in enumerate(values)]
    return f"@relation a\n{head}@attribute target {{up,down}}\n@data\n" + "\n".join(lines) + "\n"


def table(rows: int = 100, extra: str = "", **columns: Any) -> str:
    """A .csv of hours and two columns; a column may be given by a function of the row."""
    stamps = np.datetime64("2024-01-01T00") + np.arange(rows)
    found = {
        "date": lambda i: str(stamps[i]).replace("T", " ") + ":00",
        "a": lambda i: f"{np.sin(i / 3):.3f}",
        "b": lambda i: f"{np.cos(i / 5):.3f}",
        **columns,
    }
    lines = [",".join(found)]
    lines += [",".join(str(column(i)) for column in found.values()) for i in range(rows)]
    return "\n".join(lines) + "\n" + extra


def texts(rows: int = 40) -> str:
    """A .csv of texts."""
    lines = [f"the {'good' if i % 2 else 'bad'} day {i},{'up' if i % 2 else 'down'}"
             for i in range(rows)]  # fmt: skip
    return "text,label\n" + "\n".join(lines) + "\n"


def tags(sentences: int = 30) -> str:
    """Words and their tags, two columns."""
    return "the\tDET\ncat\tNOUN\nsleeps\tVERB\n\n" * sentences


def sources(count: int = 20, **changes: Any) -> dict[str, Any]:
    """Arrays of an .npz of two sources; None takes one out."""
    arrays = {
        "phone_x": NORMAL(size=(count, 6, 2)).astype(np.float32),
        "watch_x": NORMAL(size=(count, 4, 3)).astype(np.float32),
        "y": np.array(["up", "down"] * (count // 2)),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}

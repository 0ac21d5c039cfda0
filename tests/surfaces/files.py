"""Files as people have them: most are good, some are odd, some cannot be read."""

import gzip
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

File = tuple[str, bytes]
"""Ending, and content."""
Column = Callable[[int], st.SearchStrategy[str]]
"""A good cell of each row."""
SELDOM = st.sampled_from([False] * 19 + [True])
NUMBER = st.floats(-1e3, 1e3, allow_nan=False, width=32).map(repr)
ODD_CELLS = ["", " ", "?", "NA", "N/A", "nan", "None", "True", "1_0", "1e308", "inf", "+.5", "x",
             "٣", "1,5", " 7 ", "9" * 30, "né\u200d", "#", "=1", "a\tb"]  # fmt: skip
ODD_VALUES = [None, True, 5, 1.5, "", [], ["a"], [1, None], {"a": 1}, 10**30, "\ud800"]


def number(_: int) -> st.SearchStrategy[str]:
    return NUMBER


def hour(i: int) -> st.SearchStrategy[str]:
    return st.just(str(np.datetime64("2024-01-01", "h") + i).replace("T", " ") + ":00")


def zero(_: int) -> st.SearchStrategy[str]:
    return st.just("0")


def one_of(*words: str) -> Column:
    return lambda _: st.sampled_from(words)


@st.composite
def header(draw: st.DrawFn, names: Sequence[str]) -> list[str]:
    """Names of columns in any order, seldom with one too many, twice or without its name."""
    found = list(draw(st.permutations(names)))
    if draw(SELDOM):
        found.append(draw(st.sampled_from(["more", "", names[0], f" {names[0]}"])))
    if draw(SELDOM):
        found.remove(draw(st.sampled_from(found)))
    return found


@st.composite
def separated(
    draw: st.DrawFn, columns: dict[str, Column], rows: int, endings: Sequence[str]
) -> File:
    """A table of text: quotes, blank lines, ends of lines, encodings, rows of other lengths."""
    ending = draw(st.sampled_from(endings))
    separator = "\t" if ending == ".tsv" else ","
    names = draw(header(list(columns)))
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    odd = draw(SELDOM) or draw(SELDOM)
    lines = [separator.join(names)]
    for i in range(rows):
        cells = [draw(columns.get(name.strip(), number)(i)) for name in names]
        if odd and draw(SELDOM):
            cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from(ODD_CELLS))
        quoted = [f'"{c}"' if separator in c or draw(SELDOM) else c for c in cells]
        if odd and draw(SELDOM):
            quoted = draw(st.sampled_from([quoted[:-1], [*quoted, "1"]]))
        lines.append(separator.join(quoted))
        if draw(SELDOM):
            lines.append(draw(st.sampled_from(["", "  "])))
    text = end.join(lines) + draw(st.sampled_from(["", end, end * 2]))
    return packed(draw, ending, encoded(draw, text))


@st.composite
def objects(draw: st.DrawFn, columns: dict[str, Column], rows: int) -> File:
    """Lines of JSON: numbers or texts, values of other types, keys missing or twice."""
    names = draw(st.permutations(list(columns)))
    lines, odd = [], draw(SELDOM) or draw(SELDOM)
    for i in range(rows):
        row: dict[str, Any] = {name: draw(columns[name](i)) for name in names}
        row = {k: float(v) if columns[k] in (number, zero) else v for k, v in row.items()}
        if odd and draw(SELDOM):
            row[draw(st.sampled_from(names))] = draw(st.sampled_from(ODD_VALUES))
        if odd and draw(SELDOM):
            del row[draw(st.sampled_from(list(row)))]
        line = json.dumps(row, ensure_ascii=draw(st.booleans()))
        if draw(SELDOM):
            line = draw(st.sampled_from(["", line[:-1], line[:-1] + ', "more": 1}', f"[{line}]"]))
        lines.append(line)
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return packed(draw, ".jsonl", content)


@st.composite
def parquet(draw: st.DrawFn, columns: dict[str, Column], rows: int) -> File:
    """A Parquet file: numbers, stamps or texts, missing cells."""
    names = draw(st.permutations(list(columns)))
    frame = pd.DataFrame({name: [draw(columns[name](i)) for i in range(rows)] for name in names})
    for name in names:
        if columns[name] in (number, zero):
            frame[name] = frame[name].astype(draw(st.sampled_from(["float32", "float64"])))
        if draw(SELDOM):
            frame.loc[draw(st.integers(0, rows - 1)), name] = None
    if draw(st.booleans()) and "date" in frame:
        frame["date"] = pd.to_datetime(frame["date"])
    content = io.BytesIO()
    frame.to_parquet(content, index=draw(st.booleans()))
    whole = content.getvalue()
    return ".parquet", whole[: len(whole) // 2] if draw(SELDOM) else whole


@st.composite
def arrays(draw: st.DrawFn, channels: int, labels: Sequence[Any]) -> File:
    """An .npz of series: types, lengths, missing and infinite values, orders of bytes and axes."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 9)), channels + draw(SELDOM))
    kind = draw(st.sampled_from(["f4", "f8", ">f8", "i4", "u1", "f2"]))
    x = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 9, shape).astype(kind)
    if x.dtype.kind == "f" and draw(st.booleans()):
        places = draw(st.lists(st.tuples(*(st.integers(0, n - 1) for n in shape)), max_size=3))
        for place in places:
            x[place] = draw(st.sampled_from([np.nan, np.nan, np.nan, np.inf]))
    x = np.asfortranarray(x) if draw(st.booleans()) else x
    x = x[:0] if draw(SELDOM) else x[..., 0] if draw(SELDOM) else x
    given: dict[str, Any] = {"x": x, "y": np.resize(labels, len(x))}
    if draw(st.booleans()) and x.ndim == 3:
        lengths = draw(st.lists(st.integers(1, shape[1]), min_size=len(x), max_size=len(x)))
        given["lengths"] = np.array(lengths, dtype=np.int64)
        if draw(SELDOM) and len(lengths):
            given["lengths"][0] = draw(st.sampled_from([0, -1, 99]))
    if draw(SELDOM):
        given["x"] = draw(st.sampled_from([x.astype(str), x.astype(object), x.astype(complex)]))
    content = io.BytesIO()
    draw(st.sampled_from([np.savez, np.savez_compressed]))(content, **given)  # type: ignore[operator]
    whole = content.getvalue()
    return ".npz", whole[: len(whole) // 2] if draw(SELDOM) else whole


@st.composite
def sentences(draw: st.DrawFn, tags: Sequence[str]) -> File:
    """A word and its tag per line: blank lines, comments, other numbers of columns."""
    word = st.sampled_from(["fly", "to", "Rome", "né", "#a", '"', "2", "it's", "日本"])
    between = draw(st.sampled_from(["\t", " "]))
    odd, lines = draw(SELDOM) or draw(SELDOM), []
    for _ in range(draw(st.integers(1, 4))):
        if draw(SELDOM):
            lines.append("# a comment")
        for _ in range(draw(st.integers(1, 5))):
            line = between.join([draw(word), draw(st.sampled_from(tags))])
            if odd and draw(SELDOM):
                line = draw(st.sampled_from([f"a{between}{line}", f"{between}NOUN", f"{line} "]))
            lines.append(line)
        lines += [""] * draw(st.integers(1, 2))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    ending = draw(st.sampled_from([".tsv", ".conll", ".txt"]))
    return packed(draw, ending, encoded(draw, end.join(lines)))


def encoded(draw: st.DrawFn, text: str) -> bytes:
    """UTF-8, with or without its mark; seldom another one."""
    content = text.encode(draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig"])))
    if draw(SELDOM):
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.sampled_from([b"\xff", b"\0"])) + content[place:]
    return content


def packed(draw: st.DrawFn, ending: str, content: bytes) -> File:
    """Gzipped or not; seldom cut short."""
    if not draw(SELDOM):
        return ending, content
    whole = gzip.compress(content)
    return f"{ending}.gz", draw(st.sampled_from([whole, whole, whole[:-9], content]))

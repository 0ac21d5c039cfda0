"""Files as people have them: most are good, some are odd, some cannot be read."""

import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from PIL import Image

from tests import clips

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
def array(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of any type and order of bytes and axes; some missing, seldom one infinite."""
    kind = draw(st.sampled_from(["f4", "f8", ">f8", "i4", "u1", "f2"]))
    x = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 9, shape).astype(kind)
    if x.dtype.kind == "f" and x.size and draw(st.booleans()):
        places = draw(st.lists(st.tuples(*(st.integers(0, n - 1) for n in shape)), max_size=3))
        for place in places:
            x[place] = draw(st.sampled_from([np.nan, np.nan, np.nan, np.inf]))
    x = np.asfortranarray(x) if draw(st.booleans()) else x
    if draw(SELDOM):
        return draw(st.sampled_from([x[:0], x[..., 0], x.astype(str), x.astype(object), x + 0j]))
    return x


@st.composite
def mapped(draw: st.DrawFn, rows: int, columns: int) -> File:
    """A .npy array of rows, seldom cut off."""
    content = io.BytesIO()
    np.save(content, draw(array((rows, columns))))
    whole = content.getvalue()
    return ".npy", whole[: len(whole) // 2] if draw(SELDOM) else whole


@st.composite
def counts(draw: st.DrawFn, items: int, steps: int) -> np.ndarray:
    """Steps of each item, seldom too many or too few."""
    lengths = draw(st.lists(st.integers(1, steps), min_size=items, max_size=items))
    if draw(SELDOM):
        lengths[:1] = [draw(st.sampled_from([0, -1, 99]))]
    return np.array(lengths, dtype=np.int64)[: -1 if draw(SELDOM) else None]


@st.composite
def ids(draw: st.DrawFn, items: int) -> np.ndarray:
    """Names of items: words or numbers, of which some may be alike."""
    return np.resize(draw(st.sampled_from([["a", "né"], [7, 8, 9], [0.5], [b"x"]])), items)


@st.composite
def arrays(draw: st.DrawFn, channels: int, labels: Sequence[Any]) -> File:
    """An .npz of series, perhaps with lengths and names."""
    items, steps = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    given: dict[str, Any] = {"x": draw(array((items, steps, channels + draw(SELDOM))))}
    given["y"] = np.array(labels)[np.arange(len(given["x"])) % len(labels)]
    if draw(st.booleans()):
        given["lengths"] = draw(counts(items, steps))
    if draw(SELDOM):
        given["id"] = draw(ids(items))
    return npz(draw, given)


@st.composite
def sources(draw: st.DrawFn, channels: Mapping[str, int], labels: Sequence[Any]) -> File:
    """An .npz of several sources, one of which may be missing, or have another number of items."""
    items, given = draw(st.integers(1, 5)), {}
    for name, width in channels.items():
        steps = draw(st.integers(1, 9))
        shape = (items + draw(SELDOM), steps, width + draw(SELDOM))
        given[f"{name}_x"] = draw(array(shape if not draw(SELDOM) else shape[::2]))
        if draw(st.booleans()):
            given[f"{name}_lengths"] = draw(counts(items, steps))
    given["y"] = np.array(labels)[np.arange(items) % len(labels)]
    if draw(SELDOM):
        del given[draw(st.sampled_from(sorted(given)))]
    if draw(SELDOM):
        given["id"] = draw(ids(items))
    if draw(SELDOM):
        given["clock"] = draw(counts(items, 9))
    return npz(draw, given)


@st.composite
def devices(draw: st.DrawFn, widths: Mapping[str, tuple[int, int]]) -> File:
    """An .npz of recordings by several devices, of so many channels and ms from row to row."""
    spans = draw(st.lists(st.integers(3, 9), min_size=1, max_size=3))
    by_person, given = draw(st.booleans()), {}
    for name, (channels, width) in widths.items():
        late = draw(st.integers(0, width))
        times = [1000 * i + np.arange(late, 100 * n, width) for i, n in enumerate(spans)]
        owner = np.repeat(np.arange(len(spans)), [len(time) for time in times])
        time = np.concatenate(times)
        if draw(SELDOM):
            time = draw(st.sampled_from([time[::-1], time * 1e6, time[:-1], time.astype(str)]))
        keys = {"id": owner} if by_person else {"subject": owner // 2, "execution": owner % 2}
        x = draw(array((len(owner), channels + draw(SELDOM))))
        rows = {"x": x, "t_ms": time, "label": np.arange(len(owner)) % 2, **keys}
        if draw(SELDOM):
            rows = {key: value[len(times[0]) :] for key, value in rows.items()}
        if draw(SELDOM):
            del rows[draw(st.sampled_from(["x", "t_ms", *keys]))]
        given |= {f"{name}_{key}": value for key, value in rows.items()}
    return npz(draw, given)


def npz(draw: st.DrawFn, given: Mapping[str, Any]) -> File:
    """Compressed or not; seldom cut short."""
    content = io.BytesIO()
    draw(st.sampled_from([np.savez, np.savez_compressed]))(content, **given)  # type: ignore[operator]
    whole = content.getvalue()
    return ".npz", whole[: len(whole) // 2] if draw(SELDOM) else whole


@st.composite
def strips(draw: st.DrawFn, side: int) -> File:
    """Frames side by side in a picture of any mode; seldom of a width that is no multiple."""
    shape = (side, side * draw(st.integers(1, 6)) + draw(SELDOM), 3)
    pixels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape)
    picture = Image.fromarray(pixels.astype(np.uint8)).convert(
        draw(st.sampled_from(["RGB", "RGB", "L", "P", "1", "RGBA", "LA"]))
    )
    ending, content = draw(st.sampled_from([".png", ".png", ".jpg"])), io.BytesIO()
    picture = picture.convert("RGB") if ending == ".jpg" else picture
    picture.save(content, "jpeg" if ending == ".jpg" else "png")
    whole = content.getvalue()
    if draw(SELDOM):
        return draw(st.sampled_from([".jpg", ".PNG", ".mp4"])), whole
    return ending, whole[: len(whole) // 2] if draw(SELDOM) else whole


@st.composite
def videos(draw: st.DrawFn) -> File:
    """A few frames of a square that moves or stays; seldom none, or cut short."""
    ending = draw(st.sampled_from([".mp4", ".avi", ".mkv"]))
    steps = 0 if draw(SELDOM) else draw(st.integers(1, 6))
    pictures = clips.frames(draw(st.booleans()), steps, start=draw(st.integers(0, 8)))
    with TemporaryDirectory() as folder:
        whole = clips.write(Path(folder) / f"clip{ending}", pictures).read_bytes()
    return ending, whole[: len(whole) // 2] if draw(SELDOM) else whole


@st.composite
def frames(draw: st.DrawFn, side: int) -> File:
    """An .npz of clips as they are in memory."""
    items, steps = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    shape = (items, steps, 3 - draw(SELDOM), side + draw(SELDOM), side)
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape).astype(np.uint8)
    x = draw(st.sampled_from([x[:0], x[..., 0], x / 255])) if draw(SELDOM) else x
    given: dict[str, Any] = {"x": np.asfortranarray(x) if draw(st.booleans()) else x}
    if draw(st.booleans()):
        given["lengths"] = draw(counts(items, steps))
    if draw(SELDOM):
        given["id"] = draw(ids(items))
    return npz(draw, given)


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

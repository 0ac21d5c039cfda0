"""seqfuse sample writes a small made-up data set for a job, and says what to type with it.

Usage: seqfuse sample <kind> [<folder>]

  series     classes of series: mine.npz, new.npz
  table      an hourly table to forecast: mine.csv
  incomplete such a table, of which a tenth is missing: incomplete.csv
  labelled   a table with some anomalies in it: labelled.csv
  texts      texts and their class: texts.csv, texts_test.csv
  tags       sentences and a tag for each word: tags.tsv, tags_test.tsv
  sources    two sources of one label: sources.npz
  clips      clips of two motions: clips/left, clips/right
  large      rows to be read from the disk: large.npy
"""

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import one_line, say

HOURS = 24 * 90
VERBS = {"play": ("play", "start", "put on"), "book": ("book", "reserve", "find")}
THINGS = {
    "play": ("some jazz", "the new album", "a song by Ella", "my morning list", "quiet music"),
    "book": ("a table for two", "a room in Rome", "a seat by the window", "two tickets"),
}
ENDS = ("please", "for tonight", "now", "if you can", "as soon as possible", "for my friend")
GRAMMAR = (
    (("DET", ("the", "a", "every", "this")),),
    (("ADJ", ("small", "red", "old", "quick")), ()),
    (("NOUN", ("dog", "train", "river", "teacher", "report")),),
    (("VERB", ("sees", "follows", "likes", "finds")),),
    (("DET", ("the", "a", "every", "this")),),
    (("NOUN", ("house", "bird", "report", "garden", "train")),),
    (("ADV", ("quickly", "today", "often")), ()),
)
"""Pattern of a sentence, place by place: a tag and its words, which may be left out."""


def main() -> None:
    """The command; `seqfuse sample --help` explains it."""
    words = sys.argv[1:]
    if not words or {"--help", "-h"} & {*words}:
        return say((__doc__ or "").rstrip())
    kind, folder = words[0], Path(words[1] if len(words) > 1 else ".")
    with one_line():
        if kind not in MAKERS or len(words) > 2:
            raise InputError(f"sample {' '.join(words)}: kinds are {', '.join(MAKERS)}")
        maker, command = MAKERS[kind]
        contents = maker(np.random.default_rng(0))
        write(contents, folder)
        made = {name.partition("/")[0] for name in contents}
        words = (word.partition("=") for word in command.split())
        command = " ".join(f"{k}={folder / v}" if v in made else k + e + v for k, e, v in words)
        say(f"next        {command}")


def write(contents: Mapping[str, bytes], folder: Path) -> None:
    """Writes files by their names; none where one of them is there already."""
    for name in contents:
        if (folder / name).exists():
            raise InputError(f"{folder / name} is there already: name another folder")
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write(folder / name, content)
    names = [str(folder / name) for name in contents]
    say(f"made        {', '.join(names if len(names) < 5 else [*names[:2], '...', names[-1]])}")


def series(generator: np.random.Generator) -> dict[str, bytes]:
    """Noisy waves of two speeds, each with a phase of its own."""
    y = np.repeat(["slow", "fast"], 60)
    time, phase = np.linspace(0, 6, 80), generator.uniform(0, 6, (120, 1))
    speed = np.where(y == "slow", 1.0, 3.0)[:, None]
    x = np.sin(speed * time + phase) + generator.normal(0, 0.4, (120, 80))
    x = x[:, :, None].astype(np.float32)
    return {"mine.npz": _npz(x=x[::2], y=y[::2]), "new.npz": _npz(x=x[1::2])}


def _hourly(generator: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stamps, and load that goes with day and week."""
    hours = np.arange(HOURS)
    stamps = np.datetime64("2024-01-01T00", "h") + hours
    day, week = 2 * np.pi * hours / 24, 2 * np.pi * hours / 168
    wander = np.cumsum(generator.normal(0, 0.05, HOURS))
    load = 10 + 3 * np.sin(day) + np.sin(2 * day) + 1.5 * np.cos(week) + wander
    return stamps, load + generator.normal(0, 0.3, HOURS)


def table(generator: np.random.Generator) -> dict[str, bytes]:
    """Price and temperature, hour by hour."""
    stamps, price = _hourly(generator)
    warmth = 12 - 0.8 * price + generator.normal(0, 0.5, HOURS)
    rows = zip(stamps, price, warmth, strict=True)
    return {
        "mine.csv": _csv("date,price,temperature", (f"{t},{p:.3f},{w:.3f}" for t, p, w in rows))
    }


def incomplete(generator: np.random.Generator) -> dict[str, bytes]:
    """Such a table without some of its values, alone or for hours on end."""
    (text,) = table(generator).values()
    header, *rows = (line.split(",") for line in text.decode().split())
    for column in (1, 2):
        alone = generator.random(HOURS) < 0.05
        for row in np.flatnonzero(alone):
            rows[row][column] = ""
        for first in generator.integers(0, HOURS - 12, HOURS // 240):
            for row in rows[first : first + 12]:
                row[column] = ""
    return {"incomplete.csv": _csv(",".join(header), map(",".join, rows))}


def labelled(generator: np.random.Generator) -> dict[str, bytes]:
    """Such a table, which in its second half stands still, jumps or shakes now and then."""
    stamps, load = _hourly(generator)
    anomaly = np.zeros(HOURS, dtype=int)
    for start in range(HOURS // 2, HOURS - 48, 150):
        span = slice(start, start + 12)
        anomaly[span] = 1
        changes = (
            np.full(12, load[start]),
            load[span] + 6,
            load[span] + generator.normal(0, 3, 12),
        )
        load[span] = changes[start // 150 % 3]
    rows = zip(stamps, load, anomaly, strict=True)
    return {"labelled.csv": _csv("date,load,anomaly", (f"{t},{x:.3f},{a}" for t, x, a in rows))}


def texts(generator: np.random.Generator) -> dict[str, bytes]:
    """Orders to play or to book something."""
    parts = [(y, v, t, e) for y in VERBS for v in VERBS[y] for t in THINGS[y] for e in ENDS]
    order = generator.permutation(len(parts))
    rows = [f"{v} {t} {e},{y}" for y, v, t, e in (parts[i] for i in order)]
    return {
        "texts.csv": _csv("text,label", rows[30:]),
        "texts_test.csv": _csv("text,label", rows[:30]),
    }


def tags(generator: np.random.Generator) -> dict[str, bytes]:
    """Sentences of a small grammar, and the part of speech of each word."""

    def sentence() -> str:
        chosen = (place[generator.integers(len(place))] for place in GRAMMAR)
        words = ((generator.choice(entry[1]), entry[0]) for entry in chosen if entry)
        return "".join(f"{word}\t{tag}\n" for word, tag in words)

    both = {"tags.tsv": 200, "tags_test.tsv": 50}
    return {
        name: "\n".join(sentence() for _ in range(count)).encode() for name, count in both.items()
    }


def sources(generator: np.random.Generator) -> dict[str, bytes]:
    """A phone and a watch of another rate, which see rest and motion."""
    y = np.repeat(["rest", "move"], 60)
    width = np.where(y == "rest", 0.3, 1.5)[:, None, None]
    phone, watch = (generator.normal(size=(120, *shape)) * width for shape in ((40, 3), (80, 2)))
    return {"sources.npz": _npz(phone_x=phone, watch_x=watch, y=y)}


def clips(generator: np.random.Generator) -> dict[str, bytes]:
    """A square that goes to the left or to the right: frames side by side in a picture."""
    from PIL import Image  # slow

    files, size, steps = {}, 32, 16
    for number in range(40):
        name = ("left", "right")[number % 2]
        frames = generator.integers(0, 60, (steps, size, size, 3)).astype(np.uint8)
        top, first = generator.integers(0, size - 8), generator.integers(0, size - 24)
        for step in range(steps):
            column = first + (step if name == "right" else steps - 1 - step)
            frames[step, top : top + 8, column : column + 8] = 220
        content = io.BytesIO()
        Image.fromarray(np.concatenate(list(frames), axis=1)).save(content, "png")
        files[f"clips/{name}/{number:02}.png"] = content.getvalue()
    return files


def large(generator: np.random.Generator) -> dict[str, bytes]:
    """Rows of two columns, as .npy, which is mapped and not read."""
    _, load = _hourly(generator)
    content = io.BytesIO()
    np.save(content, np.stack([load, np.roll(load, 3)], axis=1).astype(np.float32))
    return {"large.npy": content.getvalue()}


def _npz(**arrays: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def _csv(header: str, rows: Any) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


FORECAST = "data.look_back=168 data.horizon=24"
MAKERS: dict[str, tuple[Callable[[np.random.Generator], dict[str, bytes]], str]] = {
    "series": (series, "seqfuse train data=arrays data.train=mine.npz"),
    "table": (table, f"seqfuse train data=csv data.file=mine.csv data.targets=[price] {FORECAST}"),
    "incomplete": (incomplete, "seqfuse train data=incomplete data.file=incomplete.csv"),
    "labelled": (labelled, "seqfuse train data=labelled data.file=labelled.csv"),
    "texts": (texts, "seqfuse train data=text data.train=texts.csv data.test=texts_test.csv"),
    "tags": (tags, "seqfuse train data=conll data.train=tags.tsv data.test=tags_test.tsv"),
    "sources": (sources, "seqfuse train data=sources data.train=sources.npz"),
    "clips": (clips, "seqfuse train data=video data.folder=clips"),
    "large": (large, f"seqfuse train data=mapped data.file=large.npy {FORECAST} data.season=24"),
}
"""By kind: what makes the files, and the command that trains on them."""


if __name__ == "__main__":
    main()

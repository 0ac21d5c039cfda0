"""From files as they are published to those that the readers take; values are not changed."""

import ast
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Contents = Iterator[tuple[str, bytes]]
"""Names of the files of a data set, and what they hold."""


def gzipped(text: str) -> bytes:
    """Text, the same each time."""
    return gzip.compress(text.encode(), mtime=0)


def packed(**arrays: NDArray[Any]) -> bytes:
    """Arrays as an .npz file."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file by its header."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def snips(parts: Path) -> Contents:
    """Words at white space; a word has the slot that one of its letters lies in."""
    for split, pattern in (("train", "train_*_full.json"), ("test", "validate_*.json")):
        lines = []
        for path in sorted(parts.glob(pattern)):
            content = path.read_bytes()
            try:
                queries = json.loads(content.decode())
            except UnicodeDecodeError:  # one of the files
                queries = json.loads(content.decode("latin-1"))
            for intent, entries in queries.items():
                lines += [_snips_line(intent, entry["data"]) for entry in entries]
        yield f"{split}.jsonl.gz", gzipped("".join(f"{line}\n" for line in lines))


def _snips_line(intent: str, spans: list[dict[str, str]]) -> str:
    text = "".join(span["text"] for span in spans)
    slots = [number for number, span in enumerate(spans) for _ in span["text"]]
    tokens, tags, end, before = [], [], 0, -1
    for token in text.split():
        start = text.index(token, end)
        end = start + len(token)
        number = next((i for i in slots[start:end] if "entity" in spans[i]), -1)
        tokens.append(token)
        mark = "I" if number == before else "B"
        tags.append("O" if number < 0 else f"{mark}-{spans[number]['entity']}")
        before = number
    entry = {"intent": intent, "tokens": tokens, "tags": tags}
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def ewt(parts: Path) -> Contents:
    """Words and their parts of speech, by sentence; neither parts of words nor empty nodes."""
    for split in ("train", "dev", "test"):
        lines = []
        for line in (parts / f"{split}.conllu").read_text(encoding="utf-8").splitlines():
            number, _, rest = line.partition("\t")
            if number.isdigit():
                columns = rest.split("\t")
                lines.append(f"{columns[0]}\t{columns[2]}")
            elif line.startswith("# sent_id = "):
                lines.append(f"# {line.removeprefix('# sent_id = ')}")
            elif not line:
                lines.append("")
        yield f"{split}.tsv.gz", gzipped("".join(f"{line}\n" for line in lines))


def smap_msl(parts: Path) -> Contents:
    """A file per channel of the spacecraft: telemetry, commands, and labels of the test part."""
    spans: dict[str, list[list[int]]] = {}
    for row in read_rows(parts / "labeled_anomalies.csv"):
        spans.setdefault(row["chan_id"], []).extend(ast.literal_eval(row["anomaly_sequences"]))
    for name, sequences in spans.items():
        train, test = (np.load(parts / split / f"{name}.npy") for split in ("train", "test"))
        label = np.zeros(len(test), dtype=np.uint8)
        for first, last in sequences:
            label[first : last + 1] = 1
        yield (
            f"{name}.npz",
            packed(
                train_value=train[:, 0],
                test_value=test[:, 0],
                train_command=train[:, 1:].astype(np.uint8),
                test_command=test[:, 1:].astype(np.uint8),
                test_label=label,
            ),
        )
    yield "labeled_anomalies.csv", (parts / "labeled_anomalies.csv").read_bytes()


LABELS = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
AXES = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro")


def har(parts: Path) -> Contents:
    """All recordings of a device in one file, by person and execution."""
    for device, ending in (("smartphone", "sp"), ("smartwatch", "sw")):
        columns: dict[str, list[NDArray[Any]]] = {}
        for path in sorted(parts.glob(f"s*/s*_{ending}.csv")):
            rows = read_rows(path)
            person, execution, _ = path.stem.split("_")
            labels = [LABELS.index(row["label"]) for row in rows]
            for name, values in {
                "x": np.array([[row[axis] for axis in AXES] for row in rows], dtype=np.float32),
                "t_ms": np.array([row["timestamp"] for row in rows], dtype=np.int64),
                "label": np.array(labels, dtype=np.uint8),
                "subject": np.full(len(rows), int(person[1:]), dtype=np.uint8),
                "execution": np.full(len(rows), int(execution), dtype=np.uint8),
            }.items():
                columns.setdefault(name, []).append(values)
        whole = {name: np.concatenate(arrays) for name, arrays in columns.items()}
        yield f"{device}.npz", packed(**whole)
    yield "labels.txt", "".join(f"{label}\n" for label in LABELS).encode()
    for name in ("subjects_info.csv", "executions_info.csv"):
        yield name, (parts / name).read_bytes()


def stocks(parts: Path) -> Contents:
    """Days of all stocks in one table, by stock and date."""
    rows = {}
    for path in sorted(parts.glob("*.csv")):
        for row in read_rows(path):
            rows[row["Stock"], row["Date"]] = row
    names = [name for name in next(iter(rows.values())) if name not in ("", "Date", "Stock")]
    names = ["Date", "Stock", *names]
    lines = [names, *([rows[key][name] for name in names] for key in sorted(rows))]
    text = "".join(f"{','.join(line)}\n" for line in lines)
    yield "stock_ohlcv.csv.gz", gzipped(text)


CONVERTERS: dict[str, Callable[[Path], Contents]] = {
    "snips": snips,
    "ud_english_ewt": ewt,
    "smap_msl": smap_msl,
    "har_sp_sw": har,
    "stock_ohlcv": stocks,
}
"""Data sets whose files are not taken as they are published."""

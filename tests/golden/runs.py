"""One run of each experiment, by the commands alone: training, predictions, the exported folder.

Nothing of the inside of seqfuse is imported and few keys are named, so that this outlives any
rebuilding.
"""

import contextlib
import csv
import gzip
import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import onnxruntime
import torch
from hydra.core.global_hydra import GlobalHydra

from seqfuse import export, predict, train
from tests.golden.trace import FILE

ROOT = Path(__file__).parents[2]
VALUES = Path(__file__).with_name("values")
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf/experiment").glob("*.yaml"))
TWO_STEPS = (
    *("trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=2"),
    *("test=false", "logger=none", "callbacks.figures=null", "hydra.mode=RUN"),
    "+callbacks.trace._target_=tests.golden.trace.Trace",
)
QUIET = ("trainer.accelerator=cpu", "trainer.num_threads=1", "trainer.enable_progress_bar=false")
ROWS = 10
"""Rows of a table that are kept in full, at even distances."""


class Own(NamedTuple):
    """A file like those of the training data."""

    path: str = ""
    """From the folder of data sets; or none, for series that are drawn."""
    lines: int = 0
    """At its beginning that are taken; 0 takes all."""


OWN = {
    "ablation": Own(),
    "banking77": Own("banking77/test.csv.gz", 300),
    "beijing_day": Own("beijing_pm25/pollution.csv.gz", 901),
    "beijing_pm25_24": Own("beijing_pm25/pollution.csv.gz", 901),
    "etth1_192": Own("ett/ETTh1.csv.gz", 801),
    "etth1_96": Own("ett/ETTh1.csv.gz", 801),
    "ewt": Own("ud_english_ewt/dev.tsv.gz", 2000),
    "fight": Own("surveillance_fight/clips/fight"),
    "fight_anomaly": Own("surveillance_fight/clips/fight"),
    "hand_gesture": Own("hand_gesture/point_history.csv.gz", 300),
    "har_fractions": Own("har_sp_sw"),
    "har_fusion": Own("har_sp_sw"),
    "har_labels": Own("har_sp_sw"),
    "har_steps": Own("har_sp_sw"),
    "illness_24": Own("illness/national_illness.csv.gz", 201),
    "imputation": Own("ett/ETTh1.csv.gz", 801),
    "japanese_vowels": Own(),
    "nab": Own("nab/realKnownCause/nyc_taxi.csv.gz"),
    "skab": Own("skab/valve1/0.csv.gz"),
    "smap_msl": Own("smap_msl/A-1.npz"),
    "snips_intent": Own("snips/test.jsonl.gz", 300),
    "snips_slots": Own("snips/test.jsonl.gz", 300),
    "stocks_5": Own("stock_ohlcv/stock_ohlcv.csv.gz", 701),
    "wnut17": Own("wnut17/dev.conll.gz", 2000),
}
SHIPPED = {"illness_24", "japanese_vowels", "nab", "wnut17"}
"""Experiments whose exported folder is run, too."""


def machine() -> str:
    """What the last bits of a sum hang on."""
    try:
        lines = Path("/proc/cpuinfo").read_text()
        keys = ("vendor_id", "cpu family", "model")
        cpu = [m[1] for key in keys if (m := re.search(rf"^{key}\s*: (.+)$", lines, re.MULTILINE))]
    except OSError:
        cpu = []
    parts = (
        f"torch {torch.__version__}, numpy {np.__version__}, onnxruntime {onnxruntime.__version__}",
        f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    )
    return ", ".join((*parts, " ".join(cpu))).rstrip(", ")


def values(name: str, data: Path, folder: Path) -> dict[str, Any]:
    """Trains an experiment for two steps in a folder, and predicts a file with it."""
    with contextlib.chdir(folder):
        place = f"paths.data={data}"
        _call(train.main, f"experiment={name}", place, "hydra.run.dir=run", *QUIET, *TWO_STEPS)
        found = json.loads(Path("run", FILE).read_text())
        file, ckpt = _own_file(OWN[name], data), "ckpt=run/checkpoints/best.ckpt"
        _call(predict.main, ckpt, f"input={file}", "output=p.csv", *QUIET)
        found["predictions"] = _table(Path("p.csv"))
        if name in SHIPPED:
            _call(export.main, ckpt, "output=shipped", "split=none", "repeats=1", *QUIET)
            words = [sys.executable, "shipped/run.py", file, "r.csv"]
            subprocess.run(words, check=True, capture_output=True, timeout=60)
            found["shipped"] = _table(Path("r.csv"))
    return found


def _call(main: Callable[[], None], *words: str) -> None:
    GlobalHydra.instance().clear()
    with mock.patch("sys.argv", ["seqfuse", *words]):
        main()


def _own_file(own: Own, data: Path) -> str:
    """Writes the file into the current folder; its name."""
    path = data / own.path
    if not own.path:
        np.savez("own.npz", x=np.random.default_rng(0).normal(size=(20, 20, 12)))
        return "own.npz"
    if own.path == "har_sp_sw":
        np.savez("own.npz", **_first_person(path))
        return "own.npz"
    if path.is_dir():
        Path("own").mkdir()
        for clip in sorted(path.iterdir())[:5]:
            shutil.copyfile(clip, Path("own", clip.name))
        return "own"
    suffixes = [suffix for suffix in path.suffixes[-2:] if suffix != ".gz"]
    file = f"own{''.join(suffixes)}"
    if path.suffix != ".gz":
        shutil.copyfile(path, file)
        return file
    with gzip.open(path, "rt", encoding="utf-8") as packed:
        lines = packed.read().split("\n")
    Path(file).write_text("\n".join(lines[: own.lines or None]), encoding="utf-8")
    return file


def _first_person(folder: Path) -> dict[str, Any]:
    """What both devices of the first person recorded."""
    found = {}
    for name in ("phone", "watch"):
        with np.load(folder / f"smart{name}.npz") as arrays:
            first = arrays["subject"] == arrays["subject"][0]
            found |= {f"{name}_{k}": arrays[k][first] for k in arrays.files if k != "label"}
    return found


def _table(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    columns, *rows = [_line(cells) for cells in csv.reader(text.splitlines())]
    chosen = np.linspace(0, len(rows) - 1, ROWS).astype(int)
    return {
        "columns": columns,
        "number of rows": len(rows),
        "rows": {str(i): rows[i] for i in chosen},
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def cells(lines: Iterable[str]) -> list[list[str]]:
    """Cells of a table that was written row by row."""
    return list(csv.reader(lines))

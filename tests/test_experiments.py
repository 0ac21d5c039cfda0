"""Every experiment on its real data: one step, predictions for a file, numbers as promised."""

import gzip
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.config import cli
from seqfuse.predict import main
from seqfuse.train import train
from tests import devices
from tests.conftest import composed

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
ONE_STEP = (
    *("trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1"),
    *("test=false", "callbacks.figures=null"),
)
# Where a file in the format of the training data lies, how many rows of it, and what comes out.
FILES = {
    "ett": ("ett/ETTh1.csv.gz", 800, {"from", "time", "step", "OT", "OT_q0.975"}),
    "beijing": ("beijing_pm25/pollution.csv.gz", 900, {"from", "time", "step", "pm2.5"}),
    "illness": ("illness/national_illness.csv.gz", 200, {"from", "time", "step", "OT"}),
    "stocks": ("stock_ohlcv/stock_ohlcv.csv.gz", 700, {"Stock", "from", "step", "AdjClose"}),
    "nab": ("nab/realKnownCause/nyc_taxi.csv.gz", 0, {"recording", "time", "score", "anomaly"}),
    "skab": ("skab/valve1/0.csv.gz", 0, {"recording", "time", "score", "anomaly"}),
    "smap": ("smap_msl/A-1.npz", 0, {"recording", "time", "score", "anomaly"}),
    "japanese": ("", 0, {"row", "prediction", "p_1", "p_9"}),
    "har": ("har_sp_sw", 0, {"id", "step", "t_ms", "prediction", "probability"}),
    "fight_anomaly": ("surveillance_fight/clips/fight", 0, {"file", "id", "score"}),
    "fight": ("surveillance_fight/clips/fight", 0, {"file", "id", "p_fight", "p_nofight"}),
    "hand": ("hand_gesture/point_history.csv.gz", 0, {"row", "prediction", "p_Clockwise"}),
    "ablation": ("", 0, {"row", "prediction", "p_1", "p_9"}),
    "banking77": ("banking77/test.csv.gz", 0, {"row", "prediction", "p_card_arrival"}),
    "snips_intent": ("snips/test.jsonl.gz", 0, {"row", "prediction", "p_PlayMusic"}),
    "snips_slots": ("snips/test.jsonl.gz", 0, {"row", "step", "token", "prediction"}),
    "ewt": ("ud_english_ewt/dev.tsv.gz", 0, {"row", "step", "token", "prediction"}),
    "wnut17": ("wnut17/dev.conll.gz", 0, {"row", "step", "token", "prediction"}),
}
EXPERIMENTS = sorted(path.stem for path in (cli.CONF / "experiment").glob("*.yaml"))


def own_file(kind: str, data: Path) -> Path:
    """The head of a file or folder, without what is known ahead: in the folder one works in."""
    name, rows, _ = FILES[kind]
    if not name:
        np.savez("own.npz", x=np.random.default_rng(0).normal(size=(5, 20, 12)))
        return Path("own.npz")
    if kind == "har":
        np.savez("own.npz", **devices.both(**devices.head(data / name)))
        return Path("own.npz")
    if (data / name).is_dir():
        Path("own").mkdir()
        for clip in sorted((data / name).iterdir())[:5]:
            shutil.copy(clip, "own")
        return Path("own")
    path = next(p for p in (data / name, (data / name).with_suffix("")) if p.is_file())
    own = Path(f"own{''.join(path.suffixes[-2:])}")
    if not rows:
        shutil.copy(path, own)
        return own
    with gzip.open(own, "wt") as file:
        pd.read_csv(path).head(rows).to_csv(file, index=False)
    return own


# What they read and predict is much like what another one does.
ALIKE = {
    *("ablation", "banking77", "etth1_192", "ewt", "fight", "fight_anomaly", "har_steps"),
    *("nab", "illness_24", "snips_intent", "snips_slots", "wnut17"),
}
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n in ALIKE)) for n in EXPERIMENTS]


@pytest.mark.parametrize("name", NAMES)
def test_one_step_and_predictions(
    name: str, data_root: Path, command: Callable, tmp_path: Path
) -> None:
    kind = next(kind for kind in FILES if name.startswith(kind))
    train(composed([f"experiment={name}", *QUIET, *ONE_STEP]), tmp_path / "run")
    ckpt = tmp_path / "run" / "checkpoints" / "best.ckpt"
    given = own_file(kind, data_root.resolve())
    code, out, err = command(main, f"ckpt={ckpt}", f"input={given}", "output=p.csv", *QUIET)
    assert not code, err
    found = pd.read_csv("p.csv")
    assert FILES[kind][2] <= set(found)
    assert f"{len(found):,} rows" in out
    numbers = found.drop(columns="time", errors="ignore").select_dtypes("number")
    assert len(found) >= 5
    assert numbers.notna().mean().min() > 0.5


@pytest.mark.slow
def test_japanese_vowels(tmp_path: Path) -> None:
    results = [
        train(
            composed(["experiment=japanese_vowels", f"seed={seed}", *QUIET]), tmp_path / str(seed)
        )
        for seed in range(5)
    ]
    assert statistics.mean(result["test/accuracy"] for result in results) >= 0.98


@pytest.mark.slow
def test_synthetic_with_the_reference_net(tmp_path: Path) -> None:
    words = ["data=synthetic", "model=base", "trainer.max_epochs=10", *QUIET]
    assert train(composed(words), tmp_path)["test/accuracy"] >= 0.95

"""Small recordings of two devices: who moves is labelled so, sample by sample."""

from pathlib import Path

import numpy as np

LABELS = ["REST", "MOVE"]


def device(
    channels: int, width: float, people: int = 8, executions: int = 2, late: int = 0
) -> dict[str, np.ndarray]:
    """Rows of one device: 3 to 4 seconds of rest, motion and rest for each execution."""
    generator = np.random.default_rng(channels)
    parts: dict[str, list] = {name: [] for name in ("x", "t_ms", "label", "subject", "execution")}
    for person in range(1, people + 1):
        for execution in range(1, executions + 1):
            end = 3000 + 100 * person
            time = 1000 * (100 * person + execution) + np.arange(late, end, width)
            phase = (time - time[0] + late) / end
            moves = (phase > 0.3) & (phase < 0.7)
            noise = generator.normal(size=(len(time), channels))
            parts["x"].append(noise * np.where(moves, 4.0, 0.2)[:, None])
            parts["t_ms"].append(time.astype(np.int64))
            parts["label"].append(moves.astype(np.uint8))
            parts["subject"].append(np.full(len(time), person, dtype=np.uint8))
            parts["execution"].append(np.full(len(time), execution, dtype=np.uint8))
    return {name: np.concatenate(rows) for name, rows in parts.items()}


def phone() -> dict[str, np.ndarray]:
    return device(channels=3, width=50.0)


def watch() -> dict[str, np.ndarray]:
    return device(channels=2, width=25.0, late=30)


def write(folder: Path, **arrays: dict[str, np.ndarray]) -> Path:
    """Both files and the names of the labels; other arrays than the usual ones by device."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {"phone": phone(), "watch": watch(), **arrays}.items():
        np.savez(folder / f"{name}.npz", **rows)  # type: ignore[arg-type]
    (folder / "labels.txt").write_text("\n".join(LABELS))
    return folder


def head(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """The first person of the real recordings."""
    found = {}
    for name, file in (("phone", "smartphone.npz"), ("watch", "smartwatch.npz")):
        with np.load(folder / file) as arrays:
            first = arrays["subject"] == arrays["subject"][0]
            found[name] = {key: arrays[key][first] for key in arrays.files}
    return found


def both(**devices: dict[str, np.ndarray]) -> dict:
    """The arrays of one file to predict."""
    devices = devices or {"phone": phone(), "watch": watch()}
    return {
        f"{device}_{name}": rows
        for device, arrays in devices.items()
        for name, rows in arrays.items()
        if name != "label"
    }


OPTIONS = (
    "data.file='{source}.npz'",
    "data.test_people=[7,8]",
    "data.validation_people=[6]",
    "data.rate=[10.0]",
    "data.batch_size=4",
    "model.cnn.channels=[8,8]",
    "model.lstm.hidden_size=8",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.num_threads=1",
)
"""Of a run on them; `data.root` is to be named."""

"""Wrong run folders, to go on with or to run again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seqfuse.train import main
from tests.bad_inputs.catalogue import Content, Row, rows
from tests.bad_inputs.conftest import Judge

BINARY = b"\x00\xff\xfe\x80" * 50
GO_ON = "resume=run trainer.max_epochs=2"
AGAIN = "--config-dir run --config-name config hydra.run.dir=again trainer.max_epochs=1"


def gone(*names: str) -> dict[str, Content]:
    return {f"run/{name}": lambda path: path.unlink() for name in names}


def changed(name: str, old: str, new: str) -> dict[str, Content]:
    return {f"run/{name}": lambda path: path.write_text(path.read_text().replace(old, new))}


def saved(key: str, value: object = None) -> dict[str, Content]:
    """All checkpoints, with another value under a key, or without it."""

    def write(path: Path) -> None:
        content = torch.load(path, weights_only=False)
        content.pop(key)
        torch.save(content | ({} if value is None else {key: value}), path)

    return {f"run/checkpoints/{name}.ckpt": write for name in ("best", "last")}


@pytest.mark.long
@rows(
    Row("resume=latest", ["resume=latest", "logs"]),
    Row("resume=nowhere", ["resume=nowhere", "config.yaml"]),
    Row("resume=", "resume"),
    Row("resume=5", "resume=5"),
    Row("resume=[run]", "resume"),
    Row("resume=run/config.yaml", ["resume=run/config.yaml", "folder"]),
    Row("resume=run/checkpoints", ["resume=run/checkpoints", "config.yaml"]),
    Row("resume=run -m seed=1,2", ["resume", "-m"]),
    Row("resume=run trainer.max_epochs=1", ["run is finished", "trainer.max_epochs=2"]),
    Row(f"{GO_ON} model=wide", "model"),
    Row(f"{GO_ON} model.lstm.hidden_size=8", "model"),
    Row(f"{GO_ON} optimizer.lrr=1", ["optimizer.lrr", "optimizer.lr"]),
    Row(f"{GO_ON} find_lr=true", ["find_lr", "optimizer.lr"]),
    Row(f"{GO_ON} task.monitor=val/nothing", "task.monitor=val/nothing"),
    Row(GO_ON, "in run ", {"run/config.yaml": ""}),
    Row(GO_ON, "run/config.yaml", {"run/config.yaml": BINARY}),
    Row(GO_ON, "run/config.yaml", {"run/config.yaml": "a: [1"}),
    Row(GO_ON, "in run ", {"run/config.yaml": "- 1\n- 2\n"}),
    Row(GO_ON, "in run ", {"run/config.yaml": "text"}),
    Row(GO_ON, "in run ", {"run/config.yaml": "a: 1\n"}),
    Row(GO_ON, "config.yaml", gone("config.yaml")),
    Row(GO_ON, ["config", "resume"], changed("config.yaml", "\nresume:", "\nresumed:")),
    Row(GO_ON, "model", changed("config.yaml", "\nmodel:", "\nmodels:")),
    Row(GO_ON, "nothing", changed("config.yaml", "name: arrays", "name: ${nothing}")),
    Row(
        GO_ON,
        "checkpoints",
        {f"run/checkpoints/{name}.ckpt": b"nothing" for name in ("best", "last")},
    ),
    Row(GO_ON, "checkpoints", saved("config")),
    Row(GO_ON, "checkpoints", saved("config", "text")),
    Row(GO_ON, "checkpoints", saved("loops")),
    Row(GO_ON, "checkpoints", saved("loops", {"fit_loop": {}})),
    Row(GO_ON, "checkpoints", saved("optimizer_states")),
    Row(GO_ON, "checkpoints", saved("optimizer_states", [])),
    Row(GO_ON, "checkpoints", saved("global_step")),
    Row(GO_ON, "checkpoints", saved("callbacks")),
    Row(GO_ON, "checkpoints", saved("callbacks", {"EarlyStopping": "text"})),
    Row(GO_ON, "checkpoints", saved("state_dict", {"net.a": torch.zeros(2)})),
    Row(GO_ON, "no checkpoint of seqfuse", saved("DataModule", {})),
    Row(GO_ON, ["serie.npz", "not there"], changed("config.yaml", "series.npz", "serie.npz")),
    Row(GO_ON, "metrics.csv", {"run/metrics.csv": BINARY}, begins=True),
    Row(GO_ON, "provenance.json", {"run/provenance.json": BINARY}, begins=True),
    Row(GO_ON, "provenance.json", {"run/provenance.json": "{"}, begins=True),
    Row(GO_ON, "provenance.json", {"run/provenance.json": "[]"}, begins=True),
    Row(GO_ON, "provenance.json", {"run/provenance.json": '{"runs": 5}'}, begins=True),
    Row(GO_ON, "provenance.json", {"run/provenance.json": "[" * 100_000}, begins=True),
    Row("resume=run trainer.max_epochs=1", "metrics.json", {"run/metrics.json": BINARY}),
    Row("resume=run trainer.max_epochs=1", "metrics.json", {"run/metrics.json": "[1"}),
    Row("resume=run trainer.max_epochs=1", "metrics.json", {"run/metrics.json": "[1]"}),
    Row(AGAIN, "run/config.yaml", {"run/config.yaml": BINARY}),
    Row(AGAIN, "run/config.yaml", {"run/config.yaml": "a: [1"}),
    Row(AGAIN, "in run ", {"run/config.yaml": "- 1"}),
    Row(AGAIN, "in run ", {"run/config.yaml": "a: 1\n"}),
    Row(AGAIN, "model", changed("config.yaml", "\nmodel:", "\nmodels:")),
    Row("--config-dir nowhere --config-name config", "nowhere"),
    Row("--config-dir run --config-name confg", "confg"),
    Row("--config-dir run/config.yaml --config-name config", "run/config.yaml"),
)
def test_run_folders(judge: Judge, made: Callable[[str], Path], row: Row) -> None:
    shutil.copytree(made("series"), "run")
    assert judge(row, main) == ""

"""Checkpoints to tamper with, and a server that notes who asks."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from seqfuse.train import train
from tests.conftest import TINY, composed

Change = Callable[[dict[str, Any]], None]


class Server(NamedTuple):
    """A web server on this machine."""

    address: str
    asked: list[str]
    """Paths that were asked for."""


@pytest.fixture
def server() -> Iterator[Server]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"raise SystemExit('code ran')\n")

        def log_message(self, *_: object) -> None:
            pass

    web = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield Server(f"http://127.0.0.1:{web.server_port}", asked)
    web.shutdown()
    web.server_close()


@pytest.fixture(scope="session")
def forecaster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of forecasts of a table, which the config names by its path."""
    folder = tmp_path_factory.mktemp("table")
    date = pd.date_range("2024-01-01", periods=300, freq="h")
    values = np.sin(np.arange(300) / 4).round(3)
    pd.DataFrame({"date": date, "price": values}).to_csv(folder / "mine.csv", index=False)
    run = folder / "run"
    words = [word for word in TINY if "=synthetic" not in word and "num_s" not in word]
    words = [word for word in words if "batch_size" not in word and word != "model=base"]
    sizes = ["data.look_back=24", "data.horizon=4", "trainer.max_epochs=1", "test=false"]
    train(composed([*words, "data=csv", f"data.file={folder}/mine.csv", *sizes]), run)
    return run / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of three classes of drawn arrays."""
    folder = tmp_path_factory.mktemp("arrays")
    x = np.random.default_rng(0).normal(size=(60, 10, 3)).astype(np.float32)
    np.savez(folder / "mine.npz", x=x, y=np.array(["up", "down", "flat"] * 20))
    run = folder / "run"
    words = [word for word in TINY if "=synthetic" not in word and "num_s" not in word]
    more = ["data=arrays", f"data.train={folder}/mine.npz", "trainer.max_epochs=1", "test=false"]
    train(composed([*words, *more]), run)
    return run / "checkpoints" / "best.ckpt"


def both(change: Callable[[dict[str, Any]], None]) -> Change:
    """The same change of what a checkpoint is rebuilt from, and of what may be overridden."""

    def alter(content: dict[str, Any]) -> None:
        change(content["config"])
        change(content["recipe"])

    return alter


def node_at(config: dict[str, Any], keys: str) -> dict[str, Any]:
    """The node at a dotted key."""
    for key in keys.split("."):
        config = config[key]
    return config

"""Without a library of an extra, a line says what to type; all else goes on."""

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seqfuse import train
from seqfuse.config.checks.extras import EXTRAS
from seqfuse.config.checks.groups import CONF
from seqfuse.data.read.archive import Archive, bundled
from seqfuse.exporting.settings import check_settings
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.decode import decode
from seqfuse.runtime.read.table.cells import pyarrow
from seqfuse.runtime.writer import Writer
from tests.conftest import TINY, assert_refused

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
Block = Callable[[str], None]
BOARDS = ("mlflow", "trackio", "wandb")
"""Boards of which a user has one, and so each is an extra of its own, and none in `all`."""
LARGE = ("ray",)
"""Extras that `all` leaves out for their size."""


class Missing:
    """Finds that a library is not installed."""

    def __init__(self, library: str):
        self.library = library

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if f"{name}.".startswith(f"{self.library}."):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return None


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> Block:
    """Takes a library away."""

    def take(library: str) -> None:
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{library}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Missing(library), *sys.meta_path])
        spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == library else spec(name)
        )

    return take


def test_each_library_is_of_the_extra_that_is_named() -> None:
    extras = PROJECT["optional-dependencies"]
    for module, extra in EXTRAS.items():
        name = module.rpartition(".")[2].removeprefix("hydra_").replace("_", "-")
        assert any(name in requirement for requirement in extras[extra]), module
        assert not any(re.match(rf"{name}\b", word) for word in PROJECT["dependencies"])
    [everything] = extras["all"]
    assert {*EXTRAS.values()} - {*BOARDS, *LARGE} <= {*re.split(r"[\[\],]", everything)}


@pytest.mark.parametrize("library", ["optuna", "sqlalchemy"])
def test_a_search(library: str, block: Block, command: Callable) -> None:
    block(library)
    assert_refused(command(train.main, *TINY, "sweep=optuna"), "seqfuse[search]", library)


@pytest.mark.parametrize("word", ["launcher=joblib", "hydra/launcher=submitit_local"])
def test_a_launcher(word: str, block: Block, command: Callable) -> None:
    name = word.partition("=")[2].partition("_")[0]
    block(f"hydra_plugins.hydra_{name}_launcher")
    assert_refused(command(train.main, *TINY, "-m", "seed=0,1", word), "seqfuse[cluster]", word)


def test_a_cluster(block: Block, command: Callable) -> None:
    block("ray")
    said = command(train.main, *TINY, "-m", "seed=0,1", "launcher=ray")
    assert_refused(said, "seqfuse[ray]", "launcher=ray")


def test_a_server(block: Block, command: Callable) -> None:
    block("psycopg")
    assert_refused(
        command(train.main, *TINY, "sweep=optuna", "hydra.sweeper.storage=postgresql://a/b"),
        "hydra.sweeper.storage=postgresql://a/b",
        "seqfuse[postgres]",
    )


@pytest.mark.long
@pytest.mark.parametrize("library", BOARDS)
def test_a_board(library: str, block: Block, command: Callable) -> None:
    block(library)
    assert_refused(
        command(train.main, *TINY, f"logger={library}"), f"logger={library}", f"seqfuse[{library}]"
    )


@pytest.mark.parametrize("library", ["onnx", "onnxruntime", "onnxscript"])
def test_an_export(library: str, block: Block, tmp_path: Path) -> None:
    config = OmegaConf.load(CONF / "export.yaml")
    config.output = str(tmp_path / "shipped")
    check_settings(config)
    block(library)
    with pytest.raises(InputError, match=rf"{library}.*seqfuse\[export\]"):
        check_settings(config)


def test_the_archive(block: Block, tmp_path: Path) -> None:
    line = (bundled() / "GunPoint" / "GunPoint_TRAIN.ts").read_bytes()
    block("aeon")
    with pytest.raises(InputError, match=r"GunPoint.*seqfuse\[archive\]"):
        Archive("GunPoint", str(tmp_path))("train")
    (tmp_path / "GunPoint_TRAIN.ts").write_bytes(line)
    assert len(Archive("GunPoint", str(tmp_path))("train")) == 50


def test_files_that_need_a_library_of_their_own(block: Block, tmp_path: Path) -> None:
    block("av")
    with pytest.raises(InputError, match=r"a\.mp4.*pip install av"):
        decode(tmp_path / "a.mp4", 4, 8)
    block("pyarrow")
    with pytest.raises(InputError, match=r"a\.parquet.*pip install pyarrow"):
        pyarrow(tmp_path / "a.parquet")
    with (
        pytest.raises(InputError, match=r"parquet.*pip install pyarrow"),
        Writer(str(tmp_path / "a.parquet"), False) as writer,
    ):
        writer.write({"x": [1]})

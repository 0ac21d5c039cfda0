"""Shape checks for every test, and the few things most tests need."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before anything of seqfuse is imported: shapes in annotations are checked on each call.
install_import_hook("seqfuse.nn", "beartype.beartype")

import torch  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from hydra.core.global_hydra import GlobalHydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from seqfuse import cli  # noqa: E402

TINY = (
    "data=synthetic",
    "model=base",
    "data.num_samples=80",
    "data.num_steps=12",
    "data.batch_size=16",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.num_threads=1",
)
Compose = Callable[..., DictConfig]


def composed(overrides: Sequence[str], name: str = "train") -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return compose(name, list(overrides))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU on this machine, and this test is about one")


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def tiny() -> Compose:
    """Composes a small run on synthetic data, with further overrides."""
    return lambda *overrides: composed([*TINY, *overrides])


@pytest.fixture
def data_root() -> Path:
    """Real data beyond what aeon ships."""
    root = os.environ.get("SEQFUSE_DATA")
    if not root:
        pytest.skip("its data is not in the repository, and SEQFUSE_DATA names no folder")
    return Path(root).absolute()


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(main: Callable[[], None], *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["seqfuse-train", *words])
        GlobalHydra.instance().clear()
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call

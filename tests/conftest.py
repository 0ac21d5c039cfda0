"""Shape checks for every test, and the few things most tests need."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before anything of seqfuse is imported: shapes in annotations are checked on each call.
install_import_hook("seqfuse.nn", "beartype.beartype")

import torch  # noqa: E402
from hydra.core.global_hydra import GlobalHydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from tests import composing  # noqa: E402
from tests.composing import composed  # noqa: E402

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
DRAWN = (
    "data=synthetic",
    "model=base",
    "data.num_samples=80",
    "data.num_steps=12",
    "data.batch_size=16",
    "trainer.max_epochs=2",
    *QUIET,
)
"""A small run on synthetic data."""
TINY = (*DRAWN, "callbacks.figures=null")
"""The same without its figures, which take longer than all the rest."""
Compose = Callable[..., DictConfig]
composing.parse_once()


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
    root = Path(os.environ.get("SEQFUSE_DATA") or "data").absolute()
    if not os.environ.get("SEQFUSE_DATA") and not root.is_dir():
        pytest.skip(f"real data is looked for in {root}: put it there, or set SEQFUSE_DATA")
    return root


@pytest.fixture
def sigint() -> Iterator[None]:
    """What SIGINT does in a command; pytest's workers, and the background, may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def assert_refused(answer: tuple[int, str, str], *names: str) -> None:
    """A command ended with code 1 and with one line, that holds all of these."""
    code, _, err = answer
    assert code == 1, err
    assert err.count("\n") == 1, err
    for name in names:
        assert name in err


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """The system refuses to let a file grow above so many bytes, as where there is no room."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    composing.remember(monkeypatch)

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

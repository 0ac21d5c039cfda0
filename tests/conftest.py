"""Shape checks for every test, and the few things most tests need."""

import functools
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before anything of seqfuse is imported: shapes in annotations are checked on each call.
install_import_hook("seqfuse.nn", "beartype.beartype")

import torch  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from hydra.core.global_hydra import GlobalHydra  # noqa: E402
from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: E402
from hydra.core.override_parser.types import OverrideType  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402

from seqfuse.config import cli  # noqa: E402
from tests import composing  # noqa: E402

DRAWN = (
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
"""A small run on synthetic data."""
TINY = (*DRAWN, "callbacks.figures=null")
"""The same without its figures, which take longer than all the rest."""
Compose = Callable[..., DictConfig]


def composed(overrides: Sequence[str], name: str = "train") -> DictConfig:
    """What Hydra composes; the files behind the same options are read once (0.3 s)."""
    words = OverridesParser.create().parse_overrides(list(overrides))
    options = [w for w in words if w.package or (cli.CONF / w.key_or_group).is_dir()]
    values = [w for w in words if w not in options]
    chosen = tuple(str(w.input_line) for w in options)
    if any(w.type != OverrideType.CHANGE or w.key_or_group.startswith("hydra.") for w in values):
        return pickle.loads(_composed(tuple(overrides), name))
    found = pickle.loads(_composed(chosen, name))
    for word in values:
        OmegaConf.update(found, word.key_or_group, word.value(), merge=True)
    return found


@functools.cache
def _composed(words: tuple[str, ...], name: str) -> bytes:
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        composing.remember(patch)
        with initialize_config_dir(str(cli.CONF), version_base="1.3"):
            return pickle.dumps(compose(name, list(words)))


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

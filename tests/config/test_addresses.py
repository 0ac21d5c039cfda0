"""Commands over files at addresses, which the user alone names; secrets stay in the environment."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import seqfuse
from seqfuse import evaluate, predict, train
from seqfuse.config.checkpoint import local
from seqfuse.runtime import runner
from seqfuse.runtime.errors import InputError
from tests.conftest import TINY, assert_refused
from tests.shipped import export

Command = Callable[..., tuple[int, str, str]]
MEMORY = MemoryFileSystem()
SECRET = "do-not-tell-anybody"
CPU = ("trainer=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
NET = [word for word in TINY if "=synthetic" not in word and "num_s" not in word]
WORDS = [*NET, "data=arrays", "data.train=memory://lab/x.npz", "hydra.run.dir=run", "test=false"]


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bucket with an array of two classes, which also lies here."""
    monkeypatch.setenv("SEQFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    x = np.random.default_rng(0).normal(size=(40, 10, 3)).astype(np.float32)
    path = tmp_path / "x.npz"
    np.savez(path, x=x, y=np.array(["up", "down"] * 20))
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]
    MEMORY.put_file(str(path), "/lab/x.npz")
    return path


def text(folder: Path) -> bytes:
    """All that is in a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.long
def test_a_file_at_an_address_is_as_good_as_one_here(command: Command, lab: Path) -> None:
    code, _, err = command(train.main, *WORDS)
    assert code == 0, err
    assert "fetched     memory://lab/x.npz" in err
    assert b"data.train=memory://lab/x.npz" in Path("run/provenance.json").read_bytes()
    assert b"memory://lab/x.npz" in Path("run/config.yaml").read_bytes()
    assert SECRET.encode() not in text(Path("run"))
    best = "run/checkpoints/best.ckpt"
    MEMORY.put_file(best, "/lab/best.ckpt")
    predicted = []
    for ckpt, given, output in (
        (best, "x.npz", "here.csv"),
        *[("memory://lab/best.ckpt", "memory://lab/x.npz", "memory://lab/there.csv")],
    ):
        words = (f"ckpt={ckpt}", f"input={given}", f"output={output}", *CPU)
        code, out, err = command(predict.main, *words)
        assert code == 0, err
        assert f"40 rows  {output}" in out
        again, _, err = command(predict.main, *words)
        assert again == 1
        assert f"{output} exists" in err
        predicted.append(local(output))
    assert Path(predicted[0]).read_bytes() == Path(predicted[1]).read_bytes()
    job = seqfuse.load("memory://lab/best.ckpt")
    assert list(job.predict("x.npz")) == list(seqfuse.load(best).predict(np.load(lab)["x"]))
    where = "data.train=memory://lab/x.npz"
    folder = export(Path("run").absolute(), Path("shipped").absolute(), where)
    assert runner.main(["memory://lab/x.npz", "memory://lab/shipped.csv"], folder) == 0
    rows = MEMORY.cat("/lab/shipped.csv").decode().splitlines()
    wanted = Path("here.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows] == [row.split(",")[:2] for row in wanted]


@pytest.mark.long
def test_only_the_user_names_what_is_fetched(command: Command) -> None:
    code, _, err = command(train.main, *WORDS)
    assert code == 0, err
    ckpt = "ckpt=run/checkpoints/best.ckpt"
    measure = (evaluate.main, ckpt, "split=train", *CPU)
    assert_refused(command(*measure), "data.train=memory://lab/x.npz")
    code, _, err = command(*measure, "data.train=memory://lab/x.npz")
    assert code == 0, err
    again = ("--config-dir", "run", "--config-name", "config", "hydra.run.dir=again")
    for more, named in (
        ((), "data.train=memory://lab/x.npz"),
        *[(("data.train=memory://lab/x.npz", "+init_from=x"), "init_from")],
    ):
        config = Path("run/config.yaml").read_text()
        stolen = config.replace("init_from: null", "init_from: memory://lab/best.ckpt")
        Path("run/config.yaml").write_text(stolen if more else config)
        assert_refused(command(train.main, *again, *more[:1]), named)
        assert not Path("again").exists()


@pytest.mark.parametrize("key", ["data.train", "init_from", "paths.logs"])
def test_a_secret_in_an_address_is_refused_before_it_is_kept(command: Command, key: str) -> None:
    for words in ((), ("-m", "seed=0,1")):
        code, out, err = command(train.main, *WORDS, *words, f"{key}=s3://AKIA:{SECRET}@lab/x.npz")
        assert code == 1
        assert SECRET not in out + err
        assert err.count("\n") == 1
        assert not Path("run").exists()
        assert not Path("logs").exists()
    ckpt = f"ckpt=https://me:{SECRET}@host/best.ckpt"
    code, _, err = command(predict.main, ckpt, "input=x.npz", "output=a.csv")
    assert code == 1
    assert SECRET not in err


@pytest.mark.long
def test_a_folder_of_data_is_of_this_machine(command: Command) -> None:
    assert_refused(
        command(train.main, *WORDS, "paths.data=s3://lab/sets"), "paths.data=s3://lab/sets"
    )


@pytest.mark.long
def test_a_prediction_that_fails_writes_nothing(command: Command, lab: Path) -> None:
    code, _, err = command(train.main, *WORDS)
    assert code == 0, err
    np.savez(lab, x=np.zeros((2, 10, 5)))
    words = ("ckpt=run/checkpoints/best.ckpt", "input=x.npz", "output=memory://lab/a.csv", *CPU)
    code, _, _ = command(predict.main, *words)
    assert code == 1
    assert "/lab/a.csv" not in MEMORY.store
    with pytest.raises(InputError, match="is not there"):
        local("memory://lab/a.csv")


@pytest.mark.long
def test_what_lies_in_a_cache_is_of_one_user(command: Command) -> None:
    code, _, err = command(train.main, *WORDS)
    assert code == 0, err
    cache = Path(os.environ["SEQFUSE_CACHE"])
    assert (cache / "memory/lab/x.npz").is_file()
    assert cache.stat().st_mode & 0o077 == 0

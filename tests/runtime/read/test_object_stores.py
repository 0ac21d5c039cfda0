"""Buckets of a real S3 protocol, spoken on this machine by moto's server, over a bad network.

moto holds python-dateutil below 3, and so stands in an environment of its own: MOTO_SERVER names
its program.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse import __main__, explain, export, predict, train
from seqfuse.data.read.files import TableFile
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import addresses
from seqfuse.runtime.read.table.cells import read_table
from tests.conftest import TINY, assert_refused
from tests.network import Network

pytestmark = pytest.mark.slow
Command = Callable[..., tuple[int, str, str]]
PROGRAM = os.environ.get("MOTO_SERVER") or shutil.which("moto_server")
SECRET = "do-not-tell-anybody"
CPU = ("trainer=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
NET = [word for word in TINY if "=synthetic" not in word and "num_s" not in word]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    if PROGRAM is None:
        pytest.skip("no moto_server: name the program of moto[server] in MOTO_SERVER")
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    env = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "1000000"}
    env.pop("PYTHONPATH", None)
    command = [PROGRAM, "-H", "127.0.0.1", "-p", str(number)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=env, **quiet) as process:
        end = time.monotonic() + 60
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", number)).close()
                break
            assert time.monotonic() < end
            time.sleep(0.1)
        yield number
        process.terminate()


@pytest.fixture
def network(port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Network]:
    from pyarrow.fs import S3FileSystem

    between = Network(port)
    variables = {
        **{"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET},
        **{"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"},
        **{"AWS_ENDPOINT_URL": f"http://{between.address}"},
        **{"SEQFUSE_CACHE": str(tmp_path / "cache")},
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(addresses, "WAITS", (0.1, 0.1))
    urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
    ).close()
    place = f"127.0.0.1:{port}"
    S3FileSystem(endpoint_override=place, scheme="http", allow_bucket_creation=True).create_dir(
        "lab"
    )
    yield between
    between.listener.close()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(np.random.default_rng(0).bytes(12_000_000))
    return path


def test_a_file_comes_back(network: Network, large: Path) -> None:
    addresses.put(large, "s3://lab/a/b/large.bin")
    assert addresses.exists("s3://lab/a/b/large.bin")
    assert not addresses.exists("s3://lab/a/b/other.bin")
    assert addresses.local("s3://lab/a/b/large.bin").read_bytes() == large.read_bytes()
    assert addresses.local("s3://lab/a").joinpath("b/large.bin").is_file()
    address = addresses.newest("s3://lab", "a/*/large.bin")
    assert address == "s3://lab/a/b/large.bin"
    for strange in ("s3://lab/no.bin", "s3://nobody/no.bin"):
        with pytest.raises(InputError, match="is not there"):
            addresses.local(strange)
    with pytest.raises(InputError, match="nobody"):
        addresses.put(large, "s3://nobody/large.bin")


def test_many_files_are_one_table(network: Network, tmp_path: Path) -> None:
    stamps = np.datetime64("2024-01-01", "h") + np.arange(90)
    for i, day in enumerate(np.split(stamps.astype("datetime64[s]"), [24, 48])):
        path = tmp_path / f"{i}.parquet"
        pd.DataFrame({"date": day, "a": np.arange(len(day)) % 7.0}).to_parquet(path)
        addresses.put(path, f"s3://lab/t/part={i}/x.parquet")
    network.cuts = [0, 300]
    for address in ("s3://lab/t", "s3://lab/t/*/*.parquet", "s3://lab/t/part=*"):
        cells = read_table(TableFile(address).path())
        np.testing.assert_array_equal(cells.columns["date"], stamps)
        assert cells.columns["part"].tolist() == [0] * 24 + [1] * 24 + [2] * 42
    with pytest.raises(InputError, match=r"s3://lab/t/\*\.csv"):
        TableFile("s3://lab/t/*.csv").path()


def test_a_slow_answer_is_waited_for(network: Network, large: Path) -> None:
    network.delay = 0.005
    addresses.put(large, "s3://lab/large.bin")
    assert addresses.local("s3://lab/large.bin").read_bytes() == large.read_bytes()


def test_a_connection_that_breaks_is_made_anew(network: Network, large: Path) -> None:
    addresses.put(large, "s3://lab/large.bin")
    network.cuts = [0, 0, 100_000, 1_000_000]
    assert addresses.local("s3://lab/large.bin").read_bytes() == large.read_bytes()
    assert not network.cuts, "they broke"


def test_a_network_that_stays_away_is_one_line(
    network: Network, large: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(addresses, "TIMEOUT", 0.5)
    addresses.put(large, "s3://lab/there.bin")
    network.cuts = [0] * 1000
    for action in (
        lambda: addresses.put(large, "s3://lab/away.bin"),
        lambda: addresses.local("s3://lab/there.bin"),
        lambda: addresses.newest("s3://lab", "*.bin"),
    ):
        with pytest.raises(InputError, match="s3://lab") as refusal:
            action()
        assert "\n" not in str(refusal.value)
        assert SECRET not in str(refusal.value)
    network.cuts = []
    assert not addresses.exists("s3://lab/away.bin"), "nothing half-written"
    assert not list((tmp_path / "cache").rglob("there.bin*"))


def test_wrong_credentials_are_one_line(network: Network, large: Path, port: int) -> None:
    addresses.put(large, "s3://lab/large.bin")

    def ask(count: bytes) -> None:
        address = f"http://127.0.0.1:{port}/moto-api/reset-auth"
        kind = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(address, count, kind)).close()

    ask(b"0")
    try:
        begun = time.monotonic()
        for action in (
            lambda: addresses.local("s3://lab/large.bin"),
            lambda: addresses.put(large, "s3://lab/other.bin"),
        ):
            with pytest.raises(InputError, match="credentials of the environment") as refusal:
                action()
            assert SECRET not in str(refusal.value)
        assert time.monotonic() - begun < 20
    finally:
        ask(b"1000000")
    assert not addresses.exists("s3://lab/other.bin")


def test_a_run_does_not_begin_without_the_bucket_of_its_copy(
    network: Network, command: Command
) -> None:
    assert_refused(command(train.main, *TINY, "paths.logs=s3://nobody/logs"), "nobody")
    assert not list(Path().rglob("*.ckpt"))
    assert_refused(
        command(train.main, "resume=latest", "paths.logs=s3://lab/none"), "s3://lab/none"
    )


def test_training_and_predicting_go_through_buckets(
    network: Network, command: Command, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=(40, 10, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, y=np.array(["up", "down"] * 20))
    addresses.put(tmp_path / "x.npz", "s3://lab/x.npz")
    words = [*NET, "data=arrays", "data.train=s3://lab/x.npz", "hydra.run.dir=run"]
    network.cuts = [0, 300]
    code, _, err = command(train.main, *words)
    assert code == 0, err
    addresses.put(Path("run/checkpoints/best.ckpt"), "s3://lab/best.ckpt")
    code, _, err = command(train.main, *TINY, "paths.logs=s3://lab/logs")
    assert code == 0, err
    [run] = Path("logs/synthetic").iterdir()
    copy = addresses.local(f"s3://lab/{run.as_posix()}")
    for name in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "status.json"):
        assert (copy / name).read_bytes() == (run / name).read_bytes()
    words = ["ckpt=s3://lab/best.ckpt", "input=s3://lab/x.npz", "output=s3://lab/out.csv", *CPU]
    code, _, err = command(predict.main, *words)
    assert code == 0, err
    assert len(addresses.local("s3://lab/out.csv").read_text().splitlines()) == 41
    words = ["ckpt=s3://lab/best.ckpt", "input=s3://lab/x.npz", "output=s3://lab/why", *CPU]
    code, out, err = command(explain.main, *words, "max_items=2", "figures=0")
    assert code == 0, err
    assert "s3://lab/why" in out
    assert len(addresses.local("s3://lab/why/items.csv").read_text().splitlines()) == 3
    code, _, err = command(explain.main, *words)
    assert code == 1
    assert "output=s3://lab/why" in err
    code, out, err = command(__main__.main, "status", "s3://lab/logs")
    assert code == 0, err
    assert "completed" in out
    words = ["ckpt=s3://lab/best.ckpt", "output=s3://lab/shipped", "split=none", *CPU]
    code, _, err = command(export.main, *words)
    assert code == 0, err
    folder = addresses.local("s3://lab/shipped")
    done = subprocess.run(
        [sys.executable, folder / "run.py", tmp_path / "x.npz", tmp_path / "shipped.csv"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "shipped.csv").read_text().splitlines()) == 41
    for path in Path("run").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()

"""Downloads, from a server of the test's own."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from seqfuse.data.read.files import TableFile
from seqfuse.runtime.errors import InputError

TEXT = b"date,value\n2024-01-01,1\n"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.csv").write_bytes(TEXT)
    handler = partial(Quiet, directory=tmp_path / "there")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.long
def test_a_missing_file_is_downloaded_once(address: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(TEXT).hexdigest()
    file = TableFile("set/a.csv.gz", str(tmp_path / "data"), f"{address}/a.csv", digest)
    assert file.path() == tmp_path / "data" / "set" / "a.csv"
    assert file.path().read_bytes() == TEXT
    again = TableFile("set/a.csv.gz", str(tmp_path / "data"), "http://127.0.0.1:1/a.csv", digest)
    assert again.path() == file.path()


def test_another_file_than_it_should_be_is_refused(address: str, tmp_path: Path) -> None:
    file = TableFile("a.csv", str(tmp_path), f"{address}/a.csv", "0" * 64)
    with pytest.raises(InputError, match=r"a.csv is not in .* could not be downloaded from http"):
        file.path()
    assert not (tmp_path / "a.csv").exists()


def test_without_a_network_the_line_names_file_folder_and_source(tmp_path: Path) -> None:
    file = TableFile("a.csv", str(tmp_path), "http://127.0.0.1:1/a.csv", "0" * 64)
    message = f"a.csv is not in {tmp_path}, and could not be downloaded from http://127.0.0.1:1/"
    with pytest.raises(InputError, match=message):
        file.path()

"""`seqfuse get`, against a server on this machine with small stand-ins."""

import gzip
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from seqfuse import __main__
from seqfuse.config.checks.groups import CONF
from seqfuse.fetching import convert, sets
from seqfuse.fetching.sets import DataSet, File
from tests.conftest import assert_refused

Command = Callable[..., tuple[int, str, str]]
CONTENTS = {
    "data/train.csv": b"text,category\nfly to rome,a\n",
    "data/test.csv": b"text,category\n",
}


class Server(ThreadingHTTPServer):
    """Serves `contents` below an owner, a name and a commit; counts what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents, self.asked = dict(CONTENTS), Counter[str]()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.split("/", 4)[4]
        self.server.asked[path] += 1
        content = self.server.contents.get(path)
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *words: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The only source of data sets."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(sets, "ADDRESS", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(sets, "known", lambda: {data.name: data for data in published()})
    monkeypatch.delenv("SEQFUSE_DATA", raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def digests(path: str) -> str:
    """A hash of a published file: of one by git's rule, of the others by SHA-256."""
    content = CONTENTS[path]
    if path == "data/test.csv":
        return f"git:{hashlib.sha1(b'blob %d' % len(content) + bytes(1) + content).hexdigest()}"
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def published() -> Iterator[DataSet]:
    files = tuple(
        File(Path(path).name, path, len(CONTENTS[path]), digests(path)) for path in CONTENTS
    )
    about = ("owner/name", "c0ffee", "CC BY 4.0", "Somebody 2020")
    yield DataSet("banking77", *about, "", files)
    yield DataSet("ucr/Birds", *about, "", files[:1])
    yield DataSet("clips", *about, "videos without a list", ())


def test_a_data_set_is_fetched_once(command: Command, server: Server) -> None:
    code, out, err = command(__main__.main, "get", "banking77")
    assert code == 0, err
    folder = Path("data/banking77")
    assert {path.name for path in folder.iterdir()} == {"train.csv", "test.csv", "SOURCE.md"}
    assert (folder / "train.csv").read_bytes() == CONTENTS["data/train.csv"]
    source = (folder / "SOURCE.md").read_text()
    assert all(text in source for text in ("owner/name", "c0ffee", "CC BY 4.0", "Somebody 2020"))
    code, out, _ = command(__main__.main, "get", "banking77")
    assert code == 0
    assert "there" in out
    assert set(server.asked.values()) == {1}


def test_it_goes_on_where_it_broke_off(command: Command, server: Server) -> None:
    content = server.contents.pop("data/test.csv")
    code, _, err = command(__main__.main, "get", "banking77")
    assert code == 1
    line = err.splitlines()[-1]
    address = f"{sets.ADDRESS}/owner/name/c0ffee/data/test.csv"
    assert all(text in line for text in ("banking77", address, "train.csv", "data/banking77"))
    assert not Path("data/banking77/SOURCE.md").exists()
    server.contents["data/test.csv"] = content
    assert command(__main__.main, "get", "banking77")[0] == 0
    assert server.asked == {"data/train.csv": 1, "data/test.csv": 2}


def test_another_file_is_not_kept(command: Command, server: Server) -> None:
    server.contents["data/train.csv"] += b"hide,b\n"
    code, _, err = command(__main__.main, "get", "banking77")
    assert code == 1
    assert "hash" in err.splitlines()[-1]
    assert not [*Path("data/banking77").glob("*train*")]
    # One that was changed on the disk is fetched again.
    server.contents |= CONTENTS
    assert command(__main__.main, "get", "banking77")[0] == 0
    Path("data/banking77/test.csv").write_bytes(b"")
    assert command(__main__.main, "get", "banking77")[0] == 0
    assert Path("data/banking77/test.csv").read_bytes() == CONTENTS["data/test.csv"]


def test_without_a_network_a_line_says_what_to_do(
    command: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "ADDRESS", "http://127.0.0.1:9")
    code, _, err = command(__main__.main, "get", "Birds")
    assert code == 1
    assert all(text in err for text in ("owner/name", "train.csv", "MB", "data/ucr/Birds"))


def test_all_are_fetched_but_those_by_hand(
    command: Command, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEQFUSE_DATA", str(tmp_path / "sets"))
    code, out, err = command(__main__.main, "get", "all")
    assert code == 0
    assert "clips" in err
    assert "videos without a list" in out
    assert (tmp_path / "sets/ucr/Birds/train.csv").is_file()
    assert_refused(command(__main__.main, "get", "clips"), "videos without a list")


def test_an_unknown_name_is_answered_by_the_nearest(command: Command) -> None:
    assert_refused(command(__main__.main, "get", "banking"), "banking77")


def test_alone_it_lists_them(command: Command) -> None:
    code, out, _ = command(__main__.main, "get")
    assert code == 0
    for name in sets.known():
        assert name.split("/")[0] in out


@pytest.mark.long
def test_a_run_without_its_data_names_the_command(command: Command) -> None:
    for word, name in (("banking77", "banking77"), ("skab", "skab"), ("stocks", "stock_ohlcv")):
        assert_refused(
            command(__main__.main, "train", f"data={word}", "paths.data=nowhere"),
            f"seqfuse get {name}",
        )


def test_what_is_recorded_is_whole() -> None:
    """Every published file has a hash and lies in its folder; our data sets are all named."""
    known = sets.known()
    for name, data in known.items():
        assert re.fullmatch(r"[0-9a-f]{40}" if data.files else r"[0-9a-f]{12,40}", data.commit)
        assert bool(data.files) != bool(data.by_hand), name
        assert data.licence
        assert data.cite
        for file in data.files:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}", file.digest)
            assert not {"", "..", "."} & {*file.path.split("/")}
        assert len({file.path for file in data.files}) == len(data.files)
    text = "\n".join(path.read_text() for path in (CONF / "data").glob("*.yaml"))
    folders = set(re.findall(r"^\w+: ([a-z]\w+)/\S+$", text, re.MULTILINE))
    folders |= set(re.findall(r"root: \$\{(?:data.root|paths.data)\}/(\w+)", text))
    assert len(folders) >= 10
    assert folders <= {name.split("/")[0] for name in known}


def written(folder: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_slots_of_words(tmp_path: Path) -> None:
    spans = [{"text": "play "}, {"text": "Cita Romántica", "entity": "song"}, {"text": ", now"}]
    text = json.dumps({"Play": [{"data": spans}]}, ensure_ascii=False)
    parts = written(tmp_path, {"validate_Play.json": text})
    (parts / "train_Play_full.json").write_bytes(text.encode("latin-1"))
    for _, content in convert.snips(parts):
        entry = json.loads(gzip.decompress(content))
        assert entry["intent"] == "Play"
        assert entry["tokens"] == ["play", "Cita", "Romántica,", "now"]
        assert entry["tags"] == ["O", "B-song", "I-song", "O"]


def test_words_without_their_parts(tmp_path: Path) -> None:
    lines = ["# newdoc id = a", "# sent_id = a-1", "# text = don't", "1-2\tdon't" + "\t_" * 8]
    lines += ["1\tdo\tdo\tAUX" + "\t_" * 6, "2\tn't\tnot\tPART" + "\t_" * 6, "2.1\tx\tx\tX", ""]
    names = ("train.conllu", "dev.conllu", "test.conllu")
    parts = written(tmp_path, dict.fromkeys(names, "\n".join(lines) + "\n"))
    for _, content in convert.ewt(parts):
        assert gzip.decompress(content).decode() == "# a-1\ndo\tAUX\nn't\tPART\n\n"


def test_telemetry_and_its_anomalies(tmp_path: Path) -> None:
    header = "chan_id,spacecraft,anomaly_sequences,class,num_values\n"
    lines = 'P-1,SMAP,"[[1, 2]]",[point],6\nP-1,SMAP,"[[4, 4]]",[point],6\n'
    parts = written(tmp_path, {"labeled_anomalies.csv": header + lines})
    for split in ("train", "test"):
        (parts / split).mkdir()
        np.save(parts / split / "P-1.npy", np.column_stack([np.linspace(-1, 1, 6), np.eye(6)]))
    (name, content), (_, labels) = convert.smap_msl(parts)
    assert (name, labels) == ("P-1.npz", (header + lines).encode())
    (parts / name).write_bytes(content)
    arrays = np.load(parts / name)
    assert arrays["test_label"].tolist() == [0, 1, 1, 0, 1, 0]
    assert arrays["train_value"].tolist() == np.linspace(-1, 1, 6).tolist()
    assert arrays["test_command"].dtype == np.uint8


def test_recordings_of_two_devices(tmp_path: Path) -> None:
    header = "x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label\n"
    contents = dict.fromkeys(("subjects_info.csv", "executions_info.csv"), "id\n")
    for number, ending in ((1, "sp"), (2, "sp"), (1, "sw")):
        row = f"{number},0,0,0,0,0.5,1657533977813,WALKING\n"
        contents[f"s07/s07_0{number}_{ending}.csv"] = header + row
    found = dict(convert.har(written(tmp_path, contents)))
    assert found["labels.txt"].split()[2] == b"WALKING"
    (tmp_path / "phone.npz").write_bytes(found["smartphone.npz"])
    arrays = np.load(tmp_path / "phone.npz")
    assert arrays["x"][:, 0].tolist() == [1, 2]
    assert arrays["execution"].tolist() == [1, 2]
    assert arrays["subject"].tolist() == [7, 7]
    assert arrays["label"].tolist() == [2, 2]
    assert "smartwatch.npz" in found


def test_days_of_stocks(tmp_path: Path) -> None:
    header = ",Date,Open,Close,Stock\n"
    contents = {"a.csv": header + "0,2017-01-03,2.0,3.0,B\n1,2017-01-02,1.0,2.0,B\n"}
    contents["b.csv"] = header + "0,2017-01-02,5.0,6.0,A\n1,2017-01-02,1.0,2.0,B\n"
    [(_, content)] = convert.stocks(written(tmp_path, contents))
    assert gzip.decompress(content).decode().splitlines() == [
        "Date,Stock,Open,Close",
        "2017-01-02,A,5.0,6.0",
        "2017-01-02,B,1.0,2.0",
        "2017-01-03,B,2.0,3.0",
    ]

"""Files at addresses: fetched whole, again when they changed, with patience; written whole."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import find
from seqfuse.runtime.read import addresses
from seqfuse.runtime.writer import Writer

MEMORY = MemoryFileSystem()
SECRET = "do-not-tell-anybody"


class Web(ThreadingHTTPServer):
    """Files by name; each answer first goes wrong in the ways that are still to come."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.got: list[str] = []
        self.has_tags = True
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Web

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        content = self.server.files.get(self.path.strip("/"))
        self.server.got.append(self.path)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault.isdecimal():
            return self.send_error(int(fault))
        if fault == "silent":
            self.server.over.wait(10)
        self.answer(content or b"", half=fault == "half")

    def answer(self, body: bytes, half: bool = False) -> None:
        content = self.server.files.get(self.path.strip("/"))
        if content is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        if self.server.has_tags:
            self.send_header("ETag", f'"{hash(content)}"')
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "WAITS", (0.01, 0.01))
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]
    return tmp_path / "cache"


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def kept(cache: Path) -> set[str]:
    """Files of the cache, but for what it says of them."""
    paths = (path.relative_to(cache) for path in cache.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if path.parts[0] != "fetched"}


@pytest.mark.long
def test_a_file_is_fetched_again_when_it_changed(web: Web) -> None:
    web.files["a/x.csv"] = b"1\n" * 100_000
    address = f"{web.address}/a/x.csv"
    for _ in range(2):
        path = addresses.local(address)
        assert path.read_bytes() == web.files["a/x.csv"]
        assert path.name == "x.csv"
    assert len(web.got) == 1
    web.files["a/x.csv"] = b"2\n" * 100_000
    assert addresses.local(address).read_bytes() == web.files["a/x.csv"]
    path.unlink()
    assert addresses.local(address).read_bytes() == web.files["a/x.csv"]
    assert find(address, "nowhere", "data.file") == path


def test_a_file_that_says_nothing_of_its_age_is_fetched_each_time(web: Web) -> None:
    web.has_tags = False
    web.files["x.csv"] = b"1"
    for _ in range(2):
        assert addresses.local(f"{web.address}/x.csv").read_bytes() == b"1"
    assert len(web.got) == 2


@pytest.mark.parametrize("fault", ["503", "half"])
def test_what_breaks_is_tried_again(web: Web, cache: Path, fault: str) -> None:
    web.files["x.bin"] = bytes(range(256)) * 4_000
    web.faults = [fault, fault]
    assert addresses.local(f"{web.address}/x.bin").read_bytes() == web.files["x.bin"]
    assert len(web.got) == 3
    web.files["y.bin"] = web.files["x.bin"]
    web.faults = [fault] * 3
    with pytest.raises(InputError, match="y.bin") as refusal:
        addresses.local(f"{web.address}/y.bin")
    assert "\n" not in str(refusal.value)
    assert len(kept(cache)) == 1, "nothing half-written"


@pytest.mark.long
def test_a_silent_server_is_left(web: Web, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(addresses, "TIMEOUT", 0.1)
    web.files["x.bin"] = b"1"
    web.faults = ["silent"]
    assert addresses.local(f"{web.address}/x.bin").read_bytes() == b"1"
    web.faults = ["silent"] * 3
    web.files["y.bin"] = b"2"
    with pytest.raises(InputError, match="y.bin"):
        addresses.local(f"{web.address}/y.bin")
    assert len(kept(cache)) == 1


@pytest.mark.parametrize("fault", ["401", "403"])
def test_what_no_patience_helps_is_not_tried_again(web: Web, fault: str) -> None:
    web.files["x.bin"] = b"1"
    web.faults = [fault] * 3
    with pytest.raises(InputError, match="credentials"):
        addresses.local(f"{web.address}/x.bin")
    assert len(web.got) == 1


def test_what_is_not_there_is_named(web: Web, cache: Path) -> None:
    for address in (f"{web.address}/no.csv", "memory://lab/no.csv"):
        with pytest.raises(InputError, match=r"no\.csv is not there"):
            addresses.local(address)
    with pytest.raises(InputError, match="http://127"):
        addresses.local("http://127.0.0.1:9/x.csv")  # where nobody listens
    assert not kept(cache)


def test_a_folder_is_as_it_is_at_its_address(cache: Path) -> None:
    for name in ("a/1.npy", "a/2.npy", "b/3.npy"):
        MEMORY.pipe(f"/lab/clips/{name}", name.encode())
    folder = addresses.local("memory://lab/clips/")
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.npy")} == {
        *("a/1.npy", "a/2.npy", "b/3.npy")
    }
    MEMORY.rm("/lab/clips/a/1.npy")
    MEMORY.pipe("/lab/clips/b/3.npy", b"new")
    assert addresses.local("memory://lab/clips") == folder
    assert kept(cache) == {"memory/lab/clips/a/2.npy", "memory/lab/clips/b/3.npy"}
    assert (folder / "b/3.npy").read_bytes() == b"new"
    assert find("memory://lab/clips", ".", "data.folder", folders=True) == folder
    with pytest.raises(InputError, match="clips"):
        find("memory://lab/clips", ".", "data.file")


def test_a_pattern_is_what_it_matches(cache: Path) -> None:
    for name in (
        "2023/a.parquet",
        "2024/a.parquet",
        "2024/b.parquet",
        "2024/notes.txt",
        "x[1].csv",
    ):
        MEMORY.pipe(f"/lab/t/{name}", name.encode())
    assert addresses.local("memory://lab/t/2024/*.parquet") == cache / "memory/lab/t/2024/*.parquet"
    assert kept(cache) == {f"memory/lab/t/2024/{name}.parquet" for name in "ab"}
    MEMORY.rm("/lab/t/2024/b.parquet")
    MEMORY.pipe("/lab/t/2024/a.parquet", b"new")
    found = find("memory://lab/t/*/*.parquet", ".", "data.file", patterns=True)
    assert sorted(found.parents[1].glob("*/*")) == [
        cache / f"memory/lab/t/{year}/a.parquet" for year in (2023, 2024)
    ]
    assert (cache / "memory/lab/t/2024/a.parquet").read_bytes() == b"new"
    assert addresses.local("memory://lab/t/20*") == cache / "memory/lab/t/20*"
    assert (cache / "memory/lab/t/2024/notes.txt").is_file(), "a folder is matched as a whole"
    assert addresses.local("memory://lab/t/x[1].csv").read_bytes() == b"x[1].csv"
    with pytest.raises(InputError, match=r"memory://lab/t/\*\.npy is not there"):
        addresses.local("memory://lab/t/*.npy")


@pytest.mark.parametrize("name", ["../../x", "a\\..\\x", "c:x", "./x"])
def test_a_name_that_leads_out_is_refused(
    monkeypatch: pytest.MonkeyPatch, cache: Path, name: str
) -> None:
    class Strange(MemoryFileSystem):
        cachable = False

        def info(self, path: str, **_: object) -> dict:
            return {"name": path, "size": 0, "type": "directory"}

        def find(self, path: str, *_: object, **__: object) -> dict:
            return {f"{path}/{name}": {"size": 1, "type": "file", "created": 1}}

    monkeypatch.setattr(addresses, "_opened", lambda address: (Strange(), "/lab"))
    with pytest.raises(InputError, match="no name of a file"):
        addresses.local("memory://lab/x")
    assert not kept(cache)


@pytest.mark.parametrize(
    "address",
    [
        *(f"https://me:{SECRET}@host/x.csv", f"s3://AKIA:{SECRET}@bucket/x.csv"),
        *(f"s3://AKIA:{SECRET}/x@bucket/x.csv", f"https://host/x.csv?X-Amz-Signature={SECRET}"),
        *(f"https://host/x.csv?a=1&sig={SECRET}", f"https://host/x.csv?token={SECRET}"),
    ],
)
def test_an_address_holds_no_secret(address: str) -> None:
    for action in (addresses.local, addresses.exists, addresses.check_secrets):
        with pytest.raises(InputError) as refusal:
            action(address)
        assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        *[("s3:///x.csv", "bucket"), ("s3://bucket", "bucket"), ("memory://lab/../x", "lab")],
    ],
)
def test_an_address_that_is_none_is_named(address: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        addresses.local(address)


@pytest.mark.parametrize("name", ["ftp://host/x.csv", "file:///etc/passwd", "hf://me/nets", "a"])
def test_all_else_is_a_path(name: str) -> None:
    assert not addresses.is_address(name)
    assert addresses.local(name) == Path(name)


def test_a_reason_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    def refuse(*_: object) -> None:
        raise OSError(f"ACCESS_DENIED of {SECRET}")

    monkeypatch.setattr(MemoryFileSystem, "info", refuse)
    with pytest.raises(InputError, match=r"ACCESS_DENIED of \*\*\*"):
        addresses.local("memory://lab/x.csv")


def test_a_file_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"12345")
    assert not addresses.exists("memory://lab/y.bin")
    addresses.put(path, "memory://lab/y.bin")
    assert addresses.exists("memory://lab/y.bin")
    assert addresses.local("memory://lab/y.bin").read_bytes() == b"12345"
    with pytest.raises(InputError, match=r"y\.bin cannot be written"):
        addresses.put(path, "https://host/y.bin")
    with pytest.raises(InputError, match=r"y\.csv cannot be written"):
        Writer("https://host/y.csv")  # before anything is predicted
    put, count = MemoryFileSystem.put_file, []

    def half(self: MemoryFileSystem, *given: object, **named: object) -> None:
        put(self, *given, **named)
        self.pipe(given[1], b"12") if len(count) < 2 else None
        count.append(1)

    monkeypatch.setattr(MemoryFileSystem, "put_file", half)
    addresses.put(path, "memory://lab/z.bin")
    assert MEMORY.cat("/lab/z.bin") == b"12345"
    assert len(count) == 3


def test_a_folder_is_written_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    put = MemoryFileSystem.put_file

    def noted(self: MemoryFileSystem, path: str, place: str, **named: object) -> None:
        order.append(place)
        if len(order) > 7:
            raise PermissionError("no room")
        put(self, path, place, **named)

    monkeypatch.setattr(MemoryFileSystem, "put_file", noted)
    for name in ("a/x.bin", "first.json", "y.bin", "z/x.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    addresses.put_folder(tmp_path, "memory://lab/whole", "first.json")
    assert [name.removeprefix("/lab/whole/") for name in order] == [
        *("a/x.bin", "y.bin", "z/x.bin", "first.json")
    ]
    assert addresses.local("memory://lab/whole/z/x.bin").read_text() == "z/x.bin"
    with pytest.raises(InputError, match="memory://lab/part.*no room"):
        addresses.put_folder(tmp_path, "memory://lab/part", "first.json")
    assert addresses.is_empty("memory://lab/part")
    assert not addresses.is_empty("memory://lab/whole")
    with pytest.raises(InputError, match="cannot be written"):
        addresses.put_folder(tmp_path, "https://host/part")


AZURE = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN")


def test_azure_asks_for_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of Azure's protocol is at hand: the arguments are held to, no answer is."""
    for name in AZURE:
        monkeypatch.delenv(name, raising=False)
    assert addresses.is_address("az://lab/x.csv")
    with pytest.raises(InputError, match="AZURE_STORAGE_ACCOUNT"):
        addresses.local("az://lab/x.csv")
    made: list[dict[str, str]] = []
    monkeypatch.setattr("pyarrow.fs.AzureFileSystem", lambda **given: made.append(given))
    given = dict(zip(AZURE, ("me", SECRET, "sig"), strict=True))
    for names in (AZURE[:1], AZURE[:2], (AZURE[0], AZURE[2]), AZURE):
        with monkeypatch.context() as patch:
            for name in names:
                patch.setenv(name, given[name])
            addresses._objects("az")
    key, token = {"account_key": SECRET}, {"sas_token": "sig"}
    assert made == [{"account_name": "me"} | more for more in ({}, key, token, key)]
    for address in (f"az://me:{SECRET}@lab/x.csv", "az:///x.csv"):
        with pytest.raises(InputError) as refusal:
            addresses.check(address)
        assert SECRET not in str(refusal.value)


def test_without_its_library_a_line_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, block: Callable[[str], None]
) -> None:
    block("pyarrow.fs")
    with pytest.raises(InputError, match=r"s3://lab/x\.csv.*pip install.*pyarrow"):
        addresses.local("s3://lab/x.csv")


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda name: monkeypatch.setitem(__import__("sys").modules, name, None)

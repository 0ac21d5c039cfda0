"""Addresses such as s3://bucket/file: fetched into a cache of this machine, written as a whole.

What is fetched is a file like any other, read by the same readers. It is fetched again when it has
another size or time at its address. Credentials are those of the environment, as the services'
own programs take them; an address that holds some is refused, as runs keep their command lines.

fsspec opens memory:// and https://, pyarrow's file systems under fsspec's interface the others.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say

SCHEMES = ("s3", "gs", "az", "http", "https", "memory")
READ_ONLY = ("http", "https")
BEGINNINGS = tuple(f"{scheme}://" for scheme in SCHEMES)
INSTALL = "type pip install 'fsspec[http]' pyarrow"
TIMEOUT = 60.0
"""Seconds that a server may be silent."""
WAITS = (1.0, 4.0)
"""Seconds before each further try."""
FINAL = re.compile(
    r"^40[1-4]\b|ACCESS_DENIED|ACCESS_KEY|SIGNATURE|NO_SUCH|[Cc]redential|AuthenticationFailed"
)
"""In the message of an error that no further try mends: of the web, and of object stores."""
SECRET = re.compile(r"\bsig\b|signature|token|key|secret|passw|credential", re.IGNORECASE)
"""In the name of a parameter, or of an environment variable, whose value is a secret."""

T = TypeVar("T")


class NotThere(InputError):
    """Nothing is at an address."""


def is_address(name: Any) -> bool:
    """Whether a text begins with one of `SCHEMES`; all else is a path of this machine."""
    return isinstance(name, str) and name.startswith(BEGINNINGS)


def check(address: str) -> None:
    """Refuses an address that leads nowhere, and one that holds a password or a signature."""
    check_secrets(address)
    _, host, names, _ = _parts(address)
    if not host or {".", ".."} & {*names}:
        raise InputError(f"{address}: name a bucket or a host, and what is in it")


def check_writable(address: str) -> None:
    """Refuses an address that cannot be written to."""
    check(address)
    if _parts(address)[0] in READ_ONLY:
        raise InputError(f"{address} cannot be written to: name a bucket, as in s3://bucket/file")


def check_bucket(address: str) -> None:
    """Raises InputError where the bucket of an address is known not to be there."""
    scheme, bucket, _, _ = _parts(address)
    if scheme == "memory" or scheme in READ_ONLY:
        return
    system, _ = _opened(address)
    try:
        system.info(bucket)
    except FileNotFoundError:
        missing = f"{address}: there is no bucket {bucket}: make it, or name another"
        raise NotThere(missing) from None
    except Exception:  # out of reach now, or not to be looked at: what is sent is tried again
        return


def check_secrets(address: str) -> None:
    """Refuses an address that holds a password or a signature: runs keep their command lines."""
    scheme, host, names, query = _parts(address)
    shown = f"{scheme}://.../{names[-1] if names else ''}"
    if "@" in host or (":" in host and scheme not in READ_ONLY):
        raise InputError(
            f"{shown}: its address holds a password, which a run would keep: leave it out, and set "
            "the variables that the service reads, such as AWS_ACCESS_KEY_ID (or ~/.netrc)"
        )
    if any(SECRET.search(key) for key, _ in parse_qsl(query, keep_blank_values=True)):
        raise InputError(
            f"{shown}: its address is signed, and a run would keep that: fetch it by hand, and "
            "name the file"
        )


def masked(address: str) -> str:
    """The address of a database, with no password and without its options."""
    return re.sub(r"//([^:/@]*):.*@", r"//\1:***@", address).partition("?")[0]


def check_database(key: str, address: str) -> None:
    """Refuses the address of a database that holds a password: runs keep their command lines."""
    options = parse_qsl(address.partition("?")[2], keep_blank_values=True)
    if masked(address) not in address or any("passw" in name.lower() for name, _ in options):
        raise InputError(
            f"{key}={masked(address)} cannot be used: it holds a password, which runs would keep: "
            "leave it out, and set PGPASSWORD or ~/.pgpass, which psycopg reads (of MySQL: "
            "name ?read_default_file=...)"
        )


def _parts(address: str) -> tuple[str, str, list[str], str]:
    """Scheme, host or bucket, names of the path, and query, which only the web has."""
    scheme, _, rest = address.partition("://")
    query = ""
    if scheme in READ_ONLY:
        rest, _, query = rest.partition("#")[0].partition("?")
    host, _, path = rest.partition("/")
    return scheme, host, [name for name in path.split("/") if name], query


def local(name: str | Path) -> Path:
    """The path of a file or folder: its own, or that of what was fetched from an address.

    Of a pattern, such as `s3://bucket/tables/*.parquet`, what it matches is fetched; its path is a
    pattern, too.
    """
    if not is_address(name):
        return Path(name)
    address, pattern = _without_wildcards(str(name))
    system, place = _opened(address)
    if not _parts(address)[2] and not pattern:
        raise InputError(f"{address}: name a file or a folder in it")
    listing = _tried(str(name), lambda: _listing(system, place, str(name), pattern))
    _cache().mkdir(mode=0o700, parents=True, exist_ok=True)  # others may not read it
    home = cached(address)
    index = _cache() / "fetched" / f"{hashlib.sha256(str(name).encode()).hexdigest()[:32]}.json"
    before = files.read_json(index) if index.is_file() else {}
    fetched = 0
    for inside, (size, mark) in listing.items():
        path = home / inside
        if mark is None or before.get(inside) != mark or _size(path) != size:
            _tried(address, lambda p=path, i=inside, s=size: _fetch(system, place, i, p, s))
            fetched += path.stat().st_size
    for path in home.glob(pattern or "**/*") if home.is_dir() else ():
        is_part = path.suffix == ".part"  # of another process
        if path.is_file() and not is_part and path.relative_to(home).as_posix() not in listing:
            path.unlink()  # it is not at its address any more
    marks = {inside: mark for inside, (_, mark) in listing.items()}
    if marks != before:
        index.parent.mkdir(parents=True, exist_ok=True)
        files.write_shared(index, json.dumps(marks))
    if fetched:
        say(f"fetched     {name} ({fetched / 1e6:,.1f} MB)", file=sys.stderr)
    return home / pattern if pattern else home


def _without_wildcards(address: str) -> tuple[str, str]:
    """An address up to its first wildcard, and the pattern behind; the web has no patterns."""
    scheme, _, rest = address.partition("://")
    host, *names = rest.split("/")
    fixed = next((i for i, name in enumerate(names) if files.is_pattern(name)), None)
    if fixed is None or scheme in READ_ONLY or exists(address):
        return address, ""
    return f"{scheme}://{'/'.join([host, *names[:fixed]])}", "/".join(names[fixed:])


def cached(address: str) -> Path:
    """Where on this machine lies what is fetched from an address."""
    scheme, host, names, query = _parts(address)
    versions = [hashlib.sha256(query.encode()).hexdigest()[:16]] if query else []
    return _cache().joinpath(scheme, host.replace(":", "_"), *versions, *names)


def exists(address: str) -> bool:
    """Whether there is something at an address."""
    system, place = _opened(address)
    return _tried(address, lambda: bool(system.exists(place)))


def is_empty(address: str) -> bool:
    """Whether no file is at an address, nor below it."""
    system, place = _opened(address)
    return _tried(address, lambda: not system.find(place))


def put(path: Path, address: str) -> None:
    """Writes a file to an address: whole, or not at all.

    Object stores show what is written when its last part has come.
    """
    check_writable(address)
    system, place = _opened(address)
    _tried(address, lambda: _put(system, path, place))


def _put(system: Any, path: Path, place: str) -> None:
    system.put_file(str(path), place)
    if system.info(place)["size"] != path.stat().st_size:
        raise OSError("it was written in part")


def put_folder(folder: Path, address: str, last: str = "") -> None:
    """Writes the files of a folder below an address: all, or none; the one named `last`, without
    which the folder says nothing, comes last."""
    check_writable(address)
    system, place = _opened(address)
    paths = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.name == last, p))
    sent: list[str] = []
    try:
        for path in paths:
            sent.append(f"{place}/{path.relative_to(folder).as_posix()}")
            _tried(address, lambda path=path: _put(system, path, sent[-1]))
    except BaseException:
        for name in sent:
            with contextlib.suppress(Exception):  # what stopped the one may stop the other
                system.rm_file(name)
        raise


def newest(address: str, pattern: str) -> str | None:
    """The address of the file below an address that was written last, of those of a pattern."""
    system, place = _opened(address)
    try:
        _tried(address, lambda: system.info(place))  # `find` finds nothing in what is out of reach
    except NotThere:
        return None
    entries = _tried(address, lambda: system.find(place, detail=True))
    times = {
        name: str(info.get("mtime") or info.get("created"))
        for name, info in entries.items()
        if PurePosixPath(name).match(pattern)
    }
    if not times:
        return None
    inside = PurePosixPath(max(times, key=lambda name: times[name])).relative_to(place)
    return f"{address.rstrip('/')}/{inside}"


def _cache() -> Path:
    """The folder of what was fetched: SEQFUSE_CACHE, or ~/.cache/seqfuse."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SEQFUSE_CACHE") or Path(base, "seqfuse")).absolute()


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _opened(address: str) -> tuple[Any, str]:
    """A file system of fsspec, and the place of an address in it."""
    check(address)
    scheme, host, names, _ = _parts(address)
    place = "/".join([host, *names])
    try:
        if scheme == "memory":
            from fsspec.implementations.memory import MemoryFileSystem

            return MemoryFileSystem(), f"/{place}"
        if scheme in READ_ONLY:
            return _web(), address
        from fsspec.implementations.arrow import ArrowFSWrapper

        return ArrowFSWrapper(_objects(scheme)), place
    except ImportError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{address} needs what is not installed ({reason}): {INSTALL}") from None


def _web() -> Any:
    from aiohttp import ClientTimeout
    from fsspec.implementations.http import HTTPFileSystem

    silence = ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
    options = {"timeout": silence, "trust_env": True}  # proxies, and passwords of ~/.netrc
    return HTTPFileSystem(client_kwargs=options, skip_instance_cache=True)


def _objects(scheme: str) -> Any:
    """An object store, with the credentials of the environment."""
    if scheme == "gs":
        from datetime import timedelta

        from pyarrow.fs import GcsFileSystem

        return GcsFileSystem(retry_time_limit=timedelta(seconds=TIMEOUT))
    if scheme == "az":
        return _azure()
    from pyarrow.fs import S3FileSystem

    # pyarrow does not look these up.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    kind, _, host = endpoint.rpartition("://")
    other = {"endpoint_override": host.rstrip("/"), "scheme": kind or "https"} if host else {}
    return S3FileSystem(connect_timeout=TIMEOUT, request_timeout=TIMEOUT, **other)


def _azure() -> Any:
    """Containers of the account that the environment names; the library finds tokens itself."""
    from pyarrow.fs import AzureFileSystem

    names = ("account_name", "account_key", "sas_token")
    variables = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN")
    given = {name: os.environ.get(v) for name, v in zip(names, variables, strict=True)}
    if not given["account_name"]:
        raise InputError(
            "az://container/file names no account: set the variable AZURE_STORAGE_ACCOUNT (and "
            "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or log in with az login)"
        )
    if given["account_key"]:
        given["sas_token"] = None  # the library takes one of the two
    return AzureFileSystem(**{name: value for name, value in given.items() if value})


def _listing(
    system: Any, place: str, address: str, pattern: str = ""
) -> dict[str, tuple[int | None, Any]]:
    """Size and mark of each file below a place, by its name there; '' is the place itself.

    Equal marks are of equal files; None is of one whose server says too little.

    Args:
        pattern: names those that are meant, or their folders; without one, all are.
    """
    info: dict[str, Any] = {"type": "directory"} if pattern else system.info(place)
    if info["type"] != "directory":
        return {"": (info.get("size"), _mark(info))}
    matched = system.glob(f"{place}/{pattern}", detail=True) if pattern else {place: info}
    listing = {}
    for name, entry in matched.items():
        is_folder = entry["type"] == "directory"
        for inner, each in (system.find(name, detail=True) if is_folder else {name: entry}).items():
            inside = inner[len(place) :].lstrip("/")
            if {"..", ".", ""} & {*inside.split("/")} or re.search(r"[\\:\0]", inside):
                raise InputError(f"{address} holds {inside!r}, which is no name of a file")
            listing[inside] = (each["size"], _mark(each))
    if not listing:
        raise FileNotFoundError("there is nothing")
    return listing


def _mark(info: dict[str, Any]) -> list[str] | None:
    names = ("ETag", "Last-Modified", "mtime", "created")
    marks = [str(info[name]) for name in names if info.get(name)]
    return [str(info.get("size")), *marks] if marks else None


def _fetch(system: Any, place: str, inside: str, path: Path, size: int | None) -> None:
    """One file, written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        system.get_file(f"{place}/{inside}" if inside else place, str(part))
        if size is not None and part.stat().st_size != size:
            raise OSError(f"{part.stat().st_size:,} of {size:,} bytes came")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _tried(address: str, action: Callable[[], T]) -> T:
    """The result of an action over the network, which is tried again where that may help."""
    for wait in (*WAITS, None):
        try:
            return action()
        except InputError:
            raise
        except Exception as error:  # of the libraries of the network, each of which has its own
            if wait is None or _is_final(error):
                raise _refusal(address, error) from None
            time.sleep(wait)
    raise AssertionError


def _is_final(error: Exception) -> bool:
    final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    here = isinstance(error, OSError) and error.filename is not None  # of a file of this machine
    return isinstance(error, final) or here or FINAL.search(str(error)) is not None


def _refusal(address: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) > 5:
            reason = reason.replace(value, "***")
    if isinstance(error, FileNotFoundError):
        return NotThere(f"{address} is not there: check its name ({reason})")
    return InputError(
        f"{address}: {reason}: check its name, the network, and the credentials of the environment"
    )

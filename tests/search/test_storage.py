"""A storage that cannot be used says so in one line and stays as it was."""

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.search import storage


def filled(path: Path) -> bytes:
    study = optuna.create_study(storage=storage.open_storage(str(path)), study_name="mine")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: b"hello", "it is no journal of Optuna's"),
        (lambda text: b"a,b\n1,2\n", "line 1 begins no study"),
        (lambda text: text + b"[1]\n", "is no record"),
        (lambda text: text[:200] + b"\x00\x00" + text[210:], "is no record"),
        (lambda text: text.replace(b'"op_code":4', b'"op_code":99'), "contradict each other"),
        (lambda text: b"".join(text.splitlines(True)[3:]), "line 1 begins no study"),
    ],
)
def test_a_damaged_journal(tmp_path: Path, spoil: Any, message: str) -> None:
    path = tmp_path / "study.journal"
    path.write_bytes(spoil(filled(path)))
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        storage.open_storage(str(path))
    assert message in str(caught.value)
    assert f"hydra.sweeper.storage={path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_half_written_record_is_dropped(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "study.journal"
    whole = filled(path)
    path.write_bytes(whole + b'{"op_code":4,"wor')
    found = storage.open_storage(str(path))
    assert path.read_bytes() == whole
    assert "dropped the unfinished last record" in capsys.readouterr().out
    assert len(optuna.load_study(storage=found, study_name="mine").trials) == 3


def test_a_lock_that_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = tmp_path / "study.journal", tmp_path / "study.journal.lock"
    filled(path)
    lock.symlink_to(path)
    monkeypatch.setattr(storage, "PATIENCE", 0.2)
    with pytest.raises(InputError, match="study.journal is locked by .*: delete "):
        storage.open_storage(str(path))
    monkeypatch.setattr(storage, "PATIENCE", 10.0)
    thread = threading.Timer(0.2, lock.unlink)
    thread.start()
    start = time.monotonic()
    storage.open_storage(str(path))
    assert 0.15 < time.monotonic() - start < 5, "as soon as it is free"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://me:secret@nowhere/db", "psycopg"),
        ("redis://nowhere:1", "redis"),
    ],
)
def test_what_cannot_be_reached(address: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        storage.open_storage(address)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_locked_or_none(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(b"this is no database, but long enough to be taken for one" * 99)
    with pytest.raises(InputError, match="not a database"):
        storage.open_storage(f"sqlite:///{path}")
    path.unlink()
    optuna.create_study(storage=storage.open_storage(f"sqlite:///{path}"), study_name="mine")
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="database is locked"):
            storage.open_storage(f"sqlite:///{path}?timeout=0.1")
        other.rollback()
    other.close()


def test_a_lost_connection_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import PendingRollbackError

    monkeypatch.setattr(storage, "PAUSE", 0.0)
    answers: list[Any] = [PendingRollbackError("of what was lost"), 3]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert storage.patiently("postgresql://a/b", ask) == 3

"""Logs that are cut back to where a checkpoint was written."""

import csv
from pathlib import Path

import pytest

from seqfuse.callbacks.journal import CsvLogger
from tests.conftest import full_disk


def test_rows_behind_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    first = CsvLogger(tmp_path)
    for step in range(4):
        first.log_metrics({"loss": 0.5 * step}, step)
    first.save()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("0.1,")  # killed while it wrote
    table = CsvLogger(tmp_path)
    assert table.rows == 5
    table.cut(2)
    table.log_metrics({"accuracy": 1.0}, 2)
    table.save()
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert [row["loss"] for row in rows] == ["0.0", "0.5", ""]
    assert rows[2]["accuracy"] == "1.0"
    assert table.rows == 3
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_run_that_begins_anew_begins_a_new_table(tmp_path: Path) -> None:
    first = CsvLogger(tmp_path)
    first.log_metrics({"old": 1.0}, 0)
    first.save()
    table = CsvLogger(tmp_path)
    table.cut(0)
    table.log_metrics({"new": 2.0}, 0)
    table.save()
    assert (tmp_path / "metrics.csv").read_text().split() == ["new,step", "2.0,0"]


def test_a_full_disk_leaves_no_half_of_a_row(tmp_path: Path) -> None:
    table = CsvLogger(tmp_path)
    table.log_metrics({"loss": 0.5}, 0)
    with full_disk(3), pytest.raises(OSError, match="File too large"):
        table.save()
    assert not list(tmp_path.iterdir())
    table.save()
    assert (tmp_path / "metrics.csv").read_text().split() == ["loss,step", "0.5,0"]
    assert table.rows == 1

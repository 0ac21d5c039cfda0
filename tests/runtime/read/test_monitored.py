"""Files of recordings are read as in training, but for their labels."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.data.read.files import TableFile
from seqfuse.data.read.recordings import LabelledTable, Nab, Skab
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.monitored import SKAB_SENSORS, leading, read_recordings


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "file", "name"),
    [
        (Nab, "nab/realKnownCause/nyc_taxi.csv.gz", "realKnownCause/nyc_taxi"),
        (Skab, "skab/valve1/0.csv.gz", "valve1/0"),
    ],
)
def test_files_of_a_benchmark_are_read_as_in_training(
    kind: Any, file: str, name: str, data_root: Path
) -> None:
    source = kind(str(data_root / file.split("/")[0]))
    [wanted] = [one for one in source() if one.name == name]
    [one] = read_recordings(data_root / file, source.file_format)
    np.testing.assert_array_equal(one.time, wanted.time)
    np.testing.assert_array_equal(one.values, wanted.values)
    assert (one.columns, one.num_train) == (wanted.columns, wanted.num_train)
    assert one.num_train == leading(len(one.values), source.train)
    assert not one.labels.any()


@pytest.mark.parametrize("name", ["anomaly", "Label", "is_anomaly", "other"])
def test_a_column_of_labels_is_found_and_never_watched(name: str, tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02},{day},{int(day > 8)}" for day in range(1, 11)]
    (tmp_path / "a.csv").write_text(f"date,value,{name}\n" + "\n".join(rows) + "\n")
    source = LabelledTable(TableFile(str(tmp_path / "a.csv")))
    [learnt] = source()
    [new] = read_recordings(tmp_path / "a.csv", source.file_format)
    if name == "other":
        assert new.columns == learnt.columns == ["value", "other"]
        assert not learnt.labels.any()
    else:
        assert new.columns == learnt.columns == ["value"]
        assert learnt.labels.tolist() == [False] * 8 + [True] * 2
    assert not new.labels.any()


@pytest.mark.parametrize("group", [None, "line"])
def test_a_table_of_intervals_says_what_is_anomalous(group: str | None, tmp_path: Path) -> None:
    lines = "xy" if group else "x"
    rows = [f"2024-01-{day:02},{line},{day}" for line in lines for day in range(1, 11)]
    path = tmp_path / "a.csv"
    path.write_text("date,line,value\n" + "\n".join(rows) + "\n")
    faults = tmp_path / "faults.csv"
    faults.write_text("start,end,line\n2024-01-03 12:00,2024-01-05,x\n2024-01-10,2024-01-10,x\n")
    options = {"group": group, "targets": ["value"], "intervals": str(faults)}
    source = LabelledTable(TableFile(str(path)), **options)
    first, *others = source()
    assert np.flatnonzero(first.labels).tolist() == [3, 4, 9]
    assert first.windows == [(3, 4), (9, 9)]
    assert [other.labels.any() for other in others] == [False] * (len(lines) - 1)
    assert "intervals" not in source.file_format
    for row, message in (
        ("2024-02-01,2024-02-02,x", "line 2: no row is from 2024-02-01 00:00:00 to"),
        ("2024-01-05,2024-01-03,x", "line 2, column 'end': 2024-01-03 00:00:00 is before"),
    ):
        faults.write_text(f"start,end,line\n{row}\n")
        with pytest.raises(InputError, match=rf"faults.csv: {message}"):
            source()
    faults.write_text("from,to\n2024-01-03,2024-01-04\n")
    with pytest.raises(InputError, match="faults.csv has no column 'start'"):
        source()
    with pytest.raises(InputError, match="data.intervals=gone.csv is not there"):
        LabelledTable(TableFile(str(path)), **{**options, "intervals": "gone.csv"})()


def test_labels_may_be_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "speed.csv").write_text("timestamp,value\n2024-01-01 00:00:00,1\n")
    assert read_recordings(tmp_path / "speed.csv", {"kind": "nab"})[0].name == "speed"
    cells = ";".join("1" for _ in SKAB_SENSORS)
    for end, flags in (("", ""), (";anomaly;changepoint", ";1;0")):
        text = f"datetime;{';'.join(SKAB_SENSORS)}{end}\n2024-01-01 00:00:00;{cells}{flags}\n"
        with gzip.open(tmp_path / "0.csv.gz", "wt") as file:
            file.write(text)
        [one] = read_recordings(tmp_path / "0.csv.gz", {"kind": "skab"})
        assert (one.name, one.labels.tolist(), one.values.shape) == ("0", [False], (1, 8))
    parts = {f"{part}_{what}": np.ones((3, 2))[:, : 1 + (what == "command")]
             for part in ("train", "test") for what in ("value", "command")}  # fmt: skip
    np.savez(tmp_path / "A-1.npz", **parts)
    [one] = read_recordings(tmp_path / "A-1.npz", {"kind": "smap_msl"})
    assert (one.name, one.num_train, len(one.values), one.labels.any()) == ("A-1", 3, 6, False)

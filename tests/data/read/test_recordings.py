"""Readers of NAB, SKAB, SMAP and MSL: what they find, and what they say of broken files."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from seqfuse.data.read.recordings import SKAB_EXPERIMENTS, Nab, Skab, SmapMsl
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.monitored import SKAB_SENSORS, Recording


def check(recordings: list[Recording]) -> None:
    assert len({one.name for one in recordings}) == len(recordings)
    for one in recordings:
        assert one.values.shape == (len(one.time), len(one.columns)), one.name
        assert len(one.labels) == len(one.time)
        assert one.values.dtype == np.float32
        assert one.labels.dtype == bool
        assert 0 < one.num_train <= len(one.time)


def by_name(recordings: list[Recording]) -> dict[str, Recording]:
    return {one.name: one for one in recordings}


@pytest.mark.long
def test_nab(data_root: Path) -> None:
    found = Nab(str(data_root / "nab"))()
    check(found)
    assert len(found) == 58
    assert sum(len(one.time) for one in found) == 365558
    assert sum(len(one.windows) for one in found) == 116
    # Of NAB's results/null/null_standard_scores.csv: FN and TN behind the probation period.
    scored = np.concatenate([one.labels[one.num_train :] for one in found])
    assert (scored.sum(), (~scored).sum()) == (33495, 299347)
    assert not any(one.labels[: one.num_train].any() for one in found)
    taxi = by_name(found)["realKnownCause/nyc_taxi"]
    assert taxi.time[0] == np.datetime64("2014-07-01T00:00:00")
    assert taxi.values[:2, 0].tolist() == [10844, 8127]
    assert taxi.num_train == 750
    assert taxi.time[taxi.windows[0][0]] == np.datetime64("2014-10-30T15:30:00")


@pytest.mark.long
def test_nab_keeps_rows_whose_clock_repeats_or_steps_back(data_root: Path) -> None:
    steps = {
        one.name.split("/")[1]: np.diff(one.time).astype(int)
        for one in Nab(str(data_root / "nab"))()
    }
    repeating = {name: int((step == 0).sum()) for name, step in steps.items() if not all(step)}
    assert repeating == {
        "ec2_disk_write_bytes_1ef3de": 11,
        "ec2_network_in_5abac7": 11,
        "ec2_request_latency_system_failure": 11,
        "exchange-2_cpc_results": 1,
        "exchange-2_cpm_results": 1,
        "occupancy_t4013": 1,
        "speed_t4013": 1,
    }
    back = {name: step.min() for name, step in steps.items() if step.min() < 0}
    assert back == {"machine_temperature_system_failure": -55 * 60}


@pytest.mark.long
def test_nab_by_groups(data_root: Path) -> None:
    root = str(data_root / "nab")
    assert len(Nab(root, artificial=False)()) == 47
    traffic = Nab(root, groups=["realTraffic"])()
    assert len(traffic) == 7
    assert all(one.name.startswith("realTraffic/") for one in traffic)
    with pytest.raises(InputError, match="no group 'realTrafic': it has artificialNoAnomaly, "):
        Nab(root, groups=["realTrafic"])()
    with pytest.raises(InputError, match="no group of NAB is left"):
        Nab(root, groups=["artificialNoAnomaly"], artificial=False)()


@pytest.mark.long
def test_skab(data_root: Path) -> None:
    *experiments, whole = found = Skab(str(data_root / "skab"))()
    check(found)
    assert len(experiments) == 34
    assert sum(len(one.time) for one in found) == 46806
    assert all(len(one.windows) == 1 and one.num_train == 400 for one in experiments)
    early = [one.name for one in experiments if one.labels[:400].any()]
    assert early == ["other/2"]
    assert (whole.name, len(whole.time), whole.num_train) == ("anomaly-free", 9405, 9405)
    assert not whole.labels.any()
    first = experiments[0]
    assert first.name == "valve1/0"
    np.testing.assert_allclose(first.values[0, [0, 7]], [0.0265878, 32.0], rtol=1e-6)
    assert first.windows == [(573, 973)]


def sequences(root: Path) -> dict[str, np.ndarray]:
    """Anomalous test steps of each channel, by the table that NASA published."""
    steps: dict[str, np.ndarray] = {}
    with (root / "smap_msl" / "labeled_anomalies.csv").open() as file:
        for row in csv.DictReader(file):
            labels = steps.setdefault(row["chan_id"], np.zeros(int(row["num_values"]), bool))
            for first, last in json.loads(row["anomaly_sequences"]):
                labels[first : last + 1] = True
    return steps


@pytest.mark.parametrize(
    ("spacecraft", "leave_out", "channels", "train", "test", "anomalous"),
    [
        ("both", (), 81, 196321, 509555, 63738),
        ("SMAP", (), 54, 138004, 435826, 55972),
        ("SMAP", ("P-2",), 53, 135183, 427617, 54696),
        ("MSL", ("P-2",), 27, 58317, 73729, 7766),
    ],
)
def test_smap_msl(
    data_root: Path,
    spacecraft: str,
    leave_out: tuple[str, ...],
    channels: int,
    train: int,
    test: int,
    anomalous: int,
) -> None:
    found = SmapMsl(str(data_root / "smap_msl"), spacecraft, leave_out)()
    check(found)
    assert len(found) == channels
    assert sum(one.num_train for one in found) == train
    assert sum(len(one.time) - one.num_train for one in found) == test
    assert sum(one.labels.sum() for one in found) == anomalous
    truth = sequences(data_root)
    for one in found:
        assert not one.labels[: one.num_train].any()
        np.testing.assert_array_equal(one.labels[one.num_train :], truth[one.name])
    shares = {"SMAP": 0.128, "MSL": 0.105, "both": 0.125}
    assert anomalous / test == pytest.approx(shares[spacecraft], abs=5e-4)


def test_smap_msl_leaves_out_p2_unless_told(data_root: Path) -> None:
    found = SmapMsl(str(data_root / "smap_msl"))()
    assert len(found) == 80
    assert "P-2" not in by_name(found)
    assert {len(one.columns) for one in found} == {25, 55}
    assert found[0].columns[:2] == ["value", "command_0"]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


NAB_ROWS = "timestamp,value\n2020-01-01 00:00:00,1\n2020-01-01 00:05:00,2.5\n"


def nab(root: Path, rows: str = NAB_ROWS, name: str = "data/g/a.csv", end: str = "00:05") -> Nab:
    spans = {"g/a.csv": [["2020-01-01 00:05:00.000000", f"2020-01-01 {end}:00.000000"]]}
    write(root / "labels" / "combined_windows.json", json.dumps(spans))
    write(root / name, rows)
    return Nab(str(root))


@pytest.mark.parametrize("name", ["g/a.csv", "g/a.csv.gz", "data/g/a.csv"])
def test_nab_plain_gzipped_or_cloned(tmp_path: Path, name: str) -> None:
    [one] = nab(tmp_path, NAB_ROWS.replace("\n", "\r\n"), name)()
    assert one.values.tolist() == [[1], [2.5]]
    assert one.windows == [(1, 1)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (NAB_ROWS.replace("2.5", "x"), "a.csv: line 3, column 'value': 'x' is no number"),
        (NAB_ROWS.replace("2.5", "nan"), "line 3, column 'value' is empty"),
        (NAB_ROWS.replace(" 00:00:00", " noon"), "line 2, column 'timestamp': '2020-01-01 n"),
        (NAB_ROWS.replace("value", "v"), "line 1: columns are 'timestamp,v', expected 'timestamp,"),
        (NAB_ROWS.replace("\n2020", "\n\n2020").replace("2.5", "1e39"), "line 5, column 'value'"),
        (NAB_ROWS.replace("00:05", "00:06"), "has no row at 2020-01-01 00:05:00.000000"),
    ],
)
def test_broken_tables_are_named(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        nab(tmp_path, rows)()
    assert "\n" not in str(error.value)


def test_missing_and_truncated_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder .*nowhere: set root .*numenta/NAB"):
        Nab(str(tmp_path / "nowhere"))()
    with pytest.raises(InputError, match="neither labels/combined_windows.json nor .*numenta/NAB"):
        Nab(str(tmp_path))()
    reader = nab(tmp_path, name="data/g/b.csv")
    with pytest.raises(InputError, match="neither g/a.csv nor g/a.csv.gz: .*numenta/NAB"):
        reader()
    whole = gzip.compress(NAB_ROWS.encode())
    (tmp_path / "data" / "g" / "a.csv.gz").write_bytes(whole[:-12])
    with pytest.raises(InputError, match="a.csv.gz is truncated or not gzip"):
        reader()
    write(tmp_path / "data" / "g" / "a.csv", NAB_ROWS)
    with pytest.raises(InputError, match="'2020-01-01 later:00.000000' is no time stamp"):
        nab(tmp_path, end="later")()
    write(tmp_path / "labels" / "combined_windows.json", "{")
    with pytest.raises(InputError, match="combined_windows.json is not JSON"):
        reader()


def skab(root: Path, old: str = "", new: str = "") -> Skab:
    """All files of SKAB with two rows each, one text replaced in `valve2/3`."""
    head, row = ";".join(["datetime", *SKAB_SENSORS]), "2020-03-09 10:14:3{};1;2;3;4;5;6;7;8"
    plain = "\n".join([head, row.format(1), row.format(2)]) + "\n"
    flagged = plain.replace(";8\n", ";8;0.0;0.0\n").replace("RMS\n", "RMS;anomaly;changepoint\n")
    write(root / "anomaly-free" / "anomaly-free.csv", plain)
    for group, numbers in SKAB_EXPERIMENTS.items():
        for i in numbers:
            write(root / group / f"{i}.csv.gz", flagged)
    write(root / "valve2" / "3.csv.gz", flagged.replace(old, new))
    return Skab(str(root))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":32", ":31", "3.csv.gz: line 3: 2020-03-09 10:14:31 is not later than"),
        (":32", ":30", "line 3: 2020-03-09 10:14:30 is not later"),
        (";0.0;0.0\n", ";0.5;0.0\n", "line 2: anomaly must be 0 or 1"),
        (";4;5", ";4,1;5", "line 2, column 'Pressure': '4,1' is no number"),
        (";anomaly", ";label", "line 1: columns are .*;label;changepoint', expected"),
    ],
)
def test_broken_experiments_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert len(skab(tmp_path)()) == 35
    with pytest.raises(InputError, match=message):
        skab(tmp_path, old, new)()


def telemetry(root: Path, **changed: np.ndarray | None) -> SmapMsl:
    arrays = {
        "train_value": np.zeros(4),
        "train_command": np.zeros((4, 24), np.uint8),
        "test_value": np.ones(3),
        "test_command": np.zeros((3, 24), np.uint8),
        "test_label": np.array([0, 1, 1], np.uint8),
        **changed,
    }
    write(root / "labeled_anomalies.csv", "chan_id,spacecraft\nP-1,SMAP\n")
    np.savez(root / "P-1.npz", **{k: v for k, v in arrays.items() if v is not None})
    return SmapMsl(str(root), leave_out=())


def test_telemetry_joins_train_and_test(tmp_path: Path) -> None:
    [one] = telemetry(tmp_path)()
    assert one.values.shape == (7, 25)
    assert one.values[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert one.windows == [(5, 6)]
    assert one.time.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert (one.name, one.num_train) == ("P-1", 4)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("test_label", None, "P-1.npz is no .npz that holds train_value, .*test_label"),
        ("test_label", np.zeros(2), "the test part has arrays of other lengths, .*'test_label': 2"),
        ("test_command", np.zeros((3, 54)), "25 columns to train on, 55 to test"),
        ("test_value", np.array([0, np.nan, 0]), "test part, row 1, column 0 is not finite"),
    ],
)
def test_broken_channels_are_named(
    tmp_path: Path, name: str, array: np.ndarray | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        telemetry(tmp_path, **{name: array})()


def test_other_mistakes_with_telemetry_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="spacecraft=smap must be one of: SMAP, MSL, both"):
        SmapMsl(str(tmp_path), "smap")
    reader = telemetry(tmp_path)
    with pytest.raises(InputError, match="leave_out: SMAP and MSL have no channel 'P2'"):
        SmapMsl(str(tmp_path), leave_out=["P2"])()
    packed = (tmp_path / "P-1.npz").read_bytes()
    (tmp_path / "P-1.npz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="P-1.npz is truncated"):
        reader()
    (tmp_path / "P-1.npz").unlink()
    with pytest.raises(InputError, match="neither P-1.npz nor .*khundman/telemanom"):
        reader()
    write(tmp_path / "labeled_anomalies.csv", "channel,craft\nP-1,SMAP\n")
    with pytest.raises(InputError, match="lacks the columns chan_id and spacecraft"):
        reader()

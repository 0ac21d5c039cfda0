"""Files of predictions: every format holds the same, and none is left half-written."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.writer import FORMATS, Writer
from tests.conftest import full_disk

CELLS = 20_000
ROWS = CELLS // 2  # of four columns

READERS = {
    ".csv": pd.read_csv,
    ".csv.gz": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype={"name": str}),
}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is written twice in a file, as it is of larger ones."""
    monkeypatch.setattr("seqfuse.runtime.writer.CELLS", CELLS)


def frames(rows: int = ROWS, each: int = 999) -> Iterator[pd.DataFrame]:
    """Rows that only stay right if stamps, text, numbers and gaps do."""
    numbers = np.arange(rows)
    whole = pd.DataFrame(
        {
            "row": numbers,
            "name": [f'{i}, "é"' for i in numbers],
            "time": pd.date_range("2020-01-01", periods=rows, freq="12h", unit="s"),
            "value": np.where(numbers % 7, 1 / (1 + numbers), np.nan),
        }
    )
    for start in range(0, rows, each):
        yield whole.iloc[start : start + each]


def columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: frame[name].to_numpy() for name in frame}


def write(path: Path, **knobs: bool) -> int:
    with Writer(path, **knobs) as writer:
        for frame in frames():
            writer.write(columns(frame))
    return writer.rows


@pytest.mark.parametrize("ending", FORMATS)
def test_what_is_written_can_be_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    assert write(path) == ROWS
    found = READERS[ending](path)
    found["time"] = pd.to_datetime(found["time"]).dt.tz_localize(None)
    wanted = pd.concat(list(frames()), ignore_index=True)
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, rtol=1e-12)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path: Path, ending: str, error: type) -> None:
    def interrupted() -> None:
        with Writer(tmp_path / f"out{ending}") as writer:
            for frame in frames():
                writer.write(columns(frame))
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", FORMATS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, ending: str) -> None:
    """The system refuses to let files grow, as it does where there is no room."""
    message = rf"out{ending} cannot be written .* make room"
    with full_disk(50_000), pytest.raises(InputError, match=message):
        write(tmp_path / f"out{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_time_grows_with_the_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much waits is counted, not summed over all frames at each of them."""
    looked, size = [0], pd.DataFrame.size

    def counted(frame: pd.DataFrame) -> int:
        looked[0] += 1
        return size.fget(frame)  # type: ignore[attr-defined]

    monkeypatch.setattr(pd.DataFrame, "size", property(counted))
    with Writer(tmp_path / "out.csv") as writer:
        for frame in frames(rows=2000, each=1):
            writer.write(columns(frame))
    assert looked[0] < 10 * 2000


@pytest.mark.parametrize("ending", FORMATS)
def test_the_first_rows_are_on_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    sizes = []
    with Writer(tmp_path / f"out{ending}") as writer:
        for frame in frames(rows=4000, each=1000):
            writer.write(columns(frame))
            now[0] += 0.3
            [part] = tmp_path.iterdir()
            sizes.append(part.stat().st_size)
    first, second, third, fourth = sizes
    assert 0 < first == second < third == fourth, "half a second passes before more is written"


def test_what_is_there_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"out.csv exists: type overwrite=true"):
        write(path)
    assert path.read_text() == "mine"
    write(path, overwrite=True)
    assert path.read_text().startswith("row,name,")

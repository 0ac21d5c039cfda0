"""Files that an input names."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.make import input_files


def test_a_pattern_is_one_input_of_jobs_that_read_parquet(tmp_path: Path) -> None:
    (tmp_path / "part=1").mkdir()
    (tmp_path / "part=1/x.parquet").touch()
    pattern = f"{tmp_path}/*/*.parquet"
    tables, series = (
        SimpleNamespace(endings=(".csv", ".parquet")),
        SimpleNamespace(endings=(".npy",)),
    )
    assert input_files(tables, pattern) == [Path(pattern)]  # type: ignore[arg-type]
    for job, name in ((series, pattern), (tables, f"{tmp_path}/*.parquet")):
        with pytest.raises(InputError, match=r"\*\.parquet"):
            input_files(job, name)  # type: ignore[arg-type]

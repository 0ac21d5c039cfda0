"""What a folder knows of the files that it is given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.data.read.recordings import Nab, Skab
from seqfuse.exporting.facts import _source
from seqfuse.runtime.cells import numbers_of, read_cells
from seqfuse.runtime.stamps import stamps_of


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Nab, "nab/realKnownCause/nyc_taxi.csv.gz"), (Skab, "skab/valve1/0.csv.gz")],
)
def test_files_of_a_benchmark_are_read_as_in_training(
    kind: Any, name: str, data_root: Path
) -> None:
    path, source = data_root / name, kind(str(data_root))
    [wanted] = source.file(path)
    facts = _source(source)
    cells = read_cells(path, facts["delimiter"])
    np.testing.assert_array_equal(stamps_of(cells, facts["time"]), wanted.time)
    values = [numbers_of(cells, one) for one in wanted.columns]
    np.testing.assert_array_equal(np.stack(values, axis=1).astype(np.float32), wanted.values)

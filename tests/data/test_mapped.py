"""Windows read from disk: an array and Parquet give the same, and no more is read than needed."""

import mmap
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.data.loader import Batches, ChunkShuffle, Loader
from seqfuse.data.module import DataModule
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.table import rows
from seqfuse.runtime.read.table.rows import GroupRows, RowReader, open_rows
from tests.data.small import SIZES, mapped, write

N = 1000


@pytest.fixture(params=["count.npy", "count.parquet", "parts"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Rows that count 0, 1, 2, ... and, in a second column, backwards."""
    return write(tmp_path / request.param, count())


@pytest.fixture(params=["npy", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same, in a file."""
    return write(tmp_path / f"count.{request.param}", count())


def count() -> np.ndarray:
    return np.stack([np.arange(N), -np.arange(N)], axis=1).astype(np.float32)


def test_the_map_behind_an_array_is_known(tmp_path: Path) -> None:
    """Which is told that rows are read at random."""
    array = np.lib.format.open_memmap(write(tmp_path / "count.npy", count()), mode="r")
    assert isinstance(array.base, mmap.mmap)


def test_borders(path: Path) -> None:
    splits = mapped(path)
    parts = {"train": (0, 600), "val": (600, 700), "calibration": (700, 800), "test": (800, 1000)}
    for part, (first, end) in parts.items():
        windows = splits.tensors(part)
        first = max(first, 10)
        assert len(windows) == end - first - 5 + 1
        batch = windows.__getitems__(range(len(windows)))
        starts = np.arange(first, end - 4)
        np.testing.assert_array_equal(batch.index, starts)
        np.testing.assert_array_equal(batch.x[..., 0], starts[:, None] + np.arange(-10, 0))
        np.testing.assert_array_equal(batch.y[..., 0], starts[:, None] + np.arange(5))
        np.testing.assert_array_equal(batch.y[..., 1], -batch.y[..., 0])
        assert batch.mask.all()


def test_columns_are_chosen_and_put_in_order(path: Path) -> None:
    splits = mapped(path, targets=[1], covariates=[0])
    batch = splits.tensors("train").__getitems__([0])
    assert batch.x[0, 0].tolist() == [0, 0]
    assert batch.x[0, 9].tolist() == [-9, 9]
    assert batch.y[0].tolist() == [[-10], [-11], [-12], [-13], [-14]]
    assert mapped(path, covariates=[0]).sizes()["num_targets"] == 1


def test_windows_in_any_order(path: Path) -> None:
    windows = mapped(path).tensors("train")
    order = np.random.default_rng(0).permutation(len(windows))
    np.testing.assert_array_equal(windows.__getitems__(order).x[:, 0, 0], order)


def test_the_scale_and_the_naive_error_are_those_of_the_training_rows(path: Path) -> None:
    splits = mapped(path, scaling="channel")
    train = count()[:600].astype(np.float64)
    np.testing.assert_allclose(splits.pipeline.standardisation.mean, train.mean(axis=0))
    np.testing.assert_allclose(splits.pipeline.standardisation.std, train.std(axis=0), rtol=1e-6)
    expected = 3 / train[:, 0].std()
    assert splits.sizes()["naive_errors"] == pytest.approx([expected, expected], rel=1e-5)


def test_what_is_poisoned_behind_training_is_not_seen(path: Path) -> None:
    before = mapped(path, scaling="channel")
    poisoned = count()
    poisoned[600:] = np.nan
    write(path, poisoned)
    after = mapped(path, scaling="channel")
    assert after.pipeline.state_dict() == before.pipeline.state_dict()
    assert after.sizes() == before.sizes()


def test_an_empty_cell_is_the_mean_and_not_forecast(path: Path) -> None:
    values = count()
    values[12, 0] = np.nan
    batch = mapped(write(path, values), scaling="channel").tensors("train").__getitems__([0, 5])
    assert batch.y[0, :, 0].isnan().tolist() == [False, False, True, False, False]
    assert batch.x[1, 7, 0] == 0
    assert not batch.x.isnan().any()


def test_large_numbers_keep_their_differences(tmp_path: Path) -> None:
    values = 1.7e9 + np.random.default_rng(0).normal(size=(N, 1))
    np.save(tmp_path / "large.npy", values)
    pd.DataFrame({"0": values[:, 0]}).to_parquet(tmp_path / "large.parquet")
    for name in ("large.npy", "large.parquet"):
        splits = mapped(tmp_path / name, scaling="channel")
        assert splits.pipeline.standardisation.std[0] == pytest.approx(values[:600].std(), rel=1e-6)
        x = splits.tensors("train").__getitems__([0]).x[0, :, 0]
        expected = (values[:10, 0] - values[:600].mean()) / values[:600].std()
        np.testing.assert_allclose(x, expected, atol=1e-5)


def test_a_narrow_file_is_not_mixed_whole(path: Path) -> None:
    windows = mapped(path, targets=[0], pool=1).tensors("train")
    assert windows.mix * int(windows.chunk or 0) * 8 * 4 <= 2**20


def test_few_row_groups_stay_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "count.parquet", count())
    found = GroupRows(path, ["0"], pool=1)
    found._keep = 3
    for first in range(0, N - 20, 7):
        np.testing.assert_array_equal(found[first : first + 20][:, 0], np.arange(first, first + 20))
        assert len(found._kept) <= 3


def test_rows_are_handed_to_processes_that_load(path: Path) -> None:
    """Nothing of the file travels, and nothing that is open."""
    windows = mapped(path, targets=[1], covariates=[0], scaling="channel").tensors("train")
    windows.__getitems__([0, 300])  # row groups that are in memory stay here
    content = pickle.dumps(windows)
    assert len(content) < 4000
    before, after = (one.__getitems__([5, 400]) for one in (windows, pickle.loads(content)))
    np.testing.assert_array_equal(before.x, after.x)
    np.testing.assert_array_equal(before.y, after.y)


@pytest.mark.slow
def test_spawned_processes_load_the_same(path: Path) -> None:
    """As workers start on macOS and Windows."""
    batches = []
    for workers in (0, 2):
        data = DataModule(mapped(path), batch_size=50, num_workers=workers)
        data.setup("fit")
        loader = data.train_dataloader()
        if workers:
            loader.multiprocessing_context = "spawn"
        batches.append([batch.index.tolist() for batch in loader])
        del loader
    assert batches[0] == batches[1]


@pytest.mark.parametrize(("size", "chunk", "mix"), [(1000, 64, 4), (1000, 64, 100), (7, 64, 1)])
def test_a_shuffle_by_chunks_misses_nothing(size: int, chunk: int, mix: int) -> None:
    order = ChunkShuffle(size, 0, chunk, mix)
    first = list(order)
    assert sorted(first) == list(range(size))
    assert first == list(order)
    order.set_epoch(1)
    assert first != list(order)
    near = first[: chunk * mix // 2]
    assert len({item // chunk for item in near}) <= mix


def test_the_chunks_of_the_next_pool_are_expected_while_one_is_taken() -> None:
    taken: list[int] = []
    expected: list[tuple[int, int, int]] = []
    order = ChunkShuffle(1000, 0, 64, 4, lambda *ends: expected.append((len(taken), *ends)))
    for item in order:
        taken.append(item)
    assert taken == list(ChunkShuffle(1000, 0, 64, 4))
    assert len(expected) == 12, "16 chunks, without those of the first pool"
    for before, first, last in expected:
        places = [taken.index(item) for item in range(first, last + 1)]
        assert before < min(places) < max(places) < before + 2 * 256
    assert len({first for _, first, _ in expected}) == 12


@pytest.mark.parametrize("skip", [0, 1, 64, 255, 256, 700, 999, 1000])
def test_what_is_passed_over_is_not_expected(skip: int) -> None:
    expected: list[int] = []
    order = ChunkShuffle(1000, 0, 64, 4, lambda first, last: expected.append(first))
    order.pass_over(skip)
    left = list(ChunkShuffle(1000, 0, 64, 4))[skip:]
    assert list(order) == left
    assert {*expected} <= {*left}
    assert len(expected) <= len(left) / 64
    assert len(list(order)) == 1000, "once"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems are not asked")
@pytest.mark.parametrize("wanted", [["0", "1"], ["1"]])
def test_rows_that_are_expected_are_read_ahead(
    path: Path, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but what was asked for, and the ends of Parquet files, is left in the files."""
    rows, asked = open_rows(path, wanted, 64), dict[str, list[tuple[int, int]]]()

    def advise(number: int, first: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        asked.setdefault(os.readlink(f"/proc/self/fd/{number}"), []).append((first, size))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    rows.expect(300, 420)
    assert asked
    for name, spans in asked.items():
        before = np.fromfile(name, np.uint8)
        after = np.full_like(before, 0xAA)
        ends = [(0, 128)] if path.suffix == ".npy" else [(len(before) - 8 - end_of(before), None)]
        for first, size in [*spans, *ends]:
            kept = slice(first, None if size is None else first + size)
            after[kept] = before[kept]
        assert (after != before).any(), "not all of the file"
        after.tofile(name)
    columns = [int(name) for name in wanted]
    np.testing.assert_array_equal(
        open_rows(path, wanted, 64)[300:420], count()[300:420][:, columns]
    )


def end_of(content: np.ndarray) -> int:
    """Bytes of what a Parquet file says of itself."""
    return int(content[-8:-4].view("<u4")[0])


def test_training_windows_are_shuffled_by_chunks(path: Path) -> None:
    data = DataModule(mapped(path), batch_size=50)
    data.setup("fit")
    windows = data.tensors("train")
    windows.chunk, windows.mix = 64, 2
    batches = [batch.index.numpy() for batch in data.train_dataloader()]
    assert sorted(np.concatenate(batches)) == list(range(10, 596))
    assert np.abs(np.diff(np.concatenate(batches))).mean() > 30
    assert len({(row - 10) // 64 for row in batches[0]}) == 2


def test_infinite_cells_and_other_columns_are_named(path: Path) -> None:
    values = count()
    splits = mapped(path)
    other = TimeSplits(RowReader([1, 0]), splits.pipeline, splits.source, **SIZES)
    with pytest.raises(InputError, match="has the columns 1, 0, training had 0, 1"):
        other.tensors("test")
    values[3, 1] = np.inf
    write(path, values)
    with pytest.raises(InputError, match="row 3, column '1' is infinite"):
        mapped(path)


def test_a_value_behind_the_training_rows_is_checked_when_it_is_read(path: Path) -> None:
    values = count().astype(np.float64)
    values[-1, 1] = 1e308
    write(path, values)
    windows = mapped(path).tensors("test")
    with pytest.raises(InputError, match=f"row {len(values) - 1}, column '1': 1e.308 is beyond"):
        windows.__getitems__(range(len(windows)))


def test_broken_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, wanted: list[str] | None = None) -> str:
        with pytest.raises(InputError) as error:
            open_rows(tmp_path / name, wanted, 64)
        return str(error.value)

    assert "the ending must be one of: .npy, .parquet" in refused("a.csv")
    assert "there is no such file" in refused("a.npy")
    for name in ("a.npy", "a.parquet"):
        content = write(tmp_path / name, count()).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        assert "is truncated or no" in refused(name)
    np.save(tmp_path / "b.npy", np.zeros((2, 3, 4)))
    assert "has shape (2, 3, 4) of float64: expected numbers" in refused("b.npy")
    write(tmp_path / "c.parquet", count())
    assert "column 'place' holds" in refused("c.parquet", ["place"])
    assert "truncated" not in refused("c.parquet", ["speed"])
    np.savez(tmp_path / "z.npz", x=np.zeros(3))
    (tmp_path / "z.npz").rename(tmp_path / "z.npy")
    assert "is truncated or no .npy file" in refused("z.npy")
    monkeypatch.setattr(rows, "MAX_GROUP", 0)
    assert "write it with smaller ones (row_group_size=1_000_000)" in refused("c.parquet")
    write(tmp_path / "d.parquet", count()[:0])
    assert "has no rows" in refused("d.parquet")


CHANGES = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:4500]),
    "written again": lambda path: write(path, count() + 1),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_told(file: Path, change: str) -> None:
    """A mapped one that is cut off would end the process, without a word (SIGBUS)."""
    splits = mapped(file)
    windows, copy = splits.tensors("test"), pickle.dumps(splits.tensors("test"))
    os.utime(file, ns=(1, 1))
    with pytest.raises(InputError, match="was changed while it was read"):
        windows.__getitems__([0])
    splits = mapped(file)
    windows, copy = splits.tensors("test"), pickle.dumps(splits.tensors("test"))
    CHANGES[change](file)
    message = f"{file.name} (was changed while it was read|cannot be read any more)"
    with pytest.raises(InputError, match=message):
        windows.__getitems__([0])
    with pytest.raises(InputError, match=message):  # a process that loads
        pickle.loads(copy)


def test_a_file_of_a_folder_that_changes_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "parts", count())
    windows = mapped(folder).tensors("train")
    copy, fresh = (pickle.dumps(mapped(folder, pool=1).tensors("train")) for _ in range(2))
    write(tmp_path / "more.parquet", count()).rename(folder / "part-99.parquet")
    assert len(pickle.loads(fresh)) == len(windows), "the files of the beginning"
    (folder / "part-6.parquet").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"part-6\.parquet was changed while it was read"):
        pickle.loads(copy)


def test_a_broken_row_group_in_the_middle_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "parts", count())
    file = folder / "part-8.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:4] + b"\xff" * 200 + content[204:])
    with pytest.raises(InputError, match=r"part-8\.parquet: row group 0 is broken"):
        open_rows(folder, ["0", "1"], 64)[:]


def test_folders_of_a_folder_are_columns(tmp_path: Path) -> None:
    for month in (9, 10):
        values = np.full((500, 2), float(month))
        write(tmp_path / f"month={month}", values)
    rows = open_rows(tmp_path, None, 64)
    assert rows.columns == ["0", "1", "month"]
    assert (rows[490:510] == np.repeat([9, 10], 10)[:, None]).all()


def test_small_files_stay_in_memory_like_large_ones(tmp_path: Path) -> None:
    """By their rows: a pool of many small groups is not read again for each batch."""
    for i in range(200):
        pd.DataFrame({"0": np.full(5, i)}).to_parquet(tmp_path / f"{i}.parquet")
    pd.DataFrame({"0": np.full(900, 200)}).to_parquet(tmp_path / "200.parquet")
    found = GroupRows(tmp_path, None, pool=1)
    found._keep = 3
    assert found[:][::5, 0].tolist() == [*range(200), *[200] * 180]
    assert len(found._kept) == 201


CUT = """
import os, sys
from pathlib import Path
from seqfuse.tasks.base import Task
step, path = Task.training_step, Path(sys.argv.pop(1))
def cut(self, *given):
    if self.trainer.global_step == 3:
        os.truncate(path, 5000)
    return step(self, *given)
Task.training_step = cut
from seqfuse.train import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_over_a_file_that_is_cut_off_keeps_its_checkpoint(
    tmp_path: Path, workers: int
) -> None:
    path = write(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(9000, 2)))
    words = [
        *("data=mapped", f"data.file={path}", "data.look_back=96", "data.horizon=24"),
        *(f"data.num_workers={workers}", "callbacks.last_checkpoint.every_n_steps=1"),
        *("trainer.max_epochs=3", "trainer.accelerator=cpu", "trainer.num_threads=1"),
        *("trainer.enable_progress_bar=false", "callbacks.figures=null", "hydra.run.dir=run"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", CUT, path, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"{path} was changed while it was read (144,128 bytes before, 5,000 now)" in done.stderr
    assert "Traceback" not in done.stderr
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] > 2


class Deadly:
    """Items that the system ends a process for, as it does when a mapped file has gone."""

    def __len__(self) -> int:
        return 4

    def __getitems__(self, rows: list[int]) -> None:
        os.kill(os.getpid(), signal.SIGBUS)


@pytest.mark.long
def test_a_process_that_loads_and_is_killed_is_told() -> None:
    order = Batches(range(4), 2, False)
    loader = Loader(Deadly(), batch_sampler=order, num_workers=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"DataLoader worker .*or its file was cut off"):
        next(iter(loader))

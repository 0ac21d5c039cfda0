"""Where series come from: aeon's sets, folders, the user's arrays, noise."""

import gzip
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from seqfuse.data.read.archive import Archive, bundled
from seqfuse.data.read.arrays import Arrays
from seqfuse.data.read.synthetic import Synthetic
from seqfuse.runtime.errors import InputError


def test_japanese_vowels_is_what_its_authors_say(tmp_path: Path) -> None:
    archive = Archive("JapaneseVowels", str(tmp_path))
    train, test = archive("train"), archive("test")
    assert (len(train), len(test)) == (270, 370)
    assert train.values.shape[1] == 12
    assert train.lengths.min() == 7
    assert test.lengths.max() == 29
    assert Counter(train.labels or ()) == {str(i): 30 for i in range(1, 10)}


def test_class_names_keep_their_case(tmp_path: Path) -> None:
    names = set(Archive("BasicMotions", str(tmp_path))("train").labels or ())
    assert names == {"Standing", "Running", "Walking", "Badminton"}


def test_every_bundled_set_reads_as_aeon_reads_it() -> None:
    from aeon.datasets import load_from_ts_file

    paths = [p for p in bundled().glob("*/*_TRAIN.ts") if p.name == f"{p.parent.name}_TRAIN.ts"]
    assert len(paths) > 5
    for path in paths:
        if "@classlabel true" not in path.read_text().lower():
            continue
        ours = Archive(path.parent.name, "nowhere")("train")
        theirs, labels = load_from_ts_file(str(path))
        assert [label.lower() for label in ours.labels or ()] == [
            str(y) for y in map(_same, labels)
        ]
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, np.asarray(other).T[: len(mine)], rtol=1e-6)


def _same(label: str) -> str:
    from seqfuse.runtime.pipelines.labels import label_text

    return label_text(label)


def test_a_folder_comes_before_what_is_bundled(tmp_path: Path) -> None:
    text = (bundled() / "GunPoint" / "GunPoint_TRAIN.ts").read_bytes()
    folder = tmp_path / "mine" / "GunPoint"
    folder.mkdir(parents=True)
    (folder / "GunPoint_TRAIN.ts.gz").write_bytes(gzip.compress(text))
    assert "mine" in Archive("GunPoint", str(tmp_path))("train").origin
    shutil.rmtree(folder)
    assert "aeon" in Archive("GunPoint", str(tmp_path))("train").origin


def test_without_a_network_the_error_says_where_to_put_it(tmp_path: Path, monkeypatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("aeon.datasets.load_classification", unreachable)
    with pytest.raises(InputError, match=r"no FordA_TRAIN.ts, .tsv or .arff .*set paths.data"):
        Archive("FordA", str(tmp_path), download=True)("train")


def test_a_set_with_only_half_its_files(tmp_path: Path) -> None:
    (tmp_path / "Toy_TRAIN.tsv").write_text("1\t2\t3\n2\t3\t4\n")
    archive = Archive("Toy", str(tmp_path))
    assert len(archive("train")) == 2
    with pytest.raises(InputError, match="Toy_TEST is not beside"):
        archive("test")


@pytest.mark.parametrize(
    ("name", "train", "test", "channels", "classes"),
    [
        ("GunPoint", 50, 150, 1, 2),
        ("ECG200", 100, 100, 1, 2),
        ("PLAID", 537, 537, 1, 11),
        ("DodgerLoopDay", 78, 80, 1, 7),
        ("Epilepsy", 137, 138, 3, 4),
        ("UWaveGestureLibrary", 120, 320, 3, 8),
    ],
)
def test_shared_archive(
    data_root: Path, name: str, train: int, test: int, channels: int, classes: int
) -> None:
    archive = Archive(name, str(data_root))
    assert str(data_root) in archive.find("train").as_posix()
    one, two = archive("train"), archive("test")
    known = set(one.labels or ())
    assert (len(one), len(two), one.values.shape[1], len(known)) == (train, test, channels, classes)
    assert set(two.labels or ()) <= known


def test_padding_and_missing_values_are_told_apart(data_root: Path) -> None:
    plaid = Archive("PLAID", str(data_root))("train")
    assert plaid.lengths.min() < plaid.lengths.max() <= 1344
    loops = Archive("DodgerLoopDay", str(data_root))("train")
    assert np.isnan(loops.values).sum() > 100


def test_synthetic_is_noise_whose_sum_decides() -> None:
    data = Synthetic(500)("train")
    x = data.padded()[0]
    assert x.shape == (500, 50, 3)
    assert x.std() == pytest.approx(1, abs=0.01)
    positive = x.sum(axis=(1, 2)) > 0
    assert ["positive" if p else "negative" for p in positive] == data.labels
    assert len(Synthetic(500)("test")) == 100
    assert not np.array_equal(Synthetic(500, seed=1)("train").values, data.values)


def save(path: Path, n: int = 40, groups: bool = False) -> Path:
    x = np.random.default_rng(0).normal(size=(n, 9, 2))
    more = {"groups": np.arange(n) // 4} if groups else {}
    np.savez(path, x=x, y=np.arange(n) % 2, **more)
    return path


def test_arrays_cut_a_test_split_once_and_for_all(tmp_path: Path) -> None:
    arrays = Arrays(str(save(tmp_path / "a.npz", groups=True)))
    train, test = arrays("train"), arrays("test")
    assert len(train) + len(test) == 40
    assert not set(train.groups) & set(test.groups)
    np.testing.assert_array_equal(arrays("test").values, test.values)
    rows = {row.tobytes() for row in (*train, *test)}
    assert len(rows) == 40


def test_arrays_with_their_own_test_file(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", 40), save(tmp_path / "b.npz", 12)
    arrays = Arrays("a.npz", "b.npz", root=str(tmp_path))
    assert (len(arrays("train")), len(arrays("test"))) == (40, 12)


def test_npy_has_its_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((10, 5, 2)))
    with pytest.raises(InputError, match="a.npy needs its labels beside it, in a_y.npy"):
        Arrays("a.npy", root=str(tmp_path))("train")
    np.save(tmp_path / "a_y.npy", np.arange(10) % 2)
    assert len(Arrays("a.npy", root=str(tmp_path))("train")) == 8

"""A folder of clips and its list: splits by source, and one line for what is wrong."""

import csv
import shutil
from pathlib import Path

import pytest

from seqfuse.data.read.clips.decoder import Decoder
from seqfuse.data.read.clips.folder import ClipFolder
from seqfuse.data.splits import Folds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.clips import ClipPipeline
from tests import clips


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.folder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(made, tmp_path / "own"))


def source(root: Path, table: str | None = "clips.csv", **knobs) -> ClipFolder:
    return ClipFolder("clips", Decoder(6, 16), table, root=str(root), **knobs)


def rewrite(root: Path, change) -> None:
    with (root / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in map(change, rows) if row]
    with (root / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.long
def test_the_list_says_what_is_what(made: Path) -> None:
    folder = source(made)
    assert folder.has_validation
    train, val, test = (folder(split) for split in ("train", "val", "test"))
    assert [len(one) for one in (train, val, test)] == [16, 4, 4]
    assert not set(train.groups or ()) & set(test.groups or ())
    assert test.names[0] == "moves/moves05.mp4"
    assert test.labels == ["moves", "moves", "stays", "stays"]


def test_other_files_are_named_and_folders_of_frames_refused(own: Path, tmp_path: Path) -> None:
    folder = source(own, None)
    assert not list(folder.notes(folder("train")))
    (own / "clips" / "moves" / "notes.txt").touch()
    [note] = folder.notes(folder("train"))
    assert "1 entries" in note
    assert "moves/notes.txt" in note
    frames = tmp_path / "clips" / "runs" / "v0"
    frames.mkdir(parents=True)
    (frames / "0.png").touch()
    with pytest.raises(InputError, match=r"runs has no clip .*ffmpeg .*/v0/\*\.png' .*/v0\.mp4"):
        source(tmp_path, None)("train")


def test_without_splits_sources_stay_together(own: Path) -> None:
    rewrite(own, lambda row: {k: row[k] for k in ("clip", "label", "source")})
    folder = source(own)
    assert not folder.has_validation
    folds = Folds(folder, ClipPipeline(), num_folds=3)
    folds.fit()
    raw, train = folds.rows("train")
    _, val = folds.rows("val")
    assert raw.groups is not None
    parts = [{raw.groups[i] for i in rows} for rows in (train, val)]
    parts.append(set(folder("test").groups or ()))
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6


def test_a_folder_alone_is_cut_by_class(made: Path) -> None:
    folder = source(made, table=None)
    train, test = folder("train"), folder("test")
    assert (len(train), len(test)) == (19, 5)
    assert not set(train.names or ()) & set(test.names or ())
    assert train.groups is None


def test_splits_of_the_fights_share_no_source(data_root: Path) -> None:
    table = "surveillance_fight/clips.csv"
    folder = ClipFolder("surveillance_fight/clips", Decoder(), table, root=str(data_root))
    sources: dict[str, set] = {}
    for entry in folder.entries:
        sources.setdefault(str(entry.split), set()).add(entry.source)
    assert {split: len(names) for split, names in sources.items()} == {
        "train": 30,
        "val": 5,
        "test": 11,
    }
    assert len(set.union(*sources.values())) == 46


def test_a_list_is_a_table_like_others(own: Path) -> None:
    path = own / "clips.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, "", rows[0], rows[0]]))
    with pytest.raises(InputError, match="clips.csv, line 4 names .* once more"):
        source(own)("train")
    path.write_text("\n".join([f"{head}, label", f"{rows[0]},moves"]))
    with pytest.raises(InputError, match="line 1: columns 2 and 5 have one name, 'label'"):
        source(own)("train")


def test_a_label_that_training_never_saw(own: Path) -> None:
    rewrite(own, lambda r: r if r["label"] == "stays" or r["split"] == "test" else {})
    rewrite(own, lambda r: {**r, "label": r["label"]})
    (own / "clips" / "jumps").mkdir()
    shutil.copy(own / "clips" / "moves" / "moves00.mp4", own / "clips" / "jumps" / "a.mp4")
    with (own / "clips.csv").open("a") as file:
        file.write("a,jumps,s0,train\n")
    folds = Folds(source(own), ClipPipeline())
    folds.fit()
    with pytest.raises(InputError, match="moves/moves05.mp4 has label 'moves', which training"):
        folds.tensors("test")


def test_bad_clips_are_skipped_on_demand(own: Path, capsys) -> None:
    bad = own / "clips" / "moves" / "moves00.mp4"
    bad.write_bytes(b"no video")
    with pytest.raises(InputError, match=r"moves00.mp4 cannot be read.*data\.skip_bad=true"):
        source(own)("train")
    table = ClipFolder("clips", Decoder(6, 16, skip_bad=True), "clips.csv", root=str(own))
    assert len(table("train")) == 15
    assert "skipped     1 of 16 clips" in capsys.readouterr().out


def test_names_may_have_the_folder_of_their_class_before_them(own: Path, made: Path) -> None:
    plain = [entry.path.relative_to(made) for entry in source(made).entries]
    for form in ("{label}/{clip}", "clips/{label}/{clip}", "clips\\{label}\\{clip}"):
        shutil.copy(made / "clips.csv", own / "clips.csv")
        rewrite(own, lambda r, form=form: {**r, "clip": form.format(**r)})
        assert [entry.path.relative_to(own) for entry in source(own).entries] == plain
    rewrite(own, lambda r: {**r, "clip": r["clip"].replace("stays", "moves")})
    with pytest.raises(InputError, match="there is no such file in data.folder"):
        source(own)("train")


def test_few_recordings_and_many_folds(own: Path) -> None:
    wanted = ("clip", "label", "source")
    rewrite(own, lambda r: {**{k: r[k] for k in wanted}, "source": f"s{int(r['clip'][-1]) % 4}"})
    with pytest.raises(InputError, match="4 recordings.*data.test_folds=4 data.num_folds=3"):
        source(own)("train")
    folder = source(own, test_folds=4)
    assert folder.num_test == len(folder("test"))
    folds = Folds(folder, ClipPipeline(), num_folds=3)
    folds.fit()
    rewrite(own, lambda r: {**r, "source": "one"})
    with pytest.raises(InputError, match="1 recordings.*add clips of others"):
        source(own)("train")

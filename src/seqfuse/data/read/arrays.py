"""The user's own series: arrays, tables, or files of the UCR/UEA archive."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqfuse.data.read.own_files import OwnFiles
from seqfuse.runtime.errors import InputError, check_option
from seqfuse.runtime.files import check_ending
from seqfuse.runtime.pipelines.labels import UNLABELLED
from seqfuse.runtime.read.arrays import ARRAY_ENDINGS, LAYOUTS
from seqfuse.runtime.read.formats import SERIES_ENDINGS, read_archive
from seqfuse.runtime.read.labelled import read_arrays
from seqfuse.runtime.read.table.cells import LISTED
from seqfuse.runtime.read.table.parquet import is_parquet
from seqfuse.runtime.read.table.reader import as_list
from seqfuse.runtime.read.tabular import (
    TABULAR_ENDINGS,
    TEXT_ENDINGS,
    Tabular,
    is_class_folder,
    read_tabular,
)
from seqfuse.runtime.recordings import Recordings


@dataclass(eq=False, repr=False)
class Arrays(OwnFiles):
    """Reads x (three axes, or two for one channel) and y (series) or (series, k) from files.

    An .npz holds `x` and `y`, and may hold `groups`, `lengths`, the steps of each series
    before its padding, and `y_names` of the columns of y. For .npy, `train.npy` has the
    series and `train_y.npy` beside it the labels. A table (.csv, .jsonl, or Parquet, of which a
    folder or a pattern will do, too) has a step in each row, or a series (see `read_tabular`);
    .ts, .tsv and .arff are as in the UCR/UEA archive.

    Args:
        layout: order of the axes of x: `btc` is (series, time, channels).
        labelled: without it, labels are not read, and need not be there.
        id: column of a table that tells series apart, where a row is a step.
        label: column of a table that has the labels; several have a number each, or 0 and 1.
        groups: column of a table that says what belongs together, such as a person.
        columns: of a table that are channels; `all` but those three.
        per_step: whether each step has a class of its own.
        label_type: `classes`, `numbers` or `several` labels (see `labels_of`).
    """

    kind = (
        "series: .npz (with x and y), .npy, .csv, .jsonl, .parquet, .ts, .tsv or .arff, or a "
        "folder with a folder of .csv for each class"
    )
    folders = True

    layout: str = "btc"
    labelled: bool = True
    label_type: str = "classes"
    id: str = "id"
    label: str | Sequence[str] = "y"
    groups: str = "groups"
    columns: str | Sequence[str] = "all"
    per_step: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option(LAYOUTS, layout=self.layout)
        channels = None if self.columns == "all" else as_list(self.columns)
        self.tabular = Tabular(
            self.id, as_list(self.label), self.groups, channels, per_step=self.per_step
        )
        self._tabular: Tabular | None = None
        self._check_columns()

    def _check_columns(self) -> None:
        """Refuses names of columns where no file has columns."""
        named = [name for name in self.files.values() if name]
        if not all(name.lower().endswith((*ARRAY_ENDINGS, *SERIES_ENDINGS)) for name in named):
            return
        for key in ("id", "label", "groups", "columns"):
            value, default = getattr(self, key), getattr(Arrays, key)
            if value not in (default, [default]):
                shown = value if isinstance(value, str) else f"[{','.join(value)}]"
                is_array = named[0].lower().endswith(".npz") and key in ("label", "groups")
                rename = f" and name the array '{default}' in the file" if is_array else ""
                raise InputError(
                    f"data.{key}={shown} names columns of a table, and {named[0]} is none: leave "
                    f"data.{key} out{rename}"
                )

    def read(self, path: Path, split: str) -> Recordings:
        labels, name = (self.labelled, self.label_type), path.name.lower()
        if name.endswith(SERIES_ENDINGS):
            return read_archive(path, *labels)
        if name.endswith(ARRAY_ENDINGS):
            blocks = read_arrays(path, self.layout, *labels, per_step=self.tabular.per_step)
        else:
            if not is_parquet(path):
                check_ending(path, (*ARRAY_ENDINGS, *SERIES_ENDINGS, *TABULAR_ENDINGS))
            elif path.is_dir() and not is_class_folder(path) and any(map(_is_text, path.iterdir())):
                raise InputError(
                    f"{path} has files of series, but no folder for each class: move them into "
                    "folders named by their classes, or name a table beside them that has the "
                    f"columns file and {self.tabular.labels[0]}"
                )
            # The test part is as that trained on.
            self._tabular = self._tabular or self.tabular.of(path)
            blocks = read_tabular(path, self._tabular, *labels)
        items = Recordings.joined(list(blocks))
        if known := self._tabular:
            items = replace(
                items, tabular=known._asdict(), columns=() if known.wide else known.channels or ()
            )
        return items if self.labelled else replace(items, labels=[UNLABELLED] * len(items))

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "series", "layout": self.layout, "tabular": pipeline.tabular}

    def notes(self, items: Recordings) -> Iterator[str]:
        yield from super().notes(items)
        if self._tabular is not None and self._tabular.wide:
            yield (
                f"each row of a table is read as a series of {items.lengths.max()} steps; if it is "
                "a step, type data.id=<column that tells series apart>"
            )
        elif items.columns:
            names = ", ".join(items.columns[:LISTED])
            yield (
                f"channels are the columns {names}; leave out those that say nothing of the "
                "labels: data.columns=[...]"
            )
        steps, channels = int(items.lengths.max()), items.values.shape[1]
        if channels > steps:
            other = "bct" if self.layout == "btc" else "btc"
            yield (
                f"{steps} steps of {channels} channels are unusual: x is read as "
                f"{LAYOUTS[self.layout]}; if it is {LAYOUTS[other]}, {channels} steps of {steps} "
                f"channels, type data.layout={other}"
            )


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(TEXT_ENDINGS)

"""The one LightningDataModule: splits, fits, scales, loads."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler

from seqfuse.data.loader import EpochShuffle, Loader
from seqfuse.data.series import Series, SeriesTensors
from seqfuse.data.splits import SPLITS, hold_out
from seqfuse.plain.errors import InputError
from seqfuse.plain.series import SeriesPipeline
from seqfuse.shapes import Batch


class DataModule(LightningDataModule):
    """Loaders over any data set that takes a split.

    Args:
        dataset: called with `split="train"` or `"test"`, returns `Series`.
        pipeline: fitted on the training rows alone, applied to every split.
        batch_size: series in a batch; `auto` is a tenth of the training rows, 8 to 64.
        num_workers: processes that load; 0 loads in the training process.
        num_folds: the training split is cut into so many folds and one of them is
            for validation; 0 trains on everything, without validation.
        fold: which one.
        split: `stratified`, `grouped` or `random` folds.
        seed: of the folds and of the order in which batches come.

    Raises:
        InputError: a knob is out of range.
    """

    def __init__(
        self,
        dataset: Callable[..., Series],
        pipeline: SeriesPipeline,
        batch_size: int | str = "auto",
        num_workers: int = 0,
        num_folds: int = 5,
        fold: int = 0,
        split: str = "stratified",
        seed: int = 0,
    ):
        super().__init__()
        _check(batch_size, num_workers, num_folds, fold, split)
        self.dataset = dataset
        self.pipeline = pipeline
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.num_folds = num_folds
        self.fold = fold
        self.split = split
        self.seed = seed
        self.shuffles = True
        self.evaluated = "test"
        self.fingerprints: dict[str, str] = {}
        self._tensors: dict[str, SeriesTensors] = {}
        self._raw: dict[str, Series] = {}

    def setup(self, stage: str) -> None:
        """Reads and fits the training split for `fit`; opens the test split for `test` only."""
        if stage == "fit" and "train" not in self._tensors:
            self._setup_fit()
        if stage == "test":
            self.tensors(self.evaluated)

    def _setup_fit(self) -> None:
        raw, (train, val) = self._train_rows()
        try:
            self.pipeline.fit(raw.x[train], [raw.y[i] for i in train])
        except InputError as error:
            raise InputError(f"{raw.origin}: {error}") from None
        if self.batch_size == "auto":
            self.batch_size = min(64, max(8, len(train) // 10))
        if int(self.batch_size) > len(train):
            raise InputError(
                f"data.batch_size={self.batch_size} is more than the {len(train)} training "
                f"series of {raw.origin}: type data.batch_size={len(train)} or less"
            )
        self._tensors["train"] = self._encode(raw, train)
        if len(val):
            self._tensors["val"] = self._encode(raw, val)

    def _train_rows(self) -> tuple[Series, tuple[np.ndarray, np.ndarray]]:
        raw = self.raw("train")
        if not self.num_folds:
            return raw, (np.arange(len(raw)), np.arange(0))
        return raw, hold_out(raw, self.num_folds, self.fold, self.split, self.seed)

    def raw(self, split: str) -> Series:
        """The split as it was read; `train` includes the validation rows."""
        if split not in self._raw:
            self._raw[split] = self.dataset(split=split)
            self.fingerprints[split] = self._raw[split].fingerprint()
        return self._raw[split]

    def tensors(self, split: str) -> SeriesTensors:
        """`train`, `val` or `test`, transformed by the fitted pipeline."""
        if split not in self._tensors:
            if split == "val" and not self.has_validation:
                raise InputError("split=val: the run had no validation (data.num_folds=0)")
            if split == "test":
                rows = np.arange(len(self.raw("test")))
            else:
                rows = self._train_rows()[1][split == "val"]
            self._tensors[split] = self._encode(
                self.raw("test" if split == "test" else "train"), rows
            )
        return self._tensors[split]

    def _encode(self, raw: Series, rows: np.ndarray) -> SeriesTensors:
        part = raw.take(rows)
        try:
            x, y = self.pipeline.transform(part.x), self.pipeline.encode(part.y)
        except InputError as error:
            raise InputError(f"{raw.origin}: {error}") from None
        return SeriesTensors(x, part.lengths, y, rows)

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the class numbers."""
        return self.pipeline.classes

    @property
    def has_validation(self) -> bool:
        return self.num_folds > 0

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`: counted on the training rows."""
        counts = torch.bincount(self.tensors("train").y, minlength=len(self.classes))
        return {
            "channels": self.pipeline.out_channels,
            "num_classes": len(self.classes),
            "class_counts": counts.tolist(),
            "batch_size": self.batch_size,
        }

    @property
    def num_steps(self) -> int:
        """Steps of the longest training series."""
        return self.tensors("train").x.shape[1]

    @property
    def num_batches(self) -> int:
        """Training batches in an epoch, as the trainer limits them."""
        every = -(-len(self.tensors("train")) // int(self.batch_size))
        limit = 1.0 if self.trainer is None else self.trainer.limit_train_batches
        return min(every, limit) if isinstance(limit, int) else int(every * limit)

    def train_dataloader(self) -> DataLoader[Batch]:
        if not self.shuffles:
            return self.loader("train")
        size = len(self.tensors("train"))
        loader = self._loader("train", EpochShuffle(size, self.seed))
        loader.num_batches = self.num_batches
        return loader

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self.loader(self.evaluated)

    def loader(self, split: str) -> Loader:
        """The series of a split in their order."""
        return self._loader(split, SequentialSampler(self.tensors(split)))

    def _loader(self, split: str, order: Sampler[int]) -> Loader:
        return Loader(
            self.tensors(split),
            batch_sampler=BatchSampler(order, int(self.batch_size), drop_last=False),
            collate_fn=_pass,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"pipeline": self.pipeline.state_dict(), "batch_size": self.batch_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.pipeline.load_state_dict(state_dict["pipeline"])
        if self.batch_size == "auto":
            self.batch_size = state_dict["batch_size"]


def _pass(batch: Batch) -> Batch:
    return batch


def _check(batch_size: int | str, num_workers: int, num_folds: int, fold: int, split: str) -> None:
    if batch_size != "auto" and (not isinstance(batch_size, int) or batch_size < 1):
        raise InputError(f"data.batch_size={batch_size} must be auto or at least 1")
    if num_workers < 0:
        raise InputError(f"data.num_workers={num_workers} must be at least 0")
    if num_folds < 0 or num_folds == 1:
        raise InputError(f"data.num_folds={num_folds} must be at least 2, or 0 for no validation")
    if not 0 <= fold < max(num_folds, 1):
        raise InputError(f"data.fold={fold} must be from 0 to {max(num_folds, 1) - 1}")
    if split not in SPLITS:
        raise InputError(f"data.split={split} must be one of: {', '.join(SPLITS)}")

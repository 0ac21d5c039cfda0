"""The one LightningDataModule: loaders over any data that comes in splits."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Sampler, SequentialSampler

from seqfuse.data import augment as augmentation
from seqfuse.data.interfaces import LARGEST_BATCH, Splits
from seqfuse.data.loader import Batches, Loader, Shares, Sliceable
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.batches import check_batch_size
from seqfuse.runtime.errors import InputError, check_minimum


class DataModule(LightningDataModule):
    """Loaders over splits.

    Args:
        splits: reads, splits, fits and transforms; the test split is opened for testing only.
        batch_size: items in a batch, of all ranks together; `auto` is a tenth of the training
            items, from `smallest_batch` to the splits' `largest_batch`, so that all batches of an
            epoch are about as large.
        smallest_batch: what `auto` makes of few items.
        num_workers: processes that load; 0 loads in the training process.
        seed: of the order in which batches come.
        augment: changes of training batches, by name, in order (see `seqfuse.data.augment`).
        shuffle: whether training batches come in a new order each epoch.
        evaluated: the split that testing looks at: `train`, `val` or `test`.
    """

    def __init__(
        self,
        splits: Splits,
        batch_size: int | str = "auto",
        smallest_batch: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        augment: Mapping[str, Any] | None = None,
        shuffle: bool = True,
        evaluated: str = "test",
    ):
        super().__init__()
        check_batch_size(batch_size, "data.batch_size")
        check_minimum(0, num_workers=num_workers)
        self.splits = splits
        if not 1 <= smallest_batch <= LARGEST_BATCH:
            raise InputError(
                f"data.smallest_batch={smallest_batch} must be from 1 to {LARGEST_BATCH}"
            )
        self.batch_size = batch_size
        self.smallest_batch = smallest_batch
        self.num_workers = num_workers
        self.seed = seed
        self._mixed = False
        self.augment = {name: change for name, change in (augment or {}).items() if change}
        self.shuffle = shuffle
        self.evaluated = evaluated
        self._fitted = False

    def setup(self, stage: str) -> None:
        """Reads and fits the training split for `fit`; opens the test split for `test` only."""
        if stage == "fit" and not self._fitted:
            self._fitted = True
            self.splits.fit()
            if self.splits.has_validation:
                self.tensors("val")
            self._set_batch_size(len(self.tensors("train")))
        if stage == "test":
            self.tensors(self.evaluated)

    def _set_batch_size(self, items: int) -> None:
        if self.batch_size == "auto":
            maximum = min(self.splits.largest_batch, max(self.smallest_batch, items // 10))
            self.batch_size = -(-items // -(-items // maximum))  # all about as large
        if int(self.batch_size) > items:
            raise InputError(
                f"data.batch_size={self.batch_size} is more than the {items} training "
                f"{self.splits.unit} of {self.splits.origin}: type data.batch_size={items} or less"
            )

    def in_batches(self, batch_size: int) -> "DataModule":
        """A copy with batches of another size; data are read once for both."""
        data = copy.copy(self)
        data.batch_size = batch_size
        return data

    def mix(self) -> None:
        """From here on reads validation and test in a random order, the same each time."""
        self._mixed = True

    def check_ranks(self, ranks: int) -> None:
        """Raises InputError if a batch has fewer items than ranks that share it."""
        if int(self.batch_size) < ranks:
            raise InputError(
                f"data.batch_size={self.batch_size} is less than the {ranks} devices that share "
                f"a batch: type data.batch_size={ranks} or more"
            )

    def notes(self, ranks: int) -> Iterator[str]:
        """Lines about batches that ranks share unevenly; losses and gradients are the same."""
        less, longer = divmod(int(self.batch_size), ranks)
        if longer:
            yield (
                f"{ranks} devices share a batch unevenly: {longer} of them {less + 1} items, the "
                f"others {less}; the loss is that of the whole batch, and "
                f"data.batch_size={less * ranks} or {(less + 1) * ranks} keeps all equally busy"
            )

    def tensors(self, split: str) -> Any:
        return self.splits.tensors(split)

    def sizes(self) -> dict[str, Any]:
        """Sizes that a config may leave at `auto`, counted on the training split; `num_batches` are
        all of an epoch, whatever the trainer limits them to."""
        batches = -(-len(self.tensors("train")) // int(self.batch_size))
        return {**self.splits.sizes(), "batch_size": self.batch_size, "num_batches": batches}

    @property
    def num_batches(self) -> int:
        """Training batches in an epoch, as the trainer limits them."""
        every = -(-len(self.tensors("train")) // int(self.batch_size))
        limit = 1.0 if self.trainer is None else self.trainer.limit_train_batches
        return min(every, limit) if isinstance(limit, int) else int(every * limit)

    def train_dataloader(self) -> DataLoader[Batch]:
        if not self.shuffle:
            return self.loader("train")
        order = self.tensors("train").shuffled(self.seed, int(self.batch_size))
        return self._loader("train", order, num_batches=self.num_batches)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        if not self.augment or self.trainer is None or not self.trainer.training:
            return batch
        if self.tensors("train").per_step:
            self._check_steps()
        x, mask = augmentation.apply(list(self.augment.values()), batch.x, batch.mask)
        return batch._replace(x=x, mask=mask)

    def _check_steps(self) -> None:
        """Raises InputError if a change would part steps from their labels."""
        for name, change in self.augment.items():
            if not change.keeps_steps:
                raise InputError(
                    f"data.augment.{name} moves steps, which have labels of their own here: "
                    f"type data.augment.{name}=null"
                )

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Validation; before it what a calibrator is fitted to at each, if there is any."""
        task: Any = self.trainer and self.trainer.lightning_module  # `model` may be a wrapper
        if task is not None and task.calibrates_each_epoch and self.splits.has_calibration:
            return [self.loader("calibration"), self.loader("val")]
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self.loader(self.evaluated)

    def loader(self, split: str, batch_size: int | None = None) -> Loader:
        """The items of a split in their order, or always mixed alike.

        Args:
            split: `train`, `val`, `calibration` or `test`.
            batch_size: instead of that of training.
        """
        items = self.tensors(split)
        if not self._mixed:
            return self._loader(split, SequentialSampler(items), batch_size)
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
        return self._loader(split, order.tolist())

    def _loader(
        self,
        split: str,
        order: Sampler[int] | list[int],
        batch_size: int | None = None,
        num_batches: int | None = None,
    ) -> Loader:
        items = self.tensors(split)
        batches = Batches(order, batch_size or int(self.batch_size), False)
        shared = collectives.count() > 1
        return Loader(
            Sliceable(items) if shared else items,
            num_batches=num_batches,
            batch_sampler=Shares(batches) if shared else batches,
            collate_fn=_pass,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"pipeline": self.splits.pipeline.state_dict(), "batch_size": self.batch_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.splits.pipeline.load_state_dict(state_dict["pipeline"])
        if self.batch_size == "auto":
            self.batch_size = state_dict["batch_size"]


def _pass(batch: Batch) -> Batch:
    return batch

"""Collects what a net answers during validation and test, and where it looked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from seqfuse.callbacks.boards import boards
from seqfuse.data.module import DataModule
from seqfuse.figures.drawing import Array, pixels, remark, save
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch

EMPTY = np.zeros(0, dtype=np.float32)
MEASURED = {"disagreement", "distance"}
"""Outputs of a step that say how far an item is to be trusted."""
LOOKS = {"attention", "most_wrong", "sentences", "steps", "forecasts"}
"""Figures that show where the net looked."""


class Item(NamedTuple):
    """An item of a split; what is below `answer` is filled in once it is chosen to be drawn."""

    index: int
    """Row in the split."""
    truth: Array
    answer: Array
    x: Mapping[str, Array] = {}
    """(t ...) real steps of each source, as the net got them."""
    weights: Array = EMPTY
    """(t) attention relative to its mean: 1 where the net looks as at every other step."""

    def signals(self) -> dict[str, Array]:
        """Sources (t c) that are lines over time."""
        return {name: x for name, x in self.x.items() if x.ndim == 2 and x.size}


class Result(NamedTuple):
    """A split as the net answered it, of all ranks together."""

    items: Sequence[Item]
    """The items that were chosen."""
    numbers: Sequence[Array]
    """Numbers that `Figures.numbers` took from all items."""
    splits: Any
    split: str
    task: Any
    disagreement: Array | None = None
    """(n) How far the members of an ensemble are apart about each item."""
    distance: Array | None = None
    """(n) How far each item is from those of training."""

    @property
    def raw(self) -> Any:
        """Labelled items as they were read; `Item.index` counts them."""
        return self.splits.rows(self.split)[0]


class Figures(Callback):
    """The base of each job's figures, drawn when validation or test ends.

    Every `every_n_epochs` epochs for validation, and once for test; to TensorBoard and,
    for test, to `figures/` in the run folder.

    Args:
        every_n_epochs: 0 draws for test only.
        max_panels: items in a figure.
    """

    per_step = False
    """Whether an item has a label, and a query of attention, per step."""

    def __init__(self, every_n_epochs: int = 20, max_panels: int = 12):
        if every_n_epochs < 0 or max_panels < 1:
            raise ValueError("every_n_epochs must be at least 0 and max_panels at least 1")
        self.every_n_epochs = every_n_epochs
        self.max_panels = max_panels
        self._items: list[Item] = []
        self._numbers: list[tuple[Array, ...]] = []
        self._measured: dict[str, list[Array]] = {}
        self._spread: set[int] = set()

    def answer(self, prediction: Array, mask: Array) -> Array:
        """(b ...) What a prediction says of each item; the default is the prediction."""
        return prediction

    def numbers(self, index: Array, truth: Array, answer: Array) -> tuple[Array, ...]:
        """Arrays to keep of every item of a batch; the default is none."""
        return ()

    def choose(self, items: Sequence[Item]) -> list[Item]:
        """Items to draw of those chosen so far and new ones; the default is all over the split."""
        return sorted((item for item in items if item.index in self._spread), key=lambda i: i.index)

    def draw(self, result: Result) -> dict[str, Figure]:
        """The figures, by name."""
        raise NotImplementedError

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._due(trainer):
            self._start(trainer)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    def _start(self, trainer: Trainer) -> None:
        self._items, self._numbers, self._measured = [], [], {}
        data, split = _data(trainer)
        tensors = data.tensors(split)
        places = np.linspace(0, len(tensors) - 1, min(self.max_panels, len(tensors)))
        self._spread = set(tensors.__getitems__(places.round().astype(int).tolist()).index.tolist())

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        if self._due(trainer):
            self._collect(pl_module, outputs, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        self._collect(pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._due(trainer):
            self._show(trainer)

    # Not at the end of the epoch: anomalies are scored then, after the callbacks' turn.
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer)

    def _due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking or not self.every_n_epochs:
            return False
        return (trainer.current_epoch + 1) % self.every_n_epochs == 0

    def _collect(self, task: Any, outputs: Any, batch: Batch) -> None:
        # There are no outputs where it calibrates, and no item where a batch has none for this
        # rank. Pre-training has no prediction.
        if not outputs or "prediction" not in outputs or not len(batch.y):
            return
        sources = batch.x if isinstance(batch.x, dict) else {"scaled value": batch.x}
        masks = batch.mask if isinstance(batch.mask, dict) else {"scaled value": batch.mask}
        mask = _numpy(next(iter(masks.values())))  # the clock of labels
        index, truth = _numpy(batch.index), _numpy(batch.y)
        answer = self.answer(_numpy(outputs["prediction"]), mask)
        self._numbers.append(self.numbers(index, truth, answer))
        for name in MEASURED & outputs.keys():
            each = _numpy(outputs[name])
            self._measured.setdefault(name, []).append(each.reshape(len(each), -1).mean(axis=1))
        places = {row: i for i, row in enumerate(index.tolist())}
        new = [Item(row, truth[i], answer[i]) for row, i in places.items()]
        chosen = self.choose([*self._items, *new])

        def filled(item: Item) -> Item:
            i = places[item.index]
            x = {name: _numpy(each[i][masks[name][i]].float()) for name, each in sources.items()}
            steps, weights = int(mask[i].sum()), _numpy(outputs["weights"][i])
            if self.per_step:  # what padding asks for is no attention
                item = item._replace(truth=item.truth[:steps], answer=item.answer[:steps])
                weights = weights[:steps]
            weights = np.repeat(weights.mean(axis=0), task.net.stride)[:steps]
            return item._replace(x=x, weights=weights / weights.mean())

        self._items = [item if item.weights.size else filled(item) for item in chosen]

    def _show(self, trainer: Trainer) -> None:
        from seqfuse.explaining.attention import remark_on  # which imports all jobs

        parts = collectives.gather((self._items, self._numbers, self._measured))
        items = self.choose([item for items, *_ in parts for item in items])
        batches = [arrays for _, numbers, _ in parts for arrays in numbers]
        measured = {
            name: np.concatenate([each for *_, m in parts for each in m.get(name, ())])
            for name in {name for *_, m in parts for name in m}
        }
        self._items, self._numbers, self._measured = [], [], {}
        if not batches or not trainer.is_global_zero:
            return
        numbers = [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]
        data, split = _data(trainer)
        task = trainer.lightning_module
        result = Result(items, numbers, data.splits, split, task, **measured)
        figures = self.draw(result)
        looked = figures.keys() & LOOKS if trainer.testing else {}
        text = remark_on(trainer, split) if looked else ""
        for name in looked if text else ():
            remark(figures[name], text)
        for name, figure in figures.items():
            image = pixels(figure)  # drawn once for both
            for board in boards(trainer):
                board.show_image(f"{split}/{name}", image, trainer.global_step)
            if trainer.testing:
                save(Path(trainer.default_root_dir) / "figures" / f"{split}_{name}.png", image)


def _data(trainer: Trainer) -> tuple[DataModule, str]:
    data: DataModule = trainer.datamodule  # type: ignore[attr-defined]
    return data, data.evaluated if trainer.testing else "val"


def _numpy(x: Tensor) -> Array:
    """A copy on the CPU that keeps no batch alive; numpy knows no bfloat16."""
    x = x.detach()
    return (x.float() if x.is_floating_point() else x).cpu().numpy().copy()

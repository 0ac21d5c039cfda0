"""Draws forecasts: history, truth, median and bands."""

from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from torch import Tensor

from seqfuse.data.mapped import Mapped
from seqfuse.data.windows import Windows
from seqfuse.figures.figures import Figures, spread
from seqfuse.figures.plots import Panel, forecasts
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch


class ForecastFigures(Figures):
    """Windows from all over the split, each with another target, in the user's units."""

    def clear(self) -> None:
        self._panels: dict[int, Panel] = {}
        self._seen = 0

    def collect(self, trainer: Trainer, outputs: dict[str, Tensor], batch: Batch) -> None:
        module: Any = trainer.datamodule  # type: ignore[attr-defined]
        split = module.evaluated if trainer.testing else "val"
        total = len(module.tensors(split))
        wanted = np.linspace(0, total - 1, min(self.max_panels, total)).round().astype(int)
        size = min(int(module.batch_size), total - self._seen)  # of all ranks together
        first = self._seen + collectives.share(size).start
        for number, i in enumerate((wanted - first).tolist()):
            if 0 <= i < len(batch.y):
                found = {name: outputs[name][i] for name in ("prediction", "weights")}
                self._panels[number] = self._panel(trainer, batch, i, number, **found)
        self._seen += size

    def merge(self) -> None:
        found = {
            number: one for part in collectives.gather(self._panels) for number, one in part.items()
        }
        self._panels = dict(sorted(found.items()))

    def _panel(
        self,
        trainer: Trainer,
        batch: Batch,
        i: int,
        number: int,
        prediction: Tensor,
        weights: Tensor,
    ) -> Panel:
        splits: Windows | Mapped = trainer.datamodule.splits  # type: ignore[attr-defined]
        pipeline = splits.pipeline
        stamp = str(splits.times(int(batch.index[i]), int(batch.index[i]) + 1)[0]).replace("T", " ")
        k, row, past = pipeline.num_targets, int(batch.index[i]), splits.look_back
        target, shown = (k - 1 - number) % k, min(past, 3 * splits.horizon)
        history = pipeline.undo(batch.x[i, past - shown : past, :k].float().cpu().numpy())
        truth = pipeline.undo(batch.y[i].float().cpu().numpy())
        quantiles = pipeline.undo(prediction.detach().float().cpu().numpy(), outputs=True)
        task: Any = trainer.lightning_module
        return Panel(
            splits.times(row - shown, row + splits.horizon),
            history[:, target],
            truth[:, target],
            quantiles[:, target],
            task.record["config"]["task"]["quantiles"],
            spread(weights, past, trainer)[-shown:],
            past,
            f"{pipeline.columns[target]}, from {stamp}",
        )

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        return {"forecasts": forecasts([*self._panels.values()])} if self._panels else {}

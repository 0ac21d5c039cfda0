"""Made-up batches of any size, as a net takes them."""

from typing import Any

import torch
from torch import Tensor

from seqfuse.exporting.graph import Graph
from seqfuse.nn.shapes import CLOCK
from seqfuse.runtime.batches import input_name
from seqfuse.runtime.pipelines.clips import ClipPipeline
from seqfuse.runtime.pipelines.sources import SourcesPipeline
from seqfuse.runtime.pipelines.text import TextPipeline

Config = dict[str, Any]


class Samples:
    """Batches of random values for a graph, by the config and the fitted pipeline of a
    checkpoint."""

    def __init__(self, config: Config, pipeline: Any, graph: Graph):
        self.data, self.pipeline, self.graph = config["data"], pipeline, graph
        self.ahead = self.data["horizon"] if self.data.get("num_known") else 0
        """Steps of the horizon that x goes on for."""
        self.steps = int(self.data.get("look_back") or 12)
        """Steps of a look-back; elsewhere any number will do."""

    def __call__(self, batch: int, steps: int, padded: bool) -> dict[str, Tensor]:
        """A batch; `steps` are of the longest item, before those of a horizon, and others are
        shorter where it is padded."""
        draw = torch.Generator().manual_seed(1000 * batch + 2 * steps + padded)
        lengths = torch.full((batch,), steps)
        if padded:
            lengths = torch.randint(1, steps + 1, (batch,), generator=draw)
        mask = torch.arange(steps + self.ahead) < lengths.unsqueeze(1)
        if not self.graph.sources:
            return {"x": self._values(self.pipeline, mask.shape, draw), "mask": mask}
        feeds = {input_name(CLOCK, "mask"): mask}
        for source in self.graph.sources:
            part = self.pipeline.parts[source]
            feeds[input_name(source, "x")] = self._values(part, mask.shape, draw, source)
            feeds[input_name(source, "mask")] = mask
        return feeds

    def _values(
        self, pipeline: Any, shape: torch.Size, draw: torch.Generator, source: str = ""
    ) -> Tensor:
        if isinstance(pipeline, TextPipeline):
            return self._ids(pipeline, shape, draw)
        if isinstance(pipeline, ClipPipeline):
            size = (*shape, *pipeline.shape)
            return torch.randint(0, 256, size, generator=draw, dtype=torch.uint8)
        channels = self.data["source_channels"][source] if source else self.data["channels"]
        return torch.randn(*shape, channels, generator=draw)

    @staticmethod
    def _ids(pipeline: TextPipeline, shape: torch.Size, draw: torch.Generator) -> Tensor:
        sizes = pipeline.sizes()
        words = torch.randint(1, sizes["vocab_size"], (*shape, 1), generator=draw)
        subwords = (*shape, sizes["channels"] - 1)
        ids = torch.randint(0, sizes["num_subwords"], subwords, generator=draw)
        return torch.cat([words, ids], dim=-1).int()


def sources_of(pipeline: Any) -> list[str]:
    """Names of several sources; none of a single one."""
    return list(pipeline.parts) if isinstance(pipeline, SourcesPipeline) else []

"""Several sources to what a net takes: each by a pipeline of its own."""

from collections.abc import Callable, Mapping
from typing import Any

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.labels import ItemLabels, Labels


class SourcesPipeline(Labels):
    """The pipelines of sources, by name, and the class numbers of their common label.

    Args:
        default: makes the pipeline of a source that has none in `pipelines`.
        pipelines: of sources of another kind.
    """

    def __init__(
        self, default: Callable[[], Any], pipelines: Mapping[str, Callable[[], Any]] | None = None
    ):
        super().__init__()
        self.default = default
        self.given = dict(pipelines or {})
        self.parts: dict[str, Any] = {}

    def fit(self, x: Mapping[str, Any], labels: ItemLabels) -> "SourcesPipeline":
        """Fits each source's pipeline to its part of the training split.

        Raises:
            InputError: a source cannot be fitted; names it.
        """
        self.fit_labels(labels)
        for name, part in x.items():
            self.parts[name] = self._new(name)
            try:
                self.parts[name].fit(part, labels)
            except InputError as error:
                raise InputError(f"{name}: {error}") from None
        return self

    def _new(self, name: str) -> Any:
        return self.given.get(name, self.default)()

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`."""
        each = {name: part.sizes()["channels"] for name, part in self.parts.items()}
        sizes = {"sources": list(each), "source_channels": each, "channels": sum(each.values())}
        return {**sizes, **self.label_sizes()}

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, as lists and strings."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return {"sources": parts, **self.labels_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what another pipeline had fitted."""
        self.parts = {name: self._new(name) for name in state["sources"]}
        for name, part in self.parts.items():
            part.load_state_dict(state["sources"][name])
        self.load_labels(state)

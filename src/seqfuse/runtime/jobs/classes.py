"""Classes of items, or of each of their steps."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import READ, Block, feeds_of, in_blocks, regroup
from seqfuse.runtime.engine import Engine, Feeds
from seqfuse.runtime.errors import InputError, number_within
from seqfuse.runtime.explanations import explained
from seqfuse.runtime.explanations.cases import Case, Wanted, explained_at_once, inputs_of
from seqfuse.runtime.explanations.scores import Linear, LogOdds, Score, chosen
from seqfuse.runtime.files import path_in
from seqfuse.runtime.jobs.crf import best_tags, tag_probabilities
from seqfuse.runtime.jobs.job import Job
from seqfuse.runtime.jobs.sets import Sets, names
from seqfuse.runtime.jobs.softmax import sigmoid, softmax
from seqfuse.runtime.pipelines.labels import NO_LABEL, SEPARATOR
from seqfuse.runtime.pipelines.packed import unpack
from seqfuse.runtime.read import labelled
from seqfuse.runtime.read.arrays import LAYOUTS, by_time, is_frame
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.scores.alarms import Limit
from seqfuse.runtime.writer import Columns, Rows

ALONE = "one net has nobody to disagree with: train with ensemble=5"
NO_DISTANCE = (
    "the net, or its graph of 8 bits, measures no distance from training items: take the whole "
    "graph, or train it again"
)


class Answer(NamedTuple):
    """A batch with the prediction of an engine."""

    block: Block
    feeds: Feeds
    prediction: NDArray[Any]
    weights: NDArray[Any]
    disagreement: NDArray[Any] | None = None
    """How far the members of an ensemble are apart; None of one net."""
    distance: NDArray[Any] | None = None
    """(b) of each item from the training items; None where none is measured."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(b t) real steps, of several sources those of the clock."""
        return next(mask for name, mask in self.feeds.items() if name.endswith("mask"))


class Classifier(Job):
    """A class for each series, text, clip or item of several sources.

    Args:
        metadata, engine, batch_size: as of a `Job`.
        abstain: answers that are less probable stay empty.
        level: how often sets of classes, which rows then have, hold the true one.
        unfamiliar: answers for items above that stay empty (see `familiarity`).
    """

    options: tuple[str, ...] = ("abstain", "level", "unfamiliar")

    def __init__(
        self,
        metadata: Mapping[str, Any],
        engine: Engine,
        batch_size: int | str = "auto",
        abstain: float | None = None,
        level: float | None = None,
        unfamiliar: float | None = None,
    ):
        super().__init__(metadata, engine, batch_size)
        self.abstain = 0.0 if abstain is None else number_within("abstain", abstain, 0, 1)
        """The lowest probability of an answer."""
        self.pipeline = unpack(metadata["pipeline"])
        self.labels = self.pipeline.labels
        self.classes: list[str] = self.labels.classes
        """Names, in the order of the columns of `predict_proba`."""
        self.file_format: Mapping[str, Any] = metadata["file_format"]
        self.layout: str = self.file_format.get("layout", "btc")
        """Axes of series, as in training: `btc` is (series, time, channels)."""
        self.endings = labelled.endings_of(self.file_format)
        self._sets = None if level is None else self._sets_of(level)
        self._distances = np.asarray(metadata.get("distances", ()), dtype=np.float64)
        self._most_unfamiliar = 1.0
        if unfamiliar is not None:
            self._most_unfamiliar = number_within("unfamiliar", unfamiliar, 0, 1)
            if not len(self._distances):
                raise InputError(f"unfamiliar={unfamiliar}: {NO_DISTANCE}")

    def _sets_of(self, level: float) -> Sets:
        return Sets(self.metadata, len(self.classes), level)

    def predict(self, x: Any, level: float | None = None) -> Any:
        """(n) the most probable class of each item; at a level a list of its classes instead.

        Args:
            x: what the job reads, in memory or as a path. Series (n t c) or a list of (t c) of
                any lengths, or (n c t) and (c t) where training had data.layout=bct (`layout`
                says which), or a frame: a row for each series, or, where its index has two
                levels, a row for each step and a column for each channel. Texts, or lists of
                words, or a frame with a column of texts. Clips (n t c height width) of uint8 or
                a list of them. Of several sources a dict of such.
            level: how often the lists hold the true class (see `runtime.jobs.sets`).
        """
        if level is not None:
            sets = self._sets_of(level)
            return names(sets(self.predict_proba(x)), self.classes)
        return np.concatenate([self._answered(answer) for answer in self._ask(x)])

    def _answered(self, answer: Answer) -> NDArray[np.str_]:
        """(b) the most probable class of each item, empty where it is not probable, or the item not
        familiar, enough."""
        probabilities = softmax(answer.prediction)
        best = np.array(self.classes)[probabilities.argmax(axis=1)]
        unsure = probabilities.max(axis=1) < self.abstain
        if self._most_unfamiliar < 1:
            unsure |= self._unfamiliar(answer) > self._most_unfamiliar
        return np.where(unsure, "", best)

    def predict_proba(self, x: Any) -> Any:
        """(n k) probabilities."""
        return np.concatenate([softmax(answer.prediction) for answer in self._ask(x)])

    def attention(self, x: Any) -> list[NDArray[Any]]:
        """Where the net looked: (q t) for each item, 0 to 1, repeated where it pooled."""
        return [
            weights[:, :steps]
            for answer in self._ask(x)
            for weights, steps in zip(
                np.repeat(answer.weights, self.metadata["stride"], axis=2),
                answer.mask.sum(axis=1),
                strict=True,
            )
        ]

    def disagreement(self, x: Any) -> Any:
        """(n) how far members of an ensemble are apart about each item (`predicting.ensemble`)."""
        return np.concatenate([self._apart(answer) for answer in self._ask(x)])

    def _apart(self, answer: Answer) -> NDArray[Any]:
        if answer.disagreement is None:
            raise InputError(ALONE)
        return answer.disagreement

    def unfamiliar(self, x: Any) -> NDArray[np.float64]:
        """(n) how unlike the training items each item is: the fraction of items that a net knows
        which are less far from them, below 1.

        By the distance of `tasks.calibration.Familiarity`. Of new items like those of training
        one in twenty is above 0.95.
        """
        return np.concatenate([self._unfamiliar(answer) for answer in self._ask(x)])

    def _unfamiliar(self, answer: Answer) -> NDArray[np.float64]:
        if answer.distance is None or not len(self._distances):
            raise InputError(NO_DISTANCE)
        return np.searchsorted(self._distances, answer.distance) / (len(self._distances) + 1)

    def _attributions(
        self, x: Any, cases: Iterable[Case], method: str, segment: int | None
    ) -> list[Any]:
        return explained.arrays(self.engine, cases, method, segment)

    def cases_in(self, x: Any, wanted: Wanted) -> Iterator[Case]:
        return self.cases([self._items(x)], wanted)

    def cases(
        self,
        parts: Iterable[Recordings],
        wanted: Wanted,
        file: str | None = None,
        numbers: NDArray[np.int64] | None = None,
    ) -> Iterator[Case]:
        """Items to explain, in batches: as they were read, from a file where there are several,
        with numbers of their own where they are of none."""
        first = 0
        for part in parts:
            for rows in in_blocks(len(part), explained_at_once(self.batch_size)):
                raw = part.take(rows)
                counted = first + rows if numbers is None else numbers[first + rows]
                [block] = self._blocks([raw], file, counted)
                feeds = feeds_of(block.items)
                answer = Answer(block, feeds, *self.engine(feeds))
                yield Case(
                    feeds,
                    inputs_of(self.pipeline, raw, block.items, feeds),
                    answer.prediction,
                    answer.weights,
                    self._queries(answer, wanted),
                    self.metadata["stride"],
                    self._score(answer, wanted),
                    block.columns,
                    self._steps(raw, block.items),
                )
            first += len(part)

    def cases_of(self, path: Path, wanted: Wanted, file: str | None = None) -> Iterator[Case]:
        return self.cases(labelled.read(path, self.file_format), wanted, file)

    def cases_known(
        self, wanted: Wanted, items: Recordings, rows: NDArray[np.int64]
    ) -> Iterator[Case]:
        for part in in_blocks(len(rows), READ):
            yield from self.cases([items.take(rows[part])], wanted, numbers=rows[part])

    def _score(self, answer: Answer, wanted: Wanted) -> Score:
        """The score that is explained: of the predicted class, or the one that is named."""
        wanted.check_whole(self.metadata["job"])
        guesses = answer.prediction.argmax(axis=1)
        numbers = chosen(wanted.target, self.classes, "class", guesses)
        return LogOdds(numbers[:, None], [self.classes[i] for i in numbers])

    def _queries(self, answer: Answer, wanted: Wanted) -> NDArray[np.float64]:
        """(b q) how much each query of attention counts: all alike."""
        shape = answer.weights.shape[:2]
        return np.full(shape, 1 / shape[1])

    def _steps(self, raw: Recordings, items: Recordings) -> list[dict[str, Any]]:
        """For each item what the user calls its steps: the words of a text, too."""
        columns = {name: np.asarray(column) for name, column in items.steps.items()}
        if items.unit == "texts" and not columns:
            words = [raw.item(i)[:steps] for i, steps in enumerate(items.lengths)]
            return [{"word": each} for each in words]
        spans = [slice(*edges) for edges in itertools.pairwise(items.offsets)]
        return [{name: column[span] for name, column in columns.items()} for span in spans]

    def rows(self, path: str | Path) -> Rows:
        """Rows for people of a file: row (or id), prediction, and p_<class> of each class.

        At a level, `set`, too: its classes, as `a|b`. Of an ensemble, `disagreement`; `unfamiliar`
        where the net measures distances.
        """
        return self._rows(self._blocks(labelled.read(Path(path), self.file_format)))

    def folder(self, paths: Sequence[Path]) -> Rows:
        """Rows for people of files, which may share a batch; the column `file` comes first."""
        return self._rows(
            block
            for path in paths
            for block in self._blocks(labelled.read(path, self.file_format), path.name)
        )

    def known(self, items: Recordings, rows: NDArray[np.int64]) -> Rows:
        blocks = (
            next(self._blocks([items.take(rows[part])], numbers=rows[part]))
            for part in in_blocks(len(rows), READ)
        )
        return self._rows(blocks, self._count(items.lengths[rows]))

    def _ask(self, x: Any) -> Iterator[Answer]:
        if path := path_in(x, self.endings):
            answers = self._answers(self._blocks(labelled.read(path, self.file_format)))
            if (first := next(answers, None)) is None:
                raise InputError(f"{path} holds nothing to predict")
            return itertools.chain([first], answers)
        return self._answers([Block(self.pipeline.transform(self._items(x)), {})])

    def _items(self, x: Any) -> Recordings:
        if is_frame(x):
            return self.pipeline.items(labelled.frame_items(x, self.file_format))
        items = self.pipeline.items(by_time(x, self.layout))
        if isinstance(x, np.ndarray) and x.ndim == 3:
            read_as = f"x has shape {x.shape}, read as {LAYOUTS[self.layout]}: "
            items = replace(items, read_as=read_as)
        return items

    def _answers(self, blocks: Iterable[Block]) -> Iterator[Answer]:
        for block in regroup(blocks, self.batch_size):
            feeds = feeds_of(block.items)
            yield Answer(block, feeds, *self.engine(feeds))

    def _blocks(
        self,
        parts: Iterable[Recordings],
        file: str | None = None,
        numbers: NDArray[np.int64] | None = None,
    ) -> Iterator[Block]:
        """Parts as a net takes them, and what the user calls their items."""
        first = 0
        for part in parts:
            columns: dict[str, Any] = {} if file is None else {"file": [file] * len(part)}
            if part.names is not None:
                columns["id"] = part.names
            else:
                columns["row"] = np.arange(first, first + len(part)) if numbers is None else numbers
            try:
                yield Block(self.pipeline.transform(part), columns)
            except InputError as error:
                raise InputError(f"{part.origin}: {error}") from None
            first += len(part)

    def _rows(self, blocks: Iterable[Block], total: int | None = None) -> Rows:
        return Rows((self._columns(answer) for answer in self._answers(blocks)), total, self._notes)

    def _notes(self) -> Iterator[str]:
        if self._sets is not None and (advice := self._sets.note()):
            yield f"{'note':<12}{advice}"

    def _count(self, lengths: NDArray[np.int64]) -> int:
        return len(lengths)

    def _columns(self, answer: Answer) -> Columns:
        probabilities = softmax(answer.prediction)
        columns = {**answer.block.columns, "prediction": self._answered(answer)}
        if self._sets is not None:
            each = names(self._sets(probabilities), self.classes)
            columns["set"] = [SEPARATOR.join(row) for row in each]
        columns |= self._truth(answer.block.items)
        columns |= {f"p_{name}": probabilities[:, i] for i, name in enumerate(self.classes)}
        return columns | self._doubts(answer)

    def _doubts(self, answer: Answer) -> Columns:
        """The column of a net that measures distances, and that of an ensemble."""
        columns: Columns = {}
        if answer.distance is not None:
            columns["unfamiliar"] = self._unfamiliar(answer)
        if answer.disagreement is not None:
            columns["disagreement"] = self._apart(answer)
        return columns

    def _truth(self, items: Recordings) -> Columns:
        if items.labels is None:
            return {}
        y = self.labels.encode(items)
        return {"label": np.array(self.classes)[y]}


class Labeller(Classifier):
    """Any number of labels for each item.

    Rows for people: row (or id), prediction (the labels, as `a|b`), and score_<label> of each: 0
    to 1, above 0.5 where the label is predicted. Each label has a threshold of its own, so that a
    score is no probability; that is p_<label>, where a temperature was fitted.

    Args:
        metadata, engine, batch_size: as of a `Classifier`.
        threshold: the score above which a label is predicted.
    """

    options: tuple[str, ...] = ("threshold",)

    def __init__(
        self,
        metadata: Mapping[str, Any],
        engine: Engine,
        batch_size: int | str = "auto",
        threshold: float | None = None,
    ):
        super().__init__(metadata, engine, batch_size)
        limit = Limit.checked(threshold=threshold).threshold
        self.threshold = 0.5 if limit is None else limit
        """The score above which a label is predicted."""

    def predict(self, x: Any, threshold: float | None = None) -> list[list[str]]:  # type: ignore[override]
        """The labels of each item; above another threshold, if one is given."""
        limit = Limit.checked(threshold=threshold).threshold
        return [self._names(row, limit) for row in self.scores(x)]

    def scores(self, x: Any) -> NDArray[Any]:
        """(n k) a score for each item and label."""
        return np.concatenate([sigmoid(answer.prediction) for answer in self._ask(x)])

    def predict_proba(self, x: Any) -> Any:
        """(n k) the probability of each label; above a half is not where it is predicted."""
        if "label_scale" not in self.metadata:
            raise InputError("labels have thresholds, not probabilities: call scores(x)")
        return np.concatenate([self._probabilities(answer) for answer in self._ask(x)])

    def _probabilities(self, answer: Answer) -> NDArray[Any]:
        scale = self.metadata["label_scale"]
        scores = answer.prediction + np.asarray(scale["thresholds"], dtype=np.float32)
        return sigmoid(scores / np.float32(scale["temperature"]))

    def _score(self, answer: Answer, wanted: Wanted) -> Score:
        wanted.check_whole(self.metadata["job"])
        likeliest = answer.prediction.argmax(axis=1)
        numbers = chosen(wanted.target, self.classes, "label", likeliest)
        weights = np.eye(len(self.classes))[numbers]
        names, unit = [self.classes[i] for i in numbers], "log-odds above the threshold"
        return Linear(weights, np.zeros(len(numbers)), names, unit, "label")

    def _names(self, scores: NDArray[Any], threshold: float | None = None) -> list[str]:
        limit = self.threshold if threshold is None else threshold
        return [self.classes[i] for i in np.flatnonzero(scores > limit)]

    def _columns(self, answer: Answer) -> Columns:
        scores = sigmoid(answer.prediction)
        columns = {
            **answer.block.columns,
            "prediction": [SEPARATOR.join(self._names(row)) for row in scores],
        }
        columns |= self._truth(answer.block.items)
        columns |= {f"score_{name}": scores[:, i] for i, name in enumerate(self.classes)}
        if "label_scale" in self.metadata:
            probabilities = self._probabilities(answer)
            columns |= {f"p_{name}": probabilities[:, i] for i, name in enumerate(self.classes)}
        return columns | self._doubts(answer)

    def _truth(self, items: Recordings) -> Columns:
        return {} if items.labels is None else {"label": list(map(SEPARATOR.join, items.labels))}


class Tagger(Classifier):
    """A class for each step.

    Rows for people: row (or id), step from 1, what the user calls it, prediction, probability.
    """

    options: tuple[str, ...] = ("abstain",)

    def predict(self, x: Any) -> list[list[str]]:  # type: ignore[override]
        """The best tags of each item."""
        tags = []
        for answer in self._ask(x):
            best = best_tags(answer.prediction, answer.mask)
            unsure = self._probabilities(answer, best) < self.abstain
            names = np.where(unsure, "", np.array(self.classes)[best])
            tags += [row[real].tolist() for row, real in zip(names, answer.mask, strict=True)]
        return tags

    def _probabilities(self, answer: Answer, best: NDArray[np.int64]) -> NDArray[Any]:
        probabilities = tag_probabilities(answer.prediction, answer.mask)
        return np.take_along_axis(probabilities, best[:, :, None], axis=2)[:, :, 0]

    def predict_proba(self, x: Any) -> list[NDArray[Any]]:
        """Probabilities (t k) of the tags at each step, for each item."""
        return [
            row[real]
            for answer in self._ask(x)
            for row, real in zip(
                tag_probabilities(answer.prediction, answer.mask), answer.mask, strict=True
            )
        ]

    def disagreement(self, x: Any) -> list[NDArray[Any]]:
        """How far the members of an ensemble are apart about each step (t) of each item."""
        return [
            row[real]
            for answer in self._ask(x)
            for row, real in zip(self._apart(answer), answer.mask, strict=True)
        ]

    def _score(self, answer: Answer, wanted: Wanted) -> Score:
        """The score that is explained: of the predicted tags, or of one, at a step or over all."""
        best = best_tags(answer.prediction, answer.mask)
        numbers = chosen(wanted.target, self.classes, "class", best)
        weights, step, kind = self._steps_wanted(answer, wanted), wanted.step, "class"
        if step is not None:
            names = [f"{self.classes[i]} at step {step}" for i in numbers[:, step - 1]]
        elif wanted.target is not None:
            names = [wanted.target] * len(numbers)
        else:
            names, kind = ["predicted classes"] * len(numbers), ""
        return LogOdds(numbers, names, weights, kind)

    def _steps_wanted(self, answer: Answer, wanted: Wanted) -> NDArray[np.float64]:
        """(b t) how much each step counts: all real ones alike, or one alone."""
        if wanted.step is None:
            return answer.mask / answer.mask.sum(axis=1, keepdims=True)
        shortest = int(answer.mask.sum(axis=1).min())
        if not 1 <= wanted.step <= shortest:
            raise InputError(
                f"step={wanted.step}: the shortest item has {shortest} steps: name one from 1 on"
            )
        return np.eye(answer.mask.shape[1])[[wanted.step - 1] * len(answer.mask)]

    def _queries(self, answer: Answer, wanted: Wanted) -> NDArray[np.float64]:
        steps = self._steps_wanted(answer, wanted)
        same = answer.weights.shape[1] == steps.shape[1]
        return steps if same else super()._queries(answer, wanted)

    def _count(self, lengths: NDArray[np.int64]) -> int:
        return int(lengths.sum())

    def _columns(self, answer: Answer) -> Columns:
        mask, items, classes = answer.mask, answer.block.items, np.array(self.classes)
        best = best_tags(answer.prediction, mask)
        probabilities = self._probabilities(answer, best)
        unsure = probabilities[mask] < self.abstain
        lengths = items.lengths
        columns: Columns = {k: np.repeat(v, lengths) for k, v in answer.block.columns.items()}
        columns["step"] = np.concatenate([np.arange(1, steps + 1) for steps in lengths])
        columns |= {**items.steps, "prediction": np.where(unsure, "", classes[best[mask]])}
        if items.labels is not None:
            y = self.labels.encode(items)[mask]
            columns["label"] = np.where(y == NO_LABEL, "", classes[y])
        columns["probability"] = probabilities[mask]
        apart = self._doubts(answer)
        return columns | {name: values[mask] for name, values in apart.items()}


class ClipScorer(Classifier):
    """How little a clip is like those that were trained on: the higher, the less.

    Rows for people: row (or id), score.
    """

    options: tuple[str, ...] = ()

    def predict(self, x: Any) -> NDArray[Any]:  # type: ignore[override]
        """(n) scores."""
        return np.concatenate([self._scores(answer) for answer in self._ask(x)])

    def _score(self, answer: Answer, wanted: Wanted) -> Score:
        raise InputError(explained.CLIPS)

    def _scores(self, answer: Answer) -> NDArray[Any]:
        middle = answer.prediction[..., answer.prediction.shape[-1] // 2]
        grid = round(middle.shape[2] ** 0.5)
        target = np.full_like(middle, np.nan)
        cells = motion_cells(answer.feeds["x"], answer.mask, grid)
        target[:, : cells.shape[1]] = cells
        lengths = answer.block.items.lengths
        for row in np.flatnonzero(lengths < 2)[:1]:
            *_, names = answer.block.columns.values() or [np.arange(len(lengths))]
            raise InputError(f"{names[row]} has one frame: its motion cannot be scored")
        return np.nanmean(np.square(middle - target).reshape(len(middle), -1), axis=1)

    def _columns(self, answer: Answer) -> Columns:
        columns = {**answer.block.columns, "score": self._scores(answer)}
        return columns | self._truth(answer.block.items) | self._doubts(answer)

    def _apart(self, answer: Answer) -> NDArray[Any]:
        apart = super()._apart(answer).mean(axis=2)[:, : answer.mask.shape[1]]
        return np.average(apart, axis=1, weights=answer.mask[:, : apart.shape[1]])


def motion_cells(x: NDArray[np.uint8], mask: NDArray[np.bool_], grid: int) -> NDArray[Any]:
    """(b t k) change of brightness since the frame before, in percent, in grid x grid cells.

    NaN for the first frame and behind the last one.
    """
    grey = (x / np.float32(255)).mean(axis=2, dtype=np.float32)
    change = np.abs(grey[:, 1:] - grey[:, :-1]) * 100
    rows, columns = (_edges(size, grid) for size in change.shape[2:])
    cells = [change[:, :, a:b, c:d].mean(axis=(2, 3)) for a, b in rows for c, d in columns]
    motion = np.full((*mask.shape, grid * grid), np.nan, dtype=np.float32)
    motion[:, 1:] = np.stack(cells, axis=2)
    motion[~mask] = np.nan
    return motion


def _edges(size: int, parts: int) -> list[tuple[int, int]]:
    """First and end of each part; where they do not fit, neighbours overlap."""
    return [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]

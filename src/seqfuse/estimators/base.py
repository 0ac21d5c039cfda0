"""Base of all estimators: a run of seqfuse-train on data in memory, and the job it leaves."""

import contextlib
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from seqfuse.config import checkpoint, loading, recipes, runs, untrusted
from seqfuse.config.checks.fit import check_fit
from seqfuse.config.compose import compose
from seqfuse.estimators.loading import load
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.train import train

REPORTS = (
    *("figures", "last_checkpoint", "journal", "lr_monitor", "history", "throughput"),
    *("dashboard", "provenance", "pruning"),
)
"""Callbacks that write beside the checkpoint, where a run has no folder to keep."""


@dataclass(kw_only=True, eq=False, repr=False)
class Estimator(BaseEstimator):
    """The base; a subclass, a dataclass too, says what data it takes.

    Args:
        model: `model=` of the command line, such as `wide`; None is the recipe's.
        max_steps: optimizer steps; None is the recipe's, as with the next three.
        max_epochs: passes over the data.
        batch_size: items in a batch.
        learning_rate: of the optimizer.
        overrides: further words of the command line: `["model.lstm.hidden_size=128"]`.
        callbacks: of Lightning.
        random_state: seed of weights and of the order of the data; equal ones repeat a fit.
        folder: keeps a folder for each fit, as `seqfuse-train` does in `logs`; None keeps none.
        verbose: prints what the command prints, with a progress bar.
    """

    model: str | None = None
    max_steps: int | None = None
    max_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    overrides: Sequence[str] = ()
    callbacks: Sequence[Any] = ()
    random_state: Any = 0
    folder: str | Path | None = None
    verbose: bool = False
    _job: ClassVar[type]
    """Class of the job that predicts, of `seqfuse.runtime.jobs`."""
    _trust: list[str] = field(init=False)
    model_: Any = field(init=False)
    """The job that predicts, as `seqfuse.load` returns it."""
    checkpoint_: bytes = field(init=False)
    """The checkpoint that `save` writes."""
    metrics_: dict[str, float] = field(init=False)
    """Metrics logged last in training."""

    def save(self, path: str | Path) -> None:
        """Writes the fitted net as a checkpoint for `seqfuse-predict`, `-export` and `load`."""
        check_is_fitted(self)
        files.write(Path(path), self.checkpoint_)

    @classmethod
    def load(cls, path: str | Path, trust: Sequence[str] = ()) -> Self:
        """A fitted estimator of a checkpoint, whether of `save` or of `seqfuse-train`; see
        `seqfuse.load`."""
        path = checkpoint.local(path)
        checkpoint.read(path)  # names the path in what it refuses
        estimator = cls()
        estimator._open(Path(path).read_bytes(), trust)
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "model_"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__(state)
        if "checkpoint_" in state:
            self._open(self.checkpoint_, self._trust)

    def _open(self, content: bytes, trust: Sequence[str]) -> None:
        self.checkpoint_, self._trust = content, list(trust)
        # A net is drawn before its weights are read: that draws nothing of the user's.
        with tempfile.TemporaryDirectory() as folder, isolate_rng():
            path = Path(folder) / "estimator.ckpt"
            files.write(path, content)
            self.model_ = load(path, trust)
            if type(self.model_) is not self._job:
                kind = type(self.model_).__name__
                raise InputError(f"the checkpoint is of a {kind}, not of a {type(self).__name__}")
            self._opened(checkpoint.read(path).get("estimator", {}))

    def _opened(self, more: Mapping[str, Any]) -> None:
        """Sets what the checkpoint says, and what it holds beside."""

    def _recipe(self, *words: str) -> DictConfig:
        seed = self.random_state
        if not isinstance(seed, int):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        values = {
            "seed": seed,
            "trainer.max_steps": self.max_steps,
            "trainer.max_epochs": self.max_epochs,
            "data.batch_size": self.batch_size,
            "optimizer.lr": self.learning_rate,
        }
        typed = [f"{key}={value}" for key, value in values.items() if value is not None]
        model = [] if self.model is None else [f"model={self.model}"]
        more = [self.overrides] if isinstance(self.overrides, str) else self.overrides
        recipe = compose("train", [*words, *model, *typed, *more])
        recipe.test = False
        recipe.trainer.enable_progress_bar = bool(self.verbose)
        if self.folder is None:
            recipe.logger = {}
            for name in REPORTS:
                if name in recipe.callbacks:
                    recipe.callbacks[name] = None
        return recipe

    def _train(self, recipe: DictConfig, given: Mapping[str, Any], **more: Any) -> None:
        """Runs seqfuse-train, and opens what it leaves.

        The data are given as arguments of the splits; the checkpoint holds `more` beside, as plain
        data.
        """
        check_fit(recipe)
        config = recipes.resolve(recipe)
        parts = {key: config[key] for key in loading.BUILT}
        untrusted.check_targets(parts, recipe.trust, "the overrides")
        with self._run_folder() as run, _undisturbed(self.verbose), runs.claimed(run):
            try:
                self.metrics_ = train(recipe, run, given, list(self.callbacks))
            except SystemExit:  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from None
            path = run / "checkpoints" / "best.ckpt"
            if not path.is_file():
                raise InputError(
                    "no best.ckpt was kept: train an epoch at least (max_steps, max_epochs), and "
                    "leave out overrides of callbacks.checkpoint"
                )
            content = checkpoint.read(path)
        kept, file = {key: content[key] for key in checkpoint.KEYS}, io.BytesIO()
        torch.save({**kept, "estimator": more}, file)
        self._open(file.getvalue(), list(recipe.trust))

    @contextlib.contextmanager
    def _run_folder(self) -> Iterator[Path]:
        if self.folder is None:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder)
        else:
            stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
            yield Path(self.folder) / f"{stamp}.{time.time_ns() % 10**9:09d}"


@contextlib.contextmanager
def _undisturbed(verbose: bool) -> Iterator[None]:
    """Leaves random state, threads, warnings and logging of the process as they were."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels, threads = [logger.level for logger in loggers], torch.get_num_threads()
    output = contextlib.nullcontext() if verbose else contextlib.redirect_stdout(io.StringIO())
    try:
        with isolate_rng(), warnings.catch_warnings(), output:
            yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

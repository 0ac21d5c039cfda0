"""Where runs are looked at: TensorBoard, Weights & Biases, MLflow, Trackio.

Each is Lightning's logger of metrics and takes the rest that a run shows: its config, figures, and
what came of which hyper-parameters. The packages beside TensorBoard are extras, imported late.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from seqfuse.config.checks.extras import need
from seqfuse.config.checks.trainer import validates
from seqfuse.runtime.errors import InputError

Image = NDArray[np.uint8]
"""(height, width, 4)"""
Options = Mapping[str, str | float | bool]
"""Hyper-parameters by name, such as `optimizer/lr`."""


@runtime_checkable
class Board(Protocol):
    """A logger that shows more than metrics; called on the process that writes alone."""

    def show_config(self, config: Mapping[str, Any], options: Options) -> None:
        """The config when training starts, and the hyper-parameters in it."""
        ...

    def show_image(self, name: str, image: Image, step: int) -> None:
        """A figure of that step."""
        ...

    def conclude(
        self, options: Options, status: str, best: Mapping[str, float], names: list[str], step: int
    ) -> None:
        """Records hyper-parameters, how the run ended, the best values, and names of metrics."""
        ...

    def close(self, failed: bool) -> None:
        """Ends the record of the run; another run of this process begins its own."""
        ...


def boards(trainer: Trainer) -> list[Board]:
    """The boards of a trainer, on the process that writes."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger for logger in loggers if isinstance(logger, Board)]


@contextmanager
def closing(trainer: Trainer) -> Iterator[Trainer]:
    """Closes the boards of a trainer behind its run, also behind one that fails."""
    try:
        yield trainer
    except BaseException:
        for board in boards(trainer):
            with suppress(Exception):  # the error that ended the run counts
                board.close(failed=True)
        raise
    for board in boards(trainer):
        board.close(failed=False)


class TensorBoard(TensorBoardLogger):
    """Event files in a folder of the run; `label` names it, and TensorBoard shows that."""

    def __init__(self, save_dir: str, label: str | None = None):
        super().__init__(save_dir, "", label or "tensorboard", default_hp_metric=False)

    def show_config(self, config: Mapping[str, Any], options: Options) -> None:
        text = yaml.safe_dump(dict(config), sort_keys=False)
        self.experiment.add_text("config", f"```yaml\n{text}\n```", 0)
        measured = config["task"]["metrics"] if validates(config) else ()
        metrics = {name: ["Multiline", [f"val/{name}"]] for name in measured}
        layout = {
            "Learning": {
                "loss": ["Multiline", ["train/loss", "val/loss"]],
                "learning rate": ["Multiline", ["train/lr"]],
                "gradient norm": ["Multiline", ["train/gradient_norm"]],
            },
            **({"Validation": metrics} if metrics else {}),
            "Speed": {
                "samples per second": ["Multiline", ["train/samples_per_second"]],
                "waiting for data": ["Multiline", ["train/data_wait"]],
                "memory (MiB)": ["Multiline", ["train/(gpu_)?memory_mib"]],
            },
        }
        self.experiment.add_custom_scalars(layout)

    def show_embedding(self, features: Tensor, names: list[list[str]], step: int) -> None:
        self.experiment.add_embedding(
            features, names, global_step=step, tag="test", metadata_header=["class", "row"]
        )

    def show_image(self, name: str, image: Image, step: int) -> None:
        self.experiment.add_image(name, image, step, dataformats="HWC")

    def conclude(
        self, options: Options, status: str, best: Mapping[str, float], names: list[str], step: int
    ) -> None:
        writer = self.experiment
        writer.add_text("status", status, step)  # opens a file, where that of training was closed
        for name, value in best.items():
            writer.add_scalar(name, value, step)
        # The other metrics are logged already; these summaries only name them. All runs
        # name the same ones, whatever they reached: the tab takes the names from one run.
        for summary in hparams({**options, "status": status}, dict.fromkeys(names, 0.0)):
            writer.file_writer.add_summary(summary)  # type: ignore[union-attr]
        writer.flush()

    def close(self, failed: bool) -> None:
        """Nothing: the trainer closes the files."""


class Wandb(WandbLogger):
    """A run of Weights & Biases; one that goes on adds to its record.

    Args:
        save_dir: folder of the run, in which W&B keeps its files.
        label: name of the run; None for that of its folder.
        entity: user or team; None for the user's own.
        offline: writes to the folder alone; `wandb sync` sends it later.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        group: str | None = None,
        label: str | None = None,
        entity: str | None = None,
        offline: bool = False,
    ):
        need("logger=wandb", "wandb")
        import wandb  # type: ignore[import-not-found]

        super().__init__(
            label or Path(save_dir).name,
            save_dir,
            project=project,
            id=_identity(save_dir),
            group=group,
            entity=entity,
            mode="offline" if offline else None,
            settings=wandb.Settings(console="off", quiet=True),
        )

    @property
    def experiment(self) -> Any:
        import wandb  # type: ignore[import-not-found]

        try:
            return super().experiment
        except wandb.Error as error:
            raise InputError(
                f"logger=wandb: {' '.join(str(error).split())}: type wandb login, or "
                "logger.wandb.offline=true"
            ) from None

    def show_config(self, config: Mapping[str, Any], options: Options) -> None:
        self.experiment.config.update(dict(options), allow_val_change=True)

    def show_image(self, name: str, image: Image, step: int) -> None:
        self.log_image(name, [image], step)

    def conclude(
        self, options: Options, status: str, best: Mapping[str, float], names: list[str], step: int
    ) -> None:
        self.experiment.summary.update({**best, "status": status})

    def close(self, failed: bool) -> None:
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(failed))


class Mlflow(MLFlowLogger):
    """A run of MLflow; one that goes on adds to its record.

    Args:
        label: name of the run; None for that of its folder.
        tracking_uri: where runs are kept; None for MLflow's default, which is
            MLFLOW_TRACKING_URI or a database in the current folder.
    """

    def __init__(
        self,
        save_dir: str,
        experiment: str,
        label: str | None = None,
        tracking_uri: str | None = None,
    ):
        need("logger=mlflow", "mlflow")
        import mlflow  # type: ignore[import-not-found]

        self._identity = _identity(save_dir)
        super().__init__(
            experiment,
            label or Path(save_dir).name,
            tracking_uri or mlflow.get_tracking_uri(),
            {"seqfuse.run": self._identity},
        )

    @property
    def experiment(self) -> Any:
        from mlflow.exceptions import MlflowException  # type: ignore[import-not-found]

        try:
            if not self._initialized and rank_zero_only.rank == 0 and self._run_id is None:
                self._run_id = self._earlier(self._mlflow_client)
            return super().experiment
        except (MlflowException, OSError) as error:
            text = " ".join(str(error).split())[:300]
            raise InputError(f"logger=mlflow: {text}: check logger.mlflow.tracking_uri") from None

    def _earlier(self, client: Any) -> str | None:
        """The record that a run which goes on has begun."""
        experiment = client.get_experiment_by_name(self._experiment_name)
        if experiment is None:
            return None
        wanted = f"tags.`seqfuse.run` = '{self._identity}'"
        runs = client.search_runs([experiment.experiment_id], wanted, max_results=1)
        return runs[0].info.run_id if runs else None

    def show_config(self, config: Mapping[str, Any], options: Options) -> None:
        client, run = self.experiment, str(self.run_id)
        client.log_text(run, yaml.safe_dump(dict(config), sort_keys=False), "config.yaml")
        logged = client.get_run(run).data.params  # which no run may change
        self.log_hyperparams({name: v for name, v in options.items() if name not in logged})

    def show_image(self, name: str, image: Image, step: int) -> None:
        self.experiment.log_image(str(self.run_id), image, f"{name}_{step}.png")

    def conclude(
        self, options: Options, status: str, best: Mapping[str, float], names: list[str], step: int
    ) -> None:
        self.log_metrics(best, step)
        self.experiment.set_tag(str(self.run_id), "status", status)

    def close(self, failed: bool) -> None:
        self.finalize("failed" if failed else "success")


class Trackio(Logger):
    """A run of Trackio, in its folder on this machine or in the Space `space_id` of Hugging Face.

    The name of a run is that of its folder, with `label` behind it.
    """

    def __init__(
        self, save_dir: str, project: str, label: str | None = None, space_id: str | None = None
    ):
        need("logger=trackio", "trackio")
        super().__init__()
        self._folder, self._project, self._space = save_dir, project, space_id
        folder = Path(save_dir)  # names are of one run each
        self._name = " ".join(filter(None, [folder.name, label, _identity(save_dir)[:6]]))
        self._options: Options = {}
        self._run: Any = None

    @property
    def name(self) -> str:
        return self._project

    @property
    def version(self) -> str:
        return self._name

    @property
    def save_dir(self) -> str:
        return self._folder

    def _begun(self) -> Any:
        """The run, which begins when something is first logged."""
        if self._run is None:
            import trackio  # type: ignore[import-not-found]

            # What it prints says how to look at it, once per process.
            self._run = trackio.init(
                self._project,
                self._name,
                space_id=self._space,
                config=dict(self._options),
                resume="allow",
                embed=False,
            )
        return self._run

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        numbers = {k: v.item() if isinstance(v, Tensor) else v for k, v in metrics.items()}
        self._begun().log(numbers, step=step)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: a board is shown the config."""

    def show_config(self, config: Mapping[str, Any], options: Options) -> None:
        self._options = options

    def show_image(self, name: str, image: Image, step: int) -> None:
        import trackio  # type: ignore[import-not-found]

        run = self._begun()
        run.log({name: trackio.Image(np.ascontiguousarray(image[..., :3]))}, step=step)

    def conclude(
        self, options: Options, status: str, best: Mapping[str, float], names: list[str], step: int
    ) -> None:
        self._begun().log({**best, "status": status}, step=step)

    def close(self, failed: bool) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None


def _identity(folder: str) -> str:
    """A name for the run of a folder that no other run has."""
    return hashlib.sha256(os.fsencode(Path(folder).absolute())).hexdigest()[:16]

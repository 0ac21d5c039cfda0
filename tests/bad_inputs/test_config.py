"""Wrong values of the config of seqfuse-train."""

from seqfuse.train import main
from tests.bad_inputs.catalogue import Row, rows
from tests.bad_inputs.conftest import Judge

BRIEF = (
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.num_threads=1",
    "trainer.limit_train_batches=1",
    "logger=none",
    "callbacks.figures=null",
)
SMALL = ("data=synthetic", "data.num_samples=40", "data.num_steps=8", "model=base", *BRIEF)


@rows(
    # Parts left out that every run has.
    Row("optimizer=null", "optimizer"),
    Row("task=null", "task"),
    Row("trainer=null", "trainer"),
    Row("scheduler=null", "scheduler"),
    Row("~optimizer", "optimizer"),
    Row("~task", "task"),
    Row("~scheduler", "scheduler"),
    Row("~trainer", "trainer"),
    Row("~paths", "paths"),
    Row("~seed", "seed"),
    Row("~data.module", "data"),
    Row("~model.head", "model.head"),
    Row("~task.monitor", "task.monitor"),
    Row("~trainer.max_epochs", "trainer.max_epochs"),
    Row("paths=null", "paths"),
    Row("seed=null", "seed"),
    Row("name=null", "name"),
    Row("trust=null", "trust"),
    Row("model.head=null", "model.head"),
    Row(
        "model.stem=null model.cnn=null model.lstm=null model.attention=null model.head=null",
        "model.head",
    ),
    Row("data.module=null", "data.module"),
    Row("data.module.splits=null", "data"),
    Row("data.module.splits.dataset=null", "data"),
    Row("data.module.splits.pipeline=null", "data"),
    Row("task.loss=null", "task.loss"),
    Row("task.metrics=null", "task.metrics"),
    Row("task.monitor=null", "task.monitor"),
    Row("task.mode=null", "task.mode"),
    Row("optimizer.lr=null", "optimizer.lr"),
    Row("optimizer.betas=null", "optimizer"),
    Row("callbacks=null", "callbacks"),
    Row("logger=null", "logger"),
    Row("trainer.max_epochs=null trainer.max_steps=-1 trainer.max_time=null", "trainer.max"),
    Row("trainer.devices=null", "trainer.devices"),
    Row("paths.logs=null", "paths.logs"),
    Row("hydra.run.dir=null", "hydra.run.dir"),
    Row("data.num_folds=null", "data.num_folds"),
    Row("data.batch_size=null", "data.batch_size"),
    Row("data.num_workers=null", "data.num_workers"),
    Row("data.num_samples=null", "data.num_samples"),
    Row("model.lstm.hidden_size=null", "model.lstm"),
    Row("model.cnn.channels=null", "model.cnn"),
    Row("scheduler.patience=null", "scheduler"),
)
def test_parts_left_out(judge: Judge, row: Row) -> None:
    assert judge(row, main, *SMALL) == ""

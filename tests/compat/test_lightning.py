"""Private parts of Lightning are where they were, and do what they did."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.strategies import launchers

from seqfuse.callbacks.guards import NanGuard
from seqfuse.compat import lightning

QUIET = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}


def test_a_launcher_lets_work_be_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Wrapped(lightning.SpawnLauncher):
        def run_rank(self, work: Any) -> None:
            calls.append("before")
            work()

    def ran(self: Any, process_idx: int, *args: Any, **named: Any) -> None:
        calls.append((process_idx, args))

    monkeypatch.setattr(launchers._MultiProcessingLauncher, "_wrapping_function", ran)
    strategy = lightning.LaunchedDdp(start_method="spawn")
    Wrapped(strategy)._wrapping_function(1, "trainer")
    assert calls == ["before", (1, ("trainer",))]


@pytest.mark.parametrize("method", ["popen", "spawn"])
def test_who_launches_is_a_choice(method: Any) -> None:
    class Chosen(lightning.LaunchedDdp):
        def spawner(self) -> lightning.SpawnLauncher:
            return launcher

    strategy = Chosen(start_method=method)
    launcher = lightning.SpawnLauncher(strategy)
    Trainer(strategy=strategy, devices=2, **QUIET)  # type: ignore[arg-type]
    assert (strategy.launcher is launcher) == (method == "spawn")
    assert lightning.children(strategy) == []
    popen = isinstance(strategy.launcher, launchers._SubprocessScriptLauncher)
    assert popen == (method == "popen")


def test_what_a_launcher_waits_with() -> None:
    launcher = lightning.SpawnLauncher(lightning.LaunchedDdp(start_method="spawn"))
    launcher.get_extra_results, launcher.update_main_process_results, launcher.kill(0)  # type: ignore


def test_sigterm_goes_to_the_handler() -> None:
    trainer = Trainer(**QUIET)  # type: ignore[arg-type]
    connector = trainer._signal_connector
    before = signal.getsignal(signal.SIGTERM)
    calls = []
    lightning.on_sigterm(trainer, lambda *given: calls.append(given[0]))
    try:
        connector.register_signal_handlers()
        handler: Any = signal.getsignal(signal.SIGTERM)
        assert handler is not before
        handler(signal.SIGTERM, None)
    finally:
        connector.teardown()
        signal.signal(signal.SIGTERM, before)
    assert calls == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("owner", "hook", "kept"),
    [
        (ModelCheckpoint(), "on_train_batch_end", False),
        (ModelCheckpoint(every_n_epochs=2), "on_train_batch_end", False),
        (ModelCheckpoint(every_n_train_steps=2), "on_train_batch_end", True),
        (LearningRateMonitor("epoch"), "on_train_batch_start", False),
        (LearningRateMonitor("step"), "on_train_batch_start", True),
        (NanGuard(), "on_before_backward", True),
        (NanGuard(), "on_train_batch_end", False),
    ],
)
def test_only_idle_hooks_go(owner: Callback, hook: str, kept: bool) -> None:
    trainer: Any = SimpleNamespace(callbacks=[owner])
    lightning.skip_idle_hooks(trainer, LightningModule())
    assert callable(getattr(owner, hook)) is kept


def test_a_checkpoint_says_how_far_it_is(tmp_path: Any) -> None:
    from lightning.pytorch.demos.boring_classes import BoringModel

    limits: Any = {"limit_train_batches": 2, "limit_val_batches": 0, "max_epochs": 3}
    trainer = Trainer(
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        **limits,
        **QUIET,  # type: ignore[arg-type]
    )
    trainer.fit(BoringModel())
    checkpoint = trainer._checkpoint_connector.dump_checkpoint()
    assert lightning.epochs_done(checkpoint) == 3
    progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
    progress["current"]["ready"] = 4
    lightning.begin_epoch_anew(checkpoint)
    assert progress["current"]["ready"] == progress["current"]["started"] == 3

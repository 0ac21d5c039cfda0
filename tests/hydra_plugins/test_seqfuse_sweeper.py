"""Searches as Hydra starts them, with jobs that only pretend to train."""

import math
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import optuna
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.seqfuse_sweeper import OptunaSweeper
from seqfuse.config.checks.groups import CONF
from seqfuse.config.mistakes import explain
from seqfuse.runtime.errors import Diverged, InputError, Pruned
from seqfuse.search.outcome import KILLED, Outcome
from seqfuse.search.storage import Away, open_storage
from seqfuse.search.study import Search
from tests.conftest import composed

CONFIG = """
defaults:
  - _self_
  - experiment: null
  - override hydra/sweeper: optuna
  - override hydra/job_logging: disabled
  - override hydra/hydra_logging: disabled
hydra:
  mode: MULTIRUN
  output_subdir: null
  sweep: {dir: "logs/sweeps/${hydra.sweeper.study}"}
  sweeper:
    study: ${name}
    params: {optimizer.lr: "tag(log,interval(1e-4,1e-3))", model.lstm.dropout: "interval(0,0.5)"}
name: tiny
seed: 0
data: {num_folds: 5, batch_size: 32}
task: {monitor: val/loss, mode: min, metrics: {}}
trainer: {limit_val_batches: 1.0, max_epochs: 2}
optimizer: {lr: 1e-3}
model: {lstm: {dropout: 0.3}, attention: {num_queries: 1}}
trial: {storage: null, study: null, number: null, pruner: null}
"""
REAL = ["data=synthetic", "hydra/hydra_logging=disabled"]
Job = Callable[[DictConfig], Any]
Run = Callable[..., None]


def bowl(config: DictConfig) -> dict[str, Any]:
    """A job whose best validation is known."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    assert not (folder / "done").exists(), "a folder was overwritten"
    (folder / "done").touch()
    value = abs(math.log10(config.optimizer.lr) + 3.5) + config.model.lstm.dropout
    return Outcome("completed", {"best/val/loss": value})._asdict()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Runs a search over a config of a few keys; composing the real one takes a while."""
    conf = tmp_path / "conf"
    (conf / "experiment").mkdir(parents=True)
    (conf / "train.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def call(job: Job, *words: str, conf: Path = conf, figures: bool = False) -> None:
        monkeypatch.setattr("sys.argv", ["seqfuse-train", *words])
        if not figures:
            monkeypatch.setattr("seqfuse.search.report._figures", lambda search, folder: [])
        GlobalHydra.instance().clear()
        hydra.main(version_base="1.3", config_path=str(conf), config_name="train")(job)()

    yield call
    GlobalHydra.instance().clear()


@pytest.fixture
def run_real(run: Run) -> Run:
    """The same over the config that is shipped."""
    return lambda job, *words: run(job, *REAL, *words, conf=CONF)


def trials(study: str = "tiny") -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(f"logs/sweeps/{study}/study.journal")
    return optuna.load_study(study_name=study, storage=storage).trials


def total(number: int) -> str:
    return f"hydra.sweeper.num_trials={number}"


def test_hydra_finds_the_plugin() -> None:
    names = [one.__name__ for one in Plugins.instance().discover(Sweeper)]
    assert "OptunaSweeper" in names


@pytest.mark.slow
def test_the_shipped_space(run_real: Run) -> None:
    run_real(bowl, "sweep=optuna", total(3))
    [*first, _] = trials("synthetic")
    assert set(first[0].params) == {
        "optimizer.lr",
        "trainer.gradient_clip_val",
        "model.lstm.num_layers",
        "model.lstm.hidden_size",
        "model.lstm.dropout",
        "model.attention.num_heads",
    }
    drawn = {key: str(one) for key, one in first[0].distributions.items()}
    assert drawn["optimizer.lr"] == "FloatDistribution(high=0.001, log=True, low=0.0001, step=None)"
    sizes = first[0].distributions["model.lstm.hidden_size"].choices
    heads = first[0].distributions["model.attention.num_heads"].choices
    assert {size % number for size in sizes for number in heads} == {0}


@pytest.mark.long
def test_the_same_command_goes_on(run: Run, capsys: Any) -> None:
    run(bowl, total(3))
    out = capsys.readouterr().out
    assert [f"trial {number}" in out for number in range(4)] == [True] * 3 + [False]
    run(bowl, total(5))
    out = capsys.readouterr().out
    said = [f"trial {number}    completed" in out for number in range(6)]
    assert said == [False, False, False, True, True, False]
    assert "tiny in logs/sweeps/tiny/study.journal: 5 completed" in out
    assert sorted(path.parent.name for path in Path("logs").rglob("done")) == list("01234")


@pytest.mark.slow
def test_the_figures(run: Run) -> None:
    run(bowl, total(3), figures=True)
    figures = Path("logs/sweeps/tiny")
    assert (figures / "history.png").stat().st_size > 10_000
    assert not (figures / "importance.png").exists(), "too few trials"
    run(bowl, total(10), figures=True)
    assert (figures / "importance.png").stat().st_size > 10_000


@pytest.mark.long
def test_a_figure_that_fails_does_not_fail_the_search(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as draw

    def fails(*_: Any, **__: Any) -> None:
        plt.figure()
        raise AssertionError

    monkeypatch.setattr(draw, "plot_optimization_history", fails)
    run(bowl, total(1), figures=True)
    out, err = capsys.readouterr()
    assert err == "seqfuse: there is no history.png: AssertionError\n"
    assert "experiment=best" in out
    assert "figure " not in out
    assert not plt.get_fignums()


@pytest.mark.long
def test_the_command_line_adds_replaces_and_takes_out(run: Run) -> None:
    words = ["optimizer.lr=tag(log,interval(1e-5,2e-5))", "model.lstm.dropout=0.1"]
    run(bowl, *words, "data.batch_size=16,64", "hydra/sweeper/sampler=random", total(4))
    found = trials()
    assert len(found) == 4
    assert all(1e-5 <= one.params["optimizer.lr"] <= 2e-5 for one in found)
    assert "model.lstm.dropout" not in found[0].params
    assert {one.params["data.batch_size"] for one in found} == {16, 64}


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_samplers_learn(run: Run, sampler: str) -> None:
    startup = "hydra.sweeper.sampler.n_startup_trials=4"
    words = ["optimizer.lr=tag(log,interval(1e-6,1))", "model.lstm.dropout=0", startup]
    run(bowl, *words, f"hydra/sweeper/sampler={sampler}", total(12))
    values = [one.values[0] for one in trials()]
    assert min(values[4:]) < min(values[:4])
    assert sum(values[8:]) / 4 < sum(values[:4]) / 4


@pytest.mark.long
def test_jobs_that_end_otherwise_do_not_end_the_search(run: Run, capsys: Any) -> None:
    errors = [
        InputError("data.x is wrong"),
        Diverged("the loss is nan"),
        Pruned("behind"),
        MemoryError("no more"),
        ValueError("a bug"),
    ]

    def job(config: DictConfig) -> dict[str, Any]:
        number = HydraConfig.get().job.num
        if number < len(errors):
            raise errors[number]
        return Outcome("completed", {"best/val/loss": math.nan if number == 5 else 1.0})._asdict()

    run(job, total(7))
    found = trials()
    assert [one.user_attrs["status"] for one in found] == [
        "failed",
        "diverged",
        "pruned",
        "out of memory",
        "failed",
        "diverged",
        "completed",
    ]
    states = ["FAIL", "FAIL", "PRUNED", "FAIL", "FAIL", "FAIL", "COMPLETE"]
    assert [one.state.name for one in found] == states
    assert "a bug" in found[4].user_attrs["reason"]
    assert found[4].user_attrs["folder"] == "logs/sweeps/tiny/4"
    out = capsys.readouterr().out
    assert "trial 3    out of memory" in out
    assert "1 completed, 2 diverged, 2 failed, 1 out of memory, 1 pruned" in out


@pytest.mark.long
def test_nothing_completed(run: Run, capsys: Any) -> None:
    def job(config: DictConfig) -> Any:
        raise ValueError("a bug")

    run(job, total(2))
    assert "2 failed" in capsys.readouterr().out
    assert not Path("logs/sweeps/tiny/experiment").exists()


@pytest.mark.long
def test_a_stopped_search_keeps_what_it_has(run: Run, capsys: Any) -> None:
    def job(config: DictConfig) -> dict[str, Any]:
        if HydraConfig.get().job.num == 2:
            raise KeyboardInterrupt
        return bowl(config)

    with pytest.raises(KeyboardInterrupt):
        run(job, total(4))
    out = capsys.readouterr().out
    assert "1 abandoned, 2 completed" in out
    assert "experiment=best" in out
    run(bowl, total(4))
    assert [one.state.name for one in trials()] == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 2


def test_a_server_that_stays_away_ends_the_search(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def away(self: object, size: int, sampler: object) -> None:
        raise Away("waited for in vain")

    monkeypatch.setattr(Search, "ask", away)
    with pytest.raises(Away, match="in vain"):
        run(bowl, total(2))
    assert "study " not in capsys.readouterr().out, "which would wait for it once more"


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> dict[int, bool]:
    """Jobs with whose launch a worker is killed, and whether they had begun."""
    Plugins.instance()  # imports this module, perhaps anew
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    launch, numbers = BasicLauncher.launch, dict[int, bool]()

    def dies(self: Any, jobs: Any, initial_job_idx: int) -> Any:
        if initial_job_idx not in numbers:
            return launch(self, jobs, initial_job_idx)
        if numbers[initial_job_idx]:
            KILLED.write(Path(f"logs/sweeps/tiny/{initial_job_idx}"))
        raise RuntimeError("a worker was killed")

    monkeypatch.setattr(BasicLauncher, "launch", dies)
    return numbers


@pytest.mark.long
def test_a_launcher_that_loses_its_worker(run: Run, lost: dict[int, bool]) -> None:
    lost[1] = False
    run(bowl, total(3))
    assert [one.user_attrs["status"] for one in trials()] == ["completed", "failed", "completed"]
    assert "a worker was killed" in trials()[1].user_attrs["reason"]
    lost |= dict.fromkeys((3, 4, 5), False)
    with pytest.raises(RuntimeError, match="a worker was killed"):
        run(bowl, total(6))
    assert len(trials()) == 5, "a launcher that fails twice in a row does not eat up the trials"


@pytest.mark.long
def test_jobs_that_are_killed_in_a_row_do_not_end_the_search(
    run: Run, lost: dict[int, bool]
) -> None:
    lost |= dict.fromkeys(range(3), True)
    run(bowl, total(6), "hydra.sweeper.num_jobs=2")
    found = [one.user_attrs["status"] for one in trials()]
    assert found == ["killed"] * 3 + ["completed"] * 3


@pytest.mark.parametrize(
    ("launcher", "size"),
    [
        ({"n_jobs": 3}, 3),
        ({"array_parallelism": 16, "cpus_per_task": 4}, 16),
        ({}, 1),
    ],
)
def test_as_many_are_launched_as_run_side_by_side(launcher: dict[str, int], size: int) -> None:
    node = OmegaConf.create()
    sweeper = OptunaSweeper("tiny", None, 20, None, 0, {}, node, node)
    sweeper.config = OmegaConf.create({"hydra": {"launcher": launcher}})
    assert sweeper._batch_size() == size


@pytest.mark.slow
def test_options_that_exclude_a_key_are_recorded(run_real: Run) -> None:
    words = ["model/attention=additive,multihead", "hydra/sweeper/sampler=random", "sweep=optuna"]
    run_real(bowl, *words, total(6), "hydra.sweeper.num_jobs=3", "hydra.sweeper.seed=1")
    found = trials("synthetic")
    assert {one.user_attrs["status"] for one in found} == {"completed", "failed"}
    for one in found:
        failed = one.params["model/attention"] == "additive"
        assert (one.state.name == "FAIL") == failed
        assert not failed or "model.attention.num_heads" in one.user_attrs["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["sweep=optuna"],
        ["sweep=optuna", "model=base", "callbacks=ema", "trainer.max_epochs=7", "logger.csv=null"],
        ["sweep=optuna_segments", "experiment=etth1_96"],
        ["sweep=optuna_segments", "data=ett", "scheduler=cosine", "precision='32'"],
        ["sweep=optuna", "debug=overfit", "optimizer=adamw,sgd", "seed=3"],
        ["sweep=optuna", "callbacks/figures=none", "logger=none"],
    ],
    ids=" ".join,
)
def test_the_best_config_is_an_experiment(run: Run, words: list[str], capsys: Any) -> None:
    configs: dict[int, Any] = {}

    def job(config: DictConfig) -> dict[str, Any]:
        configs[HydraConfig.get().job.num] = OmegaConf.to_container(config)
        return bowl(config)

    run(job, *words, total(2), "hydra.sweeper.study=tiny", conf=CONF)
    best = min(trials(), key=lambda one: one.values[0])
    lines = Path("logs/sweeps/tiny/experiment/best.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith(f"# val/loss {best.values[0]:.6g}, trial {best.number} of 2;")
    assert f"searched by: seqfuse-train {words[0]}" in lines[1]
    search = f"hydra.searchpath=[file://{Path('logs/sweeps/tiny').absolute()}]"
    again = OmegaConf.to_container(composed([search, "experiment=best"]))
    assert again["test"] is True
    assert again == {**configs[best.number], "test": True}
    [command] = [line for line in capsys.readouterr().out.splitlines() if "train it" in line]
    said = ["--config-dir", "logs/sweeps/tiny", "experiment=best"]
    assert shlex.split(command)[3:] == said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lrr=1"], "optimizer.lrr: no such key, did you mean optimizer.lr?"),
        (["+hydra.sweeper.params.x='interval(0,1)'"], "x: no such key"),
        (["optimizer.lr=interval(1e-4)"], "interval"),
        (["optimizer.lr=interval(1e-4,"], "cannot read 'optimizer.lr=interval(1e-4,'"),
        (["hydra.sweeper.num_trial=3"], "hydra.sweeper.num_trial"),
        (["hydra.sweeper.storage=postgresql://a:b@nowhere/c"], "cannot be used"),
        (["hydra.sweeper.storage=spoilt.csv"], "spoilt.csv is damaged: line 1 begins no study"),
    ],
)
def test_a_mistake_is_told_before_the_first_job(
    run: Run, words: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "spoilt.csv").write_text("a,b\n1,2\n")

    def never(config: DictConfig) -> None:
        raise AssertionError("a job was run")

    with pytest.raises((InputError, HydraException)) as caught:
        run(never, *words)
    said = explain(caught.value)
    assert message in " ".join(said.split())
    assert len(said) < 400
    assert not list(tmp_path.rglob("[0-9]*")), "no run folder was made"
    assert (tmp_path / "spoilt.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.long
def test_another_space_or_other_fixed_values_are_refused(run: Run) -> None:
    run(bowl, total(1))
    with pytest.raises(InputError, match="space of optimizer.lr was 0.0001 to 0.001, log, now"):
        run(bowl, "optimizer.lr=interval(0.1,0.2)", total(2))
    with pytest.raises(InputError, match="trainer.max_epochs was not given, now 3"):
        run(bowl, "trainer.max_epochs=3", total(2))
    assert len(trials()) == 1
    run(bowl, "trainer.max_epochs=3", "hydra.sweeper.study=other", total(1))
    assert Path("logs/sweeps/other/0/done").exists()


@pytest.mark.long
def test_folders_of_a_lost_study_are_not_overwritten(run: Run) -> None:
    run(bowl, total(2))
    Path("logs/sweeps/tiny/study.journal").unlink()
    with pytest.raises(InputError, match="logs/sweeps/tiny/0 is no run of study 'tiny'"):
        run(bowl, total(2))


@pytest.mark.long
def test_with_a_pruner_jobs_know_their_trial(run: Run) -> None:
    seen = []

    def job(config: DictConfig) -> dict[str, Any]:
        seen.append(OmegaConf.to_container(config.trial))
        return bowl(config)

    run(job, total(1))
    assert set(seen[0].values()) == {None}
    words = [
        "hydra/sweeper/pruner=hyperband",
        "trainer.max_epochs=9",
        'hydra.sweeper.study="it\'s"',
    ]
    run(job, *words, total(2))
    assert seen[2] == {
        "storage": str(Path("logs/sweeps/it's/study.journal").absolute()),
        "study": "it's",
        "number": 1,
        "pruner": {
            "_target_": "optuna.pruners.HyperbandPruner",
            "min_resource": 1,
            "max_resource": 9,
            "reduction_factor": 3,
        },
    }


@pytest.mark.usefixtures("sigint")
def test_a_signal_in_a_job_stops_the_search(run: Run) -> None:
    def job(config: DictConfig) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return bowl(config)

    with pytest.raises(KeyboardInterrupt):
        run(job, total(2))
    assert [one.user_attrs["status"] for one in trials()] == ["abandoned"]


@pytest.mark.slow
def test_the_grid(run_real: Run) -> None:
    seen = []

    def job(config: DictConfig) -> None:
        seen.append((config.optimizer.lr, config.model.lstm.hidden_size))

    run_real(job, "sweep=grid", "optimizer.lr=3e-4,1e-3", "model.lstm.hidden_size=8,16")
    assert seen == [(lr, size) for lr in (3e-4, 1e-3) for size in (8, 16)]

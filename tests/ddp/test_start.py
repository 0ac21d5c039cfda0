"""What is refused before anything starts, and what torchrun or Slurm say."""

import sys
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments import lightning, slurm, torchelastic

from seqfuse.config import build, recipes, runs
from seqfuse.config.cli import fail
from seqfuse.ddp import start
from seqfuse.ddp.checks import check_devices
from seqfuse.runtime.errors import InputError
from seqfuse.train import main
from tests.conftest import Compose

TORCHRUN = {
    **{"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
    **{"LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "MASTER_ADDR": "localhost"},
    "MASTER_PORT": "29555",
}
SLURM = {
    **{"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_PROCID": "3"},
    **{"SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NTASKS_PER_NODE": "2"},
    **{"SLURM_NODELIST": "node[1-2]", "SLURM_JOB_NAME": "train"},
}


TWO_NODES = {"LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "2", "GROUP_RANK": "1"}


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch):
    def given(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return given


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "trainer=ddp", "seed=0,1"),
        ("--multirun", "trainer=cpu,ddp"),
        ("sweep=optuna", "trainer=ddp"),
        ("hydra.mode=MULTIRUN", "trainer=choice(ddp,ddp_spawn)"),
    ],
)
def test_ddp_is_refused_in_a_sweep(words: tuple[str, ...], command, tmp_path: Path) -> None:
    code, out, err = command(main, *words)
    assert code == 1
    assert not out
    assert err.splitlines() == [
        "seqfuse: trainer=ddp starts the command again for each device, and so the whole sweep: "
        "type trainer=ddp_spawn"
    ]
    assert not list(tmp_path.iterdir())


def test_ddp_of_an_experiment_is_refused_in_a_sweep(tiny: Compose) -> None:
    start.refuse_in_sweeps(["-m", "trainer=ddp_spawn", "name=ddp"])
    start.refuse_in_sweeps(["trainer=ddp"])
    start.refuse_job(tiny("trainer=ddp_spawn").trainer)
    start.refuse_job(tiny().trainer)
    with pytest.raises(InputError, match="type trainer=ddp_spawn"):
        start.refuse_job(tiny("trainer=ddp").trainer)


DDP_3 = ("trainer=ddp", "trainer.devices=3")
SPAWN_2 = ("trainer=ddp_spawn", "trainer.devices=2")


@pytest.mark.parametrize(
    ("environment", "words", "message"),
    [
        ({}, ("trainer.devices=2",), "trainer.devices=2: type trainer=ddp, or in a sweep"),
        ({}, ("trainer.devices=[0,1]",), r"trainer.devices=\[0, 1\]: type trainer=ddp"),
        ({}, ("trainer=ddp", "trainer.devices=0"), "trainer.devices=0 must be auto or at least 1"),
        (
            TORCHRUN,
            ("trainer=ddp", "trainer.devices=3"),
            "2 processes were started.*type trainer.devices=2",
        ),
        (
            {**TORCHRUN, **TWO_NODES},
            ("trainer=ddp", "trainer.num_nodes=1"),
            "trainer.num_nodes=1: type trainer.devices=1 trainer.num_nodes=2",
        ),
        (
            {**TORCHRUN, **TWO_NODES},
            ("trainer=ddp", "trainer.devices=2"),
            "trainer.devices=2 and trainer.num_nodes=2: type trainer.devices=1$",
        ),
        (
            {**TORCHRUN, **TWO_NODES, "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "2"},
            ("trainer=ddp",),
            "3 processes .* 2 machines, 2 of them on this one: .* the same --nproc-per-node",
        ),
        (
            {**TORCHRUN, **TWO_NODES, "TORCHELASTIC_MAX_RESTARTS": "1"},
            ("trainer=ddp",),
            "torchrun --max-restarts .* type --rdzv-id=",
        ),
        ({}, ("trainer=ddp", "trainer.num_nodes=0"), "trainer.num_nodes=0 must be auto or at"),
        (TORCHRUN, (), "2 processes: type trainer=ddp"),
        (TORCHRUN, SPAWN_2, "started already: type trainer=ddp"),
    ],
)
def test_devices(
    tiny: Compose, outside, environment: dict[str, str], words: tuple[str, ...], message: str
) -> None:
    outside(environment)
    with pytest.raises(InputError, match=message):
        check_devices(recipes.resolve(tiny(*words))["trainer"])


def test_more_devices_than_there_are(tiny: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    trainer = recipes.resolve(tiny("trainer=ddp", "trainer.devices=3"))["trainer"]
    trainer["accelerator"] = "gpu"
    with pytest.raises(InputError, match="trainer.devices=3, torch finds 2: type 2 or less"):
        check_devices(trainer)
    check_devices({**trainer, "devices": "auto"})


@pytest.mark.long
def test_less_items_than_devices(command) -> None:
    words = ("data=synthetic", "data.num_samples=40", "data.batch_size=2", "trainer=ddp")
    code, _, err = command(main, *words, "trainer.accelerator=cpu", "trainer.devices=3")
    assert code == 1
    assert err.splitlines() == [
        "seqfuse: data.batch_size=2 is less than the 3 devices that share a batch: "
        "type data.batch_size=3 or more"
    ]


def test_a_rank_from_outside_leaves_no_folder_and_is_silent(outside, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["seqfuse-train", "seed=1"])
    start.prepare()
    assert sys.argv == ["seqfuse-train", "seed=1"]
    outside(TORCHRUN)
    start.prepare()
    key, _, folder = sys.argv[-1].partition("=")
    assert key == "hydra.run.dir"
    assert Path(folder.strip("'")).is_dir()
    with pytest.raises(SystemExit):
        fail("a mistake that all ranks meet")
    assert not capsys.readouterr().err


def built(tiny: Compose, tmp_path: Path, *words: str):
    return build.build_trainer(recipes.resolve(runs.prepare(tiny(*words, "logger=none"), tmp_path)))


def test_slurm_s_environment_is_taken(tiny: Compose, tmp_path: Path, outside) -> None:
    outside(SLURM)
    more = ("trainer.devices=2", "trainer.num_nodes=2")
    trainer = built(tiny, tmp_path, "trainer=ddp", *more)
    strategy = trainer.strategy
    assert isinstance(strategy.cluster_environment, slurm.SLURMEnvironment)
    assert (trainer.world_size, trainer.global_rank, trainer.local_rank) == (4, 3, 1)
    assert strategy.cluster_environment.creates_processes_externally
    assert start.foreign_rank() == 3
    with pytest.raises(InputError, match=r"4 processes were started, for trainer.devices=2 and "):
        built(tiny, tmp_path, "trainer=ddp", "trainer.devices=2")


def test_torchrun_s_environment_is_taken(tiny: Compose, tmp_path: Path, outside) -> None:
    outside(TORCHRUN)
    trainer = built(tiny, tmp_path, "trainer=ddp", "trainer.devices=2")
    environment = trainer.strategy.cluster_environment
    assert isinstance(environment, torchelastic.TorchElasticEnvironment)
    assert (trainer.world_size, trainer.global_rank) == (2, 1)


@pytest.mark.parametrize(("more", "sizes"), [({}, (2, 1)), (TWO_NODES, (1, 2))])
def test_auto_is_what_torchrun_has_started(
    tiny: Compose, tmp_path: Path, outside, more: dict[str, str], sizes: tuple[int, int]
) -> None:
    outside({**TORCHRUN, **more})
    trainer = built(tiny, tmp_path, "trainer=ddp")
    assert (trainer.num_devices, trainer.num_nodes) == sizes
    assert trainer.world_size == 2


def test_spawned_ranks_are_counted_by_the_process_that_spawns(
    tiny: Compose, tmp_path: Path, outside
) -> None:
    outside({**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"})
    trainer = built(tiny, tmp_path, "trainer=ddp_spawn", "trainer.devices=2")
    environment = trainer.strategy.cluster_environment
    assert isinstance(environment, lightning.LightningEnvironment)
    assert trainer.world_size == 2

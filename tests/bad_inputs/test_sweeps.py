"""Wrong sweeps and searches: nothing is launched."""

from seqfuse.train import main
from tests.bad_inputs.catalogue import Row, rows
from tests.bad_inputs.conftest import BRIEF, Judge

SMALL = ("data=synthetic", "data.num_samples=40", "data.num_steps=8", "model=base", *BRIEF)
SEARCH = "sweep=optuna hydra.sweeper.num_trials=1"


@rows(
    Row("-m optimizer.lrr=1,2", ["optimizer.lrr", "optimizer.lr"]),
    Row("-m optimizer=adam,adamm", ["adamm", "adam"]),
    Row("-m seed=range(1", "range(1,4)"),
    Row("-m seed=choice(", "choice(a,b)"),
    Row("-m seed=1,,2", "seed"),
    Row("-m seed=range(3,1)", "range"),
    Row("-m seed=choice()", "seed"),
    Row("-m seed=interval(0,1)", "interval"),
    Row("-m find_lr=true optimizer.lr=1,2", "find_lr=true"),
    Row("-m hydra/launcher=jobllib seed=1,2", ["jobllib", "joblib"]),
    Row("-m hydra/sweeper=optna seed=1,2", ["optna", "optuna"]),
    Row("-m hydra.sweep.dir=null seed=1,2", "hydra.sweep.dir"),
    Row("-m hydra.sweeper.nothing=5 seed=1,2", "hydra.sweeper.nothing"),
    Row("-m trainer=ddp seed=1,2", ["trainer=ddp", "ddp_spawn"]),
    Row("seed=1,2", ["seed", "-m"]),
    Row("sweep=gird", ["gird", "grid"]),
    Row("sweep=grid hydra.sweeper.params=5", "hydra.sweeper.params"),
    Row("sweep=grid '+hydra.sweeper.params.optimizer.lrr=\"1,2\"'", "optimizer"),
    Row("hydra.mode=MULTI", "hydra.mode"),
    Row("launcher=slurm -m seed=1,2", ["slurm", "submitit_slurm"]),
    Row(f"{SEARCH} hydra.sweeper.num_trials=0", "num_trials=0"),
    Row(f"{SEARCH} hydra.sweeper.num_trials=x", "num_trials"),
    Row(f"{SEARCH} hydra.sweeper.num_jobs=0", "num_jobs=0"),
    Row(f"{SEARCH} hydra.sweeper.retries=-1", "retries=-1"),
    Row(f"{SEARCH} hydra.sweeper.seed=-1", "seed=-1"),
    Row(f"{SEARCH} hydra.sweeper.params=null", "hydra.sweeper.params"),
    Row(
        f"{SEARCH} 'hydra.sweeper.params={{optimizer.lr:interval(0.1,0.2)}}'",
        ["hydra.sweeper.params", "optimizer.lr='interval(0.1,0.2)'"],
    ),
    Row(f"{SEARCH} 'optimizer.lr=interval(1,0)'", "optimizer.lr"),
    Row(f"{SEARCH} 'optimizer.lr=tag(log,interval(0,1))'", "optimizer.lr"),
    Row(f"{SEARCH} 'optimizer.lr=tag(lgo,interval(0.1,1))'", "lgo"),
    Row(f"{SEARCH} 'optimizer.lr=interval(a,b)'", "optimizer.lr"),
    Row(f"{SEARCH} 'model.lstm.hidden_size=range(9,1)'", "model.lstm.hidden_size"),
    Row(f"{SEARCH} 'optimizer.lrr=interval(0.1,1)'", ["optimizer.lrr", "optimizer.lr"]),
    Row(f"{SEARCH} optimizer=adam,adamm", ["adamm", "adam"]),
    Row(f"{SEARCH} seed=a,b", "seed=a"),
    Row(f"{SEARCH} task.monitor=val/nothing", "task.monitor=val/nothing"),
    Row(f"{SEARCH} task.mode=up", "task.mode=up"),
    Row(f"{SEARCH} hydra.sweeper.storage=nothing://x", ["hydra.sweeper.storage", "nothing"]),
    Row(f"{SEARCH} hydra.sweeper.storage=sqlite:///no/such/file.db", "hydra.sweeper.storage"),
    Row(
        f"{SEARCH} hydra.sweeper.storage=postgresql://a:b@c/d",
        ["hydra.sweeper.storage", "PGPASSWORD"],
    ),
    Row(f"{SEARCH} hydra.sweeper.storage=a.journal", "a.journal", {"a.journal": b"\x00\xff" * 99}),
    Row(f"{SEARCH} hydra.sweeper.storage=a.journal", "a.journal", {"a.journal": "[1, 2]\n"}),
    Row(f"{SEARCH} hydra.sweeper.storage=e", "e", {"e/a": "b"}),
    Row(f"{SEARCH} hydra.sweeper.study=null", "study"),
    Row(f"{SEARCH} hydra/sweeper/sampler=tep", ["tep", "tpe"]),
    Row(f"{SEARCH} +hydra.sweeper.sampler.nothing=1", "nothing"),
    Row(f"{SEARCH} hydra/sweeper/pruner=hyperband trainer.max_epochs=-1", "pruner"),
    Row(f"{SEARCH} find_lr=true", "find_lr=true"),
)
def test_sweeps(judge: Judge, row: Row) -> None:
    assert judge(row, main, *SMALL) == ""

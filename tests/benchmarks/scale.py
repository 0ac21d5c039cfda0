"""How much of the time is training at 8, 64 and 512 workers: a simulation that replays records.

Three jobs are recorded in one process: processor seconds of the start, of every step and of all
that is beside steps, the size of a checkpoint, and an ask and a tell of a search. Sweeps of eight
jobs by 1, 2 and 4 processes are then simulated and measured, which says how far the simulation can
be trusted; then searches by many workers, and trainings by as many ranks in step, are simulated.

    python -m tests.benchmarks.scale [--hours 1] [--days 154] [--storage URL] [--out file.json]

A worker fails after an exponential time with a mean of `--days`, is back after a minute, and goes
on from its last checkpoint. On a large cluster 6.5 nodes fail in 1,000 days of one (Kokolis et al.
2025, arXiv:2410.21680), hence 154; name 1 for machines that are lent and taken back. All else that
is not recorded is an assumption of `Place`: an object store, a database, a network.
"""

import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import simpy

from tests.benchmarks import common, launchers

ROOT = Path(__file__).parents[2]
CHILD = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.benchmarks import scale as s"
JOBS, PROCESSES, WORKERS = 8, (1, 2, 4), (8, 64, 512)
DAY = 86_400.0
Events = Iterator[simpy.Event]
Activity = tuple[str, simpy.Resource, float]
"""Name, resource that is held, and seconds."""


@dataclass(frozen=True)
class Recorded:
    """Seconds of one process that has a core for itself."""

    start: float
    """From the command to its first job, and what that takes beyond others."""
    beside: float
    """A job without its steps: building, validating, testing."""
    steps: Sequence[float]
    """Each step of a job."""
    megabytes: float
    """A checkpoint."""
    trial: float
    """An ask and a tell of a search."""


@dataclass(frozen=True)
class Place:
    """Resources that workers share, and how often a worker fails; times in seconds."""

    workers: int
    cores: int
    """Of all workers together."""
    between_failures: float = math.inf
    back: float = 60.0
    """Until a worker that failed begins anew."""
    writers: int = 64
    """Of the object store at once."""
    latency: float = 0.1
    """Of the object store."""
    bandwidth: float = 100.0
    """Megabytes in a second, of each writer."""
    connections: int = 8
    """Of the database at once."""
    network: float = 1_250.0
    """Megabytes in a second between two ranks."""


class Simulation:
    """Trials of equal length in one queue, trained by workers that share a place.

    Args:
        recorded: of one process.
        place: of the workers.
        trials: in the queue.
        steps: of a trial.
        every: seconds of training between two checkpoints; none is written where it is infinite.
        seed: of steps and failures.
    """

    def __init__(
        self,
        recorded: Recorded,
        place: Place,
        trials: int,
        steps: int,
        every: float = math.inf,
        seed: int = 0,
    ):
        self.recorded, self.place, self.queue, self.steps = recorded, place, trials, steps
        self.mean, self.deviation = _moments(recorded.steps)
        self.saves = every < math.inf
        # Without checkpoints a fiftieth of a trial, so that cores are shared as by a scheduler.
        self.piece = max(1, int(every / self.mean) if self.saves else steps // 50)
        self.random = random.Random(seed)
        self.env = simpy.Environment()
        self.cores = simpy.Resource(self.env, place.cores)
        self.store = simpy.Resource(self.env, place.writers)
        self.database = simpy.Resource(self.env, place.connections)
        names = ("training", "starting", "beside", "saving", "asking", "lost")
        self.seconds = dict.fromkeys(names, 0.0)
        """Of all workers, by what they were spent on; waiting for a resource included."""
        self.busy = {self.cores: 0.0, self.store: 0.0, self.database: 0.0}

    def run(self) -> dict[str, float]:
        """Seconds until the queue is empty, shares of the workers' time, and what was how busy."""
        workers = [self.env.process(self._works()) for _ in range(self.place.workers)]
        if self.place.between_failures < math.inf:
            for worker in workers:
                self.env.process(self._fails(worker))
        self.env.run(until=self.env.all_of(workers))
        spent, whole = sum(self.seconds.values()), float(self.env.now)
        return {
            "seconds": whole,
            **{name: seconds / spent for name, seconds in self.seconds.items()},
            "database_busy": self.busy[self.database] / whole / self.place.connections,
            "store_busy": self.busy[self.store] / whole / self.place.writers,
        }

    def _fails(self, worker: simpy.Process) -> Events:
        while True:
            yield self.env.timeout(self.random.expovariate(1 / self.place.between_failures))
            if not worker.is_alive:
                return
            worker.interrupt()

    def _works(self) -> Events:
        left, failed = 0, False
        while True:
            begun = self.env.now
            try:
                if failed:
                    yield self.env.timeout(self.place.back)
                    self.seconds["lost"] += self.place.back
                    begun = self.env.now
                yield from self._spend(("starting", self.cores, self.recorded.start))
                while left or self.queue:
                    begun = self.env.now
                    if left:
                        count = min(self.piece, left)
                        yield from self._spend(*self._trains(count))
                        left -= count
                    else:
                        self.queue, left = self.queue - 1, self.steps
                        yield from self._spend(
                            ("asking", self.database, self.recorded.trial),
                            ("beside", self.cores, self.recorded.beside),
                        )
                return
            except simpy.Interrupt:
                self.seconds["lost"] += self.env.now - begun
                failed = True

    def _trains(self, count: int) -> Iterator[Activity]:
        # The sum of many steps is as good as normal.
        seconds = self.random.gauss(count * self.mean, math.sqrt(count) * self.deviation)
        yield "training", self.cores, max(0.0, seconds)
        if self.saves:
            yield "saving", self.store, save_seconds(self.recorded, self.place)

    def _spend(self, *parts: Activity) -> Events:
        """One part after the other; none of them counts where a failure ends them."""
        spent = []
        for name, resource, seconds in parts:
            since = self.env.now
            with resource.request() as turn:
                yield turn
                yield self.env.timeout(seconds)
            self.busy[resource] += seconds
            spent.append((name, self.env.now - since))
        for name, seconds in spent:
            self.seconds[name] += seconds


def _moments(values: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.pstdev(values)


def save_seconds(recorded: Recorded, place: Place) -> float:
    """A checkpoint on its way to the object store."""
    return place.latency + recorded.megabytes / place.bandwidth


def interval(recorded: Recorded, place: Place) -> float:
    """Seconds of training between two checkpoints that lose least, to first order (Young 1974)."""
    return math.sqrt(2 * save_seconds(recorded, place) * place.between_failures)


def in_step(recorded: Recorded, place: Place, ranks: int, seed: int = 0) -> tuple[Recorded, Place]:
    """Ranks that wait for each other after every step, as one worker.

    A step is as long as the slowest rank's, and an all-reduce of the gradients on a ring behind
    it; they are a third of a checkpoint, which has two moments of Adam beside the weights. One
    rank's failure stops all.
    """
    draws = random.Random(seed)
    ring = 2 * (ranks - 1) / ranks * recorded.megabytes / 3 / place.network
    steps = [max(draws.choices(recorded.steps, k=ranks)) + ring for _ in range(1_000)]
    alone = replace(place, workers=1, cores=1, between_failures=place.between_failures / ranks)
    return replace(recorded, steps=steps), alone


def sweep(recorded: Recorded, processes: int, cores: int) -> float:
    """Predicted seconds of a sweep of JOBS jobs by so many processes of one machine."""
    place = Place(workers=processes, cores=cores)
    seconds = Simulation(recorded, place, JOBS, len(recorded.steps)).run()["seconds"]
    # Workers are started by a process that has been started itself.
    return seconds + (recorded.start if processes > 1 else 0.0)


def many(recorded: Recorded, hours: float, days: float) -> list[dict[str, float]]:
    """Searches of four trials a worker, and trainings in step, at each number of workers."""
    found = []
    for workers in WORKERS:
        place = Place(workers=workers, cores=workers, between_failures=days * DAY)
        every = interval(recorded, place)
        steps = max(1, int(hours * 3_600 / statistics.fmean(recorded.steps)))
        row = Simulation(recorded, place, 4 * workers, steps, every).run()
        found.append({"workers": workers, "in_step": False, "every": every, **row})
        together, alone = in_step(recorded, place, workers)
        for factor in (0.25, 0.5, 1, 2, 4):
            every = factor * interval(together, alone)
            # A month of them, for failures enough.
            steps = int(30 * DAY / statistics.fmean(together.steps))
            row = Simulation(together, alone, 1, steps, every).run()
            # Of the time without stragglers and exchange, as one rank would need it.
            row["training"] *= statistics.fmean(recorded.steps) / statistics.fmean(together.steps)
            found.append({"workers": workers, "in_step": True, "every": every, **row})
    return found


def record(folder: str, storage: str, epochs: int) -> Recorded:
    """Trains three jobs in a fresh process, and asks a storage for trials."""
    words = [*launchers.WORDS, f"trainer.max_epochs={epochs}", "launcher=basic", "seed=0,1,2"]
    command = [sys.executable, "-c", f"{CHILD}; s.child()", *words]
    found = json.loads(common.call(command, folder).splitlines()[-1])
    paths = [*Path(folder).glob("logs/sweeps/**/best.ckpt")]
    return Recorded(
        **found,
        megabytes=statistics.fmean(path.stat().st_size for path in paths) / 1e6,
        trial=ask_and_tell(storage or f"sqlite:///{folder}/trials.db"),
    )


def ask_and_tell(storage: str, trials: int = 100) -> float:
    """Median seconds of an ask and a tell of the last half of so many trials of four parameters."""
    import optuna

    from seqfuse.search.storage import open_storage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened, seconds = open_storage(storage), []
    study = optuna.create_study(storage=opened, study_name=f"scale {time.time()}")
    for number in range(trials):
        start = time.perf_counter()
        trial = study.ask()
        for name in "abcd":
            trial.suggest_float(name, 0, 1)
        study.tell(trial, number / trials)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[trials // 2 :])


def child() -> None:
    """Sweeps, and prints as JSON the processor seconds of start, steps, and all beside steps."""
    from seqfuse.callbacks.throughput import Throughput
    from seqfuse.config import cli
    from seqfuse.train import train

    jobs: list[tuple[float, float]] = []
    steps: list[float] = []
    mark = 0.0

    def job(recipe: Any, run: Path) -> dict[str, float]:
        start = time.process_time()
        metrics = train(recipe, run)
        jobs.append((start, time.process_time()))
        return metrics

    def begin(*_: Any) -> None:
        nonlocal mark
        mark = time.process_time()

    def end(*_: Any) -> None:
        steps.append(time.process_time() - mark)
        begin()

    hooks = {"on_train_epoch_start": begin, "on_train_batch_end": end}
    with mock.patch.multiple(Throughput, **hooks):
        cli.run(job, "train", "", lambda: None)
    spent = [until - since for since, until in jobs]
    each = steps[-len(steps) // len(jobs) :]
    usual = statistics.median(spent[1:])
    # What the first job takes beyond the others, for what it imports, is of the start.
    start = jobs[0][0] + spent[0] - usual
    print(json.dumps({"start": start, "beside": usual - sum(each), "steps": each}))


def report(rows: Sequence[dict[str, float]]) -> str:
    """Shares of the workers' time, as a table in Markdown."""
    lines = [
        "| workers | | seconds between checkpoints | training | lost | saving | all else "
        "| database busy | store busy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rest = 1 - row["training"] - row["lost"] - row["saving"]
        cells = (row["training"], row["lost"], row["saving"], rest)
        busy = (row["database_busy"], row["store_busy"])
        kind = "in step" if row["in_step"] else "search"
        texts = [*(f"{cell:.2%}" for cell in cells), *(f"{cell:.3%}" for cell in busy)]
        lines.append(f"| {row['workers']} | {kind} | {row['every']:.0f} | {' | '.join(texts)} |")
    return "\n".join(lines)


def main() -> None:
    """Records, tests the simulation, and simulates what is not to be had here."""
    parser = common.parser("scale", __doc__)
    parser.add_argument("--hours", type=float, default=1.0, help="of training in a trial")
    parser.add_argument("--days", type=float, default=154.0, help="between failures of a worker")
    parser.add_argument("--epochs", type=int, default=40, help="of a job that is recorded")
    parser.add_argument("--storage", default="", help="of a search; without it, SQLite")
    parser.add_argument("--out", type=Path, default=Path("logs", "benchmarks", "scale.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recorded = record(folder, given.storage, given.epochs)
    print({**asdict(recorded), "steps": [len(recorded.steps), *_moments(recorded.steps)]})
    cores = len(os.sched_getaffinity(0))
    sweeps = []
    for processes in PROCESSES:
        words = [*launchers.WORDS, f"trainer.max_epochs={given.epochs}"]
        measured, _ = launchers.measure([*words, f"hydra.launcher.n_jobs={processes}"])
        predicted = sweep(recorded, processes, cores)
        sweeps.append({"processes": processes, "measured": measured, "predicted": predicted})
        print(f"{processes} processes: {measured:.1f} s measured, {predicted:.1f} s predicted")
    rows = many(recorded, given.hours, given.days)
    print(report(rows))
    common.write(given.out, recorded=asdict(recorded), sweeps=sweeps, rows=rows)


if __name__ == "__main__":
    main()

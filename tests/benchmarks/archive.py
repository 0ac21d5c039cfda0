"""The default on sets of the UCR and UEA archives.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.archive [set ...] --seeds 3`; words of
`seqfuse-train` for all sets come behind `--words`. Without names: every set of `ucr/` and `uea/`.
One process trains them one after the other by the command's own function, on one thread, and
writes a row for each set and seed as soon as it has it; rows that are there are not made again,
and sets that were quick before come first. With `--nets 5` in place of `--seeds` the seeds are
members of an ensemble (`ensemble=5`), each of which is, bit for bit, the net of its seed alone, so
that it gives the same rows, and a row for the ensemble in `ucr_nets.csv`; its bank is fitted, and
asked for each series, once. They are trained seed by seed, and what was trained is kept in
`--kept`: more nets are added to it.
Net and bank learn without each other, so one run says what each has alone, too. The loss is the
cross-entropy against smoothed labels, as in training.
Seconds are those of the processor, from composing to testing, without the start of Python: of
all, and those of the bank in them. Nothing is chosen on a test split, and no set has words of its
own.
"""

import contextlib
import functools
import hashlib
import io
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
from omegaconf import DictConfig
from torch import Tensor

from seqfuse import train as command
from seqfuse.config import ensemble
from seqfuse.nn.bank.bank import Bank
from seqfuse.train import train
from tests.benchmarks import common
from tests.composing import composed

QUIET = (
    *("trainer.accelerator=cpu", "trainer.num_threads=1", "trainer.enable_progress_bar=false"),
    *("logger=none", "callbacks=none"),
)
"""Words of a run that leaves nothing behind."""
KEEPING = (*common.PLAIN, "callbacks.history=null")
"""Words of a run whose best checkpoint, where rows are held out, is tested."""
METRICS = ("accuracy", "net_alone", "bank_alone", "balanced_accuracy", "log_loss")
COLUMNS = (*METRICS, "seconds", "bank_seconds")


class Stopwatch:
    """Processor seconds inside of the bank."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.process_time()
            result = function(*args)
            self.seconds += time.process_time() - start
            return result

        return timed


def folders(root: Path) -> dict[str, Path]:
    """The folder of the archive that each set lies in, by the set's name."""
    return {path.name: path.parent for path in sorted(root.glob("u[ce][ra]/*")) if path.is_dir()}


def measure(root: Path, words: Sequence[str], **run: common.Cell) -> common.Row:
    """Test metrics of a set and a seed, and what they cost."""
    watch, start = Stopwatch(), time.process_time()
    place = (f"data.root={root}", f"data.name={run['set']}", f"seed={run['seed']}")
    with tempfile.TemporaryDirectory() as folder, watched(watch):
        metrics = train(composed([*KEEPING, *place, *words]), Path(folder, "run"))
    return row(metrics, time.process_time() - start, watch.seconds)


class Enough(Exception):
    """The members that were asked for are trained."""


def join(
    root: Path,
    words: Sequence[str],
    alone: Path,
    kept: Path,
    known: dict[bytes, Tensor],
    last: float = math.inf,
    **run: common.Cell,
) -> common.Row:
    """Test metrics of an ensemble on a set, and what it costs with its members.

    Args:
        root: folder of the archive.
        words: of `seqfuse-train`.
        alone: file of the members' rows; who has one, and is kept, is not trained again.
        kept: folder of the ensembles of all sets.
        known: answers of the bank, by its input.
        last: seed behind which `Enough` are trained.
        run: the set and the number of nets.
    """
    watch, start, fit = Stopwatch(), time.process_time(), command.fit
    others = [0.0, 0.0]
    """Seconds of members, whose rows have them."""

    def once(recipe: DictConfig, *args: Any, **kwargs: Any) -> dict[str, float]:
        if recipe.seed > last:
            raise Enough
        member = {"set": run["set"], "seed": recipe.seed}
        if common.find(alone, member) and Path(recipe.paths.run, ensemble.BEST).is_file():
            return {}
        before = time.process_time(), watch.seconds
        metrics = fit(recipe, *args, **kwargs)
        spent = time.process_time() - before[0], watch.seconds - before[1]
        others[0], others[1] = others[0] + spent[0], others[1] + spent[1]
        common.complete(alone, [member], lambda **_: row(metrics, *spent))
        return metrics

    place = (f"data.root={root}", f"data.name={run['set']}", f"ensemble={run['nets']}")
    folder = kept / str(run["set"])
    with watched(watch, known), mock.patch.object(command, "fit", once):
        metrics = train(composed([*KEEPING, *place, *words]), folder)
    members = [{"set": run["set"], "seed": seed} for seed in range(int(run["nets"]))]
    each = [common.find(alone, member) for member in members]
    seconds, of_bank = (sum(float(e[c]) for e in each) for c in ("seconds", "bank_seconds"))
    seconds += time.process_time() - start - others[0]
    return row(metrics, seconds, of_bank + watch.seconds - others[1])


def together(
    nets: int,
    words: Sequence[str],
    places: Mapping[str, Path],
    files: Mapping[str, Path],
    kept: Path,
) -> None:
    """Trains the members of an ensemble on each set, all sets by one seed after the other, and
    joins them.

    Args:
        nets: members.
        words: of `seqfuse-train`.
        places: folders of the archives, by set.
        files: of the members' rows, by set, in the order of the sets.
        kept: folder of the ensembles.
    """
    parts = {
        name: functools.partial(join, places[name], words, path, kept, {})
        for name, path in files.items()
    }
    for seed, (name, path) in itertools.product(range(nets - 1), files.items()):
        if not common.find(path, {"set": name, "seed": seed}):
            with contextlib.suppress(Enough):
                parts[name](seed, set=name, nets=nets)
    for name, path in files.items():
        common.complete(nets_file(path), [{"set": name, "nets": nets}], parts[name])


def nets_file(path: Path) -> Path:
    """The file of the ensembles' rows beside that of their members."""
    return path.with_stem(f"{path.stem}_nets")


@contextlib.contextmanager
def watched(watch: Stopwatch, known: dict[bytes, Tensor] | None = None) -> Iterator[None]:
    """Says nothing, and times the bank, which keeps its answers in `known`, if there is one."""
    forward = Bank.forward

    def once(bank: Bank, x: Tensor, mask: Tensor) -> Tensor:
        key = hashlib.sha256(x.numpy().tobytes() + mask.numpy().tobytes()).digest()
        if key not in known:
            known[key] = forward(bank, x, mask)
        return known[key]

    with (
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch.object(Bank, "fit", watch.around(Bank.fit)),
        mock.patch.object(Bank, "forward", watch.around(forward if known is None else once)),
    ):
        yield


def row(metrics: dict[str, float], seconds: float, of_bank: float) -> common.Row:
    """Columns of a run."""
    values = (metrics.get(f"test/{metric}", math.nan) for metric in METRICS)
    cells = (*(round(v, 5) for v in values), round(seconds, 1), round(of_bank, 1))
    return dict(zip(COLUMNS, cells, strict=True))


def quickest(names: Sequence[str]) -> list[str]:
    """The sets in the order of their seconds on record, those without any last."""
    tables = [common.rows(path) for path in common.RESULTS.glob("u[ce][ra].csv")]
    seconds = {each["set"]: float(each["seconds"]) for table in tables for each in table}
    return sorted(names, key=lambda name: seconds.get(name, math.inf))


def summary(path: Path, by: str = "seed") -> str:
    """Mean accuracies over sets, their spread over seeds, and medians of the seconds.

    Args:
        path: of the rows.
        by: column that tells rows of a set apart: `seed`, or `nets` of an ensemble.
    """
    if not path.is_file():
        return f"{path.name}: nothing"
    table = pd.read_csv(path)
    groups = table.groupby(by)[list(METRICS)].mean()
    lines = [f"{path.name}: {table['set'].nunique()} sets, {by} {[*groups.index]}"]
    if by == "nets":
        return "\n".join([*lines, groups.round(4).to_string()])
    for metric in METRICS:
        spread = f" ± {groups[metric].std():.4f}" if len(groups) > 1 else ""
        lines.append(f"  {metric:<18} {groups[metric].mean():.4f}{spread}")
    # Of an ensemble, the bank has its seconds in the row of the first member alone.
    bank = table.groupby("set")["bank_seconds"].max()
    net = table["seconds"] - table["bank_seconds"]
    lines.append(f"  seconds            net {net.median():.1f}, bank {bank.median():.1f}")
    sets = table.groupby("set")[["accuracy", "net_alone", "bank_alone"]].mean()
    behind = sets[["net_alone", "bank_alone"]].max(axis=1) - sets["accuracy"]
    far = behind[behind > 0.03].sort_values(ascending=False)
    named = ", ".join(f"{name} ({gap:.3f})" for name, gap in far.items()) or "no set"
    return "\n".join([*lines, f"  more than 0.03 below the better of the two: {named}"])


def main() -> None:
    """Measures what is not there yet, archive by archive, seed by seed."""
    parser = common.parser("archive", __doc__)
    parser.add_argument("sets", nargs="*", help="names; without any, all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--seeds", type=int, default=3)
    how.add_argument("--nets", type=int, help="seeds that are the members of an ensemble")
    parser.add_argument(
        "--kept", type=Path, default=Path("logs", "archive"), help="folder of ensembles"
    )
    parser.add_argument(
        "--out", type=Path, default=common.RESULTS, help="folder of ucr.csv and uea.csv"
    )
    parser.add_argument("--words", nargs="*", default=[], help="of seqfuse-train, for all sets")
    given = parser.parse_args()
    if given.words and given.out == common.RESULTS:
        parser.error("--words is another model: name another folder by --out")
    if given.nets is not None and given.nets < 2:
        parser.error(f"--nets {given.nets}: an ensemble has at least 2")
    places = folders(Path(composed([]).paths.data))
    if unknown := sorted({*given.sets} - {*places}):
        parser.error(f"{', '.join(unknown)}: no such set in {composed([]).paths.data}")
    names = quickest([*(given.sets or places)])
    files = {name: given.out / f"{places[name].name}.csv" for name in names}
    if given.nets is None:
        for seed, name in itertools.product(range(given.seeds), names):
            part = functools.partial(measure, places[name], given.words)
            common.complete(files[name], [{"set": name, "seed": seed}], part)
    else:
        together(given.nets, given.words, places, files, given.kept)
    for path in sorted({*files.values()}):
        print(summary(path))
        if given.nets is not None:
            print(summary(nets_file(path), "nets"))


if __name__ == "__main__":
    main()

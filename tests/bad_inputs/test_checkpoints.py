"""Wrong checkpoints, given to each command that reads one."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqfuse import evaluate, export, predict, train
from tests.bad_inputs.catalogue import Row, rows
from tests.bad_inputs.conftest import BRIEF, Judge

MAINS = {one.__name__.rpartition(".")[2]: one.main for one in (evaluate, export, predict, train)}
GOOD = "good.ckpt"
DATA = "DataModule"
SCALE = (DATA, "pipeline", "standardisation")
Change = Callable[[dict[str, Any]], object]


def bad(change: Change) -> dict:
    """A checkpoint that was changed before it was saved; what a change returns replaces it."""

    def write(path: Path) -> None:
        content = torch.load(path.with_name(GOOD), weights_only=True)
        changed = change(content)
        torch.save(content if changed is None else changed, path)

    return {"bad.ckpt": write}


def raw(change: Callable[[bytes], bytes]) -> dict:
    return {"bad.ckpt": lambda path: path.write_bytes(change(path.with_name(GOOD).read_bytes()))}


def without(*keys: str) -> dict:
    """A checkpoint that lacks a key."""

    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return bad(change)


def given(value: Any, *keys: str) -> dict:
    """A checkpoint with another value under a key."""

    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return bad(change)


def without_weight(part: str) -> dict:
    """A checkpoint without a weight of a part."""

    def change(content: dict[str, Any]) -> None:
        weights = content["state_dict"]
        del weights[next(name for name in weights if part in name)]

    return bad(change)


def cycle(key: str) -> dict:
    def change(content: dict[str, Any]) -> None:
        content[key]["self"] = content[key]

    return bad(change)


def nested(depth: int) -> Any:
    node: Any = 1
    for _ in range(depth):
        node = {"a": node}
    return node


class Evil:
    def __reduce__(self) -> tuple:
        return eval, ("1",)


E = "evaluate ckpt=bad.ckpt"
NAME = "bad.ckpt"


@rows(
    Row("evaluate", "ckpt is empty"),
    Row("evaluate ckpt=", "ckpt is empty"),
    Row("evaluate ckpt=5", ["ckpt=5", "no such file"]),
    Row("evaluate ckpt=[good.ckpt]", "ckpt"),
    Row("evaluate ckpt=nothing.ckpt", ["ckpt=nothing.ckpt", "no such file"]),
    Row("evaluate ckpt=run", ["ckpt=run", "folder"], {"run/checkpoints/a": "b"}),
    Row(E, NAME, {NAME: b""}),
    Row(E, NAME, {NAME: "a: text"}),
    Row(E, NAME, {NAME: b"\x00" * 1000}),
    Row(E, NAME, raw(lambda b: b[: len(b) // 2])),
    Row(E, NAME, raw(lambda b: b[:-30])),
    Row(E, NAME, raw(lambda b: b[1000:])),
    Row(E, NAME, {NAME: pickle.dumps({"config": {}})}),
    Row(E, NAME, {NAME: pickle.dumps(Evil())}),
    Row(E, NAME, {NAME: {"x": np.zeros(3)}}),
    Row(E, [NAME, "more than plain data"], bad(lambda c: c | {"extra": Evil()})),
    Row(E, NAME, bad(lambda c: [1, 2])),
    Row(E, NAME, bad(lambda c: torch.zeros(3))),
    Row(E, NAME, bad(lambda c: {})),
    Row(E, NAME, bad(lambda c: c["state_dict"])),
    Row(E, [NAME, "config"], without("config")),
    Row(E, [NAME, "recipe"], without("recipe")),
    Row(E, [NAME, "state_dict"], without("state_dict")),
    Row(E, [NAME, DATA], without(DATA)),
    Row(E, [NAME, "trainer"], without("config", "trainer")),
    Row(E, [NAME, "callbacks"], without("config", "callbacks")),
    Row(E, [NAME, "data"], without("config", "data")),
    Row(E, [NAME, "model"], without("config", "model")),
    Row(E, [NAME, "task"], without("config", "task")),
    Row(E, [NAME, "optimizer"], without("config", "optimizer")),
    Row(E, [NAME, "scheduler"], without("config", "scheduler")),
    Row(E, NAME, without("config", "model", "head")),
    Row(E, [NAME, "in_channels"], without("config", "model", "in_channels")),
    Row(E, [NAME, "precision"], without("config", "trainer", "precision")),
    Row(E, [NAME, "data"], without("recipe", "data")),
    Row(E, [NAME, "seed"], without("recipe", "seed")),
    Row(E, [NAME, "paths"], without("recipe", "paths")),
    Row(E, [NAME, "module"], without("recipe", "data", "module")),
    Row(E, [NAME, "pipeline"], without(DATA, "pipeline")),
    Row(E, [NAME, "mean"], without(*SCALE, "mean")),
    Row(E, [NAME, "classes"], without(DATA, "pipeline", "labels", "classes")),
    Row(E, [NAME, "config"], given(None, "config")),
    Row(E, [NAME, "config"], given("text", "config")),
    Row(E, [NAME, "config"], given([1], "config")),
    Row(E, [NAME, "recipe"], given(None, "recipe")),
    Row(E, [NAME, "recipe"], given("text", "recipe")),
    Row(E, [NAME, "state_dict"], given(None, "state_dict")),
    Row(E, [NAME, "state_dict"], given("text", "state_dict")),
    Row(E, [NAME, "net.a"], given({"net.a": "text"}, "state_dict")),
    Row(E, NAME, given({}, "state_dict")),
    Row(E, [NAME, DATA], given(None, DATA)),
    Row(E, [NAME, "pipeline"], given(None, DATA, "pipeline")),
    Row(E, [NAME, "pipeline"], given("text", DATA, "pipeline")),
    Row(E, "2 channels", given([1.0], *SCALE, "mean")),
    Row(E, NAME, given("text", *SCALE, "mean")),
    Row(E, [NAME, "classes"], given(5, DATA, "pipeline", "labels", "classes")),
    Row(E, "'down'", given(["up"], DATA, "pipeline", "labels", "classes")),
    Row(E, [NAME, "trainer"], given(None, "config", "trainer")),
    Row(E, [NAME, "model"], given(None, "config", "model")),
    Row(E, [NAME, "model"], given("text", "config", "model")),
    Row(E, [NAME, "task"], given([], "config", "task")),
    Row(E, [NAME, "model.lstm"], given("text", "config", "model", "lstm")),
    Row(E, [NAME, "model.lstm"], given({"_target_": 5}, "config", "model", "lstm")),
    Row(E, NAME, given({"_target_": "os.system"}, "config", "model", "lstm")),
    Row(E, [NAME, "lstm"], given(16, "config", "model", "lstm", "hidden_size")),
    Row(E, [NAME, "hidden"], given(-16, "config", "model", "lstm", "hidden_size")),
    Row(E, NAME, given("many", "config", "model", "lstm", "hidden_size")),
    Row(E, [NAME, "nothing"], given(5, "config", "model", "lstm", "nothing")),
    Row(E, [NAME, "data"], given(None, "recipe", "data")),
    Row(E, [NAME, "data"], given(None, "recipe", "data", "module")),
    Row(E, ["data.root", "nothing"], given("${nothing}", "recipe", "data", "root")),
    Row(E, "seed=x", given("x", "recipe", "seed")),
    Row(E, NAME, given(nested(400), "config", "data")),
    Row(E, NAME, given(nested(400), "recipe", "data")),
    Row(E, NAME, cycle("config")),
    Row(E, NAME, cycle("recipe")),
    Row(
        "predict ckpt=bad.ckpt output=a.csv split=test",
        [NAME, "trainer"],
        without("config", "trainer"),
    ),
    Row("predict ckpt=bad.ckpt output=a.csv split=test", NAME, cycle("config")),
    Row(
        "predict ckpt=bad.ckpt output=a.csv split=test",
        [NAME, "mean"],
        without(*SCALE, "mean"),
    ),
    Row("predict ckpt=bad.ckpt output=a.csv split=test", NAME, {NAME: b"nothing"}),
    Row("export ckpt=bad.ckpt output=out", [NAME, "trainer"], without("config", "trainer")),
    Row("export ckpt=bad.ckpt output=out", NAME, cycle("config")),
    Row("export ckpt=bad.ckpt output=out", [NAME, "config"], given(None, "config")),
    Row("export ckpt=bad.ckpt output=out", [NAME, "mean"], without(*SCALE, "mean")),
    Row("export ckpt=bad.ckpt output=out", "2 channels", given([1.0], *SCALE, "mean")),
    Row(E, [NAME, "callbacks"], given(None, "config", "callbacks")),
    Row(E, [NAME, "mean"], given(5, *SCALE, "mean")),
    Row(E, [NAME, "mean"], given([1.0, None], *SCALE, "mean")),
    Row(E, [NAME, "scale of a"], given({"a": [1.0]}, DATA, "pipeline", "scales")),
    Row(E, NAME, bad(lambda c: c["state_dict"].update({5: torch.zeros(3)}))),
)
def test_checkpoints(judge: Judge, made: Callable[[str], Path], row: Row) -> None:
    shutil.copy(made("series") / "checkpoints" / "best.ckpt", GOOD)
    name, _, words = row.words.partition(" ")
    given = ("trainer=cpu", f"paths.data={made('series').parent}")
    assert judge(row._replace(words=words), MAINS[name], *given) == ""


INIT = "init_from=bad.ckpt"
TEACH = "task=distill teacher=bad.ckpt"


@pytest.mark.long
@rows(
    Row("init_from=nothing.ckpt", ["init_from=nothing.ckpt", "no such file"]),
    Row("init_from=5", "init_from=5"),
    Row("init_from=true", "init_from"),
    Row("init_from=[a]", "init_from"),
    Row("freeze=true", ["freeze=true", "init_from"]),
    Row(INIT, NAME, {NAME: b"nothing"}),
    Row(INIT, [NAME, "config"], without("config")),
    Row(INIT, [NAME, DATA], without(DATA)),
    Row(INIT, [NAME, DATA], given("text", DATA)),
    Row(INIT, [NAME, "pipeline"], without(DATA, "pipeline")),
    Row(INIT, [NAME, "pipeline"], given(None, DATA, "pipeline")),
    Row(INIT, [NAME, "pipeline"], given("text", DATA, "pipeline")),
    Row(INIT, [NAME, "pipeline"], given(5, DATA, "pipeline")),
    Row(INIT, [NAME, "state_dict"], given(None, "state_dict")),
    Row(INIT, [NAME, "state_dict"], given([], "state_dict")),
    Row(INIT, NAME, given({}, "state_dict")),
    Row(INIT, NAME, bad(lambda c: c | {"state_dict": dict.fromkeys(c["state_dict"], "text")})),
    Row(
        INIT, NAME, bad(lambda c: c | {"state_dict": {k: torch.zeros(3) for k in c["state_dict"]}})
    ),
    Row(f"{INIT} freeze=true", [NAME, "freeze"], without_weight("lstm")),
    Row(f"{INIT} freeze=true model.lstm.hidden_size=16", [NAME, "freeze"], bad(lambda c: None)),
    Row("teacher=good.ckpt", ["teacher=good.ckpt", "task=distill"]),
    Row("task=distill", ["task=distill", "teacher"]),
    Row("task=distill teacher=nothing.ckpt", ["teacher=nothing.ckpt", "no such file"]),
    Row("task=distill teacher=[]", ["task=distill", "teacher"]),
    Row("task=distill teacher=[5]", "teacher=5"),
    Row("task=distill teacher={a:b}", "teacher"),
    Row(TEACH, NAME, {NAME: b"nothing"}),
    Row(TEACH, [NAME, "config"], given(None, "config")),
    Row(TEACH, [NAME, "model"], without("config", "model")),
    Row(TEACH, [NAME, "task"], without("config", "task")),
    Row(TEACH, [NAME, "data"], without("config", "data")),
    Row(TEACH, [NAME, DATA], without(DATA)),
    Row(TEACH, [NAME, "pipeline"], given("text", DATA, "pipeline")),
    Row(TEACH, NAME, cycle("config")),
    Row(TEACH, [NAME, "classes"], given(["a", "b"], DATA, "pipeline", "labels", "classes")),
    Row(TEACH, [NAME, "standardisation"], given([1.0, 2.0], *SCALE, "mean")),
    Row(f"{TEACH} task.teaching=2", "teaching"),
    Row(f"{TEACH} task.match.temperature=0", "temperature", bad(lambda c: None)),
    Row("task=distill_tags teacher=good.ckpt", ["label per step", "another task"]),
)
def test_first_weights_and_teachers(judge: Judge, made: Callable[[str], Path], row: Row) -> None:
    run = made("series")
    shutil.copy(run / "checkpoints" / "best.ckpt", GOOD)
    words = ("data=arrays", "data.train=series.npz", f"paths.data={run.parent}", "model=base")
    assert judge(row, train.main, *words, *BRIEF) == ""

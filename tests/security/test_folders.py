"""Run folders and folders of YAMLs: what Hydra would act on, build or write is checked first."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqfuse.train import main, train
from tests.conftest import TINY, composed
from tests.security.conftest import Server
from tests.trained import altered

Command = Callable[..., tuple[int, str, str]]
HERE = {"_target_": "pathlib.Path", "_args_": ["ran"]}
TOUCH = {"_target_": "pathlib.Path.touch", "_args_": [HERE]}
CWD = {"_target_": "pathlib.Path.cwd"}
OURS = {"hydra": "default"}
SPIKES = "lightning.pytorch.callbacks.SpikeDetection"
QUICK = ["trainer.max_epochs=1", "test=false"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, of a run that was not finished."""
    folder = tmp_path_factory.mktemp("run") / "run"
    train(composed([*TINY, *QUICK]), folder)
    return folder


def copied(run: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A run folder whose config.yaml is another."""
    shutil.copytree(run, folder)
    content = yaml.safe_load((folder / "config.yaml").read_text())
    change(content)
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def at(keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Sets a dotted key."""

    def change(content: dict[str, Any]) -> None:
        *before, last = keys.split(".")
        for key in before:
            content = content.setdefault(key, {})
        content[last] = value

    return change


def ways(folder: Path) -> dict[str, list[str]]:
    """The two ways to open a run folder."""
    more = "trainer.max_epochs=2"
    again = ["--config-dir", str(folder), "--config-name", "config", more]
    return {"again": again, "resume": [f"resume={folder}", more]}


@pytest.mark.long
def test_one_s_own_run_goes_on(run: Path, tmp_path: Path, command: Command) -> None:
    for name, words in ways(shutil.copytree(run, tmp_path / "own")).items():
        code, _, err = command(main, *words)
        assert code == 0, (name, err)


@pytest.mark.long
@pytest.mark.parametrize("way", ["again", "resume"])
@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        # what Hydra acts on before anything of ours
        ("hydra.callbacks.evil", TOUCH, "hydra.callbacks"),
        ("hydra.job.env_set", {"LD_PRELOAD": "evil.so"}, "hydra.job"),
        ("hydra.job_logging", {"version": 1, "filters": {"a": {"()": "os.abort"}}}, "job_logging"),
        ("hydra.hydra_logging", {"version": 1}, "hydra_logging"),
        ("hydra.searchpath", ["pkg://evil"], "hydra.searchpath"),
        ("hydra.run.dir", "../elsewhere", "hydra.run.dir"),
        ("hydra.output_subdir", "../elsewhere", "hydra.output_subdir"),
        ("hydra.launcher._target_", "os.system", "hydra.launcher._target_"),
        ("hydra.launcher.setup", ["touch ran"], "hydra.launcher.setup"),
        ("hydra.sweeper.storage", "redis://127.0.0.1:1", "hydra.sweeper.storage"),
        ("hydra.sweeper.study", "../x", "hydra.sweeper.study"),
        ("hydra.sweeper.params", {"hydra.job.env_set.A": "a,b"}, "hydra.sweeper.params"),
        ("hydra.sweeper.params", {"trust": "[os],[sys]"}, "hydra.sweeper.params"),
        ("hydra.sweeper.params", {"trial.storage": "a,b"}, "hydra.sweeper.params"),
        ("hydra.sweeper.params", {"+experiment@hydra.sweep": "a"}, "hydra.sweeper.params"),
        ("hydra.sweeper.params", {"logger": "../../payload,csv"}, "hydra.sweeper.params"),
        ("logger.tensorboard.version", "$EMPTY/../../elsewhere", "logger.tensorboard.version"),
        ("logger.tensorboard.label", "../../elsewhere", "logger.tensorboard.label"),
        ("logger.mlflow", {"tracking_uri": "http://127.0.0.1:1"}, "logger.mlflow.tracking_uri"),
        ("logger.wandb", {"entity": "theirs"}, "logger.wandb.entity"),
        ("logger.trackio", {"space_id": "theirs/space"}, "logger.trackio.space_id"),
        ("trainer.model_registry", "theirs", "trainer.model_registry"),
        ("defaults", [OURS, "../payload", "_self_"], "defaults"),
        ("defaults", [OURS, {"experiment": ["a", "../../b"]}, "_self_"], "defaults"),
        ("defaults", [OURS, {"experiment": "${name}"}, "_self_"], "defaults"),
        ("defaults", [OURS, {"override hydra/sweeper/pruner": "../../evil"}, "_self_"], "defaults"),
        ("defaults", [OURS, {"override hydra/launcher": "theirs"}, "_self_"], "defaults"),
        ("defaults", [OURS, {"data@hydra.callbacks": "x"}, "_self_"], "defaults"),
        (
            "defaults",
            [{"hydra": "default"}, {"override hydra/job_logging": "x"}, "_self_"],
            "defaults",
        ),
        # what is built
        ("optimizer", {"_target_": "pandas.read_pickle", "_partial_": True}, "pandas.read_pickle"),
        ("optimizer._target_", "torch.load", "torch.load"),
        ("callbacks.provenance", CWD, "pathlib.Path.cwd"),
        ("callbacks.provenance._target_", "joblib.load", "joblib.load"),
        ("logger.csv._target_", "lightning.pytorch.loggers.WandbLogger", "WandbLogger"),
        ("trainer.profiler", CWD, "pathlib.Path"),
        ("trainer._target_", "subprocess.run", "subprocess.run"),
        ("model.stem", CWD, "pathlib.Path"),
        ("data.module.splits.dataset._target_", "numpy.load", "numpy.load"),
        ("data.module.splits.dataset._target_", "${data.name}", "${data.name}"),
        ("task.loss", {"_target_": "seqfuse.runtime.files.write"}, "seqfuse.runtime.files.write"),
        ("callbacks.checkpoint._args_", ["/tmp/elsewhere", "best"], "_args_"),
        ("callbacks.evil", {"_target_": SPIKES, "exclude_batches_path": "a"}, SPIKES),
        # interpolations that run a function
        ("data.name", "${oc.create:{_target_: os.abort}}", "oc.create"),
        ("data.name", "${${name}:x}", "data.name"),
        # what is written
        ("callbacks.checkpoint.dirpath", "../../elsewhere", "callbacks.checkpoint.dirpath"),
        ("callbacks.checkpoint.filename", "../../elsewhere", "callbacks.checkpoint.filename"),
        ("callbacks.checkpoint.filename", "{epoch].__class__}", "callbacks.checkpoint.filename"),
        ("callbacks.checkpoint.filename", "{step:c}tmp", "callbacks.checkpoint.filename"),
        (
            "callbacks.last_checkpoint.dirpath",
            "/tmp/elsewhere",
            "callbacks.last_checkpoint.dirpath",
        ),
        ("logger.csv.save_dir", "elsewhere", "logger.csv.save_dir"),
        ("logger.tensorboard.version", "../../elsewhere", "logger.tensorboard.version"),
        ("callbacks.pruning.storage", "redis://127.0.0.1:1/0", "callbacks.pruning.storage"),
    ],
)
def test_a_stranger_s_run(
    run: Path, tmp_path: Path, command: Command, way: str, keys: str, value: Any, named: str
) -> None:
    folder = copied(run, tmp_path / "theirs", at(keys, value))
    before = set(tmp_path.rglob("*"))
    code, out, err = command(main, *ways(folder)[way])
    assert (code, err.count("\n")) == (1, 1), err
    assert named in err
    assert "config.yaml" in err or str(folder) in err
    assert set(tmp_path.rglob("*")) <= {*before, tmp_path / "logs"}
    assert "train" not in out


@pytest.mark.parametrize("key", ["paths.logs", "name", "data.name"])
def test_where_a_stranger_s_run_is_kept(
    run: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    value = "../elsewhere" if key == "paths.logs" else "../../elsewhere"
    folder = copied(run, tmp_path / "theirs", at(key, value))
    (tmp_path / "here").mkdir()
    words = ways(folder)["again"]
    code, _, err = command(_within(main, tmp_path / "here", monkeypatch), *words)
    assert (code, err.count("\n")) == (1, 1), err
    assert "elsewhere" in err
    assert "type paths.logs=" in err
    assert not list(tmp_path.glob("**/elsewhere*"))
    assert not list((tmp_path / "here").iterdir())


def _within(call: Callable[[], None], folder: Path, monkeypatch: Any) -> Callable[[], None]:
    def inside() -> None:
        monkeypatch.chdir(folder)
        call()

    return inside


LINKS = ("metrics.csv", "checkpoints", "tensorboard", "figures", "config.yaml")


@pytest.mark.parametrize("name", LINKS)
def test_a_run_writes_through_no_link(
    run: Path, tmp_path: Path, command: Command, name: str
) -> None:
    folder, outside = shutil.copytree(run, tmp_path / "theirs"), tmp_path / "outside"
    if (folder / name).exists():
        (folder / name).rename(outside)
    else:
        outside.mkdir()
    (folder / name).symlink_to(outside)
    before = {path: path.stat().st_mtime_ns for path in [outside, *outside.rglob("*")]}
    code, _, err = command(main, *ways(folder)["resume"])
    assert (code, err.count("\n")) == (1, 1), err
    assert f"{folder}/{name} is a link" in err
    assert before == {path: path.stat().st_mtime_ns for path in [outside, *outside.rglob("*")]}


@pytest.mark.long
def test_trust_is_typed_and_not_read(run: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "theirlab.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
        "from torch.optim import Adam\nclass Mine(Adam):\n    pass\n"
    )

    def change(content: dict[str, Any]) -> None:
        content["trust"] = ["theirlab"]
        content["optimizer"]["_target_"] = "theirlab.Mine"

    folder = copied(run, tmp_path / "theirs", change)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        for words in ways(folder).values():
            code, _, err = command(main, *words)
            assert (code, err.count("\n")) == (1, 1), err
            assert "add trust=[theirlab]" in err
            assert not (tmp_path / "ran").exists()
        code, _, err = command(main, *ways(folder)["again"], "trust=[theirlab]")
    assert code == 0, err
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("experiment/evil.yaml", "# @package hydra\ncallbacks: {evil: {_target_: os.abort}}\n"),
        (
            "experiment/evil.yaml",
            "# @package _global_\nhydra: {callbacks: {evil: {}}}\n",
        ),
        ("experiment/evil.yaml", "# @package hydra.callbacks\nevil: {_target_: os.abort}\n"),
        ("hydra/launcher/evil.yaml", "_target_: os.abort\n"),
        ("experiment/evil.yaml", '# @package _global_\n"\\x68ydra": {callbacks: {a: {}}}\n'),
        ("experiment/evil.yaml", '# @package _global_\nname: "\\x24{oc.create:{a: 1}}"\n'),
        ("experiment/evil.yaml", "# @package _global_\ndefaults: [../../payload]\n"),
        ("experiment/evil.yaml", "# @package _global_\nhydra: null\n"),
        ("Hydra/launcher/evil.yaml", "_target_: os.abort\n"),
        ("hydra.callbacks/evil.yaml", "_target_: os.abort\n"),
        ("experiment/hydra.yaml", "# @package _name_\ncallbacks: {evil: {_target_: os.abort}}\n"),
        ("experiment/evil.yaml", "# @package _global_\noptimizer: {_target_: os.abort}\n"),
        ("experiment/evil.yaml", "# @package _global_\nname: \x00\n"),
        ("experiment/evil.yaml", "# @package _global_\nhydra: [1, 2\n"),
    ],
)
def test_a_stranger_s_folder_of_yamls(
    tmp_path: Path, command: Command, name: str, text: str
) -> None:
    path = tmp_path / "theirs" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    words = ["--config-dir", "theirs", f"experiment={path.stem}", *TINY]
    code, _, err = command(main, *(words if "launcher" not in name else [*words[:2], *TINY]))
    assert (code, err.count("\n")) == (1, 1), err
    assert str(path) in err or "theirs" in err
    assert not list(tmp_path.glob("logs/*/*"))


def test_a_link_hides_no_group(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "theirs"
    (folder / "a" / "launcher").mkdir(parents=True)
    (folder / "a" / "launcher" / "evil.yaml").write_text("_target_: os.abort\n")
    (folder / "hydra").symlink_to("a")
    code, _, err = command(main, "--config-dir", "theirs", *TINY)
    assert (code, err.count("\n")) == (1, 1), err
    assert "is a link" in err


@pytest.mark.parametrize(
    "words",
    [
        ["hydra.searchpath=[theirs]"],
        ["hydra.searchpath=[file://theirs]"],
        ["+hydra.searchpath=['theirs']"],
        ["--config-d", "theirs"],
        ["--config-dir=theirs"],
        ["-cd", "theirs"],
        ["--config-dir", "a=1/theirs"],
        ["--config-dir=a=1/theirs"],
    ],
)
def test_no_folder_is_overlooked(tmp_path: Path, command: Command, words: list[str]) -> None:
    place = tmp_path / "a=1" / "theirs" if "a=1" in words[-1] else tmp_path / "theirs"
    path = place / "experiment" / "evil.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "# @package _global_\n" + yaml.safe_dump({"hydra": {"callbacks": {"evil": TOUCH}}})
    )
    code, _, err = command(main, *words, "experiment=evil", *TINY)
    assert (code, err.count("\n")) == (1, 1), err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("word", ["experiment=../../a", "--config-name=../a", "logger=../../a"])
def test_options_are_words(command: Command, word: str) -> None:
    code, _, err = command(main, word, *TINY)
    assert (code, err.count("\n")) == (1, 1), err


@pytest.mark.long
def test_what_an_own_folder_may_hold(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "own" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    (tmp_path / "own" / "mkdocs.yml").write_text("a: !!python/name:os.abort\n")
    path.write_text(
        "# @package _global_\nname: mine\n"
        "callbacks: {checkpoint: {filename: 'epoch={epoch:02d} loss={val/loss:.3f}'}}\n"
        "init_from: ${oc.env:NONE,${oc.env:NO,null}}\n# 2024-02-30\n"
    )
    code, _, err = command(main, "--config-dir", "own", "experiment=mine", *TINY, *QUICK)
    assert code == 0, err


@pytest.mark.long
@pytest.mark.parametrize("key", ["callbacks.checkpoint.dirpath", "data.url"])
def test_what_a_sweep_of_a_folder_sets_was_not_typed(
    tmp_path: Path, command: Command, server: Server, key: str
) -> None:
    value = {"data.url": f"'{server.address}/a'"}.get(key, f"'{tmp_path}/elsewhere'")
    path = tmp_path / "theirs" / "experiment" / "evil.yaml"
    path.parent.mkdir(parents=True)
    sweep = {"mode": "MULTIRUN", "sweeper": {"params": {key: value, "seed": "0,1"}}}
    data = [{"override /data": "csv"}] if key == "data.url" else []
    path.write_text("# @package _global_\n" + yaml.safe_dump({"defaults": data, "hydra": sweep}))
    words = ["data.file=a.csv", "trainer=cpu"] if data else [*TINY, *QUICK]
    code, _, err = command(main, "--config-dir", "theirs", "experiment=evil", *words)
    assert code == 1, err
    assert "Traceback" not in err
    assert server.asked == []
    assert not list(tmp_path.glob("**/elsewhere"))


@pytest.mark.long
def test_an_address_by_reference_takes_no_secret_along(
    tmp_path: Path, command: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    path = tmp_path / "theirs" / "experiment" / "evil.yaml"
    path.parent.mkdir(parents=True)
    data = {"url": "${data.note}", "note": f"{server.address}/a?${{oc.env:TOKEN}}", "file": "a.csv"}
    head = "# @package _global_\ndefaults: [{override /data: csv}]\n"
    path.write_text(head + yaml.safe_dump({"data": data}))
    code, _, err = command(main, "--config-dir", "theirs", "experiment=evil", "trainer=cpu")
    assert (code, err.count("\n")) == (1, 1), err
    assert server.asked == []


@pytest.mark.long
def test_the_state_of_a_checkpoint_deletes_nothing(
    run: Path, tmp_path: Path, command: Command
) -> None:
    """Lightning removes the worst that it keeps, whatever lies there, by a path in its state."""
    folder, precious = shutil.copytree(run, tmp_path / "theirs"), tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").touch()
    other = f"{folder}/checkpoints/../../precious"

    def change(content: dict[str, Any]) -> None:
        [state] = [one for key, one in content["callbacks"].items() if "ModelCheckpoint" in key]
        state.pop("dirpath")
        state.update(best_k_models={other: torch.tensor(9.0)}, kth_best_model_path=other)
        state.update(best_model_path=other, kth_value=torch.tensor(9.0))

    for path in folder.glob("checkpoints/*.ckpt"):
        altered(path, path, change)
    command(main, *ways(folder)["resume"])
    assert (precious / "thesis").exists()


@pytest.mark.long
def test_what_a_folder_may_say_of_hydra(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "own" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "# @package _global_\ndefaults:\n  - override /hydra/sweeper: grid\n"
        "name: mine\nhydra:\n  mode: MULTIRUN\n  sweeper: {params: {seed: '0,1'}}\n"
    )
    code, out, err = command(main, "--config-dir", "own", "experiment=mine", *TINY, *QUICK)
    assert code == 0, err
    assert "summary" in out


@pytest.mark.long
def test_an_address_of_a_stranger_is_not_fetched(
    tmp_path: Path, command: Command, server: Server
) -> None:
    source = {
        "_target_": "seqfuse.data.read.files.TableFile",
        "file": "usercustomize.py",
        "root": str(tmp_path / "site"),
        "url": f"{server.address}/a",
        "sha256": "0" * 64,
    }

    path = tmp_path / "theirs" / "experiment" / "evil.yaml"
    path.parent.mkdir(parents=True)
    node = {"data": {"module": {"splits": {"source": source}}}}
    path.write_text(
        "# @package _global_\ndefaults: [{override /data: csv}]\n" + yaml.safe_dump(node)
    )
    words = ["--config-dir", "theirs", "experiment=evil", "trainer=cpu", "data.file=a.csv"]
    code, out, err = command(main, *words)
    assert (code, err.count("\n")) == (1, 1), err
    assert "is not fetched" in out
    assert server.asked == []
    assert not (tmp_path / "site").exists()

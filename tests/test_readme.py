"""What README and pages say can be typed, and the numbers that they name have a command beside."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse import evaluate, train
from seqfuse.config import build
from tests.conftest import composed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-CN.md").read_text()
PAGES = {path.stem: path.read_text() for path in sorted((ROOT / ".github/docs").glob("*.md"))}
ALL = "\n".join([README, *PAGES.values()])
FAST = ["debug=fast", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]


def commands(program: str) -> list[list[str]]:
    """The words behind every `program ...` of code blocks and tables."""
    blocks = re.findall(r"```bash\n(.*?)```", ALL, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [" ".join(line.split()) for line in re.findall(rf"`({program} [^`]+)`", ALL)]
    words = [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]
    return list({" ".join(line): line[1:] for line in words}.values())


def is_composed(words: list[str]) -> bool:
    return not any(word.startswith(("--", "-sc", "resume=")) for word in words)


FORECASTS = ("etth1_96", "imputation", "stocks_5", "beijing_pm25_24", "beijing_day", "illness_24")
TEXTS = ("banking77", "snips_intent", "snips_slots", "ewt", "wnut17")
SENSORS = (
    "har_steps",
    "har_fusion",
    "har_labels",
    "har_fractions",
    "hand_gesture",
    "fight",
    "fight_anomaly",
)
ANOMALIES = ("nab", "skab", "smap_msl")
NEEDS_DATA = {f"experiment={name}" for name in (*FORECASTS, *ANOMALIES, *TEXTS, *SENSORS)}
NEEDS_DATA |= {"data=ett"}
ELSEWHERE = ("launcher=ray", "hydra.sweeper.storage=postgresql://", "data.file=s3://")


def own_files(folder: Path, words: Sequence[str] = ()) -> None:
    """The user's own files that the README names, and those that a command's words want."""
    generator = np.random.default_rng(0)
    np.savez(folder / "mine.npz", x=generator.normal(size=(60, 3, 40)), y=np.arange(60) % 2)
    np.save(folder / "large.npy", generator.normal(size=(3000, 2)))
    date = pd.date_range("2024-01-01", periods=3000, freq="h")
    frame = pd.DataFrame({"date": date, "price": generator.normal(size=3000)})
    frame.to_csv(folder / "mine.csv", index=False)
    (folder / "texts.csv").write_text("text,label\n" + "fly to rome,a\nis it warm,b\n" * 40)
    (folder / "tags.tsv").write_text("fly\tVERB\nto\tADP\n\nrome\tPROPN\n\n" * 40)
    frame.assign(anomaly=(np.arange(3000) // 50 == 40) * 1).to_csv(
        folder / "labelled.csv", index=False
    )
    if "data.file=tables" in words:
        (folder / "tables").mkdir()
        for month, part in frame.groupby(frame["date"].dt.month):
            part.to_parquet(folder / "tables" / f"month-{month}.parquet")
    if "data.train=recordings" in words:
        for i in range(40):
            path = folder / "recordings" / "ab"[i % 2] / f"{i}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame[["price"]][30 * i : 30 * i + 30].to_csv(path, index=False)
    if "data.train=mine.csv" in words:
        series = np.arange(3000) // 30
        state = np.where(np.arange(3000) // 10 % 2, "walk", "sit")
        named = {"recording": series, "class": np.where(series % 2, "a", "b"), "state": state}
        named |= {"height": series / 10, "weight": -series}
        columns = {name: named[name] for name in named if name in " ".join(words)}
        if "recording" not in columns:
            columns["id"] = series
        frame[["price"]].assign(**columns).to_csv(folder / "mine.csv", index=False)
    if "data.train=texts.csv" in words:
        texts = pd.read_csv(folder / "texts.csv")
        rude = np.arange(len(texts)) % 2
        texts.assign(rude=rude, threat=1 - rude, price=rude * 9.5).to_csv(
            folder / "texts.csv", index=False
        )


def metric_of(words: list[str]) -> str:
    """What the job's command ends by printing."""
    found = {"data=csv": "test/mase", "data=mapped": "test/mase"}
    found |= {f"experiment={name}": "test/mse" for name in FORECASTS}
    found |= {"data=incomplete": "test/mse", "task=regression": "test/mae"}
    found |= {"data=ett": "test/mse", "data=table_windows": "test/mae"}
    found |= {"task=multilabel": "test/macro_f1"}
    found |= {"experiment=har_fractions": "test/mae", "experiment=har_labels": "test/macro_f1"}
    found |= {"data=labelled": "test/vus_pr", "experiment=nab": "test/nab_standard"}
    found |= {"task=contrastive": "test/loss"}
    found |= {"sweep=optuna": "best/val/loss", "experiment=fight_anomaly": "test/auroc"}
    found |= {"experiment=skab": "test/vus_pr", "experiment=smap_msl": "test/vus_pr"}
    return next((found[word] for word in words if word in found), "test/accuracy")


TRAIN = [words for words in commands("seqfuse-train") if is_composed(words)]


def first_of_sweep(words: list[str]) -> list[str]:
    values = [word for word in words if word != "-m"]
    return [
        word.split("],[")[0] + "]" if "],[" in word else word if "[" in word else word.split(",")[0]
        for word in values
    ]


def test_the_chinese_readme_has_the_same_commands_and_numbers() -> None:
    def typed(text: str) -> list[str]:
        fenced = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
        code = [line.partition("#")[0].strip() for block in fenced for line in block.splitlines()]
        return code + re.findall(r"`(seqfuse-[^`]+)`", text)

    assert typed(CHINESE) == typed(README)
    assert re.findall(r"\d\.\d+", CHINESE) == re.findall(r"\d\.\d+", README)
    assert re.findall(r"\]\((.*?)\)", CHINESE) == re.findall(r"\]\((.*?)\)", README)


def test_links_lead_somewhere() -> None:
    texts = {ROOT: README, **{ROOT / ".github/docs" / name: text for name, text in PAGES.items()}}
    made = {"keys.md", "security.md", "changes.md"}
    for place, text in texts.items():
        folder = place if place == ROOT else place.parent
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[\w-]+)?\)", text):
            assert link in made or (folder / link).exists(), link


@pytest.mark.slow
def test_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    words = ["-m", "mkdocs", "build", "--strict", "-q", "-f", str(ROOT / ".github/mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words, "-d", str(tmp_path)],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    keys = (tmp_path / "keys" / "index.html").read_text()
    for key in ("data.num_folds", "model.cnn.kernel_size", "trainer.max_epochs", "seqfuse-export"):
        assert key in keys
    assert (tmp_path / "notebooks" / "quickstart" / "index.html").exists()


@pytest.mark.long
def test_keys_are_explained_and_shown_as_they_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(ROOT / ".github")
    page = importlib.import_module("pages").keys_page()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert {len(row) for row in rows} == {3}, "a bar in a cell would be a column"
    meanings = {row[0].strip("| `"): row[2].strip(" |") for row in rows}
    assert meanings["trainer.gradient_clip_val"]
    assert "learning rate" in meanings["optimizer.lr"]
    assert "file to test on" in meanings["data.test"]
    assert sum(map(bool, meanings.values())) > 0.9 * len(meanings)
    assert not {"`None`", "`True`", "`False`"} & {row[1] for row in rows}


def test_the_readme_is_short_and_has_commands() -> None:
    assert README.count("\n") <= 110
    assert len(README.split()) <= 900
    rows = [line for line in README.splitlines() if line.startswith("|")]
    assert max(len(cell.strip()) for row in rows for cell in row.split("|")) <= 90
    assert len(TRAIN) >= 10
    assert commands("seqfuse-evaluate")


@pytest.mark.parametrize("words", TRAIN, ids=" ".join)
def test_every_override_exists(words: list[str]) -> None:
    named = [word.replace("<path>", "best.ckpt") for word in first_of_sweep(words)]
    build.rehearse(composed(named))


def in_a_process(words: list[str], folder: Path) -> tuple[int, str, str]:
    line = [sys.executable, "-m", "seqfuse.train", *words, *FAST]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def filled(words: list[str], command: Callable) -> list[str]:
    """With a checkpoint of a run in place of each `<path>`."""
    for i, word in enumerate(words):
        if word.endswith("=<path>"):
            before = ["task=contrastive"] if word.startswith("init_from") else []
            code, _, err = command(train.main, *before, *FAST)
            assert code == 0, err
            [ckpt] = Path("logs/debug").glob("*/checkpoints/best.ckpt")
            words = [*words[:i], word.replace("<path>", str(ckpt)), *words[i + 1 :]]
    return words


@pytest.mark.slow
@pytest.mark.parametrize("words", TRAIN, ids=" ".join)
def test_every_command_trains(
    words: list[str], command: Callable, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if set(words) & NEEDS_DATA:
        request.getfixturevalue("data_root")
    if any(word.startswith(ELSEWHERE) for word in words):
        pytest.skip("it names another machine: tests/search has its own servers")
    own_files(tmp_path, words)
    if any(
        word.startswith(("trainer=ddp", "trainer=fsdp")) for word in words
    ):  # starts its command again
        code, out, err = in_a_process(words, tmp_path)
    else:
        code, out, err = command(train.main, *filled(words, command), *FAST)
    assert code == 0, err
    if not any("overfit" in word for word in words):
        assert metric_of(words) in out


@pytest.mark.slow
def test_a_run_can_be_measured_resumed_and_run_again(command: Callable) -> None:
    code, _, err = command(train.main, "experiment=japanese_vowels", *FAST)
    assert code == 0, err
    [run] = Path("logs/debug").iterdir()
    said = 0
    for program, main in (("seqfuse-train", train.main), ("seqfuse-evaluate", evaluate.main)):
        for words in commands(program):
            if program == "seqfuse-train" and (is_composed(words) or "-sc" in words):
                continue
            if words[0] in ("--cfg", "--help") or "trainer.devices=4" in words:  # of a run by ranks
                continue
            filled = [word.replace("logs/<name>/<time>", str(run)) for word in words]
            filled = [word for word in filled if "<folder>" not in word]
            if filled == ["--config-dir"] or "ckpt=<path>" in filled:
                continue
            if program == "seqfuse-train":
                filled.append("trainer.max_epochs=2")  # the run was trained for one
            code, _, err = command(main, *filled, "trainer.enable_progress_bar=false")
            assert code == 0, (words, err)
            said += 1
    assert said >= 3


@pytest.mark.slow
@pytest.mark.usefixtures("data_root")
def test_a_fused_net_can_be_measured_without_a_source(command: Callable) -> None:
    [words] = [words for words in commands("seqfuse-evaluate") if "ckpt=<path>" in words]
    code, _, err = command(train.main, "experiment=har_fusion", *FAST)
    assert code == 0, err
    [run] = Path("logs/debug").iterdir()
    filled = [word.replace("<path>", str(run / "checkpoints/best.ckpt")) for word in words]
    code, out, err = command(evaluate.main, *filled)
    assert code == 0, err
    assert "test/accuracy" in out


def test_python_lines_are_the_package_s() -> None:
    blocks = re.findall(r"```python\n(.*?)```", ALL, re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        compile(block, "README.md", "exec")


@pytest.mark.long
def test_the_tutorial_s_file_can_be_trained_on(command: Callable) -> None:
    [block] = re.findall(r"```python\n(.*?)```", PAGES["tutorial"], re.DOTALL)
    exec(compile(block, "tutorial.md", "exec"), {})
    code, out, err = command(train.main, "data=arrays", "data.train=mine.npz", *FAST)
    assert code == 0, err
    assert "test/accuracy" in out


@pytest.mark.long
def test_own_data_set_block_and_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ten-line examples, word for word."""
    data, block, head = re.findall(r"```python\n(.*?)```", PAGES["own"], re.DOTALL)
    data_yaml, head_yaml = re.findall(r"```yaml\n(.*?)```", PAGES["own"], re.DOTALL)
    conf, code = tmp_path / "conf", tmp_path / "mylab"
    files = {
        code / "data.py": data,
        code / "blocks.py": block,
        code / "heads.py": head,
        conf / "data/mine.yaml": data_yaml,
        conf / "model/cnn/mine.yaml": "_target_: mylab.blocks.Mine\n",
        conf / "model/head/mine.yaml": head_yaml,
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "mine").mkdir()
    for split in ("train", "test"):
        x = np.random.default_rng(0).normal(size=(40, 9, 2))
        np.savez(tmp_path / "mine" / f"{split}.npz", x=x, y=np.arange(40) % 2)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["--config-dir", str(conf), "trust=[mylab]", "data=mine", "model/cnn=mine"]
    words += ["model/head=mine", "paths.data=.", *FAST]
    monkeypatch.setattr("sys.argv", ["seqfuse-train", *words])
    train.main()
    assert list((tmp_path / "logs" / "debug").glob("*/metrics.json"))


def test_make_and_ci_run_what_the_readme_says() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    ci = (ROOT / ".ci" / "run").read_text()
    assert "make lint types" in ci
    assert "make test" in ci


def test_the_lock_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    names = re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE)
    assert {"torch", "lightning", "pytorch-lightning", "hydra-core"} <= {name for name, _ in names}
    assert lock.count("--hash=sha256:") > len(names)

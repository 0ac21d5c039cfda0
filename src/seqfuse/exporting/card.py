"""`card.md`: what an exported folder is, for people."""

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from seqfuse.config.checks.groups import CONF
from seqfuse.exporting.measure import BATCHES, Latency
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.arrays import LAYOUTS
from seqfuse.runtime.shown import markdown_table, visible

UNKNOWN = "not known: write it here"
MARKS = re.compile(r"[\\`*<|]|\](?=\()")
"""Characters that Markdown acts on within a line."""
LICENCES = re.compile(r"\b(CC|MIT|GPL|BSD|Apache|[Ll]icen[cs]e|public domain)\b")
INPUTS = {
    "SeriesPipeline": "series in the units of training: .npy, or .npz with `x` {layout} "
    "and, if need be, `lengths`; .ts, .tsv or .arff as in the UCR archive; .csv or .jsonl with "
    "a row for each step and an `id` of its series",
    "TextPipeline": "texts or sentences: .csv, .tsv or .jsonl, as in training without labels",
    "ClipPipeline": "clips: .npz with `x` (clips, time, colours, height, width) of uint8",
    "SourcesPipeline": "sources: .npz with `<source>_x` (items, time, channels) of each",
}
TABLE = "a table with the columns of training, without labels: .csv, .tsv or .jsonl"
"""Input of predictions: by the kind of the pipeline, and of all others."""
NAMES = {"torch": "torch eager", "fp32": "ONNX fp32", "int8": "ONNX int8"}


class Measured(NamedTuple):
    """Measurements, by the engine that predicts: torch, fp32, int8."""

    metrics: dict[str, dict[str, float]]
    sizes: dict[str, int]
    """Bytes."""
    latency: dict[int, dict[str, Latency]]
    """By batch size."""
    steps: int
    """Steps of the batches that were timed."""
    decides: str
    """The metric that int8 is judged by."""
    parity: float
    tuned: int = 0
    """Epochs of fine-tuning for int8."""


def write_card(
    folder: Path,
    metadata: Mapping[str, Any],
    trained: dict[str, Any],
    config: dict[str, Any],
    measured: Measured,
) -> None:
    """Writes the card into a folder.

    Metadata are those of `pipeline.json`; `config` is of the command.
    """
    parts = [
        _title(metadata),
        "`python run.py <input> <output.csv>` predicts, with numpy and onnxruntime alone; "
        "`python run.py --check` holds the folder against `example.npz`.",
        "## Input",
        _input(metadata),
        "## Data",
        _data(trained),
        "## Metrics",
        _metrics(measured, config["split"]),
        _training(Path(config["ckpt"])),
        "## Size and latency",
        table(measured),
        _gains(measured),
        "## Limits",
        _limits(metadata, measured),
    ]
    text = "\n\n".join(part for part in parts if part)
    files.write(folder / "card.md", text + "\n")


def of_hub(metadata: Mapping[str, Any], trained: dict[str, Any], ckpt: Path, repo: str) -> str:
    """The card of a checkpoint on the Hugging Face Hub, in front of which is what it sorts by.

    Metadata are those of `pipeline.json`; `repo` is `owner/name`.
    """
    parts = [
        "---\nlibrary_name: seqfuse\ntags: [seqfuse, time-series]\n---",
        _title(metadata),
        f'```python\nimport seqfuse\n\njob = seqfuse.load("hf://{repo}")\njob.predict(x)\n```',
        f"`seqfuse predict ckpt=hf://{repo} input=<file> output=<file>` writes predictions, "
        "`seqfuse evaluate` measures, `seqfuse export` makes a folder that runs without torch.",
        "## Input",
        _input(metadata),
        "## Data",
        _data(trained),
        _training(ckpt),
        "## Limits",
        _limits(metadata),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(metadata: Mapping[str, Any]) -> str:
    return f"# {_plain(metadata['name'])}: {metadata['job'].replace('_', ' ')}"


def _input(metadata: Mapping[str, Any]) -> str:
    """Description of input and output."""
    packed, state = metadata["pipeline"], metadata["pipeline"]["state"]
    names = {"sources": list(packed.get("parts", ())), "columns": state.get("columns")}
    labels = state.get("labels", {})
    names |= {"classes": labels.get("classes"), "targets": labels.get("targets")}
    names["quantiles"] = metadata.get("quantiles")
    lines = [INPUTS.get(packed["kind"].removeprefix("Normal"), TABLE)]
    if metadata["file_format"].get("kind") == "windows":
        lines = [TABLE]
    if packed["kind"] == "SeriesPipeline":
        lines = [lines[0].format(layout=LAYOUTS[metadata["file_format"].get("layout", "btc")])]
        lines.append(f"channels: {len(state['standardisation']['mean'])}")
    lines += [
        f"{key}: {metadata[key]} steps" for key in ("look_back", "horizon") if key in metadata
    ]
    if "members" in metadata:
        lines.append(
            f"nets that predict as one: {metadata['members']}; `disagreement` of each item"
        )
    form = metadata.get("file_format", {})
    if "time" in (table := form.get("table", form)):
        form = table["time_format"] or "ISO 8601, year first"
        stamps = [table["time"]] if isinstance(table["time"], str) else table["time"]
        lines.append(f"time stamps: {', '.join(map(_plain, stamps))} ({_plain(form)})")
    for name, each in names.items():
        more = f", ... ({len(each)})" if each and len(each) > 20 else ""
        lines += [f"{name}: {', '.join(_plain(item) for item in each[:20])}{more}"] if each else []
    if "distances" in metadata:
        lines.append("`unfamiliar` of each item: the fraction of ordinary items nearer to training")
    return "\n".join(f"- {line}" for line in lines)


def _data(config: dict[str, Any]) -> str:
    data = config["data"]
    options = ("split", "test_folds", "test_fold", "test_people", "fold", "num_folds")
    options = (*options, "val_fraction", "validation", "train", "test")
    split = {name: _plain(data[name]) for name in options if data.get(name) is not None}
    if data.get("test"):
        split.pop("test_folds", None)  # of no account beside a test file
    about = re.sub(r"(\w) Licen", r"\1. Licen", about_data(data)) or f"Data: {UNKNOWN}."
    if not LICENCES.search(about):
        about += f" Licence: {UNKNOWN}."
    taught = f" Taught by {_plain(config['teacher'])}." if config.get("teacher") else ""
    if data.get("train") and data["train"] == data.get("test"):
        taught += " **Tested on the file it was trained on.**"
    split = f"Split: {_inline(split)}; seed {config['seed']}.{taught}"
    return f"{about} Name: {_plain(data['name'])}.\n\n{split}"


def _plain(value: object) -> str:
    """Text that Markdown shows as it is: no link, no picture, no tag, no line of its own."""
    return MARKS.sub(r"\\\g<0>", " ".join(visible(str(value)).split()))


def about_data(data: Mapping[str, Any]) -> str:
    """The first comment, with its licence, of the YAML that describes a data set; or nothing."""
    home = CONF / "data"
    paths = [home / f"{Path(str(data['name'])).name}.yaml", *sorted(home.glob("*.yaml"))]
    for path in paths:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text and _describes(path.stem, text, data):
            lines = re.match(r"(?:#[^\n]*\n)+", text)
            return re.sub(r"\n?# ?", " ", lines[0]).strip() if lines else ""
    return ""


def _describes(stem: str, text: str, data: Mapping[str, Any]) -> bool:
    """Whether a YAML has the name of the data, or names what it was read from."""
    name = str(data["name"])
    target = data.get("module", {}).get("splits", {}).get("dataset", {})
    kinds = [f"_target_: {target['_target_']}\n"] if isinstance(target, dict) and target else []
    files = [f"\nfile: {data['file']}\n"] if data.get("file") else []
    composed = text.replace("${data.name}", name)
    return stem == name or any(sign in composed for sign in (f"\nname: {name}\n", *files, *kinds))


def _inline(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "as the data has it"


def _metrics(measured: Measured, split: str) -> str:
    if not measured.metrics:
        return "Not measured (split=none)."
    names = sorted(measured.metrics["torch"])
    head = ["metric", *(NAMES[who] for who in measured.metrics)]
    rows = [[n, *(f"{values[n]:.4f}" for values in measured.metrics.values())] for n in names]
    note = f"Measured on the {split} split."
    if measured.tuned:
        note += f" For int8, all weights were fine-tuned ({measured.tuned} epochs), fp32's too."
    return f"{note}\n\n{markdown_table(head, rows)}"


def _training(ckpt: Path) -> str:
    """Measurements of the run itself, if its folder is there."""
    path = ckpt.absolute().parent.parent / "metrics.json"
    try:
        measured = files.read_json(path)
        names = [name for name in sorted(measured) if name.startswith(("val/", "test/"))]
        shown = {name: f"{measured[name]:.4f}" for name in names}
    except (InputError, ValueError, TypeError):
        return ""
    return f"The training run had measured: {_inline(shown)}."


def table(measured: Measured) -> str:
    """Size, latency and the metric that decides, for people."""
    times = [f"ms at {batch}: {what}" for batch in measured.latency for what in ("median", "p95")]
    rows = []
    for who in next(iter(measured.latency.values())):
        size = f"{measured.sizes[who] / 1e6:.2f}" if who in measured.sizes else ""
        spread = [f"{value:.2f}" for each in measured.latency.values() for value in each[who]]
        metric = [f"{measured.metrics[who][measured.decides]:.4f}"] if measured.metrics else []
        rows.append([NAMES[who], size, *spread, *metric])
    head = ["", "MB", *times, *([measured.decides] if measured.metrics else [])]
    made = "" if measured.metrics else ", made up as no split was read,"
    note = (
        f"One thread of {_processor()}, torch {version('torch')}, onnxruntime "
        f"{version('onnxruntime')}; batches of {' and '.join(map(str, BATCHES))} items"
        f"{made} of {measured.steps} steps."
    )
    return f"{markdown_table(head, rows)}\n\n{note}"


def _processor() -> str:
    match = re.search(r"model name\s*: (.+)", _text(Path("/proc/cpuinfo")))
    return match[1].strip() if match else platform.processor() or platform.machine()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _gains(measured: Measured) -> str:
    lines = []
    for slow, fast in (("torch", "fp32"), ("fp32", "int8")):
        for batch, times in measured.latency.items():
            if fast in times and times[fast].median >= times[slow].median:
                lines.append(
                    f"{NAMES[fast]} gains nothing over {NAMES[slow]} at {batch} "
                    f"({times[slow].median / times[fast].median:.2f} times as fast)"
                )
    if "int8" in measured.sizes:
        lines.append(f"int8 has {measured.sizes['int8'] / measured.sizes['fp32']:.2f} of the size")
    return f"{'; '.join(lines)}." if lines else ""


def _limits(metadata: Mapping[str, Any], measured: Measured | None = None) -> str:
    lines = [
        "- Numbers hold for data like the training data; nothing here notices when it changes.",
    ]
    if measured:
        to = f"{measured.parity:.1g} (relative, for values above 1)"
        lines.insert(0, f"- Outputs are those of torch to {to}.")
    if measured and "int8" in measured.sizes:
        lines.append("- int8 rounds by batch: an item's numbers depend a little on the others.")
    if metadata["job"] in ("forecasts", "numbers"):
        lines.append("- Bands were calibrated on one part of the past, and hold what they promise "
                     "only roughly.")  # fmt: skip
    return "\n".join(lines)

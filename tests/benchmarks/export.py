"""Size and latency of a net in torch, as ONNX, and as ONNX with weights in 8 bits; one thread.

`model=base` with an LSTM of 256 on synthetic series, as it begins, is written by the exporter's
own parts; calls take turns, at batches of 1 and 64 series of 50 steps.

    python -m tests.benchmarks.export [--repeats 200] [--hidden 256] [--out file.json]
"""

import tempfile
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from seqfuse.config import build, cli, recipes
from seqfuse.exporting import measure
from seqfuse.exporting.graph import Graph, export
from seqfuse.exporting.quantise import write_int8
from seqfuse.runtime.engine import OnnxEngine
from tests.benchmarks import common

STEPS, CHANNELS = 50, 3


def main() -> None:
    given = common.arguments("export", __doc__, repeats=200, hidden=256)
    torch.manual_seed(0)
    graph = Graph(net_of(given.hidden), None).eval()
    with tempfile.TemporaryDirectory() as folder:
        paths = {who: Path(folder, f"{who}.onnx") for who in ("fp32", "int8")}
        export(graph, feeds_of(3), paths["fp32"], opset=17)
        write_int8(paths["fp32"], paths["int8"])
        bytes_ = {who: path.stat().st_size for who, path in paths.items()}
        sessions = {w: measure.Session(OnnxEngine(p, 1), graph) for w, p in paths.items()}
        calls = {"torch": graph.run} | {who: one.run for who, one in sessions.items()}
        found = {
            batch: measure.latencies(calls, feeds_of(batch), given.repeats)
            for batch in measure.BATCHES
        }
    print(f"int8 has {bytes_['int8'] / bytes_['fp32']:.3f} of the size of {bytes_['fp32']:,} bytes")
    for batch, times in found.items():
        for who, one in times.items():
            print(f"batch {batch:>2}  {who:<5}  median {one.median:8.3f} ms  p95 {one.p95:8.3f} ms")
        torch_, fp32, int8 = (times[who].median for who in ("torch", "fp32", "int8"))
        print(f"batch {batch:>2}  fp32 is {torch_ / fp32:.2f} times as fast as torch, int8 "
              f"{fp32 / int8:.2f} times as fast as fp32")  # fmt: skip
    latency = {str(b): {w: one._asdict() for w, one in t.items()} for b, t in found.items()}
    common.write(given.out, bytes=bytes_, latency=latency)


def net_of(hidden: int) -> torch.nn.Module:
    """The net, with its first weights."""
    words = ["data=synthetic", "model=base", f"model.lstm.hidden_size={hidden}"]
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        recipe = compose("train", words)
    auto = {n: value for n, value in recipes.ANY_SIZES.items() if recipe.data.get(n) == "auto"}
    return build.build_net(recipes.resolve(recipes.fill(recipe, auto))["model"])


def feeds_of(batch: int) -> dict[str, torch.Tensor]:
    """Series without padding."""
    x = torch.randn(batch, STEPS, CHANNELS)
    return {"x": x, "mask": torch.ones(batch, STEPS, dtype=torch.bool)}


if __name__ == "__main__":
    main()

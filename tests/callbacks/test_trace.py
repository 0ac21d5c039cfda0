"""The trace of `debug=profile`: valid, about the net, and small."""

import gzip
import json
from pathlib import Path

import pytest

from seqfuse.callbacks.trace import Trace
from seqfuse.train import train
from tests.conftest import Compose


@pytest.mark.long
@pytest.mark.parametrize(("samples", "steps"), [(200, 5), (20, 1)])
def test_the_trace_shows_the_parts_of_the_net(
    samples: int, steps: int, tiny: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("debug=profile", f"data.num_samples={samples}", "trainer.max_epochs=1", "test=false")
    train(tiny(*words), tmp_path)
    path = tmp_path / "profile" / "trace.json.gz"
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    names = [event.get("name") for event in events]
    assert names.count("aten::lstm") == 2 * steps, "two layers"
    assert names.count("aten::conv1d") == 2 * steps
    part = "[pl][module]torch.nn.modules.rnn.LSTM: net.lstm.layers.0.forwards"
    assert names.count(part) == steps
    assert path.stat().st_size < 1_000_000
    out = capsys.readouterr().out
    assert f"trace       {path}: open it in https://ui.perfetto.dev" in out
    assert (tmp_path / "fit-profile.txt").is_file()


@pytest.mark.long
def test_names_are_taken_off_the_net_again(tiny: Compose, tmp_path: Path) -> None:
    from seqfuse.tasks.base import Task

    seen = []
    original = Task.on_train_epoch_end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "on_train_epoch_end", lambda self: (seen.append(self), original(self)))
        train(tiny("debug=profile", "test=false", "data.num_samples=300"), tmp_path)
    assert not [part for part in seen[0].modules() if part._forward_hooks]


@pytest.mark.parametrize("numbers", [{"steps": 0}, {"skip": -1}])
def test_ranges(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(numbers))):
        Trace("profile", **numbers)

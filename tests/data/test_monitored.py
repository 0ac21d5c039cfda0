"""Windows over recordings: reconstruction, the code of a recording, new recordings."""

import numpy as np
import pytest
import torch

from seqfuse.data.monitored import Monitored
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.anomalies import Detector
from seqfuse.runtime.pipelines.scaling import RecordingPipeline
from seqfuse.runtime.read.monitored import Recording
from tests.runtime.fakes import Zeros


def recording(name: str, n: int, first: int = 0) -> Recording:
    values = np.arange(first, first + n, dtype=np.float32).reshape(-1, 1)
    labels = np.zeros(n, dtype=bool)
    return Recording(name, np.arange(n), values, ["value"], labels, 40)


class Given:
    """Recordings that are there already."""

    file_format, train = {"kind": "nab"}, None

    def __init__(self, *recordings: Recording):
        self.recordings = list(recordings)

    def __call__(self) -> list[Recording]:
        return self.recordings


def monitored(identity: bool = False, **knobs) -> Monitored:
    sizes = {"look_back": 8, "horizon": 8, "stride": 2, "reconstruct": True}
    source = Given(recording("a", 100), recording("b", 80, 1000))
    pipeline = RecordingPipeline(limit=1e9, identity=identity)
    splits = Monitored(source, pipeline, **sizes | knobs)
    splits.fit()
    return splits


def fed(splits: Monitored, *recordings: Recording) -> list[np.ndarray]:
    """Of each recording x (w t c), as a detector of these splits takes it."""
    engine = Zeros(8, 1, 1)
    scorer = {"kind": "Likelihood"}
    detector = Detector({**splits.metadata(), "scorer": scorer, "threshold": 0.5}, engine)
    assert len(list(detector.known(recordings))) == len(recordings)
    return [feeds["x"] for feeds in engine.fed]


def raw(splits: Monitored, name: str, scaled: torch.Tensor) -> np.ndarray:
    return splits.pipeline.scales[name].undo(scaled.double().numpy()[:, None])[:, 0].round()


def test_a_reconstruction_gives_back_what_it_sees() -> None:
    splits = monitored()
    for split, first in (("train", 0), ("val", 32), ("calibration", 0), ("test", 0)):
        windows = splits.tensors(split)
        batch = windows.__getitems__([0, len(windows) - 1])
        torch.testing.assert_close(batch.x, batch.y, atol=0, rtol=0)
        np.testing.assert_array_equal(
            raw(splits, "a", batch.x[0, :, 0]), np.arange(first, first + 8)
        )
    last = raw(splits, "b", splits.tensors("test").__getitems__([-1]).x[0, :, 0])
    np.testing.assert_array_equal(last, np.arange(1072, 1080))


def test_windows_of_the_training_part_are_those_of_train_and_val_and_between() -> None:
    starts = {s: splits.tensors(s).index.tolist() for s in PARTS for splits in [monitored()]}
    assert starts["calibration"] == [*range(0, 33, 2), *range(100, 133, 2)]
    assert set(starts["train"]) | set(starts["val"]) < set(starts["calibration"])
    assert max(starts["train"]) < 100 + 32 - 8 + 1


PARTS = ("train", "val", "calibration", "test")


def test_the_code_says_which_recording_it_is() -> None:
    splits = monitored(identity=True)
    assert splits.sizes()["channels"] == 3
    windows = splits.tensors("test")
    batch = windows.__getitems__([0, len(windows) - 1])
    assert batch.x.shape == (2, 8, 3)
    assert batch.x[0, :, 1:].tolist() == [[1, 0]] * 8
    assert batch.x[1, :, 1:].tolist() == [[0, 1]] * 8
    new, other = fed(splits, recording("c", 60), recording("b", 60))
    assert new[0, 0, 1:].tolist() == [0, 0]
    assert other[-1, 0, 1:].tolist() == [0, 1]


def test_a_new_recording_is_scaled_by_its_own_training_part() -> None:
    splits = monitored()
    before = dict(splits.pipeline.scales)
    [x] = fed(splits, recording("b", 60, 5000))
    np.testing.assert_allclose(x[:1], splits.tensors("test").__getitems__([0]).x)
    assert splits.pipeline.scales == before


def test_other_columns_than_trained_on_are_named() -> None:
    wrong = recording("c", 60)._replace(columns=["speed"])
    with pytest.raises(InputError, match="c has the columns speed, training had value"):
        fed(monitored(), wrong)
    other = Monitored(Given(wrong), monitored().pipeline, look_back=8, horizon=8)
    with pytest.raises(InputError, match="c has the columns speed, training had value"):
        other.recordings()


def test_a_look_back_that_fits_the_training_part_is_named() -> None:
    def splits(look_back: int) -> Monitored:
        source = Given(recording("c", 100))
        found = Monitored(source, RecordingPipeline(), look_back=look_back, horizon=8, stride=2)
        found.fit()
        return found

    with pytest.raises(InputError, match=r"type data\.look_back=\d+$") as error:
        splits(96).tensors("train")
    assert len(splits(int(str(error.value).rpartition("=")[2])).tensors("train"))


def test_a_reconstruction_is_as_long_as_what_it_sees() -> None:
    with pytest.raises(InputError, match=r"type data\.horizon=8"):
        monitored(horizon=4)


def test_a_pipeline_comes_back_from_its_state() -> None:
    splits = monitored(identity=True)
    other = RecordingPipeline(limit=1e9, identity=True)
    other.load_state_dict(splits.pipeline.state_dict())
    assert other.code("b").tolist() == [0, 1]
    values = recording("a", 20).values
    np.testing.assert_array_equal(
        other.transform("a", values), splits.pipeline.transform("a", values)
    )

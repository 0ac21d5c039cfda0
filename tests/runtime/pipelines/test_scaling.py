"""Standardisation: means and standard deviations, constant columns, what a state holds."""

import json

import numpy as np
import pytest

from seqfuse.runtime.pipelines import scaling
from seqfuse.runtime.pipelines.scaling import Standardisation, TablePipeline
from seqfuse.runtime.read.clock import Clock

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 1e-12, 1e25])
def test_columns_of_any_size_get_mean_0_and_standard_deviation_1(kind: type, size: float) -> None:
    values = (size * RANDOM.normal(3, 2, (500, 3))).astype(kind)
    values[7, 1] = values[400:, 2] = np.nan
    scale = Standardisation.of(values)
    scaled = scale.apply(values)
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), 1, rtol=1e-7)
    np.testing.assert_allclose(scale.undo(scaled), values, rtol=1e-7)


@pytest.mark.parametrize("rows", [1, 4, 5, 9])
def test_chunks_change_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = RANDOM.normal(100, 1, (9, 2))
    values[5:, 1] = np.nan
    whole = Standardisation.of(values)
    monkeypatch.setattr(scaling, "CHUNK", rows)
    found = Standardisation.of(values)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(found.std, whole.std, rtol=1e-12)


CONSTANT = [
    (np.full(3000, 0.1), 0.01),
    (np.full(3000, 0.1, np.float32), 0.01),
    (np.float32(20.0) + np.float32(1e-6) * RANDOM.integers(0, 3, 3000).astype(np.float32), 0.2),
    (np.full(200_000, 1e9 / 3), 1e7 / 3),
    (np.zeros(10), 0.01),
    (np.full(10, -500.0), 5.0),
]


@pytest.mark.parametrize(("column", "hundredth"), CONSTANT)
def test_what_differs_by_rounding_alone_is_constant(column: np.ndarray, hundredth: float) -> None:
    assert Standardisation.of(column[:, None]).std.tolist() == [1.0]
    detector = Standardisation.of(column[:, None], 0.01)
    assert detector.std[0] == pytest.approx(hundredth, rel=1e-6)


@pytest.mark.parametrize(
    "column",
    [
        1e-9 * RANDOM.normal(size=1000),
        1.7e9 + RANDOM.normal(size=1000),
        (20 + 1e-3 * RANDOM.normal(size=1000)).astype(np.float32),
        np.array([0.0] * 999 + [1e-5]),
    ],
)
def test_small_differences_are_none_of_rounding(column: np.ndarray) -> None:
    for constant in (None, 0.01):
        found = Standardisation.of(column[:, None], constant).std[0]
        assert found == pytest.approx(column.std(dtype=np.float64), rel=1e-6)


def test_a_column_without_a_value_stays_so() -> None:
    scale = Standardisation.of(np.array([[np.nan, 1.0], [np.nan, 3.0]]))
    assert scale.std.tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(scale.apply(np.array([[5.0, 3.0]])), [[np.nan, 1.0]])


def test_the_first_columns_are_undone_and_several_outputs_of_each() -> None:
    scale = Standardisation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    assert scale.undo(np.ones((4, 2))).tolist() == [[11.0, 22.0]] * 4
    outputs = scale.undo(np.ones((4, 2, 3)), outputs=True)
    assert outputs.tolist() == [[[11.0] * 3, [22.0] * 3]] * 4


def test_a_state_is_json_and_comes_back() -> None:
    scale = Standardisation.of(RANDOM.normal(size=(9, 2)))
    found = Standardisation.from_state(json.loads(json.dumps(scale.state_dict())))
    np.testing.assert_array_equal([found.mean, found.std], [scale.mean, scale.std])


def test_a_table_s_state_of_before_has_seconds() -> None:
    pipeline, found = TablePipeline(), TablePipeline()
    pipeline.fit(RANDOM.normal(size=(9, 2)), ["a", "b"], 1, clock=Clock(3600))
    state = pipeline.state_dict()
    state["step"] = state.pop("clock")[0]
    found.load_state_dict(state)
    assert found.clock == pipeline.clock
    with pytest.raises(KeyError, match="step"):
        found.load_state_dict({name: state[name] for name in state if name != "step"})

"""Principal components, against the library's, and what they find strange."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.components import Components, held_out
from seqfuse.runtime.scores.likelihood import Residuals
from seqfuse.runtime.scores.subspace import Subspace

GENERATOR = np.random.default_rng(0)
NORMAL = GENERATOR.normal(size=(200, 3)) @ GENERATOR.normal(size=(3, 6)) + 5
NORMAL += 0.1 * GENERATOR.normal(size=NORMAL.shape)
OTHERS = 5 + GENERATOR.normal(size=(50, 6))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("rows", [4, 200])
def test_residuals_are_those_of_sklearn(share: float, rows: int) -> None:
    fitted = PCA(share).fit(NORMAL[:rows])
    left = OTHERS - fitted.inverse_transform(fitted.transform(OTHERS))
    found = Components(NORMAL[:rows]).residuals(OTHERS, share)
    np.testing.assert_allclose(found, np.square(left).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(200, 6), (20, 50)])
def test_distances_are_those_of_scipy(rows: int, columns: int) -> None:
    normal, others = GENERATOR.normal(size=(rows, columns)), GENERATOR.normal(size=(10, columns))
    covariance = np.cov(normal.T, bias=True) + 0.01 * np.eye(columns)
    known = normal.mean(axis=0), np.linalg.inv(covariance)
    wanted = [mahalanobis(one, *known) ** 2 / columns for one in others]
    found = Components(normal).distances(others, floor=0.1)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("rows", [3, 9])
def test_vectors_that_never_changed_leave_all_of_a_change(rows: int) -> None:
    still = Components(np.ones((rows, 4)))
    np.testing.assert_allclose(still.residuals(np.full((1, 4), 3.0), 0.9), [4.0])
    np.testing.assert_allclose(still.distances(np.full((1, 4), 1.5), floor=0.5), [1.0])


def test_windows_that_are_left_out_share_no_step_with_the_others() -> None:
    starts, size = np.arange(50), 4
    vectors = starts[:, None] + np.zeros((1, 3))  # each window is its first step

    def nearest(components: Components, fold: np.ndarray) -> np.ndarray:
        return np.full(len(fold), components.mean[0])

    found = held_out(vectors, starts, size, nearest, num_folds=5)
    for fold in np.split(starts, 5):
        others = [i for i in starts if i + size <= fold[0] or i >= fold[-1] + size]
        np.testing.assert_allclose(found[fold], np.mean(others))


H, TRAIN = 10, 120


def scores(values: np.ndarray, num_train: int, residuals: Residuals) -> np.ndarray:
    return Subspace().of_windows(values, num_train, residuals, "pump")


def residuals_of(values: np.ndarray, predictions: np.ndarray) -> Residuals:
    starts = np.arange(len(values) - H + 1)
    return Residuals(
        starts, np.zeros((len(starts), H)), predictions[starts[:, None] + np.arange(H)]
    )


def test_either_part_tells_what_is_strange() -> None:
    values = np.random.default_rng(1).normal(size=(300, 1))
    seen = np.random.default_rng(2).normal(size=(300, 1))
    broken, far = values.copy(), seen.copy()
    broken[200], far[250] = 30, 30
    before = scores(values, TRAIN, residuals_of(values, seen))
    of_values = scores(broken, TRAIN, residuals_of(values, seen))
    of_seen = scores(values, TRAIN, residuals_of(values, far))
    assert before.max() < 0.5
    assert of_values[200] > 0.6
    assert of_seen[250] > 0.6
    np.testing.assert_allclose(
        np.delete(of_values, np.r_[191:210]), np.delete(before, np.r_[191:210])
    )
    np.testing.assert_allclose(
        np.delete(of_seen, np.r_[241:260]), np.delete(before, np.r_[241:260])
    )


@pytest.mark.parametrize(("channels", "num_train"), [(1, 60), (1, 400), (4, 45), (4, 60), (4, 400)])
@pytest.mark.parametrize("stride", [1, 3])
def test_what_is_as_before_is_no_stranger_than_before(
    channels: int, num_train: int, stride: int
) -> None:
    """With fewer windows than numbers in one, about as many, and many more."""
    noise = np.random.default_rng(1).normal(size=(num_train + 400, channels))
    values = np.stack([np.convolve(one, np.ones(4) / 2, "same") for one in noise.T], axis=1)
    starts, _, windows = residuals_of(values, values)
    code = windows.reshape(len(windows), -1) @ np.random.default_rng(2).normal(
        size=(H * channels, 2)
    )
    seen = (code @ np.random.default_rng(3).normal(size=(2, H * channels))).reshape(windows.shape)
    every = Residuals(*(part[::stride] for part in (starts, windows[..., 0], seen)))
    found = scores(values, num_train, every)
    before, behind = (np.nanmedian(part) for part in np.split(found, [num_train]))
    assert before == pytest.approx(behind, rel=0.3)
    assert (found[num_train:] > 0.5).mean() < 0.2


def test_a_channel_that_stood_still_may_stir_a_little() -> None:
    values = np.random.default_rng(1).normal(size=(300, 3))
    values[:TRAIN, 2], values[TRAIN:, 2] = 0.5, 0.5 + 1e-3 * values[TRAIN:, 2]
    values[250:255, 0] += 12
    found = scores(values, TRAIN, residuals_of(values, values[:, :2]))
    assert np.median(found[TRAIN:230]) < 0.5 < found[250:255].min()


def test_what_is_beyond_all_measure_is_still_told_apart() -> None:
    values = np.zeros((300, 1))
    values[200], values[260] = 1e4, 3e4
    found = scores(values, TRAIN, residuals_of(values, np.zeros((300, 1))))
    assert found[:TRAIN].max() < found[200] < found[260] <= 1


def test_a_part_too_short_to_tell_what_is_normal_is_named() -> None:
    values = np.random.default_rng(1).normal(size=(100, 1))
    message = "pump: its leading part, taken to be normal, has 39 rows of 100, too few to score"
    with pytest.raises(InputError, match=message):
        scores(values, 4 * H - 1, residuals_of(values, values))
    assert np.isfinite(scores(values, 4 * H, residuals_of(values, values))).all()


def test_nothing_is_strange_where_few_normal_windows_are_told_of() -> None:
    values = np.random.default_rng(1).normal(size=(300, 1))
    for windows in (slice(60, 62), slice(0), slice(130, 140)):
        some = Residuals(*(part[windows] for part in residuals_of(values, values)))
        found = scores(values, TRAIN, some)
        assert np.isnan(found).sum() == 300 - (len(some.starts) + H - 1) * bool(len(some.starts))
        assert np.nansum(found) == 0


@pytest.mark.parametrize("knobs", [{"fraction": 1.0}, {"num_folds": 1}])
def test_ranges(knobs: dict) -> None:
    with pytest.raises(ValueError, match="fraction=.* must be above 0 and below 1, num_folds="):
        Subspace(**knobs)


@pytest.mark.parametrize(("rows", "columns"), [(200, 6), (20, 50)])
def test_squares_of_each_direction_add_up(rows: int, columns: int) -> None:
    generator = np.random.default_rng(3)
    normal, others = generator.normal(size=(rows, columns)), generator.normal(size=(10, columns))
    components = Components(normal)
    for squares, whole in (
        (components.whitened(others, 0.1), components.distances(others, 0.1)),
        (components.leftover(others, 0.5), components.residuals(others, 0.5)),
    ):
        np.testing.assert_allclose(np.square(squares).mean(axis=1), whole, rtol=1e-6)

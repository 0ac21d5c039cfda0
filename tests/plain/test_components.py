"""Principal components, against the library's, and what they find strange."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA

from seqfuse.plain.components import Components, held_out
from seqfuse.plain.likelihood import Told
from seqfuse.plain.subspace import Subspace

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


def test_distances_are_those_of_scipy() -> None:
    inverse = np.linalg.inv(np.cov(NORMAL.T, bias=True))
    wanted = [mahalanobis(one, NORMAL.mean(axis=0), inverse) ** 2 for one in OTHERS]
    np.testing.assert_allclose(6 * Components(NORMAL).distances(OTHERS, 0.0), wanted, rtol=1e-6)


@pytest.mark.parametrize("rows", [3, 9])
def test_vectors_that_never_changed_leave_all_of_a_change(rows: int) -> None:
    still = Components(np.ones((rows, 4)))
    np.testing.assert_allclose(still.residuals(np.full((1, 4), 3.0), 0.9), [4.0])
    if rows > 4:
        np.testing.assert_allclose(still.distances(np.full((1, 4), 1.5), least=0.5), [1.0])


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


def told(values: np.ndarray, predictions: np.ndarray) -> Told:
    starts = np.arange(len(values) - H + 1)
    return Told(starts, np.zeros((len(starts), H)), predictions[starts[:, None] + np.arange(H)])


def test_either_part_tells_what_is_strange() -> None:
    values = np.random.default_rng(1).normal(size=(300, 1))
    seen = np.random.default_rng(2).normal(size=(300, 1))
    broken, far = values.copy(), seen.copy()
    broken[200], far[250] = 30, 30
    before = Subspace().of_windows(values, TRAIN, told(values, seen))
    of_values = Subspace().of_windows(broken, TRAIN, told(values, seen))
    of_seen = Subspace().of_windows(values, TRAIN, told(values, far))
    assert before.max() < 0.5
    assert of_values[200] > 0.6
    assert of_seen[250] > 0.6
    np.testing.assert_allclose(
        np.delete(of_values, np.r_[191:210]), np.delete(before, np.r_[191:210])
    )
    np.testing.assert_allclose(
        np.delete(of_seen, np.r_[241:260]), np.delete(before, np.r_[241:260])
    )


def test_half_a_score_is_four_deviations_above_the_mean() -> None:
    values = np.random.default_rng(1).normal(size=(300, 2))
    scores = Subspace().of_windows(values, TRAIN, told(values, values))[:TRAIN]
    distances = scores / (1 - scores)  # in mean plus four deviations
    assert distances.mean() + 4 * distances.std() == pytest.approx(1)


def test_what_is_beyond_all_measure_is_still_told_apart() -> None:
    values = np.zeros((300, 1))
    values[200], values[260] = 1e4, 3e4
    scores = Subspace().of_windows(values, TRAIN, told(values, np.zeros((300, 1))))
    assert scores[:TRAIN].max() < scores[200] < scores[260] <= 1


def test_nothing_is_strange_where_no_window_is_normal() -> None:
    values = np.random.default_rng(1).normal(size=(40, 1))
    found = Subspace().of_windows(values, H - 1, told(values, values))
    assert np.isnan(found[: H - 1]).all()
    assert (found[H:] == 0).all()


@pytest.mark.parametrize("knobs", [{"share": 1.0}, {"num_folds": 1}])
def test_ranges(knobs: dict) -> None:
    with pytest.raises(ValueError, match="share=.* must be above 0 and below 1, num_folds="):
        Subspace(**knobs)

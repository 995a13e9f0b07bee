"""A catalogue lists each cluster once: the most likely of several detections with the same counterpart."""

import numpy as np
import pytest

from clustermass.catalogues.match_field import match_by_confirmation, most_likely
from clustermass.simulate.field import ExposureMap, Field

MATCHING = {
    "det_like_min": 5.0, "ext_like_min": 6.0, "radius_r500": 1.0, "damping_r500": 0.6, "random_positions": 3000,
    "f_cont_max": 0.3,
}  # fmt: skip


def test_the_most_likely_detection_of_each_halo_is_found():
    rng = np.random.default_rng(5)
    halo, likelihood = rng.integers(0, 40, 300), rng.integers(5, 30, 300).astype(float)  # many ties
    expected = []
    for one in np.unique(halo):
        rows = [row for row in range(300) if halo[row] == one]
        expected.append(max(rows, key=lambda row: (likelihood[row], -row)))
    assert most_likely(halo, likelihood).tolist() == sorted(expected)
    assert most_likely(np.zeros(0, dtype=int), np.zeros(0)).size == 0


@pytest.mark.parametrize("best", [0, 1, 2])
def test_detections_with_the_same_counterpart_match_it_once(best):
    # three detections within R500 of one rich halo, a fourth one at another halo, and a fifth far from both
    field = Field(ra_deg=150.0, dec_deg=2.0, width_deg=2.0, height_deg=2.0)
    exposure = ExposureMap(field, 1 / 60, np.full((122, 122), 1000.0, dtype=np.float32))
    likelihood = np.array([20.0, 20.0, 20.0, 30.0, 30.0])
    likelihood[best] = 25.0
    found = {
        "ID_SRC": np.arange(1, 6), "RA": np.array([150.0, 150.01, 149.99, 150.3, 149.5]),
        "DEC": np.array([2.0, 2.0, 2.0, 2.3, 1.5]), "DET_LIKE": likelihood, "EXT_LIKE": np.full(5, 20.0),
        "ML_CTS": np.full(5, 50.0),
    }  # fmt: skip
    truth = {
        "SRC_ID": np.array([7, 8]), "RA": np.array([150.0, 150.3]), "DEC": np.array([2.0, 2.3]),
        "Z": np.array([0.3, 0.5]), "R500_ARCMIN": np.array([3.0, 2.0]), "LAMBDA_OBS": np.array([60.0, 40.0]),
        "COUNTS": np.array([100.0, 25.0]),
    }  # fmt: skip
    matched = match_by_confirmation(found, truth, exposure, MATCHING, np.random.default_rng(1))
    assert matched.matches["ID_SRC"].tolist() == [best + 1, 4]
    assert matched.matches["SRC_ID"].tolist() == [7, 8]
    assert matched.matches["PURITY"].tolist() == [1.0, 0.5]
    expected = np.full(5, np.nan)
    expected[[best, 3]] = 0.3, 0.5
    np.testing.assert_array_equal(matched.redshift, expected)
    # all three are confirmed, as F_CONT and LAMBDA in the catalogue say
    assert (matched.catalogue["F_CONT"][:4] < 0.3).all() and np.isfinite(matched.catalogue["LAMBDA"][:4]).all()

"""Pairs of detections, against separations that are computed for all pairs one by one."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from sky_validation_inputs import files_in, plant

from clustermass.sky_validation import statistics
from clustermass.sky_validation.measure import measure
from clustermass.sky_validation.surroundings import SEPARATION, surroundings


def test_pairs_and_brightest_neighbours_at_ra_0_and_high_declination():
    rng = np.random.default_rng(4)
    number = 400
    catalogue = {
        "RA": rng.uniform(-0.5, 0.5, number) % 360,
        "DEC": rng.uniform(69.8, 70.2, number),
        "ML_CTS": rng.uniform(20, 300, number),
    }
    kind = rng.choice(4, number)  # selected, spurious, point source, fainter point source
    candidate, selected, point = kind < 2, kind == 0, kind == 2
    found = surroundings(catalogue, candidate, selected, point)
    place = SkyCoord(catalogue["RA"], catalogue["DEC"], unit="deg")
    apart = place[:, None].separation(place[None, :]).arcsec + np.where(np.eye(number), np.inf, 0.0)
    pairs = [(apart[np.ix_(candidate, candidate)] < limit).sum() / 2 for limit in SEPARATION]
    points = [(apart[np.ix_(selected, point)] < limit).sum() for limit in SEPARATION]
    assert found["pairs_within"][1].tolist() == pairs and pairs[0] > 0
    assert found["points_within"][1].tolist() == points and points[0] > 0
    for radius in (60, 120):
        near = np.where(apart[np.ix_(candidate, point)] < radius, catalogue["ML_CTS"][point], 0).max(axis=1)
        assert found[f"point_{radius}"][1] == pytest.approx(near / catalogue["ML_CTS"][candidate])
        assert (near == 0).any() and (near > 0).any()


def test_point_sources_that_are_twice_as_dense_around_clusters(tmp_path):
    # 40 clusters, 10 arcmin apart, in a field of 4 deg2 with 1000 point sources per deg2
    rng = np.random.default_rng(5)
    clusters, field = 40, 4000
    expected = clusters * 1000 * np.pi * (180 / 3600) ** 2  # within 180 arcsec
    extra = rng.poisson(expected)
    at = np.repeat(np.arange(clusters), 1 + extra // clusters)[:extra]
    radius, angle = 179 / 3600 * np.sqrt(rng.random(extra)), rng.uniform(0, 2 * np.pi, extra)
    line = 149.1 + np.arange(clusters) / 6 % 2, 1.2 + 0.4 * (np.arange(clusters) // 12)
    stretch = np.cos(np.radians(line[1][at]))
    ra = [*line[0], *rng.uniform(149, 151, field), *(line[0][at] + radius * np.cos(angle) / stretch)]
    dec = [*line[1], *rng.uniform(1, 3, field), *(line[1][at] + radius * np.sin(angle))]
    ids = np.arange(1, len(ra) + 1)
    extended = ids <= clusters
    folder = plant(
        tmp_path / "01",
        catalogue_ID_SRC=ids,
        catalogue_RA=ra,
        catalogue_DEC=dec,
        catalogue_EXT_LIKE=np.where(extended, 20.0, 0.0),
        catalogue_DET_LIKE=30.0,
        truth_SRC_ID=ids[extended],
        matches=[(n, n) for n in ids[extended]],
    )
    data = measure([files_in(folder)])
    # 1 from the field and 1 planted, over a mean to which the planted ones add
    mean = (field + extra) / field
    found = statistics.points_around(data, 180.0)
    assert found == pytest.approx(2 / mean, abs=4 * np.sqrt(expected) / expected)
    assert statistics.pairs_per_field(data, 180.0) == 0
    assert statistics.share_above(data, "point_120", 0.5) > 0.3  # all have the same counts

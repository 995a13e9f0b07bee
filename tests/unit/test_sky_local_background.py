"""The background about a source: of the photons without the sources, where there is exposure."""

import numpy as np
import pytest
from sky_scenes import BACKGROUND, EXPOSURE, PARAMETERS, Scene, exposure

from clustermass.detect.background import estimate_background
from clustermass.detect.stamps import index_events


@pytest.mark.parametrize(("sources", "lowest", "highest"), [(0, 0.98, 1.02), (60, 1.0, 1.09)])
def test_background_is_that_of_the_photons_without_the_sources(sources, lowest, highest):
    scene = Scene(11, half_arcmin=40.0)
    for k in range(sources):  # 300 counts each: together 56 % of the background, 11 % more than 45 arcsec away
        scene.add(-k - 1, *scene.rng.uniform(-2300, 2300, 2), 300)
    index = index_events(scene.events(), scene.ra, 200.0, 2300.0)
    east, north = np.random.default_rng(1).uniform(-2000, 2000, (2, 400))
    ra, dec = scene.sky(east, north)
    level = estimate_background(index, ra - scene.ra, dec, exposure, PARAMETERS) * EXPOSURE / BACKGROUND
    assert lowest < np.mean(level) < highest
    assert np.std(level) < 0.1


def test_background_follows_the_exposure_and_ignores_the_uncovered_sky():
    scene = Scene(12, half_arcmin=20.0)
    index = index_events(scene.events(), scene.ra, 200.0, 2300.0)

    def half_seen(ra, dec):
        return np.where(dec > scene.dec, EXPOSURE, 0.0)

    ra, dec = scene.sky(np.array([0.0, 900.0]), np.array([30.0, 1170.0]))  # at the edge of exposure, in a corner
    level = estimate_background(index, ra - scene.ra, dec, half_seen, PARAMETERS) * EXPOSURE
    np.testing.assert_allclose(level, BACKGROUND, rtol=0.25)

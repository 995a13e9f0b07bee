"""Background around positions, from the counts in cells."""

import numpy as np
import pytest
from detect_inputs import BACKGROUND, EXPOSURE, PARAMETERS, Scene, exposure, photons_of

from clustermass.detect.background import truncated_rate
from clustermass.detect.facet_image import facet_images

MARGIN = 500.0  # arcsec


def level_at(photons, exposure_s, east, north, scene):
    """Return the counts / arcmin^2 at places that are in one facet with their surroundings."""
    ra, dec = scene.sky(east, north)
    levels = np.full(len(ra), np.nan)
    for image in facet_images(photons["ra"], photons["dec"], exposure_s, MARGIN, PARAMETERS):
        x, y = image.facet.to_plane(ra, dec)
        inside = image.facet.contains(x, y, 0.0)
        levels[inside] = image.background(x[inside], y[inside]) * EXPOSURE
    return levels


@pytest.mark.parametrize(("sources", "lowest", "highest"), [(0, 0.98, 1.02), (60, 1.0, 1.09)])
def test_background_is_that_of_the_photons_without_the_sources(sources, lowest, highest):
    scene = Scene(11, half_arcmin=40.0)
    for k in range(sources):  # 300 counts each: together 56 % of the background, 11 % more than 45 arcsec away
        scene.add(-k - 1, *scene.rng.uniform(-2300, 2300, 2), 300)
    east, north = np.random.default_rng(1).uniform(-2000, 2000, (2, 400))
    level = level_at(photons_of(scene), exposure, east, north, scene) / BACKGROUND
    assert lowest < np.mean(level) < highest
    assert np.std(level) < 0.1


def test_background_follows_the_exposure_and_ignores_the_uncovered_sky():
    scene = Scene(12, half_arcmin=20.0)

    def half_seen(ra, dec):
        return np.where(dec > scene.dec, EXPOSURE, 0.0)

    photons = photons_of(scene)
    seen = {name: values[photons["dec"] > scene.dec] for name, values in photons.items()}
    edge, corner = np.array([0.0, 900.0]), np.array([30.0, 1170.0])  # at the edge of exposure, in a corner
    level = level_at(seen, half_seen, edge, corner, scene)
    np.testing.assert_allclose(level, BACKGROUND, rtol=0.25)


def test_cells_with_sources_and_empty_cells_are_left_out():
    rng = np.random.default_rng(3)
    counts = rng.poisson(5.0, (200, 90))
    seconds = np.full(counts.shape, 1000.0)
    without = truncated_rate(counts, seconds, 2.0)
    counts[:, :5] += 40
    seconds[:, 5:20] = 0.0
    counts[:, 5:20] = 0
    rate = truncated_rate(counts, seconds, 2.0)
    assert np.mean(rate) * 1000.0 == pytest.approx(5.0, rel=0.02)
    assert np.mean(rate) == pytest.approx(np.mean(without), rel=0.02)

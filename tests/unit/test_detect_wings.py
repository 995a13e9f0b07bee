"""Profiles of bright clusters, against the profiles that photons are drawn from."""

import numpy as np
import pytest
from detect_inputs import BACKGROUND, EXPOSURE, PARAMETERS, Scene, exposure

from clustermass.detect.facet_image import facet_images
from clustermass.detect.wings import measure


def image_of(scene):
    """Return the image of photons within 40 arcmin, which lie in one facet."""
    east, north = np.concatenate(scene.east), np.concatenate(scene.north)
    near = np.maximum(np.abs(east), np.abs(north)) < 2400.0
    (image,) = facet_images(*scene.sky(east[near], north[near]), exposure, 0.0, PARAMETERS)
    return image


def place(image, scene):
    x, y = image.facet.to_plane(np.array([scene.ra]), np.array([scene.dec]))
    return float(x[0]), float(y[0])


def test_profile_is_the_surface_brightness_without_other_sources():
    scene = Scene(3, ra=152.5, dec=2.5, half_arcmin=40.0).add(1, 0.0, 0.0, 8000, 100.0).add(-1, 200.0, 0.0, 400)
    image = image_of(scene)
    wing = measure(image, *place(image, scene), [])
    assert wing.rate == pytest.approx(BACKGROUND / EXPOSURE, rel=0.1)
    for radius in (100.0, 200.0, 300.0):
        true = 8000 * (1.0 + (radius / 100.0) ** 2) ** -1.5 / (2.0 * np.pi * 100.0**2) * 16.0
        assert float(wing.at(wing.x + radius, np.array(wing.y))) == pytest.approx(true, rel=0.2)
    assert np.all(np.diff(wing.counts) <= 0.0)


def test_known_profiles_are_not_measured_again():
    scene = Scene(4, ra=152.5, dec=2.5, half_arcmin=40.0).add(1, 0.0, 0.0, 8000, 100.0)
    image = image_of(scene)
    x, y = place(image, scene)
    first = measure(image, x, y, [])
    second = measure(image, x, y, [first])
    assert second.counts.max() < 0.1 * first.counts.max()

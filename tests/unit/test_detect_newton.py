"""Fits by Newton's method against fits on grids of positions and extents."""

import numpy as np
import pytest
from detect_inputs import PARAMETERS, psf

from clustermass.detect.maximum_likelihood import Fit, fit_stamps
from clustermass.detect.newton import best_trial, climb, drop_of
from clustermass.detect.stamps import CountImages, build_templates

TEMPLATES = build_templates(psf, PARAMETERS)
LEVEL, NUMBER = 0.03, 200  # background counts in a pixel; stamps


def stamps_of(counts, model, seed):
    """Stamps with one source each, up to 3 arcsec from the centre."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-3.0, 3.0, (2, NUMBER))
    radius = np.hypot(TEMPLATES.x - x[:, None], TEMPLATES.y - y[:, None])
    image = rng.poisson(LEVEL + counts * TEMPLATES.value(np.array(model), radius))
    owner, pixel = np.nonzero(image)
    first = np.searchsorted(owner, np.arange(NUMBER + 1))
    found = image[owner, pixel].astype(np.float32)
    return CountImages(first, owner.astype(np.int32), pixel.astype(np.int32), found), np.full(len(found), LEVEL, "f4")


def centred(counts, model=0):
    zero = np.zeros(NUMBER)
    return Fit(zero, zero.copy(), np.full(NUMBER, model), zero.copy(), np.full(NUMBER, counts), zero.copy())


@pytest.mark.parametrize("counts", [20.0, 60.0, 400.0])
def test_point_sources_reach_the_likelihood_of_a_grid(counts):
    stamps, background = stamps_of(counts, 0, 1)
    rows = np.arange(NUMBER)
    grid, _ = fit_stamps(stamps, background, rows, TEMPLATES, PARAMETERS)
    fit = climb(stamps, background, rows, centred(30.0), TEMPLATES, extended=False)
    gain = fit.delta_c - grid.delta_c
    assert np.percentile(gain, 5) > -0.5 - 0.002 * counts
    assert abs(np.mean(gain)) < 0.3 + 0.002 * counts
    assert np.mean(fit.counts) == pytest.approx(counts, rel=0.03)
    np.testing.assert_allclose(drop_of(stamps, background, rows, fit, TEMPLATES), fit.delta_c, rtol=1e-4, atol=0.02)


@pytest.mark.parametrize(("counts", "model"), [(80.0, 5), (300.0, 8)])
def test_extended_sources_reach_the_likelihood_of_a_grid(counts, model):
    stamps, background = stamps_of(counts, model, 2)
    rows = np.arange(NUMBER)
    _, grid = fit_stamps(stamps, background, rows, TEMPLATES, PARAMETERS)
    still = np.zeros(4)
    trials = still, still, np.array([0, 3, 6, 9])
    start = best_trial(stamps, background, rows, centred(counts, 1), TEMPLATES, trials)
    fit = climb(stamps, background, rows, start, TEMPLATES, extended=True)
    assert np.all(fit.delta_c > start.delta_c - 0.01)
    assert np.percentile(fit.delta_c - grid.delta_c, 2) > -0.5
    assert np.median(fit.extent) == pytest.approx(TEMPLATES.core_radius[model], rel=0.15)
    assert np.mean(fit.counts) == pytest.approx(counts, rel=0.06)


def test_only_the_given_stamps_are_fitted():
    stamps, background = stamps_of(60.0, 0, 3)
    every = climb(stamps, background, np.arange(NUMBER), centred(30.0), TEMPLATES, extended=False)
    rows = np.array([5, 90, 17])
    some = climb(stamps, background, rows, centred(30.0)[rows], TEMPLATES, extended=False)
    np.testing.assert_allclose(some.counts, every.counts[rows], rtol=1e-3)
    np.testing.assert_allclose(some.delta_c, every.delta_c[rows], rtol=1e-3)

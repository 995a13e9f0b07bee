"""Fits by Newton's method against the minima of the C statistic that scipy finds."""

import numpy as np
import pytest
from detect_inputs import PARAMETERS, psf
from scipy.optimize import minimize

from clustermass.detect.maximum_likelihood import Fit
from clustermass.detect.newton import best_trial, climb, drop_of
from clustermass.detect.stamps import CountImages, build_templates

TEMPLATES = build_templates(psf, PARAMETERS)
LEVEL, NUMBER, COMPARED = 0.03, 200, 60  # background counts in a pixel; stamps; stamps with a fit by scipy


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


def minima(stamps, models):
    """Drop of the C statistic at the minimum over position and counts, for the best of some models, (COMPARED,)."""
    best = np.zeros(COMPARED)
    for number in range(COMPARED):
        entries = slice(stamps.first[number], stamps.first[number + 1])
        pixel, counts = stamps.pixel[entries], stamps.counts[entries].astype(float)

        def drop(p, model, pixel=pixel, counts=counts):
            radius = np.hypot(TEMPLATES.x[pixel] - p[0], TEMPLATES.y[pixel] - p[1])
            source = np.exp(p[2]) * TEMPLATES.value(np.array(model), radius)
            inside = TEMPLATES.sum_inside(np.array(model), np.hypot(p[0], p[1]))
            return -2.0 * (np.sum(counts * np.log1p(source / LEVEL)) - np.exp(p[2]) * inside)

        simplex = [[0, 0, 4], [4, 0, 4], [0, 4, 4], [0, 0, 5]]
        options = {"initial_simplex": simplex, "xatol": 0.01, "fatol": 0.01}
        found = [minimize(drop, np.zeros(3), args=(m,), method="Nelder-Mead", options=options).fun for m in models]
        best[number] = max(best[number], -min(found))
    return best


@pytest.mark.parametrize("counts", [20.0, 60.0, 400.0])
def test_point_sources_reach_the_highest_likelihood(counts):
    stamps, background = stamps_of(counts, 0, 1)
    rows = np.arange(NUMBER)
    fit = climb(stamps, background, rows, centred(30.0), TEMPLATES, extended=False)
    gain = fit.delta_c[:COMPARED] - minima(stamps, [0])
    assert np.percentile(gain, 5) > -0.5 - 0.002 * counts
    assert abs(np.mean(gain)) < 0.3 + 0.002 * counts
    assert np.mean(fit.counts) == pytest.approx(counts, rel=0.03)
    np.testing.assert_allclose(drop_of(stamps, background, rows, fit, TEMPLATES), fit.delta_c, rtol=1e-4, atol=0.02)


@pytest.mark.parametrize(("counts", "model"), [(80.0, 5), (300.0, 8)])
def test_extended_sources_reach_the_highest_likelihood(counts, model):
    stamps, background = stamps_of(counts, model, 2)
    rows = np.arange(NUMBER)
    still = np.zeros(4)
    trials = still, still, np.array([0, 3, 6, 9])
    start = best_trial(stamps, background, rows, centred(counts, 1), TEMPLATES, trials)
    fit = climb(stamps, background, rows, start, TEMPLATES, extended=True)
    assert np.all(fit.delta_c > start.delta_c - 0.01)
    assert np.percentile(fit.delta_c[:COMPARED] - minima(stamps, range(model - 2, model + 3)), 2) > -0.5
    assert np.median(fit.extent) == pytest.approx(TEMPLATES.core_radius[model], rel=0.15)
    assert np.mean(fit.counts) == pytest.approx(counts, rel=0.06)


def test_only_the_given_stamps_are_fitted():
    stamps, background = stamps_of(60.0, 0, 3)
    every = climb(stamps, background, np.arange(NUMBER), centred(30.0), TEMPLATES, extended=False)
    rows = np.array([5, 90, 17])
    some = climb(stamps, background, rows, centred(30.0)[rows], TEMPLATES, extended=False)
    np.testing.assert_allclose(some.counts, every.counts[rows], rtol=1e-3)
    np.testing.assert_allclose(some.delta_c, every.delta_c[rows], rtol=1e-3)

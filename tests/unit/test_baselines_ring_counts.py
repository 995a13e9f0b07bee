from dataclasses import replace

import numpy as np
import pytest
from bayes_limit_inputs import BANDS_EV, drawn, model
from scipy.stats import chi2

from clustermass.baselines.ring_counts import RING_EDGES_ARCSEC
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.photons import Background, background_photons, cluster_photons
from clustermass.simulate.telescope import KingPsf, response_to

EXPOSURE = {"taper_deg": 0.0, "scans": 1, "overlap_deg": 1.0, "depth_s": 1000.0, "pixel_arcsec": 60.0}
#: probability with which each comparison of counts fails although the model is right
FALSE_ALARM = 1e-3


def _exposure(**changes):
    return ExposureMap.from_config(Field(136.0, 1.5, 4.0, 4.0), EXPOSURE | {"particle_slope": 0.5} | changes)


def _agree(counts, mean):
    return ((counts - mean) ** 2 / mean).sum() < chi2(counts.size).isf(FALSE_ALARM)


def _in_rings(photons):
    distance = 3600 * np.hypot(photons.longitude, photons.latitude)
    return np.histogram2d(distance, photons.energy_ev, bins=(RING_EDGES_ARCSEC, BANDS_EV))[0]


@pytest.mark.parametrize(("axis_ratio", "rich"), [(0.45, False), (0.95, True)])
def test_mean_photons_of_a_cluster_are_those_that_the_simulation_draws(axis_ratio, rich):
    of, number = model(rich), 300_000
    cluster = drawn(of, np.array([14.4]))
    cluster = replace(
        cluster, rate=np.full(1, number / 1000), gas=replace(cluster.gas, axis_ratio=np.full(1, axis_ratio))
    )
    psf = KingPsf(**of.sky["psf"])
    counts = _in_rings(cluster_photons(cluster, of.rings.spectra, _exposure(), psf, np.random.default_rng(2)))
    mean = of.rings.rates(cluster)[0] * 1000
    assert counts.sum() > 0.9 * number
    assert _agree(counts, mean)
    rounder = replace(cluster, gas=replace(cluster.gas, axis_ratio=np.full(1, 0.7)))
    assert not _agree(counts, of.rings.rates(rounder)[0] * 1000)


def test_mean_background_is_that_which_the_simulation_draws():
    sky, exposure = model().sky, _exposure(depth_s=30_000.0)
    particles = ExposureMap.from_config(exposure.field, EXPOSURE | {"particle_slope": 0.5}, vignetted=False)
    background = Background.from_config(sky["background"], sky["absorption"]["nh_cm2"], response_to(2350.0))
    counts = _in_rings(background_photons(background, exposure, particles, np.random.default_rng(3)))
    mean = model().rings.background(np.full(11, 30_000.0), np.full(11, 1000.0))
    assert counts.sum() > 10_000
    assert _agree(counts, mean)
    assert not _agree(counts, model().rings.background(np.full(11, 30_000.0), np.full(11, 5000.0)))

"""The fits, and their DET_LIKE and EXT_LIKE against those that eSASS published for eFEDS, cluster by cluster.

A source of the catalogue's ML_CTS and EXT on its ML_BKG is expected to have a likelihood that follows from the model
alone: the counts are taken to be exactly those expected (an Asimov data set).
"""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr
from scipy.stats import chi2

from clustermass.detect.maximum_likelihood import EXTENDED_DOF, fit_amplitude, negative_log_q
from clustermass.detect.stamps import build_templates
from clustermass.simulate.telescope import KingPsf

CATALOGUE = Path(__file__).parents[3] / "shared" / "data" / "efeds" / "efeds_ctp_clus_Klein2022_v2.1.csv"
SKY = yaml.safe_load((Path(__file__).parents[2] / "config" / "config.yaml").read_text())["skies"]["embedded"]


@pytest.mark.parametrize("dof", [1.0, 2.0, 3.0, 4.0, 2.7])
def test_likelihood_is_the_chi_square_tail(dof):
    drop = np.concatenate([[0.0], np.logspace(-3, np.log10(1300.0), 200)])
    np.testing.assert_allclose(negative_log_q(dof, drop), -chi2.logsf(drop, dof), rtol=1e-9, atol=1e-12)


def test_likelihood_of_huge_drops_follows_the_closed_forms():
    drop = np.logspace(2, 7, 300)
    x = drop / 2
    half = -log_ndtr(-np.sqrt(drop)) - np.log(2.0)  # Q(1/2, x) = erfc(sqrt(x))
    three_halves = half - np.log1p(np.exp(0.5 * np.log(x) - x + half) / (np.sqrt(np.pi) / 2))  # recurrence in a
    np.testing.assert_allclose(negative_log_q(1.0, drop), half, rtol=1e-11)
    np.testing.assert_allclose(negative_log_q(2.0, drop), x, rtol=1e-12)
    np.testing.assert_allclose(negative_log_q(3.0, drop), three_halves, rtol=1e-10)
    np.testing.assert_allclose(negative_log_q(4.0, drop), x - np.log1p(x), rtol=1e-12)


def test_negative_drop_counts_as_none():
    assert negative_log_q(3.0, np.array([-5.0]))[0] == 0.0


def test_amplitude_minimises_the_c_statistic():
    rng = np.random.default_rng(5)
    template = rng.dirichlet(np.full(700, 0.05), size=(8, 3)).transpose(0, 2, 1)
    background = rng.uniform(0.01, 0.1, size=(8, 700))
    true = np.array([0.0, 0.0, 3.0, 10.0, 30.0, 200.0, 3000.0, 30000.0])
    counts = rng.poisson(background + true[:, None] * template[:, :, 0]).astype(float)
    inside = template.sum(axis=1)
    start = counts.sum(axis=1, keepdims=True) + 1.0
    amplitude, drop = fit_amplitude(counts, background, template, inside, start, iterations=8)
    for i in range(8):
        for k in range(3):

            def statistic(a, i=i, k=k):
                model = background[i] + a * template[i, :, k]
                return 2.0 * np.sum(model - counts[i] * np.log(model))

            best = minimize_scalar(statistic, bounds=(0.0, 1e5), method="bounded", options={"xatol": 1e-7})
            expected = max(statistic(0.0) - best.fun, 0.0)
            assert drop[i, k] == pytest.approx(expected, rel=1e-5, abs=1e-4)
            assert amplitude[i, k] == pytest.approx(best.x, rel=1e-3, abs=1e-2)


def _expected(clusters, psf):
    """DET_LIKE and EXT_LIKE of each cluster."""
    templates = build_templates(psf, SKY["detection"])
    nearest = (
        np.argmin(np.abs(np.log(np.maximum(clusters["EXT"], 8.0)[:, None] / templates.core_radius[1:])), axis=1) + 1
    )
    radius = np.hypot(templates.x, templates.y)
    background = np.array(clusters["ML_BKG"])[:, None] * (templates.pixel_arcsec / 60) ** 2 * np.ones(len(radius))
    source = np.array(clusters["ML_CTS"])[:, None] * templates.value(nearest[:, None], radius)
    counts = source + background
    extended = 2 * (counts * np.log1p(source / background) - source).sum(axis=1)
    point = templates.value(np.zeros(1, int), radius)[None, :, None] * np.ones((len(clusters), 1, 1))
    total = point.sum(axis=1)
    _, explained = fit_amplitude(counts, background, point, total, source.sum(axis=1, keepdims=True), iterations=20)
    return negative_log_q(EXTENDED_DOF, extended), negative_log_q(
        SKY["detection"]["ext_dof"], extended - explained[:, 0]
    )


@pytest.mark.skipif(not CATALOGUE.exists(), reason="the eFEDS catalogues don't lie beside the checkout")
def test_likelihoods_are_those_of_esass():
    clusters = Table.read(CATALOGUE)
    usual = (clusters["ML_EXP"] > 1000) & (clusters["ML_EXP"] < 1400) & (clusters["ML_BKG"] < 9)
    clusters = clusters[usual]
    assert len(clusters) == 361
    detection, extent = _expected(clusters, KingPsf(**SKY["psf"]))
    for mine, published, median, spread in ((detection, "DET_LIKE", 0.06, 0.12), (extent, "EXT_LIKE", 0.08, 0.25)):
        ratio = np.log(np.array(clusters[published]) / mine)
        print(published, np.median(ratio), 1.4826 * np.median(np.abs(ratio - np.median(ratio))))
        assert abs(np.median(ratio)) < median, published
        assert 1.4826 * np.median(np.abs(ratio - np.median(ratio))) < spread, published


@pytest.mark.skipif(not CATALOGUE.exists(), reason="the eFEDS catalogues don't lie beside the checkout")
def test_a_width_outside_the_published_range_would_show():
    clusters = Table.read(CATALOGUE)
    clusters = clusters[(clusters["ML_EXP"] > 1000) & (clusters["ML_EXP"] < 1400) & (clusters["ML_BKG"] < 9)]
    sharp = KingPsf(5.0, 1.5, 0.1, 600.0)  # half-energy width 17 arcsec: on axis
    _, extent = _expected(clusters, sharp)
    assert np.median(np.log(np.array(clusters["EXT_LIKE"]) / extent)) < -0.3

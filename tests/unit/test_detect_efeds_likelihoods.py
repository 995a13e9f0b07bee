"""Our DET_LIKE and EXT_LIKE against those that eSASS published for eFEDS, cluster by cluster.

A source of the catalogue's ML_CTS and EXT on its ML_BKG is expected to have a likelihood that follows from the model
alone: the counts are taken to be exactly those expected (an Asimov data set).
"""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table

from clustermass.detect.beta_models import build_templates
from clustermass.detect.maximum_likelihood import EXTENDED_DOF, fit_amplitude, negative_log_q
from clustermass.simulate.telescope import KingPsf

CATALOGUE = Path(__file__).parents[3] / "shared" / "data" / "efeds" / "efeds_ctp_clus_Klein2022_v2.1.csv"
SKY = yaml.safe_load((Path(__file__).parents[2] / "config" / "config.yaml").read_text())["skies"]["embedded"]


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
    detection, extent = _expected(clusters, KingPsf.from_config(SKY["psf"]))
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

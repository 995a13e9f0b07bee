"""Templates of sources: their counts, and the settings that are refused."""

import numpy as np
import pytest
from detect_inputs import CORE, PARAMETERS, heavy_tailed_radius, psf

from clustermass.detect.stamps import build_templates
from clustermass.errors import InputError


def test_templates_hold_the_counts_of_the_source():
    templates = build_templates(psf, PARAMETERS)
    inside = 1.0 - (1.0 + (60.0 / CORE) ** 2) ** -0.5  # of the King profile
    assert templates.sum_inside(np.array(0), np.array(0.0)) == pytest.approx(inside, abs=0.005)
    rng, n = np.random.default_rng(3), 400_000
    for model in (1, 6, 11):  # PSF (x) beta model by Monte Carlo
        r1, angle = heavy_tailed_radius(rng, CORE, n), rng.uniform(0, 2 * np.pi, n)
        r2 = heavy_tailed_radius(rng, templates.core_radius[model], n)
        share = np.mean(np.hypot(r1 * np.cos(angle) + r2, r1 * np.sin(angle)) < 60.0)
        assert templates.sum_inside(np.array(model), np.array(0.0)) == pytest.approx(share, abs=0.006)


def test_cut_radius_must_fit_into_the_stamp():
    with pytest.raises(InputError, match="stamp_pixels"):
        build_templates(psf, PARAMETERS | {"stamp_pixels": 21})


def test_psf_must_be_normalised():
    with pytest.raises(InputError, match="PSF sums to"):
        build_templates(lambda r: 2.0 * psf(r), PARAMETERS)

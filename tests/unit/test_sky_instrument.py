from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.integrate import quad
from scipy.stats import kstest

from clustermass.sky.instrument import (
    PHOTON_KEV,
    PI_EDGES_EV,
    KingPsf,
    detection_band_fraction,
    effective_area_cm2,
    fold,
    redistribution,
)
from clustermass.sky.spectra import ERG_PER_KEV, power_law, transmission

SHARED = Path(__file__).parents[3] / "shared"


def test_area_is_that_of_the_official_arf():
    path = SHARED / "data" / "responses" / "onaxis_tm0_arf_filter_2023-01-17.fits.gz"
    if not path.exists():
        pytest.skip("the official response files don't lie beside the checkout")
    with fits.open(path) as hdus:
        low, high, area = (hdus[1].data[name].astype(float) for name in ("ENERG_LO", "ENERG_HI", "SPECRESP"))
    centre = (low + high) / 2
    used = (centre > 0.2) & (centre < 2.5)
    assert np.abs(effective_area_cm2(centre[used]) - area[used]).max() < 30
    assert effective_area_cm2(centre[used]).sum() == pytest.approx(area[used].sum(), rel=0.01)


@pytest.mark.parametrize(
    ("low", "high", "counts_per_flux", "tolerance"),
    [
        (0.2, 2.3, 10.73, 0.01),
        (0.5, 2.0, 11.85, 0.015),
        (0.5, 1.0, 13.65, 0.02),
        (1.0, 2.0, 10.25, 0.015),
        (0.2, 0.5, 9.43, 0.04),
    ],
)
def test_energy_conversion_factors_are_those_of_xspec(low, high, counts_per_flux, tolerance):
    # ecfxa 1.0 (made with XSPEC and the full response): index 2, NH 10^20.5, absorbed flux in the band; 1e11 cm2/erg
    spectrum = power_law(PHOTON_KEV, 2.0) * transmission(PHOTON_KEV, 10**20.5)
    flux, _ = quad(lambda e: e * power_law(e, 2.0) * transmission(e, 10**20.5) * ERG_PER_KEV, low, high, limit=200)
    inside = (PI_EDGES_EV[:-1] >= 1000 * low) & (PI_EDGES_EV[1:] <= 1000 * high)
    assert fold(spectrum)[inside].sum() / flux / 1e11 == pytest.approx(counts_per_flux, rel=tolerance)


def test_a_line_spreads_by_the_measured_resolution():
    row = redistribution()[np.argmin(np.abs(PHOTON_KEV - 1.49))]
    centres = (PI_EDGES_EV[:-1] + PI_EDGES_EV[1:]) / 2
    mean = (row * centres).sum() / row.sum()
    fwhm = np.sqrt(8 * np.log(2) * (row * (centres - mean) ** 2).sum() / row.sum())
    assert row.sum() == pytest.approx(1.0, abs=1e-9)
    assert mean == pytest.approx(1490, abs=3)
    assert fwhm == pytest.approx(78, abs=1)


def test_redistribution_never_makes_photons():
    assert redistribution().min() >= 0
    assert redistribution().sum(axis=1).max() <= 1 + 1e-12


def test_detection_band_ends_at_2300_ev():
    flat = np.ones(len(PI_EDGES_EV) - 1)
    assert detection_band_fraction(flat) == pytest.approx(2100 / 2150)


@pytest.mark.parametrize("psf", [KingPsf(8.66, 1.5, 0.1, 600.0), KingPsf(5.0, 3.0, 0.0, 200.0)])
def test_psf_is_normalised_and_consistent(psf):
    total, _ = quad(lambda r: 2 * np.pi * r * psf(r), 0, psf.radius_max_arcsec, limit=400)
    inside, _ = quad(lambda r: 2 * np.pi * r * psf(r), 0, 20.0)
    assert total == pytest.approx(1.0, rel=1e-6)
    assert psf.enclosed(20.0) == pytest.approx(inside, rel=1e-6)
    assert psf(psf.radius_max_arcsec + 1) == 0


def test_psf_has_the_half_energy_width_of_the_survey():
    # 26 arcsec, averaged over the field of view (Predehl et al. 2021)
    assert KingPsf(7.6, 1.5, 0.1, 600.0).enclosed(13.0) == pytest.approx(0.5, abs=0.01)


def test_drawn_radii_follow_the_psf():
    psf = KingPsf(8.66, 1.5, 0.3, 600.0)
    for energy in (300.0, 1000.0, 2000.0):
        radius = psf.draw_radius(np.random.default_rng(1), np.full(20_000, energy, dtype=np.float32))
        assert radius.max() <= 600.1
        assert kstest(radius, KingPsf(8.66 * (energy / 1000) ** 0.3, 1.5, 0.0, 600.0).enclosed).pvalue > 0.01
        assert psf.at_energy(energy / 1000).core_arcsec == pytest.approx(8.66 * (energy / 1000) ** 0.3)

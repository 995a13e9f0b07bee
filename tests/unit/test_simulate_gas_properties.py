from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from clustermass.cosmology import arcmin_per_mpc, efunc
from clustermass.simulate.gas import Gas
from clustermass.simulate.gas_properties import bolometric_luminosity, concentration, core_class, deprojected, gas_mass
from clustermass.simulate.profiles import RadialProfiles
from clustermass.simulate.spectra import bremsstrahlung, emissivity

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
FINE = np.geomspace(0.01, 3.0, 300)


def _gas(profiles, kt=5.0, scale_mpc=1.0, r500_mpc=1.1, redshift=0.3):
    one, arcmin = np.ones(1), arcmin_per_mpc(np.array([redshift]), COSMOLOGY)
    return Gas(kt * one, 2e44 * one, one, profiles, scale_mpc * arcmin, r500_mpc * arcmin, one, one)


def _beta_model(core):
    """Projection of the density squared (1 + r^2 / core^2)^-2, with a central value of 1."""
    return np.log(np.pi / 2 * core * (1 + (FINE / core) ** 2) ** -1.5)[None, :]


@pytest.mark.parametrize("core", [0.05, 0.2])
def test_the_deprojection_inverts_a_beta_model(core):
    radius, emission = deprojected(RadialProfiles.from_nodes(FINE, _beta_model(core)))
    inner = (radius > 0.02) & (radius < 1.5)
    assert emission[0, inner] == pytest.approx((1 + (radius[inner] / core) ** 2) ** -2, rel=0.012)


def test_the_gas_mass_of_a_beta_model_is_that_of_the_integral():
    # electrons x hydrogen 1e-5 cm-6 in the centre; S is this without (kT / 10 keV)^0.5 E(z)^3, and in cm-6 Mpc
    factor = 1e-5 * 0.8 / (np.sqrt(5.0 / 10) * efunc(0.3, COSMOLOGY) ** 3)
    gas = _gas(RadialProfiles.from_nodes(FINE, _beta_model(0.2) + np.log(factor)), scale_mpc=0.8)
    volume = 4 * np.pi * quad(lambda r: r**2 / (1 + (r / 0.16) ** 2), 0, 1.1)[0] * 3.0856776e24**3
    hydrogen = np.sqrt(1e-5 / 1.1954)  # cm-3, with 0.0977 helium nuclei for each
    expected = 1.3908 * 1.6726e-24 * hydrogen * volume / 1.98841e33
    assert gas_mass(gas, np.array([0.3]), COSMOLOGY)[0] == pytest.approx(expected, rel=0.005)


def test_the_deprojection_of_a_drawn_profile_projects_back():
    nodes = np.array([0.025, 0.1, 0.3, 1.0, 1.8])
    profiles = RadialProfiles.from_nodes(nodes, np.array([[-12.0, -13.3, -14.8, -17.9, -20.0]]))
    radius, emission = deprojected(profiles)
    for at in (0.05, 0.2, 0.6):

        def along(depth, at=at):
            return 2 * np.interp(np.hypot(at, depth), radius, emission[0])

        projected = sum(quad(along, *ends, limit=200)[0] for ends in ((0, 0.1), (0.1, 1), (1, 10)))
        expected = np.exp(np.interp(np.log(at), np.log(nodes), np.log(profiles.brightness[0])))
        assert projected == pytest.approx(expected, rel=0.02)


def test_the_bolometric_luminosity_is_the_integral_of_the_spectrum():
    profiles = RadialProfiles.from_nodes(FINE, _beta_model(0.2))
    for kt in (1.5, 4.0, 9.0):
        edges = [0.01, 0.3, 0.5, 0.7, 0.9, 1.1, 1.4, 2.0, 3.0, 5.0, 20.0, 100.0]
        parts = np.array([quad(emissivity, *ends, args=(kt,), limit=300)[0] for ends in pairwise(edges)])
        expected = 2e44 * parts.sum() / parts[2:7].sum()
        assert bolometric_luminosity(_gas(profiles, kt))[0] == pytest.approx(expected, rel=5e-3)


def test_hot_gas_radiates_as_the_formula_of_bremsstrahlung():
    # 1.426e-27 T^0.5 g sum Z^2 n_ion (Rybicki & Lightman Eq. 5.15b); the Gaunt factor averaged over the spectrum in
    # Born's approximation is 2 sqrt(3) / pi
    kelvin = 10 * 1.160452e7
    total = quad(lambda energy: float(bremsstrahlung(energy, 10.0)), 1e-4, 200, limit=500)[0]
    assert total == pytest.approx(1.426e-27 * np.sqrt(kelvin) * 2 * np.sqrt(3) / np.pi * 1.39, rel=0.01)


def test_concentration_and_class_of_the_core():
    redshift = np.array([0.3])
    for core, wanted in ((0.03, 2), (0.08, 1), (0.4, 0)):
        gas = _gas(RadialProfiles.from_nodes(FINE, _beta_model(core)))
        inside = [1 - (1 + (r / core) ** 2) ** -0.5 for r in (0.04, 0.4)]  # of a beta model with beta = 2/3
        found = concentration(gas, redshift, COSMOLOGY)
        assert found[0] == pytest.approx(inside[0] / inside[1], rel=0.02)
        assert core_class(found)[0] == wanted

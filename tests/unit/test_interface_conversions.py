"""Conversions of masses, against NFW profiles by hand, colossus, and the gas of the simulated sky."""

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import FlatLambdaCDM
from astropy.table import Column, MaskedColumn
from colossus.cosmology import cosmology as colossus_cosmology
from colossus.halo import concentration

from clustermass.config.resolve import default_config
from clustermass.cosmology import luminosity_distance_cm
from clustermass.errors import InputError
from clustermass.interface.conversions import to_cosmology, to_definition, with_h
from clustermass.simulate.mean_gas import low_mass_correction_dex, mean_luminosity
from clustermass.simulate.sources import set_colossus

DEFAULT = default_config()["cosmology"]
OTHERS = [{"h0_km_s_mpc": 69.32, "omega_m": 0.2865}, {"h0_km_s_mpc": 50.0, "omega_m": 0.9}]


@pytest.mark.parametrize(("log_mass", "z"), [(13.5, 0.1), (14.0, 0.3), (14.8, 0.9)])
@pytest.mark.parametrize(("definition", "overdensity", "reference"), [("200c", 200, 1), ("200m", 200, None)])
def test_the_converted_mass_encloses_the_given_one(log_mass, z, definition, overdensity, reference):
    """The NFW profile of the result, with the concentration of colossus, encloses M500c in R500c."""
    converted = to_definition(10**log_mass * u.Msun, z, definition).to_value(u.Msun)
    little_h = set_colossus(DEFAULT)
    c = float(concentration.concentration(converted * little_h, definition, z, model="diemer19"))
    sky = FlatLambdaCDM(H0=DEFAULT["h0_km_s_mpc"], Om0=DEFAULT["omega_m"])
    critical = sky.critical_density(z).to_value(u.Msun / u.Mpc**3)
    density = overdensity * critical * (reference or sky.Om(z))
    radius = (3 * converted / (4 * np.pi * density)) ** (1 / 3)
    r500 = (3 * 10**log_mass / (4 * np.pi * 500 * critical)) ** (1 / 3)

    def mu(x):
        return np.log(1 + x) - x / (1 + x)

    assert converted * mu(c * r500 / radius) / mu(c) == pytest.approx(10**log_mass, rel=0.01)


def test_the_user_s_cosmology_in_colossus_stays():
    before = colossus_cosmology.setCosmology("planck18")
    to_definition(1e14 * u.Msun, 0.3)
    assert colossus_cosmology.getCurrent() is before


def test_columns_of_a_table_are_converted_and_missing_masses_stay_missing():
    mass = np.array([1e14, np.nan, 2e14], dtype=np.float32) * u.Msun
    converted = to_definition(mass, np.array([0.3, 0.2, np.nan]))
    assert np.isnan(converted.value).tolist() == [False, True, True]
    assert converted[0] == to_definition(np.float32(1e14) * u.Msun, 0.3)
    assert to_definition(1e14 * u.Msun, 0.3, concentration="duffy08") > converted[0]


@pytest.mark.parametrize(
    "convert", [lambda mass, z: to_definition(mass, z), lambda mass, z: to_cosmology(mass, z, OTHERS[0])]
)
def test_a_column_with_a_unit_is_converted_like_its_quantity(convert):
    mass, z = [1.0, 2.0, 3.0] * (1e14 * u.Msun), [0.3, 0.2, 0.1]
    np.testing.assert_array_equal(convert(Column(mass.to("kg")), z).value, convert(mass.to("kg"), z).value)
    masked = convert(MaskedColumn(mass, mask=[True, False, False]), MaskedColumn(z, mask=[False, True, False]))
    np.testing.assert_array_equal(masked.value, [np.nan, np.nan, convert(mass, z)[2].value])
    assert with_h(Column(mass), 70.0).value == pytest.approx([0.7e14, 1.4e14, 2.1e14])


@pytest.mark.parametrize("cosmology", OTHERS)
@pytest.mark.parametrize("z", [0.1, 0.3, 0.8])
def test_in_another_cosmology_the_simulated_gas_gives_the_same_flux(cosmology, z):
    """Gas of the scaling `profiles`: at low masses the relation is a power law, and the conversion is exact."""
    clusters = default_config()["skies"]["embedded"]["clusters"]

    def flux(mass, sky):
        hydrostatic, at = np.atleast_1d(np.log10(mass.to_value(u.Msun) * clusters["hydrostatic_bias"])), np.array([z])
        correction = low_mass_correction_dex(at, hydrostatic, clusters, sky)
        luminosity = np.log10(mean_luminosity(at, hydrostatic, sky)) + correction
        return float((luminosity - 2 * np.log10(luminosity_distance_cm(at, sky)))[0])

    mass = 5e13 * u.Msun
    moved = to_cosmology(mass, z, cosmology, slope=clusters["low_mass_slope"])
    assert flux(moved, cosmology) == pytest.approx(flux(mass, DEFAULT), abs=1e-9)
    massive = 5e14 * u.Msun
    shifted = to_cosmology(massive, z, cosmology, slope=1.4)
    assert flux(shifted, cosmology) == pytest.approx(flux(massive, DEFAULT), abs=0.02)


def test_the_same_cosmology_changes_nothing_and_the_way_back_is_the_inverse():
    mass, z = [1e14, 3e14] * u.Msun, [0.2, 0.6]
    np.testing.assert_allclose(to_cosmology(mass, z, DEFAULT).value, mass.value, rtol=1e-12)
    there = to_cosmology(mass, z, OTHERS[0])
    np.testing.assert_allclose(to_cosmology(there, z, DEFAULT, trained=OTHERS[0]).value, mass.value, rtol=1e-12)
    assert abs(np.log10(there / mass)).max() < 0.02


def test_masses_with_h_by_hand():
    converted = with_h(2e14 * u.Msun, 70.0)
    assert converted.value == pytest.approx(1.4e14)
    assert str(converted.unit) == "solMass / littleh"


def test_wrong_arguments_are_told():
    for mass in (1e14, Column([1e14]), "1e14", None):
        with pytest.raises(InputError, match="mass: must have a unit of mass"):
            to_definition(mass, 0.3)
    with pytest.raises(InputError, match="mass: must have a unit of mass"):
        to_cosmology(1e14 * u.Mpc, 0.3, OTHERS[0])
    with pytest.raises(InputError, match="mass: must have a unit of mass"):
        with_h(1e14, 70.0)
    with pytest.raises(InputError, match="redshift: must be above 0"):
        to_definition(1e14 * u.Msun, -0.1)
    with pytest.raises(InputError, match="Invalid mass definition, 200x"):
        to_definition(1e14 * u.Msun, 0.3, "200x")

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from clustermass.arrays import random_streams
from clustermass.cosmology import arcmin_per_mpc, efunc, r500c_mpc
from clustermass.simulate.gas import draw_gas
from clustermass.simulate.mean_gas import mean_luminosity
from clustermass.simulate.sources import Haloes
from clustermass.simulate.spectra import cooling_function

SHARED = Path(__file__).parents[3] / "shared" / "data" / "comparat2020"
COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
PARAMETERS = {
    "hydrostatic_bias": 1.0,
    "hydrostatic_bias_scatter": 0.0,
    "bias_scatter_core_slope": 0.0,
    "normalisation_dex": 0.0,
    "low_mass_slope": 1.61,
    "low_mass_log10_m500c": 12.0,
    "temperature_scatter_dex": 0.065,
    "extra_luminosity_scatter_dex": 0.0,
    "luminosity_temperature_correlation": None,
    "scaling": "profiles",
    "component_mean": [0.0, 0.0, 0.0, 0.0],
    "component_scale": [1.0, 1.0, 1.0, 1.0],
    "shape_radius_scatter": 0.0,
    "interpolation": "power_law",
    "outskirts_flux_max": 0.6,
    "axis_ratio_mean": 0.8,
    "axis_ratio_std": 0.1,
}


def _draw(log10_mass, redshift=0.3, number=20_000, **changes):
    zeros = np.zeros(number)
    haloes = Haloes(zeros, zeros, np.full(number, redshift), np.full(number, log10_mass))
    return draw_gas(haloes, PARAMETERS | changes, COSMOLOGY, random_streams(1, "sky", "01"))


def _published_draw(log10_mass, redshift, number):
    """Luminosity and temperature by Comparat's own recipe from the published covariance, for comparison."""
    if not SHARED.exists():
        pytest.skip("the covariance of Comparat et al. 2020 doesn't lie beside the checkout")
    covariance = np.loadtxt(SHARED / "covmat_xxl_hiflugcs_xcop.txt")
    mean, radius = np.loadtxt(SHARED / "mean_pars.txt"), np.loadtxt(SHARED / "radial_binning.txt")
    kt_grid, power = np.loadtxt(SHARED / "coolfunc.dat").T
    given, free = [20, 21], [*range(20), 22]
    gain = covariance[np.ix_(free, given)] @ np.linalg.inv(covariance[np.ix_(given, given)])
    at = mean[free] + gain @ (np.log([redshift, 10**log10_mass]) - mean[given])
    spread = covariance[np.ix_(free, free)] - gain @ covariance[np.ix_(given, free)]
    draw = np.exp(np.random.default_rng(2).multivariate_normal(at, spread, size=number))
    kt = draw[:, 20]
    emission = draw[:, :20] * np.sqrt(kt / 10)[:, None] * efunc(redshift, COSMOLOGY) ** 3
    fine = np.geomspace(0.025, 1.0, 2000)
    rows = np.exp([np.interp(np.log(fine), np.log(radius), row) for row in np.log(emission)])
    integral = 2 * np.pi * (np.trapezoid(rows * fine, fine, axis=1) + rows[:, 0] * 0.025**2 / 2)
    return integral * np.interp(kt, kt_grid, power) * r500c_mpc(
        log10_mass, redshift, COSMOLOGY
    ) ** 2 * 3.0856776e24**3, kt


@pytest.mark.parametrize(("log10_mass", "redshift"), [(13.7, 0.2), (14.3, 0.3), (14.8, 0.7)])
def test_luminosity_and_temperature_are_distributed_as_published(log10_mass, redshift):
    luminosity, kt = _published_draw(log10_mass, redshift, 2000)
    gas = _draw(log10_mass, redshift)
    difference = np.log10(gas.luminosity).mean() - np.log10(luminosity).mean()
    assert abs(difference) < 0.04
    assert np.log10(gas.luminosity).std() == pytest.approx(np.log10(luminosity).std(), rel=0.06)
    assert np.log10(gas.kt_kev).mean() == pytest.approx(np.log10(kt).mean(), abs=0.008)
    assert np.log10(gas.kt_kev).std() == pytest.approx(np.log10(kt).std(), rel=0.06)


def test_scatter_is_that_of_the_abstract():
    # Comparat et al. 2020: 0.21 dex in luminosity, 0.07 dex in temperature at fixed mass
    gas = _draw(14.3)
    assert np.log10(gas.luminosity).std() == pytest.approx(0.21, abs=0.015)
    assert np.log10(gas.kt_kev).std() == pytest.approx(0.065, abs=0.002)


def test_scatter_knobs_act():
    wide = _draw(14.3, temperature_scatter_dex=0.2, extra_luminosity_scatter_dex=0.2)
    assert np.log10(wide.kt_kev).std() == pytest.approx(0.2, rel=0.03)
    assert np.log10(wide.luminosity).std() == pytest.approx(np.hypot(0.207, 0.2), rel=0.05)


@pytest.mark.parametrize(("mass", "correlation"), [(13.8, 0.95), (14.3, 0.95), (14.3, 0.0), (14.6, -0.5)])
def test_temperature_follows_luminosity_as_configured(mass, correlation):
    gas = _draw(mass, temperature_scatter_dex=0.2, luminosity_temperature_correlation=correlation)
    assert np.log10(gas.kt_kev).std() == pytest.approx(0.2, rel=0.03)
    # emission measure, the luminosity without its own dependence on temperature: L / (Lambda(kT) sqrt(kT))
    emission = np.log(gas.luminosity / (cooling_function(gas.kt_kev) * np.sqrt(gas.kt_kev)))
    assert np.corrcoef(emission, np.log(gas.kt_kev))[0, 1] == pytest.approx(correlation, abs=0.03)


def test_normalisation_shifts_the_luminosity_and_leaves_the_temperature():
    plain, faint = _draw(14.3), _draw(14.3, normalisation_dex=-0.3)
    assert np.log10(plain.luminosity / faint.luminosity) == pytest.approx(0.3, abs=1e-9)
    assert np.array_equal(plain.kt_kev, faint.kt_kev)


def test_the_relation_is_steep_below_the_mass_configured():
    medians = [np.median(np.log10(_draw(m, low_mass_log10_m500c=14.0).luminosity)) for m in (13.2, 13.7)]
    assert (medians[1] - medians[0]) / 0.5 == pytest.approx(1.61, abs=0.05)


def test_bias_makes_a_halo_shine_as_a_lighter_one():
    biased, lighter = _draw(14.3, hydrostatic_bias=0.8), _draw(14.3 + np.log10(0.8))
    assert np.array_equal(biased.kt_kev, lighter.kt_kev)
    # The aperture is the true R500c, a little larger than that of the lighter halo.
    ratio = biased.luminosity / lighter.luminosity
    assert ratio.min() >= 1
    assert np.median(ratio) < 1.05
    assert biased.r500_arcmin == pytest.approx(biased.scale_arcmin / 0.8 ** (1 / 3))


def test_outskirts_are_capped_and_shapes_are_possible():
    gas = _draw(14.3)
    assert gas.total_over_inside.max() <= 1.6 + 1e-9
    assert gas.total_over_inside.min() >= 1
    assert gas.axis_ratio.max() <= 1
    assert gas.axis_ratio.mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("mpc", [0.1, 0.5, 1.5])
def test_flux_inside_a_radius_is_the_integral_of_the_brightness(mpc):
    gas = _draw(14.3, hydrostatic_bias=0.8, number=5)
    radius = np.full(5, mpc * arcmin_per_mpc(0.3, COSMOLOGY))
    logs, nodes = np.log(gas.profiles.nodes), gas.profiles.nodes
    for halo, share in enumerate(gas.flux_over_r500(radius)):
        log_brightness = np.log(gas.profiles.brightness[halo])

        def inside(arcmin, log_brightness=log_brightness, scale=gas.scale_arcmin[halo]):
            def ring(r):
                return 2 * np.pi * r * np.exp(np.interp(np.log(max(r, 1e-9)), logs, log_brightness))

            limit = arcmin / scale
            return quad(ring, 0, limit, points=nodes[nodes < limit], limit=200)[0]

        # no flux lies outside the cut-off
        r500 = inside(gas.r500_arcmin[halo])
        expected = min(inside(radius[halo]) / r500, gas.total_over_inside[halo])
        assert share == pytest.approx(expected, rel=1e-5)


def test_mean_luminosity_is_that_of_the_prototype():
    # log10 L500 of the covariance's mean relation at z = 0.3 (guide: physics, section 1a)
    mass = np.array([13.3, 13.7, 14.0, 14.5, 14.9])
    expected = [42.54, 42.96, 43.36, 44.06, 44.61]
    assert np.log10(mean_luminosity(np.full(5, 0.3), mass, COSMOLOGY)) == pytest.approx(expected, abs=0.06)

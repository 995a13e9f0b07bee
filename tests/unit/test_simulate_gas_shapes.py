"""Keys of the gas that move shapes and radii of profiles, and the scaling relations in physical parameters."""

from itertools import pairwise

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from scipy.integrate import quad

from clustermass.arrays import random_streams
from clustermass.config.resolve import default_config, merge, resolve_sky
from clustermass.cosmology import efunc
from clustermass.simulate.gas import draw_gas
from clustermass.simulate.gas_properties import gas_mass
from clustermass.simulate.mean_gas import PROFILE
from clustermass.simulate.sources import Haloes
from clustermass.simulate.spectra import cooling_function

CONFIG = default_config()
COSMOLOGY = CONFIG["cosmology"]
#: the published profiles, without any of the changes that the tests make
PUBLISHED = {
    "scaling": "profiles", "hydrostatic_bias_scatter": 0.0, "bias_scatter_core_slope": 0.0,
    "component_mean": [0.0, 0.0, 0.0, 0.0], "component_scale": [1.0, 1.0, 1.0, 1.0],
    "shape_radius_scatter": 0.0, "interpolation": "power_law",
}  # fmt: skip
CLUSTERS = merge(CONFIG["skies"]["embedded"]["clusters"], PUBLISHED)
RELATIONS = {
    "log10_amplitude": 43.6,
    "slope": 1.7,
    "evolution": -0.5,
    "scatter": 0.4,
    "temperature_scatter": 0.2,
    "correlation": 0.6,
}


def _draw(log10_mass=14.3, redshift=0.35, number=20_000, **changes):
    log10_mass, redshift = (np.broadcast_to(values, number).astype(float) for values in (log10_mass, redshift))
    haloes = Haloes(np.zeros(number), np.zeros(number), redshift, log10_mass)
    return draw_gas(haloes, merge(CLUSTERS, changes), COSMOLOGY, random_streams(1, "sky", "01"))


@pytest.mark.parametrize("scatter", [0.3, 0.6])  # below and above the scatter of the profiles
@pytest.mark.parametrize(("mass", "redshift"), [(13.9, 0.15), (14.6, 0.8)])
def test_relations_give_their_mean_and_covariance(mass, redshift, scatter):
    relations = RELATIONS | {"scatter": scatter}
    gas = _draw(mass, redshift, 100_000, scaling="relations", relations=relations)
    logs = np.log([gas.luminosity, gas.kt_kev])
    growth = np.log(efunc(redshift, COSMOLOGY) / efunc(0.35, COSMOLOGY))
    mean = 43.6 * np.log(10) + 1.7 * np.log(10**mass / 2e14) + 2 * growth - 0.5 * np.log((1 + redshift) / 1.35)
    assert logs[0].mean() == pytest.approx(mean, abs=0.01 * scatter)
    expected = np.array([[scatter**2, 0.6 * scatter * 0.2], [0.6 * scatter * 0.2, 0.04]])
    assert np.cov(logs) == pytest.approx(expected, rel=0.015)
    # the mean temperature is that of Comparat et al. 2020 at the hydrostatic mass
    kt = 1.341 + 0.086 * np.log(redshift / 0.3) + 0.551 * np.log(0.8 * 10**mass / 2e14)
    assert logs[1].mean() == pytest.approx(kt, abs=0.002)


def test_a_shift_of_the_temperature_moves_its_mean_alone_and_zero_moves_nothing():
    drawn = {
        shift: _draw(number=1000, scaling="relations", relations=RELATIONS | {"temperature_shift": shift})
        for shift in (0.0, 0.1)
    }
    default = _draw(number=1000, scaling="relations", relations=RELATIONS)
    assert drawn[0.0].kt_kev.tobytes() == default.kt_kev.tobytes()
    assert drawn[0.1].kt_kev == pytest.approx(default.kt_kev * np.exp(0.1))
    assert drawn[0.1].luminosity.tobytes() == default.luminosity.tobytes()


def _luminosity_by_hand(gas, halo, redshift):
    """Lambda(kT) (kT / 10 keV)^0.5 E(z)^3 times the integral of the brightness, which is a power law between nodes."""
    nodes, log_brightness = gas.profiles.nodes, np.log(gas.profiles.brightness[halo])

    def ring(log_radius):
        return 2 * np.pi * np.exp(2 * log_radius + np.interp(log_radius, np.log(nodes), log_brightness))

    end = np.log(gas.r500_arcmin[halo] / gas.scale_arcmin[halo])
    breaks = np.log(nodes[nodes < np.exp(end)])
    integral = sum(quad(ring, *ends)[0] for ends in pairwise([np.log(nodes[0]) - 12, *breaks, end]))
    distance = FlatLambdaCDM(COSMOLOGY["h0_km_s_mpc"], COSMOLOGY["omega_m"]).angular_diameter_distance(redshift)
    scale_cm2 = (np.radians(gas.scale_arcmin[halo] / 60) * distance.to_value("Mpc")) ** 2 * 3.0856776e24**3
    kt = gas.kt_kev[halo]
    return cooling_function(kt) * np.sqrt(kt / 10) * efunc(redshift, COSMOLOGY) ** 3 * integral * scale_cm2


@pytest.mark.parametrize("interpolation", ["power_law", "spline"])
@pytest.mark.parametrize("scaling", ["profiles", "relations"])
def test_the_luminosity_is_that_of_the_drawn_profile(scaling, interpolation):
    changes = {"scaling": scaling, "interpolation": interpolation, "relations": RELATIONS}
    gas = _draw(14.3, 0.35, 3, shape_radius_scatter=0.3, hydrostatic_bias_scatter=0.2, **changes)
    for halo in range(3):
        assert gas.luminosity[halo] == pytest.approx(_luminosity_by_hand(gas, halo, 0.35), rel=1e-5)


def test_scatter_of_the_shape_s_radius_keeps_luminosity_temperature_and_r500():
    plain, stretched = _draw(), _draw(shape_radius_scatter=0.1)
    for name in ("luminosity", "kt_kev", "r500_arcmin", "axis_ratio"):
        assert np.array_equal(getattr(plain, name), getattr(stretched, name)), name
    deviation = np.log(stretched.scale_arcmin / plain.scale_arcmin)
    assert deviation.std() == pytest.approx(0.1, rel=0.02)
    assert np.corrcoef(deviation, np.log(plain.luminosity))[0, 1] == pytest.approx(0, abs=0.03)
    # of a wider profile less flux is inside half of R500c
    half = plain.r500_arcmin / 2
    share = np.log(stretched.flux_over_r500(half) / plain.flux_over_r500(half))
    assert np.corrcoef(deviation, share)[0, 1] < -0.5


def test_scatter_of_the_hydrostatic_bias_adds_its_variance_to_that_of_the_luminosity():
    # slope of each halo's ln L with the bias, by a difference between two constant biases
    lower, plain, upper = (_draw(14.3, hydrostatic_bias=0.8 * factor) for factor in (np.exp(-0.05), 1.0, np.exp(0.05)))
    slope = (np.log(upper.luminosity) - np.log(lower.luminosity)).mean() / 0.1
    assert 1.2 < slope < 1.6
    scattered = _draw(14.3, hydrostatic_bias_scatter=0.2)
    added = np.log(scattered.luminosity).var() - np.log(plain.luminosity).var()
    assert added == pytest.approx((slope * 0.2) ** 2, rel=0.1)
    bias = 3 * np.log(scattered.scale_arcmin / plain.scale_arcmin)
    assert bias.std() == pytest.approx(0.2, rel=0.02)
    assert bias.mean() == pytest.approx(0, abs=0.005)
    assert np.array_equal(scattered.r500_arcmin, plain.r500_arcmin)


def test_the_bias_scatters_less_in_peaked_clusters_if_configured():
    plain, scattered = _draw(14.3), _draw(14.3, hydrostatic_bias_scatter=0.12, bias_scatter_core_slope=0.5)
    bias, core = 3 * np.log(scattered.scale_arcmin / plain.scale_arcmin), _amplitudes(plain)[:, 1]
    for sign in (-1, 1):
        some = np.abs(core - sign) < 0.2
        assert bias[some].std() == pytest.approx(0.12 * np.exp(-0.5 * sign), rel=0.08)


def _amplitudes(gas):
    """Amplitudes of the components, from the brightnesses of haloes of one mass and redshift."""
    log_brightness = np.log(gas.profiles.brightness)
    centre = np.log(_draw(14.3, number=1, component_scale=[0.0] * 4).profiles.brightness)
    return np.linalg.lstsq(PROFILE[:, 4:], (log_brightness - centre).T, rcond=None)[0].T


def test_components_have_the_configured_means_and_scatters():
    mean, scale = [0.0, -0.3, 0.6, 0.0], [1.0, 0.8, 0.5, 0.0]
    drawn = _amplitudes(_draw(14.3, component_mean=mean, component_scale=scale))
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.03)
    assert drawn.std(axis=0) == pytest.approx(scale, rel=0.02, abs=1e-9)


def test_magneticum_like_gas_scatters_as_in_ho_2023():
    # Table 3 of Ho et al. 2023: scatter of log10 M at given L_X, M_gas and T; at their median mass and redshift
    clusters = resolve_sky(CONFIG["skies"], "magneticum_like")["clusters"]

    def logs(mass):
        gas = _draw(mass, 0.21, 10_000, **clusters)
        values = gas.luminosity, gas_mass(gas, np.full(10_000, 0.21), COSMOLOGY), gas.kt_kev
        return np.log10(values)

    slope = (logs(14.2).mean(axis=1) - logs(14.0).mean(axis=1)) / 0.2
    assert logs(14.1).std(axis=1) / slope == pytest.approx([0.1144, 0.0367, 0.0510], rel=0.05)

"""The multi-property model against clusters whose properties are drawn from it."""

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

from clustermass.baselines.proxies import (
    APERTURE_SLOPES,
    MultiProperty,
    aperture_luminosities,
    proxy_masses,
    subset_scatters,
    true_properties,
    with_r500_errors,
)
from clustermass.errors import InputError

ALPHA, PI, COVARIANCE = np.array([0.6, 1.2]), np.array([0.3, -2.0]), np.array([[0.04, 0.02], [0.02, 0.09]])


@pytest.fixture(name="drawn", scope="module")
def drawn_clusters():
    """Return ln properties, mu and ln E(z) of 20,000 clusters, uniform in ln M."""
    rng = np.random.default_rng(1)
    mu, ln_e = rng.uniform(-3, 3, 20000), rng.uniform(0.03, 0.25, 20000)
    noise = rng.multivariate_normal([0, 0], COVARIANCE, mu.size)
    return PI + mu[:, None] * ALPHA + ln_e[:, None] * [0.5, 2.0] + noise, mu, ln_e


def test_the_fit_finds_the_model(drawn):
    model = MultiProperty.fit(*drawn)
    np.testing.assert_allclose(model.slope, ALPHA, atol=0.005)
    np.testing.assert_allclose(model.constant, PI, atol=0.02)
    np.testing.assert_allclose(model.evolution, [0.5, 2.0], atol=0.15)
    np.testing.assert_allclose(model.covariance, COVARIANCE, atol=0.003)
    # 1 / sigma^2 = alpha^T C^-1 alpha, with the determinant 0.0032 worked by hand
    inverse = np.array([[0.09, -0.02], [-0.02, 0.04]]) / 0.0032
    assert model.scatter == pytest.approx((ALPHA @ inverse @ ALPHA) ** -0.5, rel=0.02)


def test_masses_have_the_scatter_of_the_model_and_no_bias(drawn):
    ln_s, mu, ln_e = drawn
    inside = np.abs(mu) < 2
    mass = 14 + mu / np.log(10)
    found = proxy_masses(ln_s, mass, ln_e, np.arange(mu.size) % 8)
    residual = (found - mass)[inside] * np.log(10)
    assert residual.std() == pytest.approx(MultiProperty.fit(*drawn).scatter, rel=0.03)
    assert abs(residual.mean()) < 0.01


def test_the_mass_function_lowers_masses_by_beta_times_the_variance(drawn):
    model = MultiProperty.fit(*drawn)
    lower = model.mu(drawn[0], drawn[2], beta=2.0) - model.mu(drawn[0], drawn[2])
    np.testing.assert_allclose(lower, -2.0 * model.scatter**2)


def test_a_fold_does_not_see_its_own_masses(drawn):
    ln_s, mu, ln_e = (values[:80] for values in drawn)
    fold, mass = np.arange(80) % 8, 14 + mu / np.log(10)
    changed = np.where(fold == 3, mass + 1.0, mass)
    first, second = (proxy_masses(ln_s, one, ln_e, fold) for one in (mass, changed))
    np.testing.assert_array_equal(first[fold == 3], second[fold == 3])
    assert np.abs(first - second)[fold != 3].min() > 1e-3


def test_subsets_are_sorted_and_copies_of_a_property_are_left_out(drawn):
    ln_s, mu, ln_e = (values[:2000] for values in drawn)
    properties = {"a": np.exp(ln_s[:, 0]), "b": np.exp(ln_s[:, 1]), "copy": 3 * np.exp(ln_s[:, 0])}
    found = subset_scatters(properties, 14 + mu / np.log(10), ln_e, np.arange(2000) % 8)
    assert set(found) == {("a",), ("b",), ("copy",), ("a", "b"), ("b", "copy")}
    assert list(found.values()) == sorted(found.values())
    assert found["a",] == pytest.approx(found["copy",])
    assert found["a", "b"] < min(found["a",], found["b",])


def test_r500_errors_scatter_a_gas_mass_but_not_a_temperature():
    rng = np.random.default_rng(3)
    properties = {"gas_mass": np.full(40000, 2.0), "temperature": np.full(40000, 5.0)}
    found = with_r500_errors(properties, 0.05, rng)
    assert np.log(found["gas_mass"]).std() == pytest.approx(0.05 * 1.3, rel=0.02)
    np.testing.assert_array_equal(found["temperature"], 5.0)


def test_slopes_of_apertures_are_those_of_a_beta_model():
    def gas(r):  # beta = 2/3: density ~ 1 / (1 + r^2)
        return r - np.arctan(r)

    def light(r):  # brightness ~ (1 + r^2)^(-3/2)
        return 1 - (1 + r**2) ** -0.5

    for name, inside in (("gas_mass", gas), ("luminosity", light)):
        slope = np.log(inside(5.05) / inside(4.95)) / np.log(5.05 / 4.95)
        assert APERTURE_SLOPES[name] == pytest.approx(slope, rel=0.03)


def test_luminosities_from_photons_leave_the_core_out_and_subtract_the_background():
    offsets = (np.arange(100) - 49.5) * 12.0
    radius = np.hypot(offsets, offsets[:, None])
    image = np.full((100, 100), 3, dtype=np.uint16)  # background
    ring = (radius > 100) & (radius < 140)
    bright, core = (image + np.uint16(40) * ring), (image + np.uint16(500) * (radius < 30))
    variables = {
        "counts": (("cluster", "band", "y", "x"), np.stack([bright, bright + core - image, image])[:, None]),
        "redshift": ("cluster", np.array([0.1, 0.1, 0.1])),
        "exposure_s": ("cluster", np.full(3, 1000.0)),
    }
    sample = xr.Dataset(variables, {"x": offsets, "y": offsets})
    cosmology = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
    found = aperture_luminosities(sample, np.full(3, 5.0), cosmology)
    photons, excised = found["photons"], found["core_excised_photons"]
    assert excised[1] == pytest.approx(excised[0], rel=1e-3)  # the core ends at 45"
    assert photons[1] / photons[0] == pytest.approx(1 + 500 * (radius < 30).sum() / (40 * ring.sum()), rel=1e-2)
    assert photons[2] < 0.02 * photons[0]
    near = aperture_luminosities(sample, np.full(3, 1.0), cosmology)  # 60" ends inside the ring
    assert near["core_excised_photons"][0] < 0.02 * excised[0]


def test_properties_of_a_truth_table():
    truth = Table({"KT": [2.0, 3.0], "MGAS500": [1e13, 2e13], "L500": [1e43, 0.0]})
    found = true_properties(truth)
    assert list(found) == ["temperature", "gas_mass", "y_x"]
    np.testing.assert_allclose(found["y_x"], [2e13, 6e13])


def test_errors():
    rng = np.random.default_rng(5)
    mu = rng.uniform(-1, 1, 50)
    with pytest.raises(InputError, match="too few"):
        MultiProperty.fit(rng.standard_normal((4, 1)), mu[:4], mu[:4])
    with pytest.raises(InputError, match="exact function"):
        MultiProperty.fit(mu[:, None], mu, np.zeros(50))

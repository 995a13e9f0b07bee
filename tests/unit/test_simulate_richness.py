import numpy as np
import pytest

from clustermass.simulate.richness import draw_richness, measure_richness

PARAMETERS = {
    "amplitude": 24.5, "log10_pivot": 14.15, "slope": 1.2, "evolution": -0.6, "scatter": 0.25,
    "luminosity_correlation": 0.0, "error": 1.08, "truth_min": 2.0,
}  # fmt: skip


def _haloes(number=100_000, seed=1):
    rng = np.random.default_rng(seed)
    log_mass, redshift = 13 + rng.exponential(0.4, number), rng.uniform(0.05, 1.4, number)
    deviation = rng.standard_normal(number)
    # a relation that bends, as that of the simulated gas does
    log_l = 1.6 * np.log(10) * (log_mass - 14) - 0.5 * (log_mass - 14) ** 2 + np.log(1 + redshift) + 0.5 * deviation
    return log_mass, redshift, np.exp(log_l), deviation


@pytest.mark.parametrize(("log_mass", "redshift"), [(13.5, 0.1), (14.15, 0.35), (14.8, 1.0)])
def test_mean_and_scatter_at_a_mass_and_redshift(log_mass, redshift):
    mass, z = np.full(40_000, log_mass), np.full(40_000, redshift)
    richness = draw_richness(mass, z, np.ones(40_000), PARAMETERS, np.random.default_rng(2))
    expected = 24.5 * (10**log_mass / 10**14.15) ** 1.2 * ((1 + redshift) / 1.35) ** -0.6
    assert np.log(richness).mean() == pytest.approx(np.log(expected), abs=0.005)
    assert np.log(richness).std() == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.4])
def test_correlation_with_luminosity_at_fixed_mass(rho):
    log_mass, redshift, luminosity, deviation = _haloes()
    changed = PARAMETERS | {"luminosity_correlation": rho}
    richness = draw_richness(log_mass, redshift, luminosity, changed, np.random.default_rng(3))
    mean = np.log(24.5) + 1.2 * np.log(10) * (log_mass - 14.15) - 0.6 * np.log((1 + redshift) / 1.35)
    residual = np.log(richness) - mean
    assert np.corrcoef(residual, deviation)[0, 1] == pytest.approx(rho, abs=0.015)
    assert residual.std() == pytest.approx(0.25, rel=0.02)


def test_measured_richness_has_the_error_of_counted_galaxies():
    rng = np.random.default_rng(4)
    for redshift, background in ((0.0, 1.0), (0.5, 4.0), (0.65, 10.0), (2.0, 25.0)):
        measured = measure_richness(np.full(50_000, 20.0), np.full(50_000, redshift), PARAMETERS, rng)
        assert measured.mean() == pytest.approx(20.0, abs=0.15)
        assert measured.std() == pytest.approx(1.08 * np.sqrt(20.0 + background), rel=0.02)

"""What redshift errors add to a mass error: a Monte Carlo of clusters, a regression on some, applied to others."""

import numpy as np
import pytest
from apply_inputs import predicted

from clustermass.apply.masses import excess_error, mass_columns
from clustermass.ensemble.aggregate import mean_error
from clustermass.ensemble.calibration import Calibration, Recalibration

AS_PREDICTED = Calibration("none", Recalibration(), {68: 1.0, 90: 1.6, 95: 2.0}, 18)
SLOPE, SCATTER, WIDTH = 2.0, 0.1, 0.02  # d log M / dz, dex at exact redshift, photometric error / (1 + z)


def clusters(number, rng, share_photometric, width):
    """Return masses, measured redshifts and their errors: mass follows the true redshift, not the measured one."""
    true = rng.uniform(0.2, 1.0, number)
    error = np.where(rng.random(number) < share_photometric, width * (1 + true), 0.0)
    mass = 14 + SLOPE * true + rng.normal(0, SCATTER, number)
    return mass, true + error * rng.standard_normal(number), error


@pytest.fixture(scope="module", params=[0.3, 0.5, 1.0])
def regression(request):
    """Mean and variance of the mass as a regression on measured redshifts gives them, and the error it has seen."""
    mass, redshift, error = clusters(400_000, np.random.default_rng(5), request.param, WIDTH)
    line = np.polyfit(redshift, mass, 1)
    # the variance that such redshifts cause goes with (1 + z)^2
    variance = np.polyfit((1 + redshift) ** 2, (mass - np.polyval(line, redshift)) ** 2, 1)
    return line, variance, mean_error(redshift, error)


@pytest.mark.parametrize("times", [1.0, 1.5, 3.0])
def test_errors_are_those_of_the_residuals(regression, times):
    line, variance, trained = regression
    mass, redshift, error = clusters(400_000, np.random.default_rng(6), 1.0, times * WIDTH)
    # away from the ends, where a scattered redshift says something about the true one
    inner = (redshift > 0.4) & (redshift < 0.8)
    mass, redshift, error = mass[inner], redshift[inner], error[inner]
    sigma = np.sqrt(np.polyval(variance, (1 + redshift) ** 2))
    response = line[0] * excess_error(redshift, error, trained)
    columns = mass_columns(predicted(np.polyval(line, redshift)[None], sigma[None], response), AS_PREDICTED)
    pull = (mass - columns["LOGM500"]) / columns["LOGM500_ERR"]
    assert pull.std() == pytest.approx(1.0, abs=0.02)


def test_exact_redshifts_and_small_errors_add_nothing():
    redshift = np.array([0.1, 0.5, 0.5])
    assert excess_error(redshift, np.array([0.0, 0.0, 0.0149]), 0.01).tolist() == [0, 0, 0]
    assert excess_error(redshift, np.array([0.03, 0.02, 0.0]), 0.0).tolist() == [0.03, 0.02, 0]


def test_mean_error_counts_exact_redshifts_as_zero():
    redshift, error = np.array([0.0, 1.0, 3.0, 0.5]), np.array([0.02, 0.04, 0.0, np.nan])
    assert mean_error(redshift, error) == pytest.approx(np.sqrt(2 * 0.02**2 / 4))

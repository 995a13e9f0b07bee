"""Masses without the mass distribution of the training sample, compared with closed forms and random populations."""

import numpy as np
import pytest
import xarray as xr
from apply_inputs import MADE, observed_field, read, run  # noqa: F401, the fixture `field`
from astropy.io import fits
from astropy.table import Table

from clustermass.apply.mass_prior import FLAT, MIN_CLUSTERS, MassPrior, flat_columns, read_mass_prior
from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf

MEAN, SPREAD, NOISE = 14.1, 0.25, 0.15


def posterior(measured, mean=MEAN):
    """Mean and standard deviation under a Gaussian prior, of masses measured with Gaussian errors of NOISE."""
    variance = 1 / (1 / SPREAD**2 + 1 / NOISE**2)
    return variance * (mean / SPREAD**2 + measured / NOISE**2), np.sqrt(variance)


def flat(measured, redshift, prior, mean=MEAN):
    """Columns by name for measured masses (cluster,), as a perfect network with one member would give them."""
    centre, width = posterior(measured, mean)
    return flat_columns(centre[None], np.full((1, measured.size), width), redshift, prior)


@pytest.fixture(scope="module")
def gaussian():
    rng = np.random.default_rng(40)
    return MassPrior.fit(rng.normal(MEAN, SPREAD, 20_000), rng.uniform(0.1, 0.9, 20_000))


def test_gaussian_prior_and_likelihood_give_back_the_likelihood(gaussian):
    measured = np.array([13.8, 14.1, 14.4])
    found = flat(measured, np.array([0.2, 0.5, 0.8]), gaussian)
    assert found["LOGM500_FLAT"] == pytest.approx(measured, abs=0.012)
    assert found["LOGM500_FLAT_ERR"] == pytest.approx([NOISE] * 3, rel=0.04)
    assert found["LOGM500_FLAT_Q50"] == pytest.approx(measured, abs=0.012)
    assert found["LOGM500_FLAT_Q84"] - found["LOGM500_FLAT_Q16"] == pytest.approx([2 * NOISE * 0.99446] * 3, rel=0.04)


def test_the_distribution_that_is_divided_out_follows_redshift():
    """Masses of training clusters rise by 0.5 dex and spread twice as much over the redshifts."""
    rng = np.random.default_rng(41)
    redshift = np.exp(rng.uniform(np.log(0.1), np.log(0.9), 20_000))
    share = np.log(redshift / 0.1) / np.log(9)
    prior = MassPrior.fit(13.9 + 0.5 * share + 0.25 * (1 - 0.5 * share) * rng.normal(size=20_000), redshift)
    grid = np.linspace(12.5, 15.5, 3001)
    for z, mean, spread in ((0.1, 13.9, 0.25), (0.3, 14.15, 0.1875), (0.9, 14.4, 0.125), (5.0, 14.4, 0.125)):
        density = prior.density(grid, z)
        total = density.sum() * 0.001
        assert total == pytest.approx(1, abs=1e-3)
        centre = (density * grid).sum() * 0.001
        assert centre == pytest.approx(mean, abs=0.012)
        assert np.sqrt((density * (grid - centre) ** 2).sum() * 0.001) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("population", ["steeper", "higher"])
def test_population_of_another_mass_function_is_recovered_at_fixed_truth(population, gaussian):
    """The default mass is biased towards the training sample; the flat one has no bias, and its interval is right."""
    rng = np.random.default_rng(42)
    n = 4000
    truth = 13.75 + rng.exponential(0.15, n) if population == "steeper" else rng.normal(14.35, 0.1, n)
    inside = np.abs(truth - MEAN) < 0.45
    truth = truth[inside]
    measured = truth + NOISE * rng.normal(size=truth.size)
    found = flat(measured, rng.uniform(0.2, 0.8, truth.size), gaussian)
    low, high = np.percentile(truth, [30, 70])
    ends = truth < low, truth > high
    assert max(abs(np.mean(posterior(measured)[0][chosen] - truth[chosen])) for chosen in ends) > 0.07
    for chosen in ends:
        # the standard error of the mean is 0.15 / sqrt(1100) = 0.0045
        assert np.mean(found["LOGM500_FLAT"][chosen] - truth[chosen]) == pytest.approx(0, abs=0.018)
    held = (found["LOGM500_FLAT_Q16"] < truth) & (truth < found["LOGM500_FLAT_Q84"])
    assert held.mean() == pytest.approx(0.68, abs=0.03)


def test_two_components_are_weighed_by_the_prior_between_them(gaussian):
    """Narrow components are points: their weights become 1 / p(mass)."""
    centre, width = np.array([[14.1], [14.5]]), np.full((2, 1), 0.004)
    found = flat_columns(centre, width, np.array([0.5]), gaussian)
    ratio = np.exp(-0.5 * (0.4 / SPREAD) ** 2)
    assert found["LOGM500_FLAT"][0] == pytest.approx((14.1 * ratio + 14.5) / (ratio + 1), abs=0.012)


@pytest.mark.parametrize("kind", ["one redshift", "one mass", "usual"])
def test_never_nan_however_far_from_the_training_sample(kind):
    rng = np.random.default_rng(43)
    mass = np.full(60, 14.0) if kind == "one mass" else rng.normal(14, 0.2, 60)
    redshift = np.full(60, 0.3) if kind == "one redshift" else rng.uniform(0.01, 1.2, 60)
    prior = MassPrior.fit(mass, redshift)
    centre = np.array([[10.0, 14.0, 25.0, 14.0], [11.0, 14.0, 25.0, 14.3]])
    width = np.array([[0.3, 1e-3, 0.01, 2.0], [0.1, 1e-3, 0.2, 0.05]])
    found = flat_columns(centre, width, np.array([1e-4, 0.3, 9.0, 0.5]), prior)
    for name, values in found.items():
        assert np.isfinite(values).all(), name
    assert (found["LOGM500_FLAT_ERR"] > 0).all()
    assert (found["LOGM500_FLAT_Q16"] < found["LOGM500_FLAT_Q84"]).all()
    # far outside there is no distribution to be divided out: the prediction stays
    assert found["LOGM500_FLAT"][[0, 2]] == pytest.approx([10.5, 25.0], abs=0.01)


def test_catalogue_gets_further_columns_only_when_asked_and_keeps_the_others(field):
    folder = field[0]
    plain, more = Table.read(run(folder)["fits"]), Table.read(run(folder, "flat", mass_prior="flat")["fits"])
    assert [name for name in more.colnames if name not in plain.colnames] == list(FLAT)
    for name in plain.colnames:
        assert np.array_equal(np.asarray(plain[name]), np.asarray(more[name]), equal_nan=plain[name].dtype.kind == "f")
    assert "FLATFLR" not in fits.getheader(folder / "masses.fits", 1)
    assert fits.getheader(folder / "flat.fits", 1)["FLATFLR"] == 0.01
    rows = read(folder, mass_prior="flat")
    assert {number for number, row in rows.items() if not np.isfinite([row[name] for name in FLAT]).all()} == {11}


def test_too_few_training_clusters_are_refused(field):
    folder = field[0]
    table = xr.load_dataset(folder / "ensemble.nc")
    few = table.isel(cluster=slice(200 - MIN_CLUSTERS, None))
    write_netcdf(few, folder / "ensemble.nc", "test", MADE)
    read_mass_prior(folder / "ensemble.nc")
    write_netcdf(few.isel(cluster=slice(1, None)), folder / "ensemble.nc", "test", MADE)
    with pytest.raises(InputError, match=r"49 training clusters .* observed\.mass_prior"):
        run(folder, mass_prior="flat")
    run(folder)


def test_networks_trained_on_weighted_masses_are_refused(field):
    folder = field[0]
    table = xr.load_dataset(folder / "ensemble.nc")
    write_netcdf(table, folder / "ensemble.nc", "test", MADE | {"weighting": "uniform_mass"})
    with pytest.raises(InputError, match=r"weighted clusters \(uniform_mass\)"):
        run(folder, mass_prior="flat")
    run(folder)

"""All baselines together: no fit uses a true mass of the test set; their file; incomplete inputs."""

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table
from baseline_inputs import BLOCK, COSMOLOGY, LUMINOSITY, PREDICTORS, N, fit, mock, split_of, temperatures, write_sky

from clustermass.baselines.fit import (
    fit_selection,
    predict_all,
    predict_boosted_trees,
    predict_luminosity_selected,
    predict_ridge,
)
from clustermass.baselines.measurements import measure_clusters
from clustermass.baselines.scaling_relations import luminosity_relation
from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf


def every_second_of_a_brightness(log10_l, redshift):
    """Log odds of a selection."""
    return 10 * (log10_l - 43)


def predictions(dataset, split, l500):
    table = measure_clusters(dataset, l500, COSMOLOGY, COSMOLOGY)
    known = {"split": ("cluster", split), "kt": ("cluster", temperatures())}
    return predict_all(table.assign(known), BLOCK, 1, every_second_of_a_brightness)


@pytest.fixture(scope="module")
def predicted():
    return predictions(*mock())


def test_every_predictor_predicts_every_cluster(predicted):
    assert list(predicted) == PREDICTORS
    assert all(np.isfinite(mu).all() and mu.shape == (N,) for mu in predicted.values())


def test_features_beat_the_prior_where_the_images_depend_on_the_mass(predicted):
    dataset, split, _ = mock()
    test = split == "test"
    scatter = {name: np.std((mu - dataset["log10_m500c"].values)[test]) for name, mu in predicted.items()}
    assert scatter["ridge_features"] < 0.6 * scatter["prior"]
    assert scatter["count_rate_recalibrated"] < 0.6 * scatter["prior"]


def test_test_clusters_shape_no_fit(predicted):
    """Changed images, luminosities, rates and true masses of test clusters change no prediction of other clusters."""
    dataset, split, l500 = mock()
    other, _, other_l500 = mock(seed=99)
    test = split == "test"
    for name in ("counts", "redshift", "ml_rate", "ml_cts", "ext", "log10_m500c"):
        dataset[name].values[test] = other[name].values[test]
    l500[test] = other_l500[test]
    again = predictions(dataset, split, l500)
    for name, mu in again.items():
        np.testing.assert_allclose(mu[~test], predicted[name][~test], rtol=0, atol=1e-9, err_msg=name)
        assert not np.allclose(mu[test], predicted[name][test]), name


def test_test_labels_change_nothing_at_all(predicted):
    dataset, split, l500 = mock()
    dataset["log10_m500c"].values[split == "test"] = np.nan
    again = predictions(dataset, split, l500)
    for name, mu in again.items():
        np.testing.assert_array_equal(mu, predicted[name])


def test_file_holds_all_predictors_and_the_same_bytes_twice(tmp_path, predicted):
    dataset = write_sky(tmp_path)
    found = fit(tmp_path)
    assert found["predictor"].values.tolist() == PREDICTORS
    assert found["mu"].dims == ("predictor", "cluster")
    for name in ("luminosity_published", "count_rate_efeds"):
        mine = xr.DataArray(predicted[name], {"cluster": dataset["cluster"].values}, "cluster")
        np.testing.assert_allclose(
            found["mu"].sel(predictor=name), mine.sel(cluster=found["cluster"].values), atol=1e-6
        )
    fit(tmp_path, "again.nc")
    assert (tmp_path / "again.nc").read_bytes() == (tmp_path / "baselines.nc").read_bytes()


def test_simulation_without_luminosities_goes_without_those_baselines(tmp_path):
    write_sky(tmp_path)
    table = Table.read(tmp_path / "truth.fits")
    table.remove_columns(["L500", "COUNTS"])
    table.write(tmp_path / "truth.fits", overwrite=True)
    found = fit(tmp_path)
    assert found["predictor"].values.tolist() == [name for name in PREDICTORS if not name.startswith("luminosity")]
    assert (found["isolated"].values == -1).all()
    assert (found["contaminated"].values == -1).all()


def test_isolation_is_unknown_without_photons(tmp_path):
    write_sky(tmp_path)
    table = Table.read(tmp_path / "truth.fits")
    table["COUNTS"] = -1  # as for a simulation whose photons have no labels
    table["COUNTS"][0] = 100
    table.write(tmp_path / "truth.fits", overwrite=True)
    isolated = fit(tmp_path)["isolated"].values
    assert sorted(set(isolated.tolist())) == [-1, 1]
    assert (isolated == 1).sum() == 1


def test_halo_missing_from_the_truth_is_reported(tmp_path):
    write_sky(tmp_path)
    table = Table.read(tmp_path / "truth.fits")
    table[table["HALO_ID"] != 1005].write(tmp_path / "truth.fits", overwrite=True)
    with pytest.raises(
        InputError, match=r"1 labelled clusters have a halo .* \(HALO_ID 1005 of realization 01 is one\)"
    ):
        fit(tmp_path)


def test_count_rate_that_is_not_positive_is_reported(tmp_path):
    dataset = write_sky(tmp_path)
    dataset["ml_rate"][7] = 0.0
    write_netcdf(dataset, tmp_path / "images.nc", "test", {"source": "test"})
    with pytest.raises(InputError, match=r"ML_RATE of 1 selected detections isn't positive \(cluster 01_7"):
        fit(tmp_path)


def test_simulation_without_count_rates_goes_without_those_baselines(tmp_path, caplog):
    dataset = write_sky(tmp_path)
    for name in ("ml_rate", "ml_cts", "ext"):
        dataset[name][:] = np.nan
    dataset["ml_bkg"][5] = np.nan
    write_netcdf(dataset, tmp_path / "images.nc", "test", {"source": "test"})
    found = fit(tmp_path)
    assert found["predictor"].values.tolist() == [name for name in PREDICTORS if not name.startswith("count_rate")]
    assert np.isfinite(found["mu"].values).all()
    test = found["split"].values.astype(str) == "test"
    residual = found["mu"].sel(predictor="ridge_features") - found["log10_m500c"]
    assert residual.values[test].std() < 0.25
    assert "count_rate_efeds is left out: the catalogue has no count rates" in caplog.text
    assert "log_ml_bkg" in caplog.text


@pytest.mark.long
def test_shared_haloes_through_the_fit(tmp_path):
    """Realization 02 repeats every HALO_ID of 01 with other luminosities: each cluster gets those of its own."""
    write_sky(tmp_path)
    alone = fit(tmp_path)
    dataset, split, _ = mock()
    ids = np.char.replace(dataset["cluster"].values, "01_", "02_")
    again = dataset.assign_coords(cluster=ids).assign(realization=("cluster", np.full(N, "02")))
    write_netcdf(again, tmp_path / "images2.nc", "test", {"source": "test"})
    every, both = np.concatenate([dataset["cluster"].values, ids]), np.concatenate([split, split])
    subsets = xr.Dataset({"split": ("cluster", both), "group": ("cluster", both)}, {"cluster": every})
    write_netcdf(subsets, tmp_path / "split.nc", "test", {"source": "test"})
    table = Table.read(tmp_path / "truth.fits")
    table["L500"] *= 10.0
    table.write(tmp_path / "truth2.fits")
    found = fit(tmp_path, images=["images.nc", "images2.nc"], truth=["truth.fits", "truth2.fits"])
    published = found["mu"].sel(predictor="luminosity_published")
    names = found["cluster"].values.astype(str)
    first, second = (published.values[np.char.startswith(names, label)] for label in ("01_", "02_"))
    np.testing.assert_allclose(first, alone["mu"].sel(predictor="luminosity_published").values, atol=2e-6)
    assert (second > first + 0.5).all()


def test_ridge_solves_the_normal_equations():
    rng = np.random.default_rng(44)
    x = rng.normal(3, 2, (200, 5))
    mass = x @ rng.normal(0, 1, 5) + rng.normal(0, 0.5, 200)
    split, train = split_of(200), split_of(200) == "train"
    standard = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    centred = mass[train] - mass[train].mean()
    weights = np.linalg.solve(standard[train].T @ standard[train] + 10 * np.eye(5), standard[train].T @ centred)
    expected = standard @ weights + mass[train].mean()
    np.testing.assert_allclose(predict_ridge(x, mass, split, [10.0]), expected, atol=1e-10)


def test_ridge_takes_the_penalty_that_validates_best():
    rng = np.random.default_rng(45)
    x, mass, split = rng.normal(0, 1, (80, 30)), rng.normal(14, 0.3, 80), split_of(80)
    # pure noise: the heaviest penalty is best
    heaviest = predict_ridge(x, mass, split, [1e4])
    np.testing.assert_array_equal(predict_ridge(x, mass, split, [0.1, 10.0, 1e4]), heaviest)


def test_trees_learn_a_step_and_depend_on_their_seed_only():
    rng = np.random.default_rng(46)
    x = rng.uniform(-1, 1, (800, 4))
    mass = np.where(x[:, 1] > 0.2, 14.5, 13.5) + rng.normal(0, 0.05, 800)
    split = split_of(800)
    mu = predict_boosted_trees(x, mass, split, 1)
    test = split == "test"
    assert np.std(mu[test] - mass[test]) < 0.1
    np.testing.assert_array_equal(predict_boosted_trees(x, mass, split, 1), mu)


RELATION = LUMINOSITY | {"log10_l_pivot": 43.5}


def true_log_odds(log10_l, z):
    """Half of the haloes at log10 L = 42.9 + ln(1 + z) are selected, and almost all 0.3 dex above."""
    return 12 * (log10_l - 42.9 - np.log1p(z))


def test_a_simulated_selection_is_recovered():
    rng = np.random.default_rng(3)
    n = 60_000
    log10_l, z = rng.normal(42.9, 0.6, n), rng.uniform(0.05, 0.9, n)
    selected = rng.uniform(size=n) < 1 / (1 + np.exp(-true_log_odds(log10_l, z)))
    log_odds = fit_selection(10**log10_l, z, selected)
    at_z = np.array([0.1, 0.4, 0.8])
    half = 42.9 + np.log1p(at_z)
    # the error of p is about sqrt(p q / n) in a neighbourhood of some 1,000 haloes; 5 of them
    for offset in (-0.15, 0.0, 0.15):
        expected = 1 / (1 + np.exp(-12 * offset))
        found = 1 / (1 + np.exp(-log_odds(half + offset, at_z)))
        np.testing.assert_allclose(found, expected, atol=5 * 0.016)


def test_mean_of_drawn_selected_clusters_gives_back_their_mass():
    """Clusters of one mass and redshift, drawn with scatter and selected by chance; their mean ln L, inverted."""
    rng = np.random.default_rng(5)
    mass, z = np.array([13.8, 14.1, 14.8]), np.array([0.3, 0.3, 0.6])
    means = []
    for log10_m, redshift in zip(mass, z, strict=True):
        mean = luminosity_relation(np.array([redshift]), RELATION).log10_observable(np.array([log10_m]))
        log10_l = mean + rng.normal(0, 0.46 / np.log(10), 400_000)
        chosen = rng.uniform(size=log10_l.size) < 1 / (1 + np.exp(-true_log_odds(log10_l, redshift)))
        means.append(log10_l[chosen].mean())
    relation = luminosity_relation(z, RELATION)
    found = predict_luminosity_selected(10 ** np.array(means), z, relation, 0.46, true_log_odds)
    # a mean of >= 2,000 draws is good to 0.2 / sqrt(2,000) = 0.0045 dex in L; the shifted relation is up to 4 times
    # flatter than the slope of 1.44 where few are selected
    np.testing.assert_allclose(found, mass, atol=5 * 0.0045 * 4 / 1.44)
    published = relation.log10_mass(10 ** np.array(means))
    assert published[0] - mass[0] > 0.1  # where few are selected, their light misleads
    assert abs(published[2] - mass[2]) < 0.02


def test_a_survey_that_sees_all_shifts_nothing():
    log10_m, z = np.linspace(13.2, 15.0, 7), np.linspace(0.1, 1.0, 7)
    relation = luminosity_relation(z, RELATION)
    l500 = 10 ** relation.log10_observable(log10_m)
    found = predict_luminosity_selected(l500, z, relation, 0.46, lambda log10_l, z: np.full(np.shape(log10_l), 50.0))
    np.testing.assert_allclose(found, log10_m, atol=1e-6)


def test_too_few_haloes_have_no_selection_function():
    l500, z = np.full(100, 1e43), np.full(100, 0.3)
    assert fit_selection(l500, z, np.arange(100) < 19) is None
    assert fit_selection(l500, z, np.arange(100) >= 19) is None

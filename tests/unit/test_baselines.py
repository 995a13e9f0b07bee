"""Relations by hand, fits against known truths, and the promise that no fit sees a test label."""

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

from clustermass.baselines.boosted import predict_boosted_trees
from clustermass.baselines.count_rate import predict_count_rate_efeds, predict_count_rate_recalibrated
from clustermass.baselines.evidence import Sky, evidence
from clustermass.baselines.fit import fit_baselines, predict_all
from clustermass.baselines.luminosity import (
    predict_luminosity_published,
    predict_luminosity_recalibrated,
    published_luminosity,
)
from clustermass.baselines.prior import predict_prior
from clustermass.baselines.relation import columns, fit_best_form
from clustermass.baselines.ridge import predict_ridge
from clustermass.baselines.truth import is_isolated, read_truth
from clustermass.datasets import read_netcdf, write_netcdf
from clustermass.errors import InputError

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
RATE = {
    "log10_mass": 14.119,
    "slope_rate": 0.585,
    "linear_z": 4.311,
    "quadratic_z": -11.548,
    "pivot_rate": 0.1,
    "pivot_z": 0.35,
}
LUMINOSITY = {
    "log10_l_pivot": 43.5263,
    "mass_pivot_msun": 2.0e14,
    "slope": 1.44,
    "delta": -0.07,
    "evolution": 2.0,
    "gamma": -0.51,
    "pivot_z": 0.35,
    "scatter_ln": 0.46,
}
BLOCK = {"ridge_alpha": [1.0, 100.0], "count_rate_efeds": RATE, "luminosity_published": LUMINOSITY}
PREDICTORS = [
    "prior",
    "count_rate_efeds",
    "count_rate_recalibrated",
    "luminosity_published",
    "luminosity_selected",
    "luminosity_recalibrated",
    "luminosity_temperature",
    "ridge_features",
    "boosted_trees",
]
N = 120


def mock(seed=40, n=N):
    """Clusters whose central counts follow their mass, with split, and their luminosities."""
    rng = np.random.default_rng(seed)
    mass, z = rng.normal(14.1, 0.3, n), rng.uniform(0.1, 0.8, n)
    rate = 10 ** ((mass - 14.1) / 0.6 - 1 + rng.normal(0, 0.1, n))
    counts = rng.poisson(0.05, (n, 10, 100, 100)).astype(np.uint16)
    counts[:, :, 46:54, 46:54] += rng.poisson(rate[:, None, None, None] * 3, (n, 10, 8, 8)).astype(np.uint16)
    values = {
        "ra": rng.uniform(130, 140, n),
        "dec": rng.uniform(-2, 5, n),
        "redshift": z,
        "redshift_err": np.zeros(n),
        "det_like": rng.uniform(10, 100, n),
        "ext_like": rng.uniform(10, 100, n),
        "ext": rng.uniform(10, 60, n),
        "ml_rate": rate,
        "ml_cts": rate * 1200,
        "ml_bkg": np.full(n, 6.0),
        "exposure_s": np.full(n, 1200.0),
        "covered_fraction": np.ones(n),
        "log10_m500c": mass,
    }
    ids = np.array([f"01_{number}" for number in range(n)])
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts),
            **{name: ("cluster", value) for name, value in values.items()},
            "halo_id": ("cluster", np.arange(n) + 1000),
            "realization": ("cluster", np.full(n, "01")),
        },
        {
            "cluster": ids,
            "band": np.linspace(0.35, 2.2, 10),
            "x": (np.arange(100) - 49.5) * 12.0,
            "y": (np.arange(100) - 49.5) * 12.0,
        },
    )
    split = np.array(["train"] * (n // 2) + ["val"] * (n // 4) + ["test"] * (n - n // 2 - n // 4))
    return dataset, split, 10 ** (43.5 + 1.5 * (mass - 14.1) + rng.normal(0, 0.1, n))


def temperatures():
    dataset, _, _ = mock()
    return 10 ** (0.4 + 0.6 * (dataset["log10_m500c"].values - 14.1) + 0.03 * np.sin(np.arange(N)))


def every_second_of_a_brightness(log10_l, redshift):
    """Log odds of a selection."""
    return 10 * (log10_l - 43)


def predictions(dataset, split, l500):
    table = evidence(dataset, l500, COSMOLOGY, COSMOLOGY)
    known = {"split": ("cluster", split), "kt": ("cluster", temperatures())}
    return predict_all(table.assign(known), BLOCK, 1, every_second_of_a_brightness)


@pytest.fixture(scope="module")
def predicted():
    return predictions(*mock())


def test_count_rate_relation_by_hand():
    # at both pivots the relation gives its constant; ten times the rate adds the slope
    mu = predict_count_rate_efeds(np.array([0.1, 1.0, 0.1]), np.array([0.35, 0.35, 0.0]), RATE)
    q = np.log10(1 / 1.35)  # -0.130334
    np.testing.assert_allclose(mu, [14.119, 14.704, 14.119 + 4.311 * q - 11.548 * q * q], atol=1e-12)
    assert mu[2] == pytest.approx(13.36096, abs=1e-5)


def test_equation_67_gives_back_the_mass_that_made_the_luminosity():
    mass, z = 10 ** np.array([13.3, 14.0, 14.9]), np.array([0.1, 0.35, 1.0])
    e = np.sqrt(0.3 * (1 + z) ** 3 + 0.7) / np.sqrt(0.3 * 1.35**3 + 0.7)
    log_l = (
        np.log(10**43.5263)
        + (1.44 - 0.07 * np.log((1 + z) / 1.35)) * np.log(mass / 2e14)
        + 2 * np.log(e)
        - 0.51 * np.log((1 + z) / 1.35)
    )
    # astropy's E(z) counts no radiation either (Tcmb0 = 0)
    np.testing.assert_allclose(predict_luminosity_published(np.exp(log_l), z, LUMINOSITY), np.log10(mass), atol=1e-10)


def test_equation_67_at_the_pivots():
    assert predict_luminosity_published(np.array([10**43.5263]), np.array([0.35]), LUMINOSITY)[0] == pytest.approx(
        np.log10(2e14)
    )


def test_luminosity_keeps_the_flux_when_the_cosmology_changes():
    z = np.array([0.3])
    # only H0 differs: distances scale as 1 / H0, luminosities as 1 / H0^2
    found = published_luminosity(np.array([1e44]), z, {"h0_km_s_mpc": 50.0, "omega_m": 0.3})
    assert found[0] == pytest.approx(1e44 * (50 / 70) ** 2)


def test_missing_key_is_named():
    block = {key: value for key, value in RATE.items() if key != "linear_z"}
    with pytest.raises(InputError, match=r"baselines\.count_rate_efeds: the key\(s\) linear_z"):
        predict_count_rate_efeds(np.ones(1), np.ones(1), block)


def split_of(n):
    return np.array(["train", "train", "val", "test"] * (n // 4))


@pytest.mark.parametrize("predict", [predict_count_rate_recalibrated, predict_luminosity_recalibrated])
def test_refits_find_the_surface_that_the_masses_lie_on(predict):
    rng = np.random.default_rng(41)
    x, z = rng.uniform(-1, 1, 400), rng.uniform(0.05, 1, 400)
    q = np.log10((1 + z) / 1.35)
    mass = 14 + 0.6 * x + 2 * q - 5 * q**2 + 0.05 * x**2
    observable = 0.1 * 10**x if predict is predict_count_rate_recalibrated else 10 ** (43.5263 + x)
    label = np.where(split_of(400) == "test", np.nan, mass)
    block = RATE if predict is predict_count_rate_recalibrated else LUMINOSITY
    np.testing.assert_allclose(predict(observable, z, label, split_of(400), block), mass, atol=1e-9)


def test_prior_finds_a_parabola_of_redshift():
    z = np.random.default_rng(42).uniform(0.05, 1, 400)
    mass = 13.5 + 2 * np.log1p(z) - np.log1p(z) ** 2
    label = np.where(split_of(400) == "test", np.nan, mass)
    np.testing.assert_allclose(predict_prior(z, label, split_of(400)), mass, atol=1e-9)


def test_validation_set_chooses_the_form():
    """Train alone would always take the wiggliest form; here it validates worse than the line."""
    rng = np.random.default_rng(43)
    x = rng.uniform(-1, 1, 60)
    split = np.array(["train"] * 14 + ["val"] * 40 + ["test"] * 6)
    mass = 14 + x + rng.normal(0, 0.3, 60)
    forms = {"line": columns(x), "degree 10": columns(*(x**power for power in range(1, 11)))}
    chosen = fit_best_form("test", forms, mass, split)
    line = np.polynomial.Polynomial.fit(x[:14], mass[:14], 1)
    np.testing.assert_allclose(chosen, line(x))


def test_too_few_training_clusters_are_refused():
    with pytest.raises(InputError, match="2 training clusters can't fit 4 coefficients"):
        predict_prior(np.array([0.1, 0.2, 0.3]), np.ones(3), np.array(["train", "train", "val"]))


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


def test_every_predictor_predicts_every_cluster(predicted):
    assert list(predicted) == PREDICTORS
    assert all(np.isfinite(mu).all() and mu.shape == (N,) for mu in predicted.values())


def test_features_beat_the_prior_where_the_images_tell_the_mass(predicted):
    dataset, split, _ = mock()
    test = split == "test"
    scatter = {name: np.std((mu - dataset["log10_m500c"].values)[test]) for name, mu in predicted.items()}
    assert scatter["ridge_features"] < 0.6 * scatter["prior"]
    assert scatter["count_rate_recalibrated"] < 0.6 * scatter["prior"]


def test_test_clusters_shape_no_fit(predicted):
    """Other images, luminosities, rates and labels of the test set leave all other predictions as they are."""
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


def write_sky(folder):
    dataset, split, l500 = mock()
    write_netcdf(dataset, folder / "images.nc", "test", {"source": "test"})
    subsets = xr.Dataset(
        {"split": ("cluster", split), "group": ("cluster", split)}, {"cluster": dataset["cluster"].values}
    )
    write_netcdf(subsets, folder / "split.nc", "test", {"source": "test"})
    order = np.random.default_rng(47).permutation(N)  # nothing may hang on the order of the truth's rows
    columns = {
        "HALO_ID": dataset["halo_id"].values[order],
        "RA": dataset["ra"].values[order],
        "DEC": dataset["dec"].values[order],
        "Z": dataset["redshift"].values[order],
        "L500": l500[order],
        "KT": temperatures()[order],
        "COUNTS": np.full(N, 100),
    }
    faint = {**columns, "HALO_ID": columns["HALO_ID"] + 1000, "L500": columns["L500"] / 30}  # none of them is selected
    every = {name: np.concatenate([values, faint[name]]) for name, values in columns.items()}
    Table(every).write(folder / "truth.fits", overwrite=True)
    return dataset


def fit(folder, output="baselines.nc", images=("images.nc",), truth=("truth.fits",)):
    sky = Sky([folder / name for name in images], [folder / name for name in truth], COSMOLOGY)
    fit_baselines(sky, folder / "split.nc", {"log10_m500c_min": 13.0}, BLOCK, 1, folder / output)
    return read_netcdf(folder / output)


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


def test_unknown_photons_tell_nothing_of_isolation(tmp_path):
    write_sky(tmp_path)
    table = Table.read(tmp_path / "truth.fits")
    table["COUNTS"] = -1  # as for a simulation whose photons have no labels
    table["COUNTS"][0] = 100
    table.write(tmp_path / "truth.fits", overwrite=True)
    isolated = fit(tmp_path)["isolated"].values
    assert sorted(set(isolated.tolist())) == [-1, 1]
    assert (isolated == 1).sum() == 1


def test_halo_that_no_truth_holds_is_told(tmp_path):
    write_sky(tmp_path)
    table = Table.read(tmp_path / "truth.fits")
    table[table["HALO_ID"] != 1005].write(tmp_path / "truth.fits", overwrite=True)
    with pytest.raises(
        InputError, match=r"1 labelled clusters have a halo .* \(HALO_ID 1005 of realization 01 is one\)"
    ):
        fit(tmp_path)


def test_count_rate_that_is_not_positive_is_told(tmp_path):
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
    assert "count_rate_efeds is left out: the catalogue tells no count rates" in caplog.text
    assert "log_ml_bkg" in caplog.text


def test_realizations_may_share_haloes(tmp_path):
    """The same numbers in both realizations, in different orders and with different luminosities."""
    one, two = tmp_path / "one.fits", tmp_path / "two.fits"
    Table({"HALO_ID": [3, 4], "RA": [1.0, 2.0], "DEC": [0.0, 0.0], "Z": [0.1, 0.2], "L500": [1e43, 2e43]}).write(one)
    Table({"HALO_ID": [4, 3], "RA": [1.0, 2.0], "DEC": [0.0, 0.0], "Z": [0.1, 0.2], "L500": [3e43, 4e43]}).write(two)
    truth = read_truth({"01": one, "02": two})
    rows = truth.rows(np.array(["02", "01", "02"]), np.array([3, 3, 4]))
    assert truth.l500[rows].tolist() == [4e43, 1e43, 3e43]
    with pytest.raises(InputError, match=r"HALO_ID 5 of realization 02 is one"):
        truth.rows(np.array(["02"]), np.array([5]))


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


def test_repeated_halo_is_refused(tmp_path):
    Table({"HALO_ID": [3, 3], "RA": [1.0, 2.0], "DEC": [0.0, 0.0], "Z": [0.1, 0.2]}).write(tmp_path / "truth.fits")
    with pytest.raises(InputError, match="HALO_ID 3 stands in more than one row"):
        read_truth({"01": tmp_path / "truth.fits"})


def test_truth_without_a_needed_column_is_refused(tmp_path):
    Table({"HALO_ID": [3], "RA": [1.0]}).write(tmp_path / "truth.fits")
    with pytest.raises(InputError, match=r"lacks the column\(s\) DEC, Z"):
        read_truth({"01": tmp_path / "truth.fits"})


def test_isolation_by_hand():
    # pairs at 2', 4' and 6' from one another, at RA 0 and high declination where degrees of RA are short
    dec = np.full(6, 60.0)
    arcmin = 1 / 60 / np.cos(np.radians(60))
    ra = np.array([359.99, 359.99 + 2 * arcmin - 360, 90, 90 + 4 * arcmin, 180, 180 + 6 * arcmin]) % 360
    counts = np.array([100.0, 40.0, 100.0, 160.0, 1.0, 1000.0])
    # 40 > 0.3 x 100 within 3'; 160 > 1.5 x 100 within 5' but 100 < 1.5 x 160; 6' is far enough for anything
    assert is_isolated(ra, dec, counts).tolist() == [False, False, False, True, True, True]


def test_lonely_halo_is_isolated():
    assert is_isolated(np.array([1.0]), np.array([2.0]), np.array([3.0])).tolist() == [True]

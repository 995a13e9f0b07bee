"""`train_selection`: which clusters train, validate, calibrate and test."""

import numpy as np
import pytest
import xarray as xr
from baseline_inputs import BLOCK, COSMOLOGY
from baseline_inputs import write_sky as write_baseline_sky
from test_ensemble_ensemble_test_skies import MADE, fit_baselines
from test_network_train_members import experiment, write_sky

from clustermass.baselines.measurements import Sky
from clustermass.dataset.training_data import load_training_sample
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.network.train_members import train_members

SELECTION = {"log10_m500c_min": 13.0, "log10_m500c_max": 15.3, "det_like_min": 5.0, "ext_like_min": 10.0}
NARROW, WIDE, ASIDE = {"ext_like_min": 25.0}, {"ext_like_min": 3.0}, {"ext_like_min": 3.0, "log10_m500c_max": 14.0}


@pytest.fixture
def sky_files(tmp_path):
    """Images of 96 clusters with EXT_LIKE from 4 to 40, one in eight with too low a DET_LIKE, and a split."""
    images, split = write_sky(tmp_path)
    for number, path in enumerate(images):
        field = read_netcdf(path)
        rng, size = np.random.default_rng([5, number]), field.sizes["cluster"]
        field["ext_like"] = ("cluster", rng.uniform(4, 40, size))
        field["det_like"] = ("cluster", np.where(np.arange(size) % 8 == 1, 4.0, 20.0))
        write_netcdf(field, path, "test images", {"parameters": '{"transform": "sqrt"}'})
    return images, split


def table_of(images, split):
    """Return by cluster id the values that decide its subset, without clusters whose DET_LIKE is always too low."""
    subset = read_netcdf(split)["split"].to_series()
    columns = ["ext_like", "det_like", "log10_m500c", "redshift"]
    table = xr.concat([read_netcdf(path)[columns] for path in images], dim="cluster")[columns].to_dataframe()[columns]
    table = table[table.det_like > 5]
    return table.assign(split=subset.loc[table.index]).sort_index()


def data_of(files, train_selection, **keys):
    return load_training_sample(
        *files, experiment({}, selection=SELECTION, train_selection=train_selection, **keys), 11
    )


@pytest.mark.parametrize("train_selection", [NARROW, WIDE, ASIDE])
def test_training_and_validation_clusters_are_inside_the_train_selection_and_test_clusters_the_selected_ones(
    sky_files, train_selection
):
    table, data = table_of(*sky_files), data_of(sky_files, train_selection)
    below = train_selection.get("log10_m500c_max", 15.3)
    inside = table[(table.ext_like > train_selection["ext_like_min"]) & (table.log10_m500c < below)]
    selected = table[table.ext_like > 10]
    expected = {
        "train": inside[inside.split == "train"],
        "val": selected[selected.split == "val"],
        "test": selected[selected.split == "test"],
    }
    for name, rows in expected.items():
        assert len(rows) > 3
        np.testing.assert_array_equal(data.subsets[name].redshift, rows.redshift, err_msg=name)
        np.testing.assert_array_equal(data.subsets[name].log10_m500c, rows.log10_m500c, err_msg=name)
        chosen = data.table["split"].values == name
        assert data.table["cluster"].values[chosen].tolist() == rows.index.tolist()
    np.testing.assert_array_equal(data.val.redshift, inside[inside.split == "val"].redshift)
    assert len(data.val.images) == len(data.val.redshift) != len(data.subsets["val"].redshift)
    assert set(data.table["split"].values.tolist()) == {"train", "val", "test", "unused"}


def test_without_one_and_with_the_same_nothing_changes(sky_files):
    plain, same = data_of(sky_files, None), data_of(sky_files, {"ext_like_min": 10.0})
    assert plain.val is plain.subsets["val"]
    assert same.digest() == plain.digest() != data_of(sky_files, NARROW).digest()
    np.testing.assert_array_equal(same.table["split"], plain.table["split"])
    assert set(plain.table["split"].values.tolist()) == {"train", "val", "test"}


def test_the_digest_is_of_the_validation_clusters_of_the_train_selection(sky_files):
    """With other validation clusters, no checkpoint may be resumed; the clusters for the calibration don't matter."""
    images, split = sky_files
    table = table_of(images, split)
    faint = table.index[(table.split == "val") & (table.ext_like < 10)][0]
    bright = table.index[(table.split == "val") & (table.ext_like.between(10, 25))][0]
    before = {name: data_of(sky_files, cuts).digest() for name, cuts in (("wide", WIDE), ("narrow", NARROW))}
    for cluster, changed in ((faint, "wide"), (bright, "none")):
        path = images[int(cluster[:2]) - 1]
        field = read_netcdf(path)
        kept = field.copy(deep=True)
        field["redshift"].loc[{"cluster": cluster}] += 0.1
        write_netcdf(field, path, "changed", {"parameters": '{"transform": "sqrt"}'})
        cuts = {"wide": WIDE, "none": NARROW}[changed]
        assert (data_of(sky_files, cuts).digest() not in before.values()) is (changed == "wide")
        write_netcdf(kept, path, "test images", {"parameters": '{"transform": "sqrt"}'})


def test_fewer_training_clusters_are_taken_from_the_train_selection(sky_files):
    few, whole = data_of(sky_files, NARROW, train_clusters=9), data_of(sky_files, NARROW)
    masses = [data.subsets["train"].log10_m500c for data in (few, whole)]
    assert len(masses[0]) == 9 < len(masses[1]) and set(masses[0]) < set(masses[1])
    np.testing.assert_array_equal(few.val.redshift, whole.val.redshift)
    with pytest.raises(InputError, match="train_clusters is 90"):
        data_of(sky_files, NARROW, train_clusters=90)


def test_a_selection_that_leaves_nothing_to_train_on_is_named(sky_files, tmp_path):
    made = experiment({}, selection=SELECTION, train_selection={"ext_like_min": 60.0})
    with pytest.raises(InputError, match="The training set is empty"):
        train_members(*sky_files, made, "cpu", 11, {0: (tmp_path / "a.nc", tmp_path / "a.safetensors")})


def test_a_member_predicts_all_and_says_what_it_was_trained_on(sky_files, tmp_path):
    made = experiment({"epochs": 1}, selection=SELECTION, train_selection=WIDE, weighting="uniform_mass")
    train_members(*sky_files, made, "cpu", 11, {0: (tmp_path / "a.nc", tmp_path / "a.safetensors")})
    member, table = read_netcdf(tmp_path / "a.nc"), table_of(*sky_files)
    assert member["cluster"].values.tolist() == table.index.tolist()  # all are above EXT_LIKE 3
    assert np.isfinite(member["mu"]).all()
    kept = (table.split == "train") | (table.ext_like > 10)
    assert member["split"].values.tolist() == np.where(kept, table.split, "unused").tolist()


@pytest.fixture(scope="module")
def baseline_sky(tmp_path_factory):
    """Files for baselines, whose clusters have EXT_LIKE from 4 to 40."""
    folder = tmp_path_factory.mktemp("baselines")
    dataset = write_baseline_sky(folder)
    number = dataset.sizes["cluster"]
    likelihood = np.random.default_rng(6).uniform(4, 40, number)
    dataset = dataset.assign(ext_like=("cluster", likelihood), det_like=("cluster", likelihood + 20))
    write_netcdf(dataset, folder / "images.nc", "test", MADE)
    return folder, dataset


def prior_of(table, train, redshift):
    """Possible priors by hand: a line, a parabola or a cubic in ln(1 + z) through the clusters of `train`."""
    z, mass = (table[name].values[train] for name in ("redshift", "log10_m500c"))
    return [np.polyval(np.polyfit(np.log1p(z), mass, degree), np.log1p(redshift)) for degree in (1, 2, 3)]


def test_baselines_learn_from_the_same_clusters_and_predict_all(baseline_sky, tmp_path):
    folder, dataset = baseline_sky
    sky = Sky([folder / "images.nc"], [folder / "truth.fits"], COSMOLOGY)
    selection, output = {"ext_like_min": 15.0}, tmp_path / "own.nc"
    fit_baselines(sky, folder / "split.nc", selection, BLOCK, 1, output, train_selection={"ext_like_min": 6.0})
    found = read_netcdf(output)
    table = dataset.sel(cluster=found["cluster"].values)
    split = read_netcdf(folder / "split.nc").sel(cluster=found["cluster"].values)["split"].values.astype(str)
    likelihood = table["ext_like"].values
    assert likelihood.min() > 6 and (likelihood < 15).sum() > 10
    expected = np.where((split == "train") | (likelihood > 15), split, "unused")
    np.testing.assert_array_equal(found["split"], expected)
    prior = found["mu"].sel(predictor="prior").values
    redshift = table["redshift"].values
    assert any(np.allclose(of, prior, atol=2e-6) for of in prior_of(table, split == "train", redshift))
    narrow = (split == "train") & (likelihood > 15)
    assert not any(np.allclose(of, prior, atol=2e-6) for of in prior_of(table, narrow, redshift))


def test_of_another_sky_the_baselines_judge_the_selection_alone(baseline_sky, tmp_path):
    folder, dataset = baseline_sky
    sky = Sky([folder / "images.nc"], [folder / "truth.fits"], COSMOLOGY)
    output = tmp_path / "other.nc"
    wide = {"ext_like_min": 6.0}
    other = {"train_selection": wide, "other": sky, "box_arcsec": 1200.0}
    fit_baselines(sky, folder / "split.nc", {"ext_like_min": 15.0}, BLOCK, 1, output, **other)
    found = read_netcdf(output)
    subset = read_netcdf(folder / "split.nc").sel(cluster=dataset["cluster"].values)["split"].values.astype(str)
    above = (dataset["ext_like"].values > 15) & (subset == "test")  # the others' haloes were trained on: the same sky
    assert above.sum() > 5
    assert set(found["cluster"].values.tolist()) == set(dataset["cluster"].values[above].tolist())
    table = dataset.isel(cluster=dataset["ext_like"].values > 6)
    split = read_netcdf(folder / "split.nc").sel(cluster=table["cluster"].values)["split"].values.astype(str)
    redshift = dataset.sel(cluster=found["cluster"].values)["redshift"].values
    prior = found["mu"].sel(predictor="prior").values
    assert any(np.allclose(of, prior, atol=2e-6) for of in prior_of(table, split == "train", redshift))

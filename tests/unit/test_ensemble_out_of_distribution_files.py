"""Out-of-distribution scores of a test set, and the file of the model: content and faults."""

import numpy as np
import pytest
import xarray as xr
from ood_inputs import BANDS, NAMES, X, simulated

from clustermass.ensemble.fit_out_of_distribution import fit_ood, fit_ood_model
from clustermass.ensemble.ood_quantities import quantities
from clustermass.ensemble.out_of_distribution import columns, read_ood_model, score_ood
from clustermass.errors import InputError
from clustermass.evaluate.evaluate import summarise_ood
from clustermass.io.netcdf import read_netcdf, write_netcdf


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Smoothed images of two realizations and an `ensemble.nc` of all clusters."""
    folder = tmp_path_factory.mktemp("domain")
    write_files(folder)
    return folder


def write_files(folder, test_seed=0):
    image, catalogue, predicted = simulated(600, 20)
    split = np.repeat(["train", "val", "test"], [350, 150, 100])
    if test_seed:
        other = simulated(600, test_seed)
        image[500:] = other[0][500:]
        predicted = {name: np.where(split == "test", other[2][name], values) for name, values in predicted.items()}
    ids = np.array([f"{1 + n % 2:02d}_{n}" for n in range(600)])
    grid = {"band": np.arange(BANDS) / 3 + 0.4, "y": X, "x": X}
    made = {"source": "test", "parameters": {"transform": "sqrt"}}
    columns = {name: ("cluster", values) for name, values in catalogue.items()}
    whole = xr.Dataset({"image": (("cluster", "band", "y", "x"), np.sqrt(image)), **columns}, {"cluster": ids, **grid})
    for number in (0, 1):
        write_netcdf(whole.isel(cluster=slice(number, None, 2)), folder / f"{number}.nc", "test", made)
    variables = {name: ("cluster", values) for name, values in (predicted | {"split": split}).items()}
    table = xr.Dataset(variables, {"cluster": ids}).isel(cluster=np.random.default_rng(21).permutation(600))
    write_netcdf(table, folder / "ensemble.nc", "test", {"source": "test"})


def fit(folder, output="domain.nc", seed=4):
    fit_ood([folder / "0.nc", folder / "1.nc"], folder / "ensemble.nc", folder / output, seed)
    return folder / output


def test_file_holds_what_was_fitted_to_training_and_validation_clusters(files):
    found = read_ood_model(fit(files))
    image, catalogue, predicted = simulated(600, 20)
    everything = quantities(np.sqrt(image), X, X, "sqrt", catalogue, predicted)
    order = np.random.default_rng(21).permutation(600)  # the ensemble's
    train, val = order[order < 350], order[(order >= 350) & (order < 500)]
    expected = fit_ood_model(everything[train], everything[val], "sqrt", 4)
    assert (found.names, found.transform, found.number) == (tuple(NAMES), "sqrt", 150)
    new = quantities(np.sqrt(image[500:]), X, X, "sqrt", {k: v[500:] for k, v in catalogue.items()},
                     {k: v[500:] for k, v in predicted.items()})  # fmt: skip
    np.testing.assert_allclose(found.score(new).p, expected.score(new).p)
    assert columns(new, ["mass"])[:, 0].tolist() == predicted["mu"][500:].tolist()


def test_same_inputs_same_bytes_whatever_the_test_clusters(files, tmp_path):
    first = fit(files, "first.nc").read_bytes()
    assert fit(files, "second.nc").read_bytes() == first
    write_files(tmp_path, test_seed=22)
    assert fit(tmp_path, "first.nc").read_bytes() == first


def test_test_clusters_are_scored_and_summed_up(files):
    score_ood([files / "1.nc", files / "0.nc"], files / "ensemble.nc", fit(files), files / "ood.nc")
    table = read_netcdf(files / "ood.nc")
    assert sorted(int(name[3:]) for name in table["cluster"].values.tolist()) == list(range(500, 600))
    summary = summarise_ood(files / "ood.nc")
    assert (summary["n"], summary["n_validation"], summary["false_alarm_rate"]) == (100, 150, 0.01)
    assert summary["flagged"] == (table["ood_p"].values <= 0.01).mean()
    assert sum(summary["why"].values()) == int(table["flag_ood"].values.sum())


def test_images_that_lack_a_cluster_are_refused(files, tmp_path):
    with pytest.raises(InputError, match=r"ensemble\.nc: its cluster 02_\d+ isn't in the images"):
        fit_ood([files / "0.nc"], files / "ensemble.nc", tmp_path / "domain.nc", 1)
    assert not (tmp_path / "domain.nc").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, table: path.write_bytes(path.read_bytes()[:-2000]),
        lambda path, table: path.write_text("domain?"),
        lambda path, table: write(path, table.drop_vars("covariance")),
        lambda path, table: write(path, table.isel(knot=slice(1, None))),
        lambda path, table: write(path, table.assign_coords(quantity=["unheard", *table["quantity"].values[1:]])),
        lambda path, table: write(path, table.assign(mean=table["mean"] * np.nan)),
        lambda path, table: write(path, table.isel(quantity=slice(0, 0))),
        lambda path, table: write(path, table, transform="cube root"),
    ],
)
def test_a_damaged_file_is_refused_by_name(files, tmp_path, damage):
    path = tmp_path / "domain.nc"
    path.write_bytes(fit(files).read_bytes())
    read_ood_model(path)
    damage(path, read_netcdf(path))
    with pytest.raises(InputError, match=r"domain\.nc: .*[Dd]elete it and run again"):
        read_ood_model(path)


def write(path, table, transform="sqrt"):
    write_netcdf(table, path, "test", {"source": "test", "transform": transform})


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"domain\.nc: no such file\. .*run the workflow again"):
        read_ood_model(tmp_path / "domain.nc")

"""Loading the sample: cuts counted, realizations joined, nothing mixed up."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from clustermass.dataset.sample import load_sample, select
from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf

SELECTION = {"log10_m500c_min": 13.0, "log10_m500c_max": 15.3, "det_like_min": 5.0, "ext_like_min": 6.0}


def images(realization: str, number: int, **changes) -> xr.Dataset:
    """Smoothed images whose every pixel holds the number of its cluster."""
    rng = np.random.default_rng([11, int(realization)])
    ids = rng.permutation(np.arange(1, number + 1))
    columns = {
        "redshift": rng.uniform(0.1, 1, number),
        "det_like": rng.uniform(6, 100, number),
        "ext_like": rng.uniform(7, 50, number),
        "log10_m500c": 13.5 + ids / 100,
        "realization": np.full(number, realization),
    } | changes
    cube = np.broadcast_to((int(realization) * 1000 + ids)[:, None, None, None], (number, 2, 3, 3)).astype(np.float32)
    coords = {
        "cluster": [f"{realization}_{row}" for row in ids],
        "band": [0.3, 0.5],
        "x": [-12.0, 0.0, 12.0],
        "y": [-12.0, 0.0, 12.0],
    }
    variables = {name: ("cluster", np.asarray(values)) for name, values in columns.items()}
    bounds = np.array([[0.2, 0.4], [0.4, 0.6]])
    return xr.Dataset(
        {"image": (("cluster", "band", "y", "x"), cube), "band_bounds": (("band", "edge"), bounds), **variables}, coords
    )


def write(folder: Path, *fields: xr.Dataset) -> list[Path]:
    paths = [folder / f"{number}.nc" for number in range(len(fields))]
    for field, path in zip(fields, paths, strict=True):
        write_netcdf(field, path, "synthetic", {})
    return paths


def write_split(folder: Path, ids) -> Path:
    cycle = np.array(["train", "val", "test"])[np.arange(len(ids)) % 3]
    table = xr.Dataset({"split": ("cluster", cycle), "group": ("cluster", ids)}, {"cluster": ids})
    write_netcdf(table, folder / "split.nc", "synthetic", {})
    return folder / "split.nc"


def test_images_stay_with_their_cluster(tmp_path):
    paths = write(tmp_path, images("02", 12), images("01", 9))
    sample = load_sample(paths, None, SELECTION)
    assert sample.sizes["cluster"] == 21
    for name in sample["cluster"].values:
        realization, number = str(name).split("_")
        one = sample.sel(cluster=name)
        assert (one["image"].values == int(realization) * 1000 + int(number)).all()
        assert one["log10_m500c"].item() == 13.5 + int(number) / 100
        assert one["realization"].item() == realization
    assert sample["image"].dtype == np.float32
    assert sample["image"].dims == ("cluster", "band", "y", "x")
    assert sample["band_bounds"].values.tolist() == [[0.2, 0.4], [0.4, 0.6]]


def test_order_of_the_files_is_irrelevant(tmp_path):
    paths = write(tmp_path, images("02", 12), images("01", 9))
    xr.testing.assert_identical(load_sample(paths, None, SELECTION), load_sample(paths[::-1], None, SELECTION))


def test_cuts_are_counted_and_logged(tmp_path, caplog):
    caplog.set_level("INFO", logger="clustermass")
    field = images("01", 8)
    field["log10_m500c"][:6] = [np.nan, np.nan, 12.99, 13.0, 15.3, 15.29]
    field["redshift"][5] = np.nan
    field["det_like"][6] = 5.0
    field["ext_like"][7] = 6.001
    sample = load_sample(write(tmp_path, field), None, SELECTION)
    assert set(sample["cluster"].values) == set(field["cluster"].values[[3, 7]])
    for count in (
        "2 without a halo",
        "1 without redshift",
        "1 with log10_m500c < 13",
        "1 with log10_m500c >= 15.3",
        "1 with det_like <= 5",
        "0 with ext_like <= 6",
        "8 detections in 1 files",
        "left: 2",
    ):
        assert count in caplog.text


def test_cuts_drop_what_is_left_only_once():
    keep, dropped = select(images("01", 4, det_like=np.zeros(4), ext_like=np.zeros(4)), SELECTION)
    assert not keep.any()
    assert dropped["with det_like <= 5"] == 4
    assert dropped["with ext_like <= 6"] == 0
    assert sum(dropped.values()) == 4


def test_without_selection_everything_is_kept(tmp_path):
    field = images("01", 5).drop_vars("log10_m500c")
    field["redshift"][0] = np.nan
    assert load_sample(write(tmp_path, field)).sizes["cluster"] == 5


def test_split_is_joined_by_id(tmp_path):
    ids = [f"01_{number}" for number in range(1, 11)]
    sample = load_sample(write(tmp_path, images("01", 10)), write_split(tmp_path, ids), {"log10_m500c_min": 13.53})
    assert sample.sizes["cluster"] == 8
    expected = dict(zip(ids, ["train", "val", "test"] * 4, strict=False))
    for name in sample["cluster"].values:
        assert sample["split"].sel(cluster=name).item() == expected[name]
        assert sample["group"].sel(cluster=name).item() == name


def test_a_split_of_other_images(tmp_path):
    split = write_split(tmp_path, ["01_1", "01_2"])
    with pytest.raises(InputError, match=r"split\.nc: lacks 3 clusters"):
        load_sample(write(tmp_path, images("01", 5)), split, SELECTION)


def test_nothing_left(tmp_path):
    with pytest.raises(InputError, match=r"leaves none of 5 detections \(dropped: .*5 with log10_m500c < 16"):
        load_sample(write(tmp_path, images("01", 5)), None, {"log10_m500c_min": 16.0})


def test_observed_field_is_no_training_sample(tmp_path):
    with pytest.raises(InputError, match="lacks log10_m500c; a training sample needs"):
        load_sample(write(tmp_path, images("01", 5).drop_vars("log10_m500c")), None, SELECTION)


def test_a_file_given_twice(tmp_path):
    paths = write(tmp_path, images("01", 5))
    with pytest.raises(InputError, match="Cluster 01_1 occurs twice"):
        load_sample([*paths, *paths], None, SELECTION)


def test_files_on_different_grids(tmp_path):
    other = images("02", 5)
    other["x"] = [-24.0, 0.0, 24.0]
    with pytest.raises(InputError, match=r"differ in x: made with other settings"):
        load_sample(write(tmp_path, images("01", 5), other), None, SELECTION)


def test_unknown_cut(tmp_path):
    with pytest.raises(InputError, match=r"selection\.det_like_mim"):
        load_sample(write(tmp_path, images("01", 5)), None, {"det_like_mim": 5.0})

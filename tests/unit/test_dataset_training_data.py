"""What the members of an experiment see: nested training sets, controls, and a digest of it all."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from test_network_train_members import SELECTION, write_sky

from clustermass.dataset.split import first_training_clusters
from clustermass.dataset.training_data import load_training_sample
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf

EXPERIMENT = {"selection": SELECTION, "redshift_noise": 0.0, "train_clusters": None, "control": "none"}


def sample(number=300, seed=1):
    """Clusters in groups of 1 to 5, about two thirds of them for training."""
    rng = np.random.default_rng(seed)
    group = np.repeat([f"g{n:03d}" for n in range(number)], rng.integers(1, 6, number))[:number]
    kinds = dict(
        zip(np.unique(group), rng.choice(["train", "train", "val", "test"], len(np.unique(group))), strict=True)
    )
    split = [kinds[name] for name in group]
    return xr.Dataset(
        {"group": ("cluster", group), "split": ("cluster", split)},
        {"cluster": [f"01_{row:03d}" for row in range(number)]},
    )


def trained_on(table, number, seed=11):
    return set(table["cluster"].values[first_training_clusters(table, number, seed) == "train"])


def test_smaller_training_sets_lie_within_larger_ones_and_take_whole_groups():
    table = sample()
    train = table["cluster"].values[table["split"].values == "train"]
    sets = [trained_on(table, number) for number in (1, 17, 60, 100, len(train))]
    assert [len(one) for one in sets] == [1, 17, 60, 100, len(train)]
    assert all(small < large for small, large in pairwise(sets))
    assert sets[-1] == set(train)
    group = dict(zip(table["cluster"].values, table["group"].values, strict=True))
    parted = {group[name] for name in sets[2]} & {group[name] for name in set(train) - sets[2]}
    assert len(parted) <= 1
    assert trained_on(table, 60, seed=12) != sets[2]


def test_the_order_is_a_shuffling_and_other_clusters_dont_matter():
    table = sample()
    place = [int(name[3:]) for name in trained_on(table, 60)]
    train = np.array([int(name[3:]) for name in trained_on(table, int((table["split"] == "train").sum()))])
    assert abs(np.mean(place) - train.mean()) < 4 * train.std() / np.sqrt(60 / 3)  # groups of 3 on average
    fewer = table.isel(cluster=np.flatnonzero(table["split"].values != "test"))
    assert trained_on(fewer, 60) == trained_on(table, 60)
    turned = table.isel(cluster=slice(None, None, -1))
    assert trained_on(turned, 60) == trained_on(table, 60)


def test_validation_and_test_sets_stay_as_they_are():
    table = sample()
    chosen = first_training_clusters(table, 20, 1)
    for name in ("val", "test"):
        np.testing.assert_array_equal(chosen == name, table["split"].values == name)
    assert set(chosen) == {"train", "val", "test", "unused"}


def test_more_clusters_than_there_are_are_refused(tmp_path):
    with pytest.raises(InputError, match="train_clusters is 500, but the training set holds 64 clusters"):
        load_training_sample(*write_sky(tmp_path), EXPERIMENT | {"train_clusters": 500}, 11)


def test_fewer_training_clusters_reach_the_arrays(tmp_path):
    files = write_sky(tmp_path)
    whole, part = (load_training_sample(*files, EXPERIMENT | {"train_clusters": n}, 11) for n in (None, 20))
    assert [len(part.subsets[name].redshift) for name in ("train", "val", "test", "unused")] == [20, 16, 16, 44]
    rows = part.table["split"].values == "train"
    images = {str(name): image for path in files[0] for name, image in read_netcdf(path)["image"].groupby("cluster")}
    expected = [images[name].values.squeeze().transpose(1, 2, 0) for name in part.table["cluster"].values[rows]]
    np.testing.assert_array_equal(part.subsets["train"].images, expected)
    np.testing.assert_array_equal(part.subsets["train"].log10_m500c, part.table["log10_m500c"].values[rows])
    np.testing.assert_array_equal(part.subsets["val"].images, whole.subsets["val"].images)


@pytest.mark.parametrize("control", ["shuffled_redshift", "no_energy", "noise_images"])
def test_a_control_reaches_all_subsets_and_the_test_set_changes_no_training_data(tmp_path, control):
    plain, here, there = (
        load_training_sample(*write_sky(tmp_path / str(n), n), EXPERIMENT | {"control": name}, 11)
        for n, name in ((0, "none"), (0, control), (1, control))
    )
    for name in ("train", "val", "test"):
        one, other = plain.subsets[name], here.subsets[name]
        assert np.array_equal(one.images, other.images) is (control == "shuffled_redshift")
        assert np.array_equal(one.redshift, other.redshift) is (control != "shuffled_redshift")
        np.testing.assert_array_equal(one.log10_m500c, other.log10_m500c)
    assert here.digest() == there.digest() != plain.digest()


@pytest.mark.parametrize("name", ["train", "val"])
@pytest.mark.parametrize("variable", ["image", "redshift", "log10_m500c", "split"])
def test_the_digest_changes_with_anything_that_is_trained_on(tmp_path, name, variable):
    images, split = write_sky(tmp_path)
    before = load_training_sample(images, split, EXPERIMENT, 11).digest()
    assert load_training_sample(images[::-1], split, EXPERIMENT, 5).digest() == before  # nor order of files, nor seed
    row = int(np.flatnonzero(read_netcdf(split)["split"].values.astype(str) == name)[0])
    path = split if variable == "split" else images[0]
    table = read_netcdf(path)
    if variable == "split":
        table["split"][row] = "test"
    else:
        table[variable][row] = table[variable][row] + 1e-3
    write_netcdf(table, path, "changed", {"parameters": table.attrs.get("parameters", "{}")})
    assert load_training_sample(images, split, EXPERIMENT, 11).digest() != before

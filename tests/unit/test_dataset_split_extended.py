"""The split of a further image set: test clusters stay test clusters, and no training cluster overlaps them."""

import numpy as np
import pytest
import xarray as xr
from test_dataset_split import BOX, DIVISION, offsets_arcsec, random_field, write

from clustermass.dataset.split import extend_split, extended, split_sample
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf

SEVENTH = DIVISION | {"seed": 7}


def field(realization, number, seed):
    """Draw a field, some of whose haloes occur in other realizations, too."""
    clusters = random_field(realization, number, seed)
    clusters["halo_id"] = ("cluster", np.random.default_rng([seed, int(realization), 1]).integers(0, 1500, number))
    return clusters


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Return images of two realizations (a set of two thirds of the clusters, a set of all) and both splits."""
    folder = tmp_path_factory.mktemp("sets")
    every = [field(name, 120, 3) for name in ("01", "02")]
    rng = np.random.default_rng(5)
    first = [part.isel(cluster=np.sort(rng.choice(120, 80, replace=False))) for part in every]
    paths = {"first": write(folder / "first", *first), "every": write(folder / "every", *every)}
    split_sample(paths["first"], folder / "first.nc", SEVENTH)
    extend_split(paths["every"], folder / "first.nc", folder / "every.nc", SEVENTH)
    splits = [read_netcdf(folder / f"{name}.nc") for name in ("first", "every")]
    return folder, paths, xr.concat(every, dim="cluster"), *splits


def neighbours(clusters, here):
    """Clusters that share a halo with one, or sky of their boxes in its realization, by astropy's offsets."""
    x, y = offsets_arcsec(clusters["ra"].values, clusters["dec"].values, here, slice(None))
    realization, halo = clusters["realization"].values, clusters["halo_id"].values
    boxes = (np.abs(x) < BOX) & (np.abs(y) < BOX) & (realization == realization[here])
    found = boxes | (halo == halo[here])
    found[here] = False
    return np.flatnonzero(found)


def test_clusters_of_the_first_set_keep_subset_and_group(sets):
    _, _, _, first, every = sets
    kept = every.sel(cluster=first["cluster"].values)
    for name in ("split", "group"):
        np.testing.assert_array_equal(kept[name].values.astype(str), first[name].values.astype(str))
    assert every.sizes["cluster"] == 240
    assert set(np.unique(every["split"].values.astype(str))) == {"train", "val", "test"}


def test_a_further_cluster_that_touches_first_ones_goes_to_the_most_guarded_subset_of_theirs(sets):
    _, _, clusters, first, every = sets
    subset = {
        name: value for name, value in zip(every["cluster"].values, every["split"].values.astype(str), strict=True)
    }
    ids = clusters["cluster"].values.astype(str)
    known = np.isin(ids, first["cluster"].values.astype(str))
    seen = []
    for here in np.flatnonzero(~known).tolist():
        beside = {subset[ids[there]] for there in neighbours(clusters, here) if known[there]}
        wanted = next((name for name in ("test", "val", "train") if name in beside), None)
        seen.append((wanted, len(beside)))
        if wanted:
            assert subset[ids[here]] == wanted
    assert {name for name, _ in seen} == {"test", "val", "train", None}
    assert max(number for _, number in seen) > 1


def test_nothing_that_is_trained_on_touches_a_judging_cluster_of_the_first_set(sets):
    _, _, clusters, first, every = sets
    table = every.sel(cluster=clusters["cluster"].values)
    subset, known = table["split"].values.astype(str), np.isin(table["cluster"].values, first["cluster"].values)
    measured = np.flatnonzero(known & (subset != "train")).tolist()
    assert len(measured) > 20
    assert not any((subset[neighbours(clusters, here)] == "train").any() for here in measured)


def test_further_clusters_by_themselves_keep_together(sets):
    _, _, clusters, first, every = sets
    table = every.sel(cluster=clusters["cluster"].values)
    subset, group = table["split"].values.astype(str), table["group"].values.astype(str)
    own = ~np.isin(group, first["group"].values.astype(str))
    assert own.sum() > 10
    for here in np.flatnonzero(own).tolist():
        for there in neighbours(clusters, here).tolist():
            if own[there]:
                assert (subset[there], group[there]) == (subset[here], group[here])


def test_the_order_of_files_does_not_matter(sets):
    folder, paths, *_ = sets
    extend_split(paths["every"][::-1], folder / "first.nc", folder / "turned.nc", SEVENTH)
    xr.testing.assert_equal(read_netcdf(folder / "turned.nc"), read_netcdf(folder / "every.nc"))


def test_a_set_of_fewer_clusters_has_the_split_of_the_first(sets):
    folder, paths, _, first, _ = sets
    fewer = [read_netcdf(path).isel(cluster=slice(0, 30)) for path in paths["first"]]
    found = write(folder / "fewer", *(part.drop_attrs() for part in fewer))
    extend_split(found, folder / "first.nc", folder / "fewer.nc", SEVENTH)
    xr.testing.assert_equal(read_netcdf(folder / "fewer.nc"), first)


def test_further_clusters_alone_are_divided_as_a_sky_of_their_own(sets):
    folder, paths, clusters, *_ = sets
    empty = np.array([], dtype="U5")
    none = xr.Dataset({name: ("cluster", empty) for name in ("split", "group")}, {"cluster": empty})
    clusters = clusters.isel(cluster=np.argsort(clusters["cluster"].values))
    subset, group = extended(clusters, none, SEVENTH)
    split_sample(paths["every"], folder / "own.nc", SEVENTH)
    own = read_netcdf(folder / "own.nc")
    np.testing.assert_array_equal(own["cluster"].values, clusters["cluster"].values)
    np.testing.assert_array_equal(own["split"].values.astype(str), subset)
    np.testing.assert_array_equal(own["group"].values.astype(str), group)


def test_a_cluster_that_occurs_twice_is_refused(sets):
    folder, paths, *_ = sets
    with pytest.raises(InputError, match="occurs twice"):
        extend_split([paths["every"][0]] * 2, folder / "first.nc", folder / "no.nc", SEVENTH)
    assert not (folder / "no.nc").exists()

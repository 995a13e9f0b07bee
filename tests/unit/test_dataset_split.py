"""The split: no halo and no photon is in two subsets, and only the seed changes it."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord
from confined import refused
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from clustermass.dataset.split import (
    fold_of,
    group_names,
    overlapping_boxes,
    split_sample,
    subset_of,
    subsets,
    touching,
)
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf

FRACTIONS = {"train": 0.70, "val": 0.15, "test": 0.15}
BOX = 1200.0
DIVISION = {"fractions": FRACTIONS, "seed": 1, "box_arcsec": BOX}


def clusters(realization: str, ra, dec, halo_id=None, mass=None) -> xr.Dataset:
    """Per-cluster part of an images.nc with ids 1, 2, ... in the order given."""
    number = len(ra)
    columns = {
        "ra": np.asarray(ra, float),
        "dec": np.asarray(dec, float),
        "realization": np.full(number, realization),
        "halo_id": np.full(number, -1) if halo_id is None else np.asarray(halo_id),
        "log10_m500c": np.full(number, 14.0) if mass is None else np.asarray(mass, float),
        "redshift": np.full(number, 0.3),
    }
    ids = [f"{realization}_{row}" for row in range(1, number + 1)]
    return xr.Dataset({name: ("cluster", values) for name, values in columns.items()}, {"cluster": ids})


def random_field(realization: str, number: int, seed: int, width=6.0) -> xr.Dataset:
    rng = np.random.default_rng([seed, int(realization)])
    ra, dec = rng.uniform(357, 357 + width, number) % 360, rng.uniform(-width / 2, width / 2, number)
    return clusters(realization, ra, dec, rng.integers(0, 10**6, number))


def write(folder: Path, *fields: xr.Dataset) -> list[Path]:
    paths = []
    for field in fields:
        path = folder / str(field["realization"].values[0]) / "images.nc"
        write_netcdf(field, path, "synthetic", {})
        paths.append(path)
    return paths


def split_of(folder: Path, paths, seed=7, name="split.nc") -> xr.Dataset:
    split_sample(paths, folder / name, DIVISION | {"seed": seed})
    return read_netcdf(folder / name, require=("split", "group"))


def offsets_arcsec(ra, dec, here, there):
    """Offsets of `there` from `here` by astropy's own geometry, SIN-projected."""
    centre, other = SkyCoord(ra[here], dec[here], unit="deg"), SkyCoord(ra[there], dec[there], unit="deg")
    radius, angle = np.sin(centre.separation(other).rad), centre.position_angle(other).rad
    return np.degrees(radius * np.sin(angle)) * 3600, np.degrees(radius * np.cos(angle)) * 3600


@pytest.mark.parametrize(
    ("centre", "offset", "overlap"),
    [
        ((10.0, 0.0), (1190, 0), True),
        ((10.0, 0.0), (1210, 0), False),
        ((10.0, 0.0), (1190, 1190), True),
        ((10.0, 0.0), (1190, 1210), False),
        ((359.9, 0.0), (1190, 0), True),  # across RA 0
        ((0.0, 60.0), (1190, 0), True),  # 1190" on the sky are 2380" of RA there
        ((0.0, 60.0), (1230, 0), False),
        ((200.0, -80.0), (0, -1190), True),
    ],
)
def test_boxes_overlap_on_the_sky(centre, offset, overlap):
    ra0, dec0 = centre
    ra = [ra0, (ra0 + offset[0] / 3600 / np.cos(np.radians(dec0))) % 360]
    pairs = overlapping_boxes(np.array(ra), np.array([dec0, dec0 + offset[1] / 3600]), BOX)
    assert (len(pairs) == 1) is overlap


def test_many_clusters_with_one_halo_or_at_one_place_are_refused():
    number = 100_000
    columns = {"ra": np.linspace(0, 350, number), "dec": np.zeros(number), "realization": np.full(number, "01")}
    table = xr.Dataset({name: ("cluster", values) for name, values in columns.items()})
    one_halo = table.assign(halo_id=("cluster", np.full(number, 5)))
    refused(r"1e\+10 pairs of clusters with the same halo", touching, one_halo, 60.0)
    one_place = table.assign(halo_id=("cluster", np.arange(number)), ra=table["dec"])
    refused(r"1e\+10 pairs of near positions", touching, one_place, 60.0)


@settings(max_examples=60, deadline=None)
@given(
    ra0=st.floats(0, 359.99),
    dec0=st.floats(-75, 75),
    seed=st.integers(0, 2**32 - 1),
    number=st.integers(2, 40),
)
@example(ra0=0.0, dec0=60.0, seed=14, number=14)
def test_no_halo_and_no_photon_on_both_sides(ra0, dec0, seed, number):
    """In any field, clusters in different groups share neither a halo nor sky."""
    rng = np.random.default_rng(seed)
    dec = np.clip(dec0 + rng.uniform(-1, 1, number), -89, 89)
    ra = (ra0 + rng.uniform(-1, 1, number) / np.cos(np.radians(dec0))) % 360
    field = clusters("01", ra, dec, rng.integers(-1, 30, number))
    groups = group_names(field, BOX)
    halo = field["halo_id"].values
    here, there = np.nonzero(groups[:, None] != groups[None, :])
    assert not ((halo[here] == halo[there]) & (halo[here] >= 0)).any()
    x, y = offsets_arcsec(ra, dec, here, there)
    # two boxes are turned against each other by the convergence of their meridians: squares turned by t whose centres
    # are nearer than (1 - t / 2) sides along both axes overlap
    turned = np.radians(np.abs((ra[here] - ra[there] + 180) % 360 - 180)) * np.abs(np.sin(np.radians(dec[here])))
    near = BOX * (1 - 0.55 * turned)
    assert not ((np.abs(x) < near) & (np.abs(y) < near)).any()
    # and photons: points of one box never lie in a box of another group
    for _ in range(3):
        points = rng.uniform(-BOX / 2, BOX / 2, (2, number)) / 3600
        photon_dec = dec + points[1]
        photon_ra = ra + points[0] / np.cos(np.radians(photon_dec))
        x, y = offsets_arcsec(np.append(ra, photon_ra), np.append(dec, photon_dec), here, number + there)
        assert not ((np.abs(x) < BOX / 2) & (np.abs(y) < BOX / 2)).any()


def test_boxes_turned_against_each_other_near_the_pole():
    """Every pair of boxes with a grid point in common is found, corners of turned boxes included."""
    rng = np.random.default_rng(12)
    ra, dec = rng.uniform(0, 360, 45), rng.uniform(89.1, 89.9, 45)
    centres = SkyCoord(ra, dec, unit="deg")
    x, y = np.radians(np.stack(np.meshgrid(*[np.linspace(-BOX / 2, BOX / 2, 31)] * 2)).reshape(2, -1) / 3600)
    found = {tuple(sorted(pair)) for pair in overlapping_boxes(ra, dec, BOX).tolist()}
    shared = set()
    for here in range(45):
        points = centres[here].directional_offset_by(np.arctan2(x, y) * u.rad, np.arcsin(np.hypot(x, y)) * u.rad)
        for there in set(range(45)) - {here}:
            rho, angle = np.sin(centres[there].separation(points).rad), centres[there].position_angle(points).rad
            extent = np.maximum(np.abs(rho * np.sin(angle)), np.abs(rho * np.cos(angle)))
            if (extent < np.radians(BOX / 2 / 3600)).any():
                shared.add((min(here, there), max(here, there)))
    assert shared <= found
    assert 25 < len(shared) <= len(found) < 45 * 44 / 4


def test_only_linked_clusters_are_grouped():
    """A chain of overlaps is one group though its ends are apart; boxes of two realizations never overlap."""
    first = clusters("01", [10.0, 10.3, 10.6, 12.0, 14.0], [0, 0, 0, 0, 0], [1, 2, 3, 4, -1])
    second = clusters("02", [10.0, 20.0], [0, 0], [-1, 4])
    groups = group_names(xr.concat([first, second], dim="cluster"), BOX)
    assert groups.tolist() == ["01_1", "01_1", "01_1", "01_4", "01_5", "02_1", "01_4"]


def test_order_of_the_input_is_irrelevant(tmp_path):
    fields = [random_field("01", 60, 1), random_field("02", 60, 1)]
    shuffled = [field.isel(cluster=np.random.default_rng(3).permutation(60)) for field in reversed(fields)]
    one = split_of(tmp_path, write(tmp_path / "a", *fields))
    other = split_of(tmp_path, write(tmp_path / "b", *shuffled))
    xr.testing.assert_equal(one, other)


def test_same_input_gives_same_bytes(tmp_path):
    paths = write(tmp_path, random_field("01", 80, 2))
    split_of(tmp_path, paths, name="one.nc")
    split_of(tmp_path, paths, name="two.nc")
    assert (tmp_path / "one.nc").read_bytes() == (tmp_path / "two.nc").read_bytes()


def test_more_realizations_move_no_cluster(tmp_path):
    fields = [random_field(f"{number:02d}", 50, 4) for number in range(1, 5)]
    paths = write(tmp_path, *fields)
    few, many = split_of(tmp_path, paths[:2]), split_of(tmp_path, paths)
    xr.testing.assert_equal(few, many.sel(cluster=few["cluster"]))


def test_labels_move_no_cluster(tmp_path):
    field = random_field("01", 80, 5)
    blind = field.assign(log10_m500c=field["log10_m500c"].where(np.arange(80) % 2 == 0))
    one = split_of(tmp_path, write(tmp_path / "a", field))
    other = split_of(tmp_path, write(tmp_path / "b", blind))
    xr.testing.assert_equal(one, other)


def test_the_seed_moves_clusters(tmp_path):
    paths = write(tmp_path, random_field("01", 120, 6))
    assert (split_of(tmp_path, paths, 1)["split"].values != split_of(tmp_path, paths, 2)["split"].values).any()


def test_shares_are_met():
    """Each share of 4000 groups lies inside the binomial's central 1 - 1e-6 (false alarm 3e-6 over seeds)."""
    subsets = [subset_of(f"{number // 500:02d}_{number}", FRACTIONS, 20230502) for number in range(4000)]
    for name, share in FRACTIONS.items():
        low, high = binom.interval(1 - 1e-6, 4000, share)
        assert low <= subsets.count(name) <= high


def test_too_few_clusters(tmp_path):
    paths = write(tmp_path, clusters("01", [10.0, 20.0], [0, 0]))
    with pytest.raises(InputError, match=r"2 labelled ones in 2 groups give train \d, val \d, test \d"):
        split_of(tmp_path, paths)
    assert not (tmp_path / "split.nc").exists()


def test_unlabelled_clusters_fill_no_subset(tmp_path):
    field = random_field("01", 200, 8)
    field["log10_m500c"][2:] = np.nan
    with pytest.raises(InputError, match="2 labelled ones"):
        split_of(tmp_path, write(tmp_path, field))


def test_a_file_given_twice(tmp_path):
    paths = write(tmp_path, random_field("01", 30, 9))
    with pytest.raises(InputError, match=r"Cluster 01_1 occurs twice \(30 so\)"):
        split_of(tmp_path, [*paths, *paths])


@pytest.mark.parametrize("fractions", [{"train": 0.7, "val": 0.2, "test": 0.2}, {"train": 0.5, "test": 0.5}])
def test_shares_must_add_up(tmp_path, fractions):
    with pytest.raises(InputError, match="add up to 1"):
        split_sample(
            write(tmp_path, random_field("01", 30, 9)), tmp_path / "split.nc", DIVISION | {"fractions": fractions}
        )


def test_sizes_are_logged(tmp_path, caplog):
    caplog.set_level("INFO", logger="clustermass")
    table = split_of(tmp_path, write(tmp_path, random_field("01", 150, 10)))
    number = int((table["split"].values == "test").sum())
    assert f"test: {number} clusters" in caplog.text
    largest = max(np.unique(table["group"].values, return_counts=True)[1])
    assert f"largest group: {largest} of 150 clusters" in caplog.text


def test_folds_deal_masses_in_turn_and_keep_groups_together():
    mass = np.random.default_rng(1).uniform(13, 15, 103)
    fold = fold_of(10, mass, seed=1)
    np.testing.assert_array_equal(fold[np.argsort(mass)], np.arange(103) % 10)
    group = np.repeat([f"g{number}" for number in range(200)], 3)
    of_group = fold_of(8, group, seed=1)
    assert set(of_group) == set(range(8))
    assert (of_group.reshape(-1, 3) == of_group[::3, None]).all()
    assert not np.array_equal(fold_of(8, group, seed=2), of_group)
    each = [
        subsets(np.array(["g"] * 103), DIVISION | {"folds": {"number": 10, "test": test, "by": "mass"}}, mass)
        for test in range(10)
    ]
    splits = np.stack(each)
    np.testing.assert_array_equal((splits == "test").argmax(axis=0), fold)
    for name in ("test", "val"):
        assert ((splits == name).sum(axis=0) == 1).all()  # each cluster is tested, and validates, once


def test_a_fold_is_the_test_set_and_the_next_one_validates(tmp_path):
    paths, tested = write(tmp_path, random_field("01", 150, 10)), []
    for test in range(4):
        folds = {"number": 4, "test": test, "by": "group"}
        split_sample(paths, tmp_path / "split.nc", DIVISION | {"folds": folds})
        table = read_netcdf(tmp_path / "split.nc")
        split, fold = table["split"].values.astype(str), fold_of(4, table["group"].values.astype(str), 1)
        np.testing.assert_array_equal(split == "test", fold == test)
        np.testing.assert_array_equal(split == "val", fold == (test + 1) % 4)
        tested += table["cluster"].values[split == "test"].tolist()
    assert len(tested) == len(set(tested)) == 150

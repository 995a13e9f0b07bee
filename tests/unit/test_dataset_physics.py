"""Parameters of the physics: read with the sample, standardised by the prior, never divided between subsets."""

import numpy as np
import pytest
from physics_inputs import PRIOR, images_of, write_images
from scipy import stats
from test_network_train_members import SELECTION

from clustermass.dataset.physics import PhysicsPrior, cell_weights
from clustermass.dataset.sample import load_sample
from clustermass.dataset.split import extend_split, split_sample
from clustermass.dataset.training_data import load_training_sample
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf

DIVISION = {"fractions": {"train": 0.6, "val": 0.2, "test": 0.2}, "seed": 3, "box_arcsec": 100.0}
SIZES = [30, 10, 20, 5, 12, 12, 30, 7, 20, 20, 9, 9, 14, 6, 8, 8, 25, 5, 10, 10]
EXPERIMENT = {"selection": SELECTION, "redshift_noise": 0.0, "train_clusters": None, "control": "none"}


@pytest.fixture(name="files", scope="module")
def sky_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sky")
    images = write_images(folder, SIZES)
    split_sample(images, folder / "split.nc", DIVISION)
    return images, folder / "split.nc"


def test_every_cluster_has_the_parameters_of_its_own_realization(files):
    sample = load_sample(files[0])
    assert PhysicsPrior.of(sample) == PRIOR
    for number in range(1, len(SIZES) + 1):
        here = sample["phi"].values[sample["realization"].values == f"{number:02d}"]
        np.testing.assert_array_equal(here, np.tile(images_of(number, 1)["phi"].values, (SIZES[number - 1], 1)))


def test_a_universe_is_one_group_in_one_subset(files):
    table = read_netcdf(files[1])
    universe = {name: (int(name[:2]) - 1) // 2 for name in table["cluster"].values.astype(str)}
    columns = [table[name].values.astype(str).tolist() for name in ("cluster", "group", "split")]
    found = {(universe[name], group, subset) for name, group, subset in zip(*columns, strict=True)}
    assert len(found) == len(SIZES) // 2
    assert {subset for *_, subset in found} == {"train", "val", "test"}


def test_new_clusters_of_further_images_stay_with_their_universe(files, tmp_path):
    images, _ = files
    split_sample(images[:1] + images[4:], tmp_path / "first.nc", DIVISION)
    extend_split(images, tmp_path / "first.nc", tmp_path / "every.nc", DIVISION)
    first, table = read_netcdf(tmp_path / "first.nc"), read_netcdf(tmp_path / "every.nc")
    subset = dict(zip(table["cluster"].values.astype(str), table["split"].values.astype(str), strict=True))
    assert all(
        subset[name] == value
        for name, value in zip(first["cluster"].values.astype(str), first["split"].values.astype(str), strict=True)
    )
    for number in range(1, len(SIZES), 2):
        here = {value for name, value in subset.items() if int(name[:2]) in (number, number + 1)}
        assert len(here) == 1


def test_sample_is_standardised_by_the_prior_and_weighted_by_cells(files):
    plain = load_training_sample(*files, EXPERIMENT, 1)
    cells = load_training_sample(*files, EXPERIMENT | {"weighting": "cells"}, 1)
    assert plain.subsets["train"].weight is None is plain.val.weight
    for name, subset in cells.subsets.items():
        if name in ("train", "val", "test"):
            rows = cells.table["split"].values == name
            expected = (cells.table["phi"].values[rows] - PRIOR.mean) / PRIOR.sd
            np.testing.assert_allclose(subset.phi, expected, rtol=1e-6)
            realization = cells.table["realization"].values[rows]
            sums = [subset.weight[realization == one].sum() for one in np.unique(realization)]
            np.testing.assert_allclose(sums, len(realization) / len(sums))
            assert subset.measurements["nh"].min() > 3e20
    assert plain.digest() != cells.digest()


def test_a_sky_without_prior_has_none(tmp_path):
    images = write_images(tmp_path, [9, 9, 9, 9], None)
    assert PhysicsPrior.of(load_sample(images)) is None
    split_sample(images, tmp_path / "split.nc", DIVISION | {"fractions": {"train": 0.4, "val": 0.3, "test": 0.3}})
    sample = load_training_sample(images, tmp_path / "split.nc", EXPERIMENT, 1)
    assert sample.val.phi is None is sample.val.prior
    assert len(np.unique(read_netcdf(tmp_path / "split.nc")["group"])) > 4


def test_files_of_different_priors_are_refused(tmp_path):
    other = PhysicsPrior(PRIOR.names, PRIOR.mean, [0.08, 0.02], PRIOR.uniform)
    (tmp_path / "other").mkdir()
    both = [*write_images(tmp_path, [5]), write_images(tmp_path / "other", [5, 5], other)[1]]
    with pytest.raises(InputError, match="differ in phi_sd"):
        load_sample(both)


def test_draws_have_the_moments_of_the_prior():
    draws = PRIOR.draws(20_000, 1)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(draws.T), np.eye(2), atol=0.04)
    np.testing.assert_array_equal(PRIOR.draws(20_000, 1), draws)
    assert not np.array_equal(PRIOR.draws(20_000, 2), draws)
    np.testing.assert_allclose(PRIOR.covariance(), [[0.0064, 0], [0, 1e-4]])
    # false alarms: 1 %
    assert stats.kstest(draws[:10_000, 0], stats.norm.cdf).pvalue > 0.005
    assert stats.kstest(draws[:10_000, 1], stats.uniform(-np.sqrt(3), np.sqrt(12)).cdf).pvalue > 0.005


@pytest.mark.parametrize(
    ("names", "mean", "sd"),
    [
        (["a", "b"], [0.0, 1.0], [1.0, 0.0]),
        (["a", "b"], [0.0, np.nan], [1.0, 1.0]),
        (["a", "b"], [0.0], [1.0, 1.0]),
        (["a.b", "a_b"], [0.0, 1.0], [1.0, 1.0]),
        ([], [], []),
    ],
)
def test_an_impossible_prior_is_refused(names, mean, sd):
    with pytest.raises(InputError, match="damaged"):
        PhysicsPrior(names, mean, sd, [False] * len(names)).checked()


def test_parameters_that_dont_fit_are_refused():
    with pytest.raises(InputError, match="a finite number for each"):
        PRIOR.standardised([43.5])
    np.testing.assert_allclose(PRIOR.standardised([43.58, 0.02]), [1, -1], rtol=1e-5)
    assert PhysicsPrior(["clusters.component_mean[0]"], [0.0], [1.0], [False]).columns() == [
        "CLUSTERS_COMPONENT_MEAN_0"
    ]


def test_weights_of_cells():
    weights = cell_weights(np.array(["b", "a", "b", "b"]))
    np.testing.assert_allclose(weights, [2 / 3, 2, 2 / 3, 2 / 3])

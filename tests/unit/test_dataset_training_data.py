"""What the members of an experiment see: nested training sets, controls, and a digest of it all."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from network_inputs import NETWORK, RECIPE, fit, predictions, sky
from scipy import stats
from test_network_train_members import SELECTION, write_sky

from clustermass.dataset.split import first_training_clusters
from clustermass.dataset.training_data import INVERSES, LARGEST, Control, load_training_sample, training_weights
from clustermass.errors import InputError
from clustermass.images.preprocessing import TRANSFORMS
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


SHAPE = (9, 9, 4)
RATES = np.array([0.1, 0.4, 2.0, 0.02])


def counts(number=200, seed=1):
    """Poisson counts (cluster, y, x, band): a source whose brightness and colour differ from cluster to cluster."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:9, :9] - 4
    source = rng.uniform(0, 30, number)[:, None, None, None] * (np.exp(-(x**2 + y**2) / 4) / 12.6)[..., None]
    colour = rng.dirichlet(np.ones(4), number)[:, None, None]
    return rng.poisson(source * colour + RATES)


def seen(number=200, transform="sqrt", seed=1):
    return TRANSFORMS[transform](counts(number, seed)).astype(np.float32)


def under(name, images, transform="sqrt", seed=7):
    return Control.from_training_images(name, transform, images, seed)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_inverses_undo_the_transforms(transform):
    numbers = np.linspace(0, 40, 81)
    np.testing.assert_allclose(INVERSES[transform](TRANSFORMS[transform](numbers)), numbers, atol=1e-12)
    assert INVERSES.keys() == TRANSFORMS.keys()


def test_none_changes_nothing():
    images, redshift = seen(), np.linspace(0.1, 0.9, 200)
    control = under("none", images)
    assert control.images(images, range(200)) is images
    assert control.redshift(redshift, "train") is redshift


def test_shuffled_redshifts_are_the_same_ones_at_other_clusters():
    images, redshift = seen(), np.random.default_rng(3).uniform(0.1, 0.9, 200)
    control = under("shuffled_redshift", images)
    assert control.images(images, range(200)) is images
    shuffled = control.redshift(redshift, "train")
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(redshift))
    assert abs(stats.pearsonr(shuffled, redshift).statistic) < 0.28  # 4 sigma of 1 / sqrt(200)
    assert (shuffled == redshift).sum() < 8  # 1 expected
    np.testing.assert_array_equal(control.redshift(redshift, "train"), shuffled)
    assert not np.array_equal(control.redshift(redshift, "val"), shuffled)
    assert not np.array_equal(under("shuffled_redshift", images, seed=8).redshift(redshift, "train"), shuffled)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_without_energy_every_band_has_the_mean_counts_and_the_total_is_kept(transform):
    images = seen(1100, transform)
    made = under("no_energy", images, transform).images(images, range(1100))
    mean = counts(1100).mean(axis=-1)
    for band in range(4):
        np.testing.assert_allclose(INVERSES[transform](made[..., band].astype(float)), mean, atol=2e-4, rtol=1e-5)
    assert made.dtype == images.dtype


def test_noise_has_the_training_sets_level_and_nothing_of_the_cluster():
    train, test = seen(300, seed=1), seen(300, seed=2)
    control = under("noise_images", train)
    level = counts(300, seed=1).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(control.level, level, rtol=1e-5)
    noise = np.square(control.images(test, range(300)).astype(float))
    pixels = noise.reshape(-1, 4)
    sigma = np.sqrt(level / len(pixels))
    assert (np.abs(pixels.mean(axis=0) - level) < 4 * sigma).all()
    np.testing.assert_allclose(pixels.var(axis=0), level, rtol=0.06)  # Poisson: variance = mean
    np.testing.assert_array_equal(noise.round(4), noise.round())  # whole photons
    totals = noise.sum((1, 2, 3)), counts(300, seed=2).sum((1, 2, 3))
    assert abs(stats.pearsonr(*totals).statistic) < 4 / np.sqrt(300)


def test_noise_of_a_cluster_depends_on_its_id_alone():
    images = seen(6)
    control = under("noise_images", images)
    made = control.images(images, list("abcdef"))
    np.testing.assert_array_equal(control.images(images[3:] * 0, list("fed")), made[[5, 4, 3]])
    assert not np.array_equal(made[0], made[1])


@pytest.mark.parametrize(
    ("name", "transform", "said"), [("no_energie", "sqrt", "control is 'no_energie'"), ("none", "cbrt", "transform is")]
)
def test_unknown_words_are_refused(name, transform, said):
    with pytest.raises(InputError, match=said):
        Control.from_training_images(name, transform, seen(3), 1)


def steep(number, seed=1):
    """Masses that get rarer by a factor of 20 from 13.3 to 14.8."""
    share = np.random.default_rng(seed).uniform(size=number)
    return 13.3 - 1.5 * np.log(1 - share * (1 - 1 / 20)) / np.log(20)


def test_weighted_masses_are_spread_evenly():
    mass = steep(20_000)
    weights = training_weights("uniform_mass", mass)
    counts = np.histogram(mass, 15, (13.3, 14.8))[0]
    weighted = np.histogram(mass, 15, (13.3, 14.8), weights=weights)[0]
    assert counts.max() / counts.min() > 10
    np.testing.assert_allclose(weighted, mass.size / 15, rtol=1e-9)  # edges are multiples of 0.1, as the bins' are
    assert weights.mean() == pytest.approx(1)
    assert np.corrcoef(mass, weights)[0, 1] > 0.7


def test_a_lone_cluster_doesnt_dominate():
    mass = np.concatenate([np.full(499, 13.55), np.full(500, 13.95), [14.95]])
    weights = training_weights("uniform_mass", mass)
    # unbounded it would have a third of all weight, 333 times the mean
    assert weights[-1] / weights[0] == pytest.approx(LARGEST * 3 * 499 / 1000)
    assert weights[-1] / weights.sum() < 0.02


def test_the_order_of_clusters_doesnt_matter_and_none_is_none():
    mass = steep(300)
    np.testing.assert_array_equal(
        training_weights("uniform_mass", mass)[::-1], training_weights("uniform_mass", mass[::-1])
    )
    assert training_weights("none", mass) is None
    with pytest.raises(InputError, match="weighting is 'mass', but must be one of: none, uniform_mass"):
        training_weights("mass", mass)


def test_weights_reach_the_training_set_alone_and_its_digest(tmp_path):
    files = write_sky(tmp_path)
    experiment = {"selection": SELECTION, "redshift_noise": 0.0, "train_clusters": None, "control": "none"}
    plain, even = (
        load_training_sample(*files, experiment | {"weighting": name}, 11) for name in ("none", "uniform_mass")
    )
    masses = even.subsets["train"].log10_m500c
    np.testing.assert_array_equal(even.subsets["train"].weight, training_weights("uniform_mass", masses))
    for data, names in ((plain, ("train", "val", "test")), (even, ("val", "test"))):
        assert all(data.subsets[name].weight is None for name in names)
    assert plain.digest() != even.digest()
    assert plain.digest() == load_training_sample(*files, experiment, 11).digest()


def test_a_network_predicts_a_rare_kind_better_where_its_weight_is_larger():
    """Images hold no information: the best mean is that of the weighted masses, the network's own without weights."""
    train, val = sky(320, 1), sky(40, 2)
    blank = np.zeros_like(train.images)
    mass = steep(320)
    recipe = RECIPE | {
        "loss": "squared_log",
        "epochs": 20,
        "augmentation": "none",
        "weight_decay": 0.0,
        "learning_rate": 0.03,
    }
    for weight, expected in ((None, mass.mean()), (training_weights("uniform_mass", mass), 14.05)):
        some = replace(train, images=blank, log10_m500c=mass, weight=weight)
        network = NETWORK | {"side_inputs": []}
        fitted = fit(some, replace(val, images=blank[:40]), network, recipe, 1, 0)
        assert predictions(fitted, some, False)[0].mean() == pytest.approx(expected, abs=0.06)
    assert 14.05 - mass.mean() > 0.2

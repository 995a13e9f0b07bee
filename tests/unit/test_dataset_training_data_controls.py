"""What each control takes away, and what it leaves as it is."""

import numpy as np
import pytest
from scipy import stats

from clustermass.dataset.training_data import INVERSES, Control
from clustermass.errors import InputError
from clustermass.images.preprocessing import TRANSFORMS

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

"""Aperture sums against loops over pixels, and what the features must and must not depend on."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.baselines.features import OUTER_RADII, annulus_counts, cluster_features, within

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
OFFSETS = (np.arange(100) - 49.5) * 12.0


def images(n, seed=0, rate=0.3):
    return np.random.default_rng(seed).poisson(rate, (n, 10, 100, 100)).astype(np.uint16)


def sample(counts, redshift=0.3):
    n = len(counts)
    values = {
        "redshift": redshift,
        "redshift_err": 0.0,
        "det_like": 30.0,
        "ext_like": 20.0,
        "ext": 25.0,
        "ml_rate": 0.1,
        "ml_cts": 110.0,
        "ml_bkg": 6.0,
        "exposure_s": 1200.0,
        "covered_fraction": 1.0,
        "log10_m500c": np.nan,
    }
    dims = ("cluster", "band", "y", "x")
    variables = {name: ("cluster", np.full(n, value)) for name, value in values.items()}
    return xr.Dataset({"counts": (dims, counts), **variables}, {"x": OFFSETS, "y": OFFSETS})


def named(dataset):
    features, names = cluster_features(dataset, COSMOLOGY)
    return dict(zip(names, features.T, strict=True))


def test_annuli_equal_sums_over_pixels():
    counts = images(3)
    found = annulus_counts(counts, OFFSETS, OFFSETS)
    radius = np.hypot(*np.meshgrid(OFFSETS, OFFSETS))
    inner = 0.0
    for number, outer in enumerate(OUTER_RADII):
        ring = (radius >= inner) & (radius < outer)
        np.testing.assert_array_equal(found.plain[..., number], counts[..., ring].sum(axis=-1))
        assert found.area[number] == pytest.approx(ring.sum() * 0.04)  # pixels of 0.2' x 0.2'
        inner = outer


def test_a_uniform_image_has_its_own_background_and_no_net_counts():
    counts = np.full((1, 10, 100, 100), 2, dtype=np.uint16)
    found = annulus_counts(counts, OFFSETS, OFFSETS)
    np.testing.assert_allclose(found.robust, found.plain)
    np.testing.assert_allclose(found.background(), 2 / 0.04)


def test_a_neighbour_to_one_side_leaves_the_robust_sums_alone():
    counts = images(1, seed=1)
    crowded = counts.copy()
    crowded[:, :, 62, 66] += 300  # at x = 198", y = 150": radius 248", angle 143 degrees East of ... one octant only
    before, after = (annulus_counts(c, OFFSETS, OFFSETS) for c in (counts, crowded))
    ring = int(np.searchsorted(OUTER_RADII, np.hypot(OFFSETS[66], OFFSETS[62]), side="right"))
    assert after.plain[0, 0, ring] - before.plain[0, 0, ring] == 300
    total = before.plain[0, :, ring].sum()
    # dropping another pair of octants moves a sum of N counts by about sqrt(N)
    assert abs(after.robust[0, :, ring].sum() - before.robust[0, :, ring].sum()) < 4 * np.sqrt(total)


def test_inner_annuli_count_every_photon():
    counts = images(2, seed=2)
    found = annulus_counts(counts, OFFSETS, OFFSETS)
    inner = OUTER_RADII <= 60
    np.testing.assert_array_equal(found.robust[..., inner], found.plain[..., inner])


def test_within_interpolates_a_uniform_profile_exactly():
    edges = np.concatenate([[0], OUTER_RADII])
    profile = np.broadcast_to(np.pi * np.diff(edges**2), (4, 2, OUTER_RADII.size))
    radius = np.array([10.0, 77.7, 300.0, 480.0])
    np.testing.assert_allclose(within(profile, radius), (np.pi * radius**2)[:, None] * np.ones(2))
    np.testing.assert_allclose(within(profile[:1], [900.0]), np.pi * 480.0**2)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_features_do_not_care_for_the_order_or_company_of_clusters(seed, first):
    counts = images(4, seed=seed)
    together, _ = cluster_features(sample(counts), COSMOLOGY)
    alone, _ = cluster_features(sample(counts[first:]), COSMOLOGY)
    np.testing.assert_array_equal(together[first:], alone)


def test_features_are_finite_for_the_emptiest_and_the_fullest_image():
    counts = np.stack([np.zeros((10, 100, 100)), np.full((10, 100, 100), 60000)]).astype(np.uint16)
    dataset = sample(counts)
    for name in ("ml_rate", "ml_cts", "ml_bkg", "exposure_s", "ext"):
        dataset[name][0] = 0
    features, names = cluster_features(dataset, COSMOLOGY)
    assert np.isfinite(features).all()
    assert len(set(names)) == features.shape[1]


def test_photons_in_the_centre_raise_every_aperture():
    counts = images(1, seed=3)
    bright = counts.copy()
    bright[:, :, 49:51, 49:51] += 20
    faint, strong = named(sample(counts)), named(sample(bright))
    for name in faint:
        if name.startswith(("plain", "robust")) and not name.endswith(("squared", "ln_z")):
            assert strong[name][0] > faint[name][0], name


def test_hard_photons_raise_the_hardness():
    counts = images(2, seed=4)
    counts[0, :4, 48:52, 48:52] += 5
    counts[1, 4:, 48:52, 48:52] += 5
    hardness = named(sample(counts))["hardness1_500kpc"]
    assert hardness[1] > hardness[0] + 0.3


def test_labels_are_not_read():
    counts = images(2)
    labelled = sample(counts)
    labelled["log10_m500c"][:] = 14.5
    first, names = cluster_features(labelled, COSMOLOGY)
    second, _ = cluster_features(sample(counts).drop_vars("log10_m500c"), COSMOLOGY)
    np.testing.assert_array_equal(first, second)
    assert not any("m500" in name or "mass" in name for name in names)

"""Measures of images of other kinds: any transform, few bands, a domain that is fitted to them and read back."""

import numpy as np
import pytest
from ood_inputs import NAMES, X, simulated, write_ood_model

from clustermass.ensemble.fit_out_of_distribution import fit_ood_model
from clustermass.ensemble.ood_quantities import quantities
from clustermass.ensemble.out_of_distribution import read_ood_model
from clustermass.images.preprocessing import TRANSFORMS


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_transform_is_undone(transform):
    image, facts, predicted = simulated(20, 1)
    wanted = quantities(image, X, X, "none", facts, predicted)
    seen = TRANSFORMS[transform](image.astype(np.float64)).astype(np.float32)
    found = quantities(seen, X, X, transform, facts, predicted)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bands", "colours"), [(1, ()), (2, ("core_soft", "outer_soft")), (3, None)])
def test_fewer_than_three_bands_tell_fewer_colours_and_the_rest_as_well(bands, colours):
    image, facts, predicted = simulated(20, 1)
    joined = image.reshape(20, bands, -1, *image.shape[2:]).sum(axis=2)
    whole, found = (quantities(cubes, X, X, "none", facts, predicted) for cubes in (image, joined))
    every = [name for name in NAMES if name.endswith(("_soft", "_hard"))]
    known = [name for name, column in zip(NAMES, found.T, strict=True) if np.isfinite(column).all() and name in every]
    assert set(known) == set(every if colours is None else colours)
    rest = [number for number, name in enumerate(NAMES) if name not in every]
    np.testing.assert_allclose(found[:, rest], whole[:, rest])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_domain_of_one_band_and_any_transform_is_kept(tmp_path, transform):
    image, facts, predicted = simulated(200, 2)
    measured = quantities(image.sum(axis=1, keepdims=True), X, X, "none", facts, predicted)
    domain = fit_ood_model(measured[:150], measured[150:], transform, 1)
    write_ood_model(domain, tmp_path / "domain.nc")
    kept = read_ood_model(tmp_path / "domain.nc")
    assert (kept.names, kept.transform) == (domain.names, transform)
    assert not [name for name in kept.names if name.endswith(("_soft", "_hard"))]
    assert "core" in kept.names

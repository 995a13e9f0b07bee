"""Masses by a relation between count rate and mass that is fitted to the training clusters."""

import numpy as np
import pytest
import xarray as xr

from clustermass.apply.rate_mass import rate_masses
from clustermass.io.netcdf import write_netcdf


def write_ensemble(folder, clusters=400, scatter=0.0):
    """Write an `ensemble.nc` whose training clusters follow a relation; its test clusters don't."""
    rng = np.random.default_rng(3)
    redshift, exposure = rng.uniform(0.05, 1.2, clusters), rng.uniform(300, 2000, clusters)
    rate = 10 ** rng.uniform(-2, 1, clusters)
    split = np.where(np.arange(clusters) % 4, "train", "test")
    mass = law(rate, redshift) + scatter * rng.normal(size=clusters) + 5.0 * (split == "test")
    values = {"split": split, "redshift": redshift, "ml_cts": rate * exposure, "exposure_s": exposure}
    columns = {name: ("cluster", one) for name, one in {**values, "log10_m500c": mass}.items()}
    write_netcdf(xr.Dataset(columns), folder / "ensemble.nc", "test", {"step": "test"})
    return folder / "ensemble.nc"


def law(rate, redshift):
    """Return a mass that grows with count rate and redshift, with other pivots than those of the fit."""
    growth = np.log10(1 + redshift)
    return 14.2 + 0.6 * np.log10(rate) + 2.5 * growth - 1.5 * growth**2


def test_the_relation_of_the_training_clusters_is_found(tmp_path):
    columns = {"ML_CTS": np.array([80, 900.0]), "EXPOSURE": np.array([1000, 1200.0]), "Z": np.array([0.2, 0.9])}
    mass, error = rate_masses(write_ensemble(tmp_path), columns)
    assert mass == pytest.approx(law(columns["ML_CTS"] / columns["EXPOSURE"], columns["Z"]), abs=1e-9)
    assert error == pytest.approx(0, abs=1e-9)
    assert rate_masses(write_ensemble(tmp_path, 4000, 0.2), columns)[1] == pytest.approx(0.2, rel=0.05)


def test_clusters_without_counts_exposure_or_redshift_get_no_mass(tmp_path):
    columns = dict(zip(("ML_CTS", "EXPOSURE", "Z"), np.full((3, 5), 0.5), strict=True))
    columns["ML_CTS"][0], columns["ML_CTS"][1], columns["EXPOSURE"][2], columns["Z"][3] = np.nan, 0, 0, np.nan
    for values in rate_masses(write_ensemble(tmp_path), columns):
        assert np.isfinite(values).tolist() == [False] * 4 + [True]
    assert np.isnan(rate_masses(write_ensemble(tmp_path, 40), columns)).all()  # too few training clusters

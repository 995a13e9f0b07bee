"""What the released ensemble leaves out changes no mass, and a file that is too large is refused."""

import numpy as np
import pytest
import xarray as xr

from clustermass.apply.mass_prior import read_mass_prior
from clustermass.ensemble.aggregate import read_cosmology, read_training
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.report import release as releasing

COSMOLOGY = {"h0_km_s_mpc": 70.0, "omega_m": 0.3}


@pytest.fixture
def ensemble(tmp_path):
    """Write the ensemble.nc of 200 clusters, in the order of splits in which training clusters aren't the first."""
    rng = np.random.default_rng(3)
    columns = {name: rng.uniform(0.1, 0.9, 200) for name in releasing.KEPT if name != "split"}
    columns |= {"split": np.array(["test", "val", "train", "train"] * 50), "mu": rng.normal(14, 0.3, 200)}
    columns["ml_cts"][::7] = np.nan
    coordinates = {"cluster": [f"01_{number}" for number in range(200)], "member": ["00", "01"]}
    dataset = xr.Dataset({name: ("cluster", values) for name, values in columns.items()}, coordinates)
    path = tmp_path / "ensemble.nc"
    write_netcdf(dataset, path, "test", {"source": "clustermass 0.0.7", "cosmology": COSMOLOGY})
    return path


def test_what_is_left_out_of_the_training_clusters_changes_no_mass(ensemble, tmp_path):
    reduced = tmp_path / "reduced.nc"
    releasing._write_reduced(ensemble, "release_7", reduced)
    assert read_training(reduced) == read_training(ensemble)
    assert read_training(reduced).number == 100
    whole, part = read_mass_prior(ensemble), read_mass_prior(reduced)
    np.testing.assert_array_equal(part.shape, whole.shape)
    np.testing.assert_array_equal(part.mean, whole.mean)
    assert read_cosmology(reduced) == COSMOLOGY
    table = read_netcdf(reduced)
    assert (table.sizes["cluster"], [*table["member"].values], table.attrs["version"]) == (
        100,
        ["00", "01"],
        "release_7",
    )
    assert {*table.data_vars} == {*releasing.KEPT}


def test_an_ensemble_too_large_for_the_package_is_refused(ensemble, tmp_path, monkeypatch):
    others = [tmp_path / name for name in ("calibration.json", "domain.nc", "00.safetensors", "metrics.json")]
    for path in others:
        path.write_bytes(bytes(10))
    calibration, domain, weights, metrics = others
    monkeypatch.setattr(releasing, "MOST_BYTES", 1000)
    outputs = tmp_path / "released.zip", tmp_path / "datasheet.md"
    with pytest.raises(InputError, match=r"released\.zip: would have 0\.0 MB, more than 0\.001 MB\. Train fewer"):
        releasing.release(ensemble, calibration, domain, [weights], metrics, {"version": "1"}, "", *outputs)
    assert not any(path.exists() for path in outputs)

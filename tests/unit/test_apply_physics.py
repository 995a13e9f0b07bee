"""A catalogue by conditioned networks: responses, common errors and PHI_COV in all four formats; without phi, none."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
import yaml
from apply_inputs import network, observed_field, run  # noqa: F401  (a fixture)
from astropy.io import fits
from astropy.io.votable import parse
from astropy.table import Table
from physics_inputs import PRIOR

from clustermass.apply import masses as observed
from clustermass.ensemble.ensemble import Ensemble
from clustermass.ensemble.responses import Responses

SLOPE = np.array([-0.5, 1.2])
RESPONSES = ["DLOGM_DCLUSTERS_RELATIONS_LOG10_AMPLITUDE", "DLOGM_DAGN_CLUSTERED_FRACTION"]
SYSTEMATIC = float(np.sqrt((0.5 * 0.08) ** 2 + (1.2 * 0.01) ** 2))
PHYSICS = ["LOGM500_ERR_SYS", "LOGM500_ERR_PRIOR", "LOGM500_MARG", "LOGM500_MARG_ERR"]


def fake_responses(ensemble, image, redshift, measurements, device, recalibration):
    """Replace the networks: all clusters respond alike."""
    number = len(redshift)
    columns = {
        "systematic": SYSTEMATIC,
        "remainder": 0.0,
        "marginal_mu": 14.1,
        "marginal_sigma": 0.3,
        "mean_sigma": 0.2,
    }
    slope = np.tile(SLOPE, (number, 1))
    return Responses(slope, 0 * slope, **{name: np.full(number, value) for name, value in columns.items()})


@pytest.fixture(name="conditioned")
def conditioned_field(field, monkeypatch):
    plain = network("log_z")(None)
    loaded = SimpleNamespace(**{**vars(plain), "prior": PRIOR})
    monkeypatch.setattr(observed.TrainedNetwork, "load", lambda path: loaded)
    monkeypatch.setattr(Ensemble, "responses", fake_responses)
    return run(field[0])


def test_columns_of_the_fits_table(conditioned):
    table = Table.read(conditioned["fits"], hdu="MASSES", mask_invalid=False)
    with_mass = np.isfinite(table["LOGM500"])
    assert 0 < with_mass.sum() < len(table)
    expected = [SYSTEMATIC, 0.2, 14.1, 0.3, *SLOPE]
    for name, value in zip([*PHYSICS, *RESPONSES], expected, strict=True):
        error_by_redshift = table["LOGM500_ERR_Z"] if name in ("LOGM500_ERR_PRIOR", "LOGM500_MARG_ERR") else 0
        wanted = np.hypot(value, error_by_redshift) if value > 0 else np.full(len(table), value)
        np.testing.assert_allclose(table[name][with_mass], (wanted * np.ones(len(table)))[with_mass], rtol=1e-6)
        assert np.isnan(table[name][~with_mass]).all()
    header = fits.getheader(conditioned["fits"], "MASSES")
    names = {header[f"TTYPE{n}"]: n for n in range(1, header["TFIELDS"] + 1)}
    assert header[f"TCOMM{names[RESPONSES[0]]}"] == (
        "d LOGM500 / d clusters.relations.log10_amplitude at fixed data, dex"
    )


def test_phi_cov_is_the_same_in_all_formats(conditioned):
    made = Table.read(conditioned["fits"], hdu="PHI_COV")
    assert [name.strip() for name in made["NAME"]] == PRIOR.names
    assert [name.strip() for name in made["RESPONSE"]] == RESPONSES
    np.testing.assert_array_equal(made["PHI0"], PRIOR.mean)
    np.testing.assert_array_equal(made["COVARIANCE"], PRIOR.covariance())
    votable = parse(conditioned["votable"])
    second = next(table for table in votable.iter_tables() if table.name == "PHI_COV").to_table()
    np.testing.assert_array_equal(second["COVARIANCE"], PRIOR.covariance())
    assert list(second["NAME"]) == PRIOR.names
    meta = Table.read(conditioned["ecsv"]).meta["PHI_COV"]
    assert meta["NAME"] == PRIOR.names
    np.testing.assert_array_equal(meta["COVARIANCE"], PRIOR.covariance())
    with xr.open_dataset(conditioned["netcdf"]) as dataset:
        np.testing.assert_array_equal(dataset["phi_cov"].values, PRIOR.covariance())
        assert dataset["parameter"].values.tolist() == PRIOR.names
        assert dataset[RESPONSES[1]].attrs["long_name"].startswith("d LOGM500 / d agn.clustered_fraction")


def test_covariance_of_two_clusters_from_the_file_alone(conditioned):
    """As docs/explanation/systematics.md says: Cov_ij = delta_ij sigma_i^2 + J_i Sigma J_j^T."""
    table, phi = (Table.read(conditioned["fits"], hdu=name, mask_invalid=False) for name in ("MASSES", "PHI_COV"))
    rows = np.isfinite(table["LOGM500"])
    slope = np.stack([table[name.strip()][rows] for name in phi["RESPONSE"]], axis=1).astype(float)
    common = slope @ np.asarray(phi["COVARIANCE"]) @ slope.T
    np.testing.assert_allclose(common, SYSTEMATIC**2, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(common)), table["LOGM500_ERR_SYS"][rows], rtol=1e-6)


def test_without_phi_nothing_is_added(field):
    paths = run(field[0])
    with fits.open(paths["fits"]) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASSES", "MEMBER_MU", "MEMBER_SIGMA"]
        assert not {*PHYSICS} & {*hdus["MASSES"].columns.names}
        assert not any(name.startswith("DLOGM") for name in hdus["MASSES"].columns.names)
    header = "\n".join(line[1:] for line in paths["ecsv"].read_text().splitlines() if line.startswith("# "))
    assert "PHI_COV" not in str(yaml.safe_dump(header))

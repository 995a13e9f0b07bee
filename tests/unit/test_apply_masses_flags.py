"""Flags of the mass catalogue: training range, out-of-distribution, edge, and missing measurements."""

import numpy as np
import pytest
import xarray as xr
from apply_inputs import MADE, network, observed_field, read, run, write_calibration  # noqa: F401, the fixture `field`
from astropy.io import fits

from clustermass.apply import masses as observed
from clustermass.ensemble.out_of_distribution import sample_p
from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf
from clustermass.io.products import MASSES, write_exposure


def test_scale_changes_no_flag_of_unlikeness(field):
    folder = field[0]
    for scale in (0.3, 1.0, 4.0):
        write_calibration(folder, "scale", scale)
        assert {number for number, row in read(folder).items() if row["FLAG_OOD"]} == {3}


def test_counts_that_no_training_cluster_tells_flag_nothing(field):
    folder = field[0]
    training = xr.load_dataset(folder / "ensemble.nc")
    training["ml_cts"][:] = np.nan
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    assert {number: int(row["FLAG_RANGE"]) for number, row in read(folder).items()} == {7: 0, 3: 8, 11: 0, 20: 1, 5: 4}


def test_flags(field):
    rows = read(field[0])
    # 3: spread members; its mean mass of 21 lies outside as well. 20: z = 1.4, its counts unknown. 5: 100 s of exposure
    assert {number: int(row["FLAG_RANGE"]) for number, row in rows.items()} == {7: 0, 3: 8, 11: 0, 20: 1, 5: 4}
    assert {number: int(row["FLAG_OOD"]) for number, row in rows.items()} == {7: 0, 3: 1, 11: 0, 20: 0, 5: 0}
    assert {number: int(row["FLAG_EDGE"]) for number, row in rows.items()} == {7: 0, 3: 0, 11: 0, 20: 0, 5: 1}


def test_clusters_are_ranked_among_the_validation_clusters(field):
    folder = field[0]
    rows = read(folder)
    # 7, 20 and 5: masses of 14.2 (but for rounding), in the middle; 3: the farthest; 11 has no mass
    near = pytest.approx(1, abs=0.006)
    assert {number: row["OOD_P"] for number, row in rows.items() if number != 11} == {
        3: pytest.approx(1 / 200), 5: near, 7: near, 20: near
    }  # fmt: skip
    assert np.isnan(rows[11]["OOD_P"])
    assert rows[11]["FLAG_OOD"] == 0
    assert {number: str(row["OOD_WHY"]).strip() for number, row in rows.items()} == {
        3: "mass",
        5: "",
        7: "",
        11: "",
        20: "",
    }
    header = fits.getheader(folder / "masses.fits", 1)
    assert (header["NOOD"], header["OODRATE"]) == (199, 0.01)
    assert header["OODSAMP"] == pytest.approx(sample_p(np.array([1, 199, 199, 199]) / 200, 199), rel=0.1)


def test_without_its_domain_an_ensemble_is_refused(field):
    (field[0] / "domain.nc").unlink()
    with pytest.raises(InputError, match=r"domain\.nc: no such file"):
        run(field[0])


def test_clusters_with_missing_measurements_are_flagged_and_counted(field, caplog, monkeypatch):
    """Cluster 20 has no count rate, cluster 11 an extent of 0, which has no logarithm."""
    folder = field[0]
    with caplog.at_level("INFO", "clustermass"):
        rows = read(folder)
    assert {number for number, row in rows.items() if row["FLAG_NOCAT"]} == {11, 20}
    assert "background (ML_RATE, EXT, ML_BKG) of 2 clusters" in caplog.text
    images = xr.load_dataset(folder / "smoothed.nc")
    write_netcdf(images.drop_vars("ml_bkg"), folder / "smoothed.nc", "test", MADE)
    assert all(row["FLAG_NOCAT"] == 1 for row in read(folder).values())
    # networks without measured side inputs miss nothing
    monkeypatch.setattr(observed.TrainedNetwork, "load", network("z", "log_exposure"))
    caplog.clear()
    assert not any(row["FLAG_NOCAT"] for row in read(folder).values())
    assert "ML_BKG" not in caplog.text


def test_cluster_without_redshift_is_kept_without_mass_and_counted(field, caplog):
    with caplog.at_level("INFO", "clustermass"):
        row = read(field[0], mass_prior="flat")[11]
    assert row["FLAG_NOZ"] == 1
    masses = [one.name for one in MASSES if one.name.startswith("LOGM500") and one.name in row.colnames]
    assert len(masses) > 10
    assert all(np.isnan(row[name]) for name in masses)
    assert "5 clusters, 1 without a mass: no redshift 1" in caplog.text


def test_field_without_any_redshift_has_its_catalogue_without_masses(field, caplog):
    folder = field[0]
    for name in ("images", "smoothed"):
        data = xr.load_dataset(folder / f"{name}.nc")
        data["redshift"][:] = np.nan
        write_netcdf(data, folder / f"{name}.nc", "test", MADE)
    with caplog.at_level("INFO", "clustermass"):
        rows = read(folder, mass_prior="flat")
    assert len(rows) == 5
    for row in rows.values():
        assert row["FLAG_NOZ"] == 1
        assert all(np.isnan(row[one.name]) for one in MASSES if one.name.startswith("LOGM500_Q"))
    assert "5 clusters, 5 without a mass: no redshift 5" in caplog.text


def test_coverage_is_that_of_what_the_networks_see(field, caplog):
    """RA 136.03 to 200 is exposed: 22 % of the 6.4' box of cluster 7 (RA 136), nothing of that of cluster 5 (RA 0)."""
    folder = field[0]
    seconds = np.full((400, 6397), 1000, dtype=np.float32)
    cards = {
        "CTYPE1": "RA---CAR",
        "CTYPE2": "DEC--CAR",
        "CRVAL1": 168.015,
        "CRVAL2": 0.0,
        "CDELT1": 0.01,
        "CDELT2": 0.01,
    }
    cards |= {"CRPIX1": 3199.0, "CRPIX2": 200.5, "CUNIT1": "deg", "CUNIT2": "deg"}
    write_exposure(folder / "exposure.fits", seconds, cards)
    rows = read(folder, exposures=[folder / "exposure.fits"])
    covered = {number: float(row["COVERED_FRACTION"]) for number, row in rows.items()}
    assert covered == {7: pytest.approx(0.22, abs=0.02), 3: 1, 11: pytest.approx(0.5, abs=0.02), 20: 1, 5: 0}
    assert {number for number, row in rows.items() if row["FLAG_EDGE"]} == {7, 11, 5}
    assert {number for number, row in rows.items() if np.isfinite(row["LOGM500"])} == {3, 20}
    assert all(row["EXP_FROM"].strip() == "map" for row in rows.values())


def test_an_exposure_at_one_place_has_leeway(field):
    """ML_EXP at one place may exceed the largest mean exposure of a training box (1500 s) by 10 % without a flag."""
    folder = field[0]
    for name in ("images", "smoothed"):
        images = xr.load_dataset(folder / f"{name}.nc")
        images["exposure_s"][:] = [1600.0, 1700.0, np.nan, 1200.0, 1600.0]
        images["exp_from"] = ("cluster", ["ML_EXP", "ML_EXP", "none", "ML_EXP", "map"])
        write_netcdf(images, folder / f"{name}.nc", "test", MADE)
    rows = read(folder)
    assert {number: int(row["FLAG_RANGE"]) & 4 for number, row in rows.items()} == {7: 0, 3: 4, 11: 0, 20: 0, 5: 4}
    assert rows[11]["EXP_FROM"].strip() == "none"
    assert np.isnan(rows[11]["LOGM500"])

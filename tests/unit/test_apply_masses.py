"""The mass catalogue: columns, rows, header and hashes, and the inputs that are refused."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from apply_inputs import (  # noqa: F401, the fixture `field`
    MADE,
    network,
    observed_field,
    predicted,
    read,
    run,
    write_calibration,
    write_detections,
)
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from scipy.stats import norm

from clustermass.apply import masses as observed
from clustermass.apply.catalogue import iau_names
from clustermass.apply.columns import excess_error, mass_columns
from clustermass.apply.mass_prior import FLAT
from clustermass.apply.physics import PHYSICS
from clustermass.ensemble.aggregate import mean_error
from clustermass.ensemble.calibration import Calibration, Recalibration
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.products import MASSES

BLUEPRINT = [
    "ID_SRC",
    "NAME",
    "RA",
    "DEC",
    "Z",
    "Z_ERR",
    "LOGM500",
    "LOGM500_ERR",
    "LOGM500_ERR_ALEATORIC",
    "LOGM500_ERR_EPISTEMIC",
    "LOGM500_ERR_Z",
    "LOGM500_Q16",
    "LOGM500_Q50",
    "LOGM500_Q84",
    *(f"LOGM500_CONF{level}_{end}" for level in (68, 90, 95) for end in ("LO", "HI")),
    *("M500", "M500_Q16", "M500_Q84", "R500C", "R500C_ARCMIN"),
    "N_MEMBER",
    "DET_LIKE",
    "EXT_LIKE",
    *("ML_RATE", "ML_CTS", "EXT"),
    "N_PHOT",
    "EXPOSURE",
    "COVERED_FRACTION",
    *("NEIGHBOUR_SEP", "NEIGHBOUR_CTS", "GOOD"),
    "FLAG_RANGE",
    "FLAG_OOD",
    "FLAG_EDGE",
    "OOD_P",
    "OOD_WHY",
    "LOGM500_REF",
    "LOGM500_REF_ERR",
]


def test_names_are_truncated_as_the_iau_asks():
    ra = Angle(["08h38m11.89s", "00h00m00s", "23h59m59.999s", "09h04m00s"]).deg
    dec = Angle(["-01d59m34.9s", "+00d00m00s", "-00d00m00.9s", "+01d30m00s"]).deg
    expected = ["J083811.8-015934", "J000000.0+000000", "J235959.9-000000", "J090400.0+013000"]
    assert iau_names("eFEDS", ra, dec).tolist() == [f"eFEDS {name}" for name in expected]


def test_catalogue_has_the_blueprint_s_columns_first_to_last():
    added = ("EXP_FROM", "FLAG_NOZ", "FLAG_NOCAT", "REALIZATION", "ID_CAT", "NAME_CAT", *FLAT, *PHYSICS)
    assert [one.name for one in MASSES if one.name not in added] == BLUEPRINT


def test_rows_are_sorted_by_number(field):
    assert Table.read(run(field[0])["fits"])["ID_SRC"].tolist() == [3, 5, 7, 11, 20]


def test_ucds_are_of_the_controlled_vocabulary():
    assert not [one.name for one in MASSES if not check_ucd(one.ucd, check_controlled_vocabulary=True)]


def test_photons_references_and_names_stand_in_the_right_rows(field):
    folder, counts = field
    rows = read(folder)
    assert {number: int(row["N_PHOT"]) for number, row in rows.items()} == {
        int(name[3:]): int(cube.sum()) for name, cube in counts.items()
    }
    assert rows[3]["LOGM500_REF"] == np.float32(14.2)
    assert np.isnan(rows[3]["LOGM500_REF_ERR"])
    assert np.isnan(rows[7]["LOGM500_REF"])
    assert rows[7]["NAME"] == "SIM J090400.0+013000"
    assert read(folder, simulated=False)[7]["NAME"] == "eFEDS J090400.0+013000"


@pytest.mark.parametrize(("centre", "lines"), [("detected", 0), ("halo", 1)])
def test_networks_of_true_centres_are_warned_of(field, monkeypatch, caplog, centre, lines):
    monkeypatch.setattr(observed.TrainedNetwork, "load", network("z", centre=centre))
    run(field[0])
    assert sum("trained on images about the haloes' true centres" in line for line in caplog.messages) == lines


def test_images_of_a_simulator_make_the_field_simulated(field):
    folder = field[0]
    images = xr.load_dataset(folder / "images.nc")
    for simulated, prefix in ((True, "SIM"), (False, "eFEDS")):
        write_netcdf(images, folder / "images.nc", "test", {**MADE, "simulated": simulated})
        assert read(folder, simulated=False)[7]["NAME"] == f"{prefix} J090400.0+013000"
        assert fits.getheader(folder / "masses.fits", 1)["SIMULATE"] is simulated
    assert read(folder, simulated=True)[7]["NAME"].startswith("SIM ")


def test_header_tells_origin_cosmology_training_and_hashes(field):
    paths = run(field[0])
    header = fits.getheader(paths["fits"], 1)
    assert (header["ORIGIN"], header["MASSDEF"], header["H0"], header["OMEGA_M"]) == (
        "clustermass", "M500c", 67.74, 0.3089
    )  # fmt: skip
    assert header["SIMULATE"] is True
    assert header["NTRAIN"] == 200
    assert len(header["CONFHASH"]) == 16
    # ensemble, calibration, domain, three networks, images, smoothed images, catalogue
    assert sum("sha256" in line for line in fits.getheader(paths["fits"])["HISTORY"]) == 9


def test_hash_of_the_ensemble_follows_its_files_and_nothing_else(field):
    folder = field[0]

    def hashed(**changed):
        return fits.getheader(run(folder, **changed)["fits"], 1)["ENSHASH"]

    before = hashed()
    write_detections(folder, {"ID_SRC": [3], "LOGM500_REF": [14.9]})
    assert hashed(simulated=False) == before
    (folder / "01.safetensors").write_bytes(b"another network")
    assert hashed() != before


def test_two_runs_give_the_same_bytes(field):
    first, second = run(field[0], "a"), run(field[0], "b")
    for kind in first.keys() - {"moc"}:  # written with an exposure map only
        assert first[kind].read_bytes() == second[kind].read_bytes()


def test_images_of_another_field_are_refused(field):
    folder = field[0]
    part = xr.load_dataset(folder / "images.nc").isel(cluster=[0, 1])
    write_netcdf(part, folder / "images.nc", "test", MADE)
    with pytest.raises(InputError, match="lacks 3 clusters of the smoothed images"):
        run(folder)


def test_ensemble_without_training_clusters_is_refused(field):
    folder = field[0]
    part = xr.load_dataset(folder / "ensemble.nc")
    write_netcdf(part.isel(cluster=part["split"].values == "val"), folder / "ensemble.nc", "test", MADE)
    with pytest.raises(InputError, match="holds no training cluster"):
        run(folder)


def test_every_column_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "reference" / "catalogue.md").read_text(encoding="utf-8")
    assert [one.name for one in MASSES if f"`{one.name}`" not in text] == []


AS_PREDICTED = Calibration("none", Recalibration(), {68: 1.0, 90: 1.6, 95: np.nan}, 18)


def test_catalogue_s_quantiles_are_those_of_drawn_masses():
    mu, sigma, sigma_z = np.array([[13.8], [14.0], [14.5]]), np.array([[0.1], [0.15], [0.2]]), np.array([0.12])
    found = mass_columns(predicted(mu, sigma, sigma_z), AS_PREDICTED)
    rng = np.random.default_rng(33)
    member = rng.integers(0, 3, 400_000)
    drawn = rng.normal(mu[member, 0], sigma[member, 0]) + rng.normal(0, 0.12, member.size)
    for name, percent in (("LOGM500_Q16", 16), ("LOGM500_Q50", 50), ("LOGM500_Q84", 84)):
        # the error of a drawn percentile is below 0.001 dex: five of them
        assert found[name][0] == pytest.approx(np.percentile(drawn, percent), abs=0.005)
    assert found["LOGM500"][0] == pytest.approx(drawn.mean(), abs=0.003)
    assert found["LOGM500_ERR"][0] == pytest.approx(drawn.std(), abs=0.003)


def test_hand_worked_errors():
    found = mass_columns(predicted(np.array([[14.0], [14.2]]), np.array([[0.1], [0.3]]), np.array([0.2])), AS_PREDICTED)
    assert found["LOGM500"][0] == pytest.approx(14.1)
    assert found["LOGM500_ERR_ALEATORIC"][0] == pytest.approx(np.sqrt(0.05))
    assert found["LOGM500_ERR_EPISTEMIC"][0] == pytest.approx(0.1)
    assert found["LOGM500_ERR"][0] == pytest.approx(np.sqrt(0.05 + 0.01 + 0.04))


def test_recalibrated_errors_by_hand():
    calibration = Calibration("scale_and_floor", Recalibration(2.0, 0.3), {68: 1.0, 90: 1.5, 95: 2.0}, 100)
    found = mass_columns(predicted(np.array([[14.0], [14.2]]), np.array([[0.1], [0.3]]), np.array([0.2])), calibration)
    assert found["LOGM500"][0] == pytest.approx(14.1)
    assert found["LOGM500_ERR_ALEATORIC"][0] == pytest.approx(np.sqrt(4 * 0.05 + 0.09))
    assert found["LOGM500_ERR"][0] == pytest.approx(np.sqrt(4 * 0.06 + 0.09 + 0.04))
    # quantiles: the mixture stretched by 2 about 14.1 and blurred by 0.3 and by the redshift's 0.2
    components = np.array([13.9, 14.3]), np.sqrt([0.2**2 + 0.09 + 0.04, 0.6**2 + 0.09 + 0.04])
    assert norm.cdf(found["LOGM500_Q84"][0], *components).mean() == pytest.approx(0.84)
    # conformal intervals know neither recalibration nor the redshift's error
    assert found["LOGM500_CONF90_HI"][0] - 14.1 == pytest.approx(1.5 * np.sqrt(0.06))
    assert 14.1 - found["LOGM500_CONF90_LO"][0] == pytest.approx(1.5 * np.sqrt(0.06))


def test_catalogue_and_header_follow_the_calibration(field):
    folder = field[0]
    before = read(folder)
    write_calibration(folder, "scale", 1.5)
    after = read(folder)
    header = fits.getheader(folder / "masses.fits", 1)
    assert (header["NCALIB"], header["RECALIB"], header["RECALSCL"], header["RECALFLR"]) == (18, "scale", 1.5, 0.0)
    assert after[7]["LOGM500_ERR"] == pytest.approx(1.5 * before[7]["LOGM500_ERR"], rel=1e-5)
    for name in ("LOGM500", "LOGM500_ERR_Z", "LOGM500_CONF90_LO", "FLAG_OOD", "FLAG_RANGE"):
        for number in (3, 5, 7, 20):
            assert after[number][name] == before[number][name], name
    assert np.isnan(after[7]["LOGM500_CONF95_HI"])


def test_redshift_error_widens_the_mass_error(field):
    rows = read(field[0])
    assert rows[3]["LOGM500_ERR_Z"] == pytest.approx(0.02)
    assert rows[3]["LOGM500_ERR"] ** 2 == pytest.approx(
        rows[3]["LOGM500_ERR_ALEATORIC"] ** 2 + rows[3]["LOGM500_ERR_EPISTEMIC"] ** 2 + 0.02**2, rel=1e-5
    )
    assert rows[7]["LOGM500_ERR_Z"] == 0


def test_errors_of_the_training_redshifts_are_not_counted_twice(field):
    folder = field[0]
    training = xr.load_dataset(folder / "ensemble.nc")
    training["redshift_err"][:] = 0.01 * (1 + training["redshift"])
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    rows = read(folder)
    assert rows[3]["LOGM500_ERR_Z"] == pytest.approx(np.sqrt(0.02**2 - 0.015**2), rel=1e-5)  # z = 0.5
    assert fits.getheader(folder / "masses.fits", 1)["TRAINZER"] == pytest.approx(0.01)
    training["redshift_err"][:] = 0.02 * (1 + training["redshift"])
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    assert read(folder)[3]["LOGM500_ERR_Z"] == 0


NO_CALIBRATION = Calibration("none", Recalibration(), {68: 1.0, 90: 1.6, 95: 2.0}, 18)
SLOPE, SCATTER, WIDTH = 2.0, 0.1, 0.02  # d log M / dz, dex at exact redshift, photometric error / (1 + z)


def clusters(number, rng, share_photometric, width):
    """Return masses, measured redshifts and their errors: mass follows the true redshift, not the measured one."""
    true = rng.uniform(0.2, 1.0, number)
    error = np.where(rng.random(number) < share_photometric, width * (1 + true), 0.0)
    mass = 14 + SLOPE * true + rng.normal(0, SCATTER, number)
    return mass, true + error * rng.standard_normal(number), error


@pytest.fixture(scope="module", params=[0.3, 0.5, 1.0])
def regression(request):
    """Return mean and variance of the mass by a regression on measured redshifts, and their error in its training."""
    mass, redshift, error = clusters(400_000, np.random.default_rng(5), request.param, WIDTH)
    line = np.polyfit(redshift, mass, 1)
    # the variance that such redshifts cause goes with (1 + z)^2
    variance = np.polyfit((1 + redshift) ** 2, (mass - np.polyval(line, redshift)) ** 2, 1)
    return line, variance, mean_error(redshift, error)


@pytest.mark.parametrize("times", [1.0, 1.5, 3.0])
def test_errors_are_those_of_the_residuals(regression, times):
    line, variance, trained = regression
    mass, redshift, error = clusters(400_000, np.random.default_rng(6), 1.0, times * WIDTH)
    # away from the ends, where a scattered redshift says something about the true one
    inner = (redshift > 0.4) & (redshift < 0.8)
    mass, redshift, error = mass[inner], redshift[inner], error[inner]
    sigma = np.sqrt(np.polyval(variance, (1 + redshift) ** 2))
    response = line[0] * excess_error(redshift, error, trained)
    columns = mass_columns(predicted(np.polyval(line, redshift)[None], sigma[None], response), NO_CALIBRATION)
    pull = (mass - columns["LOGM500"]) / columns["LOGM500_ERR"]
    assert pull.std() == pytest.approx(1.0, abs=0.02)


def test_exact_redshifts_and_small_errors_add_nothing():
    redshift = np.array([0.1, 0.5, 0.5])
    assert excess_error(redshift, np.array([0.0, 0.0, 0.0149]), 0.01).tolist() == [0, 0, 0]
    assert excess_error(redshift, np.array([0.03, 0.02, 0.0]), 0.0).tolist() == [0.03, 0.02, 0]


def test_mean_error_counts_exact_redshifts_as_zero():
    redshift, error = np.array([0.0, 1.0, 3.0, 0.5]), np.array([0.02, 0.04, 0.0, np.nan])
    assert mean_error(redshift, error) == pytest.approx(np.sqrt(2 * 0.02**2 / 4))


def test_the_users_ids_and_names_come_back_exactly_in_all_formats(field):
    folder = field[0]
    big = str(2**62 + 1)
    catalogue = {"ID_SRC": [3, 5, 7, 11, 20], "ID_CAT": [big, "A 1689", "", "x", "y"]}
    write_detections(folder, catalogue | {"NAME_CAT": ["one", "two", "three", "four", "five"]})
    paths = run(folder)
    for kind, path in list(paths.items())[:4]:
        if kind == "netcdf":
            columns = {name.upper(): values.values for name, values in read_netcdf(path).items()}
        else:
            columns = Table.read(path, format="votable" if kind == "votable" else None)
        assert [*np.ma.filled(np.ma.asarray(columns["ID_CAT"]).astype(str), "")] == [big, "A 1689", "", "x", "y"], kind
        assert [*np.ma.asarray(columns["NAME_CAT"]).astype(str)] == ["one", "two", "three", "four", "five"], kind


def test_without_ids_of_the_user_there_is_no_column_of_them(field):
    assert not {"ID_CAT", "NAME_CAT"} & set(Table.read(run(field[0])["fits"]).colnames)

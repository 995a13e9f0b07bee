"""The mass catalogue: its numbers against scipy and by hand, its header."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from domain_inputs import by_hand, write_domain
from scipy.stats import norm

from clustermass.datasets import write_json, write_netcdf
from clustermass.domain.judge import sample_p
from clustermass.errors import InputError
from clustermass.evaluation.calibrate import Calibration
from clustermass.evaluation.recalibration import Recalibration
from clustermass.observed import masses as observed
from clustermass.observed.catalogue import CataloguePaths
from clustermass.observed.columns import COLUMNS, FLAT, iau_names
from clustermass.observed.masses import infer_observed, mass_columns

MADE = {"source": "test"}
AS_PREDICTED = Calibration("none", Recalibration(), {68: 1.0, 90: 1.6, 95: np.nan}, 18)
COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
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
    "N_MEMBER",
    "DET_LIKE",
    "EXT_LIKE",
    "N_PHOT",
    "EXPOSURE",
    "COVERED_FRACTION",
    "FLAG_RANGE",
    "FLAG_OOD",
    "FLAG_EDGE",
    "OOD_P",
    "OOD_WHY",
    "LOGM500_REF",
    "LOGM500_REF_ERR",
]


def fake_predict(weights, image, redshift, redshift_err, facts, device):
    """Stand in for the networks: members 0.1 dex apart, the last image spreading them; dM/dz = 1."""
    mu = 14 + image.mean(axis=(1, 2, 3)) + 0.1 * np.arange(len(weights))[:, None]
    mu[1:] += 10 * (image.mean(axis=(1, 2, 3)) > 0.4)
    return {"mu": mu, "sigma": np.full(mu.shape, 0.15), "sigma_redshift": np.asarray(redshift_err, dtype=float)}


def network(*side_inputs, centre="detected"):
    """Stand for `read_member`: a network that is told `side_inputs` and learnt from images about `centre`."""
    return lambda path: SimpleNamespace(network={"side_inputs": side_inputs}, cutting={"images": {"centre": centre}})


@pytest.fixture
def field(tmp_path, monkeypatch):
    """Write a field of five clusters (the third without redshift), its ensemble, and fake networks."""
    monkeypatch.setattr(observed, "predict", fake_predict)
    monkeypatch.setattr(observed, "check_grid", lambda weights, images: None)
    monkeypatch.setattr(observed, "read_member", network("log_z", "log_rate", "log_extent", "log_background"))
    n = 5
    per_cluster = {
        "ra": [136.0, 136.5, 137.0, 137.5, 0.0],
        "dec": [1.5, -0.001, 2.0, -1.25, 0.5],
        "redshift": [0.3, 0.5, np.nan, 1.4, 0.2],
        "redshift_err": [0.0, 0.02, 0.0, 0.0, 0.0],
        "det_like": [50.0, 9.0, 12.0, 30.0, 80.0],
        "ext_like": [40.0, 8.0, 7.0, 20.0, 70.0],
        "ml_cts": [200.0, 50.0, 60.0, np.nan, 90.0],
        "exposure_s": [1200.0, 1300.0, 1250.0, 1100.0, 100.0],
        "ml_rate": [0.2, 0.05, 0.06, np.nan, 0.09],
        "ext": [20.0, 10.0, 0.0, 25.0, 30.0],
        "ml_bkg": [6.0, 6.5, 7.0, 6.2, 5.0],
        "covered_fraction": [1.0, 0.95, 1.0, 1.0, 0.9499],
        "realization": ["01"] * n,
    }
    common = {name: ("cluster", np.array(values)) for name, values in per_cluster.items()}
    ids = [f"01_{number}" for number in (7, 3, 11, 20, 5)]
    counts = np.random.default_rng(30).integers(0, 3, (n, 2, 4, 4)).astype(np.uint16)
    image = np.full((n, 2, 2, 2), 0.1, dtype=np.float32)
    image[1] = 0.5
    grid = {"cluster": ids, "band": [0.5, 1.5]}
    pixels = {"y": [-12.0, 12.0], "x": [-12.0, 12.0]}
    write_netcdf(
        xr.Dataset({"counts": (("cluster", "band", "y", "x"), counts), **common}, grid),
        tmp_path / "images.nc",
        "test",
        MADE,
    )
    write_netcdf(
        xr.Dataset({"image": (("cluster", "band", "y", "x"), image), **common}, grid | pixels),
        tmp_path / "smoothed.nc",
        "test",
        MADE,
    )
    Table({"ID_SRC": [3, 7], "LOGM500_REF": [14.2, np.nan]}).write(tmp_path / "catalogue.fits")
    m = 400
    rng = np.random.default_rng(31)
    training = {
        "split": np.repeat(["train", "val"], m // 2),
        "redshift": rng.uniform(0.1, 0.9, m),
        "redshift_err": np.zeros(m),
        "ml_cts": rng.uniform(30, 900, m),
        "exposure_s": rng.uniform(1000, 1500, m),
        "log10_m500c": rng.uniform(13, 15, m),
    }
    write_netcdf(
        xr.Dataset(
            {name: ("cluster", values) for name, values in training.items()}, {"cluster": [f"02_{k}" for k in range(m)]}
        ),
        tmp_path / "ensemble.nc",
        "test",
        MADE,
    )
    for member in range(3):
        (tmp_path / f"0{member}.safetensors").write_bytes(bytes([member]))
    write_calibration(tmp_path)
    # masses like 14.2 +- 0.1 are known, by 199 validation clusters
    validation = norm.ppf(np.arange(1, 200) / 200, 14.2, 0.1)[:, None]
    write_domain(by_hand(validation, covariance=[[0.01]], mean=[[14.2]]), tmp_path / "domain.nc")
    return tmp_path, dict(zip(ids, counts, strict=True))


def write_calibration(folder, form="none", scale=1.0, floor=0.0):
    levels = {"68": {"half_width": 1.0}, "90": {"half_width": 1.6}, "95": {"half_width": None}}
    recalibration = {"form": form, "scale": scale, "floor_dex": floor}
    content = {"n_val": 18, "recalibration": recalibration, "conformal": {"levels": levels}}
    write_json(content, folder / "calibration.json")


def run(folder, name="masses", **changed):
    paths = CataloguePaths.beside(folder / f"{name}.fits")._asdict()
    arguments = {
        "images": [folder / "images.nc"],
        "smoothed": [folder / "smoothed.nc"],
        "catalogues": [folder / "catalogue.fits"],
        "ensemble": folder / "ensemble.nc",
        "calibration": folder / "calibration.json",
        "domain": folder / "domain.nc",
        "weights": [folder / f"0{member}.safetensors" for member in range(3)],
        "simulated": True,
        "cosmology": COSMOLOGY,
    }
    infer_observed(**{**arguments, **paths, **changed})
    return paths


def read(folder, **changed):
    return {int(row["ID_SRC"]): row for row in Table.read(run(folder, **changed)["fits"], mask_invalid=False)}


def test_catalogue_s_quantiles_are_those_of_drawn_masses():
    mu, sigma, sigma_z = np.array([[13.8], [14.0], [14.5]]), np.array([[0.1], [0.15], [0.2]]), np.array([0.12])
    found = mass_columns(mu, sigma, sigma_z, AS_PREDICTED)
    rng = np.random.default_rng(33)
    member = rng.integers(0, 3, 400_000)
    drawn = rng.normal(mu[member, 0], sigma[member, 0]) + rng.normal(0, 0.12, member.size)
    for name, percent in (("LOGM500_Q16", 16), ("LOGM500_Q50", 50), ("LOGM500_Q84", 84)):
        # the error of a drawn percentile is below 0.001 dex: five of them
        assert found[name][0] == pytest.approx(np.percentile(drawn, percent), abs=0.005)
    assert found["LOGM500"][0] == pytest.approx(drawn.mean(), abs=0.003)
    assert found["LOGM500_ERR"][0] == pytest.approx(drawn.std(), abs=0.003)


def test_hand_worked_errors():
    found = mass_columns(np.array([[14.0], [14.2]]), np.array([[0.1], [0.3]]), np.array([0.2]), AS_PREDICTED)
    assert found["LOGM500"][0] == pytest.approx(14.1)
    assert found["LOGM500_ERR_ALEATORIC"][0] == pytest.approx(np.sqrt(0.05))
    assert found["LOGM500_ERR_EPISTEMIC"][0] == pytest.approx(0.1)
    assert found["LOGM500_ERR"][0] == pytest.approx(np.sqrt(0.05 + 0.01 + 0.04))


def test_recalibrated_errors_by_hand():
    calibration = Calibration("scale_and_floor", Recalibration(2.0, 0.3), {68: 1.0, 90: 1.5, 95: 2.0}, 100)
    found = mass_columns(np.array([[14.0], [14.2]]), np.array([[0.1], [0.3]]), np.array([0.2]), calibration)
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


def test_scale_changes_no_flag_of_unlikeness(field):
    folder = field[0]
    for scale in (0.3, 1.0, 4.0):
        write_calibration(folder, "scale", scale)
        assert {number for number, row in read(folder).items() if row["FLAG_OOD"]} == {3}


def test_names_are_truncated_as_the_iau_asks():
    ra = Angle(["08h38m11.89s", "00h00m00s", "23h59m59.999s", "09h04m00s"]).deg
    dec = Angle(["-01d59m34.9s", "+00d00m00s", "-00d00m00.9s", "+01d30m00s"]).deg
    expected = ["J083811.8-015934", "J000000.0+000000", "J235959.9-000000", "J090400.0+013000"]
    assert iau_names("eFEDS", ra, dec).tolist() == [f"eFEDS {name}" for name in expected]


def test_catalogue_has_the_blueprint_s_columns_first_to_last():
    added = ("FLAG_NOZ", "FLAG_NOCAT", "REALIZATION", *FLAT)
    assert [name for name in COLUMNS if name not in added] == BLUEPRINT


def test_rows_are_sorted_by_number(field):
    assert Table.read(run(field[0])["fits"])["ID_SRC"].tolist() == [3, 5, 7, 11, 20]


def test_ucds_are_of_the_controlled_vocabulary():
    assert not [name for name, kind in COLUMNS.items() if not check_ucd(kind.ucd, check_controlled_vocabulary=True)]


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
    monkeypatch.setattr(observed, "read_member", network("z", centre=centre))
    run(field[0])
    assert sum("learnt from images about the haloes' true centres" in line for line in caplog.messages) == lines


def test_images_of_a_simulator_make_the_field_simulated(field):
    folder = field[0]
    with xr.open_dataset(folder / "images.nc") as opened:
        images = opened.load()
    for told, prefix in ((True, "SIM"), (False, "eFEDS")):
        write_netcdf(images, folder / "images.nc", "test", {**MADE, "simulated": told})
        assert read(folder, simulated=False)[7]["NAME"] == f"{prefix} J090400.0+013000"
        assert fits.getheader(folder / "masses.fits", 1)["SIMULATED"] is told
    assert read(folder, simulated=True)[7]["NAME"].startswith("SIM ")


def test_counts_that_no_training_cluster_tells_flag_nothing(field):
    folder = field[0]
    with xr.open_dataset(folder / "ensemble.nc") as opened:
        training = opened.load()
    training["ml_cts"][:] = np.nan
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    assert {number: int(row["FLAG_RANGE"]) for number, row in read(folder).items()} == {7: 0, 3: 8, 11: 0, 20: 1, 5: 4}


def test_redshift_error_widens_the_mass_error(field):
    rows = read(field[0])
    assert rows[3]["LOGM500_ERR_Z"] == pytest.approx(0.02)
    assert rows[3]["LOGM500_ERR"] ** 2 == pytest.approx(
        rows[3]["LOGM500_ERR_ALEATORIC"] ** 2 + rows[3]["LOGM500_ERR_EPISTEMIC"] ** 2 + 0.02**2, rel=1e-5
    )
    assert rows[7]["LOGM500_ERR_Z"] == 0


def test_errors_of_the_training_redshifts_are_not_counted_twice(field):
    folder = field[0]
    with xr.open_dataset(folder / "ensemble.nc") as opened:
        training = opened.load()
    training["redshift_err"][:] = 0.01 * (1 + training["redshift"])
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    rows = read(folder)
    assert rows[3]["LOGM500_ERR_Z"] == pytest.approx(np.sqrt(0.02**2 - 0.015**2), rel=1e-5)  # z = 0.5
    assert fits.getheader(folder / "masses.fits", 1)["TRAINZER"] == pytest.approx(0.01)
    training["redshift_err"][:] = 0.02 * (1 + training["redshift"])
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    assert read(folder)[3]["LOGM500_ERR_Z"] == 0


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


def test_clusters_that_the_catalogue_says_too_little_of_are_flagged_and_counted(field, caplog, monkeypatch):
    """Cluster 20 has no count rate, cluster 11 an extent of 0, which has no logarithm."""
    folder = field[0]
    with caplog.at_level("INFO", "clustermass"):
        rows = read(folder)
    assert {number for number, row in rows.items() if row["FLAG_NOCAT"]} == {11, 20}
    assert "background (ML_RATE, EXT, ML_BKG) of 2 clusters" in caplog.text
    with xr.open_dataset(folder / "smoothed.nc") as opened:
        images = opened.load()
    write_netcdf(images.drop_vars("ml_bkg"), folder / "smoothed.nc", "test", MADE)
    assert all(row["FLAG_NOCAT"] == 1 for row in read(folder).values())
    # networks that aren't told of it miss nothing
    monkeypatch.setattr(observed, "read_member", network("z", "log_exposure"))
    caplog.clear()
    assert not any(row["FLAG_NOCAT"] for row in read(folder).values())
    assert "ML_BKG" not in caplog.text


def test_cluster_without_redshift_is_kept_without_mass_and_counted(field, caplog):
    with caplog.at_level("INFO", "clustermass"):
        row = read(field[0], mass_prior="flat")[11]
    assert row["FLAG_NOZ"] == 1
    assert all(np.isnan(row[name]) for name in COLUMNS if name.startswith("LOGM500"))
    assert "5 clusters, 1 without redshift" in caplog.text


def test_header_tells_origin_cosmology_training_and_hashes(field):
    paths = run(field[0])
    header = fits.getheader(paths["fits"], 1)
    assert (header["ORIGIN"], header["MASSDEF"], header["H0"], header["OMEGA_M"]) == (
        "clustermass", "M500c", 67.74, 0.3089
    )  # fmt: skip
    assert header["SIMULATED"] is True
    assert header["NTRAIN"] == 200
    assert len(header["CONFHASH"]) == 16
    # ensemble, calibration, domain, three networks, images, smoothed images, catalogue
    assert sum("sha256" in line for line in header["HISTORY"]) == 9


def test_hash_of_the_ensemble_follows_its_files_and_nothing_else(field):
    folder = field[0]

    def hashed(**changed):
        return fits.getheader(run(folder, **changed)["fits"], 1)["ENSHASH"]

    before = hashed()
    Table({"ID_SRC": [3], "LOGM500_REF": [14.9]}).write(folder / "catalogue.fits", overwrite=True)
    assert hashed(simulated=False) == before
    (folder / "01.safetensors").write_bytes(b"another network")
    assert hashed() != before


def test_two_runs_give_the_same_bytes(field):
    first, second = run(field[0], "a"), run(field[0], "b")
    for kind in first:
        assert first[kind].read_bytes() == second[kind].read_bytes()


def test_images_of_another_field_are_refused(field):
    folder = field[0]
    with xr.open_dataset(folder / "images.nc") as opened:
        part = opened.load().isel(cluster=[0, 1])
    write_netcdf(part, folder / "images.nc", "test", MADE)
    with pytest.raises(InputError, match="lacks 3 clusters of the smoothed images"):
        run(folder)


def test_ensemble_without_training_clusters_is_refused(field):
    folder = field[0]
    with xr.open_dataset(folder / "ensemble.nc") as opened:
        part = opened.load()
    write_netcdf(part.isel(cluster=part["split"].values == "val"), folder / "ensemble.nc", "test", MADE)
    with pytest.raises(InputError, match="holds no training cluster"):
        run(folder)


def test_every_column_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    assert [name for name in COLUMNS if f"`{name}`" not in text] == []

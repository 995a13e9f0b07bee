"""The mass catalogue: its columns and rows, its header and hashes, and what it is refused for."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from apply_inputs import MADE, network, observed_field, read, run  # noqa: F401, the fixture `field`
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

from clustermass.apply import masses as observed
from clustermass.apply.catalogue import iau_names
from clustermass.apply.mass_prior import FLAT
from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf
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


def test_names_are_truncated_as_the_iau_asks():
    ra = Angle(["08h38m11.89s", "00h00m00s", "23h59m59.999s", "09h04m00s"]).deg
    dec = Angle(["-01d59m34.9s", "+00d00m00s", "-00d00m00.9s", "+01d30m00s"]).deg
    expected = ["J083811.8-015934", "J000000.0+000000", "J235959.9-000000", "J090400.0+013000"]
    assert iau_names("eFEDS", ra, dec).tolist() == [f"eFEDS {name}" for name in expected]


def test_catalogue_has_the_blueprint_s_columns_first_to_last():
    added = ("FLAG_NOZ", "FLAG_NOCAT", "REALIZATION", *FLAT)
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
    with xr.open_dataset(folder / "images.nc") as opened:
        images = opened.load()
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
    assert [one.name for one in MASSES if f"`{one.name}`" not in text] == []

"""The command `clustermass detect`, and tables of true haloes in place of its catalogue."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS
from detect_inputs import grid_scene, photons_of
from event_lists import SHARED, START, photons

from clustermass import cli
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError
from clustermass.ingest.detect_field import detect_field
from clustermass.io.products import CATALOGUE

#: columns of a catalogue without rows
NOTHING = {column.name: np.empty(0, dtype="U1" if column.format == "A" else float) for column in CATALOGUE}


@pytest.fixture
def field(tmp_path):
    """Event list with nine sources, and an exposure map."""
    scene = grid_scene(12, 3, 150)
    of_scene = photons_of(scene)
    number = len(of_scene["ra"])
    columns = photons(number) | {"RA": of_scene["ra"], "DEC": of_scene["dec"], "PI": of_scene["pi_ev"]}
    columns |= {"TIME": np.full(number, START + 1.0), "PAT_TYP": np.ones(number, int)}
    events = tmp_path / "events.fits"
    table = fits.BinTableHDU(Table(columns), name="EVENTS")
    table.header["CREATOR"] = "evtool"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(events)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---SIN", "DEC--SIN"], [scene.ra, scene.dec]
    wcs.wcs.cdelt, wcs.wcs.crpix = [-1 / 60, 1 / 60], [60.5, 60.5]
    exposure = tmp_path / "expmap.fits"
    fits.PrimaryHDU(np.full((120, 120), 1200.0, np.float32), wcs.to_header()).writeto(exposure)
    return events, exposure


def test_the_catalogue_has_the_sources_and_the_usual_columns(field, tmp_path, capsys):
    events, exposure = field
    output = tmp_path / "catalogue.fits"
    assert cli.main(["detect", str(events), "--exposure", str(exposure), "--output", str(output)]) == 0
    assert "extended enough for clusters: 0." in capsys.readouterr().out
    catalogue = Table.read(output, hdu="CATALOGUE")
    assert {column.name for column in CATALOGUE if not column.optional} <= {*catalogue.colnames}
    assert np.count_nonzero(catalogue["DET_LIKE"] > 100.0) == 9
    assert np.all(catalogue["ML_EXP"] == 1200.0)
    assert {*catalogue["Z_TYPE"].tolist()} == {"none"}
    assert cli.main(["detect", str(events), "--exposure", str(exposure), "--output", str(output)]) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.exists(), reason="the event list of SIXTE isn't part of the repository")
def test_the_cluster_in_an_event_list_of_sixte_is_found(tmp_path):
    planted = Table.read(SHARED / "clusters.csv")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---SIN", "DEC--SIN"], [planted["RA"][0], planted["DEC"][0]]
    wcs.wcs.cdelt, wcs.wcs.crpix = [-1 / 120, 1 / 120], [60.5, 60.5]
    exposure, output = tmp_path / "expmap.fits", tmp_path / "catalogue.fits"
    fits.PrimaryHDU(np.full((120, 120), 1000.0, np.float32), wcs.to_header()).writeto(exposure)
    assert detect_field([SHARED / "fixture_sixte_cal_tm0.fits.gz"], [exposure], output)[1] == 1
    catalogue = Table.read(output)
    (cluster,) = np.flatnonzero(catalogue["EXT_LIKE"] > 6.0)
    assert abs(catalogue["RA"][cluster] - planted["RA"][0]) < 10.0 / 3600.0
    assert abs(catalogue["DEC"][cluster] - planted["DEC"][0]) < 10.0 / 3600.0
    assert catalogue["ML_EXP"][cluster] == 1000.0


def test_photons_without_exposure_are_left_out(field, tmp_path, monkeypatch):
    events, exposure = field
    with fits.open(events) as hdus:
        far = Table(hdus[1].data)[:2]
        far["DEC"] = [-60.0, 60.0]
        table = fits.BinTableHDU(vstack([Table(hdus[1].data), far]), hdus[1].header, name="EVENTS")
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "more.fits")
    searched = []
    monkeypatch.setattr(
        "clustermass.ingest.detect_field.detect", lambda photons, *rest: searched.append(len(photons["ra"])) or NOTHING
    )
    for path in (events, tmp_path / "more.fits"):
        detect_field([path], [exposure], tmp_path / f"of_{path.name}")
    assert searched[0] == searched[1] > 0


def test_few_photons_all_over_the_sky_are_refused(field, tmp_path, capsys, monkeypatch):
    events, _ = field
    rng, number = np.random.default_rng(5), 3000
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---CAR", "DEC--CAR"], [180.0, 0.0], [180.5, 90.5]
    wcs.wcs.cdelt = [-1.0, 1.0]
    fits.PrimaryHDU(np.full((180, 360), 1200.0, np.float32), wcs.to_header()).writeto(tmp_path / "sky.fits")
    with fits.open(events) as hdus:
        columns = Table(hdus[1].data)[np.arange(number)]
        columns["RA"], columns["DEC"] = rng.uniform(0, 360, number), np.degrees(np.arcsin(rng.uniform(-1, 1, number)))
        table = fits.BinTableHDU(columns, hdus[1].header, name="EVENTS")
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "scattered.fits")
    searched = []
    monkeypatch.setattr("clustermass.ingest.detect_field.detect", lambda *_: searched.append(1) or NOTHING)
    paths = [str(tmp_path / name) for name in ("scattered.fits", "sky.fits", "catalogue.fits")]
    assert cli.main(["detect", paths[0], "--exposure", paths[1], "--output", paths[2]]) == 1
    assert "scattered.fits: more than 20 parts of the sky" in capsys.readouterr().err
    assert not searched
    assert cli.main(["detect", str(events), "--exposure", paths[1], "--output", paths[2]]) == 0
    assert searched


def test_an_exposure_map_of_another_field_is_refused(field, tmp_path, capsys):
    events, exposure = field
    with fits.open(exposure) as hdus:
        hdus[0].header["CRVAL1"] = 10.0
        hdus.writeto(tmp_path / "other.fits")
    output = tmp_path / "catalogue.fits"
    assert cli.main(["detect", str(events), "--exposure", str(tmp_path / "other.fits"), "--output", str(output)]) == 1
    assert "no photon of" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--output": "catalogue.csv"}, "must end in .fits"),
        ({"--output": "EVENTS"}, "is an input"),
        ({"--exposure": "absent.fits"}, "absent.fits"),
        ({"--exposure": "EVENTS"}, "events.fits"),
    ],
)
def test_wrong_arguments_get_one_sentence(field, tmp_path, monkeypatch, capsys, changes, message):
    monkeypatch.chdir(tmp_path)
    options = {"--exposure": str(field[1]), "--output": "catalogue.fits"} | changes
    options = {name: value.replace("EVENTS", str(field[0])) for name, value in options.items()}
    assert cli.main(["detect", str(field[0]), *(part for option in options.items() for part in option)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"events.fits", "expmap.fits"}


def test_a_table_of_true_haloes_is_no_catalogue(tmp_path):
    haloes = Table({"SRC_ID": [1], "RA": [150.0], "DEC": [2.0], "Z": [0.3], "LOG10_M500C": [14.2]})
    haloes.write(tmp_path / "truth.fits")
    with pytest.raises(InputError, match="clustermass detect"):
        read_catalogue(tmp_path / "truth.fits")
    haloes["SRC_ID"].name = "NUMBER"  # clusters with known masses, for instance of an SZ survey
    haloes.write(tmp_path / "clusters.fits")
    assert len(read_catalogue(tmp_path / "clusters.fits")) == 1
    haloes["NUMBER"].name = "SRC_ID"
    haloes["ML_CTS"] = [80.0]
    haloes.write(tmp_path / "catalogue.fits")
    assert len(read_catalogue(tmp_path / "catalogue.fits")) == 1

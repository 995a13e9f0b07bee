"""A user's own field into the standard files: events, exposure, catalogue, truth and matches."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from clustermass.catalogues.matching import match_by_photons, match_by_position
from clustermass.catalogues.truth import read_truth, write_truth
from clustermass.config import input_files
from clustermass.datasets import read_netcdf
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList
from clustermass.events.selection import read_events
from clustermass.images.exposure_maps import area_deg2, exposure_at, mean_position, occupied_cells, read_exposure
from clustermass.images.extraction import extract_images
from clustermass.ingest import ingest_field
from clustermass.sample import load_sample

SIXTE = Path(__file__).parents[3] / "shared" / "data" / "sixte"
EVENTS = {"flag_mask": "auto", "pattern": 15}
OUTPUTS = ("events", "exposure", "catalogue", "truth", "matches", "labels")
RA0, DEC0 = 359.95, 2.0
#: SRC_ID, RA, DEC of the simulated ones
HALOES = ((7, RA0, DEC0 + 0.005), (8, RA0 - 0.1, 1.9))


def event_list(path: Path, number=4000, width=0.4, flag=0, labels=None, gti: float | None = 1000.0, seed=1) -> Path:
    """Write an eSASS list of a square field across RA 0; row 0 has a flag of a corrupt event, row 1 a bad pattern."""
    rng = np.random.default_rng(seed)
    columns = {
        "TIME": rng.uniform(0, 1000, number),
        "RA": (RA0 + rng.uniform(-width / 2, width / 2, number)) % 360,
        "DEC": DEC0 + rng.uniform(-width / 2, width / 2, number),
        "PI": rng.uniform(210, 2290, number).astype(np.float32),
        "TM_NR": rng.integers(1, 8, number).astype(np.uint8),
        "PAT_TYP": rng.integers(1, 5, number).astype(np.int16),
        "FLAG": np.full(number, flag, dtype=np.int32),
    }
    columns["FLAG"][0] = -(2**31)
    columns["PAT_TYP"][1] = 0
    if labels is not None:
        columns["SRC_ID"] = labels
        for label, ra, dec in HALOES:
            columns["RA"][labels == label] = (ra + rng.normal(0, 10 / 3600, (labels == label).sum())) % 360
            columns["DEC"][labels == label] = dec + rng.normal(0, 10 / 3600, (labels == label).sum())
    table = fits.BinTableHDU(Table(columns), name="EVENTS")
    intervals = [
        fits.BinTableHDU(Table({"START": [0.0], "STOP": [gti or 0.0]}), name=f"GTI{module}") for module in range(1, 8)
    ]
    fits.HDUList([fits.PrimaryHDU(), table, *(intervals if gti else [])]).writeto(path, overwrite=True)
    return path


def sky(folder: Path, **changes) -> dict:
    """Return the configuration block of an observed field with two clusters."""
    (folder / "mine.csv").write_text(f"ID_SRC,RA,DEC,Z\n3,{RA0},{DEC0},0.2\n5,{(RA0 + 0.1) % 360},2.1,0.4\n")
    if not (folder / "mine.fits").exists():
        event_list(folder / "mine.fits")
    files = {"events": [str(folder / "mine.fits")], "catalogue": str(folder / "mine.csv")} | changes
    return {"source": "files", "observed": True, "realizations": {"01": files}}


def simulated(folder: Path, **changes) -> dict:
    rows = [f"{src_id},{ra},{dec},{z}" for (src_id, ra, dec), z in zip(HALOES, ("0.2,1e14", "0.4,2e14"), strict=True)]
    (folder / "halos.csv").write_text("\n".join(["SRC_ID,RA,DEC,Z,M500C", *rows]) + "\n")
    labels = np.repeat([7, 8, -1], [60, 30, 3910]).astype(np.int32)
    event_list(folder / "mine.fits", labels=labels)
    return sky(folder, truth=str(folder / "halos.csv")) | {"observed": False} | changes


def ingest(folder: Path, block: dict, events=EVENTS, name="out") -> dict[str, Path]:
    outputs = {key: folder / name / f"{key}.fits" for key in OUTPUTS}
    ingest_field(block, "01", events, **outputs)
    return outputs


def test_observed_field(tmp_path):
    outputs = ingest(tmp_path, sky(tmp_path))
    assert not outputs["truth"].exists()
    assert not outputs["matches"].exists()
    assert not outputs["labels"].exists()
    before, after = read_events(tmp_path / "mine.fits"), read_events(outputs["events"])
    assert after.dialect == "clustermass"
    # the corrupt event and the bad pattern are gone, the others as they were, to 1e-6 deg
    assert len(after) == len(before) - 2
    assert np.allclose(after.ra, before.ra[2:], atol=0.51e-6)
    assert np.array_equal(after.pi_ev, before.pi_ev[2:])
    assert after.src_id is None
    with fits.open(outputs["events"]) as hdus:
        assert hdus["EVENTS"].header["RA_CEN"] == pytest.approx(RA0, abs=0.02)
        assert hdus["EVENTS"].header["DEC_CEN"] == pytest.approx(DEC0, abs=0.02)
        assert {f"GTI{module}" for module in range(1, 8)} <= {hdu.name for hdu in hdus}
    with fits.open(outputs["catalogue"]) as hdus:
        assert hdus["CATALOGUE"].data["ID_SRC"].tolist() == [3, 5]


def test_flat_exposure_covers_the_field_and_nothing_else(tmp_path):
    image, wcs = read_exposure(ingest(tmp_path, sky(tmp_path))["exposure"])
    assert set(np.unique(image)) == {0.0, 1000.0}
    # 4000 photons in 24' x 24': the map must find this square to about a cell
    assert (image > 0).sum() / 3600 == pytest.approx(0.16, rel=0.1)
    ra, dec = np.array([RA0, 0.13, 359.77, 0.3, RA0]), np.array([DEC0, 2.18, 1.82, 2.0, 2.5])
    assert (exposure_at(image, wcs, ra % 360, dec) > 0).tolist() == [True, True, True, False, False]


def test_exposure_by_config_then_catalogue_then_good_time(tmp_path):
    def exposure_s(block):
        return read_exposure(ingest(tmp_path, block)["exposure"])[0].max()

    (tmp_path / "exp.csv").write_text(f"ID_SRC,RA,DEC,Z,ML_EXP\n3,{RA0},{DEC0},0.2,900\n5,{RA0},2.1,0.4,-9999\n")
    assert exposure_s(sky(tmp_path)) == 1000
    assert exposure_s(sky(tmp_path, catalogue=str(tmp_path / "exp.csv"))) == 900
    assert exposure_s(sky(tmp_path, catalogue=str(tmp_path / "exp.csv"), exposure_s=700.0)) == 700


def test_own_exposure_map(tmp_path):
    header = WCS(naxis=2)
    header.wcs.ctype, header.wcs.crval = ["RA---SIN", "DEC--SIN"], [RA0, DEC0]
    header.wcs.cdelt, header.wcs.crpix = [-0.01, 0.01], [25.5, 25.5]
    values = np.arange(2500, dtype=float).reshape(50, 50)
    values[0, 0] = np.nan
    fits.PrimaryHDU(values, header.to_header()).writeto(tmp_path / "map.fits")
    image, wcs = read_exposure(ingest(tmp_path, sky(tmp_path, exposure=str(tmp_path / "map.fits")))["exposure"])
    assert image[0, 0] == 0
    assert np.array_equal(image.ravel()[1:], values.ravel()[1:].astype(np.float32))
    x, y = wcs.wcs_pix2world([[10.0, 40.0]], 0)[0]
    assert exposure_at(image, wcs, np.array([x]), np.array([y]))[0] == values[40, 10]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"map\.fits: no such file"),
        (np.zeros((5, 5)), "no pixel of the exposure map is above 0 s"),
        (np.ones(5), "no two-dimensional image"),
        (np.ones((5, 5)), "no celestial WCS"),
    ],
)
def test_faulty_exposure_map(tmp_path, content, message):
    if content is not None:
        header = WCS(naxis=2)
        header.wcs.ctype = ["RA---SIN", "DEC--SIN"]
        fits.PrimaryHDU(content, None if "celestial" in message else header.to_header()).writeto(tmp_path / "map.fits")
    with pytest.raises(InputError, match=message):
        ingest(tmp_path, sky(tmp_path, exposure=str(tmp_path / "map.fits")))
    assert not (tmp_path / "out" / "exposure.fits").exists()


def test_a_scan_needs_an_exposure(tmp_path):
    """Good time of a scan over many square degrees says nothing about the exposure of one place."""
    event_list(tmp_path / "mine.fits", number=40000, width=2.0)
    with pytest.raises(InputError, match=r"exposure is unknown \(its 4\.\d deg2 are more than one pointing\)"):
        ingest(tmp_path, sky(tmp_path))
    assert ingest(tmp_path, sky(tmp_path, exposure_s=1200.0))["exposure"].exists()


def test_no_good_time_and_no_exposure(tmp_path):
    event_list(tmp_path / "mine.fits", gti=None)
    with pytest.raises(InputError, match="it has no good time intervals"):
        ingest(tmp_path, sky(tmp_path))


def test_simulated_field(tmp_path):
    outputs = ingest(tmp_path, simulated(tmp_path))
    labels = fits.getdata(outputs["labels"], "LABELS")["SRC_ID"]
    assert len(labels) == len(read_events(outputs["events"])) == 3998
    assert read_events(outputs["events"]).src_id is None
    truth = fits.getdata(outputs["truth"], "TRUTH")
    assert truth["LOG10_M500C"].tolist() == pytest.approx([14.0, 14.30103])
    assert truth["HALO_ID"].tolist() == [2**32 + 7, 2**32 + 8]
    # photons of halo 7 are rows 0-59 of the list, two of which the selection drops
    assert truth["COUNTS"].tolist() == [58, 30]
    assert np.isnan(truth["KT"]).all()
    matches = fits.getdata(outputs["matches"], "MATCHES")
    assert (matches["ID_SRC"].tolist(), matches["SRC_ID"].tolist()) == ([3], [7])
    assert matches["SEPARATION"][0] == pytest.approx(18.0, abs=0.01)
    # fitted counts unknown: the halo's share of all photons within 60 arcsec
    photons = read_events(outputs["events"])
    near = np.hypot((photons.ra - RA0) * np.cos(np.radians(DEC0)), photons.dec - DEC0) * 3600 < 60
    share = (labels[near] == 7).mean()
    assert 0.5 < share < 0.9
    assert matches["PURITY"][0] == pytest.approx(share)


@pytest.mark.parametrize(("ml_cts", "purity"), [(65, 58 / 65), (20, 1.0)])
def test_purity_is_the_share_of_the_fitted_counts(tmp_path, ml_cts, purity):
    (tmp_path / "counts.csv").write_text(f"ID_SRC,RA,DEC,Z,ML_CTS\n3,{RA0},{DEC0},0.2,{ml_cts}\n5,0.1,2.1,0.4,50\n")
    block = simulated(tmp_path)
    block["realizations"]["01"]["catalogue"] = str(tmp_path / "counts.csv")
    assert fits.getdata(ingest(tmp_path, block)["matches"], "MATCHES")["PURITY"][0] == pytest.approx(purity)


def test_labels_of_other_sources_are_no_labels(tmp_path, caplog):
    """A truth whose numbers are none of the photons': by position, with purity and counts unknown."""
    block = simulated(tmp_path)
    text = (tmp_path / "halos.csv").read_text()
    (tmp_path / "halos.csv").write_text(text.replace("\n7,", "\n70,").replace("\n8,", "\n80,"))
    outputs = ingest(tmp_path, block)
    matches = fits.getdata(outputs["matches"], "MATCHES")
    assert (matches["ID_SRC"].tolist(), matches["SRC_ID"].tolist()) == ([3], [70])
    assert np.isnan(matches["PURITY"]).all()
    assert fits.getdata(outputs["truth"], "TRUTH")["COUNTS"].tolist() == [-1, -1]
    assert "no photon's SRC_ID is that of a halo" in caplog.text


def cloud(label, number, ra, dec, seed):
    """RA, DEC (deg) and label of photons with a spread of 8 arcsec."""
    rng = np.random.default_rng(seed)
    ra, dec = (np.array(place) + rng.normal(0, 8 / 3600, number) for place in (ra, dec))
    return ra, dec, np.full(number, label, dtype=np.int32)


def test_photons_tell_the_halo_where_positions_mislead():
    arcsec = 1 / 3600
    detections = points("ID_SRC", [1, 2, 3, 4, 5], [10, 10 + 45 * arcsec, 20, 30, 40], [0] * 5)
    detections["ML_CTS"] = [100.0, 50.0, 40.0, 100.0, 50.0]
    # halo 12 lies on detection 1, but has sent three photons; nearly all are of halo 11, 20 arcsec off; halo 13 is that
    # of detection 2, though 11 is brighter; detection 3 is an AGN near halo 14; detection 4 has 12 photons of halo 15;
    # detection 5 has 30 of halo 16 and more of the sky, which SIXTE gives a number like a source's
    haloes = points(
        "SRC_ID",
        [11, 12, 13, 14, 15, 16],
        [10 - 20 * arcsec, 10, 10 + 50 * arcsec, 20 + arcsec, 30, 40],
        [0] * 6,
    )
    clouds = [
        cloud(11, 90, 10 - 5 * arcsec, 0, 1),
        cloud(12, 3, 10, 0, 2),
        cloud(13, 45, 10 + 45 * arcsec, 0, 3),
        cloud(14, 15, 20, 0, 4),
        cloud(300, 25, 20, 0, 5),
        cloud(15, 12, 30, 0, 6),
        cloud(-1, 90, 30, 0, 7),
        cloud(-1, 1000, 50, 0, 8),
        cloud(16, 30, 40, 0, 9),
        cloud(400, 60, 40, 0, 10),
        cloud(400, 1000, 50, 0, 11),
    ]
    photons = tuple(np.concatenate(column) for column in zip(*clouds, strict=True))
    pairs = match_by_photons(detections, haloes, [photons], 60.0)
    assert [tuple(row)[:2] for row in pairs] == [(1, 11), (2, 13), (5, 16)]
    assert pairs["SEPARATION"].tolist() == pytest.approx([20, 5, 0], abs=1e-2)
    # of 94 photons of three haloes (fewer than the fitted counts) 90 are its own; all of the other's are
    assert pairs["PURITY"].tolist() == pytest.approx([90 / 94, 1.0, 0.6])
    rng = np.random.default_rng(8)
    order = rng.permutation(photons[0].size)
    parts = [tuple(column[part] for column in photons) for part in np.array_split(order, 7)]
    again = match_by_photons(detections[[3, 1, 0, 2, 4]], haloes[::-1], parts, 60.0)
    assert np.array_equal(again, pairs)


def test_a_halo_in_pieces_goes_with_the_piece_that_has_most_of_it():
    detections = points("ID_SRC", [1, 2], [10, 10.02], [0, 0])
    detections["ML_CTS"] = np.nan
    haloes = points("SRC_ID", [11], [10.009], [0])
    photons = tuple(
        np.concatenate(column) for column in zip(cloud(11, 30, 10, 0, 1), cloud(11, 40, 10.02, 0, 2), strict=True)
    )
    assert [tuple(row)[:2] for row in match_by_photons(detections, haloes, [photons], 60.0)] == [(2, 11)]


@pytest.mark.parametrize(
    ("columns", "halo"),
    [
        ({"FLUX": [1e-14, 5e-14]}, 12),
        ({"FLUX": [1e-14, np.nan], "L500": [1e44, 1e43], "Z": [0.2, 0.2]}, 11),
        # ten times as luminous but more than ten times farther
        ({"L500": [1e44, 1e43], "Z": [0.8, 0.1]}, 12),
        ({"LOG10_M500C": [14.0, 14.6], "Z": [0.3, 0.3]}, 12),
        ({}, 11),
    ],
)
def test_of_several_haloes_the_brightest_is_matched(columns, halo):
    arcsec = 1 / 3600
    haloes = points("SRC_ID", [11, 12], [10 + 5 * arcsec, 10 + 40 * arcsec], [0, 0])
    for name, values in columns.items():
        haloes[name] = values
    pairs = match_by_position(points("ID_SRC", [1], [10], [0]), haloes, 60.0)
    assert [tuple(row)[:2] for row in pairs] == [(1, halo)]


def test_simulated_photons_stay_so(tmp_path):
    """SIXTE's dialect and a table of truth make a field simulated; eSASS lists are observations."""
    assert not read_events(ingest(tmp_path, sky(tmp_path))["events"]).simulated
    assert read_events(ingest(tmp_path, simulated(tmp_path))["events"]).simulated
    with fits.open(tmp_path / "mine.fits") as hdus:
        hdus[0].header["CREATOR"] = "SIXTE"
        hdus.writeto(tmp_path / "sixte.fits")
    outputs = ingest(tmp_path, sky(tmp_path, events=[str(tmp_path / "sixte.fits")]))
    assert read_events(outputs["events"]).simulated
    assert fits.getheader(outputs["events"], "EVENTS")["SIMULATED"] is True


def test_two_runs_give_the_same_bytes(tmp_path):
    block = simulated(tmp_path)
    one, two = ingest(tmp_path, block, name="one"), ingest(tmp_path, block, name="two")
    for key in OUTPUTS:
        assert one[key].read_bytes() == two[key].read_bytes()


def test_observed_field_keeps_its_truth_to_itself(tmp_path):
    block = simulated(tmp_path, observed=True)
    outputs = ingest(tmp_path, block)
    assert read_events(outputs["events"]).src_id is None
    assert not outputs["truth"].exists()
    assert str(tmp_path / "halos.csv") not in input_files(block, "01")
    assert input_files(simulated(tmp_path), "01")[-1] == str(tmp_path / "halos.csv")


def test_any_file_name_will_do(tmp_path):
    folder = tmp_path / "Häufen der Galaxien"
    folder.mkdir()
    block = simulated(folder)
    (folder / "mine.fits").rename(folder / "Ereignisse für mich.fits")
    block["realizations"]["01"]["events"] = [str(folder / "Ereignisse für mich.fits")]
    assert all(path.exists() for path in ingest(folder, block).values())


def test_simulated_field_needs_a_truth(tmp_path):
    with pytest.raises(InputError, match="realization '01' has no 'truth'"):
        ingest(tmp_path, sky(tmp_path) | {"observed": False})


def test_catalogue_of_another_field(tmp_path):
    block = sky(tmp_path)
    (tmp_path / "mine.csv").write_text("ID_SRC,RA,DEC,Z\n3,120,30,0.2\n5,121,30,0.4\n")
    with pytest.raises(InputError, match="none of its 2 rows lies in the field"):
        ingest(tmp_path, block)


def test_missing_and_repeated_event_lists(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.fits: no such"):
        ingest(tmp_path, sky(tmp_path, events=[str(tmp_path / "nowhere.fits")]))
    with pytest.raises(InputError, match="holds the same event list"):
        ingest(tmp_path, sky(tmp_path, events=[str(tmp_path / "mine.fits")] * 2))
    with pytest.raises(InputError, match="names no catalogue"):
        ingest(tmp_path, sky(tmp_path, catalogue=""))
    with pytest.raises(InputError, match="no realization '02'"):
        ingest_field(
            sky(tmp_path), "02", EVENTS, **dict.fromkeys(("events", "exposure", "catalogue"), tmp_path / "x.fits")
        )


def test_flag_mask_of_the_configuration_counts(tmp_path):
    """With no mask at all, the corrupt event of row 0 stays."""
    assert len(read_events(ingest(tmp_path, sky(tmp_path), {"flag_mask": 0, "pattern": 15})["events"])) == 3999


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("SRC_ID,RA,DEC,Z,MASS", "1,1,1,0.2,14", "no column for LOG10_M500C"),
        (
            "SRC_ID,RA,DEC,Z,M500C",
            "1,1,1,0.2,14.1",
            "column M500C, row 1: 14.1 is no M500c in Msun; if it is the other",
        ),
        ("SRC_ID,RA,DEC,Z,LOG10_M500C", "1,1,1,0.2,1e14", "row 1: 1e+14 is no log10"),
        ("SRC_ID,RA,DEC,Z,LOG10_M500C", "1,1,1,-1,14", "column Z, row 1: -1 is no redshift of a halo"),
        ("SRC_ID,RA,DEC,Z,LOG10_M500C", "-1,1,1,0.2,14", "column SRC_ID, row 1: -1 is no SRC_ID of a halo"),
        ("SRC_ID,RA,DEC,Z,LOG10_M500C", "1,1,1,0.2,14\n1,2,2,0.2,14", "rows 1 and 2 have one SRC_ID, 1"),
        ("SRC_ID,RA,DEC,Z,LOG10_M500C,HALO_ID", "1,1,1,0.2,14,0.5", "row 1: 0.5 is no HALO_ID"),
        (
            "SRC_ID,RA,DEC,Z,LOG10_M500C,HALO_ID",
            "1,1,1,0.2,14,5\n2,2,2,0.2,14,5",
            "column HALO_ID, row 2: 5 is the HALO_ID of an earlier row too",
        ),
    ],
)
def test_faulty_truth(tmp_path, header, row, message):
    (tmp_path / "halos.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(InputError) as caught:
        read_truth(tmp_path / "halos.csv", None, "01")
    assert message in str(caught.value)


def test_truth_under_other_names(tmp_path):
    (tmp_path / "halos.csv").write_text("id,ra,dec,redshift,lgm,pid\n1,1,1,0.2,14,77\n")
    truth = read_truth(
        tmp_path / "halos.csv", {"SRC_ID": "id", "Z": "redshift", "LOG10_M500C": "lgm", "HALO_ID": "pid"}, "03"
    )
    assert truth["HALO_ID"][0] == 77
    assert truth["LOG10_M500C"][0] == 14


def test_luminosities_in_erg_per_s_survive_the_way_to_the_file(tmp_path):
    (tmp_path / "halos.csv").write_text("SRC_ID,RA,DEC,Z,LOG10_M500C,L500\n1,1,1,0.2,14,3.5e43\n")
    truth = read_truth(tmp_path / "halos.csv", None, "01")
    truth["COUNTS"] = np.int32([-1])
    write_truth(truth, tmp_path / "truth.fits")
    assert Table.read(tmp_path / "truth.fits")["L500"][0] == pytest.approx(3.5e43)


def points(id_name: str, ids, ra, dec) -> Table:
    return Table({id_name: np.asarray(ids, np.int32), "RA": np.asarray(ra, float), "DEC": np.asarray(dec, float)})


def test_matching_is_nearest_first_and_one_to_one():
    arcsec = 1 / 3600
    detections = points("ID_SRC", [1, 2, 3], [10, 10 + 30 * arcsec, 20], [0, 0, 0])
    haloes = points("SRC_ID", [11, 12], [10 + 20 * arcsec, 10 - 50 * arcsec], [0, 0])
    pairs = match_by_position(detections, haloes, 60.0)
    # halo 11 is nearer to detection 2; detection 1 takes what is left
    assert [tuple(row)[:2] for row in pairs] == [(1, 12), (2, 11)]
    assert pairs["SEPARATION"].tolist() == pytest.approx([50, 10], abs=1e-3)
    assert len(match_by_position(detections, haloes, 49.0)) == 1
    assert len(match_by_position(detections, haloes, 5.0)) == 0


def test_matching_equals_brute_force():
    """Greedy matching by all pairs' haversine distance, whatever the order of the rows."""
    rng = np.random.default_rng(5)
    detections = points("ID_SRC", rng.permutation(60), (rng.uniform(-0.1, 0.1, 60)) % 360, rng.uniform(59.9, 60, 60))
    haloes = points("SRC_ID", rng.permutation(60) + 1, (rng.uniform(-0.1, 0.1, 60)) % 360, rng.uniform(59.9, 60, 60))
    ra1, dec1 = np.radians(detections["RA"])[:, None], np.radians(detections["DEC"])[:, None]
    ra2, dec2 = np.radians(haloes["RA"])[None], np.radians(haloes["DEC"])[None]
    half = np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    distance = np.degrees(2 * np.arcsin(np.sqrt(half))) * 3600
    expected = {}
    while distance.min() <= 60:
        row, halo = np.unravel_index(distance.argmin(), distance.shape)
        expected[int(detections["ID_SRC"][row])] = int(haloes["SRC_ID"][halo])
        distance[row], distance[:, halo] = np.inf, np.inf
    for order in (np.arange(60), rng.permutation(60)):
        pairs = match_by_position(detections[order], haloes[order[::-1]], 60.0)
        assert dict(zip(pairs["ID_SRC"].tolist(), pairs["SRC_ID"].tolist(), strict=True)) == expected
    assert len(expected) > 20


def at(ra, dec):
    """Return photons at these positions, all else the same."""
    zero = np.zeros(len(ra))
    whole = {"tm_nr": zero.astype("u1"), "pat_typ": zero.astype("i2"), "flag": zero.astype("u4")}
    facts = {"dialect": "esass", "name": "", "gti": {}}
    return EventList(np.asarray(ra), np.asarray(dec), zero.astype("f4"), time=zero, **whole, **facts)


def test_occupied_cells_fill_gaps_but_not_the_outside():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 1, 6000) % 360, rng.uniform(-0.5, 0.5, 6000)
    hole = (np.abs(ra - 0.5) < 0.03) & (np.abs(dec) < 0.03)
    outside = (ra > 0.5) & (dec > 0)
    pieces = [at(*part) for part in np.array_split(np.array([ra, dec])[:, ~hole & ~outside], 3, axis=1)]
    cells, wcs = occupied_cells(pieces, mean_position(pieces))
    # an L of 0.75 deg2; its corner of 3' without photons is filled
    assert area_deg2(cells) == pytest.approx(0.75, rel=0.05)
    inside = exposure_at(cells.astype(np.float32), wcs, np.array([0.48, 0.75]), np.array([-0.01, 0.25]))
    assert inside.tolist() == [1, 0]


def test_mean_position_across_ra_0():
    assert mean_position([at([359.0], [10.0]), at([1.0], [10.0])])[0] % 360 == pytest.approx(0, abs=1e-9)


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
def test_real_sixte_files(tmp_path):
    """The calibrated SIXTE list and its catalogue go through as they are; the cluster lies in the exposed field."""
    files = {"events": [str(SIXTE / "fixture_sixte_cal_tm0.fits.gz")], "catalogue": str(SIXTE / "clusters.csv")}
    outputs = ingest(tmp_path, {"observed": True, "realizations": {"01": files}})
    photons = read_events(outputs["events"])
    raw = fits.getdata(SIXTE / "fixture_sixte_cal_tm0.fits.gz", "EVENTS")
    assert len(photons) == (raw["PI"] > 0).sum()
    image, wcs = read_exposure(outputs["exposure"])
    # 1600 s for all modules, over the 21.7' x 21.7' that the fixture is cut to
    assert image.max() == pytest.approx(1600, rel=0.01)
    assert (image > 0).sum() / 3600 == pytest.approx((21.7 / 60) ** 2, rel=0.15)
    assert exposure_at(image, wcs, np.array([133.70003461]), np.array([1.36666465]))[0] > 0
    history = "".join(fits.getheader(outputs["events"])["HISTORY"])
    assert "fixture_sixte_cal_tm0.fits.gz" in history
    assert json.dumps("01") in history


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("fixture_sixte_cal_tm0.fits.gz", [389, 479, 498, 378, 357, 286, 249, 200, 162, 106]),
        ("sixte_evt_tm1.fits.gz", [59, 63, 77, 57, 46, 42, 46, 34, 23, 18]),
    ],
)
def test_images_of_real_sixte_files_by_way_of_the_standard_files(tmp_path, name, sums):
    """The photons that ingest hands on are those that other software counts in ten bands in the cluster's box."""
    files = {"events": [str(SIXTE / name)], "catalogue": str(SIXTE / "clusters.csv")}
    outputs = ingest(tmp_path, {"observed": True, "realizations": {"01": files}})
    settings = {
        "box_pixels": 300,
        "pixel_arcsec": 4.0,
        "base_rebin": 3,
        "bands": {"start_ev": 250, "width_ev": 205, "number": 10},
        "centre": "detected",
        "det_like_min": 5.0,
        "ext_like_min": 6.0,
    }
    standard = (outputs["events"], outputs["exposure"], outputs["catalogue"])
    extract_images(*standard, tmp_path / "images.nc", settings, "01", EVENTS)
    sample = load_sample([tmp_path / "images.nc"])
    assert sample["counts"].sum(("cluster", "y", "x")).values.tolist() == sums
    assert sample["covered_fraction"].item() > 0.99
    assert read_netcdf(tmp_path / "images.nc").attrs["simulated"] == "true"


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
def test_labels_of_a_real_sixte_list(tmp_path):
    """SRC_ID 1 is the cluster; 100, with far more photons, the diffuse sky."""
    (tmp_path / "halos.csv").write_text("SRC_ID,RA,DEC,Z,LOG10_M500C\n1,133.70003461,1.36666465,0.3,14.5\n")
    files = {"events": [str(SIXTE / "sixte_evt_tm1.fits.gz")], "catalogue": str(SIXTE / "clusters.csv")}
    files["truth"] = str(tmp_path / "halos.csv")
    outputs = ingest(tmp_path, {"observed": False, "realizations": {"01": files}})
    (match,) = fits.getdata(outputs["matches"], "MATCHES")
    assert (match["ID_SRC"], match["SRC_ID"]) == (1, 1)
    # within 60 arcsec, 0.2-2.3 keV: 18 of the cluster and 5 of the sky
    assert match["PURITY"] == pytest.approx(18 / 23)


def test_joined_catalogues_and_cuts_reach_the_standard_catalogue(tmp_path):
    block = sky(tmp_path, joined_catalogues=[str(tmp_path / "optical.csv")])
    rows = [f"5,{(RA0 + 0.1) % 360},2.1,A J2,0.29,true", f"3,{RA0},{DEC0},A J1,0.31,true"]
    (tmp_path / "optical.csv").write_text("\n".join(["ID_SRC,RA,DEC,Name,F_CONT,inArea90", *rows]) + "\n")
    assert input_files(block, "01")[-1] == str(tmp_path / "optical.csv")
    whole = Table.read(ingest(tmp_path, block)["catalogue"])
    assert whole["NAME_CAT"].astype(str).tolist() == ["A J1", "A J2"]
    assert whole["Z"].tolist() == pytest.approx([0.2, 0.4])
    cut = Table.read(
        ingest(tmp_path, block | {"catalogue_selection": {"f_cont_max": 0.3, "in_area90": True}})["catalogue"]
    )
    assert cut["ID_SRC"].tolist() == [5]
    assert cut["F_CONT"].tolist() == pytest.approx([0.29])
    with pytest.raises(InputError, match="has no column for F_CONT"):
        ingest(tmp_path, sky(tmp_path) | {"catalogue_selection": {"f_cont_max": 0.3}})


def test_luminosities_of_a_truth_fit_into_their_column(tmp_path):
    block = simulated(tmp_path)
    table = Table.read(tmp_path / "halos.csv")
    table["L500"] = [2.5e44, 1.0e43]
    table.write(tmp_path / "halos.csv", overwrite=True)
    assert Table.read(ingest(tmp_path, block)["truth"])["L500"].tolist() == [2.5e44, 1.0e43]

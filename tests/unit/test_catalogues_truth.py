"""The truth of a user's own simulation: its table, its haloes' photons, and the purity of their detections."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from confined import refused
from ingest_inputs import DEC0, RA0, ingest, simulated

from clustermass.catalogues.truth import match_by_photons, match_by_position, read_truth
from clustermass.errors import InputError
from clustermass.events.read import read_events
from clustermass.io.products import TRUTH, write_table


def test_haloes_of_realizations_of_any_name_are_told_apart(tmp_path):
    Table({"SRC_ID": [7], "RA": [1.0], "DEC": [0.0], "Z": [0.3], "M500C": [1e14]}).write(tmp_path / "truth.csv")
    names = ("01", "1", "100", "0100", "tile_2", "tile_3", "9999999999")
    numbers = [int(read_truth(tmp_path / "truth.csv", {}, name)["HALO_ID"][0]) for name in names]
    assert (numbers[0], numbers[2]) == (2**32 + 7, 100 * 2**32 + 7)
    assert len(set(numbers)) == len(names)
    assert all(0 < number < 2**63 for number in numbers)


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
    """If no photon has a label of the truth's haloes, they are matched by position, without purity and counts."""
    block = simulated(tmp_path)
    text = (tmp_path / "halos.csv").read_text()
    (tmp_path / "halos.csv").write_text(text.replace("\n7,", "\n70,").replace("\n8,", "\n80,"))
    outputs = ingest(tmp_path, block)
    matches = fits.getdata(outputs["matches"], "MATCHES")
    assert (matches["ID_SRC"].tolist(), matches["SRC_ID"].tolist()) == ([3], [70])
    assert np.isnan(matches["PURITY"]).all()
    assert fits.getdata(outputs["truth"], "TRUTH")["COUNTS"].tolist() == [-1, -1]
    assert "no photon's SRC_ID is that of a halo" in caplog.text


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
    write_table(tmp_path / "truth.fits", "TRUTH", TRUTH, truth)
    assert Table.read(tmp_path / "truth.fits")["L500"][0] == pytest.approx(3.5e43)


def test_luminosities_of_a_truth_fit_into_their_column(tmp_path):
    block = simulated(tmp_path)
    table = Table.read(tmp_path / "halos.csv")
    table["L500"] = [2.5e44, 1.0e43]
    table.write(tmp_path / "halos.csv", overwrite=True)
    assert Table.read(ingest(tmp_path, block)["truth"])["L500"].tolist() == [2.5e44, 1.0e43]


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


def test_more_pairs_than_fit_into_memory_are_refused():
    place = np.zeros(20_000)
    detections, haloes = (points(name, range(20_000), place, place) for name in ("ID_SRC", "SRC_ID"))
    refused(r"4e\+08 pairs of positions within 60 arcsec", match_by_position, detections, haloes, 60)


def test_matching_equals_brute_force():
    """Compare with greedy matching by the haversine distances of all pairs, in any order of the rows."""
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

"""The truth of a user's own simulation: its table, its haloes' photons, and the purity of their detections."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from ingest_inputs import DEC0, RA0, ingest, simulated

from clustermass.catalogues.truth import read_truth
from clustermass.errors import InputError
from clustermass.events.read import read_events
from clustermass.io.products import TRUTH, write_table


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

"""Event files: each dialect read and our own written, small ones and real ones."""

import gzip
import json
import logging

import numpy as np
import pytest
from astropy.io import fits
from event_lists import (
    SHARED,
    START,
    STOP,
    WRITERS,
    photons,
    planted,
    select,
    write_esass,
    write_sixte_calibrated,
    write_sixte_events,
)

from clustermass.errors import InputError
from clustermass.events.read import read_events
from clustermass.events.write import write_events, write_labels


@pytest.mark.parametrize("dialect", WRITERS)
def test_every_dialect_gives_the_same_photons(tmp_path, dialect):
    columns = photons()
    events = read_events(WRITERS[dialect](tmp_path / "events.fits", columns))
    assert events.dialect == dialect
    np.testing.assert_allclose(events.ra, columns["RA"], atol=1e-10)
    np.testing.assert_allclose(events.dec, columns["DEC"], atol=1e-10)
    np.testing.assert_allclose(events.pi_ev, columns["PI"], rtol=1e-6)
    np.testing.assert_array_equal(events.pat_typ, columns["PAT_TYP"])
    np.testing.assert_array_equal(events.time, columns["TIME"])
    module = np.ones(200) if dialect == "sixte_events" else columns["TM_NR"]
    np.testing.assert_array_equal(events.tm_nr, module)
    assert len(select(events)) == 200, "the automatic flag mask of each dialect keeps good photons"


def test_gzipped_lists_read_the_same(tmp_path):
    path = write_esass(tmp_path / "events.fits", photons())
    (tmp_path / "events.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    for plain, packed in zip(
        read_events(path).columns().values(), read_events(tmp_path / "events.fits.gz").columns().values(), strict=True
    ):
        np.testing.assert_array_equal(plain, packed)


def test_split_partners_are_dropped_and_counted(tmp_path, caplog):
    columns = planted(PAT_TYP=[1, 2, 2, 3], PI=[500.0, 600.0, 700.0, 800.0])
    with caplog.at_level(logging.INFO, "clustermass"):
        events = read_events(write_sixte_calibrated(tmp_path / "cal.fits", columns))
    assert events.pi_ev.tolist() == [500, 600, 700, 800]
    assert "6 rows, of which 2 with PI < 0" in caplog.text


def test_sixte_lists_that_evtool_merged_are_still_recognised(tmp_path):
    events = read_events(write_sixte_calibrated(tmp_path / "merged.fits", photons(), creator="EVTOOL"))
    assert events.dialect == "sixte_calibrated"
    assert len(select(events, "auto")) == 200


def test_truth_labels_of_sixte_events_are_the_first_of_each_pair(tmp_path):
    events = read_events(write_sixte_events(tmp_path / "evt.fits", photons(5) | {"SRC_ID": np.array([7, -1, 3, 0, 9])}))
    assert events.src_id.tolist() == [7, -1, 3, 0, 9]


def test_invalid_patterns_of_sixte_events_are_dropped(tmp_path):
    events = read_events(write_sixte_events(tmp_path / "evt.fits", planted(PAT_TYP=[1, -1, 4])))
    assert len(select(events)) == 2


def test_own_dialect_round_trip(tmp_path):
    columns = photons(ra=359.999999) | {"FLAG": np.full(200, 0x1)}
    events = select(read_events(write_esass(tmp_path / "esass.fits", columns)))
    write_events([events], tmp_path / "own.fits", {"step": "test"}, centre=(136.0, 1.5))
    again = read_events(tmp_path / "own.fits")
    assert again.dialect == "clustermass"
    np.testing.assert_allclose((again.ra - events.ra + 180) % 360 - 180, 0, atol=5.01e-7)
    np.testing.assert_allclose(again.dec, events.dec, atol=5.01e-7)
    for name in ("pi_ev", "tm_nr", "pat_typ", "time"):
        np.testing.assert_array_equal(getattr(again, name), getattr(events, name))
    assert {module: rows.tolist() for module, rows in again.gti.items()} == {m: [[START, STOP]] for m in range(1, 8)}
    assert len(select(again)) == len(events), "what was selected once stays selected"
    with fits.open(tmp_path / "own.fits") as hdus:
        assert hdus["EVENTS"].columns["RA"].format == "J"
        assert hdus["EVENTS"].header["RA_CEN"] == 136.0


def test_labels_are_written_beside_the_events_and_not_inside(tmp_path):
    events = read_events(write_sixte_events(tmp_path / "evt.fits", photons()))
    write_events([events], tmp_path / "events.fits", {})
    write_labels([events.src_id], tmp_path / "labels.fits", {})
    assert read_events(tmp_path / "events.fits").src_id is None
    assert fits.getdata(tmp_path / "labels.fits", "LABELS")["SRC_ID"].tolist() == events.src_id.tolist()
    write_labels([], tmp_path / "unknown.fits", {})
    assert len(fits.getdata(tmp_path / "unknown.fits", "LABELS")) == 0


# the real files beside the checkout


def shared(name):
    if not (SHARED / name).is_file():
        pytest.skip(f"{name} is not beside this checkout (../shared/data/sixte)")
    return SHARED / name


def test_real_sixte_calibrated_file():
    events = read_events(shared("fixture_sixte_cal_tm0.fits.gz"))
    assert events.dialect == "sixte_calibrated"
    assert np.bincount(events.tm_nr).min(initial=1, where=np.arange(8) > 0) > 0
    with pytest.raises(InputError, match="SIXTE"):
        select(events, 0xC000F000)


def test_planted_totals_of_the_four_selections():
    totals = json.loads(shared("planted_esass.json").read_text())["totals"]
    events = read_events(shared("planted_esass.fits"))
    inside_box = (np.abs(events.x + 0.5) < 12000) & (np.abs(events.y + 0.5) < 12000)
    for name, total in totals.items():
        mask, pattern = name.split(",pattern")
        assert len(select(events.take(inside_box), mask, int(pattern), (250, 2300))) == total

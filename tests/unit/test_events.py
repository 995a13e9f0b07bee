"""Event files: the dialects, the cuts, and everything that can be wrong with a file."""

import gzip
import json
import logging
import re
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from event_lists import (
    SHARED,
    START,
    STOP,
    photons,
    planted,
    read_many,
    write_esass,
    write_sixte_calibrated,
    write_sixte_events,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.errors import InputError
from clustermass.events import repeated
from clustermass.events.eventlist import EventList
from clustermass.events.gti import inside, mean_exposure_s, union
from clustermass.events.selection import flag_mask_of, read_events, select, write_events, write_labels

WRITERS = {"esass": write_esass, "sixte_calibrated": write_sixte_calibrated, "sixte_events": write_sixte_events}


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


# corrupt frame (the sign bit), corrupt event, bad pixel, out of the field of view; then harmless bits
@pytest.mark.parametrize("bit", [0x80000000, 0x40000000, 0x2000, 0x8000, 0x1000, 0x4000])
def test_bits_of_the_default_mask_drop_a_photon_of_esass(tmp_path, bit):
    events = read_events(write_esass(tmp_path / "events.fits", planted(FLAG=[0x1, 0x1 | bit, 0x12, 0x20000])))
    assert select(events).flag.tolist() == [0x1, 0x12, 0x20000]
    assert len(select(events, 0)) == 4


@pytest.mark.parametrize("mask", [0xC00FFF30, "0xC00FFF30", "3222273840", 0xC00FFF30 - 2**32])
def test_masks_are_understood_however_they_are_written(tmp_path, mask):
    events = read_events(write_esass(tmp_path / "events.fits", planted(FLAG=[0, 0x10])))
    assert flag_mask_of(events, mask) == 0xC00FFF30
    assert select(events, mask).flag.tolist() == [0]


@pytest.mark.parametrize("mask", ["atuo", "", 2**32, True, 1.5])
def test_masks_that_make_no_sense_are_refused(tmp_path, mask):
    events = read_events(write_esass(tmp_path / "events.fits", photons()))
    with pytest.raises(InputError, match=r"events\.flag_mask is .*auto or a number of 32 bits"):
        select(events, mask)


@pytest.mark.parametrize(("mask", "kept"), [(1, [1]), (3, [1, 2]), (7, [1, 2, 3]), (15, [1, 2, 3, 4]), (10, [2, 4])])
def test_pattern_mask_keeps_its_bits_and_never_an_invalid_pattern(tmp_path, mask, kept):
    events = read_events(write_esass(tmp_path / "events.fits", planted(PAT_TYP=[-3, 0, 1, 2, 3, 4, 5, 17])))
    assert select(events, pattern_mask=mask).pat_typ.tolist() == kept


def test_energy_range_has_its_lower_edge_only(tmp_path):
    events = read_events(write_esass(tmp_path / "events.fits", planted(PI=[249.99, 250.0, 2299.9, 2300.0])))
    assert select(events, energy_ev=(250, 2300)).pi_ev.tolist() == [250.0, np.float32(2299.9)]


def test_each_photon_is_judged_by_the_intervals_of_its_own_module(tmp_path, caplog):
    gti = {1: [(START, START + 10), (START + 20, START + 30)], 2: [(START + 10, START + 20)]}
    columns = planted(
        TM_NR=[1, 1, 1, 1, 2, 2, 2, 5],
        TIME=START + np.array([0.0, 10.0, 15.0, 25.0, 5.0, 15.0, 25.0, 1000.0]),
        PI=np.arange(300, 308),
    )
    events = read_events(write_esass(tmp_path / "events.fits", columns, gti))
    with caplog.at_level(logging.INFO, "clustermass"):
        kept = select(events)
    assert kept.pi_ev.tolist() == [300, 301, 303, 305, 307]
    assert "no GTI for TM5; all their 1 events are kept" in caplog.text
    assert re.search(r"8 events; dropped by .*GTI: 3; left: 5", caplog.text)


def test_a_table_for_all_modules_serves_those_without_their_own(tmp_path):
    gti = {0: [(START, START + 10)], 2: [(START + 10, START + 20)]}
    columns = planted(TM_NR=[1, 1, 2, 2], TIME=START + np.array([5.0, 15.0, 5.0, 15.0]), PI=[300, 301, 302, 303])
    assert select(read_events(write_esass(tmp_path / "e.fits", columns, gti))).pi_ev.tolist() == [300, 303]


def test_exposure_is_the_mean_of_seven_modules(tmp_path):
    columns = planted(TM_NR=[1, 2], TIME=START + np.array([1.0, 1.0]))
    # module 3 has time but no photon: it isn't part of the list
    gti = {1: [(START, START + 700), (START + 600, START + 1000)], 2: [(START, START + 400)], 3: [(START, STOP)]}
    assert mean_exposure_s(read_events(write_esass(tmp_path / "a.fits", columns, gti))) == pytest.approx(1400 / 7)
    assert mean_exposure_s(read_events(write_esass(tmp_path / "b.fits", columns, {}))) == pytest.approx(2 * 1600 / 7)


INTERVALS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=8)


@settings(deadline=None, derandomize=True)
@given(INTERVALS)
def test_union_of_intervals_holds_the_same_times(pairs):
    intervals = np.array([(start, start + length) for start, length in pairs], dtype=float)
    times = np.arange(-1, 72, 0.5)
    expected = ((times[:, None] >= intervals[:, 0]) & (times[:, None] <= intervals[:, 1])).any(axis=1)
    joined = union(intervals)
    np.testing.assert_array_equal(inside(times, joined), expected)
    assert np.all(joined[1:, 0] > joined[:-1, 1])


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


# what can be wrong with a file


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone\.fits: no such event file"):
        read_events(tmp_path / "gone.fits")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_truncated_file(tmp_path, share, suffix):
    content = write_esass(tmp_path / "whole.fits", photons(2000)).read_bytes()
    content = gzip.compress(content) if suffix else content
    path = tmp_path / f"cut.fits{suffix}"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cut\.fits.*truncated or damaged FITS file"):
        read_events(path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "truncated or damaged FITS file"), (b"no FITS at all\n" * 500, "not a FITS file")]
)
def test_not_a_fits_file(tmp_path, content, message):
    (tmp_path / "events.fits").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_events(tmp_path / "events.fits")


def test_not_an_event_list(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("ID_SRC", "J", array=[1])], name="CATALOGUE")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "catalogue.fits")
    with pytest.raises(InputError, match=r"not an event list: it has no table EVENTS \(tables: CATALOGUE\)"):
        read_events(tmp_path / "catalogue.fits")


@pytest.mark.parametrize(
    ("dialect", "column", "new"),
    [
        ("esass", "TM_NR", "TMNR"),
        ("esass", "PI", "PI_EV"),
        ("sixte_calibrated", "PAT_TYP", "PATTYP"),
        ("sixte_events", "SIGNAL", "SIGNAL_KEV"),
        ("sixte_events", "DEC", "DECL"),
    ],
)
def test_renamed_column_is_named_and_the_nearest_suggested(tmp_path, dialect, column, new):
    path = WRITERS[dialect](tmp_path / "events.fits", photons())
    with fits.open(path, mode="update") as hdus:
        number = hdus[1].columns.names.index(column) + 1
        hdus[1].header[f"TTYPE{number}"] = new
    with pytest.raises(InputError, match=rf"lacks column {column} .*Rename column {new}"):
        read_events(path)


@pytest.mark.parametrize(("form", "values"), [("3A", "abc"), ("2E", [1.0, 2.0])])
def test_a_column_of_other_than_numbers_is_named(tmp_path, form, values):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path) as hdus:
        columns = [column for column in hdus[1].columns if column.name != "PI"]
        columns.append(fits.Column("PI", form, array=np.array([values] * len(hdus[1].data))))
        odd = fits.BinTableHDU.from_columns(columns, name="EVENTS")
        fits.HDUList([fits.PrimaryHDU(), odd]).writeto(tmp_path / "odd.fits")
    with pytest.raises(InputError, match=rf"column PI of table EVENTS has the format {form}, but must hold one number"):
        read_events(tmp_path / "odd.fits")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("RA", np.nan, r"row 18: RA is nan, but must be between 0 and 360 deg \(1 of 200 rows"),
        ("RA", 361.0, "row 18: RA is 361"),
        ("RA", -0.5, "row 18: RA is -0.5"),
        ("DEC", np.inf, "row 18: DEC is inf"),
        ("DEC", -90.5, "row 18: DEC is -90.5, but must be between -90 and 90 deg"),
        ("PI", np.nan, "row 18: energy is nan"),
        ("TIME", np.nan, "row 18: TIME is nan"),
    ],
)
def test_values_that_cannot_be_are_named_with_their_row(tmp_path, column, value, message):
    columns = photons()
    path = write_sixte_events(tmp_path / "events.fits", columns)
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["SIGNAL" if column == "PI" else column][17] = value
    with pytest.raises(InputError, match=message):
        read_events(path)


def test_list_without_rows(tmp_path):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path) as hdus:
        hdus[1].data = hdus[1].data[:0]
        hdus.writeto(tmp_path / "empty.fits")
    with pytest.raises(InputError, match="the event list has no rows"):
        read_events(tmp_path / "empty.fits")


def test_an_interval_that_is_none_is_named(tmp_path):
    path = write_esass(tmp_path / "events.fits", photons(), {3: [(STOP, START)]})
    with pytest.raises(InputError, match=r"table GTI3, row 1: .* is no time interval"):
        read_events(path)


def test_the_flag_trap_of_sixte_is_explained(tmp_path):
    events = read_events(write_sixte_calibrated(tmp_path / "cal.fits", photons()))
    with pytest.raises(InputError, match=r"flag mask 0xC000F000 removes every one of the 200 events.*SIXTE.*auto or 0"):
        select(events, 0xC000F000)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"FLAG": 0x8000}, {}, "flag mask 0xC000F000 removes .* share the bits 0x00008000. Set events.flag_mask"),
        ({"PAT_TYP": 4}, {"pattern_mask": 1}, "pattern 1 removes .*Set events.pattern to 15"),
        ({"TIME": START - 5}, {}, "GTI removes every one"),
        ({"PI": 5000.0}, {"energy_ev": (250, 2300)}, "250-2300 eV removes .*in eV"),
    ],
)
def test_a_cut_that_removes_everything_says_which_it_is(tmp_path, columns, options, message):
    events = read_events(write_esass(tmp_path / "events.fits", planted(RA=[136.0, 136.1], **columns)))
    with pytest.raises(InputError, match=message):
        select(events, **options)


@pytest.mark.parametrize("pattern", [0, 16, -1, True])
def test_a_pattern_mask_that_makes_no_sense_is_refused(tmp_path, pattern):
    events = read_events(write_esass(tmp_path / "events.fits", photons()))
    with pytest.raises(InputError, match=r"events\.pattern is"):
        select(events, pattern_mask=pattern)


# several lists of one field


def test_modules_are_joined(tmp_path):
    paths = [write_sixte_events(tmp_path / f"ccd{n}.fits", photons(seed=n), module=n) for n in (1, 2, 5)]
    events = read_many(paths)
    assert np.bincount(events.tm_nr).tolist() == [0, 200, 200, 0, 0, 200]
    assert sorted(events.gti) == [1, 2, 5]
    assert mean_exposure_s(events) == pytest.approx(3 * 1600 / 7)


def test_photons_that_two_lists_share_count_once(tmp_path, caplog):
    columns = photons(300)
    first = {name: values[:200] for name, values in columns.items()}
    second = {name: values[150:] for name, values in columns.items()}
    paths = [write_esass(tmp_path / "a.fits", first), write_esass(tmp_path / "b.fits", second)]
    with caplog.at_level(logging.INFO, "clustermass"):
        events = read_many(paths)
    np.testing.assert_allclose(np.sort(events.pi_ev), np.sort(columns["PI"]).astype(np.float32))
    assert "50 repeated ones dropped" in caplog.text


def test_four_observations_side_by_side_keep_every_photon(tmp_path, caplog):
    """As those of eFEDS: one after the other, each with sky pixels about its own centre, overlapping on the sky."""
    centres, names = (129.55, 133.86, 138.14, 142.45), ("300007", "300008", "300009", "300010")
    paths, gti = [], {}
    for number, (ra, name) in enumerate(zip(centres, names, strict=True)):
        begin = START + 1e5 * number
        columns = photons(500, ra, width_deg=5.5, seed=number)
        columns["TIME"] = begin + (columns["TIME"] - START)
        gti[name] = {module: [(begin, begin + 1600.0)] for module in range(1, 8)}
        paths.append(write_esass(tmp_path / f"fm00_{name}_020.fits", columns, gti[name], reference=(ra, 1.5)))
    with caplog.at_level(logging.INFO, "clustermass"):
        events = read_many(paths)
    assert len(select(events)) == 2000
    assert "4 event lists joined: 2000 photons, 0 repeated ones dropped" in caplog.text
    assert (events.x, events.sky_reference) == (None, None)
    assert all(intervals.tolist() == [list(gti[name][1][0]) for name in names] for intervals in events.gti.values())
    assert mean_exposure_s(events) == pytest.approx(4 * 1600)


def test_a_photon_in_three_lists_counts_once_and_the_log_says_where(tmp_path, caplog):
    columns = photons(300)
    spans = {"a": slice(0, 150), "b": slice(100, 250), "c": slice(120, 300)}
    paths = [
        write_esass(tmp_path / f"{name}.fits", {key: values[rows] for key, values in columns.items()})
        for name, rows in spans.items()
    ]
    for order in ([0, 1, 2], [1, 2, 0]):
        caplog.clear()
        with caplog.at_level(logging.INFO, "clustermass"):
            events = read_many([paths[number] for number in order])
        assert np.sort(events.time).tolist() == columns["TIME"].tolist()
        assert "480 photons, 180 repeated ones dropped" in caplog.text
    for said in ("b.fits: 150 photons, 0 of", "c.fits: 180 photons, 130 of", "a.fits: 150 photons, 50 of"):
        assert f"{said} them in an earlier list and dropped" in caplog.text


def test_equal_times_alone_make_no_photon_a_repeated_one(tmp_path):
    """Frames are 50 ms long: many photons share a time, and even a pixel in another module."""
    base = {"TIME": START + 1.0, "TM_NR": [1, 1, 1], "RAWX": [5, 5, 6], "RAWY": [5, 6, 5]}
    other = {"TIME": START + np.array([1.0, 1.0, 1.05]), "TM_NR": [2, 1, 1], "RAWX": [5, 7, 5], "RAWY": [5, 5, 5]}
    paths = [write_esass(tmp_path / f"{n}.fits", planted(**rows)) for n, rows in enumerate((base, other))]
    assert len(read_many(paths)) == 6


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 2), st.integers(0, 1)), max_size=40))
def test_repeated_photons_are_those_that_a_search_row_by_row_finds(rows):
    table = np.array([*rows, (0, 0, 1, 0), (1, 9, 1, 0), (2, 9, 2, 0)])
    table = table[np.argsort(table[:, 0], kind="stable")]
    origin = table[:, 0]
    expected = [
        any(origin[i] < origin[j] and (table[i, 1:] == table[j, 1:]).all() for i in range(len(table)))
        for j in range(len(table))
    ]
    for pieces, bucket, window in ((1, 3, 2), (5, 1, 7), (100, 1000, 1000)):
        assert search_in_pieces(table, pieces, bucket, window).tolist() == expected


def search_in_pieces(table, rows, bucket, window):
    """Return which rows of (list, time, module, pixel) are repeated, found in pieces of so many rows."""
    lists = [table[table[:, 0] == number] for number in range(3)]
    starts = np.cumsum([0, *map(len, lists)]).tolist()
    spans = [
        {module: (times.min(), times.max()) for module in (1, 2) if (times := part[part[:, 2] == module, 1]).size}
        for part in lists
    ]
    pieces = [[event_list(*part[i : i + rows, 1:].T) for i in range(0, len(part), rows)] for part in lists]
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        closing(repeated.Repeated(Path(folder), starts)) as found,
    ):
        patch.setattr(repeated, "_BUCKET_ROWS", bucket)
        patch.setattr(repeated, "_WINDOW_ROWS", window)
        found.find(pieces, spans, ("rawx", "rawy"))
        marks = found.among(0, len(table))
        half = len(table) // 2
        assert [*found.among(0, half), *found.among(half, len(table) - half)] == marks.tolist()
        assert found.number.tolist() == [marks[table[:, 0] == number].sum() for number in range(3)]
    return marks


def event_list(time, module, pixel):
    """Return an event list of these columns, all else the same."""
    same = np.ones(time.size)
    integers = {"pat_typ": same.astype(np.int16), "flag": same.astype(np.uint32), "tm_nr": module.astype(np.uint8)}
    pixels = {"rawx": pixel.astype(np.int16), "rawy": pixel.astype(np.int16)}
    energy, time = same.astype(np.float32), time.astype(float)
    return EventList(same, same, energy, time=time, dialect="esass", name="", gti={}, **integers, **pixels)


def test_equal_rows_of_one_list_are_two_photons(tmp_path):
    twins = planted(TIME=START + np.array([1.0, 1.0, 2.0]), RAWX=[7, 7, 7], RAWY=[9, 9, 9])
    other = planted(TIME=START + np.array([1.0, 3.0]), RAWX=[7, 7], RAWY=[9, 9])
    events = read_many([write_esass(tmp_path / "a.fits", twins), write_esass(tmp_path / "b.fits", other)])
    assert np.sort(events.time - START).tolist() == [1.0, 1.0, 2.0, 3.0]


def test_a_list_without_intervals_is_not_judged_by_those_of_another(tmp_path):
    early = write_esass(tmp_path / "a.fits", planted(TIME=START + np.array([1.0, 2.0])), {1: [(START, START + 10)]})
    late = write_esass(tmp_path / "b.fits", planted(TIME=START + np.array([100.0, 200.0])), {})
    assert len(select(read_many([early, late]))) == 4


@pytest.mark.parametrize("same", ["path", "bytes", "content"])
def test_the_same_list_given_twice(tmp_path, same):
    first = second = write_esass(tmp_path / "first.fits", photons())
    if same == "bytes":
        (second := tmp_path / "second.fits").write_bytes(first.read_bytes())
    if same == "content":
        second = write_esass(tmp_path / "second.fits", photons(), OBJECT="another header")
    with pytest.raises(InputError, match=rf"{second.name}: holds the same event list as .*first\.fits.*Remove one"):
        read_many([first, write_esass(tmp_path / "other.fits", photons(seed=2)), second])


def test_lists_of_different_kinds_are_refused(tmp_path):
    paths = [write_esass(tmp_path / "a.fits", photons()), write_sixte_events(tmp_path / "b.fits", photons(seed=2))]
    with pytest.raises(InputError, match=r"different kinds \(esass, sixte_events\)"):
        read_many(paths)


def test_no_list_at_all():
    with pytest.raises(InputError, match="No event list is given"):
        read_many([])


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

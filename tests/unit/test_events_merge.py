"""Several event lists of one field: joined, and each photon that two of them share counted once."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from event_lists import START, photons, planted, read_many, select, write_esass, write_sixte_events
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.errors import InputError
from clustermass.events import merge
from clustermass.events.eventlist import EventList, mean_exposure_s
from clustermass.events.read import stream_events


def test_modules_are_joined(tmp_path):
    paths = [write_sixte_events(tmp_path / f"ccd{n}.fits", photons(seed=n), module=n) for n in (1, 2, 5)]
    events = read_many(paths)
    assert np.bincount(events.tm_nr).tolist() == [0, 200, 200, 0, 0, 200]
    assert sorted(events.gti) == [1, 2, 5]
    assert mean_exposure_s(events) == pytest.approx(3 * 1600 / 7)


def tables_of(path):
    with fits.open(path) as hdus:
        return [fits.BinTableHDU(hdu.data.copy(), hdu.header) for hdu in hdus[1:]]


@pytest.mark.parametrize("together", [True, False], ids=["each beside its GTI", "all GTI last"])
def test_tables_of_two_modules_in_one_file_are_both_read(tmp_path, together):
    hdus = []
    for module, stop in ((1, 500.0), (6, 1600.0)):
        path = write_sixte_events(tmp_path / f"ccd{module}.fits", photons(seed=module), module=module)
        hdus.append(tables_of(path))
        hdus[-1][1].data["STOP"] = START + stop
    tables = [*hdus[0], *hdus[1]] if together else [hdus[0][0], hdus[1][0], hdus[0][1], hdus[1][1]]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(tmp_path / "both.fits")
    events = read_many([tmp_path / "both.fits"])
    assert np.bincount(events.tm_nr).tolist() == [0, 200, 0, 0, 0, 0, 200]
    assert {module: rows.tolist() for module, rows in events.gti.items()} == {
        1: [[START, START + 500]],
        6: [[START, START + 1600]],
    }
    with pytest.raises(InputError, match="2 tables EVENTS"):
        list(stream_events(tmp_path / "both.fits"))


def test_a_table_twice_in_one_file_is_refused(tmp_path):
    table = tables_of(write_esass(tmp_path / "one.fits", photons()))[0]
    fits.HDUList([fits.PrimaryHDU(), table, table.copy()]).writeto(tmp_path / "twice.fits")
    with pytest.raises(InputError, match=r"EVENTS 2 of 2\): holds the same event list as .*EVENTS 1 of 2"):
        read_many([tmp_path / "twice.fits"])


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
    """Like those of eFEDS, they follow in time, have sky pixels about different centres, and overlap on the sky."""
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
    for pieces, bucket in ((1, 3), (5, 1), (100, 1000)):
        assert search_in_pieces(table, pieces, bucket).tolist() == expected


def search_in_pieces(table, rows, bucket):
    """Return which rows of (list, time, module, pixel) are repeated, searched in pieces of `rows` rows."""
    lists = [table[table[:, 0] == number] for number in range(3)]
    starts = np.cumsum([0, *map(len, lists)]).tolist()
    spans = [
        {module: (times.min(), times.max()) for module in (1, 2) if (times := part[part[:, 2] == module, 1]).size}
        for part in lists
    ]
    pieces = [[event_list(*part[i : i + rows, 1:].T) for i in range(0, len(part), rows)] for part in lists]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(merge, "_BUCKET_ROWS", bucket)
        return merge.find_repeated(pieces, starts, spans, ("rawx", "rawy"), Path(folder))


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


def test_a_list_without_intervals_is_not_cut_by_those_of_another(tmp_path):
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

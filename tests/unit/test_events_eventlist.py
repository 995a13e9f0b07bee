"""What is cut from an event list: flags, patterns, energies, and what lies outside the good time intervals."""

import logging
import re
from dataclasses import replace

import numpy as np
import pytest
from event_lists import START, STOP, photons, planted, select, write_esass, write_sixte_calibrated
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.errors import InputError
from clustermass.events.eventlist import Selection, flag_mask_of, inside, mean_exposure_s, union
from clustermass.events.read import read_events, stream_events


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


@pytest.mark.parametrize(
    ("name", "masks", "message"),
    [
        ("flag_mask", ["atuo", "", 2**32, True, 1.5], r"events\.flag_mask is .*auto or a number of 32 bits"),
        ("pattern_mask", [0, 16, -1, True], r"events\.pattern is"),
    ],
)
def test_masks_that_make_no_sense_are_refused(tmp_path, name, masks, message):
    events = read_events(write_esass(tmp_path / "events.fits", photons()))
    for mask in masks:
        with pytest.raises(InputError, match=message):
            select(events, **{name: mask})


@pytest.mark.parametrize(("mask", "kept"), [(1, [1]), (3, [1, 2]), (7, [1, 2, 3]), (15, [1, 2, 3, 4]), (10, [2, 4])])
def test_pattern_mask_keeps_its_bits_and_never_an_invalid_pattern(tmp_path, mask, kept):
    events = read_events(write_esass(tmp_path / "events.fits", planted(PAT_TYP=[-3, 0, 1, 2, 3, 4, 5, 17])))
    assert select(events, pattern_mask=mask).pat_typ.tolist() == kept


def test_energy_range_has_its_lower_edge_only(tmp_path):
    events = read_events(write_esass(tmp_path / "events.fits", planted(PI=[249.99, 250.0, 2299.9, 2300.0])))
    assert select(events, energy_ev=(250, 2300)).pi_ev.tolist() == [250.0, np.float32(2299.9)]


def test_each_photon_is_cut_by_the_intervals_of_its_own_module(tmp_path, caplog):
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
    caplog.clear()
    select(replace(events, dialect="clustermass"))  # our own, selected before: as those of images, which have no GTI
    assert "no GTI" not in caplog.text


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


def test_photons_of_other_modules_are_dropped_and_their_exposure_with_them(tmp_path, caplog):
    gti = {module: [(START, START + 100.0 * module)] for module in range(1, 8)}
    columns = planted(TM_NR=np.repeat(np.arange(8), 20))
    events = read_events(write_esass(tmp_path / "events.fits", columns, gti))
    selection = Selection(modules=[1, 2, 3, 4, 6])
    with caplog.at_level(logging.INFO, "clustermass"):
        kept = selection.keep(events)
        selection.conclude()
    assert sorted(set(kept.tm_nr.tolist())) == [0, 1, 2, 3, 4, 6], "those without a module can't be told apart"
    assert selection.share() == pytest.approx(1600 / 2800)
    assert "dropped by modules but TM1, TM2, TM3, TM4, TM6: 40," in caplog.text
    again = Selection(modules=[1, 2, 3, 4, 6])
    again.keep(kept)
    assert again.share() == 1.0, "what was left out once is not taken off again"
    assert select(events).tm_nr.size == 160
    with pytest.raises(InputError, match=r"removes every one .*Set events.modules to those of the list: TM5, TM7"):
        select(events.take(np.isin(events.tm_nr, [5, 7])), modules=[1])


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


def test_the_log_sums_what_the_cuts_drop_over_all_pieces(tmp_path, caplog):
    columns = planted(FLAG=[0x8000, 0, 0, 0, 0], PAT_TYP=[1, 5, 1, 1, 1], TM_NR=[1, 1, 1, 1, 2])
    columns["TIME"] = START + np.array([1, 1, 5000, 1, 1.0])
    path = write_esass(tmp_path / "events.fits", columns, {1: [(START, START + 10)]})
    selection = Selection()
    with caplog.at_level(logging.INFO, "clustermass"):
        kept = sum(len(selection.keep(piece)) for piece in stream_events(path, 1))
        selection.conclude()
    assert kept == len(select(read_events(path))) == 2
    assert "5 events; dropped by flag mask 0xC000F000: 1, pattern 15: 1, GTI: 1; left: 2" in caplog.text
    assert caplog.text.count("no GTI for TM2; all their 1 events are kept") == 2  # once by pieces, once by `select`


def test_a_cut_that_removes_everything_from_all_pieces_is_an_error(tmp_path):
    path = write_esass(tmp_path / "events.fits", planted(FLAG=[0x8000, 0x8000, 0x9000]))
    selection = Selection()
    for piece in stream_events(path, 1):
        selection.keep(piece)
    with pytest.raises(InputError, match=r"every one of the 3 events.*share the bits 0x00008000"):
        selection.conclude()

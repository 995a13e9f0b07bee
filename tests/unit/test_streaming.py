"""Event lists piece by piece: the same photons, messages and images as from the whole list, in bounded memory."""

import gzip
import logging
import tracemalloc
from functools import partial

import numpy as np
import pytest
from astropy.io import fits
from event_lists import START, photons, planted, select, write_esass, write_sixte_calibrated, write_sixte_events
from images_inputs import cube

from clustermass.errors import InputError
from clustermass.events.read import read_events, stream_events
from clustermass.events.select import Selection
from clustermass.events.write import write_events
from clustermass.images import cutouts as extraction
from clustermass.images.geometry import ImageGeometry
from clustermass.images.sky_index import ImageStack

WRITERS = {"esass": write_esass, "sixte_calibrated": write_sixte_calibrated, "sixte_events": write_sixte_events}


def own(path, columns):
    write_events([select(read_events(write_esass(path.with_name("esass.fits"), columns)))], path, {})
    return path


@pytest.mark.parametrize("dialect", [*WRITERS, "clustermass", "gzipped"])
@pytest.mark.parametrize("rows", [37, 200, 10_000])
def test_the_pieces_together_are_the_whole_list(tmp_path, dialect, rows):
    path = {**WRITERS, "clustermass": own}.get(dialect, write_esass)(tmp_path / "events.fits", photons())
    if dialect == "gzipped":
        (path := tmp_path / "events.fits.gz").write_bytes(gzip.compress((tmp_path / "events.fits").read_bytes()))
    whole, pieces = read_events(path), list(stream_events(path, rows))
    assert sum(map(len, pieces)) == len(whole) == 200
    for name, column in whole.columns().items():
        np.testing.assert_array_equal(np.concatenate([piece.columns()[name] for piece in pieces]), column)
    for name in ("dialect", "name", "sky_reference", "exposure_s", "simulated"):
        assert {getattr(piece, name) for piece in pieces} == {getattr(whole, name)}
    assert all(piece.gti.keys() == whole.gti.keys() for piece in pieces)


def test_a_fault_is_named_with_its_row_in_the_file(tmp_path):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["TIME"][150] = np.nan
    with pytest.raises(InputError, match=r"row 151: TIME is nan.*\(1 of rows 121 to 160 are so\)"):
        list(stream_events(path, 40))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_list_cut_short_gives_not_even_its_first_piece(tmp_path, share):
    path = write_esass(tmp_path / "events.fits", photons(2000))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="truncated or damaged"):
        next(stream_events(path, 10))


def test_pieces_without_photons_are_no_fault_but_a_list_without_is(tmp_path):
    columns = planted(PAT_TYP=[2, 2, 2], PI=[500.0, 600.0, 700.0])
    path = write_sixte_calibrated(tmp_path / "cal.fits", columns)
    assert [len(piece) for piece in stream_events(path, 1)] == [1, 0, 1, 0, 1, 0]
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["PI"] = -5
    with pytest.raises(InputError, match="every one of 6 rows has PI < 0"):
        list(stream_events(path, 1))


def test_what_the_cuts_drop_is_told_once_for_all_pieces(tmp_path, caplog):
    columns = planted(
        FLAG=[0x8000, 0, 0, 0, 0],
        PAT_TYP=[1, 5, 1, 1, 1],
        TIME=START + np.array([1, 1, 5000, 1, 1.0]),
        TM_NR=[1] * 4 + [2],
    )
    path = write_esass(tmp_path / "events.fits", columns, {1: [(START, START + 10)]})
    selection = Selection()
    with caplog.at_level(logging.INFO, "clustermass"):
        kept = sum(len(selection.keep(piece)) for piece in stream_events(path, 1))
        selection.conclude()
    assert kept == len(select(read_events(path))) == 2
    assert "5 events; dropped by flag mask 0xC000F000: 1, pattern 15: 1, GTI: 1; left: 2" in caplog.text
    assert caplog.text.count("no GTI for TM2; all their 1 events are kept") == 2  # once by pieces, once by `select`


def test_a_cut_that_removes_everything_is_told_from_all_pieces(tmp_path):
    path = write_esass(tmp_path / "events.fits", planted(FLAG=[0x8000, 0x8000, 0x9000]))
    selection = Selection()
    for piece in stream_events(path, 1):
        selection.keep(piece)
    with pytest.raises(InputError, match=r"every one of the 3 events.*share the bits 0x00008000"):
        selection.conclude()


GEOMETRY = ImageGeometry(box_pixels=60, pixel_sky=80, base_rebin=3, edges_ev=(250, 455, 660))


def test_images_do_not_depend_on_the_pieces(tmp_path, monkeypatch):
    ra, dec = np.array([136.0, 136.02, 140.0]), np.array([1.5, 1.48, 1.5])
    path = write_esass(tmp_path / "events.fits", photons(5000, width_deg=0.1))
    found = []
    for rows in (333, 1000, 10_000):
        monkeypatch.setattr(extraction, "stream_events", partial(stream_events, rows=rows))
        counts, _, modules = extraction.count_list(path, Selection(), ImageStack(ra, dec, GEOMETRY))
        assert modules == set(range(1, 8))
        found.append(counts)
        if rows == 333:
            events = read_events(path)
            for image, centre in zip(counts, zip(ra, dec, strict=True), strict=True):
                # each 3 x 3 block of the naive cube of all photons
                naive = cube(events, *centre, GEOMETRY).reshape(2, 20, 3, 20, 3).sum(axis=(2, 4))
                np.testing.assert_array_equal(image, naive)
    assert found[0][:2].sum(axis=(1, 2, 3)).min() > 50
    assert found[0][2].sum() == 0
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_bright_pixels_are_counted_to_the_last_that_can_be_stored(tmp_path):
    stack = ImageStack(np.array([136.0]), np.array([1.5]), GEOMETRY)
    piece = read_events(write_esass(tmp_path / "events.fits", planted(PI=[300.0] * 13107 + [500.0])))
    for _ in range(5):
        stack.add(piece)
    assert stack.counts.max() == 5 * 13107 == 65535
    assert stack.counts.sum(dtype=int) == 5 * 13108
    with pytest.raises(InputError, match="78642 photons, more than the 65535"):
        stack.add(piece)


def long_list(path, number):
    """Write `number` photons with as little work as there can be."""
    columns = [fits.Column(name, form, array=np.full(number, value)) for name, form, value in LONG]
    table = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


LONG = [("TIME", "D", START), ("RA", "D", 136.0), ("DEC", "D", 1.5), ("PI", "E", 1000.0), ("TM_NR", "B", 1)]
LONG += [("PAT_TYP", "I", 1), ("FLAG", "J", 0)]


def test_memory_does_not_grow_with_the_list(tmp_path):
    peaks = {}
    for number in (40_000, 600_000):
        path = long_list(tmp_path / f"{number}.fits", number)
        tracemalloc.start()
        assert sum(map(len, stream_events(path, 20_000))) == number
        peaks[number] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[600_000] < 1.2 * peaks[40_000] < 10e6 < path.stat().st_size

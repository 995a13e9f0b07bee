"""Event lists read piece by piece: the same bytes as from all photons at once, in memory that doesn't grow."""

import gzip
import tracemalloc
from contextlib import closing
from functools import partial, partialmethod

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from event_lists import START, STOP, photons, planted, sin_projection, whole, write_esass, write_sixte_events

from clustermass.events import merge
from clustermass.events.read import EventTable, event_tables, stream_events
from clustermass.events.write import StoredEvents
from clustermass.ingest.user_field import ingest_field
from clustermass.io import fits as io_fits
from clustermass.io.products import FieldFiles

EVENTS = {"flag_mask": "auto", "pattern": 15}
OUTPUTS = ("events", "exposure", "catalogue", "truth", "matches", "labels")
GTI = {1: [(START, START + 1500.0)], 2: [(START, STOP)], 5: [(START, STOP)]}


def in_pieces(patch, rows):
    patch.setattr(merge, "event_tables", partial(event_tables, rows=rows))
    patch.setattr(EventTable, "stream", partialmethod(EventTable.stream, rows=rows))
    patch.setattr(merge, "_BUCKET_ROWS", rows)


def some(columns, rows):
    return {name: values[rows] for name, values in columns.items()}


def field(folder, **files):
    (folder / "mine.csv").write_text("ID_SRC,RA,DEC,Z\n1,136.0,1.5,0.3\n2,136.1,1.4,0.4\n")
    return {"observed": "truth" not in files, "realizations": {"01": {"catalogue": str(folder / "mine.csv"), **files}}}


def ingest(sky, folder):
    outputs = {name: folder / f"{name}.fits" for name in OUTPUTS}
    ingest_field(sky, "01", EVENTS, FieldFiles(**outputs))
    return outputs


def crowded(number, seed):
    """Photons of which many share time, module and pixel, in no order, with a flag or a bad pattern here and there."""
    rng = np.random.default_rng(seed)
    return photons(number, seed=seed) | {
        "TIME": START + rng.integers(0, number // 5, number) * (STOP - START) * 5 / number,
        "TM_NR": rng.choice([1, 2, 5], number),
        "RAWX": rng.integers(0, 3, number),
        "RAWY": rng.integers(0, 2, number),
        "FLAG": np.where(rng.random(number) < 0.05, 0x8000, 0),
        "PAT_TYP": rng.integers(0, 5, number),
    }


def expected_rows(lists):
    """Rows of our own list, by numpy alone: from all photons at once, the first list's of those that are equal."""
    table = {name: np.concatenate([columns[name] for columns in lists]) for name in lists[0]}
    origin = np.repeat(np.arange(len(lists)), [len(columns["RA"]) for columns in lists])
    keys = np.stack([table[name] for name in ("TIME", "TM_NR", "RAWX", "RAWY")], axis=1)
    same = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    first = np.full(same.max() + 1, len(lists))
    np.minimum.at(first, same, origin)
    keep = (origin == first[same]) & (table["FLAG"] == 0) & (table["PAT_TYP"] > 0)
    keep &= (table["TM_NR"] != 1) | (table["TIME"] <= GTI[1][0][1])
    rows = np.zeros(keep.sum(), dtype="S0,>f8,>i4,>i4,>f4,u1,>i2,>i4")
    for place, name in enumerate(("TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP"), start=1):
        values = np.rint(table[name] * 1e6) if name in ("RA", "DEC") else table[name]
        rows[f"f{place}"] = values[keep]
    return rows, (origin != first[same]).sum()


def rows_of(path):
    """Bytes of the rows of an event list of ours, as they lie in the file."""
    with fits.open(path) as hdus:
        where, header = hdus["EVENTS"].fileinfo()["datLoc"], hdus["EVENTS"].header
    return path.read_bytes()[where : where + header["NAXIS1"] * header["NAXIS2"]]


@pytest.mark.parametrize("rows", [97, 1000, 100_000])
def test_joined_lists_are_byte_for_byte_those_found_all_at_once(tmp_path, monkeypatch, caplog, rows):
    sky_photons = crowded(3000, 1)
    order = np.random.default_rng(2).permutation(3000)
    lists = [some(sky_photons, order[part]) for part in (slice(0, 1400), slice(900, 2300), slice(500, 3000))]
    paths = [str(write_esass(tmp_path / f"{n}.fits", columns, GTI)) for n, columns in enumerate(lists)]
    in_pieces(monkeypatch, rows)
    with caplog.at_level("INFO", "clustermass"):
        outputs = ingest(field(tmp_path, events=paths, exposure_s=900.0), tmp_path / "out")
    expected, dropped = expected_rows(lists)
    assert 1500 < dropped < 3000 < len(expected) + dropped
    assert rows_of(outputs["events"]) == expected.tobytes()
    assert f"3 event lists joined: 5300 photons, {dropped} repeated ones dropped" in caplog.text
    assert f"left: {len(expected)}" in caplog.text


@pytest.mark.parametrize("kind", ["one", "gzipped", "joined", "simulated"])
def test_files_do_not_depend_on_the_pieces(tmp_path, monkeypatch, caplog, kind):
    files = {"events": [str(write_esass(tmp_path / "a.fits", photons(3000), GTI))]}
    if kind == "gzipped":
        packed = tmp_path / "a.fits.gz"
        packed.write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
        files["events"] = [str(packed)]
        monkeypatch.setattr(io_fits, "_IN_MEMORY_BYTES", 1000)  # unpacked to the disk
    if kind == "joined":
        files["events"].append(str(write_esass(tmp_path / "b.fits", crowded(2000, 3))))
    if kind == "simulated":
        (tmp_path / "halos.csv").write_text("SRC_ID,RA,DEC,Z,M500C\n1,136,1.5,0.3,2e14\n2,136.1,1.4,0.4,1e14\n")
        labels = np.random.default_rng(4).integers(-1, 3, 3000)
        columns = photons(3000, width_deg=0.3) | {"SRC_ID": labels}
        modules = [some(columns, slice(n, None, 2)) for n in (0, 1)]
        files["events"] = [
            str(write_sixte_events(tmp_path / f"ccd{n}.fits", part, n)) for n, part in enumerate(modules, start=1)
        ]
        files["truth"] = str(tmp_path / "halos.csv")
    made, logged = [], []
    for rows in (100_000, 131):
        caplog.clear()
        with monkeypatch.context() as patch, caplog.at_level("INFO", "clustermass"):
            in_pieces(patch, rows)
            outputs = ingest(field(tmp_path, **files), tmp_path / str(rows))
        made.append({name: path.read_bytes() for name, path in outputs.items() if path.exists()})
        logged.append(caplog.messages)
    assert len(made[0]) == (6 if kind == "simulated" else 3)
    assert made[0] == made[1]
    assert logged[0] == logged[1]


def test_nothing_is_left_where_a_later_piece_is_faulty(tmp_path, monkeypatch):
    path = write_esass(tmp_path / "a.fits", photons(500))
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["PI"][400] = np.nan
    in_pieces(monkeypatch, 50)
    with pytest.raises(Exception, match="row 401: energy is nan"):
        ingest(field(tmp_path, events=[str(path)]), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_checksum_of_a_long_list_shows_a_flipped_bit(tmp_path, monkeypatch):
    path = write_esass(tmp_path / "a.fits", photons(2000))
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    in_pieces(monkeypatch, 50)
    sky = field(tmp_path, events=[str(path)])
    ingest(sky, tmp_path / "out")
    path.write_bytes(content)
    with pytest.raises(Exception, match=r"a\.fits: truncated or damaged FITS file \(Datasum verification failed"):
        ingest(sky, tmp_path / "again")


def test_stored_photons_come_back_however_often_they_are_asked_for(tmp_path):
    pieces = list(stream_events(write_esass(tmp_path / "a.fits", photons(300)), 100))
    with closing(StoredEvents(tmp_path, without=("x", "y"))) as stored:
        for number, piece in enumerate(pieces, start=1):
            stored.add(piece)
            for _ in range(2):
                found = whole(stored)
                assert len(stored) == len(found) == 100 * number
                for name, column in found.columns().items():
                    expected = np.concatenate([getattr(given, name) for given in pieces[:number]])
                    np.testing.assert_array_equal(column, expected)
        assert {"time", "rawx"} <= set(found.columns())
        assert found.x is None


def test_a_right_ascension_of_360_is_0(tmp_path):
    path = write_esass(tmp_path / "a.fits", planted(RA=[359.9, 360.0, 0.1]))
    assert whole(stream_events(path)).ra.tolist() == pytest.approx([359.9, 0.0, 0.1])


def exposure_map(path):
    wcs = sin_projection([136.0, 1.5], 0.01, [30.5, 30.5])
    fits.PrimaryHDU(np.full((60, 60), 900.0), wcs.to_header()).writeto(path)
    return str(path)


@pytest.mark.parametrize("kind", ["one", pytest.param("joined", marks=pytest.mark.long), "simulated"])
def test_memory_does_not_grow_with_the_lists(tmp_path, monkeypatch, kind):
    """From 20,000 photons a list to 160,000 in pieces of 2,000: peaks differ by less than half of a column's growth."""
    in_pieces(monkeypatch, 2000)
    files = {"exposure": exposure_map(tmp_path / "map.fits")}
    if kind == "simulated":
        Table({"SRC_ID": [1], "RA": [136.0], "DEC": [1.5], "Z": [0.3], "M500C": [2e14]}).write(tmp_path / "halos.csv")
        files["truth"] = str(tmp_path / "halos.csv")
    peaks = []
    for number in (20_000, 160_000):
        folder = tmp_path / str(number)
        folder.mkdir()
        columns = photons(number, seed=number) | {"SRC_ID": np.arange(number) % 5}
        if kind == "simulated":
            paths = [write_sixte_events(folder / "a.fits", columns)]
        else:
            order = np.random.default_rng(5).permutation(number)
            parts = [columns, some(columns, order[: number // 2]) | {"RAWX": np.arange(number // 2) % 384}]
            paths = [write_esass(folder / f"{n}.fits", part) for n, part in enumerate(parts[: 1 + (kind == "joined")])]
        del columns
        tracemalloc.start()
        outputs = ingest(field(tmp_path, events=list(map(str, paths)), **files), folder / "out")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(rows_of(outputs["events"])) >= 27 * number
    assert abs(peaks[1] - peaks[0]) < 140_000 * 8 / 2, peaks

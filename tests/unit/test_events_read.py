"""Reading event lists: every dialect in one form, whole and in pieces, and what can be wrong with a file."""

import bz2
import gzip
import json
import logging
import lzma
import tracemalloc

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
from clustermass.events.read import read_events, stream_events
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


@pytest.mark.parametrize(
    ("write", "unit", "name"),
    [
        *((write_sixte_events, *case) for case in [("rad", "RA"), ("MeV", "SIGNAL"), ("d", "TIME")]),
        *(
            (write_esass, *case)
            for case in [("h", "RA"), ("chan", "PI"), ("adu", "PI"), ("keV", "PI"), ("arcsec", "DEC")]
        ),
    ],
)
def test_a_column_in_another_unit_is_refused(tmp_path, write, unit, name):
    path = write(tmp_path / "events.fits", photons())
    with fits.open(path, mode="update") as hdus:
        hdus[1].header[f"TUNIT{hdus[1].columns.names.index(name) + 1}"] = unit
    with pytest.raises(InputError, match=rf"column {name} of table EVENTS is in {unit}, but must be in"):
        read_events(path)


def test_words_that_are_no_units_pass(tmp_path):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path, mode="update") as hdus:
        hdus[1].header[f"TUNIT{hdus[1].columns.names.index('RA') + 1}"] = "degree"
        hdus[1].header[f"TUNIT{hdus[1].columns.names.index('TIME') + 1}"] = "seconds of time"
    assert len(read_events(path)) == len(photons()["RA"])


@pytest.mark.parametrize(
    ("table", "cards", "message"),
    [
        (1, {"TIMEZERO": 1000.0}, "table EVENTS has TIMEZERO = 1000"),
        (2, {"TIMEZERO": -3.5}, r"table GTI1 has TIMEZERO = -3\.5"),
        (2, {"TUNIT1": "d"}, "column START of table GTI1 is in d, but must be in s"),
        (0, {"RADESYS": "FK4"}, "the frame FK4"),
        (1, {"EPOCH": 1950.0}, "the frame 1950"),
    ],
)
def test_what_a_header_states_of_times_and_frames_is_not_ignored(tmp_path, table, cards, message):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path, mode="update") as hdus:
        hdus[table].header.update(cards)
    with pytest.raises(InputError, match=rf"events\.fits: .*{message}"):
        read_events(path)


@pytest.mark.parametrize(("table", "name"), [(1, "RA"), (1, "PI"), (2, "START")])
def test_columns_that_differ_only_in_case_are_refused(tmp_path, table, name):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path) as hdus:
        whole = [hdu.copy() for hdu in hdus]
    data, header = whole[table].data, whole[table].header
    other = fits.Column(name.lower(), "D", array=np.asarray(data[name], float) + 1)
    whole[table] = fits.BinTableHDU.from_columns([*data.columns, other], name=header["EXTNAME"])
    whole[table].header["CREATOR"] = header.get("CREATOR", "")
    fits.HDUList(whole).writeto(path, overwrite=True)
    with pytest.raises(InputError, match=rf"several columns of table \w+ are called {name}, {name.lower()}\. Rename"):
        read_events(path)


@pytest.mark.parametrize("shape", ["(1)", "(0)", "(1,1)"])
def test_columns_that_state_a_shape_of_one_value_are_read(tmp_path, shape):
    plain = read_events(path := write_esass(tmp_path / "events.fits", photons()))
    with fits.open(path, mode="update") as hdus:
        for number in range(1, len(hdus[1].columns) + 1):
            hdus[1].header[f"TDIM{number}"] = shape
    events = read_events(path)
    for name, values in plain.columns().items():
        np.testing.assert_array_equal(events.columns()[name], values, err_msg=name)
    assert len(select(events)) == len(select(plain))


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("2.0", r"column TIME of table EVENTS .*'2\.0'.* must hold one number a row"),
        (0, r"column TIME has TSCAL = 0, by which all its cells are equal\."),
    ],
)
def test_an_impossible_scale_is_refused(tmp_path, scale, message):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path, mode="update") as hdus:
        hdus[1].header[f"TSCAL{hdus[1].columns.names.index('TIME') + 1}"] = scale
    with pytest.raises(InputError, match=message):
        read_events(path)


def test_good_times_of_several_numbers_a_row_are_refused(tmp_path):
    path = write_esass(tmp_path / "events.fits", photons())
    with fits.open(path) as hdus:
        (place, *_) = [number for number, hdu in enumerate(hdus) if "GTI" in hdu.name]
        columns = [fits.Column(name, "2D", array=[[START, STOP]]) for name in ("START", "STOP")]
        hdus[place] = fits.BinTableHDU.from_columns(columns, name=hdus[place].name)
        hdus.writeto(tmp_path / "more.fits")
    with pytest.raises(InputError, match=r"START or STOP of table GTI\d* doesn't hold one number a row"):
        read_events(tmp_path / "more.fits")


@pytest.mark.parametrize(("names", "form"), [(("RAWX", "RAWY"), "3A"), (("SRC_ID",), "3A"), (("SRC_ID",), "0J")])
def test_further_columns_in_another_form_are_not_used(tmp_path, names, form):
    path = write_sixte_events(tmp_path / "events.fits", columns := photons())
    with fits.open(path) as hdus:
        kept = [column for column in hdus[1].columns if column.name not in names]
        array = np.full(len(columns["RA"]), "abc") if form == "3A" else None
        odd = fits.ColDefs(kept + [fits.Column(name, form, array=array) for name in names])
        hdus[1] = fits.BinTableHDU.from_columns(odd, hdus[1].header.copy(strip=True), name="EVENTS")
        hdus.writeto(tmp_path / "odd.fits")
    read = read_events(tmp_path / "odd.fits")
    assert not {name.lower() for name in names} & read.columns().keys()
    np.testing.assert_array_equal(read.ra, read_events(path).ra)


def test_gzipped_lists_read_the_same(tmp_path):
    path = write_esass(tmp_path / "events.fits", photons())
    (tmp_path / "events.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    for plain, packed in zip(
        read_events(path).columns().values(), read_events(tmp_path / "events.fits.gz").columns().values(), strict=True
    ):
        np.testing.assert_array_equal(plain, packed)


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_lists_packed_by_bzip2_and_xz_read_the_same_whatever_their_name(tmp_path, pack):
    path = write_esass(tmp_path / "events.fits", photons())
    (tmp_path / "packed").write_bytes(pack(path.read_bytes()))
    np.testing.assert_array_equal(read_events(tmp_path / "packed").ra, read_events(path).ra)
    (tmp_path / "packed").write_bytes(pack(path.read_bytes())[:-2000])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_events(tmp_path / "packed")


def test_an_fpacked_list_is_refused_with_the_command_that_unpacks_it(tmp_path):
    path = write_esass(tmp_path / "events.fits.fz", photons())
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["ZTABLE"] = True
    with pytest.raises(
        InputError, match=r"events.fits.fz: table EVENTS is compressed by fpack.*funpack -O events.fits "
    ):
        read_events(path)


def test_a_file_of_another_kind_is_called_by_it(tmp_path):
    (tmp_path / "mine.csv").write_text("ID_SRC,RA,DEC,Z\n1,2,3,0.4\n")
    with pytest.raises(InputError, match=r"begins with 'ID_SRC,RA,DEC,Z', not with SIMPLE.*The event lists come first"):
        read_events(tmp_path / "mine.csv")
    (tmp_path / "list.zip").write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(InputError, match="it is packed; unpack it first, by unzip"):
        read_events(tmp_path / "list.zip")
    with pytest.raises(InputError, match=r"is a folder. Name the file in it.*The event lists come first"):
        read_events(tmp_path)


def test_a_table_of_sources_is_no_event_list(tmp_path):
    columns = [fits.Column(name, "D", array=[1.0]) for name in ("RA", "DEC", "ML_RATE", "EXT", "TYPE")]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="SOURCES")]).writeto(
        tmp_path / "s.fits"
    )
    with pytest.raises(
        InputError, match=r"SOURCES is one of sources, without TIME and PI\. The event lists come first"
    ):
        read_events(tmp_path / "s.fits")


@pytest.mark.parametrize("value", ["", "unknown", None])
def test_sky_pixels_without_a_reference_position_do_no_harm(tmp_path, value):
    path = write_esass(tmp_path / "events.fits", photons())
    assert read_events(path).sky_reference == (136.0, 1.5)
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TCRVL4"] = value
    events = read_events(path)
    assert events.sky_reference is None
    assert len(events) == 200


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


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone\.fits: no such file"):
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
    with pytest.raises(
        InputError,
        match=rf"column PI of table EVENTS has the format {form}, TSCAL and TZERO .*, but must hold one number a row",
    ):
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


def long_list(path, number):
    """Write a list of `number` photons quickly."""
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

"""What can be wrong with an event file: each fault is told by its name."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from event_lists import START, STOP, WRITERS, photons, write_esass, write_sixte_events

from clustermass.errors import InputError
from clustermass.events.read import read_events


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

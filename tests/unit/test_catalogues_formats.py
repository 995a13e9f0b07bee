"""A table of clusters gives the same clusters in every file format."""

import bz2
import gzip
import lzma
import re
import warnings
from base64 import b64decode, b64encode
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table

from clustermass.catalogues.formats import read_table
from clustermass.catalogues.plain import plain_text
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError

CATPREP = Path(__file__).parents[3] / "shared" / "data" / "esass" / "SourceCatalog.fits.gz"
COLUMNS = {"ID_SRC": [7, 9], "RA": [133.125, 12.5], "DEC": [-1.5, 2.25], "Z": [0.3, 0.5], "EXT": [30.0, 45.0]}


def check(path, **changed):
    """Check that a file holds the two clusters of `COLUMNS`."""
    table = read_catalogue(path)
    for name, values in (COLUMNS | changed).items():
        assert table[name].tolist() == pytest.approx(values, rel=1e-7), name


def text(path, lines, encoding="utf-8"):
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return path


def rows(separator, point="."):
    lines = [list(COLUMNS), *([f"{value}" for value in row] for row in zip(*COLUMNS.values(), strict=True))]
    return [separator.join(line).replace(".", point) for line in lines]


def test_a_null_that_the_type_cannot_hold_is_none(tmp_path):
    columns = [fits.Column(name, "D", array=values) for name, values in COLUMNS.items()]
    columns += [fits.Column("OWNER", "B", array=[2, 3]), fits.Column("NUMBER", "J", null=-99, array=[-99, 4])]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header["TNULL6"] = -99
    hdu.writeto(tmp_path / "t.fits")
    check(tmp_path / "t.fits")
    table = read_table(tmp_path / "t.fits")
    assert table["OWNER"].tolist() == [2, 3]
    assert table["NUMBER"].tolist() == [None, 4]


def test_a_column_that_nobody_needs_never_stops_a_table(tmp_path, caplog):
    columns = [fits.Column(name, "D", array=values) for name, values in COLUMNS.items()]
    hdu = fits.BinTableHDU.from_columns([*columns, fits.Column("ODD", "16A", array=["a", "b"])])
    hdu.header["TDIM6"] = "(5,7)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdu.writeto(tmp_path / "t.fits", output_verify="ignore")
    check(tmp_path / "t.fits")


def test_a_damaged_table_is_still_called_damaged(tmp_path):
    Table({name: np.resize(values, 4000) for name, values in COLUMNS.items()}).write(tmp_path / "t.fits")
    for share in (0.3, 0.9):
        cut = tmp_path / f"{share}.fits"
        cut.write_bytes((tmp_path / "t.fits").read_bytes()[: int(160000 * share)])
        with pytest.raises(InputError, match="truncated or damaged"):
            read_table(cut)


@pytest.mark.skipif(not CATPREP.is_file(), reason="the real catprep catalogue isn't beside the checkout")
def test_a_real_catprep_catalogue():
    table = read_table(CATPREP)
    assert (len(table), len(table.colnames)) == (481, 136)
    assert set(table["OWNER"].tolist()) == {2}
    assert (np.asarray(table["EXT_LIKE"]) > 0).sum() == 30


def test_units_of_the_quantitys_kind_are_converted_and_others_left(tmp_path, caplog):
    caplog.set_level("INFO")
    table = Table(COLUMNS | {"RA": [8.875, 12.5 / 15], "EXT": [0.5, 0.75], "EXT_LIKE": [7.0, 8.0]})
    table |= {"ML_EXP": [1.5, 2.0], "ML_RATE": [60.0, 90.0], "ML_BKG": [3600.0, 7200.0]}
    table |= {"Z_ERR": [1.0, 2.0]}
    given = {"RA": "h", "DEC": "deg", "EXT": "arcmin", "EXT_LIKE": "arcsec", "ML_EXP": "ks", "ML_RATE": "count/ks"}
    for name, unit in (given | {"ML_BKG": "count deg**(-2)", "Z_ERR": "%"}).items():
        table[name].unit = unit
    table.write(tmp_path / "t.fits")
    check(tmp_path / "t.fits", ML_EXP=[1500, 2000], ML_RATE=[0.06, 0.09], ML_BKG=[1, 2], EXT_LIKE=[7, 8])
    assert "EXT from arcmin to arcsec" in caplog.text
    assert "not heeded: EXT_LIKE [arcsec]" in caplog.text
    assert "ML_RATE from" in caplog.text


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        *(("ML_RATE", unit, 1.0) for unit in ("cts/s", "ct / s", "counts/sec", "1/s", "count s**(-1)")),
        *(("ML_EXP", unit, 1000.0) for unit in ("ks", "ksec", "KSEC")),
        *(("EXT", unit, 60.0) for unit in ("arcmin", "arcminutes", "arcmins")),
        *(("EXT", unit, 1.0) for unit in ("pixel", "", "what", "arcseconds")),
        ("ML_BKG", "cts arcmin-2", 1.0),
    ],
)
def test_units_as_people_write_them(tmp_path, name, unit, factor):
    table = fits.table_to_hdu(Table({"RA": [1.0], "DEC": [2.0], "Z": [0.3], name: [0.5]}))
    table.header["TUNIT4"] = unit
    table.writeto(tmp_path / "t.fits")
    assert read_catalogue(tmp_path / "t.fits")[name].tolist() == pytest.approx([0.5 * factor])


@pytest.mark.parametrize("unit", ["hourangle", "h", "rad", "arcmin", "deg"])
def test_right_ascension_by_its_unit(tmp_path, unit):
    table = Table(COLUMNS)
    per_degree = 1 / 15 if unit == "h" else units.deg.to(unit)
    table["RA"] = np.array(COLUMNS["RA"]) * per_degree
    table["RA"].unit = unit
    table.write(tmp_path / "t.ecsv")
    check(tmp_path / "t.ecsv")


@pytest.mark.parametrize("sign", ["\u2212", "\u2013", "\ufe63"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_minus_signs_of_word_processors(tmp_path, sign, encoding):
    check(text(tmp_path / "t.csv", [line.replace("-", sign) for line in rows(",")], encoding))


def test_a_row_with_too_few_cells_is_named(tmp_path, caplog):
    text(tmp_path / "t.csv", ["RA,DEC,NAME,Z", "136,1.5,a,0.3", "136,1.6,0.4", "136,1.7,c"])
    assert read_table(tmp_path / "t.csv")["NAME"].tolist() == ["a", "0.4", "c"]
    assert "t.csv: row 2 (and 1 more) has 3 cells for 4 columns" in caplog.text


def test_text_beyond_ascii_is_transliterated(tmp_path):
    header, *lines = rows(",")
    names = ["eFEDS J0852\u22120130", "Abell \u03b1 Bj\u00f6rn"]
    lines = [f"{line},{name}" for line, name in zip(lines, names, strict=True)]
    path = text(tmp_path / "t.csv", [header.replace("EXT", "R\u00e9f") + ",Name", *lines])
    table = read_catalogue(path, {"EXT": "R\u00e9f"})
    assert table["EXT"].tolist() == COLUMNS["EXT"]
    assert table["NAME_CAT"].tolist() == ["eFEDS J0852-0130", "Abell \\u03b1 Bjorn"]
    assert plain_text("\u2212\u00b5\u00e9\u00df\u4e2d") == "-\\u03bcess\\u4e2d"
    assert (
        plain_text("10\u207b\u00b9\u2074 erg/cm\u00b2, M\u2085\u2080\u2080, \u2460")
        == "10^-14 erg/cm^2, M_500, \\u2460"
    )
    # as spreadsheets of Windows write it
    windows = text(tmp_path / "w.csv", [f"{header},Name", *[f"{line},\u00e9" for line in rows(",")[1:]]], "cp1252")
    assert read_catalogue(windows)["NAME_CAT"].tolist() == ["e", "e"]


@pytest.mark.parametrize("text_of_bytes", [b"J09-\xe9", "J09\u2212\u00e9".encode()])
def test_bytes_beyond_ascii_in_fits(tmp_path, text_of_bytes):
    Table(COLUMNS | {"Name": [b"J08", text_of_bytes]}).write(tmp_path / "t.fits")
    assert read_catalogue(tmp_path / "t.fits")["NAME_CAT"].tolist() == ["J08", "J09-e"]


@pytest.mark.parametrize(
    "header",
    ["# ID_SRC RA DEC Z EXT", "#ID_SRC,RA,DEC,Z,EXT", "#  ID_SRC   RA  DEC  Z  EXT", "# ID_SRC, RA, DEC, Z, EXT"],
)
@pytest.mark.parametrize("separator", [",", " ", "\t", "  "])
def test_the_comment_above_the_data_is_their_header(tmp_path, header, separator):
    check(text(tmp_path / "t.csv", ["# made by hand, in 2 minutes", "#", header, *rows(separator)[1:]]))


def test_what_numpy_saves(tmp_path):
    columns = np.transpose(list(COLUMNS.values()))
    np.savetxt(tmp_path / "t.txt", columns, header="ID_SRC RA DEC Z EXT")
    check(tmp_path / "t.txt")
    np.savetxt(tmp_path / "t.csv", columns, header="ID_SRC,RA,DEC,Z,EXT", delimiter=",")
    check(tmp_path / "t.csv")
    np.savetxt(tmp_path / "bare.txt", columns)
    with pytest.raises(InputError, match=r"bare\.txt: its first line holds numbers"):
        read_catalogue(tmp_path / "bare.txt")


@pytest.mark.parametrize("separator", [" ", "   ", "\t", ";", "|", ", "])
@pytest.mark.parametrize("name", ["t.txt", "t.dat", "t", "t.csv"])
def test_separators_by_content(tmp_path, separator, name):
    check(text(tmp_path / name, rows(separator)))


@pytest.mark.parametrize("separator", [";", "\t", "  "])
def test_decimal_commas(tmp_path, separator, caplog):
    check(text(tmp_path / "t.csv", rows(separator, point=",")))
    assert "commas in RA, DEC, Z, EXT are taken for decimal points" in caplog.text


def test_decimal_commas_in_quotes_with_a_typographic_minus(tmp_path):
    lines = [",".join(f'"{cell}"' for cell in row.split(";")) for row in rows(";", point=",")]
    check(text(tmp_path / "t.csv", [line.replace("-", "\u2212") for line in lines]))


@pytest.mark.parametrize(
    "cells",
    [
        (["08:52:30", "00:50:00"], ["-01:30:00", "+02:15:00"]),
        (["08h52m30.0s", "0h50m00s"], ["-1d30m0s", "2d15m0s"]),
        (["08 52 30", "00 50 00"], ["-01 30 00.0", "+02 15 00"]),
        (["8:52,5", "133.125"], ["\u221201:30", "-1.5"]),
    ],
)
def test_sexagesimal_positions(tmp_path, cells):
    lines = ["ID_SRC;RA;DEC;Z", *(f"{n};{ra};{dec};0.3" for n, (ra, dec) in enumerate(zip(*cells, strict=True)))]
    table = read_catalogue(text(tmp_path / "t.csv", lines))
    same = cells[0][1] == "133.125"
    assert table["RA"].tolist() == pytest.approx([133.125, 133.125 if same else 12.5])
    assert table["DEC"].tolist() == pytest.approx([-1.5, -1.5 if same else 2.25])


def test_what_is_no_angle_is_named(tmp_path):
    lines = ["ID_SRC,RA,DEC,Z", "1,08:61:00,1,0.3"]
    with pytest.raises(InputError, match=r"column RA, row 1: '08:61:00' is neither deg nor an angle"):
        read_catalogue(text(tmp_path / "t.csv", lines))
    with pytest.raises(InputError, match=r"column RA, row 1: '133:00:00' is neither deg nor"):
        read_catalogue(text(tmp_path / "t.csv", [lines[0], "1,133:00:00,1,0.3"]))


@pytest.mark.parametrize("frame", ["icrs", "galactic", "fk5"])
@pytest.mark.parametrize("name", ["t.ecsv", "t.fits"])
def test_a_column_of_sky_coordinates(tmp_path, frame, name):
    place = SkyCoord(COLUMNS["RA"], COLUMNS["DEC"], unit="deg").transform_to(frame)
    table = QTable({"ID_SRC": COLUMNS["ID_SRC"], "place": place, "Z": COLUMNS["Z"], "EXT": [0.5, 0.75] * units.arcmin})
    table.write(tmp_path / name)
    check(tmp_path / name)


@pytest.mark.parametrize("names", [("GLON", "GLAT"), ("_Glon", "_Glat"), ("LII", "BII")])
@pytest.mark.parametrize("unit", ["deg", "rad"])
def test_galactic_coordinates_alone(tmp_path, names, unit):
    place = SkyCoord(COLUMNS["RA"], COLUMNS["DEC"], unit="deg").galactic
    rest = {name: values for name, values in COLUMNS.items() if name not in ("RA", "DEC")}
    Table(rest | {names[0]: place.l.to(unit), names[1]: place.b.to(unit)}).write(tmp_path / "t.fits")
    check(tmp_path / "t.fits")


def test_galactic_coordinates_that_are_none_are_named(tmp_path):
    path = text(tmp_path / "t.csv", ["ID_SRC,GLON,GLAT,Z", "1,230,30,0.3", "2,230,130,0.3"])
    with pytest.raises(InputError, match=r"column RA, row 2: nan is no position"):
        read_catalogue(path)
    # a right ascension goes before
    path = text(tmp_path / "t.csv", ["ID_SRC,GLON,GLAT,RAJ2000,DEJ2000,Z", "1,230,30,136,1,0.3"])
    assert read_catalogue(path)["RA"].tolist() == [136]


@pytest.mark.parametrize("name", ["t.vot", "t.xml", "t.csv"])
@pytest.mark.parametrize("coding", ["binary2", "tabledata", "binary"])
def test_votable(tmp_path, name, coding):
    table = Table(COLUMNS | {"Name": ["a", "b"]})
    table["EXT"].unit = "arcsec"
    table.write(tmp_path / name, format="votable", tabledata_format=coding)
    check(tmp_path / name)
    (tmp_path / "cut.vot").write_bytes((tmp_path / name).read_bytes()[:900])
    with pytest.raises(InputError, match=r"cut\.vot: (not a readable VOTable|a VOTable without|the table has no rows)"):
        read_catalogue(tmp_path / "cut.vot")


@pytest.mark.parametrize("coding", ["binary2", "binary"])
@pytest.mark.parametrize("lost", [8, 5])
def test_a_votable_cut_in_a_row_is_refused(tmp_path, coding, lost):
    path = tmp_path / "t.vot"
    Table(COLUMNS).write(path, format="votable", tabledata_format=coding)
    begin, base64, end = re.split(r"(?<=base64\">)\s*([^<]+)", path.read_text())
    cut = b64encode(b64decode(base64)[:-lost]).decode()
    path.write_text(begin + cut + end)
    with pytest.raises(InputError, match=r"t\.vot: its binary data end within a row"):
        read_table(path)
    path.write_text(begin.replace("<TABLE>", '<TABLE nrows="3">') + base64 + end)
    with pytest.raises(InputError, match=r"t\.vot: its rows aren't as many as nrows states"):
        read_table(path)


@pytest.mark.parametrize("cell", [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xef\xbb\xbfabc"])
def test_a_byte_order_mark_in_a_name_is_left_out(tmp_path, cell):
    columns = [fits.Column(name, "D", array=values) for name, values in COLUMNS.items()]
    columns.append(fits.Column("NAME", "6A", array=np.array([cell, b"b"])))
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    assert read_catalogue(tmp_path / "t.fits")["NAME_CAT"].tolist() == ["abc" if b"abc" in cell else "", "b"]


@pytest.mark.parametrize("kind", ["ascii.ipac", "ascii.ecsv", "ascii.basic", "ascii.commented_header", "ascii.tab"])
def test_what_astropy_writes(tmp_path, kind):
    Table(COLUMNS).write(tmp_path / "t.dat", format=kind)
    check(tmp_path / "t.dat")


@pytest.mark.parametrize(("packed", "ending"), [(gzip, ".gz"), (bz2, ".bz2"), (lzma, ".xz")])
@pytest.mark.parametrize("kind", ["csv", "votable", "ascii.ecsv"])
def test_packed_files(tmp_path, packed, ending, kind):
    Table(COLUMNS).write(tmp_path / "t", format=kind)
    path = tmp_path / f"t.any{ending}"
    path.write_bytes(packed.compress((tmp_path / "t").read_bytes()))
    check(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_catalogue(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04....", "is a spreadsheet or a ZIP archive. Give the table as FITS"),
        (b"\x89HDF\r\n\x1a\n", "is a netCDF or HDF5 file"),
        (b"<!DOCTYPE html><p>404", "a web page"),
        (b"\x01\x02\x00\x00\x07", "no table in a known format"),
        (b"", "the table has no rows"),
        (b"ID_SRC RA DEC Z\n1 1 1 1 Abell 3\n", "not a readable text table"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_catalogue(tmp_path / "t.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_catalogue(tmp_path)


def test_units_that_vizier_writes_below_the_names(tmp_path):
    lines = ["#Column", "", "ID_SRC\tRA\tDEC\tZ\tEXT", ' \t"h:m:s"\t"d:m:s"\t \tarcmin', "---\t---\t---\t---\t---"]
    lines += ["7\t08 52 30\t-01 30 00\t0.3\t0.5", "9\t00 50 00\t+02 15 00\t0.5\t0.75"]
    check(text(tmp_path / "asu.tsv", lines))


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1b", "\x7f"])
def test_a_control_character_in_a_cell_makes_no_second_cluster(tmp_path, sign):
    path = tmp_path / "table.csv"
    path.write_bytes(f"RA,DEC,Z,NA{sign}ME\r\n1.0,2.0,0.3,a{sign}2.0,3.0,0.5,b\r\n".encode())
    with pytest.raises(InputError, match="not a readable text table"):
        read_table(path)
    path.write_bytes(f"RA,DEC,Z,NA{sign}ME\r\n1.0,2.0,0.3,a{sign}b\r\n".encode())
    table = read_table(path)
    escaped = ascii(sign)[1:-1]
    assert table.colnames == ["RA", "DEC", "Z", f"NA{escaped}ME"]
    assert table[f"NA{escaped}ME"].tolist() == [f"a{escaped}b"]

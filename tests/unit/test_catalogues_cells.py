"""A cell of a user's table is read as what it says, in the unit of its column, or the table is refused."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError


def written(path, content):
    path.write_text(content)
    return path


@pytest.mark.parametrize("missing", ["--", "null", "None", ""])
def test_one_missing_cell_changes_no_unit(tmp_path, missing):
    lines = ["ID\tRA\tDEC\tZ\tEXT\tML_EXP\tML_RATE", " \tdeg\tdeg\t \tarcmin\tks\tct/ks", "--\t--\t--\t--\t--\t--\t--"]
    lines += ["1\t136\t1.5\t0.3\t0.5\t1.18\t200", f"2\t137\t1.5\t0.4\t{missing}\t{missing}\t{missing}", ""]
    table = read_catalogue(written(tmp_path / "asu.tsv", "\n".join(lines)))
    for name, value in {"EXT": 30.0, "ML_EXP": 1180.0, "ML_RATE": 0.2}.items():
        np.testing.assert_allclose(table[name], [value, np.nan], rtol=1e-6)


def test_numbers_that_are_written_as_texts_have_their_unit(tmp_path, caplog):
    table = Table(
        {"RA": ["2.3", "0.5"], "DEC": ["1.5", "2"], "Z": [0.3, 0.4], "EXT": ["0.5", ".4"], "ML_EXP": ["7", "8"]}
    )
    for name, unit in {"RA": "rad", "EXT": "arcmin", "ML_EXP": "m"}.items():
        table[name].unit = unit
    table.write(tmp_path / "t.fits")
    read = read_catalogue(tmp_path / "t.fits")
    np.testing.assert_allclose(read["RA"], np.degrees([2.3, 0.5]))
    np.testing.assert_allclose(read["EXT"], [30, 24])
    np.testing.assert_allclose(read["ML_EXP"], [7, 8])
    assert "not heeded: ML_EXP [m]" in caplog.text


@pytest.mark.parametrize("unit", ["deg", "rad", "hourangle", "h", None])
def test_angles_in_hours_whose_unit_is_another(tmp_path, unit):
    table = Table({"RA": ["09:04:24", "09 04 24"], "DEC": ["1:30:00", "1 30 00"], "Z": [0.3, 0.4]})
    table["RA"].unit, table["DEC"].unit = unit, "deg"
    table.write(tmp_path / "t.ecsv")
    if unit in ("deg", "rad"):
        message = f"column RA holds angles such as 09:04:24, which are read in hourangle, but its unit is {unit}"
        with pytest.raises(InputError, match=message):
            read_catalogue(tmp_path / "t.ecsv")
    else:
        np.testing.assert_allclose(read_catalogue(tmp_path / "t.ecsv")["RA"], 136.1)


def test_a_decimal_comma_makes_no_hours(tmp_path):
    columns = [fits.Column("RA", "8A", array=["9,5", "09:30:00"]), fits.Column("DEC", "8A", array=["1,5", "-1:30"])]
    fits.BinTableHDU.from_columns([*columns, fits.Column("Z", "D", array=[0.3, 0.4])]).writeto(tmp_path / "t.fits")
    table = read_catalogue(tmp_path / "t.fits")
    np.testing.assert_allclose(table["RA"], [9.5, 142.5])
    np.testing.assert_allclose(table["DEC"], [1.5, -1.5])


def test_commas_beside_points_and_missing_cells(tmp_path):
    lines = ["RA;DEC;Z;ML_CTS", "136,5;1,5;0,3;12,5", "137;2,5;0,4;--", ""]
    table = read_catalogue(written(tmp_path / "t.csv", "\n".join(lines)))
    for name, values in {"RA": [136.5, 137], "Z": [0.3, 0.4], "ML_CTS": [12.5, np.nan]}.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-6)
    for second in ("567.5", "2,345"):
        lines = [lines[0], "136.5;1.5;0.3;1,234", f"137.5;2.5;0.4;{second}", ""]
        with pytest.raises(InputError, match=r"column ML_CTS, row 1.*: '1,234' is not a number"):
            read_catalogue(written(tmp_path / "t.csv", "\n".join(lines)))


IPAC = """|NAME |RA     |DEC   |Z     |ML_CTS  |
|char |double |double|double|int     |
|     |deg    |deg   |      |        |
|null |null   |null  |null  |-99     |
 A     136.0   1.5    0.345  1180
 B     137.0   2.5    0.456  -99

"""
CDS = f"""Title: x
Table: x
{"=" * 80}
Byte-by-byte Description of file: table1.dat
{"-" * 80}
   Bytes Format Units   Label     Explanations
{"-" * 80}
   2-  5  A4    ---     NAME      x
   7- 13  F7.1  deg     RA        x
  15- 20  F6.1  deg     DEC       x
  22- 27  F6.3  ---     Z         x
  29- 36  I8    ct      ML_CTS    ?=-99 x
{"-" * 80}
 A   |136.0  |1.5   |0.345 |1180
 B   |137.0  |2.5   |0.456 |-99

"""


@pytest.mark.parametrize("lines", [IPAC, CDS])
def test_columns_at_fixed_places(tmp_path, lines):
    table = read_catalogue(written(tmp_path / "t.txt", lines))
    for name, values in {"RA": [136, 137], "DEC": [1.5, 2.5], "Z": [0.345, 0.456], "ML_CTS": [1180, np.nan]}.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-6)


@pytest.mark.parametrize(
    ("cell", "changed", "message"),
    [
        ("0.345 ", " 0.3456", "row 1 holds '6' outside of all columns"),
        ("1180", "1180    21", "row 1 holds '21' outside of all columns"),
        (" A  ", "-A  ", "row 1 holds '-' outside of all columns"),
        ("136.0  ", "136.0\t", "row 1 holds a tab"),
        ("0.345", "0.3\u2082 ", "'0.3_2' is not a number"),
        ("2.5 ", "2 .5", "could not convert"),
    ],
)
@pytest.mark.parametrize("lines", [IPAC, CDS])
def test_a_cell_that_leaves_its_place_is_refused(tmp_path, lines, cell, changed, message):
    path = written(tmp_path / "t.txt", lines.replace("|0.345 |", "|0.345  ").replace(cell, changed))
    with pytest.raises(InputError, match=message):
        read_catalogue(path)


def test_a_header_with_different_numbers_of_bars(tmp_path):
    path = written(tmp_path / "t.txt", IPAC.replace("|     |deg    |deg", "|     |       |deg    |deg"))
    with pytest.raises(InputError, match="different numbers of bars"):
        read_catalogue(path)


def votable(path, kind, cell, name="ML_CTS"):
    fields = "".join(f'<FIELD name="{field}" datatype="double"/>' for field in ("RA", "DEC", "Z"))
    cells = "".join(f"<TD>{value}</TD>" for value in (136, 1.5, 0.3, cell))
    return written(
        path,
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        f'{fields}<FIELD name="{name}" datatype="{kind}"/><DATA><TABLEDATA><TR>{cells}</TR></TABLEDATA></DATA>'
        "</TABLE></RESOURCE></VOTABLE>",
    )


@pytest.mark.parametrize(
    ("kind", "cell", "message"),
    [
        ("unsignedByte", "300", "a number is beyond its datatype .*'300' is out of range"),
        ("short", "70000", "a number is beyond its datatype"),
        ("int", "3000000000", "a number is beyond its datatype"),
        ("double", "3_00", "'3_00' is not a number"),
    ],
)
def test_numbers_of_a_votable_that_would_be_changed(tmp_path, kind, cell, message):
    with pytest.raises(InputError, match=message):
        read_catalogue(votable(tmp_path / "t.vot", kind, cell))


@pytest.mark.parametrize(
    ("cell", "warned"), [("300,5", True), ("3 0", True), ("--", False), ("null", False), ("", False)]
)
def test_texts_among_numbers_of_a_votable(tmp_path, cell, warned, caplog):
    table = read_catalogue(votable(tmp_path / "t.vot", "double", cell))
    assert np.isnan(table["ML_CTS"][0])
    assert (f"cells that are no numbers are read as missing: {cell}" in caplog.text) == warned


def test_underscores_in_ecsv(tmp_path):
    table = Table({"RA": [136.0], "DEC": [1.5], "Z": [0.3], "NAME": ["a 1_2"]})
    table.write(tmp_path / "t.ecsv")
    assert read_catalogue(tmp_path / "t.ecsv")["NAME_CAT"].tolist() == ["a 1_2"]
    written(tmp_path / "t.ecsv", (tmp_path / "t.ecsv").read_text().replace("0.3", "0.3\u2085"))
    with pytest.raises(InputError, match=r"'0.3_5' is not a number"):
        read_catalogue(tmp_path / "t.ecsv")


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("places", [(1, 3), (1, 99), (2, 3)])
def test_rows_inside_quotation_marks_are_not_lost(tmp_path, separator, places):
    lines = [
        separator.join(cells)
        for cells in (["NAME", "RA", "DEC", "Z"], *(["x", "136", str(n), "0.3"] for n in range(5)))
    ]
    for place in places:
        if place < len(lines):
            lines[place] = lines[place].replace("x", '"x' if place == places[0] else 'x"')
    with pytest.raises(InputError, match="a quotation mark lacks its partner"):
        read_catalogue(written(tmp_path / "t.txt", "\n".join([*lines, ""])))


def test_a_line_break_in_quotation_marks(tmp_path):
    lines = 'NAME,RA,DEC,Z\n"two\nlines",136,1.5,0.3\n"two, ""three""",137,2.5,0.4\n'
    assert len(read_catalogue(written(tmp_path / "t.csv", lines))) == 2


def test_units_of_other_columns(tmp_path):
    lines = ["NAME RA DEC Z EXT", "deg deg arcmin", "---- -- --- - ---", "A 136 1.5 0.3 0.5", ""]
    with pytest.raises(InputError, match="has 3 units for 5 columns"):
        read_catalogue(written(tmp_path / "t.txt", "\n".join(lines)))


def test_columns_of_equal_name_are_refused(tmp_path):
    path = binary(tmp_path / "t.fits", [*PLACES, ("Y", "D", [0.4, 0.5])])
    path.write_bytes(path.read_bytes().replace(b"TTYPE4  = 'Y", b"TTYPE4  = 'Z"))
    with pytest.raises(InputError, match="several columns are called Z"):
        read_catalogue(path)
    for lines in (IPAC.replace("|ML_CTS ", "|Z      "), CDS.replace("ML_CTS", "Z     ")):
        with pytest.raises(InputError, match="several columns are called Z"):
            read_catalogue(written(tmp_path / "t.txt", lines))


def test_a_row_above_dashes_is_no_line_of_units(tmp_path):
    lines = ["NAME;RA;DEC;Z", "A;136;1.5;0.3", "--;--;--;--", "B;137;2.5;0.4", ""]
    with pytest.raises(InputError, match="column RA, row 2"):
        read_catalogue(written(tmp_path / "t.csv", "\n".join(lines)))


@pytest.mark.parametrize("mark", ["\u1d49", "\u2091", "\u00ba"])
def test_raised_and_lowered_letters_are_no_part_of_a_number(tmp_path, mark):
    path = written(tmp_path / "t.csv", f"RA,DEC,Z\n136,1.5,0.3{mark}1\n")
    with pytest.raises(InputError, match=r"column Z, row 1: '0.3.*1' is not a number"):
        read_catalogue(path)


def test_rows_and_columns_that_do_not_count_are_named(tmp_path, caplog):
    lines = ["# NAME,RA,DEC,Z,Z", "NAME,RA,DEC,Z,Z", "#1,136,1.5,0.3,0.4", "B,137,1.5,0.3,0.4", "# two, words", ""]
    assert read_catalogue(written(tmp_path / "t.csv", "\n".join(lines)))["Z"].tolist() == pytest.approx([0.3])
    assert "has several columns Z; the first one counts" in caplog.text
    assert "1 lines that begin with # are comments, not rows, such as #1,136" in caplog.text


def binary(path, columns, **cards):
    hdu = fits.BinTableHDU.from_columns(
        [fits.Column(name, kind, array=np.array(values)) for name, kind, values in columns]
    )
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


PLACES = [("RA", "J", [136000, 137000]), ("DEC", "J", [1500, 2500]), ("Z", "D", [0.3, 0.4])]
SCALED = {"TSCAL1": 1e-3, "TSCAL2": 1e-3}


@pytest.mark.parametrize(
    ("stored", "scale", "zero", "null", "values"),
    [
        ([300, -999], 10.0, 0.0, -999, [3000, np.nan]),
        ([300, -999], 1.0, 1000.0, -999, [1300, np.nan]),
        ([300, 100], 2.0, 0.0, 200, [600, 200]),
        ([300, -32768], 1.0, 32768.0, -32768, [33068, np.nan]),
        ([300, -32768], 1.0, 0.0, -32768, [300, np.nan]),
    ],
)
def test_missing_cells_among_scaled_integers(tmp_path, stored, scale, zero, null, values):
    cards = SCALED | {"TSCAL4": scale, "TZERO4": zero, "TNULL4": null}
    table = read_catalogue(binary(tmp_path / "t.fits", [*PLACES, ("ML_CTS", "I", stored)], **cards))
    np.testing.assert_allclose(table["ML_CTS"], values)


def test_a_column_that_cannot_be_read_changes_no_scale(tmp_path, caplog):
    arrays = np.array([[1], [2, 3]], dtype=object)
    columns = [*PLACES, ("ML_CTS", "I", [5, -9]), ("ODD", "PJ()", arrays)]
    cards = SCALED | {"TSCAL4": 10.0, "TNULL4": -9, "TNULL5": 1}
    table = read_catalogue(binary(tmp_path / "t.fits", columns, **cards))
    for name, values in {"RA": [136, 137], "DEC": [1.5, 2.5], "ML_CTS": [50, np.nan]}.items():
        np.testing.assert_allclose(table[name], values)
    assert "columns ODD" in caplog.text


#: places, from 1, and formats of columns in a FITS table of text
FORMATS = {"NAME": (1, "A2"), "RA": (3, "F7.3"), "DEC": (11, "F5.2"), "Z": (17, "F5.3"), "ML_CTS": (23, "I4")}


def in_text(path, rows, **cards):
    header = fits.Header({"XTENSION": "TABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": len(rows[0]), "NAXIS2": len(rows)})
    header.update({"PCOUNT": 0, "GCOUNT": 1, "TFIELDS": len(FORMATS)})
    for number, (name, (place, kind)) in enumerate(FORMATS.items(), 1):
        header.update({f"TBCOL{number}": place, f"TFORM{number}": kind, f"TTYPE{number}": name})
    header.update(cards)
    data = "".join(rows).encode()
    primary = fits.PrimaryHDU().header.tostring() + header.tostring()
    path.write_bytes(primary.encode() + data + b" " * (-len(data) % 2880))
    return path


@pytest.mark.parametrize(
    ("row", "cards", "name", "value"),
    [
        ("A 136.123 1.500 0.345 1234", {}, "Z", 0.345),
        ("A 136.123 1.500 3D-01 1234", {}, "Z", 0.3),
        ("A 136.123 1.500       1234", {}, "Z", np.nan),
        ("A 136.123 1.500 0.345     ", {}, "ML_CTS", np.nan),
        ("A 136.123 1.500 0.345  -99", {"TNULL5": "-99"}, "ML_CTS", np.nan),
        ("A 136.123 1.500  ***  1234", {"TNULL4": "***"}, "Z", np.nan),
        ("A 136.123 1.500 0.345  123", {"TSCAL5": 10.0, "TZERO5": 1.0}, "ML_CTS", 1231),
        ("A 136.123 1.500 0.345  123", {"TUNIT2": "deg", "TUNIT5": "ct"}, "RA", 136.123),
    ],
)
def test_fits_tables_of_text(tmp_path, row, cards, name, value):
    table = read_catalogue(in_text(tmp_path / "t.fits", [row], **cards))
    assert table[name].tolist() == pytest.approx([value], nan_ok=True)


@pytest.mark.parametrize(
    ("row", "cards", "message"),
    [
        ("B 137.123 2.500 0.3451234", {}, "row 2 holds text outside of all columns"),
        ("B 137.123 2.500 0.345 1234", {"TFORM4": "F4.2"}, "row 2 holds text outside of all columns"),
        ("B 137.123 2.500 0.345 1_34", {}, "column ML_CTS, row 2: '1_34' is not a number"),
        ("B 137.123 2.500 0. 45 1234", {}, "column Z, row 2: '0. 45' is not a number"),
    ],
)
def test_fits_tables_of_text_whose_cells_would_be_cut(tmp_path, row, cards, message):
    rows = ["A 136.123 1.500 0.3   1234", row.ljust(26)]
    with pytest.raises(InputError, match=message):
        read_catalogue(in_text(tmp_path / "t.fits", rows, **cards))

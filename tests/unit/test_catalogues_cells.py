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

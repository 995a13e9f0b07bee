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

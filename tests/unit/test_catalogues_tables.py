"""What can be wrong with a user's catalogue: each message names the place of the fault."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from catalogues_inputs import ROWS, csv, fits_table

from clustermass.catalogues.tables import CheckedTable
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError
from clustermass.io.fits import opened_fits


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_catalogue(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("name", ["t.fits", "t.fits.gz"])
def test_truncated_fits(tmp_path, share, name):
    path = fits_table(tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"t\.fits.*: truncated or damaged FITS file"):
        read_catalogue(path)


def test_a_bug_of_ours_is_not_blamed_on_the_file(tmp_path):
    """An error in the caller's own block is passed on; an error of the library in reading is a fault of the file."""
    path = fits_table(tmp_path / "t.fits")
    for error in (TypeError, ValueError, KeyError, IndexError):
        with pytest.raises(error, match="ours"):
            read_with(path, error)
    with pytest.raises(InputError, match="truncated or damaged"), opened_fits(path) as hdus:
        hdus[1].data["no such column"]


def read_with(path, error):
    """Raise `error` from a frame that looks like one of the package."""
    ours = {"__name__": "clustermass.somewhere", "opened_fits": opened_fits, "path": path, "error": error}
    exec("with opened_fits(path) as hdus:\n    raise error('ours')", ours)


def test_image_instead_of_a_table(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="holds no table"):
        read_catalogue(tmp_path / "image.fits")


def test_ragged_csv(tmp_path):
    with pytest.raises(InputError, match="not a readable text table"):
        read_catalogue(csv(tmp_path, [*ROWS, "1,2,3,4,5,6,7,8,9,10"]))


def test_missing_column_suggests_the_nearest(tmp_path):
    path = csv(tmp_path, ["1,1,1,0.3"], "ID_SRC,RA,DECL,Z")
    with pytest.raises(InputError, match=r"no column for DEC \(declination\)\. Did you mean DECL\? Its columns:"):
        read_catalogue(path)


def test_missing_column_is_explained_for_configuration_and_command_line(tmp_path):
    with pytest.raises(InputError) as caught:
        read_catalogue(csv(tmp_path, ["1,1,1,9"], "ID_SRC,RA,DEC,mystery"))
    assert str(caught.value).endswith(
        "has no column for Z (redshift). Its columns: ID_SRC, RA, DEC, mystery. If it goes by another name, say so "
        "under catalogue_columns: {Z: <your column>} (on the command line: --column Z=<your column>; in "
        'Python: columns={"Z": "<your column>"}).'
    )


def test_every_missing_column_is_reported_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        read_catalogue(csv(tmp_path, ["1,1,1,9"], "ID_SRC,RA,DECL,redshft"))
    assert str(caught.value).endswith(
        "has no column for DEC (declination), Z (redshift). Did you mean DECL for DEC? Its columns: ID_SRC, RA, DECL, "
        "redshft. If they go by other names, say so under catalogue_columns: {DEC: <your column>, Z: <your column>} "
        "(on the command line: --column DEC=<your column> --column Z=<your column>; in Python: "
        'columns={"DEC": "<your column>", "Z": "<your column>"}).'
    )
    with pytest.raises(InputError, match=r"no column 'ZZ' \(wanted for Z\), no column 'XX' \(wanted for EXT\)\."):
        read_catalogue(csv(tmp_path), {"Z": "ZZ", "EXT": "XX"})
    with pytest.raises(InputError, match=r"'ZED', 'EXTENT' are no columns of ours\."):
        read_catalogue(csv(tmp_path), {"ZED": "Z", "EXTENT": "EXT"})


def test_renamed_column_in_the_map(tmp_path):
    with pytest.raises(InputError, match=r"no column 'Z_EER' \(wanted for Z_ERR\)\. Did you mean Z_ERR\?"):
        read_catalogue(csv(tmp_path), {"Z_ERR": "Z_EER"})


@pytest.mark.parametrize("names", ["Z,z", "z,Z"])
def test_columns_that_differ_only_in_case_are_told_apart_by_the_user(tmp_path, names):
    path = csv(tmp_path, ["1,10,20,0.3,0.5"], f"ID_SRC,RA,DEC,{names}")
    first, second = names.split(",")
    with pytest.raises(InputError, match=f"columns {first} and {second} differ only .*, or say which is Z") as caught:
        read_catalogue(path)
    assert f"--column Z={first}" in str(caught.value)
    assert [read_catalogue(path, {"Z": name})["Z"][0].round(1) for name in (first, second)] == [0.3, 0.5]
    unused = csv(tmp_path, ["1,10,20,0.3,0.5,0.6"], "ID_SRC,RA,DEC,Z,notes,Notes")
    assert read_catalogue(unused)["Z"][0].round(1) == 0.3


def test_a_column_without_scale_is_refused(tmp_path):
    path = fits_table(tmp_path / "a.fits", 3)
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TSCAL4"], hdus[1].header["TZERO4"] = 0, 0.3
    with pytest.raises(InputError, match=r"column z has TSCAL = 0, by which all its cells are equal\."):
        read_catalogue(path)


def test_unknown_name_in_the_map(tmp_path):
    with pytest.raises(InputError, match=r"'DETLIKE' is no column of ours\. Did you mean DET_LIKE\?"):
        read_catalogue(csv(tmp_path), {"DETLIKE": "DET_LIKE"})


def test_exchanged_columns_of_positions(tmp_path):
    with pytest.raises(InputError, match=r"column DEC, row 2: -2\.5 is no position .*, or exchange RA and DEC\."):
        read_catalogue(csv(tmp_path), {"RA": "DEC", "DEC": "RA"})


def test_exchanged_names_in_the_map(tmp_path):
    table = csv(tmp_path)
    table.write_text(table.read_text().replace("Z_ERR", "z_error"))
    with pytest.raises(InputError, match=r"'z_error' is no column of ours\. Our name comes first: Z_ERR=z_error\."):
        read_catalogue(table, {"z_error": "Z_ERR"})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("5,nan,1,9,9,0.3,0", "column RA, row 4: nan is no position between 0 and 360 deg"),
        ("5,,1,9,9,0.3,0", "column RA, row 4: nan"),
        ("5,-99.9,1,9,9,0.3,0", "column RA, row 4: -99.9"),
        ("5,361,1,9,9,0.3,0", "column RA, row 4: 361"),
        ("5,10,-91,9,9,0.3,0", "column DEC, row 4: -91 is no position between -90 and 90"),
        ("5,east,-1,9,9,0.3,0", "column RA, row 4: 'east' is neither deg nor an angle"),
        ("5,1,1,high,9,0.3,0", "column DET_LIKE, row 4: 'high' is not a number"),
        ("5,1,1,9\u00b2,9,0.3,0", "column DET_LIKE, row 4: '9^2' is not a number"),
        ("5,1,1,9\u2082,9,0.3,0", "column DET_LIKE, row 4: '9_2' is not a number"),
        ("5,1,1,9\u2461,9,0.3,0", r"column DET_LIKE, row 4: '9\\u2461' is not a number"),
    ],
)
def test_faulty_cells_are_named(tmp_path, row, message):
    with pytest.raises(InputError) as caught:
        read_catalogue(csv(tmp_path, [*ROWS, row]))
    assert f"mine.csv: {message}" in str(caught.value)


def test_nan_position_in_fits(tmp_path):
    ra = np.linspace(0, 359, 2000)
    ra[1999] = np.nan
    with pytest.raises(InputError, match="column RA, row 2000: nan"):
        read_catalogue(fits_table(tmp_path / "t.fits", RA=ra))


def test_vector_column(tmp_path):
    with pytest.raises(InputError, match="column z holds"):
        read_catalogue(fits_table(tmp_path / "t.fits", z=np.ones((2000, 3))))


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("ID_SRC,RA,DEC,EXT_LIKE", ["1,1,1,9"], "has no column for Z"),
        ("ID_SRC,RA,DEC,Z", [], "the table has no rows"),
    ],
)
def test_no_redshift_and_no_rows(tmp_path, header, rows, message):
    with pytest.raises(InputError, match=message):
        read_catalogue(csv(tmp_path, rows, header))


def test_truth_values_are_no_numbers(tmp_path):
    table = CheckedTable(Table({"Z": [True, False]}), tmp_path / "a.fits")
    with pytest.raises(InputError, match=r"a\.fits: column Z holds truth values, but numbers are wanted"):
        table.numbers("Z")

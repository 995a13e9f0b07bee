"""The user's own ids of clusters come back unchanged, whatever they are."""

import numpy as np
import pytest
from astropy.table import Table
from catalogues_inputs import csv

from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError

TILES = {"RA": [10.0, 11.0, 12.0], "DEC": [-1.0, -2.0, -3.0], "Z": [0.2, 0.3, 0.4], "ID_SRC": [5, 5, 6]}
UID = [100_123_090_00005, 100_126_090_00005, 2**62 + 1]


def table_of(path, **columns):
    Table(TILES | columns).write(path)
    return read_catalogue(path)


@pytest.mark.parametrize("name", ["t.fits", "t.ecsv", "t.csv", "t.vot"])
def test_sources_of_two_sky_tiles_are_told_apart_by_what_the_table_has(tmp_path, name, caplog):
    path = tmp_path / name
    columns = {"SKYTILE": [123090, 126090, 126090], "UID": UID}
    Table(TILES | columns).write(path, format="votable" if name.endswith("vot") else None)
    table = read_catalogue(path)
    assert table["ID_SRC"].tolist() == [1, 2, 3]
    assert table["ID_CAT"].tolist() == [str(one) for one in UID]
    Table(TILES | columns | {"DETUID": ["em01_123090_020_ML00005_002_c010", "b", "c"]}).write(
        path, overwrite=True, format="votable" if name.endswith("vot") else None
    )
    assert read_catalogue(path)["ID_CAT"].tolist() == ["em01_123090_020_ML00005_002_c010", "b", "c"]


def test_repeated_ids_are_named_and_kept(tmp_path, caplog):
    table = table_of(tmp_path / "t.fits")
    assert table["ID_SRC"].tolist() == [1, 2, 3]
    assert table["ID_CAT"].tolist() == ["5", "5", "6"]
    assert "ID_SRC is the number of the row, from 1" in caplog.text
    assert "(rows 1 and 2 have one, 5)" in caplog.text


def test_the_name_serves_where_ids_repeat(tmp_path):
    table = table_of(tmp_path / "t.fits", IAUNAME=["1eRASS J0040-01", "1eRASS J0044-02", "1eRASS J0048-03"])
    assert (
        table["ID_CAT"].tolist()
        == table["NAME_CAT"].tolist()
        == [f"1eRASS J{x}" for x in ("0040-01", "0044-02", "0048-03")]
    )


def test_whole_numbers_stay_what_they_are(tmp_path):
    for column in ([7, 9, -4], [7.0, 9.0, -4.0], ["7", "9", "-4"]):
        table = table_of(tmp_path / f"{np.asarray(column).dtype.kind}.fits", ID_SRC=column, NAME=["a", "b", "c"])
        assert table["ID_SRC"].tolist() == [7, 9, -4]
        assert "ID_CAT" not in table.colnames


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        ("ID_SRC", "J08-01"),
        ("ID_SRC", "5000000000"),
        ("ID_SRC", "5.5"),
        ("id", "A 1689"),
        ("Name", "x"),
        ("mine", "0-1"),
    ],
)
def test_any_id_will_do(tmp_path, header, ids):
    path = csv(tmp_path, [f"{ids},10,1,0.3", "8,11,1,0.3"], f"{header},ra,dec,z")
    table = read_catalogue(path, {"ID_SRC": "mine"} if header == "mine" else None)
    assert table["ID_SRC"].tolist() == [1, 2]
    assert table["ID_CAT"].tolist()[0] == ids


def test_leading_zeros_belong_to_an_id(tmp_path):
    for separator in (",", " "):
        lines = [row.replace(",", separator) for row in ("007,10,1,0.3", "8,11,1,0.3")]
        table = read_catalogue(csv(tmp_path, lines, "ID,ra,dec,z".replace(",", separator)))
        assert table["ID_CAT"].tolist() == ["007", "8"]


def test_no_id_at_all(tmp_path, caplog):
    caplog.set_level("INFO")
    table = read_catalogue(csv(tmp_path, ["10,1,0.3", "11,1,0.3"], "ra,dec,z"))
    assert table["ID_SRC"].tolist() == [1, 2]
    assert "ID_CAT" not in table.colnames
    assert "no column of ids; rows are numbered from 1" in caplog.text
    blank = read_catalogue(csv(tmp_path, ["7,10,1,0.3", ",11,1,0.3"], "ID_SRC,ra,dec,z"))
    assert blank["ID_CAT"].tolist() == ["7", ""]
    assert "(row 2 has none)" in caplog.text


def test_tables_are_joined_by_the_column_that_tells_their_rows_apart(tmp_path):
    names = {"DETUID": ["a", "b", "c"]}
    table_of(tmp_path / "clusters.fits", **names)
    other = Table(TILES | names | {"ML_RATE": [0.1, 0.2, 0.3]})
    other.remove_column("Z")
    other[[2, 0]].write(tmp_path / "main.fits")
    joined = read_catalogue(tmp_path / "clusters.fits", further=[tmp_path / "main.fits"])
    assert joined["ID_CAT"].tolist() == ["a", "b", "c"]
    assert joined["ML_RATE"].tolist() == pytest.approx([0.1, np.nan, 0.3], nan_ok=True)
    del other["DETUID"]
    other.write(tmp_path / "bare.fits")
    with pytest.raises(InputError, match=r"bare\.fits: column ID_SRC, by which tables are joined, doesn't tell"):
        read_catalogue(tmp_path / "clusters.fits", further=[tmp_path / "bare.fits"])


def test_ids_survive_that_a_catalogue_of_ours_is_the_input(tmp_path):
    first = table_of(tmp_path / "t.fits", DETUID=["a", "b", "c"])
    first.write(tmp_path / "again.fits")
    assert read_catalogue(tmp_path / "again.fits")["ID_CAT"].tolist() == ["a", "b", "c"]


def test_a_very_long_id_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"NAME,RA,DEC,Z\n{'x' * 1001},136,1,0.3\n")
    with pytest.raises(InputError, match=r"t\.csv: more than 1000 characters in an id"):
        read_catalogue(path)

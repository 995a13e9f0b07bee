"""Redshifts of a user's catalogue: which are taken, of what kind, with what error, and which are unknown."""

import numpy as np
import pytest
from catalogues_inputs import csv

from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError


def test_sentinels_are_missing(tmp_path, caplog):
    rows = ["1,1,1,9,9,-1,0.1", "2,1,1,9,9,-99.9,0.1", "3,1,1,9,9,-9999,0.1", "4,1,1,9,9,inf,0.1", "5,1,1,9,9,,0.1"]
    rows += ["6,1,1,9,9,nan,0.1", "7,1,1,9,9,0.2,inf", "8,1,1,9,9,0.2,-1", "9,1,1,9,9,0.2,0.03", "10,1,1,9,9,0,0.1"]
    table = read_catalogue(csv(tmp_path, rows))
    assert len(table) == 10
    assert np.isfinite(table["Z"]).tolist() == [False] * 7 + [True] * 2 + [False]
    assert table["Z_TYPE"].tolist() == ["none"] * 7 + ["photo"] * 2 + ["none"]
    assert np.isfinite(table["Z_ERR"]).tolist() == [False] * 7 + [True] * 2 + [False]
    assert table["Z_ERR"].tolist()[7:9] == pytest.approx([0, 0.03])
    assert "7 of 10 rows (1, 2, 3, 4, 5, ...) without redshift" in caplog.text
    assert "1 of 10 rows (7) whose redshift is unknown (column Z_ERR infinite or above 0.3 (1 + z))" in caplog.text
    assert "1 of 10 rows (8) with a photometric redshift without error" in caplog.text


def test_a_huge_error_means_no_redshift(tmp_path):
    # the limit at z = 0.5 is 0.45; a spectroscopic redshift needs no error
    rows = ["1,1,1,0.5,0.44,0", "2,1,1,0.5,0.46,0", "3,1,1,0.5,inf,0", "4,1,1,0.5,inf,1", "5,1,1,0.5,50.6,"]
    table = read_catalogue(csv(tmp_path, rows, "ID_SRC,RA,DEC,Z,Z_ERR,Z_TYPE"))
    assert table["Z_TYPE"].tolist() == ["photo", "none", "none", "spec", "none"]
    assert np.isnan(table["Z"]).tolist() == np.isnan(table["Z_ERR"]).tolist() == [False, True, True, False, True]
    with pytest.raises(InputError, match=r"2 of 2 rows are clusters whose redshift is unknown \(column Z_ERR infinite"):
        read_catalogue(csv(tmp_path, rows[1:3], "ID_SRC,RA,DEC,Z,Z_ERR,Z_TYPE"))


def test_spectroscopic_redshifts_of_klein_go_first(tmp_path):
    header = "ID_SRC,RA,DEC,Z_BEST_COMB,SIGMA_Z_BEST_COMB,SPEC_Z_BEST_COMB"
    rows = ["1,1,1,0.31,0.01,0.3", "2,1,1,0.41,0.02,-1", "3,1,1,0.47,inf,0.44", "4,1,1,0.47,inf,-1"]
    path = csv(tmp_path, rows, header)
    table = read_catalogue(path)
    assert table["Z"].tolist() == pytest.approx([0.3, 0.41, 0.44, np.nan], nan_ok=True)
    assert table["Z_ERR"].tolist() == pytest.approx([0, 0.02, 0, np.nan], nan_ok=True)
    assert table["Z_TYPE"].tolist() == ["spec", "photo", "spec", "none"]
    # whoever says which redshifts to take gets those
    mapped = read_catalogue(path, {"Z": "Z_BEST_COMB"})
    assert mapped["Z"].tolist()[:2] == pytest.approx([0.31, 0.41])
    assert mapped["Z_TYPE"].tolist() == ["photo", "photo", "none", "none"]
    # without errors the others are photometric all the same
    bare = csv(tmp_path, ["1,1,1,0.31,0.3", "2,1,1,0.41,-1"], "ID_SRC,RA,DEC,Z_BEST_COMB,SPEC_Z_BEST_COMB")
    assert read_catalogue(bare)["Z_TYPE"].tolist() == ["spec", "photo"]


def test_likely_contaminants_are_named_and_kept(tmp_path, caplog):
    path = csv(tmp_path, ["1,1,1,0.3,0.29", "2,1,1,0.3,0.3", "3,1,1,0.3,1"], "ID_SRC,RA,DEC,Z,F_CONT_BEST_COMB")
    assert len(read_catalogue(path)) == 3
    assert "2 of 3 rows (2, 3) with F_CONT_BEST_COMB >= 0.3, likely no clusters" in caplog.text


def test_kinds_of_redshift(tmp_path):
    header = "ID_SRC,RA,DEC,Z,Z_ERR,z_type"
    rows = ["1,1,1,0.3,0.01,1", "2,1,1,0.3,0.01,0", "3,1,1,0.3,0.01,spec_z", "4,1,1,0.3,0.01,photo", "5,1,1,-1,0.01,1"]
    table = read_catalogue(csv(tmp_path, rows, header))
    assert table["Z_TYPE"].tolist() == ["spec", "photo", "spec", "photo", "none"]
    assert table["Z_ERR"].tolist()[:4] == pytest.approx([0, 0.01, 0, 0.01])
    numbers = read_catalogue(csv(tmp_path, [row.replace(".01,s", ".01,1.0 ") for row in rows[:2]], header))
    assert numbers["Z_TYPE"].tolist() == ["spec", "photo"]
    with pytest.raises(InputError, match=r"column z_type, row 2: '7' is neither photo \(0\) nor spec \(1\)"):
        read_catalogue(csv(tmp_path, [rows[0], "2,1,1,0.3,0.01,7"], header))


def test_redshifts_without_error_or_kind_are_exact(tmp_path, caplog):
    table = read_catalogue(csv(tmp_path, ["1,1,1,0.3"], "ID_SRC,RA,DEC,Z"))
    assert (table["Z_TYPE"][0], table["Z_ERR"][0]) == ("spec", 0)
    assert "taken as exact" in caplog.text

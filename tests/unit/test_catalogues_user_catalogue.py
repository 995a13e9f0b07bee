"""A user's catalogue into the pipeline's names and back from disk."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from catalogues_inputs import HEADER, ROWS, csv

from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError
from clustermass.io.products import CATALOGUE, VOUCHED_LIKELIHOOD, write_table

#: columns that every catalogue has
REQUIRED = [column.name for column in CATALOGUE if not column.optional]
EFEDS = Path(__file__).parents[3] / "shared" / "data" / "efeds"


def test_usual_names_in_a_csv(tmp_path):
    table = read_catalogue(csv(tmp_path))
    assert table.colnames == [*REQUIRED, "Z_ORIGIN"]
    assert table["ID_SRC"].tolist() == [7, 9, 4]
    assert table["RA"].tolist() == [133.1, 359.9, 0.0]
    assert table["DET_LIKE"].tolist() == [30, 6, 50]
    assert table["Z_TYPE"].tolist() == ["photo", "spec", "photo"]
    assert np.allclose(table["Z_ERR"], [0.01, 0, 0.02])


@pytest.mark.parametrize("name", ["mine.fits", "mine.fits.gz", "mine.ecsv", "mine.csv"])
def test_every_format_gives_the_same(tmp_path, name):
    Table.read(csv(tmp_path, name="source.csv")).write(tmp_path / name, overwrite=True)
    one, other = read_catalogue(tmp_path / name), read_catalogue(tmp_path / "source.csv")
    for column in ("ID_SRC", "RA", "DEC", "DET_LIKE", "EXT_LIKE", "Z", "Z_ERR", "Z_TYPE"):
        assert one[column].tolist() == other[column].tolist()


def test_names_by_map_and_case(tmp_path):
    path = csv(tmp_path, header="number,ra_x,dec_x,det_like,Ext_Like,photoz,z_err")
    table = read_catalogue(path, {"ID_SRC": "number", "RA": "RA_X", "DEC": "DEC_X", "Z": "photoz"})
    assert table["Z"].tolist() == pytest.approx([0.3, 0.5, 0.1])
    assert table["EXT_LIKE"].tolist() == [12, 8, 7]


def test_corrected_positions_go_first_but_only_as_a_pair(tmp_path):
    path = csv(tmp_path, ["1,10,20,11,21,0.3"], "ID_SRC,RA,DEC,RA_CORR,DEC_CORR,Z")
    assert read_catalogue(path)["RA"][0] == 11
    assert read_catalogue(path)["DEC"][0] == 21
    path = csv(tmp_path, ["1,10,20,11,0.3"], "ID_SRC,RA,DEC,RA_CORR,Z")
    assert read_catalogue(path)["RA"][0] == 10
    with pytest.raises(InputError, match="only one of RA and DEC"):
        read_catalogue(path, {"RA": "RA_CORR"})


def test_hours_by_unit(tmp_path):
    path = tmp_path / "hours.ecsv"
    table = Table({"ID_SRC": [1], "RA": [2.0], "DEC": [3.0], "Z": [0.3]}, units={"RA": "hourangle", "DEC": "deg"})
    table.write(path)
    assert read_catalogue(path)["RA"][0] == pytest.approx(30.0)


def test_column_densities_are_in_our_unit_or_missing(tmp_path, caplog):
    columns = {"RA": [2.0, 3.0], "DEC": [3.0, 3.0], "Z": [0.3, 0.2]}
    Table(columns | {"NH": [3.0, 4.5]}, units={"NH": "1e20 cm-2"}).write(tmp_path / "unit.ecsv")
    assert read_catalogue(tmp_path / "unit.ecsv")["NH"].tolist() == pytest.approx([3e20, 4.5e20])
    Table(columns | {"N_H": [3.0, 4.5e20]}).write(tmp_path / "bare.csv")
    bare = read_catalogue(tmp_path / "bare.csv")["NH"]
    assert np.isnan(bare[0])
    assert bare[1] == pytest.approx(4.5e20)
    assert "1 of 2 rows (1) whose N_H is too small for cm-2; NaN there." in caplog.text


def test_a_list_without_likelihoods_is_vouched_for(tmp_path, caplog):
    table = read_catalogue(csv(tmp_path, ["1,1,1,0.3"], "ID_SRC,RA,DEC,Z"))
    assert table["DET_LIKE"][0] == table["EXT_LIKE"][0] == VOUCHED_LIKELIHOOD
    assert "no DET_LIKE; the list is taken as vouched for" in caplog.text
    assert "ML_RATE, ML_CTS, ML_EXP, ML_BKG; NaN in every row" in caplog.text
    assert np.isnan(table["ML_RATE"][0])


def test_a_blank_likelihood_is_not_significant(tmp_path, caplog):
    table = read_catalogue(csv(tmp_path, ["1,1,1,9,,0.3,0", "2,1,1,9,8,0.3,0"]))
    assert table["EXT_LIKE"].tolist() == [0, 8]
    assert "1 of 2 rows (1) without EXT_LIKE" in caplog.text


def test_reference_masses_are_carried(tmp_path):
    path = csv(tmp_path, ["1,1,1,0.3,14.2", "2,1,1,0.3,-1"], "ID_SRC,RA,DEC,Z,M500")
    table = read_catalogue(path, {"LOGM500_REF": "M500"})
    assert table["LOGM500_REF"][0] == pytest.approx(14.2)
    assert np.isnan(table["LOGM500_REF"][1])
    write_table(tmp_path / "out.fits", "CATALOGUE", CATALOGUE, table)
    assert "LOGM500_REF" in fits.getdata(tmp_path / "out.fits", "CATALOGUE").names


def test_odd_keywords_and_units_are_no_fault(tmp_path):
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, form, array=[1]) for name, form in (("ID_SRC", "J"), ("RA", "D"), ("DEC", "D"), ("Z", "E"))]
    )
    table.header["TUNIT4"] = "Msun/h per fortnight"
    table.header["TDISP1"] = "Q99"
    table.header["TNULL2"] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.writeto(tmp_path / "odd.fits", output_verify="ignore")
    assert read_catalogue(tmp_path / "odd.fits")["Z"][0] == 1


@pytest.mark.parametrize(("separator", "name"), [(";", "mine.csv"), ("\t", "mine.csv"), ("\t", "mine.tsv")])
def test_other_separators_than_the_comma(tmp_path, separator, name):
    plain = read_catalogue(csv(tmp_path, name="plain.csv"))
    other = read_catalogue(
        csv(tmp_path, [r.replace(",", separator) for r in ROWS], HEADER.replace(",", separator), name)
    )
    for column in ("ID_SRC", "RA", "DEC", "Z", "Z_TYPE"):
        assert other[column].tolist() == plain[column].tolist()


def test_a_table_as_vizier_sends_it(tmp_path):
    lines = ["#Table", "#Column", "", "ID-SRC\tRAdeg\tDEdeg\tz", " \tdeg\tdeg\t ", "-----\t-----\t-----\t----"]
    lines += ["    7\t133.1\t  1.5\t 0.3", "    9\t 12.5\t -2.5\t    ", ""]
    (tmp_path / "asu.tsv").write_text("\n".join(lines))
    table = read_catalogue(tmp_path / "asu.tsv")
    assert table["ID_SRC"].tolist() == [7, 9]
    assert table["RA"].tolist() == [133.1, 12.5]
    assert np.isnan(table["Z"]).tolist() == [False, True]


def test_writing_and_reading_again(tmp_path):
    table = read_catalogue(csv(tmp_path))
    path, made = tmp_path / "catalogue.fits", {"step": "ingest", "input_sha256": {"Häufen\n.csv": "ab"}}
    write_table(path, "CATALOGUE", CATALOGUE, table, provenance=made)
    with fits.open(path) as hdus:
        assert hdus[0].header["CREATOR"] == "clustermass"
        assert "step = ingest" in hdus[0].header["HISTORY"]
        header, columns = hdus["CATALOGUE"].header, hdus["CATALOGUE"].columns
        formats = [column.format for column in CATALOGUE if not column.optional]
        assert [column.format.lstrip("15") for column in columns][:-1] == formats
        assert hdus["CATALOGUE"].data["Z_ORIGIN"].tolist() == ["Z", "Z", "Z"]
        number = columns.names.index("ML_RATE") + 1
        assert header[f"TUNIT{number}"] == "count s-1"
        assert "0.2-2.3 keV" in header[f"TCOMM{number}"]
    again = read_catalogue(path)
    for name in REQUIRED:
        assert np.array_equal(again[name], table[name], equal_nan=again[name].dtype.kind == "f")
    write_table(tmp_path / "twice.fits", "CATALOGUE", CATALOGUE, again, provenance=made)
    assert (tmp_path / "twice.fits").read_bytes() == path.read_bytes()


@pytest.mark.skipif(not EFEDS.is_dir(), reason="the public eFEDS tables aren't beside the checkout")
def test_real_efeds_tables():
    """Both public tables give the same 542 clusters, though their names and columns differ."""
    liu = read_catalogue(EFEDS / "efeds_clusters_Liu2022.csv")
    klein = read_catalogue(EFEDS / "efeds_ctp_clus_Klein2022_v2.1.csv")
    liu.sort("ID_SRC")
    klein.sort("ID_SRC")
    assert len(liu) == len(klein) == 542
    for name in ("ID_SRC", "RA", "DEC", "DET_LIKE", "EXT_LIKE"):
        assert np.array_equal(liu[name], klein[name])
    assert (liu["Z_TYPE"] == "spec").sum() == 297
    assert (liu["Z_TYPE"] == "photo").sum() == 245
    assert np.median(klein["ML_RATE"]) == pytest.approx(0.0896, abs=1e-4)
    assert (klein["EXT_LIKE"] > 12).sum() == 325
    # 296 of SPEC_Z_BEST_COMB, 290 of them the same in Liu et al.; three with errors of 50.6, 0.76 and inf
    assert ((klein["Z_TYPE"] == "spec").sum(), (klein["Z_TYPE"] == "none").sum()) == (296, 3)
    assert klein["Z_ERR"][klein["Z_TYPE"] == "spec"].max() == 0
    assert np.nanmax(klein["Z_ERR"]) < 0.2
    assert np.isnan(klein["Z"]).sum() == np.isnan(klein["Z_ERR"]).sum() == 3
    both = (klein["Z_TYPE"] == "spec") & (liu["Z_TYPE"] == "spec")
    assert (np.abs(klein["Z"] - liu["Z"])[both] < 1e-3).sum() == 290
    with pytest.raises(InputError, match=r"has no column for RA"):
        read_catalogue(EFEDS / "eFEDSmasstable_Chiu2023.fits")


def test_sentinels_are_missing(tmp_path, caplog):
    rows = ["1,1,1,9,9,-1,0.1", "2,1,1,9,9,-99.9,0.1", "3,1,1,9,9,-9999,0.1", "4,1,1,9,9,inf,0.1", "5,1,1,9,9,,0.1"]
    rows += ["6,1,1,9,9,nan,0.1", "7,1,1,9,9,0.2,inf", "8,1,1,9,9,0.2,-1", "9,1,1,9,9,0.2,0.03", "10,1,1,9,9,0,0.1"]
    with caplog.at_level("INFO", "clustermass"):
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


@pytest.mark.parametrize("row", ["1,1,1,-1,0.1,", "1,1,1,,,", "1,1,1,nan,,0", "1,1,1,0.5,inf,0"])
def test_a_single_cluster_without_usable_redshift_is_kept(tmp_path, row, caplog):
    table = read_catalogue(csv(tmp_path, [row], "ID_SRC,RA,DEC,Z,Z_ERR,Z_TYPE"))
    assert (len(table), table["Z_TYPE"][0]) == (1, "none")
    assert np.isnan(table["Z"][0])
    assert "1 of 1 rows (1) " in caplog.text


@pytest.mark.parametrize(
    ("rows", "held"),
    [
        (["1,1,1,-1,0.1", "2,1,1,-1,0.1"], "column ZRED holds -1. Name"),
        (["1,1,1,59958,", "2,1,1,,", "3,1,1,0,", "4,1,1,inf,"], "column ZRED holds 59958, blank, 0, .... Name"),
        (["1,1,1,0.5,inf", "2,1,1,0.2,0.9"], "column ZRED holds 0.5, 0.2, and column ZERR errors above 0.3 (1 + z)."),
    ],
)
def test_a_table_without_any_usable_redshift_is_refused(tmp_path, rows, held):
    path = csv(tmp_path, rows, "ID_SRC,RA,DEC,ZRED,ZERR")
    start = f"none of its {len(rows)} rows has a usable redshift, above 0 and at most 10: {held}"
    with pytest.raises(InputError, match=re.escape(start)):
        read_catalogue(path, {"Z": "ZRED", "Z_ERR": "ZERR"})


@pytest.mark.parametrize("header", ["ID_SRC,RA,DEC", HEADER])
def test_redshifts_are_left_out_on_request(tmp_path, header):
    rows = [",".join(row.split(",")[: header.count(",") + 1]) for row in ROWS]
    table = read_catalogue(csv(tmp_path, rows, header), with_redshift=False)
    assert table["ID_SRC"].tolist() == [7, 9, 4]
    assert table["Z_TYPE"].tolist() == ["none"] * 3
    assert np.isnan(table["Z"]).all()
    assert np.isnan(table["Z_ERR"]).all()


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


@pytest.mark.parametrize(
    "kind", ["star-forming photo-z", "SDSS", "no spec", "non-spectroscopic", "10", "spec/photo", "pending", "not photo"]
)
def test_a_kind_of_redshift_that_is_not_clear_is_refused(tmp_path, kind):
    expected = {"star-forming photo-z": "photo"}.get(kind)
    path = csv(tmp_path, ["1,1,1,0.3,0.05,spec", f"2,1,1,0.3,0.05,{kind}"], "ID_SRC,RA,DEC,Z,Z_ERR,Z_TYPE")
    if expected:
        assert read_catalogue(path)["Z_TYPE"].tolist() == ["spec", expected]
        return
    with pytest.raises(InputError, match=rf"column Z_TYPE, row 2: '{kind}' is neither photo \(0\) nor spec \(1\)"):
        read_catalogue(path)


def test_a_word_in_the_kind_of_redshift_counts_not_its_first_letter(tmp_path):
    kinds = ["SDSS photo", "photo_z", "SDSS spec", "spec_z_boot", "n/a", "lit_z"]
    rows = [f"{number},1,1,0.3,0.05,{kind}" for number, kind in enumerate(kinds, start=1)]
    table = read_catalogue(csv(tmp_path, rows, "ID_SRC,RA,DEC,Z,Z_ERR,Z_TYPE"))
    assert table["Z_TYPE"].tolist() == ["photo", "photo", "spec", "spec", "photo", "photo"]
    assert table["Z_ERR"].tolist() == pytest.approx([0.05, 0.05, 0, 0, 0.05, 0.05])


def test_redshifts_without_error_or_kind_are_exact(tmp_path, caplog):
    table = read_catalogue(csv(tmp_path, ["1,1,1,0.3"], "ID_SRC,RA,DEC,Z"))
    assert (table["Z_TYPE"][0], table["Z_ERR"][0]) == ("spec", 0)
    assert "taken as exact" in caplog.text

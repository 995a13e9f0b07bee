"""The published catalogues and their known problems, in small tables with the same columns and in the real ones."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from catalogues_survey_tables import (
    CHIU23,
    CONFIRMED,
    DOUBTFUL,
    EFEDS,
    FAILED_FITS,
    KLEIN,
    LIU,
    NO_REDSHIFT,
    NUMBER,
    OTHER_REDSHIFT,
    OUTSIDE,
    UNSURE,
    UPPER_LIMITS,
    Tables,
    write_tables,
)  # fmt: skip

from clustermass.catalogues.formats import read_table
from clustermass.catalogues.surveys import mask_sentinels, read_survey_table, recognise
from clustermass.catalogues.tables import CheckedTable
from clustermass.catalogues.user_catalogue import read_catalogue, select_clusters
from clustermass.errors import InputError
from clustermass.io.products import CATALOGUE, write_table

REAL = Tables(
    EFEDS / "efeds_clusters_Liu2022.csv", EFEDS / "efeds_ctp_clus_Klein2022_v2.1.csv",
    EFEDS / "eFEDSmasstable_Chiu2023.fits", Path(), *[np.array([])] * 4,
)  # fmt: skip
needs_real = pytest.mark.skipif(not EFEDS.is_dir(), reason="the public eFEDS tables aren't beside the checkout")
#: redshifts as the two papers' best ones, without the spectroscopic ones in a column of their own
BEST_COMB = {"Z": "Z_BEST_COMB", "Z_ERR": "SIGMA_Z_BEST_COMB"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


def rows_of(table, id_src):
    order = {number: row for row, number in enumerate(np.asarray(table["ID_SRC"]).tolist())}
    return np.array([order[number] for number in np.asarray(id_src).tolist()])


@needs_real
def test_the_small_tables_have_the_columns_of_the_real_ones():
    assert Table.read(REAL.liu).colnames == LIU
    assert sorted(Table.read(REAL.klein).colnames) == sorted(KLEIN)
    assert sorted(read_table(REAL.chiu2023).colnames) == sorted(CHIU23)


def test_rows_are_joined_by_id_src_whatever_their_order_and_names(tables):
    assert not set(Table.read(tables.liu)["ID"]) & set(tables.name)
    joined = read_catalogue(tables.klein, further=[tables.liu])
    assert joined["ID_SRC"].tolist() == tables.id_src.tolist()
    liu = Table.read(tables.liu)
    liu = liu[rows_of(liu, tables.id_src)]
    good = np.isfinite(joined["LX500"])
    assert good.sum() == NUMBER - len(UPPER_LIMITS) - len(OTHER_REDSHIFT) - len(NO_REDSHIFT) + 1
    assert np.array_equal(joined["LX500"][good], liu["L_500kpc"][good])
    # and the other way round: what only Klein et al. have
    other_way = read_catalogue(tables.liu, further=[tables.klein])
    back = other_way[rows_of(other_way, tables.id_src)]
    assert back["NAME_CAT"].tolist() == tables.name.tolist()
    assert np.array_equal(back["ML_RATE"], joined["ML_RATE"])
    assert set(back["Z_ORIGIN"]) == {"z"}


@needs_real
def test_real_rows_are_joined_by_id_src():
    liu, klein = Table.read(REAL.liu), Table.read(REAL.klein)
    assert len(liu) == len(klein) == len(read_table(REAL.chiu2023)) == 542
    ordered = liu[rows_of(liu, klein["ID_SRC"])]
    # by name three of four would be lost
    assert (ordered["ID"] == klein["Name"]).sum() == 132
    joined = read_catalogue(REAL.klein, further=[REAL.liu])
    assert len(joined) == len(set(joined["ID_SRC"].tolist())) == 542
    known = np.isfinite(joined["LX500"])
    # 49 upper limits, and a few whose luminosity is for another redshift or that have none
    assert 480 < known.sum() <= 493
    assert np.array_equal(joined["LX500"][known], ordered["L_500kpc"][known])
    assert joined["NAME_CAT"].tolist() == klein["Name"].tolist()


def test_sentinels_are_masked(tables, caplog):
    caplog.set_level("INFO")
    liu, klein = read_survey_table(tables.liu), read_survey_table(tables.klein)
    liu = liu[rows_of(liu, tables.id_src)]
    assert np.flatnonzero(np.ma.getmaskarray(np.ma.asarray(liu["L_500kpc"]))).tolist() == list(UPPER_LIMITS)
    assert not np.ma.getmaskarray(np.ma.asarray(liu["L_500kpc_U"])).any()
    for name in ("ML_RATE_ERR", "ML_CTS_ERR"):
        assert np.flatnonzero(np.ma.getmaskarray(np.ma.asarray(klein[name]))).tolist() == list(FAILED_FITS)
    for name in ("SPEC_Z_BEST_COMB", "RA_GDMAP_2BEST_COMB", "DEC_GDMAP_2BEST_COMB"):
        assert np.ma.getmaskarray(np.ma.asarray(klein[name])).all()
    # negative contamination means confirmed, an infinite error that the redshift is unknown: both say something
    assert not np.ma.getmaskarray(np.ma.asarray(klein["F_CONT_BEST_COMB"])).any()
    assert np.isinf(klein["SIGMA_Z_BEST_COMB"]).sum() == len(NO_REDSHIFT)
    assert "L_500kpc 2, L_500kpc_L 2, F_500kpc 2" in caplog.text
    catalogue = read_catalogue(tables.klein)
    assert np.flatnonzero(np.isnan(catalogue["Z"])).tolist() == list(NO_REDSHIFT)
    assert catalogue["Z_ORIGIN"][NO_REDSHIFT[0]] == ""


@needs_real
def test_real_sentinels_are_masked():
    liu, klein = read_survey_table(REAL.liu), read_survey_table(REAL.klein)
    measured = {name: int((~np.ma.getmaskarray(np.ma.asarray(table[name]))).sum()) for table, name in (
        (liu, "L_500kpc"), (liu, "F_500kpc"), (liu, "T_500kpc"), (liu, "T_300kpc"), (klein, "SPEC_Z_BEST_COMB")
    )}  # fmt: skip
    assert measured == {"L_500kpc": 493, "F_500kpc": 494, "T_500kpc": 95, "T_300kpc": 69, "SPEC_Z_BEST_COMB": 296}
    assert Table.read(REAL.klein)["ML_CTS_ERR"].min() < -2e7
    assert np.ma.asarray(klein["ML_CTS_ERR"]).min() > 0
    assert np.ma.asarray(klein["RA_GDMAP_2BEST_COMB"]).min() > 120


def test_a_redshift_is_one_tables_own_and_its_origin_is_recorded(tables, caplog):
    klein = read_catalogue(tables.klein, BEST_COMB, further=[tables.liu])
    assert "3 of 60 rows (6, 7, 8) whose redshift is another in liu.csv (largest difference 0.190)" in caplog.text
    known = ~np.isin(np.arange(NUMBER), NO_REDSHIFT)
    assert np.allclose(klein["Z"][known], tables.redshift[known])
    assert np.isnan(klein["LX500"][list(OTHER_REDSHIFT)]).all()
    liu = read_catalogue(tables.liu, further=[tables.klein])
    liu = liu[rows_of(liu, tables.id_src)]
    # its own luminosities go with its own redshifts
    assert np.isfinite(liu["LX500"][list(OTHER_REDSHIFT)]).all()
    apart = np.flatnonzero(np.abs(liu["Z"] - tables.redshift) > 0.02)
    assert apart.tolist() == list(OTHER_REDSHIFT)


@needs_real
def test_real_redshifts_differ_by_more_than_002_for_30_clusters(caplog):
    read_catalogue(REAL.klein, BEST_COMB, further=[REAL.liu])
    assert "30 of 542 rows" in caplog.text
    assert "(largest difference 0.195)" in caplog.text
    caplog.clear()
    # where there is a spectroscopic one the two nearly always agree
    catalogue = read_catalogue(REAL.klein, further=[REAL.liu])
    assert "5 of 542 rows" in caplog.text
    assert (catalogue["Z_ORIGIN"] == "SPEC_Z_BEST_COMB").sum() == 296
    assert (catalogue["Z_ORIGIN"] == "Z_BEST_COMB").sum() == 243


def test_cuts_and_their_counts(tables, caplog):
    caplog.set_level("INFO")
    catalogue = read_catalogue(tables.klein)
    confirmed = select_clusters(catalogue, tables.klein, {"f_cont_max": 0.3})
    assert len(confirmed) == NUMBER - len(DOUBTFUL)
    assert set(tables.id_src[list(CONFIRMED)]) <= set(confirmed["ID_SRC"].tolist())
    secure = select_clusters(catalogue, tables.klein, {"f_cont_max": 0.2, "in_area90": True})
    assert len(secure) == NUMBER - len(DOUBTFUL) - len(UNSURE) - len(OUTSIDE)
    assert "60 rows; F_CONT < 0.2: 51 left; IN_AREA90: 49 left" in caplog.text
    assert len(select_clusters(catalogue, tables.klein, {"f_cont_max": None, "in_area90": False})) == NUMBER
    assert len(select_clusters(catalogue, tables.klein, None)) == NUMBER
    with pytest.raises(InputError, match=r"no row passes catalogue_selection \(6 rows; F_CONT < 0.2: 0 left\)"):
        select_clusters(catalogue[DOUBTFUL.start : DOUBTFUL.stop], tables.klein, {"f_cont_max": 0.2})


@needs_real
def test_real_cuts():
    """477 clusters, 7 of them groups confirmed by other means, are the confirmed ones of Krippendorf et al. (2023)."""
    for path, further in ((REAL.klein, []), (REAL.liu, [REAL.klein])):
        catalogue = read_catalogue(path, further=further)
        assert len(catalogue) == 542
        assert (catalogue["F_CONT"] < 0).sum() == 7
        assert len(select_clusters(catalogue, path, {"f_cont_max": 0.3})) == 477
        assert len(select_clusters(catalogue, path, {"f_cont_max": 0.2})) == 453
        assert len(select_clusters(catalogue, path, {"f_cont_max": 0.2, "in_area90": True})) == 445
        assert len(select_clusters(catalogue, path, {"in_area90": True})) == 533


def test_a_cut_without_its_column_is_refused(tables):
    with pytest.raises(InputError, match=r"liu.csv: has no column for F_CONT, IN_AREA90, by which catalogue_selection"):
        select_clusters(read_catalogue(tables.liu), tables.liu, {"f_cont_max": 0.3, "in_area90": True})


def test_what_is_joined_survives_the_standard_file(tables, tmp_path):
    catalogue = read_catalogue(tables.klein, further=[tables.liu])
    write_table(tmp_path / "catalogue.fits", "CATALOGUE", CATALOGUE, catalogue)
    again = Table.read(tmp_path / "catalogue.fits")
    for name in ("F_CONT", "IN_AREA90"):
        assert again[name].tolist() == catalogue[name].tolist()
    for name in ("NAME_CAT", "Z_ORIGIN"):
        assert CheckedTable(again, Path()).texts(name) == catalogue[name].tolist()
    luminosity = np.ma.filled(np.ma.asarray(again["LX500"]), np.nan)
    assert np.array_equal(luminosity, catalogue["LX500"], equal_nan=True)
    # 1e44 erg/s is beyond 32 bits
    assert np.nanmax(luminosity) > 5e43


def test_tables_of_other_numbering_are_not_joined(tables, tmp_path):
    klein = Table.read(tables.klein)
    klein["ID_SRC"] = np.roll(klein["ID_SRC"], 1)
    klein.write(tmp_path / "rolled.csv")
    with pytest.raises(InputError, match=r"rolled.csv: rows of the same ID_SRC lie \d+ arcsec"):
        read_catalogue(tables.liu, further=[tmp_path / "rolled.csv"])
    klein["ID_SRC"] += 100000
    klein.write(tmp_path / "others.csv")
    with pytest.raises(InputError, match=r"others.csv: has none of the 60 ID_SRC"):
        read_catalogue(tables.liu, further=[tmp_path / "others.csv"])
    with pytest.raises(InputError, match=r"chiu2023.fits: has no column for ID_SRC \(to join it by\)"):
        read_catalogue(tables.liu, further=[tables.chiu2023])


def test_a_source_catalogue_without_redshifts_takes_them_with_error_and_kind_from_one_table(tables, tmp_path):
    brunner = Table.read(tables.klein)["ID_SRC", "RA_CORR", "DEC_CORR", "EXT", "ML_RATE", "ML_CTS", "ML_EXP", "ML_BKG"]
    brunner["ID_hard"], brunner["DET_LIKE"], brunner["EXT_LIKE"] = -99, 9.0, 8.0
    brunner[5:].write(tmp_path / "brunner.fits")
    assert recognise(brunner).title.startswith("eFEDS X-ray sources")
    with pytest.raises(InputError, match=r"has no column for Z \(redshift\)"):
        read_catalogue(tmp_path / "brunner.fits")
    catalogue = read_catalogue(tmp_path / "brunner.fits", further=[tables.klein, tables.liu])
    assert len(catalogue) == NUMBER - 5
    photo = catalogue["Z_TYPE"] == "photo"
    assert photo.sum() == NUMBER - 5 - len(NO_REDSHIFT)
    assert np.allclose(catalogue["Z_ERR"][photo], 0.01)
    assert set(catalogue["Z_ORIGIN"][photo]) == {"Z_BEST_COMB of klein.csv"}


def test_erass1_clusters_are_numbered_and_keep_their_names(tmp_path):
    """In eRASS1 ID_SRC begins anew in every tile; redshifts have five kinds; masses of failed fits are blank."""
    table = Table({
        "NAME": ["1eRASS J000000.0-000001", "1eRASS J000000.0-000002", "1eRASS J000000.0-000003"],
        "DETUID": ["a", "b", "c"], "ID_SRC": [1, 1, 2], "RA": [10.0, 11.0, 12.0], "DEC": [-1.0, -2.0, -3.0],
        "EXT_LIKE": [5.0, 6.0, 7.0], "DET_LIKE_0": [20.0, 30.0, 40.0], "BEST_Z": [0.2, 0.3, 0.4],
        "BEST_ZERR": [0.001, 0.0001, 0.01], "BEST_Z_TYPE": ["spec_z_boot", "cg_spec_z", "photo_z"],
        "PCONT": [0.01, 0.4, 0.0], "M500": ["12.5", "", "-1"],
    })  # fmt: skip
    table.write(tmp_path / "erass1.fits")
    catalogue = read_catalogue(tmp_path / "erass1.fits")
    assert catalogue["ID_SRC"].tolist() == [1, 2, 3]
    assert catalogue["NAME_CAT"].tolist() == table["NAME"].tolist()
    assert catalogue["Z_TYPE"].tolist() == ["spec", "spec", "photo"]
    assert catalogue["F_CONT"].tolist() == pytest.approx([0.01, 0.4, 0.0])
    masses = np.ma.asarray(read_survey_table(tmp_path / "erass1.fits")["M500"])
    assert np.ma.getmaskarray(masses).tolist() == [False, True, True]
    assert masses[0] == 12.5


def test_a_table_of_ones_own_is_left_as_it_is(tmp_path):
    own = Table({"ID_SRC": [1], "RA": [1.0], "DEC": [2.0], "Z": [0.3], "T_500kpc": [-1.0], "ML_RATE_ERR": [-5.0]})
    assert recognise(own) is None
    own.write(tmp_path / "own.fits")
    assert np.array_equal(read_survey_table(tmp_path / "own.fits")["T_500kpc"], [-1.0])
    assert np.ma.getmaskarray(np.ma.asarray(mask_sentinels(own, Path("own.fits"))["T_500kpc"])).all()


def test_luminosities_in_other_units_are_refused(tmp_path):
    Table({"ID_SRC": [1], "RA": [1.0], "DEC": [2.0], "Z": [0.3], "LX500": [12.0]}).write(tmp_path / "own.fits")
    with pytest.raises(InputError, match=r"column LX500 \(LX500\) holds values below 1e\+36: no luminosities"):
        read_catalogue(tmp_path / "own.fits")


@needs_real
def test_many_real_clusters_share_a_box():
    """228 of 542 clusters have another cluster in their 20' box: so a field is never split cluster by cluster."""
    catalogue = read_catalogue(REAL.klein)
    ra, dec = np.asarray(catalogue["RA"]), np.asarray(catalogue["DEC"])
    x = (ra[:, None] - ra) * np.cos(np.radians(dec[:, None])) * 60
    y = (dec[:, None] - dec) * 60
    neighbours = ((np.abs(x) < 10) & (np.abs(y) < 10)).sum(axis=1) - 1
    assert ((neighbours > 0).sum(), neighbours.max()) == (228, 5)

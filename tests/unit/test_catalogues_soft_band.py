"""Catalogues of several energy bands: rates, counts, background and exposure of 0.2-2.3 keV."""

import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustermass.catalogues.formats import read_table
from clustermass.catalogues.soft_band import in_soft_band
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError

CATPREP = Path(__file__).parents[3] / "shared" / "data" / "esass" / "SourceCatalog.fits.gz"
SUMS = ("ML_RATE", "ML_CTS", "ML_BKG")
EXPOSURE = np.array([[1000.0, 2000.0], [800.0, 1600.0], [600.0, 1200.0]])
RATE = np.array([[0.1, 0.2], [0.3, 0.4], [0.05, 0.06]])


def banded(number=3):
    """Return two clusters measured in bands 1 to 3 and, as band 0, in all of them."""
    table = Table({"ID_SRC": [1, 2], "RA": [10.0, 11.0], "DEC": [1.0, 2.0], "Z": [0.2, 0.3]})
    columns = {"ML_RATE": RATE, "ML_CTS": RATE * EXPOSURE, "ML_BKG": 10 * RATE, "ML_EXP": EXPOSURE}
    for name, values in columns.items():
        if name != "ML_EXP":
            table[f"{name}_0"] = values[:number].sum(axis=0)
        for band in range(number):
            table[f"{name}_{band + 1}"] = values[band]
    return table


def written(table, path, emin="", emax="", **columns):
    hdu = fits.table_to_hdu(Table(table | columns) if columns else table)
    if emin:
        call = (
            f'TASK:evtool x EMIN="1 2" EMAX="2 3" TASK:ermldet 1.56 PARAMS:BOXLIST=b EMIN={emin} EMAX={emax} ECF=1.0 '
        )
        hdu.header["SASSHIST"] = call + "TASK:catprep 2.9 PARAMS:infile=a.fits" + 300 * " x"
    hdu.writeto(path, overwrite=True)
    return path


def check_unknown(path, caplog, edges=None):
    table = read_catalogue(path, edges_ev=edges)
    assert all(np.isnan(table[name]).all() for name in SUMS)
    assert "count rate, counts and background count as unknown (FLAG_NOCAT)" in caplog.text
    assert "--catalogue-bands 200,600,2300,5000; in Python: catalogue_bands=[200" in caplog.text
    assert table["ML_EXP"].tolist() == pytest.approx(EXPOSURE[0])


def check_first_two(table):
    assert table["ML_RATE"].tolist() == pytest.approx(RATE[:2].sum(axis=0))
    assert table["ML_CTS"].tolist() == pytest.approx((RATE * EXPOSURE)[:2].sum(axis=0))
    assert table["ML_BKG"].tolist() == pytest.approx(10 * RATE[:2].sum(axis=0))
    by_counts = (RATE * EXPOSURE)[:2].sum(axis=0) / RATE[:2].sum(axis=0)
    assert table["ML_EXP"].tolist() == pytest.approx(by_counts)


def test_bands_of_unknown_energies_are_no_soft_rate(tmp_path, caplog):
    check_unknown(written(banded(), tmp_path / "t.fits"), caplog)


def test_bands_that_the_user_names(tmp_path):
    path = written(banded(), tmp_path / "t.fits")
    check_first_two(read_catalogue(path, edges_ev=[200, 600, 2300, 5000]))
    with pytest.raises(InputError, match=r"has bands 1, 2, 3, but catalogue_bands has 3 edges\. Give 4"):
        read_catalogue(path, edges_ev=[200, 2300, 5000])


def test_each_band_has_its_own_units(tmp_path):
    table = banded()
    for name, unit, factor in (("ML_RATE_1", "ct/ks", 1e3), ("ML_RATE_2", "1/s", 1), ("ML_EXP_2", "ks", 1e-3)):
        table[name] = table[name] * factor
        table[name].unit = unit
    check_first_two(read_catalogue(written(table, tmp_path / "t.fits"), edges_ev=[200, 600, 2300, 5000]))
    table["ML_RATE_2"] = table["ML_RATE_2"] * 1e3
    table["ML_RATE_2"].unit = "ct/ks"
    check_first_two(read_catalogue(written(table, tmp_path / "t.fits"), edges_ev=[200, 600, 2300, 5000]))


def test_bands_that_the_header_names(tmp_path, caplog):
    three = written(banded(), tmp_path / "t.fits", '"200.0 600.000 2300.000"', '"600.0 2300.000 5000.0"')
    check_first_two(read_catalogue(three))
    check_unknown(written(banded(), tmp_path / "t.fits", '"200 600 2000"', '"600 2000 5000"'), caplog)
    assert "its bands (0.2-0.6, 0.6-2, 2-5 keV) don't make 0.2-2.3 keV" in caplog.text
    # two telescopes with the same band: neither is the whole
    check_unknown(written(banded(), tmp_path / "t.fits", '"200 200 2300"', '"2300 2300 5000"'), caplog)


def test_a_single_band(tmp_path, caplog):
    table = read_catalogue(written(banded(1), tmp_path / "t.fits"))
    assert table["ML_RATE"].tolist() == pytest.approx(RATE[0])
    one = read_catalogue(written(banded(1), tmp_path / "t.fits", "200.000000", "2300.00000"))
    assert one["ML_RATE"].tolist() == pytest.approx(RATE[0])
    check_unknown(written(banded(1), tmp_path / "t.fits", "500.000000", "2000.00000"), caplog)


def test_hard_sources_of_erass1(tmp_path):
    table = banded()
    table["UID_1B"] = [1, 2]
    check_first_two(read_catalogue(written(table, tmp_path / "t.fits")))


def test_what_is_left_alone(tmp_path):
    table = banded()
    table["ML_RATE"] = [0.7, 0.8]
    assert read_catalogue(written(table, tmp_path / "t.fits"))["ML_RATE"].tolist() == pytest.approx([0.7, 0.8])
    named = {"ML_RATE": "ML_RATE_2", "ML_CTS": "ML_CTS_2"}
    assert read_catalogue(written(banded(), tmp_path / "t.fits"), named)["ML_RATE"].tolist() == pytest.approx(RATE[1])


def test_a_further_table_of_several_bands(tmp_path):
    banded()["ID_SRC", "RA", "DEC", "Z"].write(tmp_path / "z.csv")
    bands = banded()
    del bands["Z"]
    written(bands, tmp_path / "t.fits")
    table = read_catalogue(tmp_path / "z.csv", None, [tmp_path / "t.fits"], [200, 600, 2300, 5000])
    check_first_two(table)


def test_rows_for_each_band_are_refused(tmp_path):
    table = Table({"ID_SRC": [1, 1], "ID_BAND": [0, 1], "ID_INST": [0, 0], "RA": [1.0, 1.0], "DEC": [1.0, 1.0]})
    table["ML_RATE"], table["Z"] = [0.1, 0.1], [0.2, 0.2]
    table.write(tmp_path / "t.fits")
    with pytest.raises(InputError, match="a row for each band and telescope, as ermldet writes it"):
        read_catalogue(tmp_path / "t.fits")


@pytest.mark.skipif(not CATPREP.is_file(), reason="the real catprep catalogue isn't beside the checkout")
def test_a_real_catprep_catalogue_of_four_bands():
    """Its header gives 0.2-0.5, 0.5-1, 1-2.2, 2.2-10 keV; the first three together agree with the soft band to 1 %."""
    table = read_table(CATPREP)
    soft = in_soft_band(table, CATPREP)
    rate = np.asarray(soft["ML_RATE"])
    assert rate == pytest.approx(sum(np.asarray(table[f"ML_RATE_{band}"], dtype=float) for band in (1, 2, 3)))
    bright = np.asarray(table["EXT_LIKE"]) > 20
    assert np.max((np.asarray(table["ML_RATE_0"]) / rate)[bright]) > 1.05
    exposure = np.asarray(soft["ML_EXP"])
    assert (exposure <= np.asarray(table["ML_EXP_1"]) * 1.000001).all()
    assert (exposure >= np.asarray(table["ML_EXP_3"]) * 0.999999).all()


def test_a_long_history_of_tasks_is_searched_quickly(tmp_path):
    table = banded()
    table.meta["SASSHIST"] = "TASK:ermldet " * 20_000 + "TASK:ermldet EMIN=1.2.3 EMAX=2"
    begin = time.process_time()
    assert in_soft_band(table, tmp_path)["ML_RATE"].mask.all()
    assert time.process_time() - begin < 5

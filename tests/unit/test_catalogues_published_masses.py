"""Published masses: each kind's units and errors against masses known beforehand, and on the real table."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table
from catalogues_survey_tables import EFEDS, NUMBER, UNSURE, write_tables

from clustermass.baselines.scaling_relations import count_rate_relation, luminosity_relation
from clustermass.catalogues.formats import read_table
from clustermass.catalogues.published_masses import look_up, read_published, short_names
from clustermass.catalogues.user_catalogue import read_catalogue, select_clusters
from clustermass.cosmology import arcmin_per_mpc, r500c_mpc
from clustermass.errors import InputError

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
LIU, KLEIN = EFEDS / "efeds_clusters_Liu2022.csv", EFEDS / "efeds_ctp_clus_Klein2022_v2.1.csv"
CHIU2023 = EFEDS / "eFEDSmasstable_Chiu2023.fits"
needs_real = pytest.mark.skipif(not EFEDS.is_dir(), reason="the public eFEDS tables aren't beside the checkout")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


def test_chiu2023_is_per_h_with_linear_errors(tables, caplog):
    found = read_published(tables.chiu2023, "chiu2023")
    rows = look_up(found, tables.id_src, tables.name)
    assert (rows >= 0).all()
    # planted in Msun, written as log10 of Msun/h with h = 0.7: 0.155 dex apart
    np.testing.assert_allclose(found.mass[rows], tables.mass, atol=1e-9)
    # planted as +25 and -20 per cent
    np.testing.assert_allclose(found.high, np.log10(1.25), atol=1e-9)
    np.testing.assert_allclose(found.low, np.log10(1 / 0.8), atol=1e-9)
    assert "60 rows, but Chiu et al. 2023 has 542" in caplog.text


def test_chiu2022_by_its_bytes_and_by_its_names(tables, tmp_path):
    found = read_published(tables.chiu2022, "chiu2022")
    rows = look_up(found, tables.id_src, tables.name)
    assert np.flatnonzero(rows < 0).tolist() == list(range(0, NUMBER, 4))
    there = rows >= 0
    np.testing.assert_allclose(found.mass[rows[there]], tables.mass[there], atol=6e-4)
    assert set(found.low) == set(found.high) == {0.11}
    assert any(there[list(UNSURE)])
    # VizieR's FITS has no dot in a name
    names = [name.removeprefix("eFEDS ") for name in tables.name]
    columns = {"Name": names, "logM500R0_5B": tables.mass + np.log10(0.7), "e_logM500R0_5B": np.full(NUMBER, 0.1)}
    Table(columns).write(tmp_path / "vizier.fits")
    np.testing.assert_allclose(read_published(tmp_path / "vizier.fits", "chiu2022").mass, tables.mass)
    lines = ["#RESOURCE=yCat_36610011", "", "Name\tn_Name\tlogM500R0.5B\te_logM500R0.5B", " \t \t[Msun]\t[Msun]"]
    lines += ["-" * 16 + "\t-\t------\t-----", "J000000.0+000000\t \t13.845\t0.110"]
    lines += ["J000001.1+000001\t*\t14.000\t0.120"]
    (tmp_path / "asu.tsv").write_text("\n".join(lines) + "\n")
    found = read_published(tmp_path / "asu.tsv", "chiu2022")
    assert found.ids.tolist() == ["J000000.0+000000", "J000001.1+000001"]
    assert found.mass.tolist() == pytest.approx([14.0, 14.155], abs=1e-3)
    assert found.high.tolist() == [0.11, 0.12]


def test_masses_are_never_found_by_the_names_of_liu(tables):
    found = read_published(tables.chiu2023, "chiu2023")
    liu = read_catalogue(tables.liu)
    assert "NAME_CAT" not in liu.colnames
    with pytest.raises(InputError, match=r"which the field's catalogue lacks\. Name the table that has them"):
        look_up(found, np.asarray(liu["ID_SRC"]), None)
    with pytest.raises(InputError, match="none of the 60 clusters is in the table of published masses"):
        look_up(found, tables.id_src, np.asarray(Table.read(tables.liu)["ID"]))


def test_erass1_masses_are_bounds_in_1e13_msun(tmp_path):
    table = Table({
        "NAME": ["1eRASS J1", "1eRASS J2"], "DETUID": ["a", "b"], "BEST_Z": [0.1, 0.2], "EXT_LIKE": [5.0, 6.0],
        "M500": [20.0, 0.0], "M500_L": [16.0, 0.0], "M500_H": [25.0, 0.0],
    })  # fmt: skip
    table.write(tmp_path / "e.fits")
    found = read_published(tmp_path / "e.fits", "bulbul2024")
    assert found.mass[0] == pytest.approx(np.log10(2e14))
    assert (found.low[0], found.high[0]) == pytest.approx((np.log10(1.25), np.log10(1.25)))
    assert np.isnan(found.mass[1])
    table["M500_L"], table["M500_H"] = [4.0, 0.0], [5.0, 0.0]
    table.write(tmp_path / "e.fits", overwrite=True)
    with pytest.raises(InputError, match="M500_L and M500_H don't enclose M500"):
        read_published(tmp_path / "e.fits", "bulbul2024")


def test_a_table_of_ones_own_by_name_or_number(tmp_path):
    Table({"cl": ["A B J1", "A J2"], "m": [14.0, np.nan]}).write(tmp_path / "own.fits")
    found = read_published(tmp_path / "own.fits", "table", {"NAME_CAT": "cl", "LOGM500_REF": "m"})
    assert found.ids.tolist() == ["J1", "J2"]
    assert look_up(found, np.array([5, 6, 7]), np.array(["X J2", "J1", ""])).tolist() == [1, 0, -1]
    Table({"ID_SRC": [6, 5], "LOGM500_REF": [14.0, 14.5], "LOGM500_REF_ERR": [0.1, 0.2]}).write(tmp_path / "id.csv")
    found = read_published(tmp_path / "id.csv", "table")
    assert look_up(found, np.array([5, 6, 7]), None).tolist() == [1, 0, -1]
    assert found.high.tolist() == [0.1, 0.2]


def test_faulty_tables_are_refused(tmp_path, tables):
    with pytest.raises(InputError, match="kind is 'chiu', but must be one of: chiu2022, chiu2023"):
        read_published(tables.chiu2023, "chiu")
    with pytest.raises(InputError, match=r"has no column for median_500c_lcdm \(as published\), m500c_lcdm_loerr"):
        read_published(tables.klein, "chiu2023")
    Table({"ID_SRC": [1], "LOGM500_REF": [2.0e14]}).write(tmp_path / "linear.csv")
    with pytest.raises(InputError, match=r"row 1 would have log10\(M500c / Msun\) = 2.*Is the table of kind table"):
        read_published(tmp_path / "linear.csv", "table")
    Table({"NAME_CAT": ["J1", "A J1"], "LOGM500_REF": [14.0, 14.1]}).write(tmp_path / "twice.csv")
    with pytest.raises(InputError, match="J1 is in more than one row"):
        read_published(tmp_path / "twice.csv", "table")
    with pytest.raises(InputError, match=r"tablec1\.dat: no such file"):
        read_published(tmp_path / "tablec1.dat", "chiu2022")


def test_short_names():
    assert short_names(["eFEDS J0838-01", "J0838-01", "1eRASS J1", ""]) == ["J0838-01", "J0838-01", "J1", ""]


@needs_real
def test_real_masses_are_found_by_kleins_names():
    found = read_published(CHIU2023, "chiu2023")
    klein = read_catalogue(KLEIN)
    rows = look_up(found, np.asarray(klein["ID_SRC"]), np.asarray(klein["NAME_CAT"]))
    assert sorted(rows.tolist()) == list(range(542))
    secure = np.asarray(klein["F_CONT"]) < 0.2
    mass = found.mass[rows][secure]
    # percentiles and errors measured on the released table, h = 0.7
    np.testing.assert_allclose(np.percentile(mass, [5, 50, 95]), [13.65, 14.16, 14.58], atol=0.006)
    assert np.median(found.high[rows][secure]) == pytest.approx(0.092, abs=0.001)
    assert np.median(found.low[rows][secure]) == pytest.approx(0.094, abs=0.001)
    confirmed = np.asarray(klein["F_CONT"]) < 0.3
    assert ((found.mass[rows] > 13) & (found.mass[rows] < 15) & confirmed).sum() == 477


@needs_real
def test_relations_beside_the_real_masses():
    """The luminosity relation agrees in the median with its pivot read as Msun/h, and not with it read as Msun."""
    baselines = yaml.safe_load(CONFIG.read_text())["baselines"]
    relation = baselines["luminosity_published"]
    catalogue = select_clusters(read_catalogue(LIU, further=[KLEIN]), LIU, {"f_cont_max": 0.2})
    found = read_published(CHIU2023, "chiu2023")
    mass = found.mass[look_up(found, np.asarray(catalogue["ID_SRC"]), np.asarray(catalogue["NAME_CAT"]))]
    luminosity, redshift = np.asarray(catalogue["LX500"]), np.asarray(catalogue["Z"], dtype=float)
    known = np.isfinite(luminosity)
    assert known.sum() == 410
    for pivot, offset in ((1.4e14 / 0.7, 0.021), (1.4e14, -0.134)):
        block = relation | {"mass_pivot_msun": pivot}
        difference = luminosity_relation(redshift[known], block).log10_mass(luminosity[known]) - mass[known]
        assert np.median(difference) == pytest.approx(offset, abs=0.002)
        nmad = 1.4826 * np.median(np.abs(difference - np.median(difference)))
        assert nmad == pytest.approx(0.112, abs=0.002)
    assert relation["mass_pivot_msun"] == pytest.approx(1.4e14 / 0.7)
    klein = select_clusters(read_catalogue(KLEIN, {"Z": "Z_BEST_COMB"}), KLEIN, {"f_cont_max": 0.2})
    mass = found.mass[look_up(found, np.asarray(klein["ID_SRC"]), np.asarray(klein["NAME_CAT"]))]
    rate, redshift = np.asarray(klein["ML_RATE"], dtype=float), np.asarray(klein["Z"], dtype=float)
    residual = count_rate_relation(redshift, baselines["count_rate_efeds"]).log10_mass(rate) - mass
    assert residual.size == 453
    assert np.sqrt(np.mean(residual**2)) == pytest.approx(0.035, abs=0.001)


@needs_real
def test_real_radii_are_those_of_the_masses_in_another_cosmology():
    """Chiu et al. (2023) computed R500c in their best fit, omega_m = 0.245; 0.3 is off by up to 0.9 per cent."""
    table = read_table(CHIU2023)
    found, redshift = read_published(CHIU2023, "chiu2023"), np.asarray(table["Z_BEST_COMB"])
    for omega_m, scatter in ((0.245, (0.0, 0.0005)), (0.3, (0.001, 0.01))):
        cosmology = {"h0_km_s_mpc": 70.0, "omega_m": omega_m}
        radius = r500c_mpc(found.mass, redshift, cosmology) * arcmin_per_mpc(redshift, cosmology)
        ratio = np.asarray(table["r500c_lcdm"]) / radius
        assert scatter[0] < ratio.std() < scatter[1]
        assert abs(ratio.mean() - 1) < 0.006


@needs_real
def test_real_rates_and_fluxes_are_of_different_bands():
    """ML_RATE, ML_FLUX: 0.2-2.3 keV with one factor for all; F_500kpc: 0.5-2 keV, a different factor for each."""
    klein, liu = read_table(KLEIN), read_table(LIU)
    row = {number: i for i, number in enumerate(liu["ID_SRC"].tolist())}
    flux = np.asarray(liu["F_500kpc"])[[row[number] for number in klein["ID_SRC"].tolist()]]
    rate = np.asarray(klein["ML_RATE"])
    np.testing.assert_allclose(rate / klein["ML_FLUX"], 1.06e12, rtol=1e-3)
    known = flux > 0
    assert np.median(flux[known] / rate[known]) == pytest.approx(4.98e-13, rel=0.01)
    assert (flux[known] / rate[known]).std() > 1e-14

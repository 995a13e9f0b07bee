"""Comparison with published masses: planted offsets and trends are found, and simulated fields are kept out."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from catalogues_survey_tables import NO_REDSHIFT, NUMBER, write_tables
from matplotlib.image import imread
from scipy import stats

from clustermass.apply.compare_published import (
    MIN_CLUSTERS,
    PIVOT_LOG10_M500C,
    PIVOT_Z,
    compare_masses,
    compare_published,
)
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError
from clustermass.figures import published_masses
from clustermass.figures._observed import binned_medians
from clustermass.figures.output import KINDS
from clustermass.io.products import CATALOGUE, write_table

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
RELATIONS = yaml.safe_load(CONFIG.read_text())["baselines"]


def planted(number, offset, slope_mass, slope_z, scatter, seed=1):
    """Two sets of masses whose difference is linear in their mean and in log10(1 + z), and the redshifts."""
    rng = np.random.default_rng(seed)
    mean, redshift = rng.normal(14.2, 0.3, number), rng.uniform(0.1, 0.9, number)
    q = np.log10((1 + redshift) / (1 + PIVOT_Z))
    difference = offset + slope_mass * (mean - PIVOT_LOG10_M500C) + slope_z * q + scatter * rng.normal(size=number)
    return mean + difference / 2, mean - difference / 2, redshift


def test_planted_offset_and_trends_are_found():
    first, second, redshift = planted(400, 0.07, -0.3, 0.8, 0.0)
    found = compare_masses(first, second, redshift, 100, np.random.default_rng(0))
    assert found["n"] == 400
    fit = found["fit"]
    assert (fit["offset_dex"], fit["slope_mass"], fit["slope_redshift"]) == pytest.approx((0.07, -0.3, 0.8), abs=2e-6)
    assert fit["scatter_dex"] == pytest.approx(0, abs=1e-6)
    assert found["mean_dex"] == pytest.approx(np.mean(first - second), abs=1e-6)
    assert found["nmad_dex"] == pytest.approx(stats.median_abs_deviation(first - second, scale="normal"), abs=1e-6)
    # the other way round everything but the scatter changes sign
    back = compare_masses(second, first, redshift, 100, np.random.default_rng(0))
    assert back["fit"]["slope_mass"] == pytest.approx(0.3, abs=2e-6)
    assert back["scatter_dex"] == found["scatter_dex"]


def test_errors_are_those_of_repeated_samples():
    """Compare the bootstrap errors of one sample with the scatter of the values over 150 new samples."""
    names = ("offset_dex", "slope_mass", "slope_redshift", "scatter_dex")
    rng = np.random.default_rng(0)
    many = [compare_masses(*planted(150, 0.05, 0.2, -0.5, 0.15, seed), 2, rng) for seed in range(150)]
    one = compare_masses(*planted(150, 0.05, 0.2, -0.5, 0.15, 999), 300, rng)
    for name, truth in zip(names, (0.05, 0.2, -0.5, 0.15), strict=True):
        values = np.array([found["fit"][name] for found in many])
        assert one["fit"][f"{name}_error"] == pytest.approx(values.std(), rel=0.35)
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(150) + 0.001)
        low, high = one["fit"][f"{name}_ci68"]
        assert low < one["fit"][name] < high


def test_equal_errors_of_both_make_no_trend_with_mass():
    rng = np.random.default_rng(4)
    true = rng.normal(14.2, 0.2, 2000)
    first, second = true + 0.15 * rng.normal(size=2000), true + 0.15 * rng.normal(size=2000)
    fit = compare_masses(first, second, rng.uniform(0.1, 0.9, 2000), 100, rng)["fit"]
    assert abs(fit["slope_mass"]) < 3 * fit["slope_mass_error"]
    # against one of them alone there is one out of nothing, a fifth of a dex per dex and more
    assert stats.linregress(second, first - second).slope < -0.2


def test_too_few_clusters_tell_nothing():
    number = MIN_CLUSTERS + 3
    first, second, redshift = planted(number, 0.1, 0, 0, 0.1)
    first[:4] = np.nan
    found = compare_masses(first, second, redshift, 50, np.random.default_rng(0))
    assert found["n"] == number - 4
    assert found["mean_dex"] is found["fit"]["slope_mass"] is found["fit"]["slope_mass_ci68"] is None


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


def field(folder, tables, offset=0.1, simulated=False):
    """Write a field's catalogue and masses: the published ones plus an offset, rows in another order."""
    catalogue = read_catalogue(tables.klein, further=[tables.liu])
    write_table(folder / "catalogue.fits", "CATALOGUE", CATALOGUE, catalogue)
    order = np.random.default_rng(2).permutation(NUMBER)
    mass = np.where(np.isfinite(catalogue["Z"]), tables.mass + offset, np.nan)
    columns = {"REALIZATION": ["01"] * NUMBER, "ID_SRC": catalogue["ID_SRC"], "Z": catalogue["Z"], "LOGM500": mass}
    columns |= {"LOGM500_ERR": np.full(NUMBER, 0.15)} | {
        f"FLAG_{x}": np.zeros(NUMBER, int) for x in ("RANGE", "OOD", "EDGE")
    }
    table = fits.BinTableHDU(Table(columns)[order], name="MASSES")
    table.header["SIMULATE"] = simulated
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "masses.fits", overwrite=True)
    return folder


def compare(folder, published, name="comparison.json", **block):
    compare_published(
        folder / "masses.fits", [folder / "catalogue.fits"], published, folder / name,
        ["01"], {"kind": "chiu2023", **block}, RELATIONS, 100, 1,
    )  # fmt: skip
    return json.loads((folder / name).read_text())


def test_a_planted_offset_is_found_through_both_joins(tmp_path, tables):
    content = compare(field(tmp_path, tables), tables.chiu2023)
    found = content["comparisons"]["network_minus_published"]
    known = NUMBER - len(NO_REDSHIFT)
    assert found["n"] == content["n"]["network"] == known
    assert content["n"]["published"] == content["n"]["catalogue"] == NUMBER
    # one cluster joined to another's mass would show: masses spread over 1.3 dex
    assert found["mean_dex"] == pytest.approx(0.1, abs=1e-4)
    assert found["scatter_dex"] == pytest.approx(0, abs=1e-4)
    clusters = content["clusters"]
    rows = [clusters["id_src"].index(number) for number in tables.id_src.tolist()]
    np.testing.assert_allclose(np.array(clusters["published"])[rows], tables.mass, atol=1e-5)
    assert clusters["network"].count(None) == len(NO_REDSHIFT)
    # at the pivot redshift the planted count rates are those of the relation at these masses
    near = [row for row in range(NUMBER) if clusters["redshift"][row] and abs(clusters["redshift"][row] - 0.35) < 0.02]
    assert len(near) > 0
    np.testing.assert_allclose(
        np.array(clusters["count_rate"], dtype=float)[near], np.array(clusters["published"])[near], atol=0.04
    )
    assert "not accuracy" in content["caution"]
    assert "0.035 dex" in content["caution"]


def test_the_pivot_of_the_luminosity_relation_is_the_configurations(tmp_path, tables):
    content = compare(field(tmp_path, tables), tables.chiu2023)
    other = RELATIONS["luminosity_published"] | {"mass_pivot_msun": 1.4e14}
    compare_published(
        tmp_path / "masses.fits", [tmp_path / "catalogue.fits"], tables.chiu2023, tmp_path / "other.json",
        ["01"], {"kind": "chiu2023"}, RELATIONS | {"luminosity_published": other}, 100, 1,
    )  # fmt: skip
    lower = json.loads((tmp_path / "other.json").read_text())
    name = "luminosity_minus_published"
    shift = content["comparisons"][name]["mean_dex"] - lower["comparisons"][name]["mean_dex"]
    assert shift == pytest.approx(np.log10(2.0 / 1.4), abs=1e-4)


def test_the_same_bytes_twice_and_another_range(tmp_path, tables):
    field(tmp_path, tables)
    compare(tmp_path, tables.chiu2023, "a.json")
    compare(tmp_path, tables.chiu2023, "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    content = compare(tmp_path, tables.chiu2023, log10_m500c_min=14.0, log10_m500c_max=14.5)
    expected = ((tables.mass > 14.0) & (tables.mass < 14.5)).sum()
    assert content["n"]["published"] == len(content["clusters"]["id_src"]) == expected
    with pytest.raises(InputError, match="no cluster has both a mass here and a published one in the wanted range"):
        compare(tmp_path, tables.chiu2023, log10_m500c_min=15.5)


def test_simulated_and_observed_are_never_mixed(tmp_path, tables):
    field(tmp_path, tables, simulated=True)
    with pytest.raises(InputError, match="masses of a simulated field, which published masses"):
        compare(tmp_path, tables.chiu2023)
    assert not (tmp_path / "comparison.json").exists()


@pytest.mark.long
def test_the_figure_is_the_same_twice_and_states_numbers_and_caution(tmp_path, tables):
    compare(field(tmp_path, tables), tables.chiu2023)
    for run in "ab":
        figure = published_masses(tmp_path / "comparison.json", **{k: tmp_path / f"{run}.{k}" for k in KINDS})
    assert all((tmp_path / f"a.{k}").read_bytes() == (tmp_path / f"b.{k}").read_bytes() for k in KINDS)
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    text = "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    assert f"n = {NUMBER - len(NO_REDSHIFT)}\nmean +0.100 ± 0.000 dex" in text
    assert "agreement is not accuracy" in text
    assert "observed field" in text
    (tmp_path / "comparison.json").write_text("{}")
    with pytest.raises(InputError, match="no readable comparison"):
        published_masses(tmp_path / "comparison.json")


def test_a_comparison_of_few_clusters_is_drawn(tmp_path, tables):
    """Without luminosities, and with fewer clusters than tell a scatter."""
    field(tmp_path, tables)
    for name, hdu in (("masses.fits", "MASSES"), ("catalogue.fits", "CATALOGUE")):
        table = Table.read(tmp_path / name, hdu=hdu)
        few = np.isin(table["ID_SRC"], tables.id_src[20:25])
        table = table[few]
        if "LX500" in table.colnames:
            table.remove_column("LX500")
        table.meta.clear()
        made = fits.BinTableHDU(table, name=hdu)
        made.header["SIMULATE"] = False
        fits.HDUList([fits.PrimaryHDU(), made]).writeto(tmp_path / name, overwrite=True)
    content = compare(tmp_path, tables.chiu2023)
    assert content["n"] == {"catalogue": 5, "network": 5, "published": 5, "luminosity": 0, "count_rate": 5}
    assert content["comparisons"]["network_minus_published"]["mean_dex"] is None
    assert "network_minus_luminosity" not in content["comparisons"]
    published_masses(tmp_path / "comparison.json", png=tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 0


def test_medians_in_bins_hold_every_cluster_once():
    rng = np.random.default_rng(3)
    redshift, difference = rng.uniform(0, 1, 200), np.repeat([-1.0, 1.0], 100)
    order = np.argsort(redshift)
    difference = np.empty(200)
    difference[order] = np.repeat([-1.0, 0.0, 0.5, 1.0, 2.0], 40)
    place, median, error = binned_medians(redshift, difference)
    assert median.tolist() == [-1.0, 0.0, 0.5, 1.0, 2.0]
    assert (np.diff(place) > 0).all()
    assert error.tolist() == [0.0] * 5


def test_published_masses_go_by_the_users_ids_where_rows_are_numbered(tmp_path, tables):
    """Matched by row numbers, the reversed table would give each cluster the mass of another one."""
    field(tmp_path, tables, offset=0.0)
    catalogue = Table.read(tmp_path / "catalogue.fits", hdu="CATALOGUE")
    masses = Table.read(tmp_path / "masses.fits", hdu="MASSES")
    number = {one: row for row, one in enumerate(catalogue["ID_SRC"].tolist(), start=1)}
    catalogue["ID_CAT"] = [f"det-{one}" for one in catalogue["ID_SRC"]]
    masses["ID_SRC"] = [number[one] for one in masses["ID_SRC"].tolist()]
    catalogue["ID_SRC"] = [number[one] for one in catalogue["ID_SRC"].tolist()]
    for name, table in (("catalogue", catalogue), ("masses", masses)):
        table.meta.clear()
        made = fits.BinTableHDU(table, name=name.upper())
        made.header["SIMULATE"] = False
        fits.HDUList([fits.PrimaryHDU(), made]).writeto(tmp_path / f"{name}.fits", overwrite=True)
    own = Table({"ID_SRC": catalogue["ID_CAT"], "LOGM500_REF": tables.mass})[::-1]
    own.write(tmp_path / "own.csv")
    content = compare(tmp_path, tmp_path / "own.csv", kind="table")
    assert content["comparisons"]["network_minus_published"]["scatter_dex"] == pytest.approx(0, abs=1e-6)

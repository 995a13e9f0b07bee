"""The published numbers, computed from the public tables of eFEDS if these are in ../shared/."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.config.resolve import load_config
from clustermass.sky_validation import statistics
from clustermass.sky_validation.statistics import PERCENT

ROOT = Path(__file__).parents[2]
EFEDS = ROOT.parent / "shared" / "data" / "efeds"
TABLES = {
    "liu": "efeds_clusters_Liu2022.csv",
    "klein": "efeds_ctp_clus_Klein2022_v2.1.csv",
    "chiu": "eFEDSmasstable_Chiu2023.fits",
}
#: the numbers are kept to four digits
DIGITS = 1e-3


@pytest.fixture(scope="module")
def efeds() -> dict[str, np.ndarray]:
    """Columns of the three tables in the order of Klein's; F_500kpc joined by ID_SRC, masses by Klein's Name."""
    for name in TABLES.values():
        if not (EFEDS / name).is_file():
            pytest.skip(f"{name} (public tables of eFEDS) does not lie in ../shared/data/efeds")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units such as Msun/h
        liu, klein, chiu = (Table.read(EFEDS / name) for name in TABLES.values())
    columns = {name: np.asarray(klein[name], dtype=float) for name in klein.colnames if klein[name].dtype.kind in "if"}
    columns |= {"liu_z": np.asarray(liu["z"], dtype=float)}
    row = {int(number): index for index, number in enumerate(liu["ID_SRC"])}
    columns["flux"] = np.asarray(liu["F_500kpc"], dtype=float)[[row[int(number)] for number in klein["ID_SRC"]]]
    by_name = {str(name).strip(): index for index, name in enumerate(chiu["Name"])}
    mass = np.asarray(chiu["median_500c_lcdm"], dtype=float) - np.log10(0.7)  # log10(Msun / h) to log10(Msun)
    columns["mass"] = mass[[by_name[str(name)] for name in klein["Name"]]]
    columns["background"] = 1000 * columns["ML_BKG"] / columns["ML_EXP"]
    return columns


@pytest.fixture(scope="module")
def confirmed(efeds) -> np.ndarray:
    return efeds["F_CONT_BEST_COMB"] < 0.3


@pytest.fixture(scope="module")
def with_mass(efeds) -> np.ndarray:
    return efeds["F_CONT_BEST_COMB"] < 0.2


def quantile_error(values: np.ndarray, share: float) -> float:
    """Half the distance of the quantiles one binomial standard deviation below and above."""
    step = np.sqrt(share * (1 - share) / values.size)
    return float(np.diff(np.quantile(values, [max(share - step, 0), min(share + step, 1)]))[0] / 2)


def assert_distribution(name: str, values: np.ndarray) -> None:
    for percent in PERCENT:
        reference = statistics.published_quantile(name, percent)
        assert reference.value == pytest.approx(np.quantile(values, percent / 100), rel=DIGITS), percent
        assert reference.error == pytest.approx(quantile_error(values, percent / 100), rel=0.06), percent


def assert_running(name: str, x: np.ndarray, y: np.ndarray) -> None:
    running = statistics.published_running(name)
    for number, (low, high) in enumerate(zip(running.edges[:-1], running.edges[1:], strict=True)):
        inside = (x >= low) & (x < high)
        expected = [np.median(x[inside]), *np.quantile(y[inside], [0.16, 0.5, 0.84])]
        kept = [getattr(running, name)[number] for name in ("x", "low", "median", "high")]
        assert kept == pytest.approx(expected, rel=DIGITS)
        assert running.error[number] == pytest.approx(quantile_error(y[inside], 0.5), rel=0.06)
        assert running.number[number] == inside.sum()


def test_quantiles_of_all_candidates(efeds):
    assert efeds["ML_CTS"].size == 542
    columns = {
        "counts": "ML_CTS", "extent": "EXT", "detection": "DET_LIKE", "exposure": "ML_EXP", "background": "background",
    }  # fmt: skip
    for name, column in columns.items():
        assert_distribution(name, efeds[column])


def test_quantiles_of_confirmed_clusters(efeds, confirmed, with_mass):
    assert (confirmed.sum(), with_mass.sum()) == (477, 453)
    assert_distribution("redshift", efeds["Z_BEST_COMB"][confirmed])
    assert_distribution("counts, selected", efeds["ML_CTS"][confirmed])
    assert_distribution("extent, selected", efeds["EXT"][confirmed])
    measured = confirmed & (efeds["flux"] > 0)  # -1 stands for an upper limit
    assert measured.sum() == 433
    assert_distribution("flux over rate", 1e13 * (efeds["flux"] / efeds["ML_RATE"])[measured])
    # log10(M/Msun): medians 14.16; without the conversion from Msun/h they would be 14.00
    assert_distribution("mass", efeds["mass"][with_mass])
    assert statistics.published_number("mass").value == pytest.approx(np.median(efeds["mass"][with_mass]), abs=0.015)
    assert statistics.published_number("redshift").value == pytest.approx(np.median(efeds["liu_z"]), abs=0.005)


def test_numbers(efeds, confirmed):
    assert (
        statistics.published_number("candidates").value == len(confirmed)
        and statistics.published_number("selected, eFEDS").value == confirmed.sum()
    )
    share = 1 - confirmed.mean()
    assert statistics.published_number("spurious").value == pytest.approx(share)
    assert statistics.published_number("spurious").error == pytest.approx(np.sqrt(share * (1 - share) / 542))
    bright = (efeds["DET_LIKE"] > 60) & (efeds["EXT_LIKE"] > 60)
    assert statistics.published_number("bright, eFEDS").value == bright.sum()
    # the main catalogue ends at DET_LIKE 6 and has 27,369 point sources: one of the 542 is in the supplement
    assert (efeds["DET_LIKE"] < 6).sum() == 1
    assert statistics.published_number("points 6").value * statistics.published()["efeds_deg2"] == 27369
    area = statistics.published()["efeds_deg2"]
    for rate in (0.05, 0.1, 0.2, 0.4):
        reference = statistics.published_number(f"rate {rate}")
        number = (confirmed & (efeds["ML_RATE"] > rate)).sum()
        assert reference.value * area == pytest.approx(number)
        assert reference.error == pytest.approx(np.sqrt(number) / area)
    for flux in (1e-13, 2e-13):
        number = (confirmed & (efeds["flux"] > flux)).sum()
        assert statistics.published_number(f"flux {flux:.0e}").value * area == pytest.approx(number)
    for flux, number in statistics.published()["clusters_above_flux"].items():
        assert (efeds["flux"] > flux).sum() == number


def test_bins(efeds, confirmed, with_mass):
    for kept, values in (
        (statistics.published_histogram("redshift"), efeds["Z_BEST_COMB"][confirmed]),
        (statistics.published_histogram("mass"), efeds["mass"][with_mass]),
        (statistics.published_histogram("log_counts"), np.log10(efeds["ML_CTS"])),
    ):
        assert np.histogram(values, kept.edges)[0].tolist() == kept.counts.tolist()
        assert kept.counts.sum() == values.size
    assert_running("ext_by_det", efeds["DET_LIKE"], efeds["EXT_LIKE"])
    assert_running("ext_by_counts", efeds["ML_CTS"][confirmed], efeds["EXT_LIKE"][confirmed])
    assert_running("extent_by_counts", efeds["ML_CTS"][confirmed], efeds["EXT"][confirmed])
    assert_running("background_by_exposure", efeds["ML_EXP"], efeds["background"])
    measured = confirmed & (efeds["flux"] > 0)
    flux_over_rate = 1e13 * (efeds["flux"] / efeds["ML_RATE"])[measured]
    assert_running("flux_over_rate_by_redshift", efeds["Z_BEST_COMB"][measured], flux_over_rate)
    z, rate, mass = (efeds[name][with_mass] for name in ("Z_BEST_COMB", "ML_RATE", "mass"))
    offset = mass - count_rate_relation(z, statistics.mass_relation()).log10_mass(rate)
    assert_running("mass_offset_by_redshift", z, offset)


def test_largest_extents_and_pairs_of_candidates(efeds, confirmed):
    reference, largest = statistics.published_number("at the largest extent"), efeds["EXT"][confirmed] >= 59.9
    assert reference.value == pytest.approx(largest.mean(), rel=DIGITS)
    assert reference.error == pytest.approx(largest.std() / np.sqrt(largest.size), rel=0.01)
    place = SkyCoord(efeds["RA_CORR"], efeds["DEC_CORR"], unit="deg")
    apart = place[:, None].separation(place[None, :]).arcsec[np.triu_indices(len(place), 1)]
    for limit in (60, 90, 120, 180):
        assert statistics.published_number(f"pairs {limit}").value == (apart < limit).sum()


def test_relation_of_the_masses(efeds, with_mass):
    relation = statistics.mass_relation()
    rate, z, mass = (efeds[name][with_mass] for name in ("ML_RATE", "Z_BEST_COMB", "mass"))
    r, q = np.log10(rate / 0.1), np.log10((1 + z) / 1.35)
    fitted = np.polynomial.polynomial.polyvander2d(r, q, [1, 2])[:, [0, 3, 1, 2]]
    coefficients = np.linalg.lstsq(fitted, mass, rcond=None)[0]
    names = ("log10_mass", "slope_rate", "linear_z", "quadratic_z")
    assert [relation[name] for name in names] == pytest.approx(coefficients, abs=6e-4)
    assert (mass - count_rate_relation(z, relation).log10_mass(rate)).std() == pytest.approx(0.035, abs=5e-4)


def test_relation_is_the_one_of_the_baseline():
    config = load_config([ROOT / "config" / "config.yaml"])
    assert config["baselines"]["count_rate_efeds"] == statistics.mass_relation()


def test_numbers_of_the_paper_and_of_surveys():
    assert [
        round(reference.value) for reference in map(statistics.published_number, ("haloes", "detected", "bright"))
    ] == [
        8268,
        1391,
        64,
    ]
    selected, cosmos = statistics.published_number("selected"), statistics.published_number("density 3e-15")
    assert selected.value == pytest.approx(441.5) and selected.error == pytest.approx(4.95, abs=0.01)
    assert (cosmos.value, cosmos.error) == (pytest.approx(34.3, abs=0.02), pytest.approx(4.04, abs=0.01))

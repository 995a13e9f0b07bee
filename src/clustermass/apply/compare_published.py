"""Comparison of an observed field's masses with published ones. Agreement doesn't prove masses right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray, generator
from clustermass.baselines.scaling_relations import (
    count_rate_relation,
    design_matrix,
    luminosity_relation,
    redshift_term,
)
from clustermass.catalogues.published_masses import KINDS, Published, look_up, read_published
from clustermass.catalogues.tables import CheckedTable, find_rows
from clustermass.errors import InputError
from clustermass.evaluate.metrics import interval68
from clustermass.io.files import write_json
from clustermass.io.fits import opened_fits
from clustermass.io.log import LOGGER
from clustermass.io.products import is_simulated
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.apply.catalogue import Columns
    from clustermass.config.models import Baselines, PublishedMasses

CAUTION = (
    "Agreement with these masses is not accuracy. Published masses of single clusters are themselves a function of "
    "count rate and redshift, calibrated by lensing for the sample as a whole: for eFEDS, four parameters reproduce "
    "them with an rms of 0.035 dex. What says something is the mean offset and its trends; which method is the better "
    "one is measured on simulated clusters, whose masses are known."
)
_METHODS = ("network", "published", "luminosity", "count_rate")
#: first minus second; the last two compare the relations themselves with the published masses
PAIRS = (
    ("network", "published"),
    ("network", "luminosity"),
    ("network", "count_rate"),
    ("luminosity", "published"),
    ("count_rate", "published"),
)
_FLAGS = ("FLAG_RANGE", "FLAG_OOD", "FLAG_EDGE")
_DECIMALS = 5
_LOGGED = ("n", "mean_dex", "mean_dex_error", "median_dex", "scatter_dex", "scatter_dex_error")


def compare_published(
    masses: Path,
    catalogues: Sequence[Path],
    published: Path,
    comparison: Path,
    realizations: Sequence[str],
    block: PublishedMasses,
    relations: Baselines,
    bootstrap: int,
    seed: int,
) -> None:
    """Compare an observed field's masses with published ones and with two published relations; write a JSON file.

    It holds `n` (number of clusters with each kind of mass), `comparisons` (`compare_masses` of each of `PAIRS` that
    has clusters), `pivots`, `caution`, `clusters` (every mass of every cluster, null = none) and `provenance`.
    InputError if a file is missing or faulty, the field is a simulated one, or none of its clusters has a published
    mass.

    Takes `masses.fits` of the field, `catalogue.fits` of each of its `realizations` (count rates, luminosities and
    names), and a table of published masses; `block` is `observed.published.<field>` of the configuration (clusters with
    a published mass outside `log10_m500c_min` to `log10_m500c_max` are left out), `relations` has
    `luminosity_published` and `count_rate_efeds` of `baselines`, `bootstrap` is the number of resamplings behind every
    error.
    """
    table = _read_masses(masses)
    measured = _measured(table, dict(zip(realizations, catalogues, strict=True)))
    reference = read_published(published, block["kind"], block.get("columns"))
    rows = look_up(reference, measured["id"], measured.get("name"))
    clusters = _cut(_clusters(table, measured, reference, rows, relations), block, published)
    compared: dict[str, Summary] = {}
    for first, second in PAIRS:
        rng = generator(seed, "compare", first, second)
        summary = compare_masses(clusters[first], clusters[second], clusters["redshift"], bootstrap, rng)
        if summary["n"]:
            compared[f"{first}_minus_{second}"] = summary
        if summary["mean_dex"] is not None:
            text = "compare_published: %s minus %s: n = %d, mean %+.3f +- %.3f, median %+.3f, scatter %.3f +- %.3f dex"
            LOGGER.info(text, first, second, *(summary[key] for key in _LOGGED))
    parameters = {"published": dict(block), "relations": dict(relations), "bootstrap": bootstrap}
    content = {
        "published": KINDS[block["kind"]].paper,
        "n": {"catalogue": len(table)} | {name: int(np.isfinite(clusters[name]).sum()) for name in _METHODS},
        "pivots": {"log10_m500c": PIVOT_LOG10_M500C, "redshift": PIVOT_Z},
        "comparisons": compared,
        "caution": CAUTION,
        "clusters": {name: _plain(values) for name, values in clusters.items()},
        "provenance": provenance("compare_published", parameters, [masses, *catalogues, published], seed=seed),
    }
    write_json(content, comparison)


def _read_masses(path: Path) -> CheckedTable:
    with opened_fits(path) as hdus:
        simulated = is_simulated(hdus[1].header)
        table = Table.read(hdus[1])
    needed = ("REALIZATION", "ID_SRC", "Z", "LOGM500", "LOGM500_ERR", *_FLAGS)
    if missing := [name for name in needed if name not in table.colnames]:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}. Delete it and run again.")
    if simulated:
        raise InputError(
            f"{path}: masses of a simulated field, which published masses of real clusters say nothing about. Take the "
            "field out of observed.published."
        )
    return CheckedTable(table, path)


def _measured(masses: CheckedTable, catalogues: Mapping[str, Path]) -> Columns:
    """Look the clusters of the mass catalogue up in the catalogues of their realizations.

    Returns ID_SRC, the user's id as a text, count rate and luminosity, NaN = missing, and names unless no catalogue has
    any, (cluster,) each.
    """
    realization, id_src = np.array(masses.texts("REALIZATION")), np.asarray(masses.table["ID_SRC"], dtype=np.int64)
    columns: Columns = {"id_src": id_src, "id": id_src.astype(str).astype(object), "rate": np.full(id_src.size, np.nan)}
    columns["luminosity"] = columns["rate"].copy()
    for label, path in catalogues.items():
        with opened_fits(path) as hdus:
            catalogue = CheckedTable(Table.read(hdus["CATALOGUE"]), path)
        here = np.flatnonzero(realization == label)
        rows = find_rows(id_src[here].tolist(), catalogue.whole_numbers("ID_SRC").tolist())
        if (rows < 0).any():
            lost = id_src[here][rows < 0][0]
            raise InputError(f"{path}: lacks ID_SRC {lost} of the mass catalogue. Delete both and run again.")
        for key, column in (("rate", "ML_RATE"), ("luminosity", "LX500")):
            if column in catalogue.table.colnames:
                columns[key][here] = catalogue.numbers(column)[rows]
        if "ID_CAT" in catalogue.table.colnames:
            columns["id"][here] = np.array(catalogue.texts("ID_CAT"), dtype=object)[rows]
        if "NAME_CAT" in catalogue.table.colnames:
            names = columns.setdefault("name", np.full(id_src.size, "", dtype=object))
            names[here] = np.array(catalogue.texts("NAME_CAT"), dtype=object)[rows]
    return columns


def _clusters(
    masses: CheckedTable, measured: Columns, published: Published, rows: NDArray[np.int64], relations: Baselines
) -> Columns:
    """Return every mass of every cluster, (cluster,) each; NaN = none."""
    redshift, mass, error = map(masses.numbers, ("Z", "LOGM500", "LOGM500_ERR"))
    stated = (published.mass, published.low, published.high)
    reference, low, high = (np.where(rows >= 0, values[rows], np.nan) for values in stated)
    rate, luminosity = (np.where(measured[key] > 0, measured[key], np.nan) for key in ("rate", "luminosity"))
    return {
        "realization": np.array(masses.texts("REALIZATION")),
        "id_src": measured["id_src"],
        "redshift": redshift,
        "network": mass,
        "network_error": error,
        "published": reference,
        "published_error_low": low,
        "published_error_high": high,
        "luminosity": luminosity_relation(redshift, relations["luminosity_published"]).log10_mass(luminosity),
        "count_rate": count_rate_relation(redshift, relations["count_rate_efeds"]).log10_mass(rate),
        "flagged": np.any([np.asarray(masses.table[name]) != 0 for name in _FLAGS], axis=0),
    }


def _cut(clusters: Columns, block: PublishedMasses, path: Path) -> Columns:
    """Leave out clusters whose published mass is outside the wanted range; InputError if no mass is left to compare."""
    mass, kept = clusters["published"], np.ones(clusters["published"].size, dtype=bool)
    if (low := block.get("log10_m500c_min")) is not None:
        kept &= mass > low
    if (high := block.get("log10_m500c_max")) is not None:
        kept &= mass < high
    number = (kept & np.isfinite(mass)).sum()
    LOGGER.info("%s: %d of %d clusters have a published mass in the wanted range", path, number, kept.size)
    if not (kept & np.isfinite(mass) & np.isfinite(clusters["network"])).any():
        raise InputError(
            f"{path}: no cluster has both a mass here and a published one in the wanted range. Widen log10_m500c_min "
            "and log10_m500c_max under observed.published, or see whether catalogue and table belong together."
        )
    return {name: values[kept] for name, values in clusters.items()}


def _plain(values: NDArray[Any]) -> list[Any]:
    """Turn a column into what JSON holds: None for NaN."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    return [round(value, _DECIMALS) if np.isfinite(value) else None for value in values.tolist()]


#: log10(M500c / Msun) and redshift at which the fitted offset is stated: about the medians of eFEDS
PIVOT_LOG10_M500C = 14.2
PIVOT_Z = 0.35
#: with fewer clusters no trend is fitted, and no scatter given
MIN_CLUSTERS = 10
#: standard deviation of a Gaussian / its median absolute deviation
_SIGMA_PER_MAD = 1.4826022185056018
_NAMES = ("mean_dex", "median_dex", "scatter_dex", "nmad_dex", "rms_dex")
_FIT_NAMES = ("offset_dex", "slope_mass", "slope_redshift", "scatter_dex")

Summary: TypeAlias = dict[str, Any]


def compare_masses(
    first: FloatArray, second: FloatArray, redshift: FloatArray, resamplings: int, rng: np.random.Generator
) -> Summary:
    """Describe the difference of two sets of log10(M500c / Msun), (cluster,), first minus second.

    The fit is difference = offset + slope_mass (m - `PIVOT_LOG10_M500C`) + slope_redshift q by least squares, with m
    the mean of the two log10 masses (Bland & Altman 1986) and q = log10((1 + z) / (1 + `PIVOT_Z`)). Equal errors of
    both masses cause no slope against the mean; against one mass, its own errors would cause a slope. Clusters where a
    mass or the redshift isn't finite are left out.

    Returns `n`; `mean_dex`, `median_dex`, `scatter_dex` (about the mean), `nmad_dex` (scatter by the median absolute
    deviation), `rms_dex`; `fit`: `offset_dex` at the pivots, `slope_mass` (dex per dex), `slope_redshift` (dex per dex
    of 1 + z), `scatter_dex` about the fit; each with its 68 % interval `<name>_ci68` and its standard error
    `<name>_error` by a bootstrap that draws single clusters `resamplings` times. All None below `MIN_CLUSTERS`.
    """
    finite = np.isfinite([first, second, redshift]).all(axis=0)
    first, second, redshift = first[finite], second[finite], redshift[finite]
    if first.size < MIN_CLUSTERS:
        empty = np.array([])
        return {"n": int(first.size), **_stated(_NAMES, empty, empty), "fit": _stated(_FIT_NAMES, empty, empty)}
    difference = first - second
    design = design_matrix((first + second) / 2 - PIVOT_LOG10_M500C, redshift_term(redshift, PIVOT_Z))
    draws = rng.integers(first.size, size=(resamplings, first.size))
    moments = np.array([_moments(difference[draw]) for draw in draws])
    fits = np.array([_fit(difference[draw], design[draw]) for draw in draws])
    return {
        "n": int(first.size),
        **_stated(_NAMES, _moments(difference), moments),
        "fit": _stated(_FIT_NAMES, _fit(difference, design), fits),
    }


def _moments(difference: FloatArray) -> FloatArray:
    """Return the values of `_NAMES`."""
    median = np.median(difference)
    nmad = _SIGMA_PER_MAD * np.median(np.abs(difference - median))
    return np.array([difference.mean(), median, difference.std(), nmad, np.sqrt(np.mean(difference**2))])


def _fit(difference: FloatArray, design: FloatArray) -> FloatArray:
    """Return the values of `_FIT_NAMES`; the scatter has the degrees of freedom left after the fit."""
    coefficients = np.linalg.lstsq(design, difference, rcond=None)[0]
    residual = difference - design @ coefficients
    scatter = np.sqrt(np.sum(residual**2) / (difference.size - design.shape[1]))
    return np.array([*coefficients, scatter])


def _stated(names: tuple[str, ...], values: FloatArray, resampled: FloatArray) -> Summary:
    """Return name, value, 68 % interval and standard error of each, rounded, as further digits depend on the machine.

    All are None without `values`.
    """
    if not values.size:
        return {f"{name}{suffix}": None for name in names for suffix in ("", "_ci68", "_error")}
    stated: Summary = {}
    for name, value, samples in zip(names, values.tolist(), resampled.T, strict=True):
        interval = [round(end, 6) for end in interval68(samples) or []]
        error = round(float(samples.std(ddof=1)), 6)
        stated |= {name: round(value, 6), f"{name}_ci68": interval, f"{name}_error": error}
    return stated

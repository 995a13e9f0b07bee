"""Comparison of an observed field's masses with published ones, which agreement doesn't prove right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.baselines.scaling_relations import (
    count_rate_relation,
    design_matrix,
    luminosity_relation,
    redshift_term,
)
from clustermass.catalogues.published_masses import KINDS, Published, look_up, read_published
from clustermass.catalogues.tables import numbers, texts_of, whole_numbers
from clustermass.errors import InputError
from clustermass.evaluate.metrics import interval68
from clustermass.io.files import write_json
from clustermass.io.fits import opened_fits
from clustermass.io.log import LOGGER
from clustermass.io.products import is_simulated
from clustermass.io.provenance import provenance
from clustermass.rng import generator

if TYPE_CHECKING:
    from clustermass.config.models import CountRateRelation, LuminosityRelation, PublishedMasses

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
_MASS_COLUMNS = ("REALIZATION", "ID_SRC", "Z", "LOGM500", "LOGM500_ERR", *_FLAGS)
_DECIMALS = 5


class PublishedRelations(TypedDict):
    """Published scaling relations that are compared too."""

    luminosity_published: LuminosityRelation
    count_rate_efeds: CountRateRelation


def compare_published(
    masses: Path,
    catalogues: Sequence[Path],
    published: Path,
    comparison: Path,
    realizations: Sequence[str],
    block: PublishedMasses,
    relations: PublishedRelations,
    bootstrap: int,
    seed: int,
) -> None:
    """Compare an observed field's masses with published ones and with two published relations; write a JSON file.

    Parameters
    ----------
    masses
        `masses.fits` of an observed field.
    catalogues
        `catalogue.fits` of each realization of the field: count rates, luminosities and names.
    published
        Table of published masses.
    comparison
        JSON to write: `n` (how many clusters have which mass), `comparisons` (`compare_masses` of each of `PAIRS` that
        has clusters), `pivots`, `caution`, `clusters` (every mass of every cluster, null = none), `provenance`.
    realizations
        Names of the realizations, in the order of `catalogues`.
    block
        `observed.published.<field>` of the configuration: `kind`, and where given `columns`, `log10_m500c_min` and
        `log10_m500c_max` (clusters with a published mass outside are left out altogether).
    relations
        The published relations, as `baselines` of the configuration has them.
    bootstrap, seed
        Resamplings behind every error, and the root of their random numbers.

    Raises
    ------
    InputError
        A file is missing or faulty, the field is a simulated one, or none of its clusters has a published mass.
    """
    table = _read_masses(masses)
    measured = _measured(table, dict(zip(realizations, catalogues, strict=True)))
    found = read_published(published, block["kind"], block.get("columns"))
    rows = look_up(found, measured.id_src, measured.name)
    clusters = _cut(_clusters(table, measured, found, rows, relations), block, published)
    compared: dict[str, Summary] = {}
    for first, second in PAIRS:
        rng = generator(seed, "compare", first, second)
        difference = compare_masses(clusters[first], clusters[second], clusters["redshift"], bootstrap, rng)
        compared[f"{first}_minus_{second}"] = difference
    parameters = {"published": dict(block), "relations": dict(relations), "bootstrap": bootstrap}
    content = {
        "published": KINDS[block["kind"]].paper,
        "n": {"catalogue": len(table)} | {name: int(np.isfinite(clusters[name]).sum()) for name in _METHODS},
        "pivots": {"log10_m500c": PIVOT_LOG10_M500C, "redshift": PIVOT_Z},
        "comparisons": {name: found for name, found in compared.items() if found["n"]},
        "caution": CAUTION,
        "clusters": {name: _plain(values) for name, values in clusters.items()},
        "provenance": provenance("compare_published", parameters, [masses, *catalogues, published], seed=seed),
    }
    _log(compared)
    write_json(content, comparison)


def _read_masses(path: Path) -> Table:
    with opened_fits(path) as hdus:
        simulated = is_simulated(hdus[1].header)
        table = Table.read(hdus[1])
    missing = [name for name in _MASS_COLUMNS if name not in table.colnames]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}. Delete it and run again.")
    if simulated:
        raise InputError(
            f"{path}: masses of a simulated field, which published masses of real clusters say nothing about. Take the "
            "field out of observed.published."
        )
    return table


class _Measured(NamedTuple):
    """Columns of the catalogues, (cluster,) each, NaN = missing; `name` is None if no catalogue has names."""

    id_src: NDArray[np.int64]
    rate: FloatArray
    luminosity: FloatArray
    name: NDArray[np.str_] | None


def _measured(table: Table, catalogues: Mapping[str, Path]) -> _Measured:
    """Look the clusters of the mass catalogue up in the catalogues of their realizations."""
    realization, id_src = texts_of(table, "REALIZATION"), np.asarray(table["ID_SRC"], dtype=np.int64)
    values = {key: np.full(id_src.size, np.nan) for key in ("rate", "luminosity")}
    names, named = np.full(id_src.size, "", dtype=object), False
    for label, path in catalogues.items():
        with opened_fits(path) as hdus:
            catalogue = Table.read(hdus["CATALOGUE"])
        row_of = {number: row for row, number in enumerate(whole_numbers(catalogue, path, "ID_SRC").tolist())}
        here = np.flatnonzero(np.array(realization) == label)
        lost = [number for number in id_src[here].tolist() if number not in row_of]
        if lost:
            raise InputError(f"{path}: lacks ID_SRC {lost[0]} of the mass catalogue. Delete both and run again.")
        rows = [row_of[number] for number in id_src[here].tolist()]
        for key, column in (("rate", "ML_RATE"), ("luminosity", "LX500")):
            if column in catalogue.colnames:
                values[key][here] = numbers(catalogue, path, column)[rows]
        if "NAME_CAT" in catalogue.colnames:
            named = True
            names[here] = np.array(texts_of(catalogue, "NAME_CAT"), dtype=object)[rows]
    return _Measured(id_src, **values, name=names.astype(str) if named else None)


def _clusters(
    table: Table, measured: _Measured, found: Published, rows: NDArray[np.int64], relations: PublishedRelations
) -> dict[str, NDArray[Any]]:
    """Every mass of every cluster, (cluster,) each; NaN = none."""
    redshift, mass, error = (numbers(table, Path(), name) for name in ("Z", "LOGM500", "LOGM500_ERR"))
    there = rows >= 0
    published, low, high = (np.where(there, values[rows], np.nan) for values in (found.mass, found.low, found.high))
    rate, luminosity = (np.where(values > 0, values, np.nan) for values in (measured.rate, measured.luminosity))
    return {
        "realization": np.array(texts_of(table, "REALIZATION")),
        "id_src": measured.id_src,
        "redshift": redshift,
        "network": mass,
        "network_error": error,
        "published": published,
        "published_error_low": low,
        "published_error_high": high,
        "luminosity": luminosity_relation(redshift, relations["luminosity_published"]).log10_mass(luminosity),
        "count_rate": count_rate_relation(redshift, relations["count_rate_efeds"]).log10_mass(rate),
        "flagged": np.any([np.asarray(table[name]) != 0 for name in _FLAGS], axis=0),
    }


def _cut(clusters: Mapping[str, NDArray[Any]], block: PublishedMasses, path: Path) -> dict[str, NDArray[Any]]:
    """Leave out clusters whose published mass is outside the wanted range; refuse if nothing is left to compare."""
    low, high = block.get("log10_m500c_min"), block.get("log10_m500c_max")
    mass = clusters["published"]
    kept = np.ones(mass.size, dtype=bool)
    if low is not None:
        kept &= mass > low
    if high is not None:
        kept &= mass < high
    LOGGER.info(
        "%s: %d of %d clusters have a published mass in the wanted range",
        path,
        (kept & np.isfinite(mass)).sum(),
        kept.size,
    )
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


def _log(compared: Mapping[str, Summary]) -> None:
    for name, found in compared.items():
        if found["mean_dex"] is not None:
            LOGGER.info(
                "compare_published: %s: n = %d, mean %+.3f +- %.3f, median %+.3f, scatter %.3f +- %.3f dex",
                name.replace("_", " "), found["n"], found["mean_dex"], found["mean_dex_error"], found["median_dex"],
                found["scatter_dex"], found["scatter_dex_error"],
            )  # fmt: skip


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
    """Describe the difference of two sets of masses, first minus second.

    The fit is difference = offset + slope_mass (m - `PIVOT_LOG10_M500C`) + slope_redshift q by least squares, with m
    the mean of the two log10 masses (Bland & Altman 1986) and q = log10((1 + z) / (1 + `PIVOT_Z`)). Against the mean
    equal errors of both make no slope; against either mass alone its own errors would make one out of nothing.

    Parameters
    ----------
    first, second
        log10(M500c / Msun), (cluster,); clusters where either isn't finite are left out.
    redshift
        (cluster,).
    resamplings
        Of the bootstrap, which draws single clusters.
    rng
        Source of the draws.

    Returns
    -------
    dict
        `n`; `mean_dex`, `median_dex`, `scatter_dex` (about the mean), `nmad_dex` (scatter by the median absolute
        deviation), `rms_dex`; `fit`: `offset_dex` at the pivots, `slope_mass` (dex per dex), `slope_redshift` (dex per
        dex of 1 + z), `scatter_dex` about the fit; each with its 68 % interval `<name>_ci68` and its standard error
        `<name>_error`. None for all below `MIN_CLUSTERS`.
    """
    known = np.isfinite(first) & np.isfinite(second) & np.isfinite(redshift)
    first, second, redshift = first[known], second[known], redshift[known]
    if first.size < MIN_CLUSTERS:
        nothing = _stated(_NAMES, None, None)
        return {"n": int(first.size), **nothing, "fit": _stated(_FIT_NAMES, None, None)}
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
    """Values of `_NAMES`."""
    median = np.median(difference)
    nmad = _SIGMA_PER_MAD * np.median(np.abs(difference - median))
    return np.array([difference.mean(), median, difference.std(), nmad, np.sqrt(np.mean(difference**2))])


def _fit(difference: FloatArray, design: FloatArray) -> FloatArray:
    """Values of `_FIT_NAMES`; the scatter has the degrees of freedom left after the fit."""
    coefficients = np.linalg.lstsq(design, difference, rcond=None)[0]
    residual = difference - design @ coefficients
    scatter = np.sqrt(np.sum(residual**2) / (difference.size - design.shape[1]))
    return np.array([*coefficients, scatter])


def _stated(names: tuple[str, ...], values: FloatArray | None, resampled: FloatArray | None) -> Summary:
    """Each name with its value, 68 % interval and standard error, rounded: digits below depend on the machine."""
    if values is None or resampled is None:
        return {f"{name}{suffix}": None for name in names for suffix in ("", "_ci68", "_error")}
    found: Summary = {}
    for index, name in enumerate(names):
        interval = interval68(resampled[:, index]) or []
        found |= {name: round(float(values[index]), 6), f"{name}_ci68": [round(end, 6) for end in interval]}
        found |= {f"{name}_error": round(float(resampled[:, index].std(ddof=1)), 6)}
    return found

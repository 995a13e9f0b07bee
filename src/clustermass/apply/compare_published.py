"""Comparison of an observed field's masses with published masses. Agreement doesn't prove that masses are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
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
from clustermass.io.fits import opened_fits, table_of
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
#: pairs of kinds of mass that are compared, first minus second; the last two don't involve the networks
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
    """Write a JSON file that compares an observed field's masses with published masses and two published relations.

    One relation gives a mass from the luminosity, and the other gives a mass from the count rate. InputError if a file
    is missing or faulty, if the field is simulated, or if no cluster has both a mass in `masses` and a published mass.

    The JSON file `comparison` has the following keys. `published` is the name of the paper. `n` holds the number of
    clusters with each kind of mass. `comparisons` holds the results of `compare_masses` for each pair of `PAIRS` that
    has clusters. `pivots` holds the mass and the redshift at which fitted offsets are stated. `clusters` holds all
    masses of each cluster; a missing mass is null. `caution` is a text about what agreement means.

    Parameters
    ----------
    masses, catalogues, realizations
        `masses` is `masses.fits` of the field. `catalogues` are `catalogue.fits` of each realization, which hold count
        rates, luminosities and names of clusters. `realizations` are the names of these realizations, such as "01".
    published, block
        `published` is a table of published masses. `block` is the block `observed.published.<field>` of the
        configuration, which describes this table. If the block sets `log10_m500c_min` or `log10_m500c_max`, only
        clusters with a published mass in this range are compared.
    relations, bootstrap, seed
        `relations` is the block `baselines`, whose keys `luminosity_published` and `count_rate_efeds` are used. All
        errors are computed from `bootstrap` resamplings. `seed` is the seed of the resamplings.
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
        table = table_of(hdus[1], path)
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
    """Return ids, rates, luminosities (NaN = unknown) and, if any catalogue has them, names of the clusters."""
    realization, id_src = np.array(masses.texts("REALIZATION")), np.asarray(masses.table["ID_SRC"], dtype=np.int64)
    columns: Columns = {"id_src": id_src, "id": id_src.astype(str).astype(object), "rate": np.full(id_src.size, np.nan)}
    columns["luminosity"] = columns["rate"].copy()
    for label, path in catalogues.items():
        with opened_fits(path) as hdus:
            catalogue = CheckedTable(table_of(hdus["CATALOGUE"], path), path)
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
    """Return ids, redshifts, flags and masses (NaN = missing), (cluster,). `rows` refers to `published`; -1 = none."""
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
    """Return the clusters with a published mass in the range of `block`. InputError if none has a network mass."""
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
    """Return a column as a list for JSON, with numbers rounded and None for NaN."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    return [round(value, _DECIMALS) if np.isfinite(value) else None for value in values.tolist()]


#: log10(M500c / Msun) and redshift at which the fitted offset is stated; they are near the medians of eFEDS clusters
PIVOT_LOG10_M500C = 14.2
PIVOT_Z = 0.35
#: with fewer clusters no statistics of a difference are given
MIN_CLUSTERS = 10
#: standard deviation of a Gaussian / its median absolute deviation
_SIGMA_PER_MAD = 1.4826022185056018
_NAMES = ("mean_dex", "median_dex", "scatter_dex", "nmad_dex", "rms_dex")
_FIT_NAMES = ("offset_dex", "slope_mass", "slope_redshift", "scatter_dex")

Summary: TypeAlias = dict[str, Any]


def compare_masses(
    first: FloatArray, second: FloatArray, redshift: FloatArray, resamplings: int, rng: np.random.Generator
) -> Summary:
    """Return statistics of the difference first - second of two sets of log10(M500c / Msun), each (cluster,).

    The difference is fitted by offset + slope_mass * (m - `PIVOT_LOG10_M500C`) + slope_redshift * q, with least
    squares. Here m is the mean of the two log10 masses (Bland & Altman 1986), and q = log10((1 + z) / (1 + `PIVOT_Z`)).
    If m were only one of the masses, the errors of this mass would cause a slope. If m is the mean, equal errors of
    both masses cause no slope. Clusters where a mass or the redshift isn't finite are left out.

    The result holds the number of clusters `n`, `mean_dex`, `median_dex`, `scatter_dex` (standard deviation),
    `nmad_dex` (scatter from the median absolute deviation) and `rms_dex`. Its block `fit` holds `offset_dex` at the
    pivots, `slope_mass` (dex per dex), `slope_redshift` (dex per dex of 1 + z) and `scatter_dex` about the fit. Each
    value has a 68 % interval `<name>_ci68` and a standard error `<name>_error`, from `resamplings` bootstrap samples of
    single clusters. With fewer than `MIN_CLUSTERS` clusters all values except `n` are None.
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
    """Return mean, median, standard deviation, scatter from the median absolute deviation, and rms of `difference`."""
    median = np.median(difference)
    nmad = _SIGMA_PER_MAD * np.median(np.abs(difference - median))
    return np.array([difference.mean(), median, difference.std(), nmad, np.sqrt(np.mean(difference**2))])


def _fit(difference: FloatArray, design: FloatArray) -> FloatArray:
    """Return offset, slopes with mass and with redshift, and residual scatter of a least-squares fit."""
    coefficients = np.linalg.lstsq(design, difference, rcond=None)[0]
    residual = difference - design @ coefficients
    scatter = np.sqrt(np.sum(residual**2) / (difference.size - design.shape[1]))
    return np.array([*coefficients, scatter])


def _stated(names: tuple[str, ...], values: FloatArray, resampled: FloatArray) -> Summary:
    """Return each value with its 68 % interval and its standard error from `resampled`, (resampling, value).

    Numbers have six decimals, because further digits depend on the machine.
    """
    if not values.size:
        return {f"{name}{suffix}": None for name in names for suffix in ("", "_ci68", "_error")}
    stated: Summary = {}
    for name, value, samples in zip(names, values.tolist(), resampled.T, strict=True):
        interval = [round(end, 6) for end in interval68(samples) or []]
        error = round(float(samples.std(ddof=1)), 6)
        stated |= {name: round(value, 6), f"{name}_ci68": interval, f"{name}_error": error}
    return stated

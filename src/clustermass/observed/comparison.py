"""Masses of an observed field beside published ones: that they agree is not that they are right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.baselines.count_rate import predict_count_rate_efeds
from clustermass.baselines.luminosity import predict_luminosity_published
from clustermass.catalogues.published import KINDS, Published, look_up, read_published
from clustermass.catalogues.tables import numbers, opened_fits, texts_of, whole_numbers
from clustermass.datasets import write_json
from clustermass.errors import InputError
from clustermass.evaluation.bootstrap import generator
from clustermass.observed.offsets import PIVOT_LOG10_M500C, PIVOT_Z, compare_masses
from clustermass.progress import LOGGER
from clustermass.provenance import provenance

CAUTION = (
    "Agreement with these masses is not accuracy. Published masses of single clusters are themselves a function of "
    "count rate and redshift, calibrated by lensing for the sample as a whole: for eFEDS, four parameters reproduce "
    "them with an rms of 0.035 dex. What says something is the mean offset and its trends; which method is the better "
    "one is measured on simulated clusters, whose masses are known."
)
_METHODS = ("network", "published", "luminosity", "count_rate")
#: first minus second; the last two say how the relations themselves compare with the published masses
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


def compare_published(
    masses: Path,
    catalogues: Mapping[str, Path],
    published: Path,
    block: Mapping[str, Any],
    relations: Mapping[str, Any],
    bootstrap: int,
    seed: int,
    output: Path,
) -> None:
    """Compare an observed field's masses with published ones and with two published relations; write a JSON file.

    Parameters
    ----------
    masses
        `masses.fits` of an observed field.
    catalogues
        `catalogue.fits` of each realization of the field by its name: count rates, luminosities and names.
    published
        Table of published masses.
    block
        `observed.published.<field>` of the configuration: `kind`, and where given `columns`, `log10_m500c_min` and
        `log10_m500c_max` (clusters with a published mass outside are left out altogether).
    relations
        `baselines` of the configuration: `luminosity_published`, `count_rate_efeds`.
    bootstrap, seed
        Resamplings behind every error, and the root of their random numbers.
    output
        JSON to write: `n` (how many clusters have which mass), `comparisons` (`compare_masses` of each of `PAIRS` that
        has clusters), `pivots`, `caution`, `clusters` (every mass of every cluster, null = none), `provenance`.

    Raises
    ------
    InputError
        A file is missing or faulty, the field is a simulated one, or none of its clusters has a published mass.
    """
    table = _read_masses(masses)
    measured = _measured(table, catalogues)
    found = read_published(published, str(block["kind"]), block.get("columns"))
    rows = look_up(found, measured["id_src"], measured["name"])
    clusters = _clusters(table, measured, found, rows, relations)
    clusters = _cut(clusters, block, published)
    compared = {
        f"{first}_minus_{second}": compare_masses(
            clusters[first],
            clusters[second],
            clusters["redshift"],
            bootstrap,
            generator(seed, "compare", first, second),
        )
        for first, second in PAIRS
    }
    parameters = {"published": dict(block), "relations": dict(relations), "bootstrap": bootstrap}
    content = {
        "published": KINDS[str(block["kind"])].paper,
        "n": {"catalogue": len(table)} | {name: int(np.isfinite(clusters[name]).sum()) for name in _METHODS},
        "pivots": {"log10_m500c": PIVOT_LOG10_M500C, "redshift": PIVOT_Z},
        "comparisons": {name: found for name, found in compared.items() if found["n"]},
        "caution": CAUTION,
        "clusters": {name: _plain(values) for name, values in clusters.items()},
        "provenance": provenance("compare_published", parameters, [masses, *catalogues.values(), published], seed=seed),
    }
    _log(compared)
    write_json(content, output)


def _read_masses(path: Path) -> Table:
    with opened_fits(path) as hdus:
        simulated = bool(hdus[1].header.get("SIMULATED", False))
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


def _measured(table: Table, catalogues: Mapping[str, Path]) -> dict[str, Any]:
    """Look up what the catalogues say of the clusters of `table`, (cluster,) each; `name` is None if they don't."""
    realization, id_src = texts_of(table, "REALIZATION"), np.asarray(table["ID_SRC"], dtype=np.int64)
    found: dict[str, Any] = {
        "id_src": id_src,
        "rate": np.full(id_src.size, np.nan),
        "luminosity": np.full(id_src.size, np.nan),
    }
    names = np.full(id_src.size, "", dtype=object)
    named = False
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
                found[key][here] = numbers(catalogue, path, column)[rows]
        if "NAME_CAT" in catalogue.colnames:
            named = True
            names[here] = np.array(texts_of(catalogue, "NAME_CAT"), dtype=object)[rows]
    return found | {"name": names.astype(str) if named else None}


def _clusters(
    table: Table, measured: Mapping[str, Any], found: Published, rows: NDArray[np.int64], relations: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Every mass of every cluster, (cluster,) each; NaN = none."""
    redshift, mass, error = (numbers(table, Path(), name) for name in ("Z", "LOGM500", "LOGM500_ERR"))
    there = rows >= 0
    published, low, high = (np.where(there, values[rows], np.nan) for values in (found.mass, found.low, found.high))
    rate, luminosity = (np.where(measured[key] > 0, measured[key], np.nan) for key in ("rate", "luminosity"))
    return {
        "realization": np.array(texts_of(table, "REALIZATION")),
        "id_src": measured["id_src"],
        "redshift": redshift,
        "network": mass,
        "network_error": error,
        "published": published,
        "published_error_low": low,
        "published_error_high": high,
        "luminosity": predict_luminosity_published(luminosity, redshift, relations["luminosity_published"]),
        "count_rate": predict_count_rate_efeds(rate, redshift, relations["count_rate_efeds"]),
        "flagged": np.any([np.asarray(table[name]) != 0 for name in _FLAGS], axis=0),
    }


def _cut(clusters: Mapping[str, NDArray[Any]], block: Mapping[str, Any], path: Path) -> dict[str, NDArray[Any]]:
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


def _log(compared: Mapping[str, Any]) -> None:
    for name, found in compared.items():
        if found["mean_dex"] is not None:
            LOGGER.info(
                "compare_published: %s: n = %d, mean %+.3f +- %.3f, median %+.3f, scatter %.3f +- %.3f dex",
                name.replace("_", " "), found["n"], found["mean_dex"], found["mean_dex_error"], found["median_dex"],
                found["scatter_dex"], found["scatter_dex_error"],
            )  # fmt: skip

"""Detect injected clusters in their event list, predict their masses, and compare these with the true masses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from clustermass.apply.field import check_outputs, masses_of_field
from clustermass.arrays import BoolArray, FloatArray, generator
from clustermass.catalogues.tables import read_product
from clustermass.catalogues.truth import LabelledPhotons, match_by_photons
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.config.resolve import default_config
from clustermass.ensemble.scores import MIN_CLUSTERS, Json
from clustermass.errors import InputError
from clustermass.evaluate.metrics import by_bin, residual_scores
from clustermass.events.read import stream_events
from clustermass.ingest.detect_field import detect_field
from clustermass.ingest.user_field import DEFAULT_MATCH_ARCSEC
from clustermass.io.files import check_present, write_json
from clustermass.io.log import LOGGER
from clustermass.io.products import CATALOGUE, MASSES, MATCHES, TRUTH, Column, write_table
from clustermass.io.provenance import provenance
from clustermass.simulate.telescope import DETECTION_BAND_EV

_DETECTED = ("DET_LIKE", "EXT_LIKE", "ML_CTS")
_MASS = ("LOGM500", "LOGM500_ERR", "GOOD")
RECOVERED: tuple[Column, ...] = (
    *TRUTH,
    Column("ID_SRC", "J", None, "number of the cluster's detection in catalogue.fits; -1 = not detected"),
    *(column for column in MATCHES if column.name in ("SEPARATION", "PURITY")),
    *(column for column in CATALOGUE if column.name in _DETECTED),
    *(column for column in MASSES if column.name in _MASS),
)
#: edges of the bins of log10 mass, redshift, and log10 flux
_BINS = {
    "log10_m500c": (13.0, 13.5, 13.75, 14.0, 14.25, 14.5, 14.75, 15.3),
    "redshift": (0.0, 0.2, 0.4, 0.6, 0.8, 1.5),
    "log10_flux_cgs": (-14.7, -14.3, -14.0, -13.7, -13.4, -13.0, -10.0),
}
#: bootstrap samples for the error of a scatter
_RESAMPLINGS = 1000


def recover(folder: Path, exposure: Sequence[Path], ensemble: Path, overwrite: bool = False) -> Path:
    """Detect the clusters that `ingest.inject.inject` added to an event list, predict masses, and return the results.

    `folder` is the folder that `inject` wrote, and `exposure` are the maps that it was given. All new files are written
    there. `catalogue.fits` holds all sources that `detect_field` finds; a file of this name that exists already, for
    instance made with eSASS, is used instead. Detections are matched to injected clusters by the labels of the photons
    (`match_by_photons`). A cluster is detected if its detection has the likelihoods from which images are made. In
    `clusters.fits`, detected clusters have their true redshift, and all other sources none. `masses.fits` and the files
    beside it hold the masses by `ensemble`.

    The result is the path of `recovered.fits`: a row for each injected cluster with the columns `RECOVERED`. Where a
    cluster isn't detected or has no mass, numbers are NaN and GOOD is 0. InputError if a file is missing or faulty, or
    if `overwrite` is False and a file to write other than `catalogue.fits` exists.
    """
    events, labels, truth, catalogue, clusters, masses, output = (
        folder / f"{name}.fits"
        for name in ("events", "labels", "truth", "catalogue", "clusters", "masses", "recovered")
    )
    check_present([events, labels, truth, *exposure])
    check_outputs([clusters, masses, output], overwrite)
    haloes = read_product(truth, "TRUTH", [column.name for column in TRUTH if not column.optional]).table
    if not catalogue.exists():
        detect_field([events], exposure, catalogue)
    detections = read_catalogue(catalogue, with_redshift=False)
    matches = match_by_photons(detections, haloes, _labelled(events, labels), DEFAULT_MATCH_ARCSEC)
    matches = matches[_extended(detections, matches["ID_SRC"])]
    _add_matches(haloes, matches, detections)
    made = provenance("recovered", {"match_arcsec": DEFAULT_MATCH_ARCSEC}, [events, labels, truth, catalogue])
    with_masses = Table(names=("ID_SRC", *_MASS), dtype=("i4", "f4", "f4", "i2"))
    if len(matches):
        write_table(clusters, "CATALOGUE", CATALOGUE, _with_redshifts(detections, haloes), provenance=made)
        with_masses = masses_of_field([events], clusters, ensemble, masses, exposure, overwrite=overwrite, log=True)
    else:
        LOGGER.warning("%s: no injected cluster is detected, so there are no masses", folder)
    _add_masses(haloes, with_masses)
    write_table(output, "RECOVERED", RECOVERED, haloes, provenance=made)
    return output


def _labelled(events: Path, labels: Path) -> Iterator[LabelledPhotons]:
    """Yield positions and labels of the events in the band of ML_CTS. InputError if there isn't a label for each."""
    source = np.asarray(read_product(labels, "LABELS", ["SRC_ID"]).table["SRC_ID"], dtype=np.int32)
    start, (low, high) = 0, DETECTION_BAND_EV
    for piece in stream_events(events):
        here = source[start : start + len(piece)]
        start += len(piece)
        if len(here) == len(piece):
            rows = (piece.pi_ev >= low) & (piece.pi_ev < high)
            yield piece.ra[rows], piece.dec[rows], here[rows]
    if start != len(source):
        raise InputError(f"{labels}: {len(source)} labels, but {events} holds {start} events. Inject again.")


def _rows(ids: Sequence[int], table: Table) -> list[int]:
    """Return the row of each ID_SRC in `table`."""
    row = {number: place for place, number in enumerate(table["ID_SRC"].tolist())}
    return [row[number] for number in ids]


def _extended(detections: Table, ids: Sequence[int]) -> BoolArray:
    """Return whether the detections with these ID_SRC have the likelihoods from which images are made."""
    cuts, found = default_config()["images"], detections[_rows(ids, detections)]
    passing = (found["DET_LIKE"] > cuts["det_like_min"]) & (found["EXT_LIKE"] > cuts["ext_like_min"])
    return np.asarray(passing, dtype=bool)


def _add_matches(haloes: Table, matches: Table, detections: Table) -> None:
    """Add ID_SRC, SEPARATION, PURITY and the measurements of the detection to each halo."""
    halo = {number: place for place, number in enumerate(haloes["SRC_ID"].tolist())}
    rows = [halo[number] for number in matches["SRC_ID"].tolist()]
    found = detections[_rows(matches["ID_SRC"].tolist(), detections)]
    haloes["ID_SRC"] = np.full(len(haloes), -1, dtype=np.int32)
    haloes["ID_SRC"][rows] = matches["ID_SRC"]
    for table, names in ((matches, ("SEPARATION", "PURITY")), (found, _DETECTED)):
        for name in names:
            haloes[name] = np.full(len(haloes), np.nan, dtype=np.float32)
            haloes[name][rows] = table[name]


def _with_redshifts(detections: Table, haloes: Table) -> Table:
    """Return the detections, with the true redshift where a halo is matched, and without any elsewhere."""
    found = haloes[haloes["ID_SRC"] >= 0]
    rows = _rows(found["ID_SRC"].tolist(), detections)
    table = detections.copy()
    table["Z"], table["Z_ERR"] = np.full((2, len(table)), np.nan, dtype=np.float32)
    table["Z_TYPE"] = np.full(len(table), "none")
    table["Z"][rows], table["Z_ERR"][rows], table["Z_TYPE"][rows] = found["Z"], 0.0, "spec"
    return table


def _add_masses(haloes: Table, masses: Table) -> None:
    """Add LOGM500, LOGM500_ERR and GOOD to each halo."""
    row = {number: place for place, number in enumerate(masses["ID_SRC"].tolist())}
    place = np.array([row.get(number, -1) for number in haloes["ID_SRC"].tolist()], dtype=int)
    for name in _MASS:
        blank = 0 if name == "GOOD" else np.nan
        values = np.append(np.ma.filled(np.ma.asarray(masses[name]), blank), blank)
        haloes[name] = values[place]


def summarise(tables: Sequence[Path], output: Path | None = None) -> dict[str, Any]:
    """Return how many injected clusters were detected, and bias and scatter of their masses; write both to `output`.

    `tables` are results of `recover`, which count together. The keys of the result are `all`, `good` (only clusters
    with GOOD = 1 count as having a mass), `by_log10_m500c`, `by_redshift` and `by_log10_flux_cgs` (lists of bins of
    true values). Each holds the scores of `scores`.
    """
    rows = joined(tables)
    residual, detected = residuals(rows), np.asarray(rows["ID_SRC"] >= 0)
    good = np.where(np.asarray(rows["GOOD"]) == 1, residual, np.nan)
    result: dict[str, Any] = {"all": scores(residual, detected), "good": scores(good, detected)}
    true = {"log10_m500c": rows["LOG10_M500C"], "redshift": rows["Z"], "log10_flux_cgs": np.log10(rows["FLUX"])}
    for name, edges in _BINS.items():
        result[f"by_{name}"] = by_bin(np.asarray(true[name], dtype=float), edges, scores, residual, detected)
    if output is not None:
        write_json(result | {"provenance": provenance("recovered", {}, tables)}, output)
    return result


def joined(tables: Sequence[Path]) -> Table:
    """Return the rows of several tables `recovered.fits`."""
    names = [column.name for column in RECOVERED if not column.optional]
    return vstack([read_product(path, "RECOVERED", names).table[names] for path in tables], metadata_conflicts="silent")


def residuals(rows: Table) -> FloatArray:
    """Return predicted minus true log10 mass of each row, NaN without a mass, (cluster,)."""
    predicted: FloatArray = np.ma.filled(np.ma.asarray(rows["LOGM500"], dtype=float), np.nan)
    return np.asarray(predicted - np.asarray(rows["LOG10_M500C"], dtype=float))


def scores(residual: FloatArray, detected: BoolArray) -> Json:
    """Return completeness, bias and scatter of injected clusters, with standard errors.

    `residual` holds predicted minus true log10 mass (dex, NaN = no mass), and `detected` whether a cluster is detected,
    (cluster,) each. `completeness` is the share that is detected. Its error is the standard deviation of its posterior
    with a flat prior. The other scores are those of `residual_scores`. The error of the scatter is from a bootstrap.
    With fewer than three masses, the scores of masses are None.
    """
    injected, found, known = len(detected), int(detected.sum()), residual[np.isfinite(residual)]
    p = (found + 1) / (injected + 2)  # mean of the beta distribution
    counts = {"injected": injected, "detected": found}
    share = {
        "completeness": found / injected if injected else None,
        "completeness_error": float(np.sqrt(p * (1 - p) / (injected + 3))),
    }
    errors: Json = dict.fromkeys(("bias_dex_error", "scatter_dex_error"))
    if known.size >= MIN_CLUSTERS:
        rng = generator(1, "recovered")
        spread = [known[rng.integers(known.size, size=known.size)].std() for _ in range(_RESAMPLINGS)]
        errors = {
            "bias_dex_error": float(known.std() / np.sqrt(known.size)),
            "scatter_dex_error": float(np.std(spread)),
        }
    return counts | share | residual_scores(known) | errors


def text_summary(result: dict[str, Any]) -> str:
    """Return lines about the result of `summarise`: a line for all clusters, and a table of bins of mass."""
    lines = [f"{_shown(result['all'])}", "true log10 mass:"]
    return "\n".join(
        [*lines, *(f"  {row['low']:g} to {row['high']:g}: {_shown(row)}" for row in result["by_log10_m500c"])]
    )


def _shown(row: dict[str, Any]) -> str:
    text = f"{row['detected']} of {row['injected']} injected clusters detected"
    if row["bias_dex"] is None:
        return f"{text}; masses: {row['n']}"
    return (
        f"{text}; masses: {row['n']}, bias {row['bias_dex']:+.3f} +- {row['bias_dex_error']:.3f} dex, "
        f"scatter {row['scatter_dex']:.3f} +- {row['scatter_dex_error']:.3f} dex"
    )

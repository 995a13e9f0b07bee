"""Measurements of every cluster for the baselines: features, and the luminosity and temperature of its halo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray, near_pairs
from clustermass.baselines.features import cluster_features
from clustermass.baselines.scaling_relations import published_luminosity
from clustermass.catalogues.formats import read_table
from clustermass.dataset.sample import TrainedHaloes, each_selected, realization_of
from clustermass.dataset.split import order_of
from clustermass.errors import InputError
from clustermass.io.log import track

if TYPE_CHECKING:
    from clustermass.config.models import Selection

COLUMNS = ("ra", "dec", "realization", "halo_id", "log10_m500c", "redshift", "ml_rate", "selected", "for_training")
#: columns that `truth.fits` must have, and columns that a user's own simulation may lack
TRUTH_COLUMNS, OPTIONAL = ("HALO_ID", "RA", "DEC", "Z"), ("L500", "KT", "COUNTS")
#: a halo isn't isolated if a neighbour within this radius in arcsec has more than this many times its counts
CROWDED = ((180.0, 0.3), (300.0, 1.5))
#: a cluster is contaminated if its halo has fewer photons than this share of its fitted counts
OWN_SHARE = 0.5


class HaloTruth(NamedTuple):
    """True properties of the haloes of all realizations. The arrays have the shape (halo,).

    The haloes are in the order of the files `truth.fits`, one file after the other.
    """

    #: dict from (realization, HALO_ID) to the row; HALO_ID alone isn't unique because realizations may share haloes
    row: Mapping[tuple[str, int], int]
    redshift: FloatArray
    #: L(0.5-2 keV rest frame, < R500) in erg/s; NaN = unknown
    l500: FloatArray
    #: temperature in keV; NaN = unknown
    kt: FloatArray
    #: result of `is_isolated` as 1 or 0, int8; -1 if the number of photons is unknown
    isolated: NDArray[np.int8]
    #: number of the halo's photons; NaN = unknown
    counts: FloatArray

    def rows(self, clusters: xr.Dataset) -> NDArray[np.intp]:
        """Return the row of each cluster's halo, (cluster,); InputError if the truth lacks the halo of a cluster."""
        realization, halo_id = clusters["realization"].values.astype(str), clusters["halo_id"].values.astype(np.int64)
        keys = list(zip(realization.tolist(), halo_id.tolist(), strict=True))
        missing = [key for key in keys if key not in self.row]
        if missing:
            raise InputError(
                f"truth.fits: {len(missing)} labelled clusters have a halo that no truth table holds (HALO_ID "
                f"{missing[0][1]} of realization {missing[0][0]} is one). Images and truth come from different runs: "
                "delete the sky's folder."
            )
        return np.array([self.row[key] for key in keys], dtype=np.intp)


class Sky(NamedTuple):
    """A simulated sky: its cosmology, and the `images.nc` and `truth.fits` of every realization in the same order."""

    images: Sequence[Path]
    truth: Sequence[Path]
    cosmology: Mapping[str, float]

    def haloes(self) -> HaloTruth:
        """Return the true properties of the haloes of all realizations (see `read_truth`)."""
        return read_truth({realization_of(path): truth for path, truth in zip(self.images, self.truth, strict=True)})

    def files(self) -> list[Path]:
        """Return the paths of all images and truth tables."""
        return [*self.images, *self.truth]


def measure_sky(
    sky: Sky,
    selection: Selection,
    assumed: Mapping[str, float],
    train_selection: Selection | None = None,
    trained: TrainedHaloes | None = None,
) -> xr.Dataset:
    """Return measurements of all selected clusters of a sky, sorted by cluster id.

    The selections and `trained` are described in `clustermass.dataset.sample.each_selected`. Features are measured in
    the cosmology `assumed`, as if the true cosmology were unknown. The result holds the variables of
    `measure_clusters`, the variable `isolated` of `HaloTruth`, the result of `is_contaminated` as `contaminated`, and
    the true temperature `kt` in keV (NaN = unknown). One realization is measured at a time. InputError if an input is
    missing or damaged, if the truth lacks the halo of a cluster, or if no cluster is left.
    """
    haloes, parts = sky.haloes(), []
    samples = each_selected(sky.images, selection, train_selection, trained)
    for sample in track(samples, "realizations measured", total=len(sky.images)):
        if sample.sizes["cluster"]:
            rows = haloes.rows(sample)
            part = measure_clusters(sample, haloes.l500[rows], assumed, sky.cosmology)
            fitted = sample["ml_cts"].values if "ml_cts" in sample else np.full(len(rows), np.nan)
            true = {"isolated": haloes.isolated[rows], "kt": haloes.kt[rows]}
            true["contaminated"] = is_contaminated(haloes.counts[rows], fitted.astype(float))
            parts.append(part.assign({name: ("cluster", values) for name, values in true.items()}))
    table = xr.concat(parts, dim="cluster")
    return table.isel(cluster=order_of(table["cluster"].values.astype(str)))


def measure_clusters(
    sample: xr.Dataset, l500: FloatArray, assumed: Mapping[str, float], cosmology: Mapping[str, float]
) -> xr.Dataset:
    """Return measurements of the clusters in one `images.nc`, with features in the cosmology `assumed`.

    `sample` is the content of this file. `l500` (cluster,) is the true luminosity in erg/s in the sky's `cosmology`;
    NaN means unknown. The result holds the variables of `COLUMNS` that are in the file, `features` (cluster, feature),
    and `l500` converted to the cosmology of Chiu et al. 2022 (`published_luminosity`).
    """
    features, names = np.empty((sample.sizes["cluster"], 0)), list[str]()
    if "counts" in sample:
        features, names = cluster_features(sample, assumed)
    columns = {name: ("cluster", sample[name].values) for name in COLUMNS if name in sample}
    columns["l500"] = ("cluster", published_luminosity(l500, sample["redshift"].values.astype(float), cosmology))
    return xr.Dataset(
        {**columns, "features": (("cluster", "feature"), features)},
        coords={"cluster": sample["cluster"].values.astype(str), "feature": names},
    )


def read_truth(paths: Mapping[str, Path]) -> HaloTruth:
    """Return the haloes in the `truth.fits` of all realizations. `paths` maps the names of realizations to these files.

    InputError if a file or column is missing, or if two rows of a file have the same HALO_ID.
    """
    tables, row = {label: _read_columns(path) for label, path in paths.items()}, dict[tuple[str, int], int]()
    for realization, table in tables.items():
        for halo_id in table["HALO_ID"].tolist():
            if (realization, int(halo_id)) in row:
                raise InputError(
                    f"{paths[realization]}: HALO_ID {halo_id} is in more than one row. "
                    "A halo's number must be unique in its realization."
                )
            row[realization, int(halo_id)] = len(row)
    names = ("Z", "L500", "KT", "isolated", "COUNTS")
    return HaloTruth(row, *(np.concatenate([table[name] for table in tables.values()]) for name in names))


def _read_columns(path: Path) -> dict[str, NDArray[Any]]:
    """Return `TRUTH_COLUMNS`, `OPTIONAL` (NaN if missing) and the new column `isolated`."""
    table = read_table(path)
    missing = [name for name in TRUTH_COLUMNS if name not in table.colnames]
    if missing:
        raise InputError(f"{path}: the table TRUTH lacks the column(s) {', '.join(missing)}. Delete it and run again.")
    columns = {name: np.asarray(table[name]) for name in TRUTH_COLUMNS}
    for name in OPTIONAL:
        values = table[name] if name in table.colnames else np.full(len(table), np.nan)
        columns[name] = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    counted = columns["COUNTS"] >= 0  # -1 = unknown, NaN = no such column
    isolated = is_isolated(columns["RA"], columns["DEC"], np.where(counted, columns["COUNTS"], 0))
    columns |= {"Z": columns["Z"].astype(float), "COUNTS": np.where(counted, columns["COUNTS"], np.nan)}
    return columns | {"isolated": np.where(counted, isolated, -1).astype(np.int8)}


def is_contaminated(counts: FloatArray, fitted: FloatArray) -> NDArray[np.int8]:
    """Return whether each cluster is contaminated, 1 or 0, int8 (cluster,); -1 if it is unknown.

    A cluster is contaminated if the halo that it is matched to sent fewer photons, `counts`, than the share OWN_SHARE
    of the counts that the source detection fitted, `fitted`. Most photons are then from AGN, from another halo, or from
    the background.
    """
    known = np.isfinite(counts) & np.isfinite(fitted)
    return np.where(known, counts < OWN_SHARE * fitted, -1).astype(np.int8)


def is_isolated(
    ra: FloatArray, dec: FloatArray, counts: FloatArray, crowded: Sequence[tuple[float, float]] = CROWDED
) -> NDArray[np.bool_]:
    """Return whether each halo is isolated, bool (halo,).

    `ra` and `dec` are the positions in degrees, and `counts` the numbers of photons, (halo,) each. `crowded` holds
    pairs of a radius in arcsec and a factor. A halo with N photons isn't isolated if, for any of the pairs, another
    halo within the radius has more than (factor * N) photons. The default pairs are 3' with 0.3, and 5' with 1.5.
    """
    isolated = np.ones(len(ra), dtype=bool)
    for radius_arcsec, factor in crowded:
        first, second = near_pairs(ra, dec, 2 * np.sin(np.radians(radius_arcsec / 3600) / 2)).T
        for own, other in ((first, second), (second, first)):
            isolated[own[counts[other] > factor * counts[own]]] = False
    return isolated

"""Measurements of every cluster for the baselines, one realization after the other to bound the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from clustermass.arrays import FloatArray
from clustermass.baselines.features import cluster_features
from clustermass.baselines.halo_truth import HaloTruth, read_truth, realization_of
from clustermass.baselines.scaling_relations import published_luminosity
from clustermass.baselines.selection_function import LogOdds, fit_selection
from clustermass.dataset.sample import each_selected
from clustermass.dataset.split import order_of
from clustermass.io.log import track

if TYPE_CHECKING:
    from clustermass.config.models import Selection

COLUMNS = ("ra", "dec", "realization", "halo_id", "log10_m500c", "redshift", "ml_rate", "selected", "learnt")


@dataclass(frozen=True)
class Sky:
    """Files of a simulated sky.

    Attributes
    ----------
    images, truth
        `images.nc` and `truth.fits` of every realization, in the same order.
    cosmology
        In which it was simulated: `h0_km_s_mpc`, `omega_m`.
    """

    images: Sequence[Path]
    truth: Sequence[Path]
    cosmology: Mapping[str, float]

    def haloes(self) -> HaloTruth:
        """Read the truth of all realizations; InputError: see `read_truth`."""
        return read_truth({realization_of(path): of_it for path, of_it in zip(self.images, self.truth, strict=True)})

    def files(self) -> list[Path]:
        """All of its files."""
        return [*self.images, *self.truth]


def measure_sky(
    sky: Sky, selection: Selection, assumed: Mapping[str, float], train_selection: Selection | None = None
) -> xr.Dataset:
    """Measure all selected clusters of a sky.

    Parameters
    ----------
    sky
        Its files.
    selection, train_selection
        See `load_sample`.
    assumed
        Cosmology in which features are measured: an observer doesn't know that of another sky.

    Returns
    -------
    xr.Dataset
        See `measure_clusters`, sorted by cluster id, with `isolated` and the true temperature `kt` in keV (NaN =
        unknown).

    Raises
    ------
    InputError
        An input is missing or damaged, a halo isn't in the truth, or no cluster is left.
    """
    haloes, parts = sky.haloes(), []
    samples = each_selected(sky.images, selection, train_selection)
    for sample in track(samples, "realizations measured", total=len(sky.images)):
        if sample.sizes["cluster"]:
            rows = haloes.rows(sample["realization"].values.astype(str), sample["halo_id"].values.astype(np.int64))
            part = measure_clusters(sample, haloes.l500[rows], assumed, sky.cosmology)
            parts.append(part.assign(isolated=("cluster", haloes.isolated[rows]), kt=("cluster", haloes.kt[rows])))
    table = xr.concat(parts, dim="cluster")
    return table.isel(cluster=order_of(table["cluster"].values.astype(str)))


def fit_sky_selection(sky: Sky, table: xr.Dataset) -> LogOdds | None:
    """Fit the selection function of a sky, with luminosities in the published cosmology; see `fit_selection`.

    Parameters
    ----------
    sky
        Its files.
    table
        The selected clusters, see `measure_sky`.
    """
    haloes = sky.haloes()
    if "selected" in table:  # the others are there for training only
        table = table.isel(cluster=table["selected"].values)
    selected = np.zeros(len(haloes.l500), dtype=bool)
    selected[haloes.rows(table["realization"].values.astype(str), table["halo_id"].values.astype(np.int64))] = True
    return fit_selection(published_luminosity(haloes.l500, haloes.redshift, sky.cosmology), haloes.redshift, selected)


def measure_clusters(
    sample: xr.Dataset, l500: FloatArray, assumed: Mapping[str, float], cosmology: Mapping[str, float]
) -> xr.Dataset:
    """Measure the clusters of one file.

    Parameters
    ----------
    sample
        Clusters of an `images.nc`; images without counts have no features.
    l500
        True L(0.5-2 keV, < R500) in erg/s in the sky's cosmology, (cluster,); NaN = unknown.
    assumed
        Cosmology in which features are measured.
    cosmology
        The sky's, see `published_luminosity`.

    Returns
    -------
    xr.Dataset
        Those of `COLUMNS` that the file has, `l500` in the cosmology of the published relations, erg/s, and `features`
        (cluster, feature).
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

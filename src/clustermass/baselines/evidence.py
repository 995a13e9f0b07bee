"""What the baselines know of every cluster, measured one realization after the other to bound the memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from clustermass.baselines.features import cluster_features
from clustermass.baselines.luminosity import published_luminosity
from clustermass.baselines.truth import read_truth, realization_of
from clustermass.cosmology import FloatArray
from clustermass.progress import track
from clustermass.sample import each_selected, order_of

COLUMNS = ("ra", "dec", "realization", "halo_id", "log10_m500c", "redshift", "ml_rate")


@dataclass(frozen=True)
class Sky:
    """A simulated sky.

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

    def files(self) -> list[Path]:
        """All of its files."""
        return [*self.images, *self.truth]


def sky_evidence(sky: Sky, selection: Mapping[str, Any], assumed: Mapping[str, float]) -> xr.Dataset:
    """Measure all selected clusters of a sky.

    Parameters
    ----------
    sky
        Where its files lie.
    selection
        As `sample.load_sample` takes it.
    assumed
        Cosmology in which features are measured: an observer doesn't know that of another sky.

    Returns
    -------
    xr.Dataset
        What `evidence` returns, sorted by cluster id.

    Raises
    ------
    InputError
        An input is missing or damaged, a halo isn't in the truth, or no cluster is left.
    """
    haloes = read_truth({realization_of(path): of_it for path, of_it in zip(sky.images, sky.truth, strict=True)})
    parts = []
    for sample in track(each_selected(sky.images, selection), "realizations measured", total=len(sky.images)):
        if sample.sizes["cluster"]:
            rows = haloes.rows(sample["realization"].values.astype(str), sample["halo_id"].values.astype(np.int64))
            part = evidence(sample, haloes.l500[rows], assumed, sky.cosmology)
            parts.append(part.assign(isolated=("cluster", haloes.isolated[rows])))
    table = xr.concat(parts, dim="cluster")
    return table.isel(cluster=order_of(table["cluster"].values.astype(str)))


def evidence(
    sample: xr.Dataset, l500: FloatArray, assumed: Mapping[str, float], cosmology: Mapping[str, float]
) -> xr.Dataset:
    """Measure the clusters of one file.

    Parameters
    ----------
    sample
        Clusters of an `images.nc`; images that hold no counts have no features.
    l500
        True L(0.5-2 keV, < R500) in erg/s in the sky's cosmology, (cluster,); NaN = not known.
    assumed
        Cosmology in which features are measured.
    cosmology
        The sky's, see `luminosity.published_luminosity`.

    Returns
    -------
    xr.Dataset
        `COLUMNS` as far as the file has them, `l500` in the cosmology of the published relations, erg/s, and
        `features` (cluster, feature).
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

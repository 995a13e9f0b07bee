"""What the baselines know of every cluster, measured one realization after the other to bound the memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.baselines.features import cluster_features
from clustermass.baselines.halo_truth import Truth, read_truth, realization_of
from clustermass.baselines.scaling_relations import published_luminosity
from clustermass.baselines.selection_function import LogOdds, fit_selection
from clustermass.dataset.sample import each_selected, order_of
from clustermass.io.log import track

COLUMNS = ("ra", "dec", "realization", "halo_id", "log10_m500c", "redshift", "ml_rate", "selected", "learnt")


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

    def haloes(self) -> Truth:
        """Read the truth of all realizations; InputError as of `truth.read_truth`."""
        return read_truth({realization_of(path): of_it for path, of_it in zip(self.images, self.truth, strict=True)})

    def files(self) -> list[Path]:
        """All of its files."""
        return [*self.images, *self.truth]


def sky_evidence(
    sky: Sky,
    selection: Mapping[str, Any],
    assumed: Mapping[str, float],
    train_selection: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Measure all selected clusters of a sky.

    Parameters
    ----------
    sky
        Where its files lie.
    selection
        As `sample.load_sample` takes it.
    assumed
        Cosmology in which features are measured: an observer doesn't know that of another sky.
    train_selection
        As `sample.load_sample` takes it.

    Returns
    -------
    xr.Dataset
        What `evidence` returns, sorted by cluster id, with `isolated` and the true temperature `kt` in keV (NaN = the
        simulation doesn't tell).

    Raises
    ------
    InputError
        An input is missing or damaged, a halo isn't in the truth, or no cluster is left.
    """
    haloes = sky.haloes()
    parts = []
    for sample in track(
        each_selected(sky.images, selection, train_selection), "realizations measured", total=len(sky.images)
    ):
        if sample.sizes["cluster"]:
            rows = haloes.rows(sample["realization"].values.astype(str), sample["halo_id"].values.astype(np.int64))
            part = evidence(sample, haloes.l500[rows], assumed, sky.cosmology)
            true: dict[str, NDArray[Any]] = {"isolated": haloes.isolated, "kt": haloes.kt}
            parts.append(part.assign({name: ("cluster", values[rows]) for name, values in true.items()}))
    table = xr.concat(parts, dim="cluster")
    return table.isel(cluster=order_of(table["cluster"].values.astype(str)))


def sky_selection(sky: Sky, table: xr.Dataset) -> LogOdds | None:
    """Which of a sky's haloes are selected, by luminosity (in the published cosmology) and redshift.

    Parameters
    ----------
    sky
        Where its files lie.
    table
        The selected clusters, of `sky_evidence`.

    Returns
    -------
    log_odds
        See `selection.fit_selection`.
    """
    haloes = sky.haloes()
    if "selected" in table:  # others are there to learn from
        table = table.isel(cluster=table["selected"].values)
    selected = np.zeros(len(haloes.l500), dtype=bool)
    selected[haloes.rows(table["realization"].values.astype(str), table["halo_id"].values.astype(np.int64))] = True
    return fit_selection(published_luminosity(haloes.l500, haloes.redshift, sky.cosmology), haloes.redshift, selected)


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

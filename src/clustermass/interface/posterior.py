"""The posterior of a cluster's mass: where it is found by the cluster's name, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from clustermass.ensemble import ensemble as trained
from clustermass.errors import InputError
from clustermass.interface.inputs import PathLike
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import MEMBERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: variables of a mass catalogue by which a cluster can be named
_IDENTIFIERS = ("NAME", "ID_SRC", "ID_CAT", "NAME_CAT", "cluster")


@dataclass(frozen=True)
class Posterior(trained.Posterior):
    """Posterior of the log10(M500c / Msun) of the cluster `name`, a mixture of one Gaussian for each network.

    >>> posterior = clustermass.Posterior(mu=np.array([14.0, 14.2]), sigma=np.array([0.1, 0.1]), name="mine")
    >>> float(posterior.quantile(0.5).round(3))
    14.1
    """

    name: str = ""

    @classmethod
    def read(cls, masses: PathLike, cluster: str | int) -> Posterior:
        """Return the posterior of a cluster in a mass catalogue, a file masses.nc.

        `cluster` is its NAME, ID_SRC or id. InputError if there is no such cluster, or it has no mass.
        """
        if (found := posterior_in(read_members(masses), cluster)) is None:
            raise InputError(f"{masses}: holds no cluster {str(cluster)!r}.")
        return found

    def plot(self, truth: float | None = None, style: PathLike | None = None) -> Figure:
        """Return a figure of the density; `truth` is a log10 mass to mark, `style` a Matplotlib style sheet."""
        from clustermass.interface.plots import posterior_figure

        return posterior_figure(self, truth, style=style)


def read_members(masses: PathLike) -> xr.Dataset:
    """Return a netCDF mass catalogue; InputError if it lacks the members' predictions."""
    return read_netcdf(Path(masses), ("NAME", "ID_SRC", *MEMBERS))


def posterior_in(masses: xr.Dataset, cluster: str | int) -> Posterior | None:
    """Return the posterior of a cluster in a netCDF mass catalogue; None if the catalogue holds no such cluster.

    `cluster` is the cluster's value of one of `_IDENTIFIERS`. InputError if several clusters have this value, or if the
    cluster has no mass.
    """
    present = [name for name in _IDENTIFIERS if name in masses.variables]
    rows = np.flatnonzero(np.any([masses[name].values.astype(str) == str(cluster) for name in present], axis=0))
    if not rows.size:
        return None
    names = masses["NAME"].values.astype(str)[rows]
    if rows.size > 1:
        raise InputError(f"{cluster}: {rows.size} clusters have this id. Take a NAME: {', '.join(names[:3])}, ...")
    mu, sigma = (masses[name].values[rows[0]].astype(float) for name in MEMBERS)
    if not np.isfinite(mu).all():
        raise InputError(f"{cluster}: has no mass. Its flags say why; without a redshift, call masses with z_grid.")
    return Posterior(mu, sigma, str(names[0]))

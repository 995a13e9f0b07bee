"""The posterior of a cluster's mass: where it is found by the cluster's name, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from clustermass.apply.find import IDENTIFIERS, find_cluster
from clustermass.ensemble import ensemble as trained
from clustermass.errors import InputError
from clustermass.interface.inputs import PathLike
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import MEMBERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

        `cluster` is its id, its name, or a part of its name. InputError if no cluster or several are meant, or it has
        no mass.
        """
        return posterior_in(read_members(masses), cluster, masses)

    def plot(self, truth: float | None = None, style: PathLike | None = None) -> Figure:
        """Return a figure of the density; `truth` is a log10 mass to mark, `style` a Matplotlib style sheet."""
        from clustermass.interface.plots import posterior_figure

        return posterior_figure(self, truth, style=style)


def read_members(masses: PathLike) -> xr.Dataset:
    """Return a netCDF mass catalogue; InputError if it lacks the members' predictions."""
    return read_netcdf(Path(masses), ("NAME", "ID_SRC", *MEMBERS))


def names_in(masses: xr.Dataset) -> dict[str, list[str]]:
    """Return the names and ids of the clusters of a netCDF mass catalogue, by column."""
    return {name: masses[name].values.astype(str).tolist() for name in IDENTIFIERS if name in masses.variables}


def posterior_in(masses: xr.Dataset, cluster: str | int, where: PathLike) -> Posterior:
    """Return the posterior of a cluster in a netCDF mass catalogue, which messages call `where`.

    InputError if no cluster or several have the id, name or part of a name `cluster`, or if the cluster has no mass.
    """
    names = names_in(masses)
    row = find_cluster(names, cluster, where)
    mu, sigma = (masses[name].values[row].astype(float) for name in MEMBERS)
    if not np.isfinite(mu).all():
        raise InputError(f"{cluster}: has no mass. Its flags say why; without a redshift, call masses with z_grid.")
    return Posterior(mu, sigma, names["NAME"][row])

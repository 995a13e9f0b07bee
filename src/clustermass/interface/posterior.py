"""The posterior of a cluster's mass. It is read from a mass catalogue, or made from the networks' predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from clustermass.apply.find import IDENTIFIERS, find_cluster
from clustermass.checked import checked
from clustermass.ensemble import posterior as trained
from clustermass.errors import InputError
from clustermass.interface.inputs import PathLike, name_of, path_of
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import MEMBERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: endings of the other formats of a mass catalogue
_BESIDE = (".fits", ".vot", ".ecsv")


@dataclass(frozen=True)
class Posterior(trained.Posterior):
    """Posterior of log10(M500c / Msun) of the cluster `name`. It is a mixture of one Gaussian for each network.

    >>> posterior = clustermass.Posterior(mu=np.array([14.0, 14.2]), sigma=np.array([0.1, 0.1]), name="mine")
    >>> float(posterior.quantile(0.5).round(3))
    14.1
    """

    name: str = ""

    @classmethod
    def read(cls, masses: PathLike, cluster: str | int) -> Posterior:
        """Return the posterior of a cluster in a mass catalogue.

        `masses` is the file .nc of the catalogue, or the .fits, .vot or .ecsv beside it. `cluster` is the cluster's id,
        its name, or a part of its name. InputError if the .nc is missing, if no cluster or several clusters fit, or if
        the cluster has no mass.
        """
        return posterior_in(read_members(path_of(masses, "masses")), name_of(cluster), masses)

    @checked
    def plot(self, truth: float | None = None, style: PathLike | None = None) -> Figure:
        """Return a figure of the posterior. `truth` is a log10 mass to mark. `style` is a Matplotlib style sheet."""
        from clustermass.interface.plots import posterior_figure

        return posterior_figure(self, truth, style=style)


def read_members(masses: Path) -> xr.Dataset:
    """Return the clusters' names and ids and the members' predictions, from the netCDF file of a mass catalogue.

    `masses` is this file, or the catalogue in another format that lies beside it (.fits, .vot or .ecsv). InputError if
    the netCDF file is missing or doesn't contain the predictions of the members.
    """
    path = masses.with_suffix(".nc") if masses.suffix in _BESIDE else masses
    if not path.is_file():
        raise InputError(f"{path}: no such file. Posteriors are read from the .nc that is written with each catalogue.")
    return read_netcdf(path, ("NAME", "ID_SRC", *MEMBERS))


def names_in(masses: xr.Dataset) -> dict[str, list[str]]:
    """Return the columns with names or ids of the clusters as a dict, such as {"NAME": [...], "ID_SRC": [...]}.

    All values are texts. `masses` is the content of a mass catalogue's netCDF file.
    """
    return {name: masses[name].values.astype(str).tolist() for name in IDENTIFIERS if name in masses.variables}


def posterior_in(masses: xr.Dataset, cluster: str, where: PathLike) -> Posterior:
    """Return the posterior of a cluster in a mass catalogue. `masses` is the content of the catalogue's netCDF file.

    `cluster` is an id, a name, or a part of a name. Messages call the catalogue `where`. InputError if no cluster or
    several clusters fit, or if the cluster has no mass.
    """
    names = names_in(masses)
    row = find_cluster(names, cluster, where)
    mu, sigma = (masses[name].values[row].astype(float) for name in MEMBERS)
    if not np.isfinite(mu).all():
        raise InputError(f"{cluster}: has no mass. Its flags say why; without a redshift, call masses with z_grid.")
    return Posterior(mu, sigma, names["NAME"][row])

"""The mass catalogue as a product: the same rows, columns and header in FITS, VOTable, ECSV and netCDF."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.datasets import write_netcdf
from clustermass.observed.columns import typed
from clustermass.observed.formats import TITLE, Header, write_ecsv, write_fits_table, write_votable
from clustermass.provenance import config_hash

#: suffix of each format's file
SUFFIXES = {"fits": ".fits", "votable": ".vot", "ecsv": ".ecsv", "netcdf": ".nc"}


class CataloguePaths(NamedTuple):
    """Where the same catalogue is written in each format."""

    fits: Path
    votable: Path
    ecsv: Path
    netcdf: Path

    @classmethod
    def beside(cls, fits: Path) -> "CataloguePaths":
        """`fits` itself, and the others beside it under the same name."""
        return cls(**{name: fits.with_suffix(suffix) for name, suffix in SUFFIXES.items()})


def write_catalogue(
    columns: Mapping[str, NDArray[Any]],
    cluster: NDArray[np.str_],
    facts: Mapping[str, tuple[Any, str]],
    made_by: Mapping[str, Any],
    paths: CataloguePaths,
) -> None:
    """Write the same catalogue in four formats. Missing numbers are NaN, never a sentinel.

    Parameters
    ----------
    columns
        Every column of `columns.COLUMNS`, (cluster,); those of `columns.FLAT` may be missing.
    cluster
        Ids, (cluster,): the coordinate of the netCDF file.
    facts
        Keyword (of more than 8 characters: a HIERARCH card) -> (value, comment): mass definition, cosmology, ...
    made_by
        What `provenance` returns.
    paths
        Files to write.
    """
    inputs = made_by.get("input_sha256", {}).values()
    facts = {
        **facts,
        "CREATOR": (made_by["source"], "and its version"),
        "CONFHASH": (made_by["config_hash"], "hash of the settings of the last step"),
        "INPTHASH": (config_hash({"sha256": list(inputs)}), "hash of the SHA-256 of all input files"),
    }
    table, header = typed(columns), Header(facts, made_by)
    write_fits_table(table, header, paths.fits)
    write_votable(table, header, paths.votable)
    write_ecsv(table, header, paths.ecsv)
    dataset = xr.Dataset({name.lower(): ("cluster", values) for name, values in table.items()}, {"cluster": cluster})
    write_netcdf(dataset, paths.netcdf, TITLE, {**{key.lower(): v for key, (v, _) in facts.items()}, **made_by})

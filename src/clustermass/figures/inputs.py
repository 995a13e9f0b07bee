"""The data of figures, which are in memory or are read from the files of the pipeline."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from clustermass.errors import InputError
from clustermass.io.files import read_json
from clustermass.io.netcdf import check_finite, read_netcdf

#: a data set in memory, or a netCDF file of the pipeline
Data = xr.Dataset | str | Path
#: a block of numbers in memory, or a JSON file of the pipeline
Block = Mapping[str, Any] | str | Path


def name_of(source: object) -> str:
    """Return a name of the data for messages: the path of a file, or words for data in memory."""
    return str(source) if isinstance(source, str | Path) else "the data in memory"


def dataset(source: Data, require: Iterable[str] = ()) -> xr.Dataset:
    """Return `source` if it is a data set, or read it from a file; InputError if it lacks a variable in `require`."""
    if isinstance(source, str | Path):
        return read_netcdf(source, require)
    if missing := [name for name in require if name not in source.variables]:
        raise InputError(f"{name_of(source)}: lacks the variable(s) {', '.join(missing)}.")
    return source


def block(source: Block, what: str) -> Mapping[str, Any]:
    """Return `source` if it is a block of numbers, or read it from a JSON file.

    InputError if the file is missing or damaged. In the message, `what` names the content of the file.
    """
    return read_json(source, what) if isinstance(source, str | Path) else source


def subset(source: Data, split: str, require: Iterable[str] = ()) -> xr.Dataset:
    """Return the clusters of the subset `split` (train, val or test) in an `ensemble.nc` or `predictions.nc`.

    InputError if the subset is empty, or if a mass or a variable in `require` is missing or isn't finite.
    """
    names = ["log10_m500c", *require]
    data = dataset(source, ["split", *names])
    chosen = data.isel(cluster=np.flatnonzero(data["split"].values.astype(str) == split))
    if chosen.sizes["cluster"] == 0:
        place = name_of(source)
        raise InputError(f"{place}: no cluster of the {split} set; the figure can't be drawn. Enlarge the sample.")
    check_finite(chosen, names, name_of(source))
    return chosen

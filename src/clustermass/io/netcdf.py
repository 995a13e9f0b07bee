"""netCDF files of the pipeline: written whole, described by units and long names, checked on reading."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from clustermass.errors import InputError
from clustermass.io.files import atomic
from clustermass.io.variables import VARIABLES

CONVENTIONS = "CF-1.11"


def write_netcdf(
    dataset: xr.Dataset,
    path: str | Path,
    title: str,
    provenance: Mapping[str, Any],
    variables: Mapping[str, tuple[str, str]] = VARIABLES,
) -> None:
    """Write `dataset` atomically as compressed netCDF-4, one chunk a cluster, with units and long names.

    Every variable must be listed in `variables`, name -> (unit, description), else KeyError. `title` is a sentence;
    `provenance`, as `io.provenance.provenance` returns it, becomes global attributes.
    """
    described = dataset.copy()
    encoding: dict[str, dict[str, Any]] = {}
    for name in map(str, described.variables):
        units, meaning = variables[name]
        variable = described[name]
        variable.attrs = {"long_name": meaning, **({"units": units} if variable.dtype.kind not in "SUO" else {})}
        encoding[name] = _encoding(variable)
    if "band_bounds" in described.variables:
        described["band"].attrs["bounds"] = "band_bounds"
    described.attrs = {"Conventions": CONVENTIONS, "title": title, **_attributes(provenance)}
    with atomic(path) as temporary:
        described.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)


def _encoding(variable: xr.DataArray) -> dict[str, Any]:
    if variable.dtype.kind in "SUO":
        return {}
    if variable.ndim < 2 or variable.size == 0:
        return {"_FillValue": None}
    chunks = (1, *variable.shape[1:]) if variable.dims[0] == "cluster" else variable.shape
    return {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks, "_FillValue": None}


def _attributes(provenance: Mapping[str, Any]) -> dict[str, str]:
    return {k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in provenance.items()}


def read_netcdf(path: str | Path, require: Iterable[str] = ()) -> xr.Dataset:
    """Load a whole netCDF file of the pipeline into memory and close it.

    InputError if the file is missing, is no netCDF or lacks a variable in `require`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Run the workflow again; it makes what is missing.")
    try:
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            loaded = dataset.load()
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError(f"{path}: not a readable netCDF file ({error}). Delete it and run again.") from error
    missing = [name for name in require if name not in loaded.variables]
    if missing:
        raise InputError(f"{path}: lacks the variable(s) {', '.join(missing)}. Delete it and run again.")
    return loaded


def check_finite(data: xr.Dataset, names: Iterable[str], path: object) -> None:
    """Raise InputError if one of the variables `names`, numbers of any shape read at `path`, has NaN or an infinity."""
    for name in names:
        if not np.isfinite(data[name].values).all():
            raise InputError(f"{path}: {name} holds numbers that aren't finite. Delete the file and run again.")

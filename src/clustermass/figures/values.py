"""Numbers that several figures read and print: subsets of a prediction file, residuals, scatter."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from clustermass.datasets import read_netcdf
from clustermass.errors import InputError


def read_subset(path: Path, split: str, require: Iterable[str] = ()) -> xr.Dataset:
    """Read the clusters of one subset from `ensemble.nc` or `baselines.nc`.

    Parameters
    ----------
    path
        netCDF file with `split(cluster)`, `log10_m500c(cluster)` and the variables in `require`.
    split
        train, val or test.

    Raises
    ------
    InputError
        The subset is empty, or a mass or a variable in `require` isn't finite.
    """
    names = ["log10_m500c", *require]
    dataset = read_netcdf(path, require=["split", *names])
    chosen = dataset.isel(cluster=np.flatnonzero(dataset["split"].values.astype(str) == split))
    if chosen.sizes["cluster"] == 0:
        raise InputError(f"{path}: no cluster of the {split} set; the figure can't be drawn. Enlarge the sample.")
    for name in names:
        if not np.isfinite(chosen[name].values).all():
            bad = int((~np.isfinite(chosen[name].values)).sum())
            raise InputError(
                f"{path}: {bad} value(s) of {name} in the {split} set aren't finite. Delete it, run again."
            )
    return chosen


def percent(dex: float) -> float:
    """Convert a scatter in dex to percent of the mass, 100 ln(10) times it (0.188 dex = 43 %)."""
    return 100.0 * float(np.log(10.0)) * dex


def signed(value: float, digits: int = 3) -> str:
    """Format a number with its sign, a true minus included."""
    return f"{value:+.{digits}f}".replace("-", "−")


def scatter_text(residual: np.ndarray) -> str:
    """Sample size, scatter about the mean (dex and percent) and bias of residuals (n,) in dex, on three lines."""
    scatter = float(residual.std())
    return (
        f"n = {residual.size}\nscatter {scatter:.3f} dex ({percent(scatter):.0f} %)\nbias {signed(residual.mean())} dex"
    )

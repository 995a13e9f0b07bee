"""Numbers that several figures read and print: subsets of a prediction file, residuals, scatter."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.io.netcdf import read_netcdf


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


TRUE_MASS = r"true $\log_{10}(M_{500c}/M_\odot)$"
PREDICTED_MASS = r"predicted $\log_{10}(M_{500c}/M_\odot)$"
MASS = r"$\log_{10}(M_{500c}/M_\odot)$"
SIGMA = r"predicted $\sigma$ [dex]"
RESIDUAL = r"$\log_{10} M_\mathrm{pred} - \log_{10} M_\mathrm{true}$ [dex]"


class Predictor(NamedTuple):
    """How a predictor of masses is named and drawn."""

    label: str
    colour: str
    marker: str


#: in the order in which figures list them; luminosities and temperatures are the simulation's true ones
PREDICTORS: dict[str, Predictor] = {
    "network": Predictor("network ensemble", style.BLUE, "o"),
    "boosted_trees": Predictor("boosted trees on hand-made features", style.GREEN, "P"),
    "ridge_features": Predictor("ridge regression on hand-made features", style.SKY_BLUE, "D"),
    "luminosity_temperature": Predictor("true luminosity and temperature", style.GREY, "d"),
    "luminosity_recalibrated": Predictor("true luminosity, recalibrated", style.ORANGE, "^"),
    "luminosity_published": Predictor("true luminosity, Chiu et al. 2022", style.VERMILION, "v"),
    "luminosity_selected": Predictor("true luminosity, Chiu, with selection", style.VERMILION, "<"),
    "count_rate_recalibrated": Predictor("count rate, recalibrated", style.PURPLE, "s"),
    "count_rate_efeds": Predictor("count rate, eFEDS relation", style.BLACK, "X"),
    "prior": Predictor("redshift only", style.LIGHT_GREY, "*"),
}


def predictor(name: str) -> Predictor:
    """Return label, colour and marker of a predictor; one that isn't known yet gets its name in grey."""
    return PREDICTORS.get(name, Predictor(name.replace("_", " "), style.GREY, "h"))


def in_order(names: list[str]) -> list[str]:
    """Sort predictors as `PREDICTORS` lists them, unknown ones last in alphabetical order."""
    known = list(PREDICTORS)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))

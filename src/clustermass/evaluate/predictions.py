"""The calibrated prediction of every cluster, whole: mean, sigma, quantiles of the mixture, conformal intervals."""

from pathlib import Path

import numpy as np
import xarray as xr

from clustermass.ensemble.calibration import Calibration
from clustermass.ensemble.ensemble import mixture_cdf, mixture_quantile
from clustermass.evaluate.bootstrap import MIN_CLUSTERS
from clustermass.evaluate.coverage import fraction
from clustermass.evaluate.metrics import Summary
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

#: probabilities whose quantiles of the predicted distribution are kept
PROBABILITIES = (0.025, 0.16, 0.25, 0.5, 0.75, 0.84, 0.975)
#: what of a cluster goes with its prediction
KEPT = ("mu", "sigma", "split", "log10_m500c", "redshift", "ml_cts")


def calibrated_predictions(table: xr.Dataset, calibration: Calibration) -> xr.Dataset:
    """Calibrate the predictions of an ensemble.

    Parameters
    ----------
    table
        Of `ensemble.nc`: `KEPT`, `member_mu` and `member_sigma`.
    calibration
        From the validation set.

    Returns
    -------
    xr.Dataset
        `KEPT`; `sigma_calibrated`, the recalibrated standard deviation; `quantile` (probability, cluster) of the
        recalibrated mixture and `pit`, its cumulative probability at the true mass; `conformal_low` and
        `conformal_high` (level in percent, cluster), NaN where the validation set was too small. Masses as log10.
    """
    members = table["member_mu"].values, table["member_sigma"].values
    mu, sigma = calibration.recalibration.components(*members)
    centre, width = table["mu"].values, table["sigma"].values
    half_widths = np.outer(list(calibration.half_width.values()), width)
    quantiles = np.stack([mixture_quantile(probability, mu, sigma) for probability in PROBABILITIES])
    columns = {
        "sigma_calibrated": ("cluster", calibration.recalibration.sigma(width)),
        "quantile": (("probability", "cluster"), quantiles),
        "pit": ("cluster", mixture_cdf(table["log10_m500c"].values, mu, sigma)),
        "conformal_low": (("level", "cluster"), centre - half_widths),
        "conformal_high": (("level", "cluster"), centre + half_widths),
    }
    kept = {name: ("cluster", table[name].values) for name in KEPT}
    levels = np.array(list(calibration.half_width), dtype=np.int16)
    axes = {"cluster": table["cluster"].values, "probability": np.array(PROBABILITIES), "level": levels}
    return xr.Dataset({**kept, **columns}, coords=axes)


def write_predictions(dataset: xr.Dataset, ensemble: Path, calibration: Path, output: Path) -> None:
    """Write what `calibrated_predictions` returns as `predictions.nc`."""
    made = provenance("evaluate", {}, [ensemble, calibration])
    write_netcdf(dataset, output, "Calibrated predictions of log10 M500c by an ensemble", made)


def conformal_coverage(predicted: xr.Dataset) -> dict[str, Summary]:
    """Share of true masses inside the conformal intervals, by level in percent, as text.

    Returns
    -------
    dict
        Of each level `coverage`, its binomial `coverage_ci68`, and `mean_half_width_dex`; None without such intervals
        or with fewer than three clusters.
    """
    truth = predicted["log10_m500c"].values
    found = {}
    for level in predicted["level"].values.tolist():
        low, high = (predicted[name].sel(level=level).values for name in ("conformal_low", "conformal_high"))
        if truth.size < MIN_CLUSTERS or not np.isfinite(low).all():
            found[str(level)] = dict.fromkeys(("coverage", "coverage_ci68", "mean_half_width_dex"))
        else:
            inside = fraction("coverage", (low <= truth) & (truth <= high))
            found[str(level)] = inside | {"mean_half_width_dex": float((high - low).mean() / 2)}
    return found

"""What the lines of the table are computed with: numbers per field, quantiles, regressions, and their errors."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.baselines.linear_fits import columns, redshift_term
from clustermass.baselines.scaling_relations import predict_count_rate_efeds
from clustermass.sky_validation.published import MASS_RELATION

#: of the measurements (`measure.measure`): a number, and one number for each of some candidates
Statistic: TypeAlias = Callable[[xr.Dataset], float]
Values: TypeAlias = Callable[[xr.Dataset], FloatArray]

#: both likelihoods of a bright cluster, as in the paper
BRIGHT = 60.0
SECONDS_PER_KS = 1000.0


def with_error(statistic: Statistic, data: xr.Dataset, others: list[xr.Dataset]) -> tuple[float, float | None]:
    """Return a statistic of all realizations and its standard error.

    The error is the jackknife's, from `others`: the data without each realization in turn. For a mean over
    realizations it is their standard deviation over the root of their number; it is None for a single realization or
    where the statistic is none (NaN) without one of them.
    """
    value = statistic(data)
    if len(others) < 2:
        return value, None
    without = np.array([statistic(other) for other in others])
    error = float(np.sqrt((len(others) - 1) * without.var()))
    return value, error if np.isfinite(error) else None


def leave_one_out(data: xr.Dataset) -> list[xr.Dataset]:
    """Return the data without each realization in turn; none of a single one."""
    number = data.sizes["realization"]
    if number < 2:
        return []
    field = data["field"].values
    return [
        data.isel(realization=np.arange(number) != left_out, candidate=np.flatnonzero(field != left_out))
        for left_out in range(number)
    ]


def selected(data: xr.Dataset) -> NDArray[np.bool_]:
    """Return which candidates are a halo, (candidate,)."""
    return np.isfinite(data["log10_m500c"].values)


def per_field(name: str) -> Statistic:
    """Mean of a number over the realizations."""
    return lambda data: float(data[name].mean())


def per_deg2(name: str) -> Statistic:
    """Sum of a number over the realizations over their area."""
    return lambda data: float(data[name].sum() / data["area"].sum())


def density_above_flux(flux: float) -> Statistic:
    """Haloes per deg2 above a flux of the grid."""
    return lambda data: float(data["haloes_above"].sel(flux=flux).sum() / data["area"].sum())


def density_above_rate(rate: float) -> Statistic:
    """Density per deg2 of the selected clusters with ML_RATE above `rate`."""
    return lambda data: float((selected(data) & (data["ml_rate"].values > rate)).sum() / data["area"].sum())


def completeness(low: float, high: float | None) -> Statistic:
    """Share of the haloes with a flux between two of the grid (None = without end) that are selected."""

    def share(data: xr.Dataset) -> float:
        haloes, found = (
            float(data[name].sel(flux=low).sum()) - (0.0 if high is None else float(data[name].sel(flux=high).sum()))
            for name in ("haloes_above", "selected_above")
        )
        return found / haloes if haloes else np.nan

    return share


def candidates_per_field(chosen: Callable[[xr.Dataset], NDArray[np.bool_]]) -> Statistic:
    """Mean number of the candidates that `chosen` marks, over the realizations."""
    return lambda data: float(chosen(data).sum() / data.sizes["realization"])


def bright(data: xr.Dataset) -> NDArray[np.bool_]:
    """Return which candidates are selected with both likelihoods above `BRIGHT`, (candidate,)."""
    return selected(data) & (data["det_like"].values > BRIGHT) & (data["ext_like"].values > BRIGHT)


def spurious_share(data: xr.Dataset) -> float:
    """Share of the candidates that are no halo."""
    return _nan_if_none(~selected(data), np.mean)


def quantile(percent: float, of: Values) -> Statistic:
    """Quantile of what `of` returns, over all realizations together; NaN of nothing."""
    return lambda data: _nan_if_none(of(data), lambda values: np.percentile(values, percent))


def column(name: str, of_selected: bool = False) -> Values:
    """Column of all candidates, or of those that are a halo."""
    return lambda data: data[name].values[selected(data)] if of_selected else data[name].values


def background(data: xr.Dataset) -> FloatArray:
    """ML_BKG / ML_EXP of the selected clusters, counts/arcmin2/ks."""
    level = SECONDS_PER_KS * data["ml_bkg"].values / data["ml_exp"].values
    return np.asarray(level[selected(data)], dtype=float)


def flux_over_rate(data: xr.Dataset) -> FloatArray:
    """Ratio of the true flux inside R500c to ML_RATE of the selected clusters, 1e-13 erg/cm2 per count."""
    ratio = 1e13 * data["flux_true"].values / data["ml_rate"].values
    return np.asarray(ratio[selected(data)], dtype=float)


def ext_like_by_counts(low: float, high: float) -> Values:
    """EXT_LIKE of the selected clusters with ML_CTS in [low, high)."""

    def chosen(data: xr.Dataset) -> FloatArray:
        counts = data["ml_cts"].values
        return np.asarray(data["ext_like"].values[selected(data) & (counts >= low) & (counts < high)], dtype=float)

    return chosen


def mass_regression(term: int) -> Statistic:
    """Coefficient `term` of the published form, log10 M500c = a + b log10(rate / pivot) + c q + d q^2, fitted anew."""
    return lambda data: _coefficient(term, *_rate_and_mass(data))


def _coefficient(term: int, rate: FloatArray, q: FloatArray, mass: FloatArray) -> float:
    design = columns(rate, q, q**2)
    return float(np.linalg.lstsq(design, mass, rcond=None)[0][term]) if len(mass) > design.shape[1] else np.nan


def mass_offset(data: xr.Dataset) -> float:
    """Mean of true log10 M500c less that of the relation of the eFEDS masses, selected clusters."""
    return _nan_if_none(offsets_from_relation(data), np.mean)


def offsets_from_relation(data: xr.Dataset) -> FloatArray:
    """Difference of true log10 M500c from the relation of the eFEDS masses, (selected cluster,)."""
    chosen = selected(data)
    rate, z = data["ml_rate"].values[chosen], data["redshift"].values[chosen]
    return np.asarray(data["log10_m500c"].values[chosen] - predict_count_rate_efeds(rate, z, MASS_RELATION))


def scatter_by_rate(data: xr.Dataset) -> float:
    """Scatter of log10 M500c about its best full quadratic in log10 ML_RATE and q, selected clusters."""
    rate, q, mass = _rate_and_mass(data)
    return _scatter(columns(rate, q, q**2, rate**2, rate * q), mass)


def scatter_by_luminosity(data: xr.Dataset) -> float:
    """Scatter of log10 M500c about its best linear function of true log10 L500 and q, selected clusters."""
    _, q, mass = _rate_and_mass(data)
    luminosity = np.log10(data["l500"].values[selected(data)]) - 44
    return _scatter(columns(luminosity, q), mass)


def _rate_and_mass(data: xr.Dataset) -> tuple[FloatArray, FloatArray, FloatArray]:
    """log10(ML_RATE / pivot), q and log10 M500c of the selected clusters."""
    chosen = selected(data)
    rate = np.log10(data["ml_rate"].values[chosen] / MASS_RELATION["pivot_rate"])
    q = redshift_term(data["redshift"].values[chosen], MASS_RELATION["pivot_z"])
    return rate, q, data["log10_m500c"].values[chosen]


def _scatter(design: FloatArray, target: FloatArray) -> float:
    rows, terms = design.shape
    if rows <= terms:
        return np.nan
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return float(np.sqrt((residual**2).sum() / (rows - terms)))


def _nan_if_none(values: NDArray[np.generic], summary: Callable[..., np.floating | float]) -> float:
    return float(summary(values)) if values.size else np.nan

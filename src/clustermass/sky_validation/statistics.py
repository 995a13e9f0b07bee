"""Published numbers (`published.yaml`), and the statistics of the simulated sky that are compared with them.

Each statistic is a function whose argument `data` is the result of `measure.measure`. The table in `published.yaml`
refers to the functions by name. Some functions fit relations, in which the redshift z appears as
q = log10((1 + z) / (1 + `pivot_z`)).
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.baselines.scaling_relations import count_rate_relation, design_matrix, redshift_term

BRIGHT = 60.0  #: both likelihoods of a bright cluster exceed this value, as in Krippendorf et al. 2023
_ARCSEC_PER_DEG = 3600.0
PERCENT = (5, 25, 50, 75, 95)  #: the published quantiles, in percent


class PublishedNumber(NamedTuple):
    """A published number, its source, and its standard error, which is None if it is unknown."""

    value: float
    error: float | None
    source: str


class Histogram(NamedTuple):
    """A published histogram."""

    edges: FloatArray  # (bin + 1,)
    counts: FloatArray  # (bin,)


class Running(NamedTuple):
    """Published quantiles of a quantity y in bins of another quantity x. Arrays are (bin,), except `edges`."""

    edges: FloatArray  # (bin + 1,), the last may be infinite
    x: FloatArray  # median of x
    low: FloatArray  # 16 % quantile of y
    median: FloatArray  # median of y
    high: FloatArray  # 84 % quantile of y
    error: FloatArray  # standard error of the median of y
    number: FloatArray  # number of objects in the bin


@cache
def published() -> dict[str, Any]:
    """Return the content of `published.yaml`."""
    return dict(yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8")))


def published_number(name: str) -> PublishedNumber:
    """Return the published number `name`. If it is a count, its error is the square root of the count."""
    entry = published()["numbers"][name]
    if "count" in entry:
        per = entry.get("per", 1.0)
        return PublishedNumber(entry["count"] / per, entry["count"] ** 0.5 / per, entry["source"])
    return PublishedNumber(entry["value"], entry.get("error"), entry["source"])


def published_quantile(name: str, percent: int) -> PublishedNumber:
    """Return the published quantile `percent` of the quantity `name`; ValueError if `percent` isn't in `PERCENT`."""
    entry = published()["quantiles"][name]
    value, error = entry["values"][PERCENT.index(percent)]
    return PublishedNumber(value, error, entry["source"])


def published_histogram(name: str) -> Histogram:
    """Return the published histogram `name`."""
    entry = published()["histograms"][name]
    counts = np.array(entry["counts"], dtype=float)
    low, high = entry.get("range", (0.0, 0.0))
    edges = entry.get("edges") or np.linspace(low, high, counts.size + 1)
    return Histogram(np.asarray(edges, dtype=float), counts)


def published_running(name: str) -> Running:
    """Return the entry `name` of the published quantiles of one quantity in bins of another quantity."""
    entry = published()["running"][name]
    return Running(np.array(entry["edges"], dtype=float), *np.array(entry["rows"], dtype=float).T)


def published_medians(name: str) -> dict[str, tuple[tuple[float, float], PublishedNumber]]:
    """Return, for each bin of the `published_running` quantiles `name`, its edges and the published median.

    The keys of the dict are the names of the bins, which follow from their edges, such as "0–60" or "above 400".
    """
    bins, source = published_running(name), published()["running"][name]["source"]
    return {
        f"{low:g}–{high:g}" if np.isfinite(high) else f"above {low:g}": (
            (float(low), float(high)),
            PublishedNumber(float(median), float(error), source),
        )
        for (low, high), median, error in zip(pairwise(bins.edges), bins.median, bins.error, strict=True)
    }


def mass_relation() -> dict[str, float]:
    """Return the coefficients of the relation between count rate and eFEDS mass.

    The keys are those of the block `baselines.count_rate_efeds` of the configuration.
    """
    return dict(published()["mass_relation"])


def with_error(
    statistic: Callable[..., float], data: xr.Dataset, others: list[xr.Dataset], *arguments: Any
) -> tuple[float, float | None]:
    """Return the value of the function `statistic` for the `data` of all n realizations, and its jackknife error.

    `arguments` are further arguments of the function. `others` is the result of `leave_one_out`: n data sets, each
    without one realization. The statistic is computed for each of them, which gives n values. If v is the variance of
    these values (with the divisor n), the error is sqrt((n - 1) v). For a mean over realizations, it equals the usual
    standard error of the mean. The error is None if n = 1, or if the statistic of one of `others` is NaN.
    """
    without = [statistic(other, *arguments) for other in others]
    error = float(np.sqrt((len(others) - 1) * np.var(without))) if others else np.nan
    return statistic(data, *arguments), error if np.isfinite(error) else None


def leave_one_out(data: xr.Dataset) -> list[xr.Dataset]:
    """Return a list of data sets, each of which lacks a different realization. It is empty for a single realization."""
    number, field = data.sizes["realization"], data["field"].values
    return [
        data.isel(realization=np.arange(number) != one, candidate=np.flatnonzero(field != one))
        for one in range(number)
        if number > 1
    ]


def chosen(data: xr.Dataset, which: str) -> NDArray[np.bool_]:
    """Return whether each candidate is in the class `which`, bool (candidate,).

    The class is `all`, `selected` (the candidates that match a halo), `spurious` (those not confirmed as a cluster),
    `parts` (all others, which share a halo with a more likely candidate) or `bright` (the selected ones whose DET_LIKE
    and EXT_LIKE are above `BRIGHT`).
    """
    halo = np.isfinite(data["log10_m500c"].values)
    bright = (data["det_like"].values > BRIGHT) & (data["ext_like"].values > BRIGHT)
    spurious = data["spurious"].values == 1
    classes = {"all": np.ones_like(halo), "selected": halo, "spurious": spurious, "parts": ~halo & ~spurious}
    return (classes | {"bright": halo & bright})[which]


def per_field(data: xr.Dataset, name: str) -> float:
    """Return the mean of the variable `name` over the realizations. Each realization is one field."""
    return float(data[name].mean())


def ratio(data: xr.Dataset, name: str, over: str) -> float:
    """Return the sum of one variable over all realizations, divided by the sum of another one.

    `name` is the variable in the numerator, and `over` is the variable in the denominator.
    """
    return float(data[name].sum() / data[over].sum())


def density_above_flux(data: xr.Dataset, flux: float) -> float:
    """Return the number per deg2 of haloes whose flux is above `flux`, one of the fluxes tabulated in `data`."""
    return float(data["haloes_above"].sel(flux=flux).sum() / data["area"].sum())


def density_above(data: xr.Dataset, name: str, limit: float) -> float:
    """Return the number per deg2 of the selected clusters whose variable `name` is above `limit`."""
    return float((chosen(data, "selected") & (data[name].values > limit)).sum() / data["area"].sum())


def share_above(data: xr.Dataset, name: str, limit: float) -> float:
    """Return the share of the selected clusters whose variable `name` is at least `limit`."""
    return _nan_if_none(data[name].values[chosen(data, "selected")] >= limit, np.mean)


def pairs_per_field(data: xr.Dataset, separation: float) -> float:
    """Return the number of pairs of candidates within `separation` of each other, as the mean over the realizations.

    `separation` is one of the tabulated separations in arcsec.
    """
    return float(data["pairs_within"].sel(separation=separation).mean())


def points_around(data: xr.Dataset, separation: float) -> float:
    """Return the number of point sources near selected clusters, divided by the number expected by chance.

    Point sources have DET_LIKE >= 6. They are near if their distance is below `separation`, one of the tabulated
    separations in arcsec. The expected number is the mean density of point sources in the field, times the area of
    circles with this radius around all selected clusters. The result is NaN if there are no clusters or no point
    sources.
    """
    discs = chosen(data, "selected").sum() * np.pi * (separation / _ARCSEC_PER_DEG) ** 2
    expected = float(discs * data["points_6"].sum() / data["area"].sum())
    return float(data["points_within"].sel(separation=separation).sum()) / expected if expected else np.nan


def completeness(data: xr.Dataset, low: float, high: float | None = None) -> float:
    """Return the share of selected haloes among the haloes with fluxes from `low` to `high`.

    If `high` is None, there is no upper limit. Both limits must be fluxes that are tabulated in `data`. The result is
    NaN if there are no such haloes.
    """
    haloes, selected = (
        float(data[name].sel(flux=low).sum()) - (0.0 if high is None else float(data[name].sel(flux=high).sum()))
        for name in ("haloes_above", "selected_above")
    )
    return selected / haloes if haloes else np.nan


def candidates_per_field(data: xr.Dataset, which: str) -> float:
    """Return the number of candidates in the class `which` (see `chosen`), as the mean over the realizations."""
    return float(chosen(data, which).sum() / data.sizes["realization"])


def spurious_share(data: xr.Dataset) -> float:
    """Return the share of the candidates that aren't confirmed as clusters."""
    return _nan_if_none(chosen(data, "spurious"), np.mean)


def quantile(
    data: xr.Dataset, percent: float, name: str, which: str = "all", by: str = "", low: float = 0.0, high: float = 0.0
) -> float:
    """Return the `percent` % quantile of the quantity `name` for the candidates in the class `which` (see `chosen`).

    The quantity is a variable of `data` or one of the following. `background` is ML_BKG / ML_EXP in counts/arcmin2/ks.
    `flux_over_rate` is the true flux inside 500 kpc divided by ML_RATE, in 1e-13 erg/cm2 per count. `mass_offset` is
    the result of `offsets_from_relation`.

    If `by` names a variable, only candidates are used for which its value is at least `low` and below `high`. The
    result is NaN if there are no candidates.
    """
    if name == "background":
        values = 1000 * data["ml_bkg"].values / data["ml_exp"].values
    elif name == "flux_over_rate":
        values = 1e13 * data["flux_500kpc"].values / data["ml_rate"].values
    elif name == "mass_offset":
        values = offsets_from_relation(data)
    else:
        values = data[name].values.astype(float)
    inside = chosen(data, which)
    if by:
        inside &= (data[by].values >= low) & (data[by].values < high)
    return _nan_if_none(values[inside], lambda some: np.percentile(some, percent))


def mass_regression(data: xr.Dataset, term: int) -> float:
    """Return a coefficient of the relation log10 M500c = a + b log10(rate / pivot) + c q + d q^2.

    `term` is 0 for a, 1 for b, 2 for c, and 3 for d. The relation is fitted to the true masses, the ML_RATE and the
    redshifts of the selected clusters. The result is NaN if there are fewer than five clusters.
    """
    rate, q, mass = _rate_and_mass(data)
    design = design_matrix(rate, q, q**2)
    return float(np.linalg.lstsq(design, mass, rcond=None)[0][term]) if len(mass) > design.shape[1] else np.nan


def mass_offset(data: xr.Dataset) -> float:
    """Return the mean of `offsets_from_relation` over the selected candidates, in dex; NaN if there are none."""
    return _nan_if_none(offsets_from_relation(data)[chosen(data, "selected")], np.mean)


def offsets_from_relation(data: xr.Dataset) -> FloatArray:
    """Return the true log10 M500c of each candidate minus the value of the eFEDS count-rate relation, in dex.

    The shape is (candidate,). The value is NaN for a candidate that matches no halo.
    """
    relation = count_rate_relation(data["redshift"].values, mass_relation())
    return np.asarray(data["log10_m500c"].values - relation.log10_mass(data["ml_rate"].values))


def scatter_by_rate(data: xr.Dataset) -> float:
    """Return the scatter in dex of log10 M500c of selected clusters about a quadratic fit in log10 ML_RATE and q."""
    rate, q, mass = _rate_and_mass(data)
    return _scatter(design_matrix(rate, q, q**2, rate**2, rate * q), mass)


def scatter_by_luminosity(data: xr.Dataset) -> float:
    """Return the scatter in dex of log10 M500c of selected clusters about a linear fit in log10 L500 and q."""
    _, q, mass = _rate_and_mass(data)
    return _scatter(design_matrix(np.log10(data["l500"].values[chosen(data, "selected")]) - 44, q), mass)


def _rate_and_mass(data: xr.Dataset) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return log10(ML_RATE / pivot), the redshift term q, and the true log10 M500c, each (selected cluster,)."""
    selected, relation = chosen(data, "selected"), mass_relation()
    rate = np.log10(data["ml_rate"].values[selected] / relation["pivot_rate"])
    q = redshift_term(data["redshift"].values[selected], relation["pivot_z"])
    return rate, q, data["log10_m500c"].values[selected]


def _scatter(design: FloatArray, target: FloatArray) -> float:
    rows, terms = design.shape
    if rows <= terms:
        return np.nan
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return float(np.sqrt((residual**2).sum() / (rows - terms)))


def _nan_if_none(some: NDArray[np.generic], summary: Callable[..., np.floating | float]) -> float:
    return float(summary(some)) if some.size else np.nan

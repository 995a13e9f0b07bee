"""The calibration of an ensemble's uncertainties.

The calibration has two parts, which are both determined with the validation set: how sigma is recalibrated, and how
wide conformal intervals are. It is stored in `calibration.json` and applied wherever masses are predicted.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import ceil, inf, sqrt
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from clustermass import limits
from clustermass.arrays import FloatArray, generator
from clustermass.dataset.physics import cell_weights
from clustermass.dataset.split import read_split
from clustermass.ensemble.scores import Json, calibration_scores, negative_log_likelihood
from clustermass.errors import InputError
from clustermass.io.files import read_json, reading, write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import check_finite, read_netcdf
from clustermass.io.provenance import provenance

VARIABLES = ("mu", "sigma", "log10_m500c")
#: number of folds of the validation groups; each fold is left out of the fit once
FOLDS = 10
#: smallest number of groups with which a better sigma can be distinguished from a worse one
MIN_GROUPS = 30
#: number of decimals of scale and floor, far below their errors; further decimals depend on the machine
DECIMALS = 6
#: range of log10 of (floor / scale)^2 in units of the median sigma^2, within which a floor is searched
FLOOR_RANGE = (-4.0, 4.0)
#: nominal coverages of conformal intervals, percent
LEVELS = (68, 90, 95)
GUARANTEE = (
    "The interval mu -+ half_width x sigma (sigma as in ensemble.nc, not recalibrated) holds the true mass of a new "
    "cluster with at least the stated probability, whatever the networks' errors look like, if that cluster is "
    "exchangeable with the validation clusters: same sky, same selection, validation clusters that chose nothing about "
    "the networks and that are independent of each other (some have overlapping images). The probability is an average "
    "over clusters and over validation sets (marginal): it isn't promised for every mass, redshift or count rate, nor "
    "for a sky that differs from the simulated one."
)


@dataclass(frozen=True)
class Recalibration:
    """Recalibration of the standard deviation, sigma'^2 = (scale * sigma)^2 + floor_dex^2.

    The default values leave sigma unchanged. The mixture of the members' Gaussians is stretched about its mean by the
    factor `scale`, and then convolved with a Gaussian of standard deviation `floor_dex`. Its mean stays the same, and
    its standard deviation becomes sigma'.
    """

    scale: float = 1.0
    floor_dex: float = 0.0

    def sigma(self, sigma: FloatArray) -> FloatArray:
        """Return the recalibrated value of a `sigma` in dex, of any shape."""
        return np.hypot(self.scale * sigma, self.floor_dex)

    def components(self, member_mu: FloatArray, member_sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the means and the standard deviations of the recalibrated mixture's Gaussians in dex.

        Arguments and results have the shape (member, cluster).
        """
        mean = member_mu.mean(axis=0)
        return mean + self.scale * (member_mu - mean), self.sigma(member_sigma)


@dataclass(frozen=True)
class Calibration:
    """The calibration of an ensemble, which is stored in `calibration.json`."""

    #: form of the recalibration: none, scale or scale_and_floor
    form: str
    recalibration: Recalibration
    #: dict from level in percent to the half-width of conformal intervals in units of the raw sigma; NaN = unknown
    half_width: Mapping[int, float]
    #: number of validation clusters
    number: int


def calibrate(ensemble: Path, split: Path, output: Path, recalibration: Literal["auto", "none"], seed: int) -> None:
    """Calibrate sigma and conformal intervals with the validation clusters, and write `calibration.json`.

    If `recalibration` is ``none``, sigma stays as the ensemble predicts it. The file holds:

    - `n_val`: the number of validation clusters
    - `recalibration`: the constants of the recalibration, and the report of `choose_recalibration`
    - `conformal`: the text `guarantee`, and under `levels` the result of `half_widths`
    - `validation`: the validation clusters' scores with the raw and with the recalibrated sigma

    If the networks were trained with the weighting ``cells``, the recalibration is fitted with such weights, too.
    Conformal intervals and scores aren't weighted.

    Nothing in the file depends on the test set, not even a hash. InputError in the cases of `validation_clusters`.
    """
    val = validation_clusters(ensemble, split)
    mu, sigma, truth = (val[name].values.astype(float) for name in VARIABLES)
    weight = cell_weights(val["realization"].values.astype(str)) if val.attrs.get("weighting") == "cells" else None
    if recalibration == "none":
        chosen = Recalibration()
        report: Json = {"form": "none", "reason": "ensemble.recalibration is none.", "forms": {}}
    else:
        chosen, report = choose_recalibration(mu - truth, sigma, val["group"].values, seed, weight)
    LOGGER.info(
        "calibrate: %d validation clusters; sigma' = hypot(%.4f sigma, %.4f dex)",
        *(mu.size, chosen.scale, chosen.floor_dex),
    )
    validation = {"raw": sigma, "recalibrated": chosen.sigma(sigma)}
    made = provenance("calibrate", {"recalibration": recalibration}, seed=seed, validation_sha256=digest_of(val))
    content = {
        "n_val": int(mu.size),
        "recalibration": {"asked": recalibration, **asdict(chosen), **report},
        "conformal": {"guarantee": GUARANTEE, "levels": half_widths(mu - truth, sigma)},
        "validation": {name: calibration_scores(mu, width, truth) for name, width in validation.items()},
        "provenance": made,
    }
    write_json(content, output)


def read_calibration(path: Path) -> Calibration:
    """Return the calibration in a `calibration.json`; InputError if the file is missing or damaged."""
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such file. It holds how the ensemble's uncertainties are calibrated: copy the whole folder of "
            "the experiment, or run the workflow again, which makes it from ensemble.nc in seconds."
        )
    with reading(path, "calibration"):
        content = read_json(path, "calibration")
        chosen, levels = content["recalibration"], content["conformal"]["levels"]
        widths = np.array([levels[str(level)]["half_width"] for level in LEVELS], dtype=float).tolist()  # None is NaN
        scale, floor, number = float(chosen["scale"]), float(chosen["floor_dex"]), int(content["n_val"])
        possible = 0 < scale < inf and 0 <= floor < inf and 0 <= number <= limits.CLUSTERS.most
        possible &= not any(width < 0 or width == inf for width in widths)
        if not (possible and chosen["form"] in ("none", *FORMS)):
            raise ValueError("form, scale, floor_dex, n_val or a half_width has no possible value")
        return Calibration(chosen["form"], Recalibration(scale, floor), dict(zip(LEVELS, widths, strict=True)), number)


def validation_clusters(ensemble: Path, split: Path) -> xr.Dataset:
    """Return the validation clusters of an `ensemble.nc`, with their `group` from the file `split` of the sky.

    InputError if a file is missing, is damaged, or lacks a variable or a cluster, or if the prediction of a validation
    cluster isn't finite.
    """
    table = read_netcdf(ensemble, (*VARIABLES, "split"))
    val = table.isel(cluster=table["split"].values.astype(str) == "val")
    check_finite(val, VARIABLES, ensemble)
    return val.assign(group=("cluster", read_split(split, val["cluster"].values)["group"].values))


def digest_of(val: xr.Dataset) -> str:
    """Return the SHA-256 of the ids, predictions and true masses of the validation clusters `val`."""
    digest = sha256("\n".join(val["cluster"].values.astype(str)).encode())
    for name in VARIABLES:
        digest.update(np.ascontiguousarray(val[name].values, dtype="<f8").tobytes())
    return digest.hexdigest()


def fit_scale(residual: FloatArray, sigma: FloatArray, weight: FloatArray | None = None) -> Recalibration:
    """Return the recalibration with the scale that maximises the likelihood, scale^2 = mean((residual / sigma)^2).

    The mean is weighted if the clusters have a `weight`, (cluster,).
    """
    return Recalibration(scale=float(np.sqrt(np.average((residual / sigma) ** 2, weights=weight))))


def fit_scale_and_floor(residual: FloatArray, sigma: FloatArray, weight: FloatArray | None = None) -> Recalibration:
    """Return the recalibration with the scale and the floor that maximise the likelihood, weighted by `weight`.

    The likelihood is prod_i N(residual_i | 0, (scale * sigma_i)^2 + floor^2). For a given t = (floor / scale)^2 it is
    largest at scale^2 = mean(residual^2 / (sigma^2 + t)). Therefore only the best t has to be searched. The case t = 0
    (no floor) is tried as well.
    """

    def at(t: float) -> Recalibration:
        scale = float(np.sqrt(np.average(residual**2 / (sigma**2 + t), weights=weight)))
        return Recalibration(scale, scale * float(np.sqrt(t)))

    def loss(t: float) -> float:
        return float(np.average(negative_log_likelihood(residual, at(t).sigma(sigma)), weights=weight))

    unit = float(np.median(sigma**2))
    best = minimize_scalar(lambda x: loss(unit * 10**x), bounds=FLOOR_RANGE, options={"xatol": 1e-8})
    return at(min((0.0, unit * 10 ** float(best.x)), key=loss))


Fit = Callable[[FloatArray, FloatArray, FloatArray | None], Recalibration]
#: forms of the recalibration that are compared, the simplest first
FORMS: dict[str, Fit] = {"scale": fit_scale, "scale_and_floor": fit_scale_and_floor}


def choose_recalibration(
    residual: FloatArray, sigma: FloatArray, group: NDArray[np.str_], seed: int, weight: FloatArray | None = None
) -> tuple[Recalibration, Json]:
    """Return the recalibration of sigma that describes left-out validation clusters best, and a report.

    `residual` (predicted minus true log10 mass) and `sigma` of the validation clusters are in dex, (cluster,). `group`
    holds the clusters' groups. `weight` (cluster,) holds their weights in all means, or is None if these are equal; the
    weights have a mean of 1. The forms of recalibration are compared by cross-validation, the simplest first. All
    clusters of a group are in the same fold. A more flexible form is accepted only if its gain in likelihood exceeds
    the standard error of this gain. This error assumes that the groups are independent. With fewer than `MIN_GROUPS`
    groups, sigma isn't recalibrated.

    The report holds the chosen `form` (none, scale or scale_and_floor), the `reason` (a text), and `forms` with an
    entry for each form that was compared. An entry holds the fitted constants and:

    - `nll`, `nll_left_out`: mean negative log-likelihood of the clusters that were fitted, and of left-out clusters
    - `over`: the form with which this form is compared, which is the last one that was accepted before
    - `gain`, `gain_error`: `nll_left_out` of `over` minus that of this form, and the standard error of this difference
    """
    chosen, form, groups = Recalibration(), "none", np.unique(group).size
    if groups < MIN_GROUPS:
        reason = f"{groups} validation groups are too few to decide ({MIN_GROUPS} needed)."
        return chosen, {"form": form, "reason": reason, "forms": {}}
    loss = negative_log_likelihood(residual, sigma)
    forms: dict[str, Json] = {
        form: {**asdict(chosen), **dict.fromkeys(("nll", "nll_left_out"), np.average(loss, weights=weight))}
    }
    reasons, fold = [], folds(group, seed)
    for name, fit in FORMS.items():
        fitted = fit(residual, sigma, weight)
        fitted = Recalibration(round(fitted.scale, DECIMALS), round(fitted.floor_dex, DECIMALS))
        left_out = left_out_loss(fit, residual, sigma, fold, weight)
        gain, error = paired_gain((loss - left_out) * (1.0 if weight is None else weight), group)
        losses = {"nll": negative_log_likelihood(residual, fitted.sigma(sigma)), "nll_left_out": left_out}
        scores: Json = {key: np.average(values, weights=weight) for key, values in losses.items()}
        scores |= {"gain": gain, "gain_error": error, "over": form}
        forms[name] = asdict(fitted) | scores
        verdict = "accepted" if gain > error else "rejected"
        reasons.append(f"{name} {verdict}: gains {gain:+.4f} ± {error:.4f} in NLL per left-out cluster")
        if gain > error:
            chosen, form, loss = fitted, name, left_out
    reason = "; ".join(reasons) + "."
    LOGGER.info("calibrate: %s", reason)
    return chosen, {"form": form, "reason": reason, "forms": forms}


def folds(group: NDArray[np.str_], seed: int) -> NDArray[np.intp]:
    """Return the fold of each cluster, 0 to `FOLDS` - 1. Groups are shuffled, and assigned to the folds in turn."""
    names, row = np.unique(group, return_inverse=True)
    fold = np.empty(names.size, dtype=np.intp)
    fold[generator(seed, "recalibration").permutation(names.size)] = np.arange(names.size) % FOLDS
    return fold[row]


def left_out_loss(
    fit: Fit, residual: FloatArray, sigma: FloatArray, fold: NDArray[np.intp], weight: FloatArray | None = None
) -> FloatArray:
    """Return each cluster's negative log-likelihood for a recalibration fitted to the other folds, (cluster,).

    `fold` holds the number of each cluster's fold. `fit` is the function that fits a recalibration.
    """
    loss = np.empty_like(residual)
    for number in np.unique(fold):
        out = fold == number
        fitted = fit(residual[~out], sigma[~out], None if weight is None else weight[~out])
        loss[out] = negative_log_likelihood(residual[out], fitted.sigma(sigma[out]))
    return loss


def paired_gain(gain: FloatArray, group: NDArray[np.str_]) -> tuple[float, float]:
    """Return the mean of `gain` (cluster,) and its standard error.

    The error assumes that different groups are independent. The clusters of one group may depend on each other.
    """
    _, row = np.unique(group, return_inverse=True)
    mean = float(gain.mean())
    sums = np.bincount(row, weights=gain - mean)
    return mean, float(np.sqrt(np.sum(sums**2) * sums.size / (sums.size - 1)) / gain.size)


def half_widths(residual: FloatArray, sigma: FloatArray) -> dict[str, Json]:
    """Return the half-widths of the conformal intervals in units of sigma, corrected for the finite number of clusters.

    `residual` and `sigma` (cluster,) are those of n validation clusters. The score of a cluster is |residual| / sigma.
    For an interval with the nominal coverage p, the half-width is the k-th smallest score, where k = ceil((n + 1) * p).
    The interval then holds the true mass of a new cluster with probability k / (n + 1), because the new score has each
    rank among all n + 1 scores with equal probability (Vovk et al. 2005; Lei et al. 2018, JASA 113, 1094, Theorem 2.2).

    The result maps each level in percent (as text) to the `rank` k, the `half_width`, and `coverage_std`, which is the
    result of `coverage_error`. The last two are None if k > n, because then no finite interval has this coverage.
    """
    score = np.sort(np.abs(residual) / sigma)
    n, widths = score.size, dict[str, Json]()
    for level in LEVELS:
        rank, spread = ceil((n + 1) * level / 100), coverage_error(level, n)
        width = None if spread is None else float(score[rank - 1])
        widths[str(level)] = {"rank": rank, "half_width": width, "coverage_std": spread}
    return widths


def coverage_error(level: int, n: int) -> float | None:
    """Return by how much the true coverage of conformal intervals varies between validation sets of `n` clusters.

    For intervals with the nominal coverage `level` (percent), the true coverage follows a beta distribution with the
    parameters k and n + 1 - k, where k is the rank in `half_widths`. The result is the standard deviation of this
    distribution, or None if there is no finite interval.
    """
    rank = ceil((n + 1) * level / 100)
    return sqrt(rank * (n + 1 - rank) / ((n + 1) ** 2 * (n + 2))) if rank <= n else None

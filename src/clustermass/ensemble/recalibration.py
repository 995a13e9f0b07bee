"""Scale the ensemble's sigma so that it fits the residuals of the validation set, if that demonstrably helps."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil, sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from clustermass.arrays import FloatArray
from clustermass.evaluate.bootstrap import generator
from clustermass.io.log import LOGGER

#: parts that the validation groups are divided into, one after the other left out of the fit
FOLDS = 10
#: fewer groups than this can't tell a better sigma from a worse one
MIN_GROUPS = 30
#: decimals that are kept, far below what any validation set can tell; the digits beyond depend on the machine
DECIMALS = 6
#: log10 of (floor / scale)^2 in units of the median sigma^2 between which a floor is looked for
FLOOR_RANGE = (-4.0, 4.0)


@dataclass(frozen=True)
class Recalibration:
    """sigma'^2 = (scale sigma)^2 + floor_dex^2; the defaults leave sigma as it is.

    The members' mixture is stretched about its mean by `scale` and blurred by a Gaussian of `floor_dex`, which gives
    it exactly that standard deviation and leaves its mean and its shape.
    """

    scale: float = 1.0
    floor_dex: float = 0.0

    def sigma(self, sigma: FloatArray) -> FloatArray:
        """Recalibrated standard deviation, dex, of any shape."""
        return np.hypot(self.scale * sigma, self.floor_dex)

    def components(self, member_mu: FloatArray, member_sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of the stretched mixture's components, (member, cluster), dex."""
        mean = member_mu.mean(axis=0)
        return mean + self.scale * (member_mu - mean), self.sigma(member_sigma)

    def rounded(self) -> Self:
        """Return the same with `DECIMALS` decimals."""
        return type(self)(round(self.scale, DECIMALS), round(self.floor_dex, DECIMALS))


def negative_log_likelihood(residual: FloatArray, sigma: FloatArray) -> FloatArray:
    """-ln of the Gaussian density of each residual, (cluster,), per dex."""
    return np.asarray(0.5 * (residual / sigma) ** 2 + np.log(sigma) + 0.5 * np.log(2 * np.pi), dtype=float)


def fit_scale(residual: FloatArray, sigma: FloatArray) -> Recalibration:
    """Scale of maximum likelihood, in closed form: scale^2 = mean (residual / sigma)^2."""
    return Recalibration(scale=float(np.sqrt(np.mean((residual / sigma) ** 2))))


def fit_scale_and_floor(residual: FloatArray, sigma: FloatArray) -> Recalibration:
    """Scale and floor of maximum likelihood.

    With t = (floor / scale)^2 the likelihood is largest at scale^2 = mean residual^2 / (sigma^2 + t), which leaves a
    search over t alone; t = 0 (no floor) competes.
    """

    def at(t: float) -> Recalibration:
        scale = float(np.sqrt(np.mean(residual**2 / (sigma**2 + t))))
        return Recalibration(scale, scale * float(np.sqrt(t)))

    def loss(t: float) -> float:
        return float(negative_log_likelihood(residual, at(t).sigma(sigma)).mean())

    unit = float(np.median(sigma**2))
    found = minimize_scalar(lambda x: loss(unit * 10**x), bounds=FLOOR_RANGE, options={"xatol": 1e-8})
    return at(min((0.0, unit * 10 ** float(found.x)), key=loss))


Fit = Callable[[FloatArray, FloatArray], Recalibration]
#: forms that compete, the simplest first
FORMS: dict[str, Fit] = {"scale": fit_scale, "scale_and_floor": fit_scale_and_floor}


def choose(residual: FloatArray, sigma: FloatArray, group: NDArray[np.str_], seed: int) -> dict[str, Any]:
    """Fit each form and take a more flexible one only where left-out clusters gain more than the gain's standard error.

    Parameters
    ----------
    residual, sigma
        Predicted minus true log10 mass, and the ensemble's sigma, of the validation clusters, dex, (cluster,).
    group
        Of each cluster, (cluster,): never divided between folds; the unit of the gain's error.
    seed
        Root of the random numbers that deal out the groups.

    Returns
    -------
    dict
        `form` (none, scale or scale_and_floor), its `scale` and `floor_dex`; `reason`, a sentence; `forms`: of each
        form its constants, `nll` of the clusters that it was fitted to, cross-validated `nll_left_out`, both per
        cluster, and `gain`, how much the latter is below that of the best simpler form, with its `gain_error`.
    """
    groups = np.unique(group).size
    best = {"form": "none", **asdict(Recalibration())}
    if groups < MIN_GROUPS:
        return {**best, "reason": f"{groups} validation groups are too few to tell ({MIN_GROUPS} needed).", "forms": {}}
    loss = negative_log_likelihood(residual, sigma)
    forms: dict[str, Any] = {"none": {**asdict(Recalibration()), "nll": loss.mean(), "nll_left_out": loss.mean()}}
    reasons = []
    fold = folds(group, seed)
    for name, fit in FORMS.items():
        fitted = fit(residual, sigma).rounded()
        left_out = left_out_loss(fit, residual, sigma, fold)
        gain, error = paired_gain(loss - left_out, group)
        inside = negative_log_likelihood(residual, fitted.sigma(sigma)).mean()
        told = {"nll": inside, "nll_left_out": left_out.mean(), "gain": gain, "gain_error": error, "over": best["form"]}
        forms[name] = asdict(fitted) | told
        verdict = "accepted" if gain > error else "rejected"
        reasons.append(f"{name} {verdict}: gains {gain:+.4f} ± {error:.4f} in NLL per left-out cluster")
        if gain > error:
            best, loss = {"form": name, **asdict(fitted)}, left_out
    reason = "; ".join(reasons) + "."
    LOGGER.info("calibrate: %s", reason)
    return {**best, "reason": reason, "forms": forms}


def folds(group: NDArray[np.str_], seed: int) -> NDArray[np.intp]:
    """Fold of each cluster, 0 to `FOLDS` - 1, (cluster,): groups are shuffled by their names and dealt out in turn."""
    names, row = np.unique(group, return_inverse=True)
    fold = np.empty(names.size, dtype=np.intp)
    fold[generator(seed, "recalibration").permutation(names.size)] = np.arange(names.size) % FOLDS
    return fold[row]


def left_out_loss(fit: Fit, residual: FloatArray, sigma: FloatArray, fold: NDArray[np.intp]) -> FloatArray:
    """Negative log-likelihood of each cluster under the fit to all other folds, (cluster,)."""
    loss = np.empty_like(residual)
    for number in np.unique(fold):
        out = fold == number
        loss[out] = negative_log_likelihood(residual[out], fit(residual[~out], sigma[~out]).sigma(sigma[out]))
    return loss


def paired_gain(gain: FloatArray, group: NDArray[np.str_]) -> tuple[float, float]:
    """Mean of `gain` (cluster,) and its standard error, of which a group is the unit."""
    _, row = np.unique(group, return_inverse=True)
    mean = float(gain.mean())
    of_groups = np.bincount(row, weights=gain - mean)
    number = of_groups.size
    return mean, float(np.sqrt(np.sum(of_groups**2) * number / (number - 1)) / gain.size)


#: nominal coverages, percent
LEVELS = (68, 90, 95)
GUARANTEE = (
    "The interval mu -+ half_width x sigma (sigma as in ensemble.nc, not recalibrated) holds the true mass of a new "
    "cluster with at least the stated probability, whatever the networks' errors look like, if that cluster is "
    "exchangeable with the validation clusters: same sky, same selection, validation clusters that chose nothing about "
    "the networks and that are independent of each other (some have overlapping images). The probability is an average "
    "over clusters and over validation sets (marginal): it isn't promised for every mass, redshift or count rate, nor "
    "for a sky that differs from the simulated one."
)


def half_widths(residual: FloatArray, sigma: FloatArray) -> dict[str, dict[str, Any]]:
    """Half-widths of the intervals in units of sigma, with the finite-sample correction.

    The scores |residual| / sigma of n validation clusters are ranked; the k-th smallest, k = ceil((n + 1) level), is
    the half-width. A new cluster's score is equally likely to fall anywhere among them, so that it is covered with
    probability k / (n + 1) (Vovk et al. 2005; Lei et al. 2018, JASA 113, 1094, Theorem 2.2).

    Parameters
    ----------
    residual, sigma
        Predicted minus true log10 mass and predicted standard deviation of the validation clusters, dex, (cluster,).

    Returns
    -------
    dict
        By level in percent, as text: `rank` k, `half_width` (None where k > n: no finite interval is guaranteed) and
        `coverage_std`, by how much the coverage varies from one validation set of this size to another.
    """
    score = np.sort(np.abs(residual) / sigma)
    return {str(level): _half_width(score, level) for level in LEVELS}


def _half_width(score: FloatArray, level: int) -> dict[str, Any]:
    n = score.size
    rank = ceil((n + 1) * level / 100)
    if rank > n:
        return {"rank": rank, "half_width": None, "coverage_std": None}
    # the coverage of one validation set's interval follows a beta distribution with parameters rank, n + 1 - rank
    spread = sqrt(rank * (n + 1 - rank) / ((n + 1) ** 2 * (n + 2)))
    return {"rank": rank, "half_width": float(score[rank - 1]), "coverage_std": spread}

"""Out-of-distribution score: how rare a cluster is in the distribution of the training clusters.

Each quantity q_k of `ood_quantities` is compared with its expectation at the cluster's redshift, exposure and core
brightness. With polynomial terms t of these three covariates, and fitted coefficients a_k and b_k,

    u_k = (q_k - a_k . t) / exp(b_k . t),    n_k = Phi^-1(F_k(u_k)),

where Phi is the standard normal distribution function, and F_k is the distribution function of u_k among the training
clusters. The probability density p of the normal scores n is a mixture of Gaussians. The lower p is, the rarer is the
cluster. The out-of-distribution score OOD_P of a cluster is the share of the validation clusters that are at least as
rare as this cluster. The cluster itself is counted as one more validation cluster:

    p(n) = sum_c w_c N(n | m_c, C_c),    OOD_P = (1 + #{validation clusters v: p(n_v) <= p(n)}) / (1 + N_validation).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtri_exp
from scipy.stats import mannwhitneyu, multivariate_normal

from clustermass import limits
from clustermass.arrays import FloatArray
from clustermass.dataset.training_data import INVERSES
from clustermass.ensemble.ood_quantities import QUANTITIES, measure
from clustermass.errors import InputError
from clustermass.io.files import reading
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

#: Clusters with OOD_P up to this value get FLAG_OOD. Of clusters like the training ones, at most this share gets it.
FALSE_ALARMS = 0.01
#: quantities on which the expectations of the others depend; every cluster has them
COVARIATES = ("redshift", "exposure", "core")
#: covariates are clipped at this many standard deviations from their means, so that polynomials stay bounded
COVARIATE_MAX = 4.0
#: products of the standardised covariates up to the second degree
TERMS = tuple(term for degree in range(3) for term in combinations_with_replacement(range(len(COVARIATES)), degree))
#: normal scores for which quantiles of the training clusters are stored; scores are linear between and beyond them
KNOTS = np.arange(-3.0, 3.01, 0.5)
#: dimensions of the model's arrays in `domain.nc`
DIMENSIONS = {
    "covariate_centre": ("covariate",),
    "covariate_width": ("covariate",),
    "coefficient": ("quantity", "term"),
    "log_scale": ("quantity", "term"),
    "knot_value": ("quantity", "knot"),
    "weight": ("component",),
    "mean": ("component", "quantity"),
    "covariance": ("component", "quantity", "other_quantity"),
    "validation": ("cluster", "quantity"),
}


class OodScore(NamedTuple):
    """Out-of-distribution scores of clusters. `p` and `why` have the shape (cluster,)."""

    #: OOD_P = (1 + validation clusters that are at least as rare) / (1 + validation clusters); NaN = unknown
    p: FloatArray
    #: OOD_WHY: name of the quantity without which the cluster would be least rare
    why: NDArray[np.str_]
    #: each quantity's distance in sigma from what all others imply, (cluster, quantity); NaN = unknown
    given: FloatArray

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Whether the score of each cluster is at most `FALSE_ALARMS`."""
        return self.p <= FALSE_ALARMS


@dataclass(frozen=True)
class OodModel:
    """Distribution of the training clusters' quantities, and the normal scores of the validation clusters.

    The model is stored in `domain.nc`. The docstring of the module explains the symbols.
    """

    #: quantities in use
    names: tuple[str, ...]
    #: last step of the images' preprocessing, which `quantities` undoes
    transform: str
    #: mean and standard deviation of `COVARIATES`, (covariate,)
    covariate_centre: FloatArray
    covariate_width: FloatArray
    #: coefficients a of the expected quantity and b of the log scatter about it, (quantity, term)
    coefficient: FloatArray
    log_scale: FloatArray
    #: values of u at which the normal score is one of `KNOTS`, (quantity, knot)
    knot_value: FloatArray
    #: mixture of Gaussians of the training clusters' normal scores; for its dimensions see `DIMENSIONS`
    weight: FloatArray
    mean: FloatArray
    covariance: FloatArray
    #: normal scores of the validation clusters, (cluster, quantity); NaN = unknown
    validation: FloatArray

    @property
    def number(self) -> int:
        """Number of validation clusters."""
        return len(self.validation)

    def normal_scores(self, measured: FloatArray) -> FloatArray:
        """Return the normal scores n of the quantities that the model uses, (cluster, used quantity).

        `measured` holds all `quantities`, (cluster, quantity).
        """
        basis = terms(measured, self.covariate_centre, self.covariate_width)
        scaled = (columns(measured, self.names) - basis @ self.coefficient.T) / np.exp(basis @ self.log_scale.T)
        return np.stack([_normal_score(u, knots) for u, knots in zip(scaled.T, self.knot_value, strict=True)], axis=1)

    def score(self, measured: FloatArray) -> OodScore:
        """Return the out-of-distribution scores of clusters, given all their `quantities` (cluster, quantity).

        If some quantities of a cluster are unknown, only its other quantities are used. The cluster is then ranked
        among those validation clusters for which these other quantities are known.
        """
        scores = self.normal_scores(measured)
        finite = np.isfinite(scores)
        p, why = np.full(len(scores), np.nan), np.full(len(scores), "", dtype=f"U{max(map(len, QUANTITIES))}")
        given = np.full(scores.shape, np.nan)
        for pattern in np.unique(finite, axis=0):
            used, rows = np.flatnonzero(pattern), (finite == pattern).all(axis=1)
            if used.size:
                gauge = self.validation[np.isfinite(self.validation[:, used]).all(axis=1)]
                rarity, ordered = self._rarity(scores[rows], used), np.sort(self._rarity(gauge, used))
                rarer = ordered.size - np.searchsorted(ordered, rarity, side="left")
                p[rows], why[rows] = (1 + rarer) / (1 + ordered.size), self._why(scores[rows], used)
                given[np.ix_(rows, used)] = self._given_others(scores[rows][:, used], used)
        return OodScore(p, why, given)

    def _rarity(self, scores: FloatArray, used: NDArray[np.intp]) -> FloatArray:
        """Return -ln p (larger for rarer clusters), (cluster,), of the normal `scores` in the columns `used`."""
        parts = [
            np.log(weight) + multivariate_normal.logpdf(scores[:, used], mean[used], covariance[np.ix_(used, used)])
            for weight, mean, covariance in zip(self.weight, self.mean, self.covariance, strict=True)
        ]
        return -np.asarray(logsumexp(np.reshape(parts, (len(parts), -1)), axis=0))

    def _given_others(self, scores: FloatArray, used: NDArray[np.intp]) -> FloatArray:
        """Return how many sigma each normal score n_k lies above what the cluster's other scores imply.

        The result is Phi^-1(F(n_k | all other n)). `scores` holds only the normal scores of the quantities `used`. The
        scores and the result have the shape (cluster, used quantity).
        """
        logs, distances = [], []
        for weight, mean, covariance in zip(self.weight, self.mean, self.covariance, strict=True):
            inverse = np.linalg.inv(covariance[np.ix_(used, used)])
            width = 1 / np.sqrt(np.diag(inverse))  # of n_k, given the others
            distance = (scores - mean[used]) @ inverse * width
            whole = multivariate_normal.logpdf(scores, mean[used], covariance[np.ix_(used, used)])
            logs.append(np.log(weight) + np.reshape(whole, (-1, 1)) + distance**2 / 2 + np.log(width))
            distances.append(distance)
        share = np.stack(logs) - logsumexp(logs, axis=0)  # of each Gaussian, given the others
        below, above = (np.asarray(logsumexp(share + log_ndtr(sign * np.stack(distances)), axis=0)) for sign in (1, -1))
        # the smaller of the two tails is exact
        return np.where(below < above, ndtri_exp(np.minimum(below, -0.1)), -ndtri_exp(np.minimum(above, -0.1)))

    def _why(self, scores: FloatArray, used: NDArray[np.intp]) -> NDArray[np.str_]:
        """Return the name of the quantity without which a cluster would be least rare, (cluster,)."""
        if used.size == 1:
            return np.full(len(scores), self.names[used[0]])
        without = [self._rarity(scores, np.delete(used, number)) for number in range(used.size)]
        return np.array(self.names)[used[np.argmin(without, axis=0)]]

    def to_dataset(self, cluster: NDArray[np.str_]) -> xr.Dataset:
        """Return the contents of `domain.nc`, given the ids of the validation clusters."""
        named = [" ".join(COVARIATES[number] for number in term) or "1" for term in TERMS]
        axes = {"quantity": list(self.names), "other_quantity": list(self.names), "knot": KNOTS}
        axes |= {"covariate": list(COVARIATES), "term": named, "component": np.arange(self.weight.size)}
        arrays = {name: (dimensions, getattr(self, name)) for name, dimensions in DIMENSIONS.items()}
        return xr.Dataset(arrays, {**axes, "cluster": cluster})


def columns(measured: FloatArray, names: Sequence[str]) -> FloatArray:
    """Return the columns of `measured` (cluster, quantity) that hold the quantities called `names`."""
    return measured[:, [list(QUANTITIES).index(name) for name in names]]


def terms(measured: FloatArray, centre: FloatArray, width: FloatArray) -> FloatArray:
    """Return the polynomial terms of the standardised covariates, (cluster, term).

    `measured` holds all `quantities`, (cluster, quantity), of which `COVARIATES` are three. `centre` and `width` are
    the means and the standard deviations of the covariates.
    """
    standard = (columns(measured, COVARIATES) - centre) / width
    clipped = np.clip(standard, -COVARIATE_MAX, COVARIATE_MAX)
    return np.stack([clipped[:, list(term)].prod(axis=1) for term in TERMS], axis=1)


def _normal_score(deviation: FloatArray, knot_value: FloatArray) -> FloatArray:
    """Return the normal score Phi^-1(F(u)) of one quantity, given its values u (`deviation`).

    `knot_value` holds the values of u at which the score is one of `KNOTS`. Between these values, the score is
    interpolated linearly. Beyond them, it is extrapolated with the mean slope between the first and the last.
    """
    value, number = np.unique(knot_value, return_inverse=True)
    score = np.bincount(number, KNOTS) / np.bincount(number)  # equal quantiles get the mean of their scores
    steep = (score[-1] - score[0]) / (value[-1] - value[0])
    beyond = np.minimum(deviation - value[0], 0) + np.maximum(deviation - value[-1], 0)
    return np.asarray(np.interp(deviation, value, score) + steep * beyond)


def read_ood_model(path: Path) -> OodModel:
    """Return the model in a `domain.nc`. InputError if it is missing, damaged, or in another version's format."""
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such file. It holds the distribution of the training clusters: copy the whole folder of the "
            "experiment, or run the workflow again, which makes it from ensemble.nc in a minute."
        )
    table = read_netcdf(path, ("quantity", *DIMENSIONS))
    limits.COMPONENTS.check(table.sizes.get("component", 0), path)
    with reading(path, "model of the training clusters"):
        names, transform = tuple(table["quantity"].values.astype(str).tolist()), str(table.attrs.get("transform"))
        sizes = {"covariate": len(COVARIATES), "term": len(TERMS), "knot": KNOTS.size, "other_quantity": len(names)}
        if not (
            names
            and set(names) <= set(QUANTITIES)
            and transform in INVERSES
            and table["validation"].dtype == np.float64  # other numbers could become many more bytes
            and all(table[name].dims == dimensions for name, dimensions in DIMENSIONS.items())
            and table.sizes["component"]
            and all(table.sizes[name] == size for name, size in sizes.items())
            and all(np.isfinite(table[name].values).all() for name in DIMENSIONS if name != "validation")
        ):
            raise InputError(
                f"{path}: doesn't fit this version of clustermass, or is damaged. Delete it and run again."
            )
        for mean, covariance in zip(table["mean"].values, table["covariance"].values, strict=True):
            multivariate_normal(mean, covariance)  # fails unless the covariance is possible
        return OodModel(names, transform, **{name: table[name].values.astype(np.float64) for name in DIMENSIONS})


def score_ood(smoothed: Sequence[Path], ensemble: Path, domain: Path, output: Path) -> None:
    """Compute the out-of-distribution scores of the test clusters in an `ensemble.nc`, with the model in `domain`.

    The clusters may be of the training sky or of a test sky. `smoothed` are their preprocessed images. The variables
    `ood_p`, `ood_why` and `flag_ood`, (cluster,) each, are written to the file `output`. InputError in the cases of
    `read_ood_model` and `measure`.
    """
    model, test = read_ood_model(domain), measure(smoothed, ensemble, ("test",))
    score = model.score(test.values)
    scores = {"ood_p": score.p, "ood_why": score.why, "flag_ood": score.flagged.astype(np.int16)}
    dataset = xr.Dataset({name: ("cluster", values) for name, values in scores.items()}, {"cluster": test.cluster})
    made = provenance("score_ood", {}, [*smoothed, ensemble, domain], n_validation=model.number)
    LOGGER.info("score_ood: %d of %d clusters are flagged", score.flagged.sum(), score.p.size)
    write_netcdf(dataset, output, "Which test clusters are unlike the training clusters", made)


def sample_p(p: FloatArray, number: int) -> float | None:
    """Return the p-value of the hypothesis that a whole sample of clusters is like the training clusters.

    `p` holds the scores `OodScore.p` of the sample, (cluster,); NaN is left out. A one-sided Mann-Whitney test compares
    these scores with those of `number` validation clusters. The test assumes that clusters are independent. It detects
    even a small difference if all clusters of the sample have it. The result is None if there are no scores.
    """
    finite = p[np.isfinite(p)]
    if not finite.size or not number:
        return None
    # p = j / (n + 1) lies between the (j - 1)-th and the j-th most unlike validation cluster
    gauge = (np.arange(1, number + 1) + 0.5) / (number + 1)
    return float(mannwhitneyu(finite, gauge, alternative="less").pvalue)

"""How unlike the training clusters a cluster is: how rare its measured quantities are, ranked among validation ones."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import mannwhitneyu, multivariate_normal

from clustermass.arrays import FloatArray
from clustermass.dataset.controls import INVERSES
from clustermass.ensemble.ood_quantities import QUANTITIES, measure
from clustermass.errors import InputError
from clustermass.evaluate.coverage import fraction
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

#: share of clusters like the training clusters that get FLAG_OOD, at most
FALSE_ALARMS = 0.01
#: quantities that what is expected of the others depends on; always known
COVARIATES = ("redshift", "exposure", "core")
#: covariates stop counting so many standard deviations from their means: a polynomial must not run away
COVARIATE_MAX = 4.0
#: products of the standardised covariates up to the second degree
TERMS = tuple(term for degree in range(3) for term in combinations_with_replacement(range(len(COVARIATES)), degree))
#: normal scores at which quantiles of the training clusters are kept; in between and beyond it is linear
KNOTS = np.arange(-3.0, 3.01, 0.5)


class Judged(NamedTuple):
    """What `Domain.judge` finds, (cluster,) each.

    Attributes
    ----------
    p
        Share of the validation clusters (and the cluster itself) that are at least as unlike the training clusters.
    why
        Name of the quantity that stands out most, given all others.
    """

    p: FloatArray
    why: NDArray[np.str_]

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Whether p is at most `FALSE_ALARMS`."""
        return self.p <= FALSE_ALARMS


@dataclass(frozen=True)
class Domain:
    """The training clusters as a distribution of quantities, and the validation clusters that gauge how rare is rare.

    Attributes
    ----------
    names
        The quantities that are used.
    transform
        Last step of the images' preprocessing, for `quantities`.
    covariate_centre, covariate_width
        Mean and standard deviation of `COVARIATES`, (covariate,).
    coefficient, log_scale
        Of the expected quantities, and of the logarithm of the scatter about them, (quantity, term).
    knot_value
        (quantity, knot): deviation over scatter where the normal score is `KNOTS`.
    weight, mean, covariance
        Mixture of Gaussians for the training clusters' normal scores, (component,), (component, quantity) and
        (component, quantity, quantity).
    validation
        Normal scores of the validation clusters, (cluster, quantity); NaN = not known.
    """

    names: tuple[str, ...]
    transform: str
    covariate_centre: FloatArray
    covariate_width: FloatArray
    coefficient: FloatArray
    log_scale: FloatArray
    knot_value: FloatArray
    weight: FloatArray
    mean: FloatArray
    covariance: FloatArray
    validation: FloatArray

    @property
    def number(self) -> int:
        """Validation clusters."""
        return len(self.validation)

    def normal_scores(self, measured: FloatArray) -> FloatArray:
        """Turn `quantities` (cluster, every quantity) into normal scores (cluster, quantity) of those that are used.

        A score says how far a quantity lies from what is expected of a cluster of that redshift, exposure and
        brightness, in the standard deviations of a normal distribution that has the training clusters' quantiles.
        """
        basis = terms(measured, self.covariate_centre, self.covariate_width)
        deviation = columns(measured, self.names) - basis @ self.coefficient.T
        scaled = deviation / np.exp(basis @ self.log_scale.T)
        return np.stack([_score(column, at) for column, at in zip(scaled.T, self.knot_value, strict=True)], axis=1)

    def judge(self, measured: FloatArray) -> Judged:
        """Rank clusters by their `quantities`, (cluster, every quantity), among the validation clusters.

        A cluster of which some quantities aren't known is ranked by the others, among validation clusters by the same
        ones. p is NaN where none is known.
        """
        scores = self.normal_scores(measured)
        known = np.isfinite(scores)
        p, why = np.full(len(scores), np.nan), np.full(len(scores), "", dtype=f"U{max(map(len, QUANTITIES))}")
        for pattern in np.unique(known, axis=0):
            used, rows = np.flatnonzero(pattern), (known == pattern).all(axis=1)
            if used.size:
                gauge = self.validation[np.isfinite(self.validation[:, used]).all(axis=1)]
                rarity, ordered = self._rarity(scores[rows], used), np.sort(self._rarity(gauge, used))
                rarer = ordered.size - np.searchsorted(ordered, rarity, side="left")
                p[rows], why[rows] = (1 + rarer) / (1 + ordered.size), self._why(scores[rows], used)
        return Judged(p, why)

    def _rarity(self, scores: FloatArray, used: NDArray[np.intp]) -> FloatArray:
        """-log of the density of normal scores (cluster, quantity) in the quantities `used`, (cluster,)."""
        parts = [
            np.log(weight) + multivariate_normal.logpdf(scores[:, used], mean[used], covariance[np.ix_(used, used)])
            for weight, mean, covariance in zip(self.weight, self.mean, self.covariance, strict=True)
        ]
        return -np.asarray(logsumexp(np.reshape(parts, (len(parts), -1)), axis=0))

    def _why(self, scores: FloatArray, used: NDArray[np.intp]) -> NDArray[np.str_]:
        """Name of the quantity that is rarest given the others: without it the cluster would be least rare."""
        if used.size == 1:
            return np.full(len(scores), self.names[used[0]])
        without = [self._rarity(scores, np.delete(used, number)) for number in range(used.size)]
        return np.array(self.names)[used[np.argmin(without, axis=0)]]


def columns(measured: FloatArray, names: Sequence[str]) -> FloatArray:
    """Return some of the `quantities` (cluster, every quantity), by name."""
    return measured[:, [list(QUANTITIES).index(name) for name in names]]


def terms(measured: FloatArray, centre: FloatArray, width: FloatArray) -> FloatArray:
    """`TERMS` (cluster, term) of `quantities` (cluster, every quantity), their covariates standardised."""
    standard = (columns(measured, COVARIATES) - centre) / width
    clipped = np.clip(standard, -COVARIATE_MAX, COVARIATE_MAX)
    return np.stack([clipped[:, list(term)].prod(axis=1) for term in TERMS], axis=1)


def _score(deviation: FloatArray, knot_value: FloatArray) -> FloatArray:
    """Return normal scores of one quantity: linear between the knots, and beyond as steep as on average inside."""
    value, number = np.unique(knot_value, return_inverse=True)
    score = np.bincount(number, KNOTS) / np.bincount(number)  # quantiles that coincide, as of exposures, share one
    steep = (score[-1] - score[0]) / (value[-1] - value[0])
    beyond = np.minimum(deviation - value[0], 0) + np.maximum(deviation - value[-1], 0)
    return np.asarray(np.interp(deviation, value, score) + steep * beyond)


def read_domain(path: Path) -> Domain:
    """Read `domain.nc`.

    Raises
    ------
    InputError
        The file is missing, damaged, or isn't one of `fit_domain` of this version.
    """
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such file. It holds what clusters the networks know: copy the whole folder of the experiment, "
            "or run the workflow again, which makes it from ensemble.nc in a minute."
        )
    wanted = [field.name for field in fields(Domain)][2:]
    table = read_netcdf(path, ("quantity", *wanted))
    names, transform = tuple(table["quantity"].values.astype(str).tolist()), str(table.attrs.get("transform"))
    found = {name: table[name].values.astype(np.float64) for name in wanted}
    if not _is_sound(names, transform, found):
        raise InputError(f"{path}: doesn't fit this version of clustermass, or is damaged. Delete it and run again.")
    return Domain(names, transform, **found)


def _is_sound(names: tuple[str, ...], transform: str, found: dict[str, FloatArray]) -> bool:
    n, components, term = len(names), found["weight"].shape, len(TERMS)
    shapes = {
        "covariate_centre": (len(COVARIATES),),
        "covariate_width": (len(COVARIATES),),
        "coefficient": (n, term),
        "log_scale": (n, term),
        "knot_value": (n, KNOTS.size),
        "mean": (*components, n),
        "covariance": (*components, n, n),
        "validation": (found["validation"].shape[0], n),
    }
    return (
        bool(n)
        and set(names) <= set(QUANTITIES)
        and transform in INVERSES
        and all(found[name].shape == shape for name, shape in shapes.items())
        and all(np.isfinite(values).all() for name, values in found.items() if name != "validation")
    )


def judge_domain(smoothed: Sequence[Path], ensemble: Path, domain: Path, output: Path) -> None:
    """Rank the test clusters of an `ensemble.nc` among the validation clusters of the training sky.

    Parameters
    ----------
    smoothed
        Images of the clusters.
    ensemble
        `ensemble.nc` of the training sky or of a test sky.
    domain
        `domain.nc` of the experiment.
    output
        netCDF to write: `ood_p`, `ood_why` and `flag_ood` (cluster,).

    Raises
    ------
    InputError
        A file is missing or damaged, or the images lack a cluster.
    """
    known = read_domain(domain)
    found = measure(smoothed, ensemble, ("test",))
    judged = known.judge(found.measured)
    columns = {"ood_p": judged.p, "ood_why": judged.why, "flag_ood": judged.flagged.astype(np.int16)}
    dataset = xr.Dataset({name: ("cluster", column) for name, column in columns.items()}, {"cluster": found.cluster})
    made = provenance("judge_domain", {}, [*smoothed, ensemble, domain], n_validation=known.number)
    LOGGER.info("judge_domain: %d of %d clusters are flagged", judged.flagged.sum(), judged.p.size)
    write_netcdf(dataset, output, "Which test clusters are unlike the training clusters", made)


def summary_of(judged: Path) -> dict[str, Any]:
    """Sum up what `judge_domain` wrote.

    Returns
    -------
    dict
        `false_alarm_rate` that is stated, `n`, `n_validation`; `flagged`, the share of flagged clusters, and its
        binomial `flagged_ci68`; `why`: how many were flagged for what; `sample_p`, see `sample_p`. None of no clusters.
    """
    table = read_netcdf(judged, ("ood_p", "ood_why", "flag_ood"))
    number = int(table.attrs["n_validation"])
    flagged = table["flag_ood"].values != 0
    names, counts = np.unique(table["ood_why"].values.astype(str)[flagged], return_counts=True)
    return {
        "false_alarm_rate": FALSE_ALARMS,
        "n": int(flagged.size),
        "n_validation": number,
        **(fraction("flagged", flagged) if flagged.size else {"flagged": None, "flagged_ci68": None}),
        "why": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "sample_p": sample_p(table["ood_p"].values, number),
    }


def sample_p(p: FloatArray, number: int) -> float | None:
    """Probability that a sample like the validation clusters is altogether as unlike the training clusters as this one.

    One-sided Mann-Whitney test; it takes clusters as independent. It sees small differences that all clusters share.

    Parameters
    ----------
    p
        Of `Domain.judge`, (cluster,); NaN is left out.
    number
        Validation clusters.
    """
    known = p[np.isfinite(p)]
    if not known.size or not number:
        return None
    # p = j / (n + 1) lies between the (j - 1)-th and the j-th most unlike validation cluster
    gauge = (np.arange(1, number + 1) + 0.5) / (number + 1)
    return float(mannwhitneyu(known, gauge, alternative="less").pvalue)

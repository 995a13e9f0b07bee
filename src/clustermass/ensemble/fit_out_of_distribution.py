"""Learn from training and validation clusters what is like them: `domain.nc`."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from clustermass.arrays import FloatArray
from clustermass.ensemble.ood_quantities import QUANTITIES, measure
from clustermass.ensemble.out_of_distribution import (
    COVARIATES,
    KNOTS,
    TERMS,
    Domain,
    columns,
    terms,
)
from clustermass.errors import InputError
from clustermass.evaluate.bootstrap import generator
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

#: a quantity is used if at least this share of the training clusters has it
KNOWN_SHARE = 0.9
#: fewer training clusters tell no quantiles
MIN_TRAINING = 10
#: fewer training clusters a term of the polynomial tell no more than a mean
CLUSTERS_PER_TERM = 10
#: components of the mixture: at most, and training clusters that each needs
MAX_COMPONENTS, CLUSTERS_PER_COMPONENT = 6, 500
#: scores beyond count as this for the mixture, lest a component be spent on a few outliers
CLIPPED_AT = 6.0
#: added to the variances of the mixture, so that no component collapses
VARIANCE_MIN = 1e-3
#: the logarithm of a deviation is that of at least this share of their standard deviation
SMALLEST_DEVIATION = 0.05


def fit_domain(smoothed: Sequence[Path], ensemble: Path, output: Path, seed: int) -> None:
    """Measure training and validation clusters and write `domain.nc`. Nothing of the test set reaches the file.

    Parameters
    ----------
    smoothed
        Images that the ensemble learnt from.
    ensemble
        `ensemble.nc`.
    output
        netCDF to write; `model.read_domain` reads it.
    seed
        Root of the random numbers: where the mixture's fit begins.

    Raises
    ------
    InputError
        A file is missing or damaged, a cluster lacks images, or too few are left to learn from.
    """
    found = measure(smoothed, ensemble, ("train", "val"))
    train = found.split == "train"
    domain = domain_of(found.measured[train], found.measured[~train], found.transform, seed)
    LOGGER.info(
        "fit_domain: %d training and %d validation clusters; %d quantities (%s), %d components",
        train.sum(),
        domain.number,
        len(domain.names),
        ", ".join(domain.names),
        domain.weight.size,
    )
    digest = sha256("\n".join(found.cluster.tolist()).encode() + found.measured.astype("<f8").tobytes()).hexdigest()
    made = provenance("fit_domain", {}, seed=seed, measured_sha256=digest, transform=domain.transform)
    write_netcdf(as_dataset(domain, found.cluster[~train]), output, "What clusters an ensemble of networks knows", made)


def domain_of(train: FloatArray, validation: FloatArray, transform: str, seed: int) -> Domain:
    """Fit a `Domain` to `quantities` (cluster, every quantity) of training and validation clusters.

    Raises
    ------
    InputError
        There are fewer than `MIN_TRAINING` training clusters of known redshift and exposure.
    """
    train = train[np.isfinite(columns(train, COVARIATES)).all(axis=1)]
    if len(train) < MIN_TRAINING:
        raise InputError(
            f"{len(train)} training clusters are too few to tell what is like them; {MIN_TRAINING} are needed. "
            "Simulate more, or widen the selection."
        )
    with threadpool_limits(1):  # the same bytes on any number of cores
        covariates = columns(train, COVARIATES)
        centre, width = covariates.mean(axis=0), covariates.std(axis=0)
        width = np.where(width > 0, width, 1.0)
        basis = terms(train, centre, width)
        fitted = {name: _expected(basis, columns(train, (name,))[:, 0], name) for name in _known(train)}
        used = {name: parts for name, parts in fitted.items() if np.ptp(parts[2]) > 0}
        coefficient, log_scale, knots = (np.stack(parts) for parts in zip(*used.values(), strict=True))
        none = np.zeros((0, len(used)))
        domain = Domain(
            *(tuple(used), transform, centre, width, coefficient, log_scale, knots),
            *(np.zeros(0), none, np.zeros((0, len(used), len(used))), none),
        )
        scores = domain.normal_scores(train)
        mixture = _mixture(np.clip(scores[np.isfinite(scores).all(axis=1)], -CLIPPED_AT, CLIPPED_AT), seed)
        return replace(
            domain,
            weight=mixture.weights_,
            mean=mixture.means_,
            covariance=mixture.covariances_,
            validation=domain.normal_scores(validation),
        )


def _known(train: FloatArray) -> list[str]:
    """Names of the quantities that most training clusters have."""
    share = np.isfinite(train).mean(axis=0)
    return [name for name, known in zip(QUANTITIES, share, strict=True) if known >= KNOWN_SHARE]


def _expected(basis: FloatArray, values: FloatArray, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Coefficients of the expected quantity and of its log scatter, (term,), and `Domain.knot_value`, (knot,).

    Least squares, the second time weighted by the first one's scatter.
    """
    known = np.isfinite(values)
    chosen = _terms_for(name, int(known.sum()))
    basis, values = basis[known], values[known]
    coefficient, log_scale = np.zeros(len(TERMS)), np.zeros(len(TERMS))
    for _ in range(2):
        weight = np.exp(-basis @ log_scale)
        weight /= weight.max()
        coefficient[chosen] = np.linalg.lstsq(basis[:, chosen] * weight[:, None], values * weight, rcond=None)[0]
        deviation = values - basis @ coefficient
        smallest = SMALLEST_DEVIATION * deviation.std()
        if smallest > 0:
            log_scale[chosen] = np.linalg.lstsq(basis[:, chosen], np.log(np.abs(deviation) + smallest), rcond=None)[0]
    return coefficient, log_scale, np.quantile(deviation / np.exp(basis @ log_scale), norm.cdf(KNOTS))


def _terms_for(name: str, number: int) -> list[int]:
    """Numbers of the terms that a quantity depends on: the core on redshift and exposure, these two on nothing."""
    few = number < CLUSTERS_PER_TERM * len(TERMS)
    allowed = 0 if name in COVARIATES[:2] or few else 2 if name == COVARIATES[2] else len(COVARIATES)
    return [number for number, term in enumerate(TERMS) if all(covariate < allowed for covariate in term)]


def _mixture(scores: FloatArray, seed: int) -> GaussianMixture:
    components = int(np.clip(len(scores) // CLUSTERS_PER_COMPONENT, 1, MAX_COMPONENTS))
    start = int(generator(seed, "domain").integers(2**31))
    mixture = GaussianMixture(components, reg_covar=VARIANCE_MIN, max_iter=300, random_state=start)
    return mixture.fit(scores)


def as_dataset(domain: Domain, cluster: NDArray[np.str_]) -> xr.Dataset:
    """Return the contents of `domain.nc`; `cluster` holds the validation clusters' ids, (cluster,)."""
    variables: dict[str, Any] = {
        "covariate_centre": ("covariate", domain.covariate_centre),
        "covariate_width": ("covariate", domain.covariate_width),
        "coefficient": (("quantity", "term"), domain.coefficient),
        "log_scale": (("quantity", "term"), domain.log_scale),
        "knot_value": (("quantity", "knot"), domain.knot_value),
        "weight": ("component", domain.weight),
        "mean": (("component", "quantity"), domain.mean),
        "covariance": (("component", "quantity", "other_quantity"), domain.covariance),
        "validation": (("cluster", "quantity"), domain.validation),
    }
    named = [" ".join(COVARIATES[number] for number in term) or "1" for term in TERMS]
    axes = {"quantity": list(domain.names), "other_quantity": list(domain.names), "knot": KNOTS}
    axes |= {"covariate": list(COVARIATES), "term": named, "component": np.arange(domain.weight.size)}
    return xr.Dataset(variables, {**axes, "cluster": cluster})

"""Fit the model of the out-of-distribution score to training and validation clusters, and write `domain.nc`."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from clustermass.arrays import FloatArray, generator
from clustermass.ensemble.ood_quantities import QUANTITIES, measure
from clustermass.ensemble.out_of_distribution import COVARIATES, KNOTS, TERMS, OodModel, columns, terms
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

#: smallest share of the training clusters that must have a quantity for it to be used
USED_SHARE = 0.9
#: smallest number of training clusters for a fit
MIN_TRAINING = 10
#: if there are fewer training clusters for each term of the polynomial, only a mean is fitted
CLUSTERS_PER_TERM = 10
#: largest number of components of the mixture, and number of training clusters that each component needs
MAX_COMPONENTS, CLUSTERS_PER_COMPONENT = 6, 500
#: scores are clipped at this value for the fit of the mixture, so that no component describes only a few outliers
CLIPPED_AT = 6.0
#: added to the variances of the mixture, so that no component collapses
VARIANCE_MIN = 1e-3
#: added to absolute deviations in the fit of the log scatter, in units of their standard deviation
SMALLEST_DEVIATION = 0.05


def fit_ood(smoothed: Sequence[Path], ensemble: Path, output: Path, seed: int) -> None:
    """Fit the out-of-distribution model to the training and validation clusters, and write it to `output`.

    `smoothed` are the preprocessed images of the training sky, `ensemble` is the file `ensemble.nc`, and `output` is
    the file `domain.nc`. The model contains a mixture of Gaussians; `seed` determines where the fit of this mixture
    starts. The test clusters aren't used. InputError in the cases of `measure` and `fit_ood_model`.
    """
    clusters = measure(smoothed, ensemble, ("train", "val"))
    train = clusters.split == "train"
    model = fit_ood_model(clusters.values[train], clusters.values[~train], clusters.transform, seed)
    LOGGER.info(
        "fit_ood: %d training and %d validation clusters; %d quantities (%s), %d components",
        *(train.sum(), model.number, len(model.names), ", ".join(model.names), model.weight.size),
    )
    digest = sha256("\n".join(clusters.cluster.tolist()).encode() + clusters.values.astype("<f8").tobytes()).hexdigest()
    made = provenance("fit_ood", {}, seed=seed, measured_sha256=digest, transform=model.transform)
    title = "Distribution of an ensemble's training clusters, for out-of-distribution scores"
    write_netcdf(model.to_dataset(clusters.cluster[~train]), output, title, made)


@threadpool_limits.wrap(limits=1)  # gives the same bytes on any number of cores
def fit_ood_model(train: FloatArray, validation: FloatArray, transform: str, seed: int) -> OodModel:
    """Return the out-of-distribution model, given all `quantities` of the training and of the validation clusters.

    Both arrays have the shape (cluster, quantity). `transform` is the last step of the images' preprocessing. `seed`
    determines where the fit of the mixture of Gaussians starts. InputError if redshift, exposure and core brightness
    are known for too few training clusters.
    """
    train = train[np.isfinite(columns(train, COVARIATES)).all(axis=1)]
    if len(train) < MIN_TRAINING:
        raise InputError(
            f"{len(train)} training clusters are too few to fit their distribution; {MIN_TRAINING} are needed. "
            "Simulate more, or widen the selection."
        )
    covariates = columns(train, COVARIATES)
    centre, width = covariates.mean(axis=0), covariates.std(axis=0)
    width = np.where(width > 0, width, 1.0)
    basis = terms(train, centre, width)
    fitted = {
        name: _expected(basis, values, name)
        for name, values in zip(QUANTITIES, train.T, strict=True)
        if np.isfinite(values).mean() >= USED_SHARE
    }
    used = {name: parts for name, parts in fitted.items() if np.ptp(parts[2]) > 0}
    coefficient, log_scale, knots = (np.stack(parts) for parts in zip(*used.values(), strict=True))
    none = np.zeros((0, len(used)))
    model = OodModel(
        *(tuple(used), transform, centre, width, coefficient, log_scale, knots),
        *(np.zeros(0), none, np.zeros((0, len(used), len(used))), none),
    )
    scores = model.normal_scores(train)
    scores = np.clip(scores[np.isfinite(scores).all(axis=1)], -CLIPPED_AT, CLIPPED_AT)
    components = int(np.clip(len(scores) // CLUSTERS_PER_COMPONENT, 1, MAX_COMPONENTS))
    start = int(generator(seed, "domain").integers(2**31))
    mixture = GaussianMixture(components, reg_covar=VARIANCE_MIN, max_iter=300, random_state=start).fit(scores)
    fitted_mixture = {"weight": mixture.weights_, "mean": mixture.means_, "covariance": mixture.covariances_}
    return replace(model, **fitted_mixture, validation=model.normal_scores(validation))


def _expected(basis: FloatArray, values: FloatArray, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit the mean and the log scatter of a quantity as functions of redshift, exposure and core brightness.

    Return the coefficients of the mean (term,), those of the log scatter (term,), and the values of
    `OodModel.knot_value` for this quantity (knot,). `values` holds the quantity called `name`, and `basis` (cluster,
    term) the polynomial terms of redshift, exposure and core brightness. For redshift and exposure themselves, only
    constants are fitted. For the core brightness, functions of redshift and exposure are fitted.

    Both fits are by least squares, in two passes. In the second pass, the fit of the mean is weighted with the inverse
    of the scatter from the first pass. Each deviation from the mean is then divided by the scatter; the quantiles of
    these ratios are the knot values.
    """
    finite = np.isfinite(values)
    basis, values = basis[finite], values[finite]
    # redshift and exposure depend on nothing, core brightness on these two, all other quantities on all three
    few = values.size < CLUSTERS_PER_TERM * len(TERMS)
    allowed = 0 if name in COVARIATES[:2] or few else 2 if name == COVARIATES[2] else len(COVARIATES)
    chosen = [number for number, term in enumerate(TERMS) if all(covariate < allowed for covariate in term)]
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

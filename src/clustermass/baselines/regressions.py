"""Ridge regression on the hand-made features: the straightest line through everything that was thought of."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from clustermass.arrays import FloatArray
from clustermass.io.log import LOGGER


@threadpool_limits.wrap(limits=1)  # the same bits on any number of cores, and no threads that wait for a busy one
def predict_ridge(
    features: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_], alphas: Sequence[float]
) -> FloatArray:
    """Standardise and fit on the training set; the penalty comes from the validation set.

    Parameters
    ----------
    features
        (cluster, feature).
    log10_m500c, split
        (cluster,); labels are read where `split` is train or val only.
    alphas
        Penalties to choose from (`baselines.ridge_alpha`).

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    train, val = split == "train", split == "val"
    judged = val if val.any() else train
    fits = {}
    for alpha in alphas:
        model = make_pipeline(StandardScaler(), Ridge(alpha=float(alpha)))
        fits[alpha] = model.fit(features[train], log10_m500c[train]).predict(features)
    errors = {alpha: np.mean((mu[judged] - log10_m500c[judged]) ** 2) for alpha, mu in fits.items()}
    best = min(errors, key=lambda alpha: errors[alpha])
    LOGGER.info("ridge_features: alpha %g is the best of %d on the validation set", best, len(alphas))
    return np.asarray(fits[best], dtype=float)


#: trees grown before the validation set says how many to keep
MAX_TREES = 800


@threadpool_limits.wrap(limits=1)  # the same bits on any number of cores, and no threads that wait for a busy one
def predict_boosted_trees(
    features: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_], seed: int
) -> FloatArray:
    """Fit on the training set and keep as many trees as do best on the validation set.

    Parameters
    ----------
    features
        (cluster, feature).
    log10_m500c, split
        (cluster,); labels are read where `split` is train or val only.
    seed
        Of the columns drawn at each split.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    train, val = split == "train", split == "val"
    judged = val if val.any() else train
    model = HistGradientBoostingRegressor(
        learning_rate=0.04,
        max_iter=MAX_TREES,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    ).fit(features[train], log10_m500c[train])
    errors = [np.mean((mu - log10_m500c[judged]) ** 2) for mu in model.staged_predict(features[judged])]
    best = int(np.argmin(errors))
    LOGGER.info("boosted_trees: %d of %d trees do best on the validation set", best + 1, MAX_TREES)
    return np.asarray(next(islice(model.staged_predict(features), best, None)), dtype=float)

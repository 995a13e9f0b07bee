"""Ridge regression on the hand-made features: the straightest line through everything that was thought of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from clustermass.cosmology import FloatArray
from clustermass.progress import LOGGER


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

"""Regressions of the mass on hand-made features: ridge regression and boosted trees."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from clustermass.arrays import FloatArray
from clustermass.baselines.scaling_relations import best_on_validation

#: trees that are grown; the validation set decides how many are kept
MAX_TREES = 800


@threadpool_limits.wrap(limits=1)  # the same bits on any number of cores, and no threads that wait for a busy one
def predict_ridge(
    features: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_], alphas: Sequence[float]
) -> FloatArray:
    """Ridge regression on standardised features, fitted to the training set; the validation set chooses the penalty.

    Parameters
    ----------
    features
        (cluster, feature).
    log10_m500c, split
        (cluster,); labels are read for training and validation clusters only.
    alphas
        Penalties to choose from (`baselines.ridge_alpha`).

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    train, fits = split == "train", dict[float, FloatArray]()
    for alpha in alphas:
        model = make_pipeline(StandardScaler(), Ridge(alpha=float(alpha)))
        fits[alpha] = model.fit(features[train], log10_m500c[train]).predict(features)
    return best_on_validation("ridge_features: penalty", fits, log10_m500c, split)


@threadpool_limits.wrap(limits=1)  # as above
def predict_boosted_trees(
    features: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_], seed: int
) -> FloatArray:
    """Boosted trees, fitted to the training set; the validation set chooses their number.

    Parameters
    ----------
    features, log10_m500c, split
        See `predict_ridge`.
    seed
        Of the columns drawn at each split.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    train = split == "train"
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
    by_number = dict(enumerate(model.staged_predict(features), start=1))
    return best_on_validation("boosted_trees: number of trees", by_number, log10_m500c, split)

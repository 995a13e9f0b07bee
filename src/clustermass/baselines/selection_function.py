"""Selection function of a survey in true luminosity and redshift, and the shift of a relation that it causes."""

from collections.abc import Callable

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from clustermass.arrays import FloatArray, bisect
from clustermass.baselines.scaling_relations import ScalingRelation

#: nodes of the Gauss-Hermite quadrature over the scatter of luminosity
NODES = 40
#: log10(M500c / Msun) between which masses are sought, and halvings of that bracket: to 1e-9 dex
BRACKET = (10.0, 18.0)
HALVINGS = 33
#: detected haloes, and undetected ones, that a fit needs at least
MIN_HALOES = 20

#: (log10 L, redshift) -> ln of the odds to be selected, of their broadcast shape
LogOdds = Callable[[FloatArray, FloatArray], FloatArray]


def fit_selection(l500: FloatArray, redshift: FloatArray, selected: NDArray[np.bool_]) -> LogOdds | None:
    """Fit the probability p that a halo is selected, by logistic regression; no mass is read.

    ln(p / (1 - p)) is a quadratic polynomial in log10 L and ln(1 + z), fitted to every simulated halo of positive true
    luminosity `l500` (erg/s, (halo,)). Returns None if too few haloes are selected, or too few are not.
    """
    bright = l500 > 0
    features, selected = _features(np.log10(l500[bright]), redshift[bright]), selected[bright]
    if min(selected.sum(), (~selected).sum()) < MIN_HALOES:
        return None
    quadratic = PolynomialFeatures(2, include_bias=False)
    model = make_pipeline(StandardScaler(), quadratic, LogisticRegression(C=1e4, max_iter=1000))
    model.fit(features, selected)

    def log_odds(log10_l: FloatArray, z: FloatArray) -> FloatArray:
        log10_l, z = np.broadcast_arrays(log10_l, z)
        return np.asarray(model.decision_function(_features(log10_l.ravel(), z.ravel()))).reshape(z.shape)

    return log_odds


def _features(log10_l: FloatArray, redshift: FloatArray) -> FloatArray:
    return np.stack([log10_l, np.log1p(redshift)], axis=1)


def predict_luminosity_selected(
    l500: FloatArray, redshift: FloatArray, relation: ScalingRelation, scatter_ln: float, log_odds: LogOdds
) -> FloatArray:
    """Invert a luminosity relation for selected clusters, which are brighter than the mean at their mass.

    With ln L Gaussian about the relation, with standard deviation `scatter_ln`, the mean at fixed mass and redshift
    among selected clusters is

        <ln L | M, z, selected> = int ln L p(sel | L, z) N(ln L) dln L / int p(sel | L, z) N(ln L) dln L.

    The mass is the one at which this equals the cluster's ln L, with L in erg/s in the cosmology of the relation.
    (Krippendorf et al. 2023, section 4, found a small effect.) Returns log10(M500c / Msun), float64 (cluster,).
    """
    nodes, weights = hermegauss(NODES)
    offsets, z = nodes * scatter_ln / np.log(10), redshift[:, None]

    def mean_among_selected(log10_m: FloatArray) -> FloatArray:
        log10_l = relation.log10_observable(log10_m)[:, None] + offsets
        log_probability = -np.logaddexp(0, -log_odds(log10_l, z))
        weight = weights * np.exp(log_probability - log_probability.max(axis=1, keepdims=True))
        return np.asarray((weight * log10_l).sum(axis=1) / weight.sum(axis=1))

    low, high = (np.full(len(l500), edge) for edge in BRACKET)
    log10_l500 = np.log10(l500)
    return bisect(lambda log10_m: mean_among_selected(log10_m) < log10_l500, low, high, HALVINGS)

"""Poisson likelihood of a source on a known background: amplitude, significance."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc, gammaln

ASYMPTOTIC_FROM = 200.0  # gammaincc underflows near 700; from here five terms of the expansion are exact to 1e-12


def negative_log_q(dof: float, delta_c: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return -ln Q(dof / 2, delta_c / 2), eSASS's likelihood of a drop `delta_c` of the C statistic.

    Q is the upper regularised incomplete gamma function, the chance that chi^2 with `dof` degrees of freedom exceeds
    `delta_c`. Finite for every finite argument; negative `delta_c` count as 0.

    Parameters
    ----------
    dof : float
        Degrees of freedom, > 0 (ermldet: 3 for a point source, 4 for an extended one).
    delta_c : array
        Drop of the C statistic, any shape.

    Returns
    -------
    array of float64, shape of `delta_c`, dimensionless, >= 0.
    """
    a = dof / 2.0
    x = np.maximum(np.asarray(delta_c, dtype=np.float64) / 2.0, 0.0)
    small, large = x < a, x > ASYMPTOTIC_FROM
    middle = np.where(large | small, a, x)
    result = np.asarray(-np.log(gammaincc(a, middle)))
    result[small] = -np.log1p(-gammainc(a, x[small]))
    result[large] = _asymptotic(a, x[large])
    return np.maximum(result, 0.0)


def _asymptotic(a: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -ln Q(a, x) for x far above a (Abramowitz & Stegun 6.5.32)."""
    term, series = np.ones_like(x), np.ones_like(x)
    for k in range(1, 6):
        term = term * (a - k) / x
        series = series + term
    return x - (a - 1.0) * np.log(x) + gammaln(a) - np.log(series)


def fit_amplitude(
    counts: NDArray[np.floating],
    background: NDArray[np.floating],
    template: NDArray[np.floating],
    template_sum: NDArray[np.floating],
    start: NDArray[np.floating],
    iterations: int = 4,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Fit the non-negative amplitude of each template that minimises C = 2 sum(m - n ln m), m = background + a T.

    Only pixels that hold counts enter the sum over n ln m, so pixels without any may be left out (or padded with zero
    counts and a positive background). With G(a) = sum(n T / m) the maximum is the root of 1/G(a) = 1/sum(T); 1/G is
    increasing and concave in a (and linear if T / background is the same in all pixels), so Newton's iteration on it
    never overshoots and converges in a few steps, where Newton on the derivative of C itself would not.

    Parameters
    ----------
    counts, background : array, shape (stamp, pixel)
        Counts and expected background counts (> 0) of the pixels that hold counts.
    template : array, shape (stamp, pixel, model)
        Source counts in these pixels for amplitude 1.
    template_sum : array, shape (stamp, model)
        Source counts in ALL pixels of the fit for amplitude 1.
    start : array, shape (stamp, 1) or (stamp, model)
        First guess of the amplitude.
    iterations : int
        Newton steps.

    Returns
    -------
    amplitude : array, shape (stamp, model), >= 0
    delta_c : array, shape (stamp, model)
        C(amplitude 0) - C(best), >= 0.
    """
    amplitude = np.broadcast_to(start, template_sum.shape).astype(template.dtype)
    weights = counts[:, None, :].astype(template.dtype, copy=False)
    level = background[:, :, None].astype(template.dtype, copy=False)
    ratio, model = np.empty_like(template), np.empty_like(template)
    for _ in range(iterations):
        np.multiply(template, amplitude[:, None, :], out=model)
        model += level
        np.divide(template, model, out=ratio)
        gradient = np.matmul(weights, ratio)[:, 0]
        np.multiply(ratio, ratio, out=ratio)
        curvature = np.matmul(weights, ratio)[:, 0]
        curvature = np.maximum(curvature, np.finfo(curvature.dtype).tiny)
        amplitude = np.maximum(amplitude + gradient * (gradient / template_sum - 1.0) / curvature, 0.0)
    np.multiply(template, amplitude[:, None, :], out=model)
    model /= level
    model += 1.0
    np.log(model, out=model)
    delta_c = 2.0 * (np.matmul(weights, model)[:, 0] - amplitude * template_sum)
    return amplitude, np.maximum(delta_c, 0.0)

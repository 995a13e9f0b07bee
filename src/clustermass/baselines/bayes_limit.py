"""Posterior of a cluster's mass, given its own photons and those of the background, by importance sampling.

The model of the simulated sky is known, so no other estimate from the same photons has a smaller mean squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp
from scipy.stats import multivariate_t

from clustermass.arrays import FloatArray
from clustermass.baselines.gas_scores import GasModel
from clustermass.baselines.ring_counts import RING_EDGES_ARCSEC

#: radius of the aperture in which the view "rate" counts photons, arcsec
RATE_RADIUS_ARCSEC = 120.0
_RATE_RINGS = int(np.searchsorted(RING_EDGES_ARCSEC, RATE_RADIUS_ARCSEC))
#: what is known of the photons: from numbers in rings and bands, (..., ring, band), to the used numbers, (..., cell)
View: TypeAlias = Callable[[FloatArray], FloatArray]
VIEWS: dict[str, View] = {
    "all": lambda counts: counts.reshape(*counts.shape[:-2], -1),
    "no_energy": lambda counts: counts.sum(axis=-1),
    "rate": lambda counts: counts[..., :_RATE_RINGS, :].sum(axis=(-2, -1))[..., None],
}

#: unit of mass in the search for the maximum, dex, and the step of derivatives in this unit and in that of the scores
_MASS_UNIT, _STEP = 0.2, 0.05
_ITERATIONS, _LENGTHS = 8, np.array([1.0, 0.5, 0.2, 0.05])
#: degrees of freedom of the proposals, and the factor by which they are wider than the normal approximation
_FREEDOM, _WIDER = 5, 1.3
#: scores beyond this, which have a probability of 1e-15, are ignored: the profiles of such haloes overflow
_SCORE_MAX = 8.0
#: draws from each proposal in the first round (twice as many in each further one), and the largest number of rounds
_DRAWS, _ROUNDS = 1000, 4


@dataclass(frozen=True)
class Observation:
    """Photons of a cluster and of the background in the rings about the cluster's centre."""

    redshift: float
    counts: FloatArray  #: number of photons, (ring, band)
    exposure_s: FloatArray  #: mean vignetting-corrected exposure in each ring, (ring,)
    background: FloatArray  #: expected number of background events, (ring, band)


class MassPrior:
    """Probability density of log10(M500c / Msun) before the photons are seen. It is 0 outside the masses given."""

    def __init__(self, log10_m500c: FloatArray, density: FloatArray) -> None:
        """Use `density` (mass,), which needn't be normalised, at the masses `log10_m500c` (mass,), ascending."""
        self.limits = float(log10_m500c[0]), float(log10_m500c[-1])
        self._log_density = CubicSpline(log10_m500c, np.log(np.maximum(density, 1e-300)))
        self._curvature = self._log_density.derivative(2)

    def log_density(self, log10_m500c: FloatArray) -> FloatArray:
        """Return ln(density) at these masses, in the shape of `log10_m500c`."""
        inside = (log10_m500c >= self.limits[0]) & (log10_m500c <= self.limits[1])
        return np.where(inside, self._log_density(np.clip(log10_m500c, *self.limits)), -np.inf)

    def slope_and_precision(self, log10_m500c: float) -> tuple[float, float]:
        """Return the derivative of ln(density), and minus the second derivative or 0 if that is negative."""
        return float(self._log_density(log10_m500c, 1)), max(-float(self._curvature(log10_m500c)), 0.0)


@dataclass(frozen=True)
class MassPosterior:
    """Masses drawn from the proposals, and their weights for each view, which sum to 1."""

    log10_m500c: FloatArray  #: (draw,)
    weights: dict[str, FloatArray]  #: for each of `VIEWS`, (draw,)

    def mean(self, view: str) -> float:
        """Return the mean of log10 M500c."""
        return float(self.weights[view] @ self.log10_m500c)

    def deviation(self, view: str) -> float:
        """Return the standard deviation of log10 M500c in dex."""
        return float(np.sqrt(self.weights[view] @ (self.log10_m500c - self.mean(view)) ** 2))

    def below(self, view: str, log10_m500c: float) -> float:
        """Return the probability of masses below `log10_m500c`."""
        return float(self.weights[view] @ (self.log10_m500c < log10_m500c))

    def sample_size(self, view: str) -> float:
        """Return the effective sample size, 1 / sum(weights^2) (Kong 1992)."""
        return float(1 / np.sum(self.weights[view] ** 2))


def log_likelihood(counts: FloatArray, mean: FloatArray) -> FloatArray:
    """Return ln(Poisson probability) of `counts` (cell,) for each row of `mean` (draw, cell), up to a constant."""
    seen = counts > 0
    return np.log(mean[:, seen]) @ counts[seen] - mean.sum(axis=1)


def mass_posterior(
    model: GasModel, seen: Observation, prior: MassPrior, rng: np.random.Generator, enough: float = 500.0
) -> MassPosterior:
    """Return the posterior of a cluster's mass for each of `VIEWS`.

    Unknown are the mass and the scores of the gas, which are independent standard normal numbers in the prior.
    Importance sampling (e.g. Robert & Casella 2004, ch. 14) draws them from multivariate t distributions, one for each
    view. These are centred on the maximum of the view's posterior, with the covariance of the normal approximation
    there. As long as a view's effective sample size is below `enough`, further draws come from t distributions that
    have the mean and covariance of all weighted draws. Weights refer to the mixture of all t distributions (Owen & Zhou
    2000), so that all views use all draws.
    """
    target = _Target(model, seen, prior)
    number, parts = _DRAWS, [multivariate_t(*peak, df=_FREEDOM, seed=rng) for peak in _peaks(target)]
    shares = [number] * len(parts)
    points = np.concatenate([part.rvs(number) for part in parts])
    log_targets = target(points)
    for last in range(_ROUNDS):
        log_proposal = logsumexp(
            [part.logpdf(points) for part in parts], axis=0, b=np.array(shares)[:, None] / sum(shares)
        )
        weights = {view: _normalised(values - log_proposal) for view, values in log_targets.items()}
        result = MassPosterior(target.masses(points), weights)
        if last == _ROUNDS - 1 or min(map(result.sample_size, VIEWS)) >= enough:
            break
        number *= 2
        better = [multivariate_t(*_moments(points, weight), df=_FREEDOM, seed=rng) for weight in weights.values()]
        new = np.concatenate([part.rvs(number) for part in better])
        parts, shares, points = parts + better, shares + [number] * len(better), np.concatenate([points, new])
        log_targets = {view: np.concatenate([log_targets[view], values]) for view, values in target(new).items()}
    return result


class _Target:
    """The logarithm of prior times likelihood. A point is (mass / `_MASS_UNIT`, scores...)."""

    def __init__(self, model: GasModel, seen: Observation, prior: MassPrior) -> None:
        self.model, self.seen, self.prior = model, seen, prior
        self.counts = {view: cells(seen.counts) for view, cells in VIEWS.items()}

    def masses(self, points: FloatArray) -> FloatArray:
        return np.asarray(points[..., 0] * _MASS_UNIT)

    def means(self, points: FloatArray) -> FloatArray:
        """Return the mean numbers of photons at `points` (point, 1 + score), (point, ring, band)."""
        mass = np.clip(self.masses(points), *self.prior.limits)
        scores = np.clip(points[:, 1:], -_SCORE_MAX, _SCORE_MAX)
        rates = self.model.rates(self.seen.redshift, mass, scores)
        return np.maximum(rates * self.seen.exposure_s[:, None] + self.seen.background, 1e-12)

    def __call__(self, points: FloatArray, views: tuple[str, ...] = tuple(VIEWS)) -> dict[str, FloatArray]:
        """Return the logarithm of the target of each view, (point,)."""
        means = self.means(points)
        return {view: self.log_prior(points) + self.likelihood(view, means) for view in views}

    def log_prior(self, points: FloatArray) -> FloatArray:
        scores = points[:, 1:]
        possible = (np.abs(scores) <= _SCORE_MAX).all(axis=1)
        density = self.prior.log_density(self.masses(points)) - np.square(scores).sum(axis=1) / 2
        return np.where(possible, density, -np.inf)

    def likelihood(self, view: str, means: FloatArray) -> FloatArray:
        return log_likelihood(self.counts[view], VIEWS[view](means))


def _peaks(target: _Target) -> list[tuple[FloatArray, FloatArray]]:
    """Return the maximum of each view's posterior, (1 + score,), and a covariance that is a little too wide there.

    Gauss-Newton steps, whose length is chosen from `_LENGTHS`, start at the best mass for scores of 0. All views are
    searched at the same time, which saves calls of the model.
    """
    size = 1 + len(target.model.used)
    low, high = (limit / _MASS_UNIT for limit in target.prior.limits)
    start = np.zeros((60, size))
    start[:, 0] = np.linspace(low, high, 62)[1:-1]
    best = np.stack([start[np.argmax(values)] for values in target(start).values()])
    moves = np.concatenate([np.zeros((1, size)), _STEP * np.eye(size), -_STEP * np.eye(size)])
    for last in range(_ITERATIONS):
        means = target.means((best[:, None] + moves).reshape(-1, size)).reshape(len(VIEWS), len(moves), *_cells(target))
        steps, covariances = zip(*(_step(target, *one) for one in zip(VIEWS, best, means, strict=True)), strict=True)
        if last == _ITERATIONS - 1:
            break
        tried = best[:, None] + np.append(_LENGTHS, 0.0)[:, None] * np.stack(steps)[:, None]
        tried[..., 0] = np.clip(tried[..., 0], low + 0.05, high - 0.05)
        values = target(tried.reshape(-1, size))
        chosen = [int(np.argmax(values[view].reshape(len(VIEWS), -1)[row])) for row, view in enumerate(VIEWS)]
        moved = np.stack([tried[row, place] for row, place in enumerate(chosen)])
        done = np.abs(moved - best).max() < 0.01
        best = moved
        if done:
            break
    return [(peak, _WIDER * covariance) for peak, covariance in zip(best, covariances, strict=True)]


def _cells(target: _Target) -> tuple[int, ...]:
    return target.seen.counts.shape


def _step(target: _Target, view: str, point: FloatArray, means: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the Gauss-Newton step from `point`, (1 + score,), and the covariance of the normal approximation there.

    `means` holds the mean photons at the point and at points moved by `_STEP` forwards and backwards along each axis.
    """
    size = len(point)
    cells = VIEWS[view](means)
    mean, slopes = cells[0], (cells[1 : size + 1] - cells[size + 1 :]) / (2 * _STEP)
    slope, precision = target.prior.slope_and_precision(float(target.masses(point)))
    gradient = slopes @ (target.counts[view] / mean - 1) - point
    gradient[0] += point[0] + slope * _MASS_UNIT
    curvature = (slopes / mean) @ slopes.T + np.eye(size)
    curvature[0, 0] += max(precision, 1.0) * _MASS_UNIT**2 - 1
    covariance = np.linalg.inv(curvature)
    return covariance @ gradient, (covariance + covariance.T) / 2


def _normalised(log_weights: FloatArray) -> FloatArray:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def _moments(points: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and covariance of weighted points, (1 + score,) and (1 + score, 1 + score).

    If few points carry the weight, their covariance is too small. Weights are therefore limited to the 50th largest.
    """
    limited = np.minimum(weights, np.sort(weights)[-50])
    limited = limited / limited.sum()
    mean = limited @ points
    centred = points - mean
    return mean, _WIDER * (centred * limited[:, None]).T @ centred + 1e-6 * np.eye(len(mean))

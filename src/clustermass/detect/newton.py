"""Fit the position, counts and extent of sources in many stamps at once by Newton's method.

A stamp is the count image around one source (`stamps.CountImages`). The fits climb to a maximum of the likelihood from
a start that is near it.
"""

from __future__ import annotations

from copy import copy
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import BoolArray, Float32Array, FloatArray, IntArray
from clustermass.detect.maximum_likelihood import Batch, Fit, batches, evaluate
from clustermass.detect.stamps import CountImages, Templates

#: offsets in x and y, in arcsec, and in the number of the model
Trials: TypeAlias = tuple[FloatArray, FloatArray, NDArray[np.int64]]

STEPS, MOST_STEPS = 5, 15  # after STEPS steps, fits of sources below LEAST_DROP end
CONVERGED = 0.01  # rise of the drop of C in a step up to which a fit is complete
STEP_ARCSEC, STEP_MODEL = 5.0, 2.0  # longest step
LEAST_DROP = 8.0  # of the C statistic: a source below isn't fitted to the end
FARTHEST_ARCSEC = 12.0  # from the start, in x and in y
TINY = 1e-9 * np.eye(4)  # keeps matrices invertible
DAMPING = 0.03  # of the first step, in units of the curvature
EASE, HARDEN = 0.2, 8.0  # factors of the damping after a step that raises the likelihood, or doesn't
FACTOR = 4.0  # copies of the arrays of a batch that are used at once


def climb(
    stamps: CountImages, background: Float32Array, rows: IntArray, start: Fit, templates: Templates, extended: bool
) -> Fit:
    """Return the fits at the maxima of the likelihood that are reached from `start`, for the stamps `rows`, (row,).

    Sources are point sources, or beta models if `extended`, for which `start.model` must be at least 1. `background`
    holds, for each entry of `stamps`, the expected counts of everything except the source; they must be > 0.
    """
    result = Fit.empty(len(rows))
    for part, batch in batches(stamps, background, rows, FACTOR):
        result[part] = _result(batch, _climb(batch, _parameters(start[part]), templates, extended), templates)
    return result


def best_trial(
    stamps: CountImages, background: Float32Array, rows: IntArray, start: Fit, templates: Templates, trials: Trials
) -> Fit:
    """Return the best trial source for each of the stamps `rows`, (row,). Only the counts of trial sources are fitted.

    `trials` holds three arrays (trial,): what is added to the source in `start` in x, in y (both in arcsec) and in the
    number of the model.
    """
    result = Fit.empty(len(rows))
    for part, batch in batches(stamps, background, rows, len(trials[0])):
        result[part] = evaluate(batch, start[part], templates, *trials).best()
    return result


def drop_of(
    stamps: CountImages, background: Float32Array, rows: IntArray, fit: Fit, templates: Templates
) -> FloatArray:
    """Return by how much the sources `fit` lower the C statistic of the stamps `rows`, (row,). Nothing is fitted."""
    result = np.zeros(len(rows))
    for part, batch in batches(stamps, background, rows, FACTOR):
        result[part] = _Slopes(batch, templates, _parameters(fit[part]), False).drop
    return result


def _parameters(fit: Fit) -> FloatArray:
    """Return counts, x, y and number of the model as one array, (stamp, 4)."""
    return np.stack([np.maximum(fit.counts, 1.0), fit.x, fit.y, fit.model.astype(float)], axis=1)


def _climb(batch: Batch, start: FloatArray, templates: Templates, extended: bool) -> FloatArray:
    """Return the parameters at the maxima of the likelihood that are reached from the parameters `start`."""
    most = len(templates.core_radius) - 1
    result, rows = start.copy(), np.arange(len(start))
    at, begin, damping = start, start[:, 1:3], np.full(len(start), DAMPING)
    best = _Slopes(batch, templates, at, True)
    for number in range(1, MOST_STEPS + 1):
        matrix = best.curvature.copy()
        np.einsum("ijj->ij", matrix)[:] *= 1.0 + damping[:, None]
        step = np.linalg.solve(matrix + TINY[: matrix.shape[1], : matrix.shape[1]], best.gradient[:, :, None])[:, :, 0]
        trial = at.copy()
        trial[:, 0] = np.maximum(at[:, 0] + step[:, 0], 0.2 * at[:, 0])
        place = at[:, 1:3] + np.clip(step[:, 1:3], -STEP_ARCSEC, STEP_ARCSEC)
        trial[:, 1:3] = np.clip(place, begin - FARTHEST_ARCSEC, begin + FARTHEST_ARCSEC)
        if extended:
            trial[:, 3] = np.clip(at[:, 3] + np.clip(step[:, 3], -STEP_MODEL, STEP_MODEL), 1.0, most)
        new = _Slopes(batch, templates, trial, True)
        higher = new.drop > best.drop
        hope = np.einsum("ij,ij->i", best.gradient, step)
        rises = np.where(higher, new.drop - best.drop, hope) > CONVERGED
        at, damping = np.where(higher[:, None], trial, at), damping * np.where(higher, EASE, HARDEN)
        best.take(new, higher)
        result[rows] = at
        if number >= STEPS:
            rises &= best.drop > LEAST_DROP
        if not rises.all():
            if not rises.any():
                break
            batch, best = batch[rises], best.of(rises)
            rows, at, begin, damping = rows[rises], at[rises], begin[rises], damping[rises]
    return result


def _result(batch: Batch, at: FloatArray, templates: Templates) -> Fit:
    """Return fits from their parameters, with the likelihood in double precision."""
    double = Batch(batch.counts.astype(np.float64), batch.background.astype(np.float64), batch.pixel)
    drop = np.maximum(_Slopes(double, templates, at, False).drop, 0.0)
    radius = np.log(np.maximum(templates.core_radius, 1e-3))
    extent = np.exp(np.interp(at[:, 3], np.arange(1, len(radius)), radius[1:]))
    model = np.rint(at[:, 3]).astype(np.int64)
    return Fit(at[:, 1], at[:, 2], model, np.where(model > 0, extent, 0.0), at[:, 0], drop)


class _Slopes:
    """Drop of the C statistic that sources cause, and derivatives with respect to counts, x, y and model.

    `drop` has the shape (stamp,), `gradient` (stamp, k) and `curvature` (stamp, k, k), where k is 3 for point sources,
    else 4. The derivatives are those of the logarithm of the likelihood, which are half as large as those of the drop.
    """

    def __init__(self, batch: Batch, templates: Templates, at: FloatArray, slopes: bool) -> None:
        kind = batch.counts.dtype
        counts, x, y, model = at.T.astype(kind)[:, :, None]
        width, most = templates.profile.shape[1], len(templates.core_radius) - 1
        lower = np.minimum(at[:, 3].astype(np.int32), most - 1)[:, None]
        part = model - lower.astype(kind)
        dx, dy = templates.x[batch.pixel] - x, templates.y[batch.pixel] - y
        radius = np.sqrt(dx * dx + dy * dy)
        place = np.minimum((radius * 10.0 + 0.5).astype(np.int32), width - 1) + lower * np.int32(width)
        profile = templates.profile.ravel()
        value = profile.take(place).astype(kind, copy=False)
        wider = bool(at[:, 3].any())
        if wider:
            rise = profile.take(place + width).astype(kind, copy=False) - value
            value = value + part * rise
        expected = batch.background + counts * value
        ratio = batch.counts / expected
        total, tilt, more = _inside(templates, at, lower[:, 0])
        logarithm = np.log(expected / batch.background)
        self.drop = 2.0 * (np.einsum("ij,ij->i", batch.counts, logarithm).astype(np.float64) - at[:, 0] * total)
        if not slopes:
            return
        parts = np.empty((len(at), 4 if wider else 3, batch.counts.shape[1]), kind)
        fall = -counts * templates.slope.ravel().take(place) / np.maximum(radius, np.float32(0.05))
        parts[:, 0] = value
        np.multiply(fall, dx, out=parts[:, 1])
        np.multiply(fall, dy, out=parts[:, 2])
        whole = np.stack([total, at[:, 0] * tilt[0], at[:, 0] * tilt[1], at[:, 0] * more], axis=1)[:, : parts.shape[1]]
        if wider:
            np.multiply(counts, rise, out=parts[:, 3])
        along = np.matmul(parts, ratio[:, :, None])[:, :, 0].astype(np.float64)
        self.gradient = along - whole
        self.gradient[:, 0] *= along[:, 0] / total  # a step for 1 / G, as in `fit_amplitude`
        weighted = parts * (ratio / expected)[:, None, :]
        self.curvature = np.matmul(weighted, parts.swapaxes(1, 2)).astype(np.float64)

    def of(self, rows: BoolArray) -> _Slopes:
        """Return the values of some stamps."""
        result = copy(self)
        vars(result).update({name: values[rows] for name, values in vars(self).items()})
        return result

    def take(self, other: _Slopes, rows: BoolArray) -> None:
        """Take the values of some stamps from `other`."""
        for name, values in vars(self).items():
            values[rows] = getattr(other, name)[rows]


def _inside(
    templates: Templates, at: FloatArray, lower: NDArray[np.int32]
) -> tuple[FloatArray, tuple[FloatArray, FloatArray], FloatArray]:
    """Return the counts inside the stamp for sources with one count on the whole sky, and three derivatives.

    The derivatives are those with respect to x and y (as a pair) and to the number of the model.
    """
    x, y, part = at[:, 1], at[:, 2], at[:, 3] - lower
    shift = np.hypot(x, y)
    place = np.minimum((shift * 10.0 + 0.5).astype(np.int32), templates.inside.shape[1] - 1)
    low, high = templates.inside[lower, place], templates.inside[lower + 1, place]
    scaled = templates.inside_slope[lower, place] / np.maximum(shift, 0.05)
    return low + part * (high - low), (scaled * x, scaled * y), (high - low).astype(np.float64)

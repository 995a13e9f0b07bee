"""Maximum-likelihood fits of a point source and of a beta model to many stamps at once.

A stamp is the count image around one candidate (`stamps.CountImages`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc, gammaln

from clustermass.arrays import Float32Array, FloatArray, IdArray, IntArray, Rows
from clustermass.detect.stamps import CountImages, Templates

Floats: TypeAlias = NDArray[np.floating]  # of single or double precision

BUDGET = 600_000  # elements of the largest array of a batch, so that its 2.4 MB stay in the cache
POINT_DOF = 3.0  # x, y, rate
EXTENDED_DOF = 4.0  # x, y, rate, extent


@dataclass
class Fit(Rows):
    """Best fits of point sources or of extended sources. Each array has the shape (stamp,)."""

    x: FloatArray  #: offset to the West of the stamp's centre, arcsec
    y: FloatArray  #: offset to the North
    model: IntArray  #: number of the model in `Templates` (0 = point source)
    extent: FloatArray  #: core radius, interpolated between the models, arcsec
    counts: FloatArray  #: counts of the source on the whole sky (not only inside the cut radius)
    delta_c: FloatArray  #: C(no source) - C(best)

    @classmethod
    def empty(cls, size: int) -> Fit:
        """Return fits of `size` stamps in which all values are zero."""
        x, y, extent, counts, delta_c = np.zeros((5, size))
        return cls(x, y, np.zeros(size, np.int64), extent, counts, delta_c)

    def best(self) -> Fit:
        """Return the fit with the largest delta_c for each stamp. The arrays must have the shape (stamp, trial)."""
        best = np.argmax(self.delta_c, axis=1)
        return self[np.arange(len(best)), best]


@dataclass
class Chosen(Rows):
    """Fits of sources, each either as a point source or as an extended source. Each array has the shape (source,)."""

    fit: Fit
    det_like: FloatArray
    ext_like: FloatArray  #: 0 for a point source

    @classmethod
    def empty(cls, size: int) -> Chosen:
        """Return fits of `size` sources in which all values are zero."""
        return cls(Fit.empty(size), np.zeros(size), np.zeros(size))


@dataclass(frozen=True)
class Batch(Rows):
    """The pixels with counts in several stamps, (stamp, entry). Rows are padded with 0 counts and a background of 1."""

    counts: Floats
    background: Floats
    pixel: IdArray


def batches(
    stamps: CountImages, background: Float32Array, selected: IntArray, models: float
) -> Iterator[tuple[IntArray, Batch]]:
    """Yield batches of stamps, and the stamps' rows in `selected`. Stamps with few entries come first.

    `models` templates are fitted to each stamp at once. A batch is so small that the data fit into the cache.
    """
    # the last row is the padding
    counts, level = np.append(stamps.counts, np.float32(0.0)), np.append(background, np.float32(1.0))
    entries = Batch(counts, level, np.append(stamps.pixel, np.int32(0)))
    first, length = stamps.first[selected], np.diff(stamps.first)[selected]
    order = np.argsort(length, kind="stable")
    begin = 0
    while begin < len(order):
        # The longest stamp of a batch is its last: grow the batch while the padded array stays within the budget.
        longest = np.maximum(length[order[begin:]], 1)
        size = max(1, int(np.searchsorted(longest * np.arange(1, len(longest) + 1) * models, BUDGET)))
        rows = order[begin : begin + size]
        begin += size
        place = np.arange(longest[len(rows) - 1])
        yield rows, entries[np.where(place < length[rows, None], first[rows, None] + place, -1)]


def evaluate(batch: Batch, fit: Fit, templates: Templates, dx: FloatArray, dy: FloatArray, dmodel: IntArray) -> Fit:
    """Fit the amplitudes of trial sources, and return these fits, shape (stamp, trial).

    A trial source is the source in `fit`, displaced by `dx` and `dy` (arcsec), with `dmodel` added to the number of its
    model. `dx`, `dy` and `dmodel` have the shape (trial,) or (stamp, trial).
    """
    x, y = fit.x[:, None] + dx, fit.y[:, None] + dy
    most = len(templates.core_radius) - 1
    model = np.where(fit.model[:, None] > 0, np.clip(fit.model[:, None] + dmodel, 1, most), 0)
    pixel_x, pixel_y = templates.x[batch.pixel][:, :, None], templates.y[batch.pixel][:, :, None]
    radius = np.hypot(pixel_x - x.astype(np.float32)[:, None], pixel_y - y.astype(np.float32)[:, None])
    template = templates.value(model[:, None], radius).astype(batch.counts.dtype, copy=False)
    inside = templates.sum_inside(model, np.hypot(x, y))
    start = np.maximum(fit.counts, 1.0)[:, None]
    counts, delta_c = fit_amplitude(batch.counts, batch.background, template, inside, start, iterations=3)
    return Fit(x, y, model, templates.core_radius[model], counts.astype(np.float64), delta_c.astype(np.float64))


ASYMPTOTIC_FROM = 200.0  # gammaincc underflows near 700; from here five terms of the expansion are exact to 1e-12


def negative_log_q(dof: float, delta_c: Floats) -> FloatArray:
    """Return -ln Q(dof / 2, delta_c / 2), eSASS's likelihood for a drop `delta_c` of the C statistic, float64 >= 0.

    Q is the upper regularised incomplete gamma function. It is the probability that chi^2 with `dof` degrees of freedom
    exceeds `delta_c`. In ermldet, `dof` is 3 for a point source and 4 for an extended source. A negative `delta_c`
    counts as 0. The result is finite for a finite `delta_c`.
    """
    a = dof / 2.0
    x = np.maximum(np.asarray(delta_c, dtype=np.float64) / 2.0, 0.0)
    small, large = x < a, x > ASYMPTOTIC_FROM
    middle = np.where(large | small, a, x)
    result = np.asarray(-np.log(gammaincc(a, middle)))
    result[small] = -np.log1p(-gammainc(a, x[small]))
    far = x[large]  # Abramowitz & Stegun 6.5.32
    term = series = np.ones_like(far)
    for k in range(1, 6):
        term = term * (a - k) / far
        series = series + term
    result[large] = far - (a - 1.0) * np.log(far) + gammaln(a) - np.log(series)
    return np.maximum(result, 0.0)


def fit_amplitude(
    counts: Floats, background: Floats, template: Floats, template_sum: Floats, start: Floats, iterations: int
) -> tuple[Floats, Floats]:
    """Return the best amplitude a >= 0 of each template T, and the drop of the C statistic from a = 0.

    The amplitude minimises C = 2 sum(m - n ln m). The model is m = b + a T, n are the counts, and b is the background.

    Only pixels with counts contribute to the sum of n ln m. Therefore pixels without counts may be left out. Rows may
    be padded with zero counts and a positive background. The condition dC/da = 0 is

        G(a) = sum_i n_i T_i / (b_i + a T_i) = sum_i T_i.

    It is solved in the form 1/G(a) = 1/sum(T), because 1/G increases with a and is concave (linear if T / b is the same
    in all pixels). For this form, a step of Newton's method never ends above the solution, and a few steps suffice. For
    the form dC/da = 0, neither is true. A step is

        a <- max(a + G (G / sum(T) - 1) / sum(n T^2 / (b + a T)^2), 0).

    `counts` (stamp, pixel), `background` (stamp, pixel) and `template` (stamp, pixel, model) contain only the pixels
    with counts. `template_sum` (stamp, model) is the sum of each template over all pixels of the fit, with and without
    counts. `start` holds first guesses of a, with the shape (stamp, 1) or (stamp, model). The drop of C is C(0) - C(a).
    Amplitudes and drops are >= 0 and have the shape (stamp, model).
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

"""The key `stop` of a recipe: a training ends once the validation residuals are small (Ntampaka et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from clustermass.config.network_models import Stop


def has_converged(stop: Stop, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return for each network whether the residuals of its validation clusters meet all conditions of `stop`.

    `truth` is the true log10 M500c (cluster,), and `predicted` the prediction of each network (member, cluster). The
    slope is that of the least-squares line truth = slope * predicted + constant. If all predictions are equal, no such
    line exists, and the result is False.
    """
    residual = predicted - truth
    centred = predicted - predicted.mean(axis=1, keepdims=True)
    spread, together = (centred**2).sum(axis=1), (centred * (truth - truth.mean())).sum(axis=1)
    small = (np.abs(residual).max(axis=1) < stop["largest"]) & (np.abs(np.median(residual, axis=1)) < stop["median"])
    return np.asarray(small & (spread > 0) & (together > stop["slope"] * spread))

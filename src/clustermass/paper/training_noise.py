"""How much a network's scatter changes from one training to the next, where each experiment was trained a few times."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2

#: the family's typical noise counts as so many degrees of freedom beside an experiment's own
WEIGHT_OF_TYPICAL = 4.0


def typical_noise(scatters: Sequence[Sequence[float]]) -> float | None:
    """Relative standard deviation of a member's scatter that is typical of several experiments.

    Parameters
    ----------
    scatters
        Of each experiment the scatters of its members in dex; their means may differ.

    Returns
    -------
    float or None
        From the median of their variances, so that a few experiments with unstable trainings don't count for all; each
        variance is divided by the median of its distribution were the noise Gaussian. None where no experiment has
        two members.
    """
    found = [_variance(of) for of in scatters if len(of) > 1]
    if not found:
        return None
    return float(np.sqrt(np.median([variance * dof / chi2.median(dof) for variance, dof in found])))


def noise_of(scatters: Sequence[float], typical: float | None) -> float:
    """Relative standard deviation of the scatter of one experiment's members.

    Parameters
    ----------
    scatters
        Of its members, dex.
    typical
        Of `typical_noise`, of the experiments beside it; None = unknown.

    Returns
    -------
    float
        Its own variance and the typical one, weighted by their degrees of freedom (the moderated variance of Smyth
        2004, doi:10.2202/1544-6115.1027): two members alone say little of their own. 0 where nothing is known.
    """
    if typical is None:
        return 0.0
    variance, dof = _variance(scatters) if len(scatters) > 1 else (0.0, 0)
    return float(np.sqrt((dof * variance + WEIGHT_OF_TYPICAL * typical**2) / (dof + WEIGHT_OF_TYPICAL)))


def _variance(scatters: Sequence[float]) -> tuple[float, int]:
    """Variance of their logarithms, and its degrees of freedom."""
    return float(np.var(np.log(scatters), ddof=1)), len(scatters) - 1

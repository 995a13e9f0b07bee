"""How much each training cluster counts in the loss."""

import numpy as np

from clustermass.errors import InputError

WEIGHTINGS = ("none", "uniform_mass")
#: width of the bins of log10 M500c that are to count alike; their edges are its multiples
BIN_DEX = 0.1
#: no cluster counts for more than this many times what it would if all bins held equally many
LARGEST = 10.0


def training_weights(weighting: str, log10_m500c: np.ndarray) -> np.ndarray | None:
    """Weights (cluster,) of mean 1; None = all clusters count alike.

    Parameters
    ----------
    weighting
        ``none``, or ``uniform_mass``, see `uniform_mass_weights`.
    log10_m500c
        Of the training clusters, (cluster,).

    Raises
    ------
    InputError
        `weighting` is unknown.
    """
    if weighting not in WEIGHTINGS:
        raise InputError(f"weighting is {weighting!r}, but must be one of: {', '.join(WEIGHTINGS)}.")
    return uniform_mass_weights(log10_m500c) if weighting == "uniform_mass" else None


def uniform_mass_weights(log10_m500c: np.ndarray) -> np.ndarray:
    """Weights (cluster,) under which the masses are spread evenly over log10 M500c (Krippendorf et al. 2023, Fig. 8).

    A cluster's weight is one over the number of clusters in its bin of `BIN_DEX`, in units in which the mean is 1.
    Where a bin holds less than 1 / `LARGEST` of what bins hold on average, its clusters get `LARGEST` and the bin
    counts for less than the others, lest a lone cluster outweigh hundreds. Then all are divided by their mean.
    """
    _, row, number = np.unique(np.floor(log10_m500c / BIN_DEX), return_inverse=True, return_counts=True)
    weights = np.minimum(log10_m500c.size / (number.size * number), LARGEST)[row]
    return np.asarray(weights / weights.mean())

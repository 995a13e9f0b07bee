"""Published numbers in bins, for curves and distributions; made from the same tables as `published`."""

from typing import NamedTuple

import numpy as np

from clustermass.arrays import FloatArray


class Histogram(NamedTuple):
    """Numbers in bins: `edges` (bin + 1,) and `counts` (bin,)."""

    edges: FloatArray
    counts: FloatArray


class Running(NamedTuple):
    """Quantiles of one quantity in bins of another.

    Attributes
    ----------
    edges
        Of the bins, (bin + 1,); the last may be infinite.
    x
        Median of the binned quantity, (bin,).
    low, median, high
        16, 50 and 84 % quantile of the other one, (bin,).
    error
        Standard error of the median, (bin,).
    number
        Members of each bin, (bin,).
    """

    edges: FloatArray
    x: FloatArray
    low: FloatArray
    median: FloatArray
    high: FloatArray
    error: FloatArray
    number: FloatArray


def _running(edges: list[float], *rows: tuple[float, ...]) -> Running:
    return Running(np.array(edges), *np.array(rows).T)


#: redshifts of the 477 confirmed clusters
REDSHIFTS = Histogram(np.append(np.arange(11) / 10, 1.4), np.array([20.0, 67, 94, 113, 75, 41, 24, 17, 16, 4, 6]))
#: log10(M500c / Msun) of the 453 clusters with masses
MASSES = Histogram(
    np.linspace(13.0, 15.0, 21),
    np.array([0.0, 1, 1, 1, 3, 6, 19, 11, 40, 41, 63, 67, 66, 58, 31, 24, 10, 7, 4, 0]),
)
#: log10 ML_CTS of all 542 candidates
LOG_COUNTS = Histogram(np.linspace(1.4, 3.5, 15), np.array([1.0, 39, 92, 127, 87, 81, 46, 35, 9, 13, 4, 7, 0, 1]))

#: EXT_LIKE in bins of DET_LIKE, all 542 candidates
EXT_BY_DET = _running(
    [5, 20, 40, 80, 160, 400, np.inf],
    (16.83, 6.799, 9.431, 13.53, 0.68, 87),
    (28.22, 7.243, 10.98, 17.31, 0.36, 167),
    (54.03, 9.881, 17.15, 30.08, 1.2, 152),
    (103.8, 18.98, 33.55, 54.04, 2.1, 74),
    (252.3, 41.86, 77.49, 104.9, 9.3, 37),
    (688.6, 119.4, 197.1, 369.8, 29, 25),
)
#: EXT_LIKE in bins of ML_CTS, the 477 confirmed clusters
EXT_BY_COUNTS = _running(
    [0, 60, 100, 200, 400, np.inf],
    (50.95, 6.603, 7.681, 9.79, 0.2, 51),
    (81.19, 8.403, 11.9, 16.47, 0.37, 152),
    (139.8, 11.46, 22.24, 32.72, 1.2, 161),
    (273.0, 25.48, 45.83, 78.28, 2.6, 80),
    (734.3, 89.14, 175.1, 330.9, 19, 33),
)
#: ML_BKG / ML_EXP (counts/arcmin2/ks) in bins of ML_EXP (s), all 542 candidates
BACKGROUND_BY_EXPOSURE = _running(
    [0, 900, 1100, 1200, 1400, np.inf],
    (794.5, 5.815, 6.295, 7.122, 0.11, 57),
    (1050.0, 5.632, 5.992, 6.479, 0.044, 67),
    (1180.0, 5.538, 5.912, 6.636, 0.041, 288),
    (1291.0, 5.537, 6.123, 6.979, 0.093, 56),
    (1656.0, 5.58, 6.093, 6.783, 0.099, 74),
)
#: F_500kpc in erg/s/cm2 (0.5-2 keV) -> candidates above it; complete at bright fluxes only
CLUSTERS_ABOVE_FLUX = {2e-14: 445, 4e-14: 298, 1e-13: 112, 2e-13: 41, 4e-13: 17}

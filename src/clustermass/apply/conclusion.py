"""The last lines in the log of a mass catalogue: number of masses, number of flags, assumptions, warnings."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import binomtest

from clustermass.arrays import unit_vectors
from clustermass.ensemble.aggregate import RANGE_BITS
from clustermass.ensemble.out_of_distribution import FALSE_ALARMS
from clustermass.io.log import LOGGER

#: a warning is logged if the p-value of the number of flagged clusters is at most this for clusters as in training
UNUSUAL_P = 1e-3
#: a warning is logged if more than this share of the clusters is outside the training range of a quantity
_OUTSIDE_SHARE = 0.1
#: redshifts of two rows count as equal if they differ by at most this times 1 + z, or by three times their error
_SAME_REDSHIFT = 0.01
#: number of clusters whose neighbours are searched at once
_AT_ONCE = 10_000
#: largest number of pairs that are compared
_MOST_PAIRS = 10**7
#: largest number of clusters that one line of the log names
_NAMED = 10
#: a cause is likely if it can explain more than this share of the flagged clusters
_CAUSE_SHARE = 0.2
#: likely cause -> quantities that it makes unusual in a whole sample (values of OOD_WHY)
_CAUSES = {
    "the exposure ({exposure})": ("exposure", "core", "ring", "outskirts", "background", "mass"),
    "ML_RATE, EXT or ML_BKG from another software or energy band": ("rate", "extent", "background"),
    "energies or modules unlike those in training": ("core_soft", "core_hard", "outer_soft", "outer_hard"),
    "positions that aren't the clusters' centres": ("offset", "neighbour"),
}


def conclude(columns: Mapping[str, NDArray[Any]], covered_least: float) -> None:
    """Log the numbers of masses and of flags, the origin of the exposures, and warnings.

    `columns` are the columns of the mass catalogue, (cluster,) each. A cluster has no mass if the exposed share of its
    image is below `covered_least`.
    """
    massive = np.isfinite(columns["LOGM500"])
    _log_causes(columns, massive, covered_least)
    if missing := (columns["FLAG_NOCAT"] != 0).sum():
        text = "the catalogue lacks count rate, extent or background (ML_RATE, EXT, ML_BKG) of %d clusters; the "
        LOGGER.warning(text + "networks do without, with a wider sigma (FLAG_NOCAT)", missing)
    _log_flags(columns, massive)
    exposure = _counted(columns["EXP_FROM"][massive])
    LOGGER.info("exposure from: %s", exposure or "none")
    _warn_of_unlike(columns, massive, exposure)
    _warn_of_range(columns["FLAG_RANGE"][massive])
    split = split_clusters(columns)
    for one, other in split[:_NAMED]:
        text = "%s and %s are less than R500 apart at one redshift: one cluster split in two? Keep one row"
        LOGGER.warning(text, *columns["NAME"][[one, other]])
    if len(split) > _NAMED:
        LOGGER.warning("%d further pairs are less than R500 apart at one redshift", len(split) - _NAMED)


def _log_causes(columns: Mapping[str, NDArray[Any]], massive: NDArray[np.bool_], covered_least: float) -> None:
    no_redshift = columns["FLAG_NOZ"] != 0
    no_exposure = ~no_redshift & ~(columns["EXPOSURE"] > 0)
    edge = ~no_redshift & ~no_exposure & (columns["COVERED_FRACTION"] < covered_least)
    text = "%d clusters, %d without a mass: no redshift %d, no exposure %d, field's edge %d"
    LOGGER.info(text, massive.size, (~massive).sum(), no_redshift.sum(), no_exposure.sum(), edge.sum())
    little = f"less than {100 * covered_least:.0f} % of the image is exposed (FLAG_EDGE)"
    for why, rows in (("no exposure is known at the position", no_exposure), (little, edge)):
        if rows.any():
            text = "no mass for %d of %d clusters with a redshift, because %s: %s"
            LOGGER.warning(text, rows.sum(), (~no_redshift).sum(), why, _names(columns, rows))


def _log_flags(columns: Mapping[str, NDArray[Any]], massive: NDArray[np.bool_]) -> None:
    flags = {name: columns[name][massive] != 0 for name in ("FLAG_OOD", "FLAG_RANGE", "FLAG_EDGE", "FLAG_NOCAT")}
    number = np.sum([*flags.values()], axis=0)  # of each cluster
    several = f" ({(number > 1).sum()} with several)" if (number > 1).any() else ""
    listed = [f"{name} {flag.sum()}" for name, flag in flags.items()]
    listed[0] += f" ({FALSE_ALARMS * massive.sum():.1f} expected by chance)"
    text = "%d with a mass: %d without a flag (GOOD), %d with a flag%s: %s"
    LOGGER.info(text, massive.sum(), (number == 0).sum(), (number > 0).sum(), several, ", ".join(listed))


def _warn_of_unlike(columns: Mapping[str, NDArray[Any]], massive: NDArray[np.bool_], exposure: str) -> None:
    """Log a warning with likely causes if more clusters have FLAG_OOD than chance explains (p-value <= `UNUSUAL_P`)."""
    unlike = massive & (columns["FLAG_OOD"] != 0)
    number, total = int(unlike.sum()), int(massive.sum())
    if not number or (chance := binomtest(number, total, FALSE_ALARMS, "greater").pvalue) > UNUSUAL_P:
        return
    why = Counter(columns["OOD_WHY"][unlike].tolist())
    found = [cause for cause, names in _CAUSES.items() if sum(why[name] for name in names) > _CAUSE_SHARE * number]
    likely = "".join(f"{cause}; " for cause in found).format(exposure=exposure)
    LOGGER.warning(
        "%d of %d clusters are unlike the training clusters, where %.1f are expected (chance %.0e): all masses of the "
        "field are in doubt. What stands out: %s. Likely causes: %sevents selected otherwise than in training",
        number, total, FALSE_ALARMS * total, chance, _counted(columns["OOD_WHY"][unlike]), likely,
    )  # fmt: skip


def _warn_of_range(bits: NDArray[Any]) -> None:
    outside = {name: int((bits & bit != 0).sum()) for bit, name in RANGE_BITS.items()}
    many = [f"{name} {number}" for name, number in outside.items() if number > max(_OUTSIDE_SHARE * bits.size, 1)]
    if many:
        text = "outside the range of the training clusters, of %d: %s. Their masses are extrapolated; check the units, "
        LOGGER.warning(text + "or train on a sky like yours", bits.size, ", ".join(many))


def split_clusters(columns: Mapping[str, NDArray[Any]]) -> list[tuple[int, int]]:
    """Return the pairs of rows that may describe the same cluster.

    In such a pair, the distance on the sky is below the larger R500. The redshifts agree within `_SAME_REDSHIFT` times
    1 + z, or within three standard errors. Only rows with masses are compared. If too many pairs are so near, a warning
    is logged, and no pair is returned.
    """
    rows = np.flatnonzero(np.isfinite(columns["LOGM500"]))
    if rows.size < 2:
        return []
    z, error = (columns[name][rows].astype(float) for name in ("Z", "Z_ERR"))
    radius = np.radians(columns["R500C_ARCMIN"][rows] / 60)
    place = unit_vectors(columns["RA"][rows], columns["DEC"][rows])
    tree, reach = cKDTree(place), 2 * np.sin(radius / 2)
    if (number := tree.query_ball_point(place, reach, return_length=True).sum()) > _MOST_PAIRS:
        LOGGER.warning(
            "%d pairs of clusters are less than R500 apart: too many to look for clusters split in two", number
        )
        return []
    pairs: set[tuple[int, int]] = set()
    for start in range(0, rows.size, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        near = tree.query_ball_point(place[some], reach[some])
        one = start + np.repeat(np.arange(near.size), [*map(len, near)])
        other = np.concatenate([*near]).astype(int)
        apart = 2 * np.arcsin(np.linalg.norm(place[one] - place[other], axis=1) / 2)
        errors = np.hypot(np.nan_to_num(error[one]), np.nan_to_num(error[other]))
        same = np.abs(z[one] - z[other]) <= np.maximum(_SAME_REDSHIFT * (1 + z[np.minimum(one, other)]), 3 * errors)
        found = (one != other) & (apart < radius[one]) & same
        one, other = rows[one[found]], rows[other[found]]
        pairs.update(zip(np.minimum(one, other).tolist(), np.maximum(one, other).tolist(), strict=True))
    return sorted(pairs)


def _counted(words: NDArray[Any]) -> str:
    return ", ".join(f"{word} {number}" for word, number in Counter(words.tolist()).most_common())


def _names(columns: Mapping[str, NDArray[Any]], rows: NDArray[np.bool_]) -> str:
    names = columns["NAME"][rows].tolist()
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")

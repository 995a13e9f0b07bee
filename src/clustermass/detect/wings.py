"""Find the brightest clusters of a facet and measure their profiles, whose outskirts beta models don't describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.detect.background import truncated_rate
from clustermass.detect.facet_image import FacetImage
from clustermass.detect.maximum_likelihood import Chosen
from clustermass.detect.stamps import Templates

RINGS_ARCSEC = np.concatenate([np.arange(0.0, 60.0, 15.0), np.geomspace(60.0, 900.0, 20)])  # edges
SECTORS = 8
BRIGHT_COUNTS = 400.0  # counts from which a cluster is bright
BRIGHT_EXT_LIKE, BRIGHT_EXTENT = 20.0, 15.0  # least likelihood, and core radius in arcsec, of a bright cluster
FAINTEST = 0.05  # of the background: the profile ends where it is fainter
EXPLAINED = 0.15  # part of a source's counts from which it belongs to the profile of a brighter cluster


@dataclass(frozen=True)
class Wing:
    """The profile of a bright cluster around its centre in the plane, in arcsec."""

    x: float
    y: float
    rate: float  #: background around the cluster, counts / (arcmin^2 s)
    radius: FloatArray
    counts: FloatArray  #: in a pixel at this radius

    def at(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> FloatArray:
        """Return the expected counts in pixels at places in the plane."""
        return np.interp(np.hypot(x - self.x, y - self.y), self.radius, self.counts, right=0.0)


def bright_clusters(
    image: FacetImage, x: FloatArray, y: FloatArray, fits: Chosen, templates: Templates
) -> tuple[list[int], list[Wing]]:
    """Return the numbers of bright clusters among fitted sources at places in the plane, and their profiles.

    The sources are examined in the order of decreasing EXT_LIKE. A source is left out if the profiles of earlier bright
    clusters explain a part EXPLAINED of its counts or more.
    """
    bright = (fits.fit.counts >= BRIGHT_COUNTS) & (fits.fit.extent >= BRIGHT_EXTENT)
    bright &= fits.ext_like >= BRIGHT_EXT_LIKE
    inside = fits.fit.counts * templates.inside[fits.fit.model, 0]
    chosen: list[int] = []
    wings: list[Wing] = []
    for number in np.flatnonzero(bright)[np.argsort(-fits.ext_like[bright])].tolist():
        known = sum(wing.at(x[number] + templates.x, y[number] + templates.y).sum() for wing in wings)
        if known < EXPLAINED * inside[number]:
            chosen.append(number)
            wings.append(measure(image, float(x[number]), float(y[number]), wings))
    return chosen, wings


def measure(image: FacetImage, x: float, y: float, known: Sequence[Wing]) -> Wing:
    """Return the profile of the cluster at a place in the plane, without the counts of the `known` profiles of others.

    The counts are measured in rings around the place. Sectors of a ring with too many counts are left out, because they
    hold other sources. Where the profile would rise outwards, it is set to its smallest value further in.
    """
    cell = image.cells(np.array(x), np.array(y))
    rate = float(image.calm[cell])
    level = rate * float(image.exposure[cell]) * (image.pixel_arcsec / 60.0) ** 2
    counts, pixels = image.rings(x, y, RINGS_ARCSEC, SECTORS)
    radius = np.sqrt((RINGS_ARCSEC[1:] ** 2 + RINGS_ARCSEC[:-1] ** 2) / 2.0)
    profile = truncated_rate(counts, pixels, image.parameters["background_clip_sigma"]) - level
    angle = np.arange(SECTORS) * (2.0 * np.pi / SECTORS)
    places = x + radius[:, None] * np.cos(angle), y + radius[:, None] * np.sin(angle)
    for wing in known:
        profile -= np.median(wing.at(*places), axis=1)
    profile = np.minimum.accumulate(np.maximum(profile, 0.0))
    last = int(np.searchsorted(-profile, -FAINTEST * level))
    return Wing(x, y, rate, radius[: last + 1], np.append(profile[:last], 0.0)[: len(radius)])

"""Which photons and which measurements an ensemble's mass of a cluster follows from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clustermass.dataset.standardise import ordered
from clustermass.network.attribution import attribute
from clustermass.network.predict import TrainedNetwork, use_device

if TYPE_CHECKING:
    from clustermass.arrays import BoolArray, FloatArray
    from clustermass.ensemble.ensemble import Ensemble

#: what is measured of a cluster, by side input
INPUTS = {
    **dict.fromkeys(("z", "log_z"), "redshift"),
    "log_exposure": "exposure",
    "log_nh": "column density of hydrogen",
    "log_rate": "count rate in the catalogue",
    "log_extent": "extent in the catalogue",
    "log_background": "background in the catalogue",
}
#: pixels farther out than this share of the farthest pixel that the networks see are taken as background
_OUTER = 0.75


class Explanation(NamedTuple):
    """The ensemble's log10(M500c / Msun) of a cluster as a sum of shares: `mass` = `blank` + `side` + `image` + `rest`.

    `blank` is the mass for an image of background alone, and for measurements that are the means of the training
    clusters.
    """

    mass: float
    blank: float
    side: dict[str, float]  #: shares of the measurements in dex, by their names in words
    image: FloatArray  #: share of each pixel in dex, (band, y, x)
    rest: float  #: error of the integrals

    def rings(self, radius: FloatArray, edges: FloatArray) -> FloatArray:
        """Return the shares of rings in dex, (ring,), given the pixels' distances (y, x) from the cluster.

        `edges` are the radii between the rings, (ring + 1,); the outermost must be beyond all pixels.
        """
        ring = np.digitize(radius.ravel(), edges) - 1
        return np.bincount(ring, self.image.sum(axis=0).ravel(), len(edges) - 1).astype(float)


def explain(
    ensemble: Ensemble, image: np.ndarray, redshift: float, measurements: Mapping[str, float], seen: BoolArray
) -> Explanation:
    """Return the shares of a cluster's photons and measurements in its mass, by `network.attribution.attribute`.

    `image` (band, y, x) is preprocessed like the training images, and `seen` (y, x) says which pixels the networks see.
    In the blank image, all pixels of a band have the mean of this image's outer pixels. `measurements` maps names to
    numbers; see `clustermass.dataset.standardise.side_inputs`. The shares are means over the ensemble's networks.
    """
    use_device("cpu")
    cube = image.transpose(1, 2, 0)
    blank = np.broadcast_to(cube[outer(seen)].mean(axis=0), cube.shape) * seen[:, :, None]
    networks = [TrainedNetwork.load(path) for path in ensemble.weights]
    found = [attribute(network, cube, blank, redshift, measurements) for network in networks]
    mass, base = (float(np.mean([getattr(one, name) for one in found])) for name in ("mass", "blank"))
    shares, columns = (np.mean([getattr(one, name) for one in found], axis=0) for name in ("image", "side"))
    needed, measured = ordered(networks[0].standardisation.side_names)
    side: dict[str, float] = {}
    for name, share in zip((*needed, *measured), columns.tolist(), strict=True):
        side[INPUTS[name]] = side.get(INPUTS[name], 0.0) + share
    rest = mass - base - sum(side.values()) - float(shares.sum())
    return Explanation(mass, base, side, shares.transpose(2, 0, 1), rest)


def outer(seen: BoolArray) -> BoolArray:
    """Return which pixels (y, x) of an image are far from its centre, among those that the networks see."""
    y, x = (np.arange(size) - (size - 1) / 2 for size in seen.shape)
    radius = np.hypot(y[:, None], x)
    return seen & (radius >= _OUTER * radius[seen].max())

"""Where a network would add photons to make a cluster more massive: DeepDream (Ntampaka et al. 2019, sec. 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clustermass.errors import InputError
from clustermass.network.attribution import mass_slope

if TYPE_CHECKING:
    from clustermass.arrays import FloatArray
    from clustermass.network.predict import TrainedNetwork


class Dream(NamedTuple):
    """Images of one cluster after 0, 1, 2, ... iterations, and the masses that the network predicts for them."""

    images: FloatArray  #: counts, whole numbers, (iteration + 1, y, x, band)
    masses: FloatArray  #: log10(M500c / Msun), (iteration + 1,)

    def added(self, radius: FloatArray, edges: FloatArray) -> FloatArray:
        """Return the photons that each iteration has added so far, as a share of the cluster's, (iteration, ring).

        This is Delta N / N of Ntampaka et al. (2019). N is the number of photons in the whole original image, so that
        the sum over all rings is the share that is added. `radius` (y, x) holds the pixels' distances from the cluster,
        such as in units of R500c, and `edges` (ring + 1,) the radii between the rings, in the same unit. Pixels beyond
        the edges aren't counted. InputError if the original image holds no photon.
        """
        total = self.images[0].sum()
        if not total > 0:
            raise InputError("DeepDream: the image holds no photon, so shares of its photons aren't defined.")
        change = (self.images[1:] - self.images[0]).sum(axis=-1).reshape(len(self.images) - 1, -1)
        rings = [np.histogram(radius.ravel(), edges, weights=one)[0] for one in change]
        return np.asarray(rings, dtype=float).reshape(len(change), len(edges) - 1) / total


def deep_dream(
    network: TrainedNetwork,
    counts: np.ndarray,
    redshift: float,
    measurements: Mapping[str, float],
    iterations: int = 2,
    step_dex: float = 0.1,
) -> Dream:
    """Return the images of a cluster to which a network adds photons until the cluster is more massive.

    In each iteration, the gradient of the predicted log10 M500c by the image is added to the image. Negative pixels
    then become 0, and all pixels are rounded to whole numbers (Ntampaka et al. 2019). The paper doesn't state the size
    of a step. Here, the gradient is multiplied by the factor with which the mass would grow by `step_dex` if the
    network were linear, and if pixels were neither cut off nor rounded.

    `counts` (y, x, band) is the network's input image, which must consist of counts: a `preprocessing` without
    smoothing and with the transform none. `redshift` and `measurements` are those of the cluster (see
    `clustermass.dataset.standardise.side_inputs`); they don't change. InputError if pixels are negative or not finite,
    or if the mass doesn't depend on the image.
    """
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise InputError("DeepDream: pixels are negative or not finite. Give an image of counts, without a transform.")
    images = [np.asarray(counts, dtype=float)]
    mass, slope = mass_slope(network, images[0], redshift, measurements)
    masses = [mass]
    for number in range(iterations):
        steepness = float((slope**2).sum())
        if not steepness > 0:
            raise InputError(f"DeepDream: after {number} iterations, the mass doesn't depend on the image any more.")
        images.append(np.rint(np.maximum(images[-1] + step_dex / steepness * slope, 0.0)))
        mass, slope = mass_slope(network, images[-1], redshift, measurements)
        masses.append(mass)
    return Dream(np.stack(images), np.array(masses))

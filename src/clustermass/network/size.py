"""How large a network is, by its configuration alone."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from clustermass.dataset.standardise import widths
from clustermass.network.losses import kind_of

#: side of the kernels of `cnn.MassNetwork`
KERNEL = 3


def number_of_parameters(
    network: Mapping[str, Any], shape: tuple[int, int, int], recipe: Mapping[str, Any] | None = None
) -> int:
    """Weights and biases of a `cnn.MassNetwork`, without building it (which needs JAX).

    Parameters
    ----------
    network
        A network's block of the configuration: `channels`, `dense`, `side_inputs`.
    shape
        (y, x, band) of an image.
    recipe
        That it is trained with: its loss says how many outputs there are.
    """
    ny, nx, bands = shape
    channels, shrink = list(network["channels"]), 2 ** len(network["channels"])
    features = (ny // shrink) * (nx // shrink) * channels[-1] + sum(widths(network["side_inputs"]))
    convolutions = sum((KERNEL**2 * inner + 1) * outer for inner, outer in pairwise([bands, *channels]))
    dense = [features, *network["dense"], kind_of(recipe or {}).outputs]
    return convolutions + sum((inner + 1) * outer for inner, outer in pairwise(dense))

"""Random numbers of a realization: one stream a component, so that a change of one leaves the others' draws alone."""

import zlib

import numpy as np

from clustermass.errors import InputError

#: number of each component's stream
STREAMS = {
    name: number
    for number, name in enumerate(
        ["haloes", "gas", "agn", "cluster_photons", "agn_photons", "background", "events", "detection", "redshifts"]
    )
}


def random_streams(seed: int, name: str, realization: str) -> dict[str, np.random.Generator]:
    """Return the random generator of each component of a realization.

    Parameters
    ----------
    seed
        Root of all random numbers.
    name
        Name of the sky.
    realization
        Label of the realization, digits such as "01".

    Raises
    ------
    InputError
        `realization` isn't made of digits.
    """
    if not realization.isdigit():
        raise InputError(f"realization {realization!r} of sky {name!r}: must be digits, such as 01.")
    root = [seed, zlib.crc32(name.encode()), zlib.crc32(realization.encode())]
    return {part: np.random.default_rng([*root, number]) for part, number in STREAMS.items()}

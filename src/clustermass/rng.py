"""Random numbers named by their purpose, so that no draw depends on the order of the calls."""

import zlib

import numpy as np

from clustermass.errors import InputError

#: components of a realization, each with a stream of its own: a change of one leaves the others' draws alone
STREAMS = ("haloes", "gas", "agn", "cluster_photons", "agn_photons", "background", "events", "detection", "redshifts")


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on the seed and on the names of its purpose alone."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def random_streams(seed: int, name: str, realization: str) -> dict[str, np.random.Generator]:
    """Return the generator of each of `STREAMS` for a realization of the sky `name`.

    InputError if `realization` isn't made of digits such as "01".
    """
    if not realization.isdigit():
        raise InputError(f"realization {realization!r} of sky {name!r}: must be digits, such as 01.")
    root = [seed, zlib.crc32(name.encode()), zlib.crc32(realization.encode())]
    return {part: np.random.default_rng([*root, number]) for number, part in enumerate(STREAMS)}

"""Random numbers named by their purpose, so that no draw depends on the order of the calls."""

import zlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on the seed and on the names of its purpose alone."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])

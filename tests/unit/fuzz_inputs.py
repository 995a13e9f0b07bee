"""Damage to files: what Hypothesis draws for the fuzz tests, and a clock that ends a hang.

There are about 240 cases; `make campaign` tries ten times this number (CLUSTERMASS_FUZZ_CASES). The cases are the same
in each run, unless CLUSTERMASS_FUZZ_SEED is set.
"""

import faulthandler
import os
import resource
import signal
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from clustermass.errors import InputError

#: cases of all campaigns together; `make campaign` asks for more
CASES = int(os.environ.get("CLUSTERMASS_FUZZ_CASES", "240"))
#: draws other cases than those that come up each time
SEED = os.environ.get("CLUSTERMASS_FUZZ_SEED")
TIME_LIMIT_S = 30.0
#: a small file that takes more memory than this was believed on its size
MEMORY_LIMIT_BYTES = 1 << 30


class Hang(BaseException):
    """No reader catches this."""


class Damage(NamedTuple):
    """A change of the bytes of a file: kind, place (as a share of the file or of its beginning), and new bytes."""

    kind: str
    place: float
    value: int

    def apply(self, content: bytes) -> bytes:
        """Return the damaged bytes, which differ from `content`."""
        reach = min(len(content), 6000) if self.kind == "flip_head" else len(content)
        place = min(int(self.place * reach), len(content) - 1)
        if self.kind == "cut":
            return content[:place]
        if self.kind in ("flip", "flip_head"):
            return content[:place] + bytes([content[place] ^ (1 << self.value % 8)]) + content[place + 1 :]
        if self.kind == "overwrite":
            length = min(1 + self.value % 64, len(content) - place)
            return content[:place] + bytes([255 * (self.value % 2)]) * length + content[place + length :]
        if self.kind == "delete":
            return content[:place] + content[place + 1 + self.value % 5000 :]
        if self.kind == "double":
            return content[:place] + content[max(0, place - 1 - self.value % 3000) :]
        raise ValueError(self.kind)


def damages():
    """Return a strategy for damages of all kinds. Most are flipped bits, half of them near the beginning (the headers).

    Hypothesis draws only a seed, because its own choice of numbers would damage the same few places.
    """
    return st.integers(0, 2**32 - 1).map(_damage)


def _damage(drawn):
    rng = np.random.default_rng(drawn)
    kinds = ["cut", "flip", "flip", "flip_head", "flip_head", "overwrite", "delete", "double"]
    return Damage(str(rng.choice(kinds)), float(rng.random()), int(rng.integers(2**16)))


def campaign(share, strategy, case):
    """Run `case` for `share` of all cases, each within the time limit; the cases depend only on `SEED`."""

    @settings(
        max_examples=max(1, int(CASES * share)),
        deadline=None,
        derandomize=SEED is None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(drawn):
        with limited():
            case(drawn)

    (each if SEED is None else seed(int(SEED))(each))()


@contextmanager
def limited():
    """Raise `Hang` if the block takes longer than `TIME_LIMIT_S`; end the process if a library never returns from it.

    AssertionError if it takes more than `MEMORY_LIMIT_BYTES`.
    """

    def ring(signum, frame):
        raise Hang(f"longer than {TIME_LIMIT_S:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT_S)
    faulthandler.dump_traceback_later(2 * TIME_LIMIT_S, exit=True)
    highest = _highest_memory()
    try:
        yield
        assert _highest_memory() - highest < MEMORY_LIMIT_BYTES
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _highest_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


RA, DEC = 136.0, 1.5


def tried(path, content, read, *others):
    """Let `read` read the damaged file; return its result, or None if its message refuses it, or `others`, by name."""
    path.write_bytes(content)
    before = sorted(path.parent.iterdir())
    try:
        return read(path)
    except InputError as error:
        assert any(one.name in str(error) for one in (path, *others))
        assert "\n" not in str(error)
        return None
    finally:
        assert sorted(path.parent.iterdir()) == before


def galactic_projection(centre, pixel_deg, size):
    """Return a tangential projection in Galactic coordinates, for images of `size` pixels about an RA and Dec."""
    middle, wcs = SkyCoord(*centre, unit="deg").galactic, WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["GLON-TAN", "GLAT-TAN"], [middle.l.deg, middle.b.deg]
    wcs.wcs.cdelt, wcs.wcs.crpix = [-pixel_deg, pixel_deg], [size / 2 + 0.5] * 2
    return wcs


def check_events(events):
    columns = events.columns()
    assert {column.shape[0] for column in columns.values()} == {len(events)}
    assert len(events) > 0
    for name, low, high in (("ra", 0, 360), ("dec", -90, 90), ("pi_ev", 0, 1e6), ("time", -1e12, 1e12)):
        assert np.all((columns[name] >= low) & (columns[name] <= high)), name
    assert all(np.isfinite(intervals).all() for intervals in events.gti.values())


def catalogue_table():
    rng = np.random.default_rng(5)
    number = 12
    columns = {"ID_SRC": np.arange(1, number + 1), "RA": RA + rng.random(number), "DEC": DEC + rng.random(number)}
    columns |= {"Z": rng.uniform(0.1, 0.9, number), "DET_LIKE": rng.uniform(6, 90, number)}
    columns |= {"EXT_LIKE": rng.uniform(6, 90, number), "ML_RATE": rng.uniform(0.01, 1, number)}
    return Table(columns)

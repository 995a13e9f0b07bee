"""What a damaged file may come to: a result that can be right, or a message that names the file."""

import numpy as np
from astropy.table import Table

from clustermass.errors import InputError

RA, DEC = 136.0, 1.5


def tried(path, content, read):
    """Give `read` the damaged file: its result, or None where it refuses with a message that names the file."""
    path.write_bytes(content)
    before = sorted(path.parent.iterdir())
    try:
        return read(path)
    except InputError as error:
        assert path.name in str(error)
        return None
    finally:
        assert sorted(path.parent.iterdir()) == before


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

"""Small catalogues of a user's own, as CSV and as FITS."""

from pathlib import Path

import numpy as np
from astropy.table import Table

HEADER = "ID_SRC,RA,DEC,DET_LIKE,EXT_LIKE,Z,Z_ERR"
ROWS = ["7,133.1,1.5,30,12,0.3,0.01", "9,359.9,-2.5,6,8,0.5,0", "4,0.0,90,50,7,0.1,0.02"]


def csv(folder: Path, rows=ROWS, header=HEADER, name="mine.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def fits_table(path: Path, number=2000, **columns) -> Path:
    content = {
        "ID_SRC": np.arange(number),
        "RA": np.linspace(0, 359, number),
        "DEC": np.linspace(-60, 60, number),
        "z": np.full(number, 0.4),
    } | columns
    Table(content).write(path, overwrite=True)
    return path

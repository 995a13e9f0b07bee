"""The clusters of a mass catalogue as a region file of SAOImage DS9."""

from pathlib import Path

import numpy as np

from clustermass.apply.catalogue import Columns
from clustermass.io.files import atomic

#: flag -> colour of a cluster's circle; of several flags the first one gives the colour
COLOURS = {"FLAG_OOD": "red", "FLAG_RANGE": "magenta", "FLAG_EDGE": "cyan", "FLAG_NOCAT": "yellow"}
GOOD, WITHOUT_MASS = "green", "white"


def write_regions(columns: Columns, path: Path) -> None:
    """Write one region for each cluster: a circle with the radius R500c, or a cross if the cluster has no mass.

    `columns` are the columns of `clustermass.io.products.MASSES`, each (cluster,). The colour of a circle shows the
    cluster's flag (see `COLOURS`). The text of a region is the cluster's NAME. The tags of a region are the cluster's
    flags (or GOOD, or NO_MASS), so that DS9 can select groups of regions.
    """
    meaning = ", ".join(f"{colour}: {flag}" for flag, colour in COLOURS.items())
    lines = [
        "# Region file format: DS9 version 4.1",
        f"# circles of R500c; {GOOD}: GOOD, {meaning}; {WITHOUT_MASS} crosses: no mass",
        f"global color={GOOD} width=1",
        "icrs",
        *(_region(columns, row) for row in range(columns["RA"].size)),
    ]
    with atomic(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _region(columns: Columns, row: int) -> str:
    place = f"{columns['RA'][row]:.6f},{columns['DEC'][row]:.6f}"
    name = str(columns["NAME"][row]).translate(str.maketrans("{}", "()"))  # braces end a text
    if not np.isfinite(columns["LOGM500"][row]):
        return f"point({place}) # point=cross color={WITHOUT_MASS} text={{{name}}} tag={{NO_MASS}}"
    flags = [flag for flag in COLOURS if columns[flag][row]]
    colour, tags = (COLOURS[flags[0]], flags) if flags else (GOOD, ["GOOD"])
    tagged = " ".join(f"tag={{{tag}}}" for tag in tags)
    return f'circle({place},{60 * columns["R500C_ARCMIN"][row]:.2f}") # color={colour} text={{{name}}} {tagged}'

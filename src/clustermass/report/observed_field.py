"""What `make results` and the report say about an observed field: its masses, and its most unusual clusters."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from clustermass.catalogues.tables import CheckedTable
from clustermass.io.files import reading
from clustermass.io.fits import opened_fits, table_of

_FLAGS = ("FLAG_RANGE", "FLAG_OOD", "FLAG_EDGE", "FLAG_NOCAT")
#: the data in the page of a field (`clustermass.cards.page`), and the part of a note that explains FLAG_OOD
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
_CAUSE = re.compile(r"\(FLAG_OOD\).*?(Possible causes?: .*)", re.DOTALL)
#: number of unusual clusters that the report names
_STRANGEST = 5


def masses_in_words(masses: Path) -> str:
    """Return a text on how many clusters of a mass catalogue (.fits) have a mass, and why the others have none.

    InputError if the catalogue is damaged.
    """
    with reading(masses, "mass catalogue"), opened_fits(masses) as hdus:
        table = CheckedTable(table_of(hdus[1], masses), masses)
        massive = np.isfinite(table.numbers("LOGM500"))
        flagged = massive & np.any([table.numbers(name) != 0 for name in _FLAGS], axis=0)
        no_redshift = ~massive & (table.numbers("FLAG_NOZ") != 0)
        no_exposure = ~massive & ~no_redshift & ~(table.numbers("EXPOSURE") > 0)
    edge = ~massive & ~no_redshift & ~no_exposure
    causes = {"no redshift": no_redshift, "no known exposure": no_exposure, "at the edge of the field": edge}
    why = ", ".join(f"{cause}: {rows.sum()}" for cause, rows in causes.items() if rows.any())
    others = f", {(~massive).sum()} have none ({why})" if why else ""
    return f"{massive.sum()} of {massive.size} clusters have a mass{others}; {flagged.sum()} of the masses have a flag"


def strangest_of_page(page: Path) -> list[tuple[str, str]]:
    """Return names of a field's most unusual clusters with FLAG_OOD, and texts with the possible cause and the symptom.

    The most unusual cluster comes first. `page` is the field's `clusters.html`. InputError if it is damaged.
    """
    with reading(page, "page of a field"):
        found = _DATA.search(page.read_text(encoding="utf-8"))
        clusters = json.loads(found[1])["clusters"] if found else []
        flagged = sorted((one for one in clusters if one["columns"]["FLAG_OOD"]), key=_rarity)
        notes = [(one["columns"]["NAME"], " ".join(text for _, text in one["notes"])) for one in flagged[:_STRANGEST]]
        return [(name, _cause(text)) for name, text in notes]


def _rarity(cluster: dict[str, Any]) -> tuple[float, float]:
    """Return OOD_P, and of equal ones the largest distance, as a key that sorts the most unusual cluster first."""
    distances = [abs(given) for _, given, _ in cluster["distances"][:1]]
    return cluster["columns"]["OOD_P"], -sum(distances)


def _cause(text: str) -> str:
    found = _CAUSE.search(text)
    return re.split(r"(?<=imply\.) ", found[1])[0] if found else text

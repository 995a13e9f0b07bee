"""The page of a field, `clusters.html`: a single file with a map, a table and a card of each cluster."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from clustermass.apply.card_data import MOST_CLUSTERS
from clustermass.cards.field import FieldCards
from clustermass.cards.image import pictures, png
from clustermass.cards.words import mass_in_words, notes, own_names
from clustermass.ensemble.ood_quantities import QUANTITIES
from clustermass.io.files import atomic
from clustermass.io.log import LOGGER
from clustermass.io.products import MASSES
from clustermass.io.provenance import provenance

#: parts of the page, which are joined in the order of their names
WEB = Path(__file__).parent / "web"
#: points and largest ordinate of a posterior's curve
_POINTS, _TOP = 81, 999
#: column -> decimals of its numbers on the page; other numbers are rounded to four significant digits
_DECIMALS = {"RA": 5, "DEC": 5, "Z": 4, "Z_ERR": 4} | {one.name: 3 for one in MASSES if one.name.startswith("LOGM500")}


def write_page(masses: Path, output: Path, cards: Path | None = None) -> None:
    """Write the page of a field to `output`.

    `masses` is the field's mass catalogue, and `cards` is the file with the data of the cards. If `cards` is None, the
    file beside `masses` is used. InputError if a file is missing or damaged.
    """
    field = FieldCards.read(masses, cards)
    made_by = provenance("write_page", {}, [masses, cards] if cards else [masses])
    text = page(content(field) | {"provenance": made_by})
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    LOGGER.info("%s: %d clusters, %.1f MB", output, len(field), len(text) / 1e6)


def page(data: dict[str, Any]) -> str:
    """Return the HTML text of the page that shows `data`.

    A security policy in the page forbids browsers to load anything from elsewhere, and to use scripts and styles that
    aren't the page's own.
    """
    style = "".join(path.read_text(encoding="utf-8") for path in sorted(WEB.glob("*.css")))
    script = "".join(path.read_text(encoding="utf-8") for path in sorted(WEB.glob("*.js")))
    # "<" can't occur in the text, so that nothing in a name can end the element
    embedded = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    policy = f"default-src 'none'; img-src data:; script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    whole = (WEB / "page.html").read_text(encoding="utf-8")
    for mark, part in {"POLICY": policy, "STYLE": style, "SCRIPT": script, "DATA": embedded}.items():
        before, _, after = whole.partition(f"@{mark}@")
        whole = before + part + after
    return whole


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def content(field: FieldCards) -> dict[str, Any]:
    """Return the content of the page as JSON values: numbers and texts about the field, and a dict for each cluster.

    If a field has more than `MOST_CLUSTERS` clusters, only the clusters with the largest DET_LIKE are shown.
    """
    shown = np.sort(np.argsort(-np.nan_to_num(field.columns["DET_LIKE"]), kind="stable")[:MOST_CLUSTERS])
    images = pictures(field.data["colour_counts"], field.data["exposed"], field.pixel_arcsec, shown)
    return {
        "simulated": field.simulated,
        "half": field.half_arcsec,
        "circle": field.circle,
        "bands": np.round(field.data["colour_bounds"], 3).tolist(),
        "about": {one.name: one.description for one in MASSES if one.name in field.columns},
        "ensemble": {key: field.header.get(key) for key in ("ENSHASH", "NMEMBER", "NTRAIN", "H0", "OMEGA_M")},
        "left_out": len(field) - shown.size,
        "clusters": [_cluster(field, int(row), image) for row, image in zip(shown, images, strict=True)],
    }


def _cluster(field: FieldCards, row: int, image: Any) -> dict[str, Any]:
    return {
        "columns": {name: _plain(name, value) for name, value in field.row(row).items()},
        "own": own_names(field, row),
        "mass": mass_in_words(field, row),
        "notes": [[note.warns, note.text] for note in notes(field, row)],
        "seen": _plain("", field.data["seen_arcsec"][row]),
        "distances": [
            [QUANTITIES[one.quantity], round(one.given, 2), round(one.alone, 2)] for one in field.distances(row)
        ],
        "near": [
            [round(one.x, 1), round(one.y, 1), round(one.separation), one.direction, one.kind, _plain("", one.counts)]
            for one in field.neighbours(row)
        ],
        "curve": _curve(field, row),
        "others": [[one.source, round(one.value, 3), _plain("", one.error)] for one in field.other_masses(row)],
        "hidden": bool((field.data["exposed"][row] == 0).any()),
        "image": base64.b64encode(png(image)).decode(),
    }


def _curve(field: FieldCards, row: int) -> dict[str, Any] | None:
    """Return `density` (integers up to `_TOP`) between the log10 masses `low` and `high`, or None without a mass."""
    curve = field.curve(row, _POINTS)
    if curve is None:
        return None
    mass, density = curve
    values = np.rint(_TOP * density / density.max()).astype(int).tolist()
    return {"low": round(float(mass[0]), 4), "high": round(float(mass[-1]), 4), "density": values}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return None
        return round(float(value), _DECIMALS[name]) if name in _DECIMALS else float(f"{value:.4g}")
    return int(value) if isinstance(value, int | np.integer) else str(value)

"""What a file says of how it was made, whatever its format."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import netCDF4
from astropy.io import fits
from astropy.table import Table
from PIL import Image
from safetensors import safe_open

from clustermass.errors import InputError
from clustermass.io.fits import opened_fits

#: step of the files of a simulated sky, whose headers state no step of their own
SIMULATION = "simulate_realization"
DETECTION = "detect_sources"
TRAINING = "train_member"
PACKING = "pack_ensemble"
_STANDARD = ("step", "source", "config_hash", "parameters", "input_sha256")
#: begins an entry of a HISTORY that `clustermass` wrote; what follows without it goes on with the entry before
_ENTRY = re.compile(r"([a-z][a-z0-9_]*) = ")
_HISTORY_WIDTH = slice(8, 80)


@dataclass(frozen=True)
class Record:
    """What a file says of itself.

    Attributes
    ----------
    step
        That made it.
    source
        Name and version of the software; "" = not stated.
    config_hash
        Of the settings; "" = not stated.
    parameters
        The settings as JSON; None = not stated.
    inputs
        Name -> SHA-256 of the files that it was made from.
    facts
        All else, as text: seed, cosmology, ...
    """

    step: str
    source: str = ""
    config_hash: str = ""
    parameters: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def read_record(path: Path) -> Record | None:
    """Read what a file says of itself; None if it says nothing, or its format can't.

    Raises
    ------
    InputError
        The file can't be read, or its FITS checksums don't hold.
    """
    read = _READERS.get(path.suffix)
    if read is None:
        return None
    try:
        return read(path)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the formats' readers fail in many ways
        raise InputError(f"{path}: not readable ({type(error).__name__}: {error}).") from error


def _record(stated: Mapping[str, Any]) -> Record | None:
    if "step" not in stated:
        return None
    inputs = stated.get("input_sha256", {})
    inputs = json.loads(inputs) if isinstance(inputs, str) else inputs
    facts = {key: _text(value) for key, value in stated.items() if key not in _STANDARD}
    parameters = stated.get("parameters")
    names = (str(stated["step"]), str(stated.get("source", "")), str(stated.get("config_hash", "")))
    return Record(*names, parameters, dict(inputs), facts)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _of_netcdf(path: Path) -> Record | None:
    with netCDF4.Dataset(path) as dataset:
        stated = {name: _plain(dataset.getncattr(name)) for name in dataset.ncattrs()}
    for described in ("Conventions", "title"):
        stated.pop(described, None)
    return _record(stated)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _of_fits(path: Path) -> Record | None:
    with opened_fits(path) as hdus:
        for hdu in hdus:
            if "DATASUM" in hdu.header:
                _ = hdu.data  # the checksums are compared on reading
        headers = [hdu.header for hdu in hdus]
    for header in headers:
        stated = _joined(_history(header))
        if "step" in stated:
            return _record(stated)
    return next((_simulated(header) for header in headers if "CFGHASH" in header), None)


def _history(header: fits.Header) -> list[tuple[str, str]]:
    """Pairs of a name and a text. Cards are cut by their width: what `header` returns lacks blanks at their ends."""
    entries: list[list[str]] = []
    for card in header.cards:
        if card.keyword == "HISTORY":
            text = card.image[_HISTORY_WIDTH]
            begins = _ENTRY.match(text)
            if begins:
                entries.append([begins[1], text[begins.end() :]])
            elif entries:
                entries[-1][1] += text
    return [(name, _unescaped(text.rstrip())) for name, text in entries]


def _unescaped(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("unicode_escape")


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Provenance of pairs as `observed.formats.Header.history` makes them, an input each."""
    stated: dict[str, Any] = {}
    inputs = {}
    for name, text in pairs:
        if name == "input":
            file, _, digest = text.rpartition(" sha256 ")
            inputs[file] = digest
        else:
            stated[name] = text
    return stated | ({"input_sha256": inputs} if inputs else {})


def _simulated(header: fits.Header) -> Record:
    facts = {"sky": header.get("OBJECT", "").removeprefix("SIM "), "realization": header.get("REALIZ", "")}
    facts["seed"] = str(header.get("SEED", ""))
    return Record(SIMULATION, config_hash=header["CFGHASH"], facts=facts)


def _of_votable(path: Path) -> Record | None:
    infos = (element for _, element in ElementTree.iterparse(path) if element.tag.rsplit("}")[-1] == "INFO")
    pairs = [(info.get("name", ""), _unescaped(info.get("value", ""))) for info in infos]
    return _record(_joined(pairs))


def _of_ecsv(path: Path) -> Record | None:
    lines = Table.read(path, format="ascii.ecsv").meta.get("HISTORY", [])
    parts = [line.partition(" = ") for line in lines]
    return _record(_joined((name, _unescaped(text)) for name, _, text in parts))


def _of_json(path: Path) -> Record | None:
    content = json.loads(path.read_text(encoding="utf-8"))
    stated = content.get("provenance") if isinstance(content, dict) else None
    return _record(stated) if isinstance(stated, dict) else None


def _of_png(path: Path) -> Record | None:
    with Image.open(path) as image:
        image.load()
        described = image.info.get("Description")
    return _record(json.loads(described)) if described else None


def _of_svg(path: Path) -> Record | None:
    described = ElementTree.parse(path).findtext(".//{http://purl.org/dc/elements/1.1/}description")
    return _record(json.loads(described)) if described else None


def _of_weights(path: Path) -> Record | None:
    with safe_open(path, framework="numpy") as stream:
        stated = (stream.metadata() or {}).get("clustermass")
    if stated is None:
        return None
    kept = {name: json.loads(stated).get(name) for name in ("member", "seed", "network", "recipe", "control")}
    return Record(TRAINING, facts={name: _text(value) for name, value in kept.items()})


def _of_archive(path: Path) -> Record:
    from clustermass.ensemble.pack import unpacked

    with unpacked(path) as trained:  # compares all it holds with its manifest
        return Record(PACKING, facts={"ensemble": trained.digest()})


_READERS: dict[str, Callable[[Path], Record | None]] = {
    ".nc": _of_netcdf,
    ".fits": _of_fits,
    ".vot": _of_votable,
    ".ecsv": _of_ecsv,
    ".json": _of_json,
    ".png": _of_png,
    ".svg": _of_svg,
    ".safetensors": _of_weights,
    ".zip": _of_archive,
}

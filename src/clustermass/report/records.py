"""Provenance records: how a file of any format says it was made, and where the files that it names are."""

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.etree import ElementTree

import netCDF4
import yaml
from astropy.io import fits
from astropy.table import Table
from PIL import Image
from safetensors import safe_open

from clustermass.errors import InputError
from clustermass.io.fits import opened_fits
from clustermass.io.provenance import file_sha256, texts

#: steps with special treatment below; the headers of a simulated sky's photons state no step of their own
SIMULATION, DETECTION, TRAINING = "simulate_realization", "detect_sources", "train_member"
PACKING, CALIBRATION, OOD = "pack_ensemble", "calibrate", "fit_ood"
RESULTS, CONFIG, RUN_RECORD = "results", "config.yaml", "provenance.json"
#: folders of files that are no products: logs, costs, unfinished trainings
_ASIDE = ("logs", "benchmarks", "checkpoints")
_STANDARD = ("step", "source", "config_hash", "parameters", "input_sha256")
#: begins an entry of a HISTORY that this package wrote; cards without it continue the entry before
_ENTRY = re.compile(r"([a-z][a-z0-9_]*) = ")
_HISTORY_WIDTH = slice(8, 80)


class Record(NamedTuple):
    """How a file says that it was made; "" and None = not stated."""

    step: str
    source: str = ""  #: name and version of the software
    config_hash: str = ""
    parameters: str | None = None  #: the settings as JSON
    inputs: Mapping[str, str] = {}  #: name -> SHA-256 of the files that it was made from
    further: Mapping[str, str] = {}  #: all other entries, as text: seed, cosmology, ...


def read_record(path: Path) -> Record | None:
    """Return the record in a file; None if it has none, or its format has no place for one.

    InputError if the file can't be read, or if its FITS checksums don't hold.
    """
    read = _READERS.get(path.suffix)
    try:
        return read(path) if read else None
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the formats' readers fail in many ways
        raise InputError(f"{path}: not readable ({type(error).__name__}: {error}).") from error


def _record(stated: Mapping[str, Any] | None) -> Record | None:
    if not stated or "step" not in stated:
        return None
    inputs = stated.get("input_sha256", {})
    inputs = json.loads(inputs) if isinstance(inputs, str) else inputs
    further = texts({key: value for key, value in stated.items() if key not in _STANDARD})
    step, source, settings = (str(stated.get(name, "")) for name in ("step", "source", "config_hash"))
    return Record(step, source, settings, stated.get("parameters"), dict(inputs), further)


def _from_pairs(pairs: Iterable[tuple[str, str]]) -> Record | None:
    """Return the record from the pairs of `io.provenance.history`, which has one pair for each input file."""
    whole = [(name, text.encode("ascii", "backslashreplace").decode("unicode_escape")) for name, text in pairs]
    inputs = [text.rpartition(" sha256 ") for name, text in whole if name == "input"]
    stated = {name: text for name, text in whole if name != "input"}
    return _record({**stated, "input_sha256": {file: digest for file, _, digest in inputs}})


def _from_netcdf(path: Path) -> Record | None:
    with netCDF4.Dataset(path) as dataset:
        stated = {name: dataset.getncattr(name) for name in dataset.ncattrs() if name not in ("Conventions", "title")}
    return _record({name: value.item() if hasattr(value, "item") else value for name, value in stated.items()})


def _from_fits(path: Path) -> Record | None:
    with opened_fits(path) as hdus:
        for hdu in hdus:
            if "DATASUM" in hdu.header:
                _ = hdu.data  # the checksums are compared on reading
        headers = [hdu.header for hdu in hdus]
    for header in headers:
        if record := _from_pairs(_history(header)):
            return record
    for header in headers:  # of simulated photons
        if "CFGHASH" in header:
            sky = {"sky": header.get("OBJECT", "").removeprefix("SIM "), "realization": header.get("REALIZ", "")}
            further = {**sky, "seed": str(header.get("SEED", ""))}
            return Record(SIMULATION, config_hash=header["CFGHASH"], further=further)
    return None


def _history(header: fits.Header) -> list[tuple[str, str]]:
    """Entries of HISTORY, each a name and a text; cards are joined by their width, since blanks at their ends count."""
    entries: list[list[str]] = []
    for text in (card.image[_HISTORY_WIDTH] for card in header.cards if card.keyword == "HISTORY"):
        if begin := _ENTRY.match(text):
            entries.append([begin[1], text[begin.end() :]])
        elif entries:
            entries[-1][1] += text
    return [(name, text.rstrip()) for name, text in entries]


def _from_votable(path: Path) -> Record | None:
    infos = (element for _, element in ElementTree.iterparse(path) if element.tag.rsplit("}")[-1] == "INFO")
    return _from_pairs((info.get("name", ""), info.get("value", "")) for info in infos)


def _from_ecsv(path: Path) -> Record | None:
    lines = (line.partition(" = ") for line in Table.read(path, format="ascii.ecsv").meta.get("HISTORY", []))
    return _from_pairs((name, text) for name, _, text in lines)


def _from_json(path: Path) -> Record | None:
    content = json.loads(path.read_text(encoding="utf-8"))
    stated = content.get("provenance") if isinstance(content, dict) else None
    return _record(stated if isinstance(stated, dict) else None)


def _from_png(path: Path) -> Record | None:
    with Image.open(path) as image:
        image.load()
        return _record(json.loads(image.info.get("Description", "null")))


def _from_svg(path: Path) -> Record | None:
    described = ElementTree.parse(path).findtext(".//{http://purl.org/dc/elements/1.1/}description")
    return _record(json.loads(described or "null"))


def _from_weights(path: Path) -> Record | None:
    with safe_open(path, framework="numpy") as stream:
        stated = (stream.metadata() or {}).get("clustermass")
    if stated is None:
        return None
    names = ("member", "seed", "network", "recipe", "control")
    return Record(TRAINING, further=texts({name: json.loads(stated).get(name) for name in names}))


def _from_archive(path: Path) -> Record:
    from clustermass.ensemble.ensemble import Ensemble

    with Ensemble.load(path) as trained:  # compares all it holds with its manifest
        return Record(PACKING, further={"ensemble": trained.digest()})


_READERS = {
    ".nc": _from_netcdf,
    ".fits": _from_fits,
    ".vot": _from_votable,
    ".ecsv": _from_ecsv,
    ".json": _from_json,
    ".png": _from_png,
    ".svg": _from_svg,
    ".safetensors": _from_weights,
    ".zip": _from_archive,
}


class Files:
    """Files of a results folder (``results`` in provenance), and a user's own files, also those in `folders`.

    Provenance names a user's own files without their folder, or relative to where the run started.
    """

    def __init__(self, root: Path, folders: Sequence[Path] = ()) -> None:
        self.root = root
        self._folders = (root.parent, Path.cwd(), *folders)
        self.sha256 = functools.cache(file_sha256)
        self.record = functools.cache(read_record)

    @classmethod
    def around(cls, path: Path, folders: Sequence[Path] = ()) -> "Files":
        """Return the files of the results folder that is `path` or contains it; of ./results for a file elsewhere.

        InputError if `path` does not exist, or is a folder outside any results folder.
        """
        if not path.exists():
            raise InputError(f"{path}: no such file or folder. Name results/<run>, results, or a file in it.")
        whole = path.resolve()
        for folder in (whole, *whole.parents):
            # an experiment's folder has a folder skies, too: it holds predictions, but no realizations
            if next(folder.glob("skies/*/*/images.nc"), None):
                return cls(folder, folders)
        if path.is_file():
            return cls(Path.cwd() / RESULTS, folders)
        raise InputError(f"{path}: neither it nor a folder around it holds skies/. Name results/<run>, or results.")

    def products(self, folder: Path) -> list[Path]:
        """Return all files below `folder` except logs, benchmarks, checkpoints and hidden files."""
        files = (path for path in sorted(folder.resolve().rglob("*")) if path.is_file() and path.name[0] != ".")
        return [path for path in files if not {*path.relative_to(self.root).parts[:-1]} & {*_ASIDE}]

    def shown(self, path: Path) -> str:
        """Return a path as provenance would name it."""
        inside = path.is_relative_to(self.root)
        return f"{RESULTS}/{path.relative_to(self.root).as_posix()}" if inside else str(path)

    def is_ours(self, name: str) -> bool:
        """Return whether a name belongs to a product, not to a user's own file."""
        return PurePosixPath(name).parts[:1] == (RESULTS,)

    def locate(self, name: str, digest: str) -> Path | None:
        """Return the file called `name`, if there are several one with this SHA-256; None if there is none."""
        if self.is_ours(name):
            places = [self.root.joinpath(*PurePosixPath(name).parts[1:])]
        else:
            places = [place for folder in self._folders for place in (folder / name, folder / Path(name).name)]
            places += [path for path in self._configured if path.name == name]
        paths = [path for path in dict.fromkeys(places) if path.is_file()]
        same = (path for path in paths if len(paths) > 1 and self.sha256(path) == digest)
        return next(same, next(iter(paths), None))

    @functools.cached_property
    def _configured(self) -> list[Path]:
        """Return absolute paths in the runs' configurations, of which provenance has only the file names."""
        paths = self.root.glob(f"*/{CONFIG}")
        return [Path(text) for path in paths for text in _leaves(read_config(path)) if Path(text).is_absolute()]

    def origins(self, path: Path, record: Record) -> list[Path]:
        """Return the existing files that `path` was made from, including those that it does not name.

        Training writes a network and its predictions together, and only the predictions name the images. Calibration
        and out-of-distribution model don't name `ensemble.nc`, because its hash depends on the test set.
        """
        named = [self.locate(*item) for item in record.inputs.items()]
        ensemble = path.with_name("ensemble.nc")
        beside = {TRAINING: path.with_suffix(".nc"), CALIBRATION: ensemble, OOD: ensemble}.get(record.step)
        return [one for one in (*named, beside) if one is not None and one != path and one.is_file()]

    def chain(self, start: Iterable[Path]) -> dict[Path, Record | None]:
        """Return the records of `start` and of all files that these were made from; None for unreadable files."""
        records: dict[Path, Record | None] = {}
        waiting = first = [*start]
        while waiting:
            path, *waiting = waiting
            if path not in records:
                records[path] = None
                with suppress(InputError):
                    records[path] = self.record(path) if path in first or path.is_relative_to(self.root) else None
                waiting.extend(self.origins(path, record) if (record := records[path]) else ())
        return records


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a run as the report wrote it; empty if it is damaged (its hash will differ)."""
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError, yaml.YAMLError):
        return {}


def _leaves(block: object) -> Iterator[str]:
    """Yield all texts in a nested block."""
    if isinstance(block, str):
        yield block
    elif isinstance(block, dict | list):
        for entry in block.values() if isinstance(block, dict) else block:
            yield from _leaves(entry)

"""Provenance records: reading them from files of any format, and finding the input files that they name."""

import functools
import itertools
import json
import os
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.parsers import expat

import netCDF4
from astropy.io import fits
from PIL import Image
from safetensors import safe_open

from clustermass import limits
from clustermass.config.resolve import is_regular, read_yaml
from clustermass.ensemble.released import RELEASED
from clustermass.errors import InputError
from clustermass.io.bounds import bounded
from clustermass.io.files import check_weights_header, reason
from clustermass.io.fits import opened_fits
from clustermass.io.hdf5 import check_hdf5
from clustermass.io.provenance import file_sha256, texts
from clustermass.io.room import check_memory
from clustermass.io.votables import check_declarations
from clustermass.io.yaml_headers import ecsv_header

#: steps that are treated separately below; simulated event lists state no step, and get the first of these
SIMULATION, MATCHING, TRAINING = "simulate_realization", "match_sources", "train_member"
PACKING, CALIBRATION, OOD = "pack_ensemble", "calibrate", "fit_ood"
RESULTS, CONFIG, RUN_RECORD = "results", "config.yaml", "provenance.json"
#: folders whose files don't count as products: logs, benchmarks of jobs, unfinished trainings
_ASIDE = ("logs", "benchmarks", "checkpoints")
_STANDARD = ("step", "source", "config_hash", "parameters", "input_sha256")
#: beginning of an entry of HISTORY that this package wrote; a card without it continues the previous entry
_ENTRY = re.compile(r"([a-z][a-z0-9_]*) = ")
_HISTORY_WIDTH = slice(8, 80)
#: elements of VOTables and SVG figures that hold provenance; the second one with its namespace
_XML, _DESCRIPTION = ("INFO", "description"), "http://purl.org/dc/elements/1.1/ description"


class Record(NamedTuple):
    """Provenance of a file, as the file itself states it. What the file doesn't state is "" or None."""

    step: str
    source: str = ""  #: name and version of the software
    config_hash: str = ""
    parameters: str | None = None  #: the settings as JSON
    inputs: Mapping[str, str] = {}  #: dict from the name of each input file to its SHA-256
    further: Mapping[str, str] = {}  #: all other entries as text, such as seed and cosmology


def read_record(path: Path) -> Record | None:
    """Return the provenance record in a file, or None if the file has none or its format can't hold any.

    InputError if the file can't be read, or if a FITS checksum in it is wrong.
    """
    if path.exists() and not is_regular(path):
        raise InputError(f"{path}: is no regular file.")
    read = _READERS.get(path.suffix)
    try:
        with bounded(path):
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
    parameters, inputs = stated.get("parameters"), dict(inputs)
    if not all(isinstance(one, str) for one in (*inputs, *inputs.values(), parameters or "")):
        raise TypeError("parameters or names of inputs aren't texts")
    return Record(step, source, settings, parameters, inputs, further)


def _from_pairs(pairs: Iterable[tuple[str, str]]) -> Record | None:
    whole = [(name, text.encode("ascii", "backslashreplace").decode("unicode_escape")) for name, text in pairs]
    inputs = [text.rpartition(" sha256 ") for name, text in whole if name == "input"]
    stated = {name: text for name, text in whole if name != "input"}
    return _record({**stated, "input_sha256": {file: digest for file, _, digest in inputs}})


def _from_netcdf(path: Path) -> Record | None:
    check_hdf5(path)
    with netCDF4.Dataset(path.absolute()) as dataset:
        stated = {name: dataset.getncattr(name) for name in dataset.ncattrs() if name not in ("Conventions", "title")}
    return _record({name: value.item() if hasattr(value, "item") else value for name, value in stated.items()})


def _from_fits(path: Path) -> Record | None:
    with opened_fits(path) as hdus:
        headers = [hdu.header for hdu in hdus]
    for header in headers:
        if record := _from_pairs(_history(header)):
            return record
    for header in headers:  # simulated event lists
        if "CFGHASH" in header:
            sky, number, seed = (str(header.get(name, "")) for name in ("OBJECT", "REALIZ", "SEED"))
            further = {"sky": sky.removeprefix("SIM "), "realization": number, "seed": seed}
            return Record(SIMULATION, config_hash=str(header["CFGHASH"]), further=further)
    return None


def _history(header: fits.Header) -> list[tuple[str, str]]:
    """Return the names and texts of the entries of HISTORY. Blanks at the end of a card are part of the text."""
    entries: list[list[str]] = []
    for text in (card.image[_HISTORY_WIDTH] for card in header.cards if card.keyword == "HISTORY"):
        if begin := _ENTRY.match(text):
            entries.append([begin[1], text[begin.end() :]])
        elif entries:
            entries[-1][1] += text
    return [(name, text.rstrip()) for name, text in entries]


def _from_votable(path: Path) -> Record | None:
    elements = (attributes for name, attributes, _ in _elements(path) if name.rpartition(" ")[2] == "INFO")
    return _from_pairs((one.get("name", ""), one.get("value", "")) for one in elements)


def _elements(path: Path) -> list[tuple[str, dict[str, str], list[str]]]:
    """Return name (with namespace and a blank before it), attributes and texts of the elements in `_XML`."""
    found: list[tuple[str, dict[str, str], list[str]]] = []
    levels: list[list[str] | None] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        levels.append([] if name.rpartition(" ")[2] in _XML else None)
        limits.LEVELS.check(len(levels), path)
        if levels[-1] is not None:
            found.append((name, attributes, levels[-1]))

    def text(piece: str) -> None:
        if levels[-1] is not None:
            levels[-1].append(piece)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.CharacterDataHandler = start, text
    parser.EndElementHandler = lambda _: levels.pop()
    check_declarations(parser, path)
    check_memory(path.stat().st_size, path)
    # as a whole: expat reads a long comment again and again if it comes in pieces
    parser.Parse(path.read_bytes(), True)
    return found


def _from_ecsv(path: Path) -> Record | None:
    with path.open(encoding="utf-8") as stream:
        begin = stream.read(2 * limits.YAML.most).splitlines()
    header = ecsv_header([*itertools.takewhile(lambda line: line.startswith("#"), begin)], path)
    lines = (str(line).partition(" = ") for line in header.get("meta", {}).get("HISTORY", []))
    return _from_pairs((name, text) for name, _, text in lines)


def _from_json(path: Path) -> Record | None:
    limits.JSON_BYTES.check(path.stat().st_size, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    stated = content.get("provenance") if isinstance(content, dict) else None
    return _record(stated if isinstance(stated, dict) else None)


def _from_png(path: Path) -> Record | None:
    with Image.open(path, formats=("PNG",)) as image:  # for other formats Pillow runs other programs
        limits.PNG_PIXELS.check(image.width * image.height, path)
        image.load()
        return _record(json.loads(image.info.get("Description", "null")))


def _from_svg(path: Path) -> Record | None:
    limits.SVG_BYTES.check(path.stat().st_size, path)
    described = ["".join(text) for name, _, text in _elements(path) if name == _DESCRIPTION]
    return _record(json.loads(described[0] or "null") if described else None)


def _from_pdf(path: Path) -> Record | None:
    limits.PDF_BYTES.check(path.stat().st_size, path)
    # the figures' own PDFs hold the text as it is, with a backslash before brackets and backslashes; ++ and *+ need no
    # memory, because they keep no way back
    stated = re.search(rb"/Subject \(((?:[^\\()]++|\\.)*+)\)", path.read_bytes(), re.DOTALL)
    if not stated:
        return None
    # JSON holds no NUL, which stands for a backslash here
    plain = stated[1].replace(rb"\\", b"\0").replace(b"\\", b"").replace(b"\0", b"\\")
    return _record(json.loads(plain))


def _from_weights(path: Path) -> Record | None:
    check_weights_header(path)
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
    ".pdf": _from_pdf,
    ".safetensors": _from_weights,
    ".zip": _from_archive,
}


class Files:
    """Access to the files of a results folder `root`, and to a user's own files, from which results were made.

    Provenance records name a user's file without its folder, or by its path relative to the folder in which the run was
    started. They call the results folder "results". A user's files are looked for in these places:

    - beside the results folder
    - in the current folder
    - in `folders`
    - beside the file that was made from them, if that file is outside of the results folder
    """

    def __init__(self, root: Path, folders: Sequence[Path] = ()) -> None:
        self.root = root
        self._folders = (root.parent, Path.cwd(), *folders)
        self.sha256 = functools.cache(file_sha256)
        self.record = functools.cache(read_record)

    @classmethod
    def around(cls, path: Path, folders: Sequence[Path] = ()) -> "Files":
        """Return the `Files` of the results folder that contains `path`, or of `path` if this is a results folder.

        If `path` is a file outside of any results folder, the results folder is the first one that is found in
        `folders`, beside the file, or beside a folder around it. If there is none, it is ./results.

        InputError if `path` doesn't exist, or is a folder that isn't part of a results folder.
        """
        if not path.exists():
            raise InputError(f"{path}: no such file or folder. Name results/<run>, results, or a file in it.")
        whole = path.resolve()
        if root := next(filter(_holds_skies, (whole, *whole.parents)), None):
            return cls(root, folders)
        if path.is_file():
            places = [*folders, *(folder / RESULTS for folder in (*folders, *whole.parents))]
            return cls(next(filter(_holds_skies, places), Path.cwd() / RESULTS).resolve(), folders)
        raise InputError(f"{path}: neither it nor a folder around it holds skies/. Name results/<run>, or results.")

    def products(self, folder: Path) -> list[Path]:
        """Return the paths of all files below `folder` except logs, benchmarks, checkpoints and hidden files."""
        try:
            files = [path for path in sorted(folder.resolve().rglob("*")) if is_regular(path) and path.name[0] != "."]
        except (OSError, RecursionError) as error:
            raise InputError(f"{folder}: can't be searched ({reason(error)}). Is it nested too deeply?") from error
        return [path for path in files if not {*path.relative_to(self.root).parts[:-1]} & {*_ASIDE}]

    def shown(self, path: Path) -> str:
        """Return the name that provenance records give to the file at `path`."""
        inside = path.is_relative_to(self.root)
        return f"{RESULTS}/{path.relative_to(self.root).as_posix()}" if inside else str(path)

    def is_ours(self, name: str) -> bool:
        """Return whether the file that a record calls `name` is in the results folder, and not a user's own file."""
        return PurePosixPath(name).parts[:1] == (RESULTS,)

    def is_inside(self, name: str) -> bool:
        """Return whether a name in a record is printable and leads to a place inside the results folder."""
        ours = self.is_ours(name) and name.isprintable()
        place = self.root.joinpath(*PurePosixPath(name).parts[1:])
        return ours and Path(os.path.realpath(place)).is_relative_to(os.path.realpath(self.root))

    def locate(self, name: str, digest: str, reader: Path | None = None) -> Path | None:
        """Return the path of the file that the record of the file `reader` calls `name`.

        If there are several such files, one with the SHA-256 `digest` is preferred. None if there is no such file.
        None, too, for a `name` in the results folder that contains "..".
        """
        if self.is_ours(name):
            if ".." in PurePosixPath(name).parts:
                return None
            places = [self.root.joinpath(*PurePosixPath(name).parts[1:])]
        else:
            own, outside = Path(name).name if Path(name).is_absolute() else name, reader and self._is_outside(reader)
            folders = [reader.parent, *self._folders] if reader and outside else self._folders
            places = [place for folder in folders for place in (folder / own, folder / Path(name).name)]
            places += [path for path in self._configured if path.name == name]
            places += [RELEASED] * (name == RELEASED.name)
        paths = [path for path in dict.fromkeys(places) if path != reader and is_regular(path)]
        same = (path for path in paths if len(paths) > 1 and self.sha256(path) == digest)
        return next(same, next(iter(paths or self._catalogues(name, digest)), None))

    def _is_outside(self, path: Path) -> bool:
        return not path.is_relative_to(self.root)

    def _catalogues(self, name: str, digest: str) -> list[Path]:
        """Return the mass catalogues in the results folder with this file name and this SHA-256."""
        return [path for path in self._masses if path.name == name and self.sha256(path) == digest]

    @functools.cached_property
    def _masses(self) -> list[Path]:
        return [path for path in sorted(self.root.glob("*/*/observed/*/masses.*")) if is_regular(path)]

    @functools.cached_property
    def _configured(self) -> list[Path]:
        """Return the absolute paths in the configurations of all runs. Records hold only the names of these files."""
        paths = self.root.glob(f"*/{CONFIG}")
        return [Path(text) for path in paths for text in _leaves(read_config(path)) if Path(text).is_absolute()]

    def origins(self, path: Path, record: Record) -> list[Path]:
        """Return the paths of the existing files from which the file `path` with the provenance `record` was made.

        For three kinds of files, the result includes one file that the record doesn't name. For a network, this is the
        file of predictions from the same training, because only that file names the images. For the calibration and for
        the out-of-distribution model, it is `ensemble.nc`, which isn't named because its hash depends on the test set.
        """
        named = [self.locate(*item, reader=path) for item in record.inputs.items()]
        ensemble = path.with_name("ensemble.nc")
        beside = {TRAINING: path.with_suffix(".nc"), CALIBRATION: ensemble, OOD: ensemble}.get(record.step)
        return [one for one in (*named, beside) if one is not None and one != path and one.is_file()]

    def chain(self, start: Collection[Path], outside: bool = False) -> dict[Path, Record | None]:
        """Return the records of the files `start`, and of all files from which these were made directly or indirectly.

        The result is a dict from path to record. The record is None for a file without one. Of files outside of the
        results folder that aren't in `start`, the records are read only if `outside` is True.
        """
        records: dict[Path, Record | None] = {}
        first, waiting = {*start}, deque(start)
        while waiting:
            path = waiting.popleft()
            if path not in records:
                records[path] = None
                with suppress(InputError):
                    read = path in first or outside or not self._is_outside(path)
                    records[path] = self.record(path) if read else None
                waiting.extend(self.origins(path, record) if (record := records[path]) else ())
        return records


def _holds_skies(folder: Path) -> bool:
    # the folder skies of an experiment holds predictions, but no images
    return next(folder.glob("skies/*/*/images.nc"), None) is not None


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration in a run's config.yaml, or an empty dict if the file is damaged.

    A damaged file isn't an error here, because a verification finds it by its hash.
    """
    try:
        content = read_yaml(path)
    except InputError:
        return {}
    return dict(content) if isinstance(content, dict) else {}


def _leaves(block: object) -> Iterator[str]:
    if isinstance(block, str):
        yield block
    elif isinstance(block, dict | list):
        for entry in block.values() if isinstance(block, dict) else block:
            yield from _leaves(entry)

"""Where the files lie that provenance names, and what each is: records and hashes, each read once."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from clustermass.errors import InputError
from clustermass.io.provenance import file_sha256
from clustermass.io.records import TRAINING, Record, read_record

RESULTS = "results"
#: folders of files that aren't products: what was said on the way, what it took, where a killed training goes on
ASIDE = ("logs", "benchmarks", "checkpoints")
CONFIG, RUN_RECORD = "config.yaml", "provenance.json"


class Files:
    """The files of a results folder and those that they were made from.

    Parameters
    ----------
    root
        The folder that provenance calls ``results``, whatever it is called now.
    folders
        Where else a user's own files may lie, which are named by a bare name or relative to where the run was started.
    """

    def __init__(self, root: Path, folders: Sequence[Path] = ()) -> None:
        self.root = root
        self._folders = (root.parent, Path.cwd(), *folders)
        self.sha256 = functools.cache(file_sha256)
        self.record = functools.cache(read_record)

    @classmethod
    def around(cls, path: Path, folders: Sequence[Path] = ()) -> "Files":
        """Files of the results folder that `path` is, or lies in; of a file elsewhere, those of ./results.

        Raises
        ------
        InputError
            There is no such file or folder, or neither a folder nor one around it holds skies.
        """
        if not path.exists():
            raise InputError(f"{path}: no such file or folder. Name results/<run>, results, or a file in it.")
        whole = path.resolve()
        for folder in (whole, *whole.parents):
            # an experiment's folder holds skies as well, of predictions, but those have no realizations
            if next(folder.glob("skies/*/*/images.nc"), None):
                return cls(folder, folders)
        if path.is_file():
            return cls(Path.cwd() / RESULTS, folders)
        raise InputError(f"{path}: neither it nor a folder around it holds skies/. Name results/<run>, or results.")

    def products(self, folder: Path) -> list[Path]:
        """List all files below `folder` but logs, benchmarks, checkpoints and hidden ones."""
        found = (path for path in sorted(folder.resolve().rglob("*")) if path.is_file())
        return [path for path in found if not self._aside(path.relative_to(self.root).parts)]

    def _aside(self, parts: Sequence[str]) -> bool:
        return parts[-1].startswith(".") or any(part in ASIDE for part in parts[:-1])

    def shown(self, path: Path) -> str:
        """Return a path as provenance would name it."""
        inside = path.is_relative_to(self.root)
        return f"{RESULTS}/{path.relative_to(self.root).as_posix()}" if inside else str(path)

    def is_ours(self, name: str) -> bool:
        """Whether a name is that of a product, not of a user's own file."""
        return PurePosixPath(name).parts[:1] == (RESULTS,)

    def locate(self, name: str, digest: str) -> Path | None:
        """Return the file of that name; of several, one with this SHA-256 first. None = it isn't at hand."""
        found = [path for path in dict.fromkeys(self._places(name)) if path.is_file()]
        return next((path for path in found if len(found) > 1 and self.sha256(path) == digest), next(iter(found), None))

    def _places(self, name: str) -> Iterator[Path]:
        if self.is_ours(name):
            yield self.root.joinpath(*PurePosixPath(name).parts[1:])
            return
        for folder in self._folders:
            yield folder / name
            yield folder / Path(name).name
        yield from (path for path in self._configured if path.name == name)

    @functools.cached_property
    def _configured(self) -> list[Path]:
        """Absolute paths in the configurations of the runs: provenance has the bare names of these."""
        paths = self.root.glob(f"*/{CONFIG}")
        return [Path(text) for path in paths for text in _texts(read_config(path)) if Path(text).is_absolute()]

    def origins(self, path: Path, record: Record) -> list[Path]:
        """Files at hand that `path` was made from, also those that it doesn't name itself.

        Training writes a network and its predictions together, and only the latter name the images. Calibration and
        domain name no file of `ensemble.nc`, lest a bit of the test set reach them by a hash.
        """
        named = [self.locate(name, digest) for name, digest in record.inputs.items()]
        beside = {TRAINING: path.with_suffix(".nc"), "calibrate": path.with_name("ensemble.nc")}
        beside["fit_ood"] = beside["calibrate"]
        unnamed = beside.get(record.step)
        return [one for one in (*named, unnamed) if one is not None and one != path and one.is_file()]

    def chain(self, start: Iterable[Path]) -> dict[Path, Record | None]:
        """Read the records of `start` and of all that these were made from; unreadable files have none."""
        found: dict[Path, Record | None] = {}
        first = list(start)
        waiting = list(first)
        while waiting:
            path = waiting.pop(0)
            if path not in found:
                ours = path in first or path.is_relative_to(self.root)
                found[path] = record = self.readable_record(path) if ours else None
                waiting.extend(self.origins(path, record) if record else ())
        return found

    def readable_record(self, path: Path) -> Record | None:
        """Return the record of a file, None also of a damaged one."""
        try:
            return self.record(path)
        except InputError:
            return None


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's configuration as the report wrote it; empty if it is damaged, which its hash tells."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _texts(block: Any) -> Iterator[str]:
    if isinstance(block, str):
        yield block
    elif isinstance(block, dict | list):
        for entry in block.values() if isinstance(block, dict) else block:
            yield from _texts(entry)

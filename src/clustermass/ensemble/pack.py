"""The files of a trained ensemble, and the packed file that holds them all, an uncompressed zip file."""

from __future__ import annotations

import json
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import clustermass
from clustermass import limits
from clustermass.ensemble.aggregate import read_training
from clustermass.ensemble.calibration import read_calibration
from clustermass.ensemble.out_of_distribution import FALSE_ALARMS, read_ood_model
from clustermass.errors import InputError
from clustermass.io.files import atomic
from clustermass.io.netcdf import json_attribute, read_netcdf
from clustermass.io.provenance import config_hash, file_sha256
from clustermass.io.room import check_disk
from clustermass.network.predict import FORMAT as MEMBER_FORMAT
from clustermass.network.predict import TrainedNetwork

ENSEMBLE, CALIBRATION, DOMAIN, MEMBERS = "ensemble.nc", "calibration.json", "domain.nc", "members"
FORMAT = "clustermass-ensemble-2"
MANIFEST = "manifest.json"
#: packages on which masses depend; the manifest holds the versions that were installed when the ensemble was packed
PACKAGES = ("numpy", "scipy", "astropy", "xarray", "jax", "flax", "safetensors")
#: only files of these names are unpacked, so that no name leads out of the folder
_NAMES = re.compile(r"ensemble\.nc|calibration\.json|domain\.nc|members/[\w-]+\.safetensors", re.ASCII)
#: format of the end of a zip file, whose sixth value is the length of the list of files in bytes; least length of an
#: entry in this list
_END, _ENTRY_BYTES = struct.Struct("<4s4H2LH"), 46
#: bytes of the block that precedes this end in zip files of another form, which allows more than 4 GB
_LOCATOR_BYTES = 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed date, so that the same content gives the same bytes
_COPY_AGAIN = "The file is damaged or wasn't copied whole: copy it again and compare its SHA-256 with the original's."


@dataclass(frozen=True)
class EnsembleFiles:
    """The files of an experiment that belong to a trained ensemble; `weights` holds one file for each network."""

    ensemble: Path
    calibration: Path
    domain: Path
    weights: tuple[Path, ...]

    def named(self) -> dict[str, Path]:
        """Return the paths of the files, as a dict by their names within an experiment's folder."""
        members = {f"{MEMBERS}/{path.name}": path for path in self.weights}
        return {ENSEMBLE: self.ensemble, CALIBRATION: self.calibration, DOMAIN: self.domain, **members}

    def sha256(self) -> dict[str, str]:
        """Return the SHA-256 of the files, as a dict by their names within an experiment's folder."""
        return {name: file_sha256(path) for name, path in self.named().items()}

    def digest(self) -> str:
        """Return 16 hexadecimal digits that identify the ensemble by the contents of its files."""
        return config_hash(self.sha256())


def pack_ensemble(trained: EnsembleFiles, output: Path) -> str:
    """Write an ensemble to one packed file; return the 16 hexadecimal digits that identify the ensemble.

    The packed file holds `manifest.json`, and the ensemble's files under their names in the experiment's folder. The
    same ensemble and software give the same bytes. InputError if a file is missing or damaged, if the networks take
    different images, or if the networks are those of a control.
    """
    manifest = json.dumps(_manifest(trained), indent=2, sort_keys=True, allow_nan=False) + "\n"
    with atomic(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(MANIFEST), manifest)
        for name, path in trained.named().items():
            archive.writestr(_entry(name), path.read_bytes())
    return trained.digest()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # the attributes of a Unix file on every system
    return entry


def _manifest(trained: EnsembleFiles) -> dict[str, Any]:
    members = [TrainedNetwork.load(path) for path in trained.weights]
    first = members[0]
    for path, member in zip(trained.weights, members, strict=True):
        if member.control:
            raise InputError(
                f"{path}: a network of the control {member.control.name!r}, from whose data something was taken. "
                "It gives no masses: pack the ensemble of an experiment without control."
            )
        check_same_training(path, member, first)
    calibration, training = read_calibration(trained.calibration), read_training(trained.ensemble)
    domain, header = read_ood_model(trained.domain), read_netcdf(trained.ensemble).attrs
    # JSON has no NaN, which is the range of a quantity that no training cluster has
    ranges = {name: ends for name, ends in training.ranges.items() if ends[0] == ends[0]}
    return {
        "format": FORMAT,
        "weights_format": MEMBER_FORMAT,
        "ensemble_hash": trained.digest(),
        "files": trained.sha256(),
        "members": [member.member for member in members],
        "seed": first.seed,
        "image_geometry": first.grid,
        "bands_kev": [edge / 1000 for edge in first.edges_ev],
        "cutting": first.cutting,
        "preprocessing": first.preprocessing,
        "network": first.network,
        "recipe": first.recipe,
        "standardisation": asdict(first.standardisation),
        **({"prior": asdict(first.prior)} if first.prior else {}),
        "calibration": {"clusters": calibration.number, "form": calibration.form} | asdict(calibration.recalibration),
        "training": {"clusters": training.number, "ranges": ranges, "redshift_error": training.redshift_error},
        "domain": {"clusters": domain.number, "quantities": domain.names, "false_alarm_rate": FALSE_ALARMS},
        "cosmology": json_attribute(header, "cosmology", trained.ensemble),
        "trained_with": header.get("source", "unknown"),
        "packed_with": {"clustermass": clustermass.__version__, **{name: metadata.version(name) for name in PACKAGES}},
    }


def check_same_training(path: Path, member: TrainedNetwork, first: TrainedNetwork) -> None:
    """Raise InputError unless the network `member` in the file `path` takes the same images as the network `first`."""
    for what in ("grid", "preprocessing", "cutting", "network", "prior"):
        if getattr(member, what) != getattr(first, what):
            raise InputError(
                f"{path}: its {what} differs from that of the first member. They were trained by different "
                "configurations: run the workflow again, which trains what is out of date."
            )


def unpack(path: Path, folder: Path) -> dict[str, str]:
    """Check a packed ensemble against its manifest, and write its files into a folder.

    Return the SHA-256 of each file, as a dict by its name. InputError if the packed ensemble is missing, damaged or
    incomplete, if it is another kind of file, or if its format can't be read.
    """
    _check_zip(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_stored(archive, path)
            stated = _stated_files(archive, path)
            _check_names(archive, stated, path)
            for name, sha in stated.items():
                target = folder / name
                target.parent.mkdir(exist_ok=True)
                with archive.open(name) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                if file_sha256(target) != sha:
                    raise InputError(f"{path}: {name} in it isn't what was packed (another SHA-256). {_COPY_AGAIN}")
    except InputError:
        raise
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable zip file ({error}). {_COPY_AGAIN}") from error
    return stated


def _check_zip(path: Path) -> None:
    """Raise InputError unless `path` is a zip file that holds few files and fits on the disk when it is unpacked.

    Zip files of the form Zip64 are refused; they are needed only for 4 GB or more, or for 65,535 files or more. The
    length of the list of files is checked first, because Python's zipfile module reads the whole list into memory.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Name a file of `clustermass pack`, or results/<run>/<experiment>.")
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            raise InputError(
                f"{path}: no packed ensemble (not a zip file). Name a file of `clustermass pack`, or the folder "
                "results/<run>/<experiment>."
            )
        stream.seek(max(0, size - _END.size - _LOCATOR_BYTES))
        locator, end = stream.read(_LOCATOR_BYTES), stream.read()
    limits.ENSEMBLE.check(size, path)
    check_disk(size, tempfile.gettempdir(), path)
    if len(end) != _END.size or not end.startswith(b"PK\5\6") or locator.startswith(b"PK\6\7"):
        raise InputError(f"{path}: not a readable zip file (its end is missing). {_COPY_AGAIN}")
    limits.ENTRIES.check(_END.unpack(end)[5] // _ENTRY_BYTES, path)


def _check_stored(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise InputError if a file in a zip file is compressed, or if its files together are larger than it."""
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise InputError(
                f"{path}: {entry.filename} in it is compressed. Name the file that `clustermass pack` wrote."
            )
    if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
        raise InputError(f"{path}: not a readable zip file (its files overlap). {_COPY_AGAIN}")


def _check_names(archive: zipfile.ZipFile, stated: Collection[str], path: Path) -> None:
    names = [name for name in archive.namelist() if name != MANIFEST]
    missing, unknown = sorted({*stated} - {*names}), sorted({*names} - {*stated})
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"holds {unknown[0]}, which isn't in its {MANIFEST}"
        raise InputError(f"{path}: {what}. {_COPY_AGAIN}")
    if len(names) > len(stated):
        raise InputError(f"{path}: holds two files {max(names, key=names.count)}. {_COPY_AGAIN}")


def _stated_files(archive: zipfile.ZipFile, path: Path) -> dict[str, str]:
    """Return the SHA-256 that the manifest states for each file of a packed ensemble, as a dict by the file's name."""
    try:
        limits.JSON_BYTES.check(archive.getinfo(MANIFEST).file_size, path)
        manifest = json.loads(archive.read(MANIFEST))
        whole, networks, files = manifest["format"], manifest["weights_format"], manifest["files"]
        if not all(isinstance(text, str) for entry in files.items() for text in entry):
            raise TypeError("names and hashes must be texts")
    except InputError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(
            f"{path}: no packed ensemble (no {MANIFEST} of ours in it). Name a file of `clustermass pack`."
        ) from None
    for what, given, wanted in (("", whole, FORMAT), ("networks of ", networks, MEMBER_FORMAT)):
        if given != wanted:
            raise InputError(
                f"{path}: holds {what}format {given}, this version of clustermass ({clustermass.__version__}) reads "
                f"{wanted}. Use the version that packed it (manifest.json in it says which), or train and pack the "
                "ensemble again with this one."
            )
    strange = [name for name in files if not _NAMES.fullmatch(name)]
    if strange or manifest.get("ensemble_hash") != config_hash(files):
        raise InputError(f"{path}: its {MANIFEST} was changed by hand or is damaged. {_COPY_AGAIN}")
    return files

"""Verify results: compare files with the hashes in provenance records, and trace mass catalogues to their events."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from clustermass.config.resolve import resolve_sky
from clustermass.ensemble.calibration import digest_of, validation_clusters
from clustermass.errors import InputError
from clustermass.io.provenance import CATALOGUE_BLOCKS, blocks, config_hash, simulation_hash
from clustermass.report.records import (
    CONFIG,
    MATCHING,
    RESULTS,
    RUN_RECORD,
    SIMULATION,
    TRAINING,
    Files,
    Record,
    read_config,
)

#: first steps of a chain: they simulate photons, or read a user's files or published images
SOURCES = (SIMULATION, "ingest_field", "ingest_published")
CATALOGUES = "infer_observed"
#: dict from files of a simulated sky, whose settings are compared with the run's configuration, to their steps
_STEPS_OF_SKIES = {"events.fits": SIMULATION, "catalogue.fits": MATCHING}


class Finding(NamedTuple):
    """A difference that a verification found: the name of the file, a description of the difference, and a remedy."""

    file: str
    what: str
    remedy: str


@dataclass
class Verification:
    """What a verification of files has found."""

    #: dicts from each step to the number of its files, and to the number of input files whose hashes were compared
    steps: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)  #: from a user's missing file to a file that was made from it
    silent: list[str] = field(default_factory=list)  #: files without a provenance record
    #: files whose hash is in no record; a change of such a file is noticed only if the file holds a checksum
    unnamed: list[str] = field(default_factory=list)
    chains: int = 0  #: number of catalogues with a complete chain back to the events


def verify(path: Path, files: Files) -> Verification:
    """Check a file, or all files below a folder, and all files from which they were made.

    InputError if none of the files has a provenance record.
    """
    start = [path.resolve()] if path.is_file() else files.products(path)
    records = files.chain(start)
    result, first, inside = Verification(), {*start}, path.resolve()
    stated = {one: record for one, record in records.items() if record}
    for one, record in stated.items():
        result.steps[record.step] += 1
        result.findings += _of_itself(one, record, files)
    named = _compare(stated, files, result)
    for one in (one for one in records if one in first or one.is_relative_to(files.root)):
        if records[one] is None:
            _without_record(one, files, result)
        if path.is_dir() and one not in named and one.name != RUN_RECORD:
            result.unnamed.append(files.shown(one))
    if not (result.steps or result.findings):
        raise InputError(f"{path}: doesn't say how it was made. Name results/<run> of a finished run, or results.")
    for one, record in stated.items():
        if record.step == CATALOGUES and one.is_relative_to(files.root):
            broken = list(_broken(one, files))
            result.findings += broken
            result.chains += not broken
    for run in (one.parent for one in sorted(files.root.glob(f"*/{RUN_RECORD}")) if (one.parent / CONFIG).is_file()):
        if inside.is_relative_to(run) or (run / RUN_RECORD).is_relative_to(inside):
            result.findings += _other_settings(run, files)
    return result


def again(files: Files, names: Iterable[str] = ()) -> str:
    """Return the command that repeats the run to which one of the files `names` belongs.

    If they belong to several runs, the run of the first file is repeated. If they belong to no run, the first run in
    the results folder is repeated.
    """
    runs = _runs(files)
    folders = [Path(name).parts[1] for name in names if len(Path(name).parts) > 2]
    run = next((folder for folder in [*folders, *runs] if folder in runs), None)
    configuration = shlex.quote(f"{RESULTS}/{run}/{CONFIG}")
    return ".venv/bin/snakemake --cores all" + (f" --configfile {configuration}" if run else "")


@lru_cache(maxsize=1)
def _runs(files: Files) -> list[str]:
    found = [path.parent.name for path in sorted(files.root.glob(f"*/{CONFIG}"))]
    return [run for run in found if files.is_inside(f"{RESULTS}/{run}/{CONFIG}")]


def _anew(file: str, files: Files, used_by: Iterable[str] = ()) -> str:
    """Return commands that remove a wrong file and repeat the run to which it, or one of `used_by`, belongs.

    The file is a target, because Snakemake makes a missing intermediate file only if it is asked for. The text has no
    command if the file isn't in the results folder, or if its name has invisible characters.
    """
    if not files.is_inside(file):
        return "Its name leads out of the results folder or has invisible characters. Remove nothing by this name"
    command, name = again(files, [file, *used_by]), shlex.quote(file)
    return f"To have it made again, and what was made from it: rm -f {name} && {command} -- {name} && {command}"


def _of_itself(path: Path, record: Record, files: Files) -> Iterator[Finding]:
    """Yield a finding if a file states a wrong hash of its settings, and all findings of `_calibration`."""
    shown = files.shown(path)
    if record.parameters is not None:
        try:
            digest = config_hash(json.loads(record.parameters))
        except (ValueError, RecursionError):
            digest = "no JSON"
        if digest != record.config_hash:
            what = f"its settings were changed: their hash is {digest}, but it states {record.config_hash or 'none'}"
            yield Finding(shown, what, _anew(shown, files))
    if record.step == "calibrate" and "validation_sha256" in record.further:
        yield from _calibration(path, record, files)


def _calibration(path: Path, record: Record, files: Files) -> Iterator[Finding]:
    """Yield a finding if calibration.json wasn't made from the validation clusters of the ensemble.nc beside it."""
    ensemble, shown = path.with_name("ensemble.nc"), files.shown(path)
    splits = [one for one in files.chain([ensemble]) if one.parent.name == "splits"] if ensemble.is_file() else []
    if not splits:
        yield Finding(shown, "its ensemble.nc or the split of its sky is missing", again(files, [shown]))
        return
    try:
        digest, stated = digest_of(validation_clusters(ensemble, splits[0])), record.further["validation_sha256"]
    except InputError as error:
        yield Finding(shown, f"its validation clusters can't be read: {error}", again(files, [shown]))
        return
    if digest != stated:
        what = f"was made from other validation clusters ({stated}) than {ensemble.name} has ({digest})"
        yield Finding(shown, what, _anew(shown, files))


def _compare(records: Mapping[Path, Record], files: Files, result: Verification) -> set[Path | None]:
    """Compare the input files that `records` name with the hashes given there, and add differences to `result`.

    Returns the paths of the input files. For missing files, the set contains None.
    """
    readers: dict[tuple[str, str], list[Path]] = {}
    for path, record in records.items():
        for item in record.inputs.items():
            readers.setdefault(item, []).append(path)
    inputs = {item: files.locate(*item, by[0]) for item, by in readers.items()}
    for (name, stated), there in inputs.items():
        by = readers[name, stated]
        if there is None and not files.is_ours(name):
            result.absent.setdefault(name, files.shown(by[0]))
            continue
        result.compared.update(records[path].step for path in by)
        if there is None or files.sha256(there) != stated:
            result.findings.append(_changed(name, there, stated, [*map(files.shown, by)], files))
    return {*inputs.values()}


def _changed(name: str, there: Path | None, stated: str, by: list[str], files: Files) -> Finding:
    others = f" (and {len(by) - 1} more)" if len(by) > 1 else ""
    if there is None:
        return Finding(name, f"is missing, but {by[0]}{others} was made from it", _anew(name, files, by))
    what = f"SHA-256 is {files.sha256(there)}, but {by[0]}{others} was made from a file with {stated}"
    if files.is_ours(name):
        return Finding(name, what, _anew(name, files, by))
    remedy = f"Put the file back as it was, or have all made again from what it is now: {again(files, by)}"
    return Finding(str(there), what, remedy)


def _without_record(path: Path, files: Files, result: Verification) -> None:
    shown = files.shown(path)
    try:
        files.record(path)
        result.silent.append(shown)
    except InputError as error:
        result.findings.append(Finding(shown, str(error).removeprefix(f"{path}: ").rstrip("."), _anew(shown, files)))


def _broken(catalogue: Path, files: Files) -> Iterator[Finding]:
    """Yield a finding for each file that doesn't state its inputs, and one if the chain reaches no events or images."""
    shown, chain = files.shown(catalogue), files.chain([catalogue])
    for path, record in chain.items():
        if not path.is_relative_to(files.root):
            continue
        first = record and not record.inputs and record.step not in (TRAINING, "calibrate", "fit_ood")
        if record is None or (first and record.step not in SOURCES):
            what = f"the way back to the events ends at {files.shown(path)}, which doesn't say what it was made from"
            yield Finding(shown, what, _anew(files.shown(path), files, [shown]))
    if not any(record and record.step in SOURCES for record in chain.values()):
        yield Finding(shown, "the way back doesn't reach any events or images", again(files, [shown]))


def _other_settings(run: Path, files: Files) -> Iterator[Finding]:
    """Yield a finding for each simulated sky whose settings differ from the configuration of the run."""
    config = read_config(run / CONFIG)
    for path, record in files.chain([run / RUN_RECORD]).items():
        if record and _STEPS_OF_SKIES.get(path.name) == record.step:
            wanted = _hash_of_sky(config, path.parents[1].name, record.step)
            if wanted and wanted != record.config_hash:
                shown, own = files.shown(path), files.shown(run / CONFIG)
                what = f"was simulated with other settings ({record.config_hash}) than {own} has ({wanted})"
                yield Finding(shown, what, f"To have all made with that configuration: {again(files, [own])}")


def _hash_of_sky(config: Mapping[str, Any], name: str, step: str) -> str | None:
    try:
        sky: Mapping[str, Any] = resolve_sky(config["skies"], name)
        if step == MATCHING:
            return config_hash(blocks(sky, CATALOGUE_BLOCKS))
        return simulation_hash(sky, config["cosmology"] | sky.get("cosmology", {}))
    except (KeyError, TypeError, AttributeError, ValueError):
        return None

"""Verification of results: compare every hash that files state, and follow each catalogue back to its events."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from clustermass.config.resolve import resolve_sky
from clustermass.ensemble.calibration import digest_of, validation_clusters
from clustermass.errors import InputError
from clustermass.io.provenance import CATALOGUE_BLOCKS, blocks, config_hash, simulation_hash
from clustermass.report.records import (
    CONFIG,
    DETECTION,
    RESULTS,
    RUN_RECORD,
    SIMULATION,
    TRAINING,
    Files,
    Record,
    read_config,
)

#: steps that a chain may begin with: they make photons or images, or read a user's files
SOURCES = (SIMULATION, "ingest_field", "ingest_published")
CATALOGUES = "infer_observed"
#: files of a simulated sky that are compared with the run's configuration, and their steps
_STEPS_OF_SKIES = {"events.fits": SIMULATION, "catalogue.fits": DETECTION}


class Finding(NamedTuple):
    """A file that differs from its record: its name, the difference, and the remedy."""

    file: str
    what: str
    remedy: str


@dataclass
class Verification:
    """Result of a verification."""

    #: step -> number of its files, and of hashes of inputs that were compared for them
    steps: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)  #: missing files of a user, each with a file made from it
    silent: list[str] = field(default_factory=list)  #: files without a record of their making
    #: files whose hash no other file states: a change is seen only if they hold a checksum
    unnamed: list[str] = field(default_factory=list)
    chains: int = 0  #: number of catalogues with a complete chain back to the events


def verify(path: Path, files: Files) -> Verification:
    """Check a file, or all files below a folder, and all their inputs; InputError if there are none."""
    start = [path.resolve()] if path.is_file() else files.products(path)
    records = files.chain(start)
    result = Verification()
    stated = {one: record for one, record in records.items() if record}
    for one, record in stated.items():
        result.steps[record.step] += 1
        result.findings += _of_itself(one, record, files)
    named = _compare(stated, files, result)
    for one in (one for one in records if one in start or one.is_relative_to(files.root)):
        if records[one] is None:
            _without_record(one, files, result)
        if path.is_dir() and one not in named and one.name != RUN_RECORD:
            result.unnamed.append(files.shown(one))
    if not (result.steps or result.findings):
        raise InputError(f"{path}: says nothing of how it was made. Name results/<run> of a finished run, or results.")
    for one, record in stated.items():
        if record.step == CATALOGUES and one.is_relative_to(files.root):
            broken = list(_broken(one, files))
            result.findings += broken
            result.chains += not broken
    inside = path.resolve()
    for run in (one.parent for one in sorted(files.root.glob(f"*/{RUN_RECORD}")) if (one.parent / CONFIG).is_file()):
        if inside.is_relative_to(run) or (run / RUN_RECORD).is_relative_to(inside):
            result.findings += _other_settings(run, files)
    return result


def again(files: Files, names: Iterable[str] = ()) -> str:
    """Return the command that repeats a run: the run of the first of `names` that is in one, else the first run."""
    runs = [path.parent.name for path in sorted(files.root.glob(f"*/{CONFIG}"))]
    folders = [Path(name).parts[1] for name in names if len(Path(name).parts) > 2]
    run = next((folder for folder in [*folders, *runs] if folder in runs), None)
    return ".venv/bin/snakemake --cores all" + (f" --configfile {RESULTS}/{run}/{CONFIG}" if run else "")


def _anew(file: str, files: Files, used_by: Iterable[str] = ()) -> str:
    """Return the remedy for a wrong file: remove it, then make it and all that depends on it again.

    Snakemake makes a missing intermediate file again only if it is asked for that file.
    """
    command = again(files, [file, *used_by])
    return f"To have it made again, and what was made from it: rm -f '{file}' && {command} -- '{file}' && {command}"


def _of_itself(path: Path, record: Record, files: Files) -> Iterator[Finding]:
    """Compare the settings in a file with the hash of settings in it."""
    shown = files.shown(path)
    if record.parameters is not None:
        try:
            digest = config_hash(json.loads(record.parameters))
        except ValueError:
            digest = "no JSON"
        if digest != record.config_hash:
            what = f"its settings were changed: their hash is {digest}, but it states {record.config_hash or 'none'}"
            yield Finding(shown, what, _anew(shown, files))
    if record.step == "calibrate" and "validation_sha256" in record.further:
        yield from _calibration(path, record, files)


def _calibration(path: Path, record: Record, files: Files) -> Iterator[Finding]:
    """Check that calibration.json was made from the validation clusters of the ensemble beside it."""
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
    """Compare the hashes that files state with those of their inputs; return the inputs, None for missing ones."""
    readers: dict[tuple[str, str], list[Path]] = {}
    for path, record in records.items():
        for item in record.inputs.items():
            readers.setdefault(item, []).append(path)
    inputs = {item: files.locate(*item) for item in readers}
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
    """Yield where the chain from a catalogue back to events ends early."""
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
    """Check that simulated skies were made with the settings that the run's configuration has for them."""
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
        if step == DETECTION:
            return config_hash(blocks(sky, CATALOGUE_BLOCKS))
        return simulation_hash(sky, config["cosmology"] | sky.get("cosmology", {}))
    except (KeyError, TypeError, InputError):
        return None

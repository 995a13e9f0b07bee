"""Hostile results folders: records of provenance, names of files and folders, links and pipes."""

import contextlib
import hashlib
import json
import os
import shutil

from hostile_inputs import TEXTS, VALUES, hostile, mutated
from hostile_originals import stated

#: names that a file can have: no slash, no NUL, at most 255 bytes
NAMES = [name for text in TEXTS if (name := text.replace("/", "\u2215").replace("\0", "")[:60])]
RAW_NAMES = (b"\xff\xfe.json", b"a\x80b.nc", b"\xc3\x28.png")


def filled(place):
    """Return the results folder of the case."""
    return place.work / "results"


def record(place, changes, name="mine/metrics.json"):
    """Change the provenance of a file in the results folder, and state its new hash where it is an input."""
    path = filled(place) / name
    content = json.loads(path.read_text())
    content["provenance"] |= changes
    path.write_text(json.dumps(content))
    return path


@hostile("verify", "trace", "record", variants=VALUES)
def provenance(place, text):
    path = filled(place) / "mine" / "metrics.json"
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps(content | {"provenance": "@@P@@"}).replace('"@@P@@"', mutated(place, content["provenance"], text))
    )
    return path


HASH = "0" * 64
INPUTS = {
    "up": {"results/../../canary/secret.txt": HASH},
    "down and up": {"results/skies/../../../canary/secret.txt": HASH},
    "absolute": {"/etc/passwd": HASH},
    "device": {"/dev/zero": HASH},
    "terminal": {"/dev/stdin": HASH},
    "process": {"/proc/self/mem": HASH, "/proc/kmsg": HASH},
    "itself": {"results/mine/metrics.json": HASH},
    "circle": {"results/mine/provenance.json": HASH},
    "long": {"results/" + "x" * 5000: HASH},
    "deep": {"results/" + "x/" * 50_000: HASH},
    "nul": {"results/a\0b": HASH},
    "many": {f"results/skies/{number}": HASH for number in range(5000)},
    "many outside": {f"data/{number}": HASH for number in range(3000)},
    "empty": {"": "", ".": "", "..": "", "results": "", "results/": ""},
    "folder": {"results/mine": HASH, "results/skies/tiny": HASH},
    "hash": {"results/mine/config.yaml": "\x1b[2J"},
    "surrogates": {"results/\ud800": HASH, "\udcff": HASH},
}


@hostile(
    "verify", "trace", variants=INPUTS | {f"named {text}"[:40]: {f"results/{text}": HASH, text: text} for text in TEXTS}
)
def inputs(place, named):
    record(place, {"input_sha256": named})
    return filled(place) if place.rng.random() < 0.3 else filled(place) / "mine" / "metrics.json"


@hostile("verify", "trace", variants=TEXTS)
def stated_texts(place, text):
    """Change texts of a record that are printed: the step, the software, the settings and all else."""
    changes = {
        "step": text,
        "source": text,
        "parameters": json.dumps({text: text}),
        "config_hash": text,
        text: text,
        "seed": text,
    }
    path = record(place, changes)
    return path.parent if place.rng.random() < 0.5 else path


@hostile("trace", "verify")
def long_chain(place, _):
    """Write a thousand files, each made from the one before."""
    before = {}
    for number in range(1000):
        path = filled(place) / "mine" / f"c{number}.json"
        path.write_text(json.dumps({"provenance": {"step": "x", "input_sha256": before}}))
        before = stated(filled(place), path)
    return path


@hostile("trace", "verify")
def wide_chain(place, _):
    """Write files of 14 levels, each of which names both files of the level before."""
    before = {}
    for level in range(14):
        made = []
        for twin in "ab":
            made.append(filled(place) / "mine" / f"{level}{twin}.json")
            made[-1].write_text(json.dumps({"provenance": {"step": "x", "input_sha256": before}}))
        before = stated(filled(place), *made)
    return made[0]


def on_disk(name):
    """Return a name as Python gets it from a disk, where it can be any bytes."""
    return name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


@hostile("verify", "trace", variants=[*NAMES, *RAW_NAMES])
def names(place, name):
    """Give a file or folder of the results folder such a name; its record leads nowhere."""
    folder = filled(place) / "mine"
    if place.rng.random() < 0.4 and isinstance(name, str):
        folder.rename(filled(place) / on_disk(name))
        return filled(place)
    path = folder / (f"{on_disk(name)}.json" if isinstance(name, str) else os.fsdecode(name))
    path.write_bytes((folder / "metrics.json").read_bytes().replace(b"results/skies", b"results/nowhere"))
    return filled(place) if place.rng.random() < 0.5 else path


@hostile("verify", variants=("fits", "ecsv", "vot", "nc", "json", "png", "svg", "safetensors", "zip"))
def endings(place, ending):
    """Write a table of text whose ending says that it is another kind of file."""
    shutil.copy(place.harmless / "clusters.csv", filled(place) / "mine" / f"x.{ending}")
    return filled(place)


FIFO = (
    "mine/config.yaml",
    "mine/provenance.json",
    "mine/summary.json",
    "mine/x.json",
    "mine/figure.png",
    "skies/tiny/01/events.fits",
)


@hostile("verify", "trace", "summary", variants=FIFO)
def pipe(place, name):
    """Put a named pipe in the place of a file: whoever opens it waits for ever."""
    path = filled(place) / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return filled(place) / "mine" if place.rng.random() < 0.5 else filled(place)


@hostile(
    "table", "weights", "yaml", "calibration", "netcdf", "events", "exposure", "ensemble", "published_images", "pack"
)
def pipe_alone(place, _):
    path = place.work / ("experiment" if place.rng.random() < 0.5 else "pipe")
    if path.is_dir():
        (path / "members" / "00.safetensors").unlink()
        os.mkfifo(path / "members" / "00.safetensors")
        return path
    os.mkfifo(path)
    return path


LINKS = {
    "up": "../../..",
    "itself": ".",
    "loop": "loop",
    "root": "/",
    "secret": "../../../canary/secret.txt",
    "zero": "/dev/zero",
    "random": "/dev/urandom",
    "process": "/proc/self/fd/0",
    "dangling": "nowhere",
    "null": "/dev/null",
    "waiting": "/dev/ptmx",
}


@hostile("verify", "summary", variants=LINKS)
def links(place, target):
    """Put links into the results folder, in the place of a file or in addition."""
    name = str(place.rng.choice(["summary.json", "config.yaml", "provenance.json", "x.json", "loop", "x.nc", "x.zip"]))
    path = filled(place) / "mine" / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return filled(place) / "mine" if place.rng.random() < 0.5 else filled(place)


@hostile("verify")
def deep_folders(place, _):
    folder = os.open(filled(place), os.O_DIRECTORY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    return filled(place)


FIGURES = {
    "n_train": 5,
    "n_test": 5,
    "n_members": 2,
    "scatter_dex": 0.2,
    "scatter_dex_ci68": [0.1, 0.3],
    "scatter_ln_percent": 40.0,
}
FIGURES |= {
    "bias_dex": 0.1,
    "over_count_rate": None,
    "over_ridge": 0.9,
    "over_ridge_ci68": [0.8, 1.0],
    "residual_over_sigma": 1.0,
}
FIGURES |= {"coverage68": 0.7, "catalogues": {"field": "results/mine/masses.fits"}}


@hostile("summary", variants=VALUES)
def summary(place, text):
    content = {"experiments": {"fiducial": FIGURES}}
    return place.write("results/mine/summary.json", mutated(place, content, text)).parent


@hostile("summary", variants=TEXTS)
def summary_texts(place, text):
    figures = FIGURES | {"catalogues": {text: text}, "test_skies": {text: FIGURES}}
    return place.write("results/mine/summary.json", json.dumps({"experiments": {text: figures}})).parent


@hostile("trace", variants=VALUES)
def made_with(place, text):
    """Change the software of the run, which trace prints."""
    made = {
        "packages": {"numpy": "1"},
        "git_changes": True,
        "clustermass": "1",
        "git_commit": "abc",
        "python": "3",
        "lock_sha256": "x",
    }
    content = {"experiments": {"fiducial": FIGURES}, "made_with": made}
    place.write("results/mine/summary.json", mutated(place, content, text))
    return filled(place) / "mine" / "metrics.json"


@hostile("verify", "trace", variants=VALUES)
def run_configuration(place, text):
    """Change the configuration of the run, from which verify computes hashes and takes names of files."""
    path = filled(place) / "mine" / "config.yaml"
    lines = path.read_text().splitlines()
    number = int(place.rng.choice([at for at, line in enumerate(lines) if ": " in line.partition("#")[0]]))
    lines[number] = lines[number].partition(": ")[0] + ": " + text
    path.write_text("\n".join(lines))
    return filled(place) / "mine" / ("" if place.rng.random() < 0.5 else "metrics.json")


@hostile("masses of events", "masses of clusters", "check-config", variants=NAMES)
def names_of_inputs(place, name):
    """Give a harmless file such a name on the command line."""
    original = {"masses of events": "events.fits", "check-config": "mine.yaml"}
    path = place.work / on_disk(name)
    source = "clusters.csv" if place.rng.random() < 0.3 else "events.fits"
    with contextlib.suppress(shutil.SameFileError):
        shutil.copy(place.harmless / original.get("", source), path)
    return path


@hostile("pack", variants=LINKS)
def linked_experiment(place, target):
    path = (
        place.work
        / "experiment"
        / str(place.rng.choice(["ensemble.nc", "calibration.json", "domain.nc", "members/01.safetensors"]))
    )
    path.unlink()
    path.symlink_to(target)
    return place.work / "experiment"


@hostile("pack", variants=("big", "hash"))
def foreign_experiment(place, variant):
    path = place.work / "experiment" / ("domain.nc" if variant == "hash" else "calibration.json")
    if variant == "big":
        with path.open("r+b") as stream:
            stream.truncate(100 << 30)
    else:
        path.write_bytes(hashlib.sha256(b"").digest() * 1000)
    return place.work / "experiment"


@hostile("masses of events")
def sparse_events(place, _):
    """Make an event list of 200 GB, nearly all of which is a hole: to hash it would take many minutes."""
    path = place.write("big.fits", (place.harmless / "events.fits").read_bytes())
    with path.open("r+b") as stream:
        stream.truncate(200 << 30)
    return path

"""Hostile configurations and benchmark files of other runs in a results folder, which `clustermass plan` reads."""

import os
from pathlib import Path

import yaml
from hostile_inputs import TEXTS, VALUES, hostile

#: a benchmark file of Snakemake: names of columns and, for a job, its values
COLUMNS = "s\tmax_rss\tcpu_time\n"
SIMULATION = "skies/embedded/01/benchmarks/simulate_realization.tsv"


def run(place, **changes):
    """Write the configuration of a finished run `evil`; the results folder holds a job of its sky, too."""
    config = yaml.safe_load((place.harmless / "base.yaml").read_text())
    place.write(f"results/{SIMULATION}", f"{COLUMNS}12\tNA\t11\n")
    place.write("results/skies/embedded/01/events.fits", "x")
    place.write("results/evil/config.yaml", yaml.safe_dump(config | {"run": "evil"} | changes))
    return place.work


@hostile("plan", variants=["/", "/usr", "..", "../../..", "../canary", ".", "", "skies", *TEXTS[:8]])
def plan_run(place, name):
    """Name a run or a sky by a path that leads elsewhere, perhaps to the whole disk."""
    experiments = {"fiducial": {"sky": "embedded", "test_skies": [name]}}
    return run(place, run=name) if place.rng.random() < 0.5 else run(place, experiments=experiments)


@hostile("plan", variants=["/", "..", "../../.."])
def plan_elsewhere(place, name):
    return run(place, run=name)


ROWS = {
    "empty": "",
    "no row": COLUMNS,
    "short": f"{COLUMNS}1\n",
    "nan": f"{COLUMNS}nan\tnan\tnan\n",
    "text": f"{COLUMNS}x\tx\tx\n",
    "negative": f"{COLUMNS}-5\t1\t-5\n",
    "digit": f"{COLUMNS}1\t1\t\u00b2\n",
    "infinite": f"{COLUMNS}1e999\t1\t1\n",
    "long": f"{COLUMNS}{'1' * 200_000}\t1\t1\n",
    "nul": "\0" * 100,
    "not utf-8": b"s\n\xff",
    "quote": 's\t"max_rss\n' * 1000,
}


@hostile("plan", variants=ROWS)
def plan_benchmark(place, content):
    path = run(place)
    place.write(f"results/{SIMULATION}", content)
    return path


@hostile("plan", variants=("9" * 200, "00_09", "", "9_1"))
def plan_training(place, number):
    """Name the benchmark file of a training by numbers of networks that no run has."""
    path = run(place)
    place.write(f"results/evil/fiducial/benchmarks/train_member_{number}.tsv", f"{COLUMNS}12\tNA\t11\n")
    return path


@hostile("plan", variants=("pipe", "sparse", "folder", "link"))
def plan_special(place, kind):
    """Put a pipe, a file of 100 GB, a folder or a link in the place of a benchmark file."""
    path, benchmark = run(place), place.work / "results" / SIMULATION
    benchmark.unlink()
    if kind == "pipe":
        os.mkfifo(benchmark)
    elif kind == "folder":
        benchmark.mkdir()
    elif kind == "link":
        benchmark.symlink_to("/dev/zero")
    else:
        with Path(benchmark).open("wb") as stream:
            stream.truncate(100 << 30)
    return path


FIELDS = {"zero": [0, 0], "negative": [-1, 1], "nan": [float("nan"), 1], "texts": ["x", "y"], "lists": [[1], [2]]}


@hostile("plan", variants=FIELDS)
def plan_area(place, sides):
    field = dict(zip(("width_deg", "height_deg"), sides, strict=True))
    return run(place, skies={"embedded": {"field": field}})


BLOCKS = ("skies", "experiments", "observed", "preprocessing", "training", "cosmology", "images", "events")


@hostile("plan", variants=[f"{name} {text}" for name in BLOCKS for text in ("5", "[]", "{}", "null", "{a: 5}", "x")])
def plan_block(place, variant):
    name, text = variant.split(" ", 1)
    return run(place, **{name: yaml.safe_load(text)})


@hostile("plan", variants={"itself": "embedded", "number": 5, "nothing": "nowhere", "list": ["embedded"]})
def plan_like(place, like):
    return run(place, skies={"embedded": {"like": like}})


@hostile("plan", variants=VALUES)
def plan_values(place, text):
    """Write a value that no configuration has in the place of another."""
    path = run(place)
    config = place.work / "results" / "evil" / "config.yaml"
    lines = config.read_text().splitlines()
    number = int(place.rng.choice([at for at, line in enumerate(lines) if ": " in line]))
    lines[number] = lines[number].partition(": ")[0] + ": " + text
    config.write_text("\n".join(lines))
    return path


@hostile("plan")
def plan_many_files(place, _):
    folder = run(place) / "results" / "evil" / "many"
    folder.mkdir()
    for number in range(100_001):
        (folder / str(number)).touch()
    return place.work

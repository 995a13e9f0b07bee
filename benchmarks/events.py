"""Measure time and memory to make full-resolution images of clusters from an event list on disk, read in pieces.

The time is compared with that of a simpler method, which masks all photons by the box of each cluster. With a number,
``python benchmarks/events.py 100`` makes one list of 100 million photons instead, makes images from it once, and
ingests it once like a list of a user. This needs 10 GB in the temporary folder.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table
from images import CLUSTERS, masked, sky
from images import GEOMETRY as BASE
from runner import RESULTS, Arm, benchmark, header

from clustermass.events.eventlist import Selection
from clustermass.events.read import read_events, stream_events
from clustermass.events.write import write_events
from clustermass.images.cutouts import count_list
from clustermass.images.sky_index import ImageStack
from clustermass.ingest.user_field import ingest_field
from clustermass.io.files import write_json
from clustermass.io.products import FieldFiles

GEOMETRY = replace(BASE, base_rebin=1)  # 300 x 300 x 10
MILLION = 1_000_000
MILLIONS, FEW = 15, 2  # millions of photons in the comparison; number of clusters for which the mask is timed
GROWTH = (5, 10, 20)
ROUNDS = 5


def write_long(path, millions, events, first=0):
    """Write an event list with `millions` copies of the million photons `events`, 1000 s apart."""
    write_events([events], path, {})
    content = path.read_bytes()
    start = content.index(b"XTENSION")
    number = f"NAXIS2  = {MILLION:20d}".encode()
    where = content.index(number, start)
    content = content[:where] + f"NAXIS2  = {millions * MILLION:20d}".encode() + content[where + len(number) :]
    width = int(content[content.index(b"NAXIS1  =", start) + 10 :][:20])
    data = content.index(b"END" + 77 * b" ", start)
    data += -data % 2880
    end = data + width * MILLION
    rows = np.frombuffer(content[data:end], dtype=[("TIME", ">f8"), ("others", f"V{width - 8}")]).copy()
    times = np.sort(np.random.default_rng(2).uniform(0, 1000, MILLION))
    with path.open("wb") as stream:
        stream.write(content[:data])
        for later in range(first, first + millions):
            rows["TIME"] = times + 1000 * later
            stream.write(rows.data)
        stream.write(bytes(-width * MILLION * millions % 2880))
        stream.write(content[end + -end % 2880 :])
    return path


def images_of(path, ra, dec):
    """Return the images of all clusters from an event list, made as in the rule extract_images."""
    energies = (GEOMETRY.edges_ev[0], GEOMETRY.edges_ev[-1])
    return count_list(path, Selection("auto", 15, energies), ImageStack(ra, dec, GEOMETRY))[0]


def take_in(paths, ra, dec):
    """Write event lists as the standard files of a field, as in the rule ingest_field; return the number of photons."""
    with tempfile.TemporaryDirectory(dir=Path(paths[0]).parent) as folder:
        place = Path(folder)
        number = np.arange(1, ra.size + 1)
        Table({"ID_SRC": number, "RA": ra, "DEC": dec, "Z": np.full(ra.size, 0.3)}).write(place / "clusters.csv")
        files = {"events": [str(path) for path in paths], "catalogue": str(place / "clusters.csv"), "exposure_s": 1e3}
        outputs = {name: place / f"{name}.fits" for name in ("events", "exposure", "catalogue")}
        sky_block = {"observed": True, "realizations": {"01": files}}
        ingest_field(sky_block, "01", {"flag_mask": "auto", "pattern": 15}, FieldFiles(**outputs))
        return sum(map(len, stream_events(outputs["events"])))


def alone(what, *paths):
    """Run `images_of` (if `what` is "images") or `take_in` in a separate process; return its times and memory."""
    command = [sys.executable, __file__, "worker", what, *map(str, paths)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def worker(what, *paths):
    """Do the work in the process that `alone` starts; print times (s) and peak memory (MB) as JSON."""
    _, ra, dec = sky(np.random.default_rng(1), MILLION)
    wall, cpu = time.perf_counter(), time.process_time()
    if what == "images":
        found = {"in_images": int(images_of(*paths, ra, dec).sum(dtype=np.int64))}
    else:
        found = {"photons": take_in(paths, ra, dec)}
    measured = {"cpu_s": round(time.process_time() - cpu, 3), "wall_s": round(time.perf_counter() - wall, 3)}
    # not ru_maxrss: it would include the memory of the parent process before this process began
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({**found, **measured, "peak_mb": round(peak)}))


def check(path, images, ra, dec):
    """Check that the method with masks gives the same images; return the photons and a text for the report.

    AssertionError if the counts differ.
    """
    events = Selection().keep(read_events(path))
    for number in range(FEW):
        np.testing.assert_array_equal(images[number], masked(events, ra[number], dec[number], GEOMETRY))
    return events, f"equal counts in both arms for {FEW} clusters"


def compare(folder, million, ra, dec):
    """Compare the CPU times of our method and of the method with masks on one core; write events.json."""
    path = write_long(folder / "events.fits", MILLIONS, million)
    memory = alone("images", path)
    events, checked = check(path, images_of(path, ra, dec), ra, dec)

    def mask():
        return [masked(events, ra[number], dec[number], GEOMETRY) for number in range(FEW)]

    def read():
        return sum(map(len, stream_events(path)))

    arms = {
        "ours": Arm("list on disk to all images", lambda: images_of(path, ra, dec), CLUSTERS, "cluster"),
        "mask": Arm("box mask and numpy.histogramdd per cluster, photons in memory", mask, FEW, "cluster"),
        "read": Arm("reading the list piece by piece, nothing else", read, CLUSTERS, "cluster"),
    }
    setup = {"photons": MILLIONS * MILLION, "clusters": CLUSTERS, "images": "300 x 300 x 10", "in_a_process": memory}
    setup |= {"sky": "a million photons, uniform over the default field, repeated"}
    what = f"images of {CLUSTERS} clusters from a list of {MILLIONS} million photons; times are compared per cluster"
    limit = "reading the list: ratio ours / read"
    benchmark("events", what, arms, [("mask", "ours"), ("ours", "read")], limit, checked, setup, ROUNDS)
    path.unlink()


def grow(folder, million, ra, dec):
    """Measure time and memory for lists of `GROWTH` million photons; write events_growth.json."""
    paths = {number: write_long(folder / f"{number}.fits", number, million) for number in GROWTH}
    memory = {str(number): alone("images", path) for number, path in paths.items()}
    taken = {str(number): alone("lists", path) for number, path in paths.items()}
    # the second list begins in the middle of the first: the later photons of the first are in both
    joined = {}
    for number in GROWTH[:2]:
        second = write_long(folder / "second.fits", number, million, first=number // 2)
        joined[f"{number} and {number}"] = alone("lists", paths[number], second)
    arms = {
        f"{number} million": Arm(
            "list on disk to all images", lambda path=path: images_of(path, ra, dec), number * MILLION, "photon"
        )
        for number, path in paths.items()
    }
    pairs = [(f"{GROWTH[-1]} million", f"{number} million") for number in GROWTH[:-1]]
    what = f"images of {CLUSTERS} clusters from lists of several lengths; times are compared per photon"
    setup = {"in_a_process": memory, "taken_in_in_a_process": taken, "joined_in_a_process": joined}
    benchmark("events_growth", what, arms, pairs, "none known", "-", setup, 3)


def once(folder, millions, million):
    """Make images from one list of `millions` million photons, and ingest it, once each; write the times and memory."""
    what, command = f"a list of {millions} million photons, each once", f"python benchmarks/events.py {millions}"
    report = header(f"events_{millions}", what, command)
    path = write_long(folder / "events.fits", millions, million)
    report |= {"images": alone("images", path), "taken_in": alone("lists", path)}
    write_json(report, RESULTS / f"events_{millions}.json")
    print(json.dumps(report, indent=2))


def main(arguments):
    """Run the measurement or, in the process started by `alone`, the `worker`."""
    if arguments[:1] == ["worker"]:
        return worker(*arguments[1:])
    million, ra, dec = sky(np.random.default_rng(1), MILLION)
    million = replace(million, tm_nr=np.ones_like(million.tm_nr), pat_typ=np.ones_like(million.pat_typ))
    with tempfile.TemporaryDirectory() as folder:
        if arguments:
            return once(Path(folder), int(arguments[0]), million)
        compare(Path(folder), million, ra, dec)
        grow(Path(folder), million, ra, dec)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])

"""From an event list on disk to full-resolution images: piece by piece, against a mask per cluster; growth, memory.

``python benchmarks/events.py 100`` instead reads a list of 100 million photons once and says what that took.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from images import CLUSTERS, masked, sky
from images import GEOMETRY as BASE
from runner import Arm, benchmark

from clustermass.events.selection import Selection, read_events, select, stream_events, write_events
from clustermass.images.extraction import count_list
from clustermass.images.stack import ImageStack

GEOMETRY = replace(BASE, base_rebin=1)  # 300 x 300 x 10
MILLION = 1_000_000
MILLIONS, FEW = 15, 2  # photons of the comparison; clusters that the mask does
GROWTH = (5, 10, 20)
ROUNDS = 5


def write_long(path, millions, events):
    """Write an event list that holds the million photons `events` so many times over."""
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
    with path.open("wb") as stream:
        stream.write(content[:data])
        for _ in range(millions):
            stream.write(content[data:end])
        stream.write(bytes(-width * MILLION * millions % 2880))
        stream.write(content[end + -end % 2880 :])
    return path


def images_of(path, ra, dec):
    """Images of all clusters, as the rule extract_images makes them."""
    energies = (GEOMETRY.edges_ev[0], GEOMETRY.edges_ev[-1])
    return count_list(path, Selection("auto", 15, energies), ImageStack(ra, dec, GEOMETRY))[0]


def alone(path):
    """CPU and wall seconds and peak memory of `images_of` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "worker", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def worker(path):
    """Do what `alone` measures."""
    _, ra, dec = sky(np.random.default_rng(1), MILLION)
    wall, cpu = time.perf_counter(), time.process_time()
    photons = int(images_of(path, ra, dec).sum(dtype=np.int64))
    facts = {"cpu_s": round(time.process_time() - cpu, 3), "wall_s": round(time.perf_counter() - wall, 3)}
    # ru_maxrss would count what the parent held before this process began
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"in_images": photons, **facts, "peak_mb": round(peak)}))


def check(path, images, ra, dec):
    """Return what was compared; AssertionError if the mask counts otherwise."""
    events = select(read_events(path))
    for number in range(FEW):
        np.testing.assert_array_equal(images[number], masked(events, ra[number], dec[number], GEOMETRY))
    return events, f"equal counts in both arms for {FEW} clusters"


def compare(folder, million, ra, dec):
    """Ours against the mask, at one core."""
    path = write_long(folder / "events.fits", MILLIONS, million)
    memory = alone(path)
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
    setup |= {"sky": "a million photons, uniform over the default field, so many times over"}
    what = f"images of {CLUSTERS} clusters from a list of {MILLIONS} million photons; times are compared per cluster"
    limit = "reading the list: ratio ours / read"
    benchmark("events", what, arms, [("mask", "ours"), ("ours", "read")], limit, checked, setup, ROUNDS)
    path.unlink()


def grow(folder, million, ra, dec):
    """Time and memory with the length of the list."""
    paths = {number: write_long(folder / f"{number}.fits", number, million) for number in GROWTH}
    memory = {str(number): alone(path) for number, path in paths.items()}
    arms = {
        f"{number} million": Arm(
            "list on disk to all images", lambda path=path: images_of(path, ra, dec), number * MILLION, "photon"
        )
        for number, path in paths.items()
    }
    pairs = [(f"{GROWTH[-1]} million", f"{number} million") for number in GROWTH[:-1]]
    what = f"images of {CLUSTERS} clusters from lists of several lengths; times are compared per photon"
    benchmark("events_growth", what, arms, pairs, "none known", "-", {"in_a_process": memory}, 3)


def main(arguments):
    """Measure."""
    if arguments[:1] == ["worker"]:
        return worker(arguments[1])
    million, ra, dec = sky(np.random.default_rng(1), MILLION)
    million = replace(million, tm_nr=np.ones_like(million.tm_nr), pat_typ=np.ones_like(million.pat_typ))
    with tempfile.TemporaryDirectory() as folder:
        if arguments:
            return print(alone(write_long(Path(folder) / "events.fits", int(arguments[0]), million)))
        compare(Path(folder), million, ra, dec)
        grow(Path(folder), million, ra, dec)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])

"""Time and memory of `clustermass masses` for large tables and long event lists, all inside the field.

``python benchmarks/large_inputs.py`` measures `CASES`. With the arguments ``300000 100`` it measures a case of 300,000
rows and 100 million events, for which it needs 9 GB in the temporary folder. Further pairs of numbers are further
cases. The last argument may be the path of an ensemble, which replaces that of the default run.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from runner import CANNOT_RUN, HERE, RESULTS, header

from clustermass.events.eventlist import EventList
from clustermass.events.write import write_events
from clustermass.io.files import write_json
from clustermass.io.products import write_exposure

#: rows of the table, million events
CASES = ((3_000, 1), (3_000, 10), (30_000, 10))
MILLION = 1_000_000
#: photons a deg2, as in the default sky; so a longer list covers a larger field
DENSITY = 31_000
SECONDS, PIXEL_DEG, BOX_DEG, LOW_EV, HIGH_EV = 1200.0, 1 / 60, 1 / 3, 250.0, 2300.0
ENSEMBLE = HERE.parent / "results" / "default" / "fiducial"
FILES = ("events.fits", "exposure.fits", "clusters.fits", "masses.fits")


def places(rng, number, side_deg):
    """Return uniform positions in a field around RA 180, Dec 0, with the side `side_deg` and the area of a square."""
    ra, height = 180 + rng.uniform(-side_deg / 2, side_deg / 2, number), np.radians(side_deg / 2)
    return ra, np.degrees(np.arcsin(rng.uniform(-height, height, number)))


def photons(rng, millions, side_deg):
    """Yield `millions` million photons in the field, a million at a time."""
    whole, small = np.ones(MILLION, dtype=np.int16), np.ones(MILLION, dtype=np.uint8)
    for number in range(millions):
        energy = rng.uniform(LOW_EV, HIGH_EV, MILLION).astype(np.float32)
        seconds = np.sort(rng.uniform(0, SECONDS, MILLION)) + SECONDS * number
        position = places(rng, MILLION, side_deg)
        yield EventList(*position, energy, small, whole, np.zeros(MILLION, np.uint32), seconds, "clustermass", "", {})


def write_field(folder, rows, millions):
    """Write event list, exposure map and table of a field, whose area is proportional to the number of events."""
    rng = np.random.default_rng([rows, millions])
    side = (millions * MILLION / DENSITY) ** 0.5
    write_events(photons(rng, millions, side), folder / FILES[0])
    height = 2 * float(np.degrees(np.arcsin(np.radians(side / 2))))
    cards = {"CUNIT1": "deg", "CUNIT2": "deg"}
    for axis, kind, centre, extent in ((1, "RA---CAR", 180.0, -side), (2, "DEC--CAR", 0.0, height)):
        cards |= {f"CTYPE{axis}": kind, f"CRVAL{axis}": centre, f"CDELT{axis}": float(np.copysign(PIXEL_DEG, extent))}
        cards[f"CRPIX{axis}"] = (int(abs(extent) / PIXEL_DEG) + 1) / 2
    shape = int(height / PIXEL_DEG), int(side / PIXEL_DEG)
    write_exposure(folder / FILES[1], np.full(shape, SECONDS, dtype=np.float32), cards)
    ra, dec = places(rng, rows, side - 1.5 * BOX_DEG)
    table = Table({"ID_SRC": np.arange(1, rows + 1), "RA": ra, "DEC": dec, "Z": rng.uniform(0.1, 0.9, rows)})
    for name, low, high in (("ML_RATE", 0.05, 1.0), ("EXT", 10, 60), ("ML_CTS", 50, 900), ("ML_BKG", 4, 6)):
        table[name] = rng.uniform(low, high, rows)
    table.write(folder / FILES[2])


def measured(rows, millions, ensemble):
    """Return CPU and wall seconds and peak memory of one call in a process of its own; its catalogue is checked."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_field(folder, rows, millions)
        command = [sys.executable, __file__, "worker", place, ensemble]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        masses = fits.getdata(folder / FILES[3])
    expected, mean = DENSITY * BOX_DEG**2, float(masses["N_PHOT"].mean())
    case = {"rows": rows, "million_events": millions, "photons_an_image": round(mean), **found}
    print(json.dumps(case), flush=True)
    if len(masses) != rows or not np.isfinite(masses["LOGM500"]).all():
        raise AssertionError(f"{len(masses)} of {rows} rows, {np.isfinite(masses['LOGM500']).sum()} masses")
    if abs(mean / expected - 1) > 0.02:
        raise AssertionError(f"{mean:.0f} photons an image, but {expected:.0f} are expected")
    return case


def worker(place, ensemble):
    """Run the command that `measured` measures; print times and memory."""
    from clustermass.apply.field import masses_of_field

    events, exposure, clusters, masses = (Path(place) / name for name in FILES)
    wall, cpu = time.perf_counter(), time.process_time()
    masses_of_field([events], clusters, Path(ensemble), masses, [exposure], log=True)
    spent = {"cpu_s": round(time.process_time() - cpu, 1), "wall_s": round(time.perf_counter() - wall, 1)}
    # ru_maxrss would count what the parent held before this process began
    peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1e6
    print(json.dumps({**spent, "peak_gb": round(peak, 3)}))


def main(arguments):
    """Measure the cases that the arguments ask for, and write large_inputs.json."""
    if arguments[:1] == ["worker"]:
        return worker(*arguments[1:])
    numbers = [int(text) for text in arguments if text.isdigit()]
    ensemble = next((text for text in arguments if not text.isdigit()), str(ENSEMBLE))
    if not Path(ensemble).exists():
        print(f"large_inputs: {ensemble} isn't there. Run `make results` first, or name an ensemble.")
        return CANNOT_RUN
    cases = [*zip(numbers[::2], numbers[1::2], strict=True)] or CASES
    command = " ".join(["python benchmarks/large_inputs.py", *arguments])
    report = header("large_inputs", f"clustermass masses of fields of {DENSITY} photons a deg2", command)
    report["cases"] = [measured(*case, ensemble) for case in cases]
    first = report["cases"][0]
    ratios = {key: [round(case[key] / first[key], 2) for case in report["cases"]] for key in ("cpu_s", "peak_gb")}
    report["ratios_to_the_first"] = ratios
    write_json(report, RESULTS / "large_inputs.json")
    print(json.dumps(ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

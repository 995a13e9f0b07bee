"""Compare a changed sky with published numbers: simulate, detect and match a few fields, and print the table's rows.

The parameters of the default sky were tuned in this way: keys were changed in a YAML file, and the same fields were
made again with the same random numbers, until all musts held. Other fields gave the result in docs/measured.
"""

import argparse
import os
import shlex
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import yaml
from threadpoolctl import threadpool_limits

from clustermass.catalogues.match_field import match_sources
from clustermass.config.resolve import default_config, merge, resolve_sky
from clustermass.ingest.detect_field import detect_field
from clustermass.io.files import write_json
from clustermass.simulate.realization import simulate_realization
from clustermass.sky_validation.measure import RealizationFiles, measure
from clustermass.sky_validation.table import compare, rounded

RESULT = Path(__file__).resolve().parents[2] / "docs" / "measured" / "tune_sky.json"
NAME = "tuned"  # of the sky; with the seed and the number of a realization, it determines all random numbers


def make(sky, cosmology, folder, realization):
    """Make one realization of a sky; return the files from which it is measured."""
    place = folder / realization
    place.mkdir()
    names = ("events", "exposure", "labels", "sources", "truth", "detections", "catalogue", "matches")
    path = {name: place / f"{name}.fits" for name in names}
    seen = {name: path[name] for name in ("events", "exposure")}
    true = {name: path[name] for name in ("labels", "sources", "truth")}
    found = {name: path[name] for name in ("detections", "labels", "truth", "catalogue", "matches")}
    with threadpool_limits(1):
        simulate_realization(sky, cosmology, NAME, realization, **seen, **true)
        detect_field([path["events"]], [path["exposure"]], path["detections"], sky["detection"], sky["psf"])
        match_sources(sky, NAME, realization, **seen, **found)
    for name in ("labels", "sources", "detections"):
        path[name].unlink()
    return RealizationFiles(**{name: path[name] for name in RealizationFiles._fields})


def rows_of(sky, cosmology, realizations, jobs):
    """Return the rows of the table that compares realizations of a sky with published numbers."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        files = list(pool.map(partial(make, sky, cosmology, Path(folder)), realizations))
        return compare(measure(files))


def report(rows):
    """Print the rows."""
    for row in rows:
        demand = "" if row.tolerance is None else "{:.4g} to {:.4g}".format(*row.tolerance)
        published = rounded(row.reference.value, row.reference.error) if row.reference else ""
        verdict = {None: "", True: row.demand, False: f"{row.demand}, NOT HELD"}[row.holds]
        print(f"{row.key:24s} {rounded(row.value, row.error):>20s} {published:>20s} {demand:>20s} {verdict}")


def options():
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", type=Path, help="YAML files with keys of the sky to change, in order")
    parser.add_argument("--sky", default="embedded", help="sky that is changed (embedded)")
    parser.add_argument("--first", type=int, default=501, help="number of the first realization (501)")
    parser.add_argument("--fields", type=int, default=2, help="number of realizations (2)")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes (2)")
    parser.add_argument("--write", action="store_true", help=f"write the result to {RESULT.name}")
    return parser.parse_args()


def main():
    """Make the realizations, print the rows and write the result."""
    chosen, config = options(), default_config()
    sky = resolve_sky(config["skies"], chosen.sky)
    for path in chosen.changes:
        sky = merge(sky, yaml.safe_load(path.read_text(encoding="utf-8")))
    realizations = [f"{chosen.first + more:02d}" for more in range(chosen.fields)]
    before = os.getloadavg()
    sky = {name: block for name, block in sky.items() if name != "realizations"}
    rows = rows_of(sky, config["cosmology"], realizations, chosen.jobs)
    report(rows)
    if chosen.write:
        shown = ("key", "name", "unit", "value", "error", "reference", "tolerance", "demand", "holds")
        blocks = ("clusters", "agn", "background", "richness", "detection", "matching")
        content = {
            "what": "rows of validate-sky for the sky below, on fields that weren't used to tune it",
            "command": shlex.join(["benchmarks/limits/tune_sky.py", *sys.argv[1:]]),
            "load": {"cpus": os.cpu_count(), "minute_before": before[0], "minute_at_the_end": os.getloadavg()[0]},
            "fields": len(realizations),
            "sky": {name: sky[name] for name in blocks},
            "rows": [{name: getattr(row, name) for name in shown} for row in rows],
        }
        write_json(content, RESULT)


if __name__ == "__main__":
    main()

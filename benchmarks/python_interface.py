"""CPU time of the calls of docs/how-to/python.md: a small simulated field, its masses and its images.

``python benchmarks/python_interface.py`` needs the released ensemble. Imports are not counted.
"""

import time

import numpy as np
from runner import RESULTS, header
from threadpoolctl import threadpool_limits

import clustermass
from clustermass.io.files import write_json

AGAIN = 5


def main():
    """Run the calls in the order of the page, and write python_interface.json."""
    clustermass.simulate_field(width_deg=0.5, seed=2)  # imports
    report = header("python_interface", "CPU time of the calls of docs/how-to/python.md, after imports")
    with threadpool_limits(1):
        seconds = {}
        field = timed(seconds, "simulate_field, 4 deg2", clustermass.simulate_field, width_deg=2.0, seed=1)
        ensemble = timed(seconds, "Ensemble.load", clustermass.Ensemble.load)
        files = field.events, field.catalogue, field.exposure
        masses = timed(seconds, "masses, first", ensemble.masses, *files)
        timed(seconds, "masses, again", ensemble.masses, *files, calls=AGAIN)
        grid = np.linspace(0.05, 0.9, 30)
        timed(seconds, "masses over redshift, first", ensemble.masses, *files, z_grid=grid)
        timed(seconds, "masses over redshift, again", ensemble.masses, *files, calls=AGAIN, z_grid=grid)
        timed(seconds, "images_of", clustermass.images_of, *files, calls=AGAIN)
    report |= {"detections": len(field.catalogue), "clusters": len(masses), "redshifts": grid.size, "cpu_s": seconds}
    write_json(report, RESULTS / "python_interface.json")
    for name, value in seconds.items():
        print(f"{name:30} {value:.2f} s CPU")


def timed(seconds, name, function, *arguments, calls=1, **options):
    """Call a function `calls` times, note the median CPU time in s, rounded to 0.01 s, and return the last result."""
    spent = []
    for _ in range(calls):
        began = time.process_time()
        result = function(*arguments, **options)
        spent.append(time.process_time() - began)
    seconds[name] = round(float(np.median(spent)), 2)
    return result


if __name__ == "__main__":
    main()

"""The training problem of all alternatives (arms) in `rivals.py`, and the workers' protocol. Needs only NumPy.

A worker is a process that is used for all rounds. Each line of its standard input is a JSON object such as
``{"do": "run", "samples": 500}``. The worker calls the method of this name of its arm. It answers with one line: the
value that the method returned, CPU and wall seconds, and the peak memory of the process.
"""

import json
import os
import resource
import sys
import time
from itertools import pairwise

import numpy as np

CHECKED_STEPS = 3


class Problem:
    """Training data, network, initial weights and recipe, read from a file that `write` made."""

    def __init__(self, path):
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        settings = json.loads(str(arrays.pop("settings")))
        self.images, self.redshift, self.mass = (arrays.pop(name) for name in ("images", "redshift", "mass"))
        self.weights = arrays
        self.network, self.recipe = settings["network"], settings["recipe"]
        self.batch, self.rate = self.recipe["batch_size"], self.recipe["learning_rate"]

    def checked_batch(self):
        """Return images, side inputs and masses of the batch on which all arms must give the same losses."""
        return self.images[: self.batch], self.redshift[: self.batch], self.mass[: self.batch]

    def layers(self):
        """Return kernel (..., input, output) and bias of each layer, from input to output."""
        names = sorted(name.removesuffix(".kernel") for name in self.weights if name.endswith(".kernel"))
        return [(self.weights[f"{name}.kernel"], self.weights[f"{name}.bias"]) for name in names]


def write(path, shape, network, recipe, weights, samples):
    """Draw `samples` random standardised images of `shape` (y, x, band) with masses; write the problem to `path`."""
    rng = np.random.default_rng(1)
    sizes = {
        "images": (samples, *shape),
        "redshift": (samples, len(network["side_inputs"])),
        "mass": (samples,),
    }
    drawn = {name: rng.standard_normal(size, dtype=np.float32) for name, size in sizes.items()}
    np.savez(path, settings=json.dumps({"network": network, "recipe": recipe}), **drawn, **weights)


def widths_of(network, kind):
    """Return the number of features of each layer of a kind (`conv` or `dense`) in a network's block.

    All convolutions are taken as 3 x 3 with 2 x 2 average pooling.
    """
    return [layer[kind] for layer in network["layers"] if kind in layer]


def flop_per_sample(shape, network):
    """Return the floating point operations in matrix products for one training sample.

    The gradient with respect to the images isn't counted, because training doesn't need it.
    """
    total, (side, _, channels) = 0, shape
    for number, features in enumerate(widths_of(network, "conv")):
        total += (3 if number else 2) * 2 * side**2 * 9 * channels * features
        side, channels = side // 2, features
    widths = [side**2 * channels + len(network["side_inputs"]), *widths_of(network, "dense"), 2]
    return total + 3 * 2 * sum(a * b for a, b in pairwise(widths))


def serve(make):
    """Run the worker: create its arm by ``make(Problem, **options)``, and answer all lines of the input."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    arm = make(Problem(sys.argv[1]), **json.loads(sys.argv[2]))
    for line in sys.stdin:
        call = json.loads(line)
        method = getattr(arm, call.pop("do"))
        cpu, wall = time.process_time(), time.perf_counter()
        answer = {"value": method(**call)}
        answer |= {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        answers.write(json.dumps({**answer, "max_rss_mib": round(peak)}) + "\n")

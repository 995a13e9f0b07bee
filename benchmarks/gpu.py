"""Measure the training of the paper's ensemble on a GPU.

It measures an epoch of one network, an epoch of 30 networks side by side, and all 300 epochs of these 30. Times are
wall times, because the CPU only waits. The script ends with status `CANNOT_RUN` if JAX sees no GPU.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from runner import CANNOT_RUN, CONFIG, RESULTS, header, spread

from clustermass.dataset.standardise import Standardisation
from clustermass.dataset.training_data import Subset
from clustermass.io.files import write_json
from clustermass.network.epoch import Program, begin, run_epochs
from clustermass.network.losses import Likelihood
from clustermass.network.predict import initialise, stacked, unflatten, use_device
from clustermass.network.train import on_device, train_networks

SHAPE, TRAIN, VAL, MEMBERS, EPOCHS, ROUNDS = (50, 50, 10), 5563, 1192, 30, 300, 5
NETWORK = CONFIG["network"]["krippendorf2023"]
RECIPE = {**CONFIG["training"]["recipes"]["krippendorf2023"], "batch_size": 100, "epochs": EPOCHS}
#: floating point operations for a training sample; bytes moved if each layer reads and writes memory once (float32)
FLOP, BYTES = 167.3e6, 4.1e6
#: an H200: bytes per second (measured for a copy), operations per second (float32: data sheet; TF32: half of bf16)
MEMORY, ARITHMETIC = 4.3e12, {"float32": 67e12, "tf32": 390e12}


def subset(samples, seed):
    """Return random standardised images, redshifts and log10 masses of `samples` clusters."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((samples, *SHAPE), dtype=np.float32)
    return Subset(images, rng.uniform(0.1, 0.7, samples), rng.uniform(13.3, 14.8, samples))


def epoch_seconds(train, members):
    """Return the wall seconds of an epoch of `members` networks side by side, one value for each round."""
    first = [
        unflatten(NETWORK, SHAPE, Likelihood.outputs, initialise(NETWORK, SHAPE, Likelihood.outputs, [1, number]))
        for number in range(members)
    ]
    program = Program.from_config(first[0][0], Likelihood(), NETWORK, RECIPE, train.images.shape)
    data = on_device(train, Standardisation.from_training_set(train, NETWORK["side_inputs"]))
    progress = stacked([begin(program, weights) for _, weights in first])
    steps = -(-TRAIN // RECIPE["batch_size"])
    rates = np.full((members, steps), RECIPE["learning_rate"], np.float32)
    keys = jnp.stack([jax.random.key(number) for number in range(members)])
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        progress, *_ = jax.block_until_ready(run_epochs(program, progress, data, rates, keys))
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main():
    """Measure and write gpu.json; if there is no GPU, say so and exit with `CANNOT_RUN`."""
    if use_device("auto") == "cpu":
        print("gpu: JAX sees no GPU here. Install JAX for it (uv sync --group train-gpu) where there is one.")
        sys.exit(CANNOT_RUN)
    train, val = subset(TRAIN, 1), subset(VAL, 2)
    one, together = epoch_seconds(train, 1), epoch_seconds(train, MEMBERS)
    start = time.perf_counter()
    trained = sum(1 for _ in train_networks(train, val, NETWORK, RECIPE, 1, range(MEMBERS)))
    whole = time.perf_counter() - start
    device = jax.devices()[0]
    # lower limit of an epoch of all members: the longer of the times for moving its memory and for its arithmetic
    samples = MEMBERS * TRAIN
    floors = {key: max(samples * BYTES / MEMORY, samples * FLOP / speed) for key, speed in ARITHMETIC.items()}
    what = f"the paper's network and recipe: {TRAIN} clusters of {SHAPE}, batch 100, {MEMBERS} members"
    report = header("gpu", what)
    report["machine"]["gpu"] = device.device_kind
    report |= {
        "precision": jax.config.jax_default_matmul_precision or "JAX's default: TF32 where the GPU has it",
        "timing": f"wall time, {ROUNDS} epochs after an untimed one; the whole with compilation and validation",
        "epoch_of_one_member_s": spread(one),
        f"epoch_of_{MEMBERS}_side_by_side_s": spread(together),
        "one_after_another_over_side_by_side": MEMBERS * float(np.median(one)) / float(np.median(together)),
        f"{EPOCHS}_epochs_of_{trained}_members_s": whole,
        "peak_memory_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use"),
        "floor_of_an_h200_s": {"of": "an epoch of all members", **floors},
        "share_of_floor": {key: value / float(np.median(together)) for key, value in floors.items()},
        "share_of_floor_whole": {key: EPOCHS * value / whole for key, value in floors.items()},
    }
    write_json(report, RESULTS / "gpu.json")
    for key in ("epoch_of_one_member_s", f"epoch_of_{MEMBERS}_side_by_side_s"):
        print(f"gpu        {key:40} {report[key]['median']:9.4f} s")
    print(f"gpu        {EPOCHS} epochs of {trained} members {whole:9.1f} s; share of floor {report['share_of_floor']}")


if __name__ == "__main__":
    main()

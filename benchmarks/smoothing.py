"""Compare scipy.signal.convolve of each cube with our smoothing by the paper's kernel, axis by axis on many cubes."""

import numpy as np
from runner import CONFIG, Arm, benchmark
from scipy.signal import choose_conv_method, convolve

from clustermass.images.preprocessing import kernel, smooth

CUBES, CHUNK, SHAPE = 256, 64, (10, 50, 50)
KERNEL = CONFIG["preprocessing"]["krippendorf2023"]["smoothing"]


def main():
    """Run the benchmark and write smoothing.json."""
    images = np.random.default_rng(1).poisson(0.3, (CUBES, *SHAPE)).astype(np.float64)
    x, y, energy = (kernel(half, KERNEL["sigma"]) for half in KERNEL["half_width"])
    weights = energy[:, None, None] * y[:, None] * x
    copied = np.empty_like(images)

    def ours():
        return [smooth(images[n : n + CHUNK], KERNEL["half_width"], KERNEL["sigma"]) for n in range(0, CUBES, CHUNK)]

    def scipy(method):
        return [convolve(image, weights, mode="same", method=method) for image in images]

    difference = float(np.abs(np.concatenate(ours()) - np.stack(scipy("auto"))).max())
    np.testing.assert_array_less(difference, 1e-6)
    arms = {
        "ours": Arm(f"smooth: three one-dimensional passes over {CHUNK} cubes at once", ours),
        "scipy": Arm("scipy.signal.convolve of each cube, method auto", lambda: scipy("auto")),
        "limit": Arm("numpy.copyto of all cubes", lambda: np.copyto(copied, images)),
    }
    benchmark(
        "smoothing",
        f"Gaussian of half widths {KERNEL['half_width']} on {CUBES} cubes of 50 x 50 pixels x 10 bands, float64",
        {name: Arm(arm.what, arm.call, CUBES, "cube") for name, arm in arms.items()},
        [("scipy", "ours"), ("ours", "limit")],
        "reading and writing the cubes once: ratio ours / limit",
        f"largest difference between ours and scipy {difference:.1e} counts",
        {"scipy_method": str(choose_conv_method(images[0], weights, mode="same"))},
        rounds=11,
    )


if __name__ == "__main__":
    main()

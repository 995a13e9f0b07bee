"""Writes torch_outputs.json: outputs and gradients of published networks, computed by PyTorch in double precision.

Made with PyTorch 2.13.0: `python tests/unit/torch_outputs.py`, where numpy, pyyaml and torch are installed. The tests
need the file, not PyTorch. `SAME` follows Keras: an odd pixel of padding is added at the far edges.
"""

import json
import math
from pathlib import Path

import numpy as np
import yaml

FOLDER = Path(__file__).parent
CONFIGURED = yaml.safe_load((FOLDER.parents[1] / "config" / "config.yaml").read_text())["network"]
#: the two branches of the joint network of Ho et al. (2023, Fig. 5), which takes images and cubes of galaxies
XRAY_BRANCH = [
    *({"conv": 24, "kernel": 5, "stride": 2}, {"conv": 10, "stride": 2}, {"pool": "max", "size": 4}),
    *({"conv": 24, "kernel": 5, "stride": 2}, {"conv": 10}, {"pool": "max"}, {"flatten": True}, {"dense": 128}),
]
CUBE_BRANCH = [
    *({"conv": 24, "kernel": 5, "padding": "valid"}, {"pool": "max"}),
    *({"conv": 16, "padding": "valid"}, {"pool": "max"}, {"conv": 8, "kernel": 1}, {"pool": "max"}),
    *({"flatten": True}, {"dropout": 0.1}, {"dense": 128}),
]
#: layers and shape of the input of each network
NETWORKS = {
    "ntampaka2019": (CONFIGURED["ntampaka2019"]["layers"], (128, 128, 1)),
    "ho2023": (CONFIGURED["ho2023"]["layers"], (128, 128, 3)),
    "xray_branch": (XRAY_BRANCH, (128, 128, 3)),
    "cube_branch": (CUBE_BRANCH, (22, 22, 22, 4)),
}


def numbers(shape, seed):
    """Return an array that looks random, with mean 0 and variance 1, but is the same with every version of NumPy."""
    mixed = (np.arange(1, math.prod(shape) + 1, dtype=np.uint64) + np.uint64(seed * 10**8)) * np.uint64(2654435761)
    mixed = (mixed ^ (mixed >> np.uint64(13))) * np.uint64(1274126177) % np.uint64(2**32)
    return ((mixed.astype(float) / 2**32 - 0.5) * math.sqrt(12)).reshape(shape).astype(np.float32)


def weight(shape, number):
    """Return the weight with this number: layers in order, kernel before bias."""
    return numbers(shape, 1 + number) * np.float32(math.sqrt(2 / math.prod(shape[:-1])) if len(shape) > 1 else 0.1)


def main():
    import torch
    from torch.nn import functional

    def same(maps, kernel, stride):
        pads = []
        for side in reversed(maps.shape[2:]):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return functional.pad(maps, pads)

    def parameter(weights, *shape):
        weights.append(torch.tensor(weight(shape, len(weights)), dtype=torch.float64, requires_grad=True))
        return weights[-1]

    def applied(layers, maps, weights):
        axes = maps.ndim - 2
        convolve = (functional.conv2d, functional.conv3d)[axes - 2]
        pool = (functional.max_pool2d, functional.max_pool3d)[axes - 2]
        for layer in layers:
            if "conv" in layer:
                size, stride = layer.get("kernel", 3), layer.get("stride", 1)
                kernel = parameter(weights, *[size] * axes, maps.shape[1], layer["conv"])
                bias = parameter(weights, layer["conv"])
                maps = maps if layer.get("padding") == "valid" else same(maps, size, stride)
                maps = torch.relu(convolve(maps, kernel.movedim((-1, -2), (0, 1)), bias, stride))
            elif "pool" in layer:
                maps = pool(maps, layer.get("size", 2))
            elif "global_pool" in layer:
                maps = maps.flatten(2).mean(2)
            elif "flatten" in layer:
                maps = maps.movedim(1, -1).flatten(1)
            elif "dense" in layer:
                maps = maps @ parameter(weights, maps.shape[1], layer["dense"]) + parameter(weights, layer["dense"])
                maps = maps if layer.get("activation") == "none" else torch.relu(maps)
        return maps

    made = {}
    for name, (layers, shape) in NETWORKS.items():
        images, weights = torch.tensor(numbers((2, *shape), 0), dtype=torch.float64, requires_grad=True), []
        output = applied([*layers, {"dense": 1, "activation": "none"}], images.movedim(-1, 1), weights)[:, 0]
        (output**2).sum().backward()
        slopes = [leaf.grad.numpy() for leaf in (images, *weights)]
        projected = [float((slope * numbers(slope.shape, 99)).sum()) for slope in slopes]
        norms = [float(np.linalg.norm(slope)) for slope in slopes]
        made[name] = {"output": output.tolist(), "slope_norm": norms, "slope_projection": projected}
    (FOLDER / "torch_outputs.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()

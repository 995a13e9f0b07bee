"""Small networks, recipes and skies of arrays to train them on."""

from types import SimpleNamespace

import numpy as np

from clustermass.dataset.training_data import Subset
from clustermass.network.predict import predict, use_device
from clustermass.network.train import train_networks

use_device("cpu")


def network_block(channels, dense, side_inputs, dropout=0.0, pooling="average", hidden=0.0):
    """Return a block of the configuration: convolutions and 2 x 2 poolings, then dense layers."""
    maps = [layer for features in channels for layer in ({"conv": features}, {"pool": pooling})]
    after = [{"flatten": True}, {"dropout": dropout}, {"join": "side"}, *({"dense": width} for width in dense)]
    return {"side_inputs": list(side_inputs), "catalogue_dropout": hidden, "layers": maps + after}


NETWORK = network_block([4, 4, 8], [16], ["z", "log_z"])
RECIPE = {
    "optimizer": "adamw",
    "learning_rate": 5e-3,
    "schedule": "cosine",
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "gradient_clip": 5.0,
    "batch_size": 32,
    "epochs": 3,
    "augmentation": "symmetries",
    "average_decay": 0.9,
    "keep": "last",
    "symmetric_prediction": True,
}


def sky(number: int, seed: int, size: int = 8) -> Subset:
    """Poisson images of a source at the centre whose counts grow with mass, on a flat background."""
    rng = np.random.default_rng(seed)
    mass, redshift = rng.uniform(13.3, 14.8, number), rng.uniform(0.1, 0.7, number)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    profile = (1 + (x**2 + y**2) / 2) ** -1.5
    source = 200 * 10 ** (mass - 14)[:, None, None, None] * (profile / profile.sum())[..., None] * [0.7, 0.3]
    return Subset(np.sqrt(rng.poisson(source + 0.3)).astype(np.float32), redshift, mass)


def fit_members(train, val, network, recipe, seed, members, checkpoints=None, side_by_side=None):
    """Train members; by number, each with the trained `network`, its `history` and `kept_epoch`."""
    return {
        member.number: SimpleNamespace(network=trained, history=member.history, kept_epoch=member.kept_epoch)
        for trained, member in train_networks(train, val, network, recipe, seed, members, checkpoints, side_by_side)
    }


def fit(train, val, network, recipe, seed, member):
    return fit_members(train, val, network, recipe, seed, [member])[member]


def predictions(fitted, subset, symmetric):
    """Predicted log10 M500c and sigma (cluster,), averaged over the symmetries or not."""
    recipe = {**fitted.network.recipe, "symmetric_prediction": symmetric}
    network = fitted.network.__class__(**{**vars(fitted.network), "recipe": recipe})
    mu, sigma = predict(network, subset.images, subset.redshift[:, None], subset.measurements)
    return mu[:, 0], sigma[:, 0]

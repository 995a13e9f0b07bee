"""Damaged weights and packed ensembles: each ends in a result that can be right, or in an InputError."""

import numpy as np
from fuzz_checks import tried
from fuzz_inputs import campaign, damages
from test_ensemble_pack import experiment, packed  # noqa: F401
from test_network_predict import example

from clustermass.ensemble.ensemble import Ensemble
from clustermass.network.predict import TrainedNetwork


def test_weights(tmp_path):
    path = tmp_path / "00.safetensors"
    example().save(path)
    content = path.read_bytes()

    def case(damage):
        found = tried(path, damage.apply(content), TrainedNetwork.load)
        if found is not None:
            assert {name: array.shape for name, array in found.weights.items()} == {"a": (2,), "b": (2, 3)}
            assert all(np.isfinite(array).all() for array in found.weights.values())

    campaign(0.08, damages(), case)


def test_packed_ensembles(packed, experiment):  # noqa: F811
    content = packed.read_bytes()

    def read(path):
        with Ensemble.load(path) as trained:
            return {name: file.read_bytes() for name, file in trained.named().items()}

    def case(damage):
        found = tried(packed, damage.apply(content), read)
        if found is not None:
            assert all(found[name] == (experiment / name).read_bytes() for name in found)

    campaign(0.06, damages(), case)

"""Damaged published sets, weights and packed ensembles: each gives a result that can be right, or an InputError."""

import os
import pickle

import numpy as np
from fuzz_inputs import campaign, damages, tried
from hypothesis import strategies as st
from ingest_published_inputs import COSMOLOGY, make_catalogue, make_images, write_set
from test_ensemble_pack import experiment, packed  # noqa: F401
from test_network_predict import example

from clustermass.ensemble.ensemble import Ensemble
from clustermass.ingest.published_images import read_published_images
from clustermass.ingest.published_set import read_published_catalogue
from clustermass.network.predict import TrainedNetwork


class Trap:
    """An object that shows if it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_published_pickles(tmp_path):
    catalogue = make_catalogue(realizations=1, each=3)
    sky = write_set(tmp_path / "set", catalogue, make_images(catalogue))
    images = (tmp_path / "set" / "images.pickle").read_bytes()
    trap = Trap()
    trap.folder = str(tmp_path / "sprung")
    hostile = pickle.dumps({"cluster": [1, trap], "gsm_3dImgs": []}, protocol=2)
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / "images.pickle"
    assert sky["images"].endswith("images.pickle")

    def case(drawn):
        content, damage = drawn
        found = tried(path, damage.apply(content), lambda path: read_published_images(path, len(catalogue)))
        assert not (tmp_path / "sprung").exists()
        if found is not None:
            assert content is images
            assert all(cube.shape == (50, 50, 10) and np.isfinite(cube).all() for cube in found[1])

    campaign(0.05, st.tuples(st.sampled_from([images, hostile]), damages()), case)


def test_published_catalogues(tmp_path):
    sky = write_set(tmp_path, make_catalogue(), [])
    path = tmp_path / "catalogue.fits"
    content = path.read_bytes()
    assert sky["realizations"] == 3

    def case(damage):
        found = tried(path, damage.apply(content), lambda path: read_published_catalogue(path, 3, "Msun", COSMOLOGY))
        if found is not None:
            assert np.all((found["z"] > 0) & np.isfinite(found["z"]))
            assert np.isfinite(found["log10_m500c"]).all()

    campaign(0.03, damages(), case)


def test_weights(tmp_path):
    path = tmp_path / "00.safetensors"
    example().save(path)
    content = path.read_bytes()

    def case(damage):
        found = tried(path, damage.apply(content), TrainedNetwork.load)
        if found is not None:
            assert {name: array.shape for name, array in found.weights.items()} == {"a": (2,), "b": (2, 3)}
            assert all(np.isfinite(array).all() for array in found.weights.values())

    campaign(0.04, damages(), case)


def test_packed_ensembles(packed, experiment):  # noqa: F811
    content = packed.read_bytes()

    def read(path):
        with Ensemble.load(path) as trained:
            return {name: file.read_bytes() for name, file in trained.named().items()}

    def case(damage):
        found = tried(packed, damage.apply(content), read)
        if found is not None:
            assert all(found[name] == (experiment / name).read_bytes() for name in found)

    campaign(0.04, damages(), case)

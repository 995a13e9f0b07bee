"""The published set damaged, or made to do harm: a result that can be right, or an InputError."""

import os
import pickle

import numpy as np
from fuzz_checks import tried
from fuzz_inputs import campaign, damages
from hypothesis import strategies as st
from ingest_published_inputs import COSMOLOGY, make_catalogue, make_images, write_set

from clustermass.ingest.published_images import read_published_images
from clustermass.ingest.published_set import read_published_catalogue


class Trap:
    """Springs when it is unpickled."""

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

    campaign(0.08, st.tuples(st.sampled_from([images, hostile]), damages()), case)


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

    campaign(0.05, damages(), case)

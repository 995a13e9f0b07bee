"""Sources close to one another: fitted together, merged, and matched with the right halo."""

import numpy as np
import pytest
from sky_scenes import Scene

from clustermass.detect.candidates import neighbours


def test_bright_agn_beside_a_halo_is_part_of_the_model():
    alone = Scene(71).add(1, 0.0, 0.0, 200, 25.0)
    beside = Scene(71).add(1, 0.0, 0.0, 200, 25.0).add(-1, 35.0, 0.0, 300)
    expected, _ = alone.detect()
    catalogue, matches = beside.detect()
    assert len(catalogue["RA"]) == 2
    row = np.flatnonzero(catalogue["EXT"] > 0.0)
    assert len(row) == 1
    assert list(matches["ID_SRC"]) == [catalogue["ID_SRC"][row[0]]]
    assert catalogue["ML_CTS"][row[0]] == pytest.approx(expected["ML_CTS"][0], rel=0.25)
    point = np.flatnonzero(catalogue["EXT"] == 0.0)[0]
    assert catalogue["ML_CTS"][point] == pytest.approx(300.0, rel=0.15)


def test_two_candidates_on_one_source_give_one_detection():
    scene = Scene(72).add(1, 0.0, 0.0, 300, 20.0)
    scene.sources += [(2, 8.0, 5.0, 20.0), (-1, -6.0, 4.0, 8.0)]
    catalogue, matches = scene.detect()
    assert list(catalogue["ID_SRC"]) == [1]
    assert list(matches["SRC_ID"]) == [1]


def test_extended_agn_photons_are_a_spurious_cluster():
    catalogue, matches = Scene(73).add(-1, 0.0, 0.0, 300, 25.0).detect()
    assert catalogue["EXT_LIKE"][0] > 6.0
    assert len(matches["ID_SRC"]) == 0


def test_halo_under_a_source_that_outshines_it_is_not_matched():
    scene = Scene(74).add(1, 0.0, 0.0, 20, 20.0).add(-1, 3.0, 0.0, 400, 20.0, candidate=False)
    catalogue, matches = scene.detect()
    assert len(catalogue["ID_SRC"]) == 1
    assert len(matches["ID_SRC"]) == 0


def test_neighbours_are_found_across_the_wrap():
    first, second = neighbours(np.array([359.999, 10.0]), np.zeros(2), np.array([0.001]), np.zeros(1), 8.0)
    assert (list(first), list(second)) == ([0], [0])

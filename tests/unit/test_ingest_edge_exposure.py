"""Exposures of boxes that leave the field, from those of a table's rows, against means of the exposure over the box."""

import numpy as np
import pytest

from clustermass.ingest.edge_exposure import of_exposed_part

#: cells of 1' in which the field, 80' x 60', has a margin without exposure
EXPOSED = np.pad(np.ones((60, 80), dtype=bool), 15)


def taper(x, y):
    """Exposure in s that falls to 100 s at the Western and Southern edges within 25'."""
    return 100 + 1000 * np.clip((x - 15) / 25, 0, 1) * np.clip((y - 15) / 25, 0, 1)


def over_boxes(x, y, exposed=EXPOSED):
    """Mean of `taper` over the exposed part of boxes of 20'."""
    row, column = np.nonzero(exposed)
    seconds = taper(column, row)
    inside = [(np.abs(column - here[0]) <= 10) & (np.abs(row - here[1]) <= 10) for here in zip(x, y, strict=True)]
    return np.array([seconds[rows].mean() for rows in inside])


@pytest.fixture
def rows():
    rng = np.random.default_rng(8)
    return rng.uniform(16, 94, 400), rng.uniform(16, 74, 400)


@pytest.mark.parametrize("number", [400, 60])
def test_boxes_at_the_edge_have_the_mean_of_their_exposed_part(rows, number):
    x, y = (place[:number] for place in rows)
    own = taper(x, y).astype(np.float32)
    found, mean = of_exposed_part(own, x, y, EXPOSED, 1.0), over_boxes(x, y)
    edge = (x < 23) | (y < 23)
    before, after = (np.log10(seconds / mean)[edge] for seconds in (own, found))
    assert before.mean() < -0.1
    assert abs(after.mean()) < 0.03
    assert after.std() < 0.6 * before.std()
    whole = (x > 26) & (x < 83) & (y > 26) & (y < 63)
    np.testing.assert_array_equal(found[whole], own[whole])


def test_pixels_of_another_size_change_little(rows):
    own = taper(*rows).astype(np.float32)
    fine = EXPOSED.repeat(15, axis=0).repeat(15, axis=1)  # 4" pixels
    found = of_exposed_part(own, *(15 * place + 7 for place in rows), fine, 1 / 15)
    np.testing.assert_allclose(found, of_exposed_part(own, *rows, EXPOSED, 1.0), rtol=0.03)


def test_unknown_exposures_stay_unknown_and_tell_nothing(rows):
    own = taper(*rows).astype(np.float32)
    own[::2] = np.nan
    found = of_exposed_part(own, *rows, EXPOSED, 1.0)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(own))
    alone = of_exposed_part(own[1::2], *(place[1::2] for place in rows), EXPOSED, 1.0)
    np.testing.assert_array_equal(found[1::2], alone)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_with_fewer_than_three_rows_the_own_exposure_counts(rows, number):
    x, y = (np.sort(place)[:number] for place in rows)
    own = taper(x, y).astype(np.float32)
    np.testing.assert_array_equal(of_exposed_part(own, x, y, EXPOSED, 1.0), own)


def test_rows_on_a_line_and_rows_at_one_place():
    x, y = np.full(5, 17.0), np.array([20.0, 30, 40, 50, 60])
    own = np.array([300, 400, 500, 600, 700], dtype=np.float32)
    found = of_exposed_part(own, x, y, EXPOSED, 1.0)
    np.testing.assert_allclose(found[1:4], own[1:4], rtol=1e-6)  # nothing is known across the line
    assert 300 < found[0] < 400
    np.testing.assert_allclose(of_exposed_part(own, x, np.full(5, 40.0), EXPOSED, 1.0), own, rtol=1e-6)

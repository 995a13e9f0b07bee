"""Flips and turns give the same image in another orientation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import rotate as scipy_rotate

from clustermass.network.epoch import random_rotations, random_symmetries, rotate
from clustermass.network.predict import symmetry


def cubes(number: int, size: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((number, size, size, 2), dtype=np.float32)


def orientations(image: np.ndarray) -> set[bytes]:
    """Make the eight symmetries of an image by NumPy's own rot90 and flips."""
    turned = [np.rot90(image, turn) for turn in range(4)]
    return {np.ascontiguousarray(view).tobytes() for some in turned for view in (some, some[:, ::-1])}


def test_the_eight_symmetries_are_those_of_the_square():
    image = cubes(1, 5)
    made = {np.ascontiguousarray(symmetry(image, index)[0]).tobytes() for index in range(8)}
    assert len(made) == 8
    assert made == orientations(image[0])


def test_random_symmetries_draw_each_of_the_eight_about_equally_often():
    image = cubes(1, 4)
    many = np.asarray(random_symmetries(jnp.asarray(np.repeat(image, 4000, axis=0)), jax.random.key(0)))
    found, counts = np.unique(many.reshape(4000, -1), axis=0, return_counts=True)
    assert {row.tobytes() for row in found} == {np.frombuffer(o, "f4").tobytes() for o in orientations(image[0])}
    assert np.all(np.abs(counts - 500) < 5 * np.sqrt(500))


@pytest.mark.parametrize("turns", range(4))
def test_rotation_by_quarter_turns_is_exact(turns):
    image = cubes(1, 7)[0]
    turned = np.asarray(rotate(jnp.asarray(image), jnp.float32(turns * np.pi / 2)))
    np.testing.assert_allclose(turned, np.rot90(image, -turns), atol=2e-6)


def test_rotation_by_any_angle_agrees_with_scipy():
    image = cubes(1, 9)[0]
    expected = scipy_rotate(image, -30, axes=(0, 1), reshape=False, order=1, mode="reflect")
    np.testing.assert_allclose(np.asarray(rotate(jnp.asarray(image), jnp.float32(np.pi / 6))), expected, atol=1e-5)


def test_random_rotations_keep_a_round_source_and_differ_between_samples():
    y, x = np.mgrid[:15, :15] - 7
    inside = np.hypot(x, y) <= 7
    source = np.exp(-(x**2 + y**2) / 18)[None, ..., None].astype(np.float32)
    kept = np.asarray(random_rotations(jnp.asarray(np.repeat(source, 20, axis=0)), jax.random.key(1)))
    np.testing.assert_allclose(kept[:, inside], np.repeat(source[:, inside], 20, axis=0), atol=0.03)
    noise = np.asarray(random_rotations(jnp.asarray(np.repeat(cubes(1, 9), 20, axis=0)), jax.random.key(2)))
    assert len(np.unique(noise.round(3).reshape(20, -1), axis=0)) == 20

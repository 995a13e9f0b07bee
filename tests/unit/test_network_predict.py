"""Weights on disk: what is written comes back, the same content gives the same bytes, anything else is refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from clustermass.dataset.standardise import Standardisation
from clustermass.errors import InputError
from clustermass.network.predict import TrainedNetwork, predict, use_device

RECIPE = {"optimizer": "adamw", "learning_rate": 1e-3, "schedule": "cosine", "weight_decay": 0.2, "keep": "last"}
RECIPE |= {"gradient_clip": 5.0, "batch_size": 64, "epochs": 3, "augmentation": "symmetries", "average_decay": 0.9}
RECIPE |= {"symmetric_prediction": True}
IMAGES = {"box_pixels": 300, "pixel_arcsec": 4.0, "base_rebin": 3, "centre": "detected", "det_like_min": 5.0}
IMAGES |= {"ext_like_min": 6.0, "bands": {"start_ev": 250, "width_ev": 205, "number": 10}}


def example() -> TrainedNetwork:
    constants = Standardisation([0.1, 1 / 3], [1.0, 2.0], ["z"], [0.3], [0.2], 14.1, 0.4)
    return TrainedNetwork(
        weights={"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.float32([1e-30, np.pi])},
        standardisation=constants,
        network={"layers": [{"conv": 4}], "side_inputs": ["z"], "catalogue_dropout": 0.0},
        recipe=RECIPE,
        preprocessing={"half_width_arcsec": 36.0, "pixel_arcsec": 24.0, "transform": "sqrt"},
        cutting={"images": IMAGES, "events": {"flag_mask": "auto", "pattern": 15, "modules": [1, 2]}},
        grid={"x": [-12.0, 0.0, 12.0], "y": [-12.0, 12.0], "band": [0.3]},
        ranges={"redshift": [0.1, 0.8]},
        shape=(2, 3, 1),
        member=7,
        seed=20230502,
    )


def test_come_back_exactly(tmp_path):
    example().save(tmp_path / "07.safetensors")
    back, expected = TrainedNetwork.load(tmp_path / "07.safetensors"), example()
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(back.weights[name], array)
    assert back.standardisation == expected.standardisation
    assert (back.network, back.recipe, back.ranges, back.grid) == (
        expected.network,
        expected.recipe,
        expected.ranges,
        expected.grid,
    )
    assert (back.member, back.seed, back.shape) == (7, 20230502, (2, 3, 1))


def test_bytes_are_the_same_each_time_and_nothing_else_is_left(tmp_path):
    for name in ("one", "two"):
        example().save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_nan_constant_is_refused_before_anything_is_written(tmp_path):
    bad = example()
    bad.ranges["redshift"][0] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        bad.save(tmp_path / "bad")
    assert not list(tmp_path.iterdir())


def damage_missing(path: Path) -> None:
    path.unlink()


def damage_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def damage_foreign(path: Path) -> None:
    save_file({"a": np.ones(2, np.float32)}, path, metadata={"format": "pt"})


def damage_text(path: Path) -> None:
    path.write_text("not weights at all, but text", encoding="utf-8")


def damage_version(path: Path) -> None:
    save_file({"a": np.ones(2, np.float32)}, path, metadata={"clustermass": '{"format": "clustermass-member-99"}'})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_missing, "no such weights file"),
        (damage_truncated, "not a readable safetensors file"),
        (damage_text, "not a readable safetensors file"),
        (damage_foreign, "no weights of clustermass"),
        (damage_version, "no weights of clustermass"),
    ],
)
def test_anything_else_is_refused_by_name(tmp_path, damage, message):
    path = tmp_path / "03.safetensors"
    example().save(path)
    damage(path)
    with pytest.raises(InputError, match=rf"03\.safetensors: {message}"):
        TrainedNetwork.load(path)


@pytest.mark.parametrize("loss", ["likelihood", "squared_log"])
def test_a_network_that_sees_only_the_image_predicts_the_same_for_all_redshifts(loss):
    use_device("cpu")
    rng, outputs = np.random.default_rng(2), 2 if loss == "likelihood" else 1
    kernel = 0.1 * rng.standard_normal((8, outputs)).astype(np.float32)
    weights = {"dense.layers.0.kernel": kernel, "dense.layers.0.bias": np.float32([0.5, -1.0][:outputs])}
    constants = Standardisation([0.0, 0.0], [1.0, 1.0], [], [], [], 14.1, 0.4)
    block = {"layers": [{"flatten": True}], "side_inputs": [], "catalogue_dropout": 0.0}
    recipe = {**RECIPE, "loss": loss, "symmetric_prediction": False}
    network = TrainedNetwork(weights, constants, block, recipe, (2, 2, 2), 0, 1)
    images = rng.poisson(3.0, (3, 2, 2, 2)).astype(np.float32)
    mu, sigma = predict(network, images, np.tile([0.1, 0.6], (3, 1)), {})
    expected = 14.1 + 0.4 * (images.reshape(3, 8) @ kernel[:, 0] + 0.5)
    np.testing.assert_allclose(mu, np.stack([expected, expected], axis=1), atol=1e-5)
    assert sigma.shape == (3, 2)

"""Shares of photons and measurements in a mass: exact for linear networks, and complete for the released ones."""

import numpy as np
import pytest
from network_inputs import sky
from test_ensemble_responses import ensemble as linear_ensemble

import clustermass
from clustermass.cards.field import FieldCards
from clustermass.cards.why import text_of, why
from clustermass.cli import main
from clustermass.ensemble.explain import Explanation, explain, outer
from clustermass.errors import InputError

SEEN = np.ones((8, 8), dtype=bool)


@pytest.fixture(name="linear", scope="module")
def explained_cluster(tmp_path_factory):
    """Return linear networks, the image and redshift of a cluster, and their explanation."""
    trained, data = linear_ensemble(tmp_path_factory.mktemp("linear"), None), sky(3, 5)
    image, redshift = data.images[1].transpose(2, 0, 1), float(data.redshift[1])
    return trained, image, redshift, explain(trained, image, redshift, {}, SEEN)


def test_a_linear_network_changes_by_a_pixels_share_if_the_pixel_becomes_background(linear):
    trained, image, redshift, found = linear
    blank = image[:, outer(SEEN)].mean(axis=1)
    pixels = [(0, 3, 4), (1, 3, 4), (1, 0, 0), (0, 7, 2)]
    changed = np.tile(image, (len(pixels), 1, 1, 1))
    for number, (band, y, x) in enumerate(pixels):
        changed[number, band, y, x] = blank[band]
    at = np.full(len(pixels) + 1, redshift)
    mu = trained.predict(np.concatenate([image[None], changed]), at, device="cpu").mu
    np.testing.assert_allclose([found.image[pixel] for pixel in pixels], mu[0] - mu[1:], atol=2e-6)
    assert found.mass == pytest.approx(mu[0], abs=1e-6)
    assert np.abs(found.image[1, 3, 4]) > 1e-5


def test_shares_add_up_and_the_redshift_counts_from_the_training_clusters_mean(linear):
    trained, image, redshift, found = linear
    total = found.blank + sum(found.side.values()) + found.image.sum()
    assert total == pytest.approx(found.mass, abs=1e-5)
    both = trained.predict(np.stack([image, image]), np.array([redshift, 0.4]), device="cpu").mu
    assert found.side == {"redshift": pytest.approx(both[0] - both[1], abs=1e-6)}


def test_rings_divide_the_image():
    image = np.arange(32.0).reshape(2, 4, 4)
    radius = np.hypot(*(np.mgrid[:4, :4] - 1.5))
    rings = Explanation(14.0, 14.0, {}, image, 0.0).rings(radius, np.array([0.0, 1.0, 2.0, 9.0]))
    inner = image[:, 1:3, 1:3].sum()
    assert rings.tolist() == [inner, image[:, [0, 0, 1, 1, 2, 2, 3, 3], [1, 2, 0, 3, 0, 3, 1, 2]].sum(), rings[2]]
    assert rings.sum() == pytest.approx(image.sum())


@pytest.fixture(name="masses", scope="module")
def masses_of_a_small_field(tmp_path_factory):
    path = tmp_path_factory.mktemp("field") / "masses.fits"
    field = clustermass.simulate_field(2.5, seed=4)
    clustermass.Ensemble.load().masses(field.events, field.catalogue, field.exposure, output=path)
    return path


def test_the_released_networks_masses_are_explained_completely(masses, capsys):
    field, ensemble = FieldCards.read(masses), clustermass.Ensemble.load()
    row = int(np.nanargmax(field.columns["ML_CTS"] * np.isfinite(field.columns["LOGM500"])))
    made = why(field, row, ensemble)
    found = made.explanation
    assert found.mass == pytest.approx(field.columns["LOGM500"][row], abs=2e-4)
    assert abs(found.rest) < 0.01 * abs(found.mass - found.blank) + 0.002
    assert found.blank + sum(share for _, share in made.terms) == pytest.approx(found.mass, abs=0.006)
    assert {"redshift", "exposure", "count rate in the catalogue"} <= {*found.side}
    # the brightest cluster of a field is more massive than an image without a cluster
    assert found.image.sum() > 0.1
    assert made.bands.sum() == pytest.approx(found.image.sum())
    np.testing.assert_allclose(made.offsets[0], field.data["network_x"])
    assert made.offsets[0][-1] == 180.0  # the outermost of 16 pixels of 24 arcsec
    field.data["seen_arcsec"] = 2 * field.data["seen_arcsec"]
    assert why(field, row, ensemble).offsets[0][-1] == 360.0
    lines = text_of(made).splitlines()
    assert lines[-1].split()[:2] == ["=", f"{found.mass:.3f}"]
    figure = clustermass.show(made.name, masses, explained_by=ensemble)
    printed = capsys.readouterr().out.rstrip().splitlines()[-len(lines) :]
    assert [line.strip() for line in printed] == [line.strip() for line in lines]
    bars = [len(axes.patches) for axes in figure.axes]
    assert {len(made.terms), len(made.bands)} <= {*bars}


def test_command_and_its_errors(masses, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["show", "--strangest", "--why", "--field", str(masses)]) == 0
    printed = capsys.readouterr().out
    assert "image within 0.25 R500c" in printed
    [picture] = tmp_path.glob("*_why.png")
    assert f"Written: {picture.name}" in printed
    assert main(["show", "--why", "--field", str(masses)]) == 1
    assert "--why needs a cluster" in capsys.readouterr().err
    other = linear_ensemble(tmp_path / "other", None)
    monkeypatch.setattr(type(other), "digest", lambda ensemble: "0" * 64)
    with pytest.raises(InputError, match="its masses are from another ensemble"):
        why(FieldCards.read(masses), 0 if np.isfinite(FieldCards.read(masses).columns["LOGM500"][0]) else 1, other)

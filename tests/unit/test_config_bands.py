"""Energy bands as edges of any width, or equally wide: the same bands in both ways, and what is refused."""

import pytest
from config_inputs import ROOT

from clustermass.config.bands import band_edges, in_kev, joined_edges
from clustermass.config.resolve import load_config
from clustermass.config.validate import config_errors
from clustermass.errors import InputError
from clustermass.images.geometry import ImageGeometry

TEN = {"start_ev": 250, "width_ev": 205, "number": 10}
EDGES = [250, 455, 660, 865, 1070, 1275, 1480, 1685, 1890, 2095, 2300]
SEVEN = [200, 300, 600, 1000, 1600, 2300, 4000, 5000]


def test_edges_and_equal_bands_are_the_same():
    assert band_edges(TEN) == band_edges(EDGES) == tuple(EDGES)
    images = load_config([ROOT / "config" / "config.yaml"])["images"]
    assert images["bands"] == TEN
    assert ImageGeometry.from_config(images) == ImageGeometry.from_config(images | {"bands": EDGES})


@pytest.mark.parametrize("bands", [[200], [2300, 200], [200, 200], [-1, 200], [200.5, 2300], list(range(1, 123))])
def test_edges_that_make_no_bands_are_refused(bands):
    with pytest.raises(InputError, match=r"images\.bands"):
        band_edges(bands)


def test_joined_bands_keep_every_few_edges():
    assert joined_edges(EDGES, None) == joined_edges(EDGES, 10) == tuple(EDGES)
    assert joined_edges(EDGES, 5) == tuple(EDGES[::2])
    assert joined_edges(SEVEN, 1) == (200, 5000)
    assert in_kev(SEVEN) == "7 bands with the edges 0.2, 0.3, 0.6, 1, 1.6, 2.3, 4, 5 keV"


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (SEVEN, None),
        ([200, 2300], None),
        ([200], "images.bands has 1 entries, but needs at least 2."),
        ([300, 200], "images.bands is [300, 200], but each edge must be above the one before."),
        ([200, 2300.5], "images.bands.1 is 2300.5, but must be a whole number."),
        ([50, 2300], "images.bands.0 is 50, but must be at least 100."),
        ("0.2-2.3", "images.bands is '0.2-2.3', but must be a list or a block of keys."),
        ({**TEN, "edges": [1]}, "images.bands.edges is not a key that is known there."),
    ],
)
def test_the_configuration_takes_either(bands, message):
    config = load_config([ROOT / "config" / "config.yaml"])
    config["images"]["bands"] = bands
    config["skies"]["embedded"]["telescope"]["pi_max_ev"] = 5000.0
    lines = config_errors(config)
    assert lines == [] if message is None else any(line.startswith(message) for line in lines), lines


def test_a_preprocessing_must_divide_the_bands_of_a_list():
    config = load_config([ROOT / "config" / "config.yaml"])
    config["images"]["bands"], config["preprocessing"]["central"]["bands"] = SEVEN, 2
    config["skies"]["embedded"]["telescope"]["pi_max_ev"] = 5000.0
    (line,) = config_errors(config)
    assert "bands is 2, but must divide the 7 bands of images.bands without remainder" in line

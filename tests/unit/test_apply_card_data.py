"""Images of cards: which pixels were exposed, and which detections are in them."""

import numpy as np
import xarray as xr
from astropy.table import Table
from astropy.wcs import WCS

from clustermass.apply.card_data import MOST_NEIGHBOURS, _neighbours, card_images
from clustermass.images.exposure import ExposureMap


def test_pixels_beyond_the_end_of_the_exposure_map_are_not_exposed():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [100.5, 100.5]
    wcs.wcs.cdelt = [-0.01, 0.01]
    seconds = np.full((200, 200), 900.0, np.float32)
    seconds[:, 100:] = 0  # East of 150 deg is exposed
    seconds[150:] = 10  # too little, North of 2.5 deg
    offsets = np.arange(-354.0, 360.0, 12.0)
    counts = np.ones((3, 4, offsets.size, offsets.size), np.uint16)
    variables = {"counts": (("cluster", "band", "y", "x"), counts), "band_bounds": (("band", "edge"), np.ones((4, 2)))}
    variables |= {"ra": ("cluster", [150.0, 150.5, 150.5]), "dec": ("cluster", [2.0, 2.0, 2.5])}
    images = xr.Dataset(variables, {"cluster": ["01_1", "01_2", "01_3"], "x": offsets, "y": offsets})
    exposed = card_images(images, ExposureMap(((seconds, wcs),)))["exposed"]
    west, north = exposed["x"].values > 0, exposed["y"].values > 0
    assert exposed.shape == (3, 50, 50)
    assert np.array_equal(exposed[0], np.broadcast_to(~west, (50, 50)))
    assert exposed[1].all()
    assert np.array_equal(exposed[2], np.broadcast_to(~north[:, None], (50, 50)))
    assert card_images(images, None)["exposed"].all()


def test_cards_show_the_brightest_other_detections_inside_the_image(tmp_path):
    """Cluster 2 is far from cluster 1. Detection k >= 3 is (k - 12) x 40" to the East of it, with k - 2 counts."""
    offset = np.array([0.0, 3600 * 5, *(40.0 * (k - 12) for k in range(3, 23))])
    columns = {"ID_SRC": np.arange(1, 23), "RA": 150 + offset / 3600, "DEC": np.zeros(22), "EXT_LIKE": np.arange(22.0)}
    columns["ML_CTS"] = np.array([999.0, 999.0, *range(1, 21)])
    Table(columns, meta={"EXTNAME": "CATALOGUE"}).write(tmp_path / "catalogue.fits")
    of_clusters = {name: columns[name][:2] for name in ("ID_SRC", "RA", "DEC")} | {
        "REALIZATION": np.array(["01", "01"])
    }
    found = _neighbours({"01": tmp_path / "catalogue.fits"}, of_clusters)
    inside = [k for k in range(22, 2, -1) if abs(k - 12) * 40 <= 300][:MOST_NEIGHBOURS]
    assert len(inside) == MOST_NEIGHBOURS
    np.testing.assert_allclose(found["near_x"][0], [-40.0 * (k - 12) for k in inside], atol=1e-2)  # x is to the West
    np.testing.assert_allclose(found["near_y"][0], 0, atol=1e-2)
    assert found["near_cts"][0].tolist() == [k - 2 for k in inside]
    assert found["near_ext_like"][0].tolist() == [k - 1 for k in inside]
    assert all(np.isnan(values[1]).all() for values in found.values())

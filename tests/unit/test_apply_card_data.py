"""Images of cards: which pixels were exposed."""

import numpy as np
import xarray as xr
from astropy.wcs import WCS

from clustermass.apply.card_data import card_images
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

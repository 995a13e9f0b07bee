"""An event list of eSASS and an exposure map of a field, into which clusters are injected."""

import numpy as np
from astropy.io import fits
from event_lists import photons, sin_projection, write_esass

#: centre of the field in deg; it lies on RA = 0
CENTRE = (0.2, 20.0)
PIXELS, PIXEL_DEG = 200, 0.02


def write_field(folder, image=None, **columns):
    """Write events.fits (FLAG of the first two events is corrupt) and expmap.fits to `folder`, and return both paths.

    By default, a square of 4 x 4 deg has 1000 s in its western and 3000 s in its eastern half. `columns` replace those
    of the events.
    """
    if image is None:
        image = np.where(np.arange(PIXELS) < PIXELS // 2, 3000.0, 1000.0) * np.ones((PIXELS, 1))
    made = photons(3000, *CENTRE, width_deg=3.0) | columns
    made["FLAG"][:2] = 0x80000000
    events = write_esass(folder / "mine.fits", made, reference=CENTRE)
    wcs = sin_projection(CENTRE, PIXEL_DEG, ((PIXELS + 1) / 2,) * 2)
    exposure = folder / "expmap.fits"
    fits.PrimaryHDU(image.astype(np.float32), wcs.to_header()).writeto(exposure)
    return events, exposure

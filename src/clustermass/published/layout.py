"""What the published images are: facts of that data set (Krippendorf et al. 2023, Sec. 2 and App. A), not settings."""

from typing import Any

#: of one image as the file holds it: row, column, energy band
SHAPE = (50, 50, 10)
#: keys of the pickled dictionary
IDS, IMAGES = "cluster", "gsm_3dImgs"
#: the recipe behind the images, in the words of the config block `preprocessing`; a clip is left to us
APPLIED: dict[str, Any] = {
    "half_width_arcsec": 600.0,
    "pixel_arcsec": 24.0,
    "smoothing": {"half_width": [1, 1, 5], "sigma": 0.75},
}
#: their energy bands, in the words of the config block `images.bands`
BANDS = {"start_ev": 250, "width_ev": 205, "number": 10}

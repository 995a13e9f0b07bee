"""The SIMPUT file of a tiny sky, and what libsimput does with it."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.wcs import WCS

from clustermass.simulate.simput import share_images, write_realization_simput, write_simput
from clustermass.simulate.telescope import effective_area_cm2, redistribution_below

FOLDER = Path(__file__).parents[2] / "config"
CONFIG = yaml.safe_load((FOLDER / "config.yaml").read_text(encoding="utf-8"))
TINY = yaml.safe_load((FOLDER / "test.yaml").read_text(encoding="utf-8"))["skies"]["tiny"]
SKY = CONFIG["skies"]["embedded"] | {"field": TINY["field"], "seed": 11}
SMALL = SKY | {"field": {"ra_deg": 0.2, "dec_deg": 1.5, "width_deg": 1.4, "height_deg": 1.2}}
NH, INDEX = SKY["absorption"]["nh_cm2"], SKY["agn"]["photon_index"]
KEV_TO_ERG = 1.602176634e-9


def write(folder, sky=SKY):
    path = folder / "field.simput"
    write_realization_simput(sky, CONFIG["cosmology"], "tiny", "01", path)
    return path


@pytest.fixture(name="sources", scope="module")
def simput_sources(tmp_path_factory):
    """Write the file of the tiny sky, with few images, and catch the objects it was made of."""
    caught = {}

    def catch(path, field, clusters, agn, *rest):
        caught.update(path=path, field=field, clusters=clusters, agn=agn)
        write_simput(path, field, clusters, agn, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clustermass.simulate.simput.write_simput", catch)
        patch.setattr("clustermass.simulate.simput.share_images", partial(share_images, images_max=190))
        write(tmp_path_factory.mktemp("simput"))
    return caught


@pytest.fixture(name="hdus", scope="module")
def simput_hdus(sources):
    with fits.open(sources["path"], memmap=False) as opened:
        yield opened


@pytest.fixture(name="catalogue", scope="module")
def simput_catalogue(hdus):
    return hdus["SRC_CAT"].data


@pytest.fixture(name="spectra", scope="module")
def simput_spectra(hdus):
    table = hdus["SPECTRUM"].data
    return {str(row["NAME"]): (row["ENERGY"], row["FLUXDENSITY"]) for row in table}


def spectrum_name(reference):
    return re.fullmatch(r"\[SPECTRUM,1\]\[NAME=='([A-Za-z0-9.]+)'\]", reference)[1]


# What libsimput does with a file is written here once more, after a reading of its source.


def _bins(energy):
    """Edges of the bins of a spectrum: half way between its energies."""
    middle = 0.5 * (energy[1:] + energy[:-1])
    return np.concatenate([energy[:1], middle]), np.concatenate([middle, energy[-1:]])


def band_flux(energy, density, low, high):
    lower, upper = _bins(energy.astype(float))
    width = np.clip(np.minimum(upper, high) - np.maximum(lower, low), 0, None)
    return float(np.sum(width * density * energy)) * KEV_TO_ERG


def count_rate(energy, density, flux):
    """Fold a source with the area and the redistribution: count/s between 200 and 2350 eV."""
    energy = energy.astype(float)
    lower, upper = _bins(energy)
    seen = redistribution_below(np.array(2350.0), energy) - redistribution_below(np.array(200.0), energy)
    rate = np.sum((upper - lower) * density * effective_area_cm2(energy) * seen * (energy < 3))
    return flux / band_flux(energy, density, 0.5, 2.0) * float(rate)


def arrival(row, hdu):
    """RA and Dec in deg of the centres of an image's pixels for one source."""
    y, x = np.indices(hdu.data.shape)
    wcs = WCS(hdu.header)
    angle, centre = np.radians(row["IMGROTA"]), wcs.wcs.crpix
    dx, dy = x + 1 - centre[0], y + 1 - centre[1]
    wcs.wcs.crval = [row["RA"], row["DEC"]]
    wcs.wcs.cdelt = wcs.wcs.cdelt / row["IMGSCAL"]
    turned = dx * np.cos(angle) + dy * np.sin(angle), -dx * np.sin(angle) + dy * np.cos(angle)
    return wcs.wcs_pix2world(turned[0] + centre[0], turned[1] + centre[1], 1)

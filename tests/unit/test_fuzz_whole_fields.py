"""Damage to one of a field's several files: its images and exposures can be right, or there is an InputError.

The fields are event lists of two overlapping tiles with an exposure map each, in Galactic coordinates like the table of
clusters; these lists without a map; and Galactic images in two bands instead of lists, with and without a map.
"""

from itertools import pairwise

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from event_lists import photons, write_esass
from fuzz_inputs import DEC, RA, campaign, damages, galactic_projection, tried
from test_images_band_images import EVENTS, block

from clustermass.images.cutouts import extract_images
from clustermass.images.exposure import MOST_S
from clustermass.ingest.user_field import ingest_field
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import FieldFiles

BANDS = [200, 1000, 2300]
#: offsets in deg of the tiles' centres to the East, and half their width
TILES, HALF = (-0.08, 0.08), 0.1
SECONDS = (900.0, 1200.0)
PHOTONS = 2000


def east(degrees):
    """Return a place East of the field's centre."""
    return RA + np.asarray(degrees) / np.cos(np.radians(DEC)), DEC


def write_map(path, centre, seconds, size=40):
    header = galactic_projection(centre, 0.01, size).to_header()
    fits.PrimaryHDU(np.full((size, size), seconds, dtype=np.float32), header).writeto(path)
    return path


def write_image(path, columns, low, high, size=120):
    wcs, chosen = galactic_projection((RA, DEC), 0.003, size), (columns["PI"] >= low) & (columns["PI"] < high)
    there = SkyCoord(columns["RA"][chosen], columns["DEC"][chosen], unit="deg").galactic
    ends = np.arange(size + 1) - 0.5
    counts = np.histogram2d(*wcs.all_world2pix(there.l.deg, there.b.deg, 0)[::-1], (ends, ends))[0].astype(np.int32)
    hdu = fits.PrimaryHDU(counts, wcs.to_header())
    hdu.header.update({"EMIN1": low / 1000, "EMAX1": high / 1000, "CREATOR": "EVTOOL"})
    hdu.writeto(path)
    return path


def write_files(folder, kind):
    """Write the files of a field and return their paths; the first of each kind is the one to damage."""
    columns = photons(PHOTONS, RA, DEC, 0.36)
    place = SkyCoord(*east([-0.08, 0.0, 0.08]), unit="deg").galactic
    table = folder / "clusters.fits"
    rows = {"ID_SRC": [3, 5, 8], "GLON": place.l.deg, "GLAT": place.b.deg, "Z": [0.2, 0.3, 0.4]}
    Table(rows | {"ML_EXP": [*SECONDS, np.nan if kind == "no map" else 1000.0]}).write(table)
    if "images" in kind:
        images = [write_image(folder / f"b{low}.fits", columns, low, high) for low, high in pairwise(BANDS)]
        maps = [] if kind == "images, no map" else [write_map(folder / "map.fits", (RA, DEC), 1000.0)]
        return {"events": images, "exposure": maps, "catalogue": [table]}
    offset = (columns["RA"] - RA) * np.cos(np.radians(DEC))
    tiles = [{name: values[np.abs(offset - tile) <= HALF] for name, values in columns.items()} for tile in TILES]
    lists = [write_esass(folder / f"e{number}.fits", tile) for number, tile in enumerate(tiles)]
    if kind == "no map":
        return {"events": lists, "exposure": [], "catalogue": [table]}
    numbered = enumerate(zip(TILES, SECONDS, strict=True))
    maps = [write_map(folder / f"m{number}.fits", east(tile), seconds, 20) for number, (tile, seconds) in numbered]
    return {"events": lists, "exposure": maps, "catalogue": [table]}


def measured(files, folder):
    """Take a field in and cut its images; return these, as the networks and the catalogue get them."""
    paths = {name: [str(path) for path in named] for name, named in files.items()}
    paths |= {"catalogue": paths["catalogue"][0]}
    outputs = {name: folder / f"{name}.fits" for name in ("events", "exposure", "catalogue")}
    images = block(BANDS, 144)
    ingest_field({"observed": True, "realizations": {"01": paths}}, "01", EVENTS, FieldFiles(**outputs), BANDS)
    extract_images(**outputs, output=folder / "images.nc", images=images, realization="01", events_block=EVENTS)
    found = read_netcdf(folder / "images.nc")
    return {name: found[name].values for name in ("counts", "exposure_s", "covered_fraction", "ra", "dec", "redshift")}


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(
    ("kind", "damaged"),
    [
        *(("lists", "events"), ("lists", "exposure"), ("lists", "catalogue")),
        *(("images", "events"), ("images, no map", "events"), ("no map", "events"), ("no map", "catalogue")),
    ],
)
def test_fields_of_several_files(tmp_path, kind, damaged, checksum):
    (tmp_path / "in").mkdir(), (tmp_path / "out").mkdir()
    files = write_files(tmp_path / "in", kind)
    path = files[damaged][0]
    if checksum:
        with fits.open(path) as hdus:
            hdus.writeto(path, overwrite=True, checksum=True)
    content, whole = path.read_bytes(), measured(files, tmp_path / "out")
    assert whole["exposure_s"].min() > min(SECONDS) / 2
    assert whole["counts"].sum() > PHOTONS / 2
    # photons of the other list are there in any case
    rest = None
    if damaged == "events" and "images" not in kind:
        rest = measured({**files, damaged: files[damaged][1:]}, tmp_path / "out")
    others = [one for named in files.values() for one in named]

    def case(damage):
        found = tried(path, damage.apply(content), lambda _: measured(files, tmp_path / "out"), *others)
        if found is None:
            return
        for name, values in whole.items() if checksum else ():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        seconds = found["exposure_s"]
        if "map" in kind:
            seconds = seconds[~np.isnan(seconds)]  # without a map, an exposure can be unknown
        assert np.all((seconds >= 0) & (seconds <= MOST_S))
        assert np.all((found["covered_fraction"] >= 0) & (found["covered_fraction"] <= 1))
        assert np.all((found["ra"] >= 0) & (found["ra"] < 360) & (np.abs(found["dec"]) <= 90))
        if damaged == "events":
            # a pixel holds at most 65535 counts; a photon in both lists has the place of the damaged one
            assert found["counts"].sum() <= whole["counts"].sum() + 3 * 2**16
            assert rest is None or np.maximum(rest["counts"].astype(int) - found["counts"], 0).sum() <= 2

    campaign(0.0125, damages(), case)

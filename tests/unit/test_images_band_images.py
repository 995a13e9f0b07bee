"""Band images in place of event lists give the same images as the photons that they were made from, or are refused."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from event_lists import planted, sin_projection, sky_pixels, write_esass

from clustermass.errors import InputError
from clustermass.images.band_images import are_images, photons_of_images, read_images
from clustermass.images.cutouts import extract_images
from clustermass.ingest.user_field import ingest_field
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import FieldFiles

EFEDS = Path(__file__).parents[3] / "shared" / "data" / "efeds"
REAL = sorted((EFEDS / "images").glob("efeds_*.fits"))
real = pytest.mark.skipif(len(REAL) != 11, reason="needs the real eFEDS images, beside the development checkout only")
CENTRE = (136.0, 60.0)  # meridians converge there: images off the centre are turned
TEN = {"start_ev": 250, "width_ev": 205, "number": 10}
EVENTS = {"flag_mask": "auto", "pattern": 15}
GRID = {"pixel_arcsec": 4.0, "base_rebin": 6, "centre": "detected", "det_like_min": 0, "ext_like_min": 0}


def block(bands, box=60):
    return {**GRID, "box_pixels": box, "bands": bands}


def edges(bands=TEN):
    return [bands["start_ev"] + bands["width_ev"] * number for number in range(bands["number"] + 1)]


def photons(number=3000, centre=CENTRE, width=0.09, seed=4):
    """Photons in all bands, away from the edges of 4" pixels, so that neither way of binning can round them apart."""
    rng = np.random.default_rng(seed)
    ra = centre[0] + width * (rng.random(number) - 0.5) / np.cos(np.radians(centre[1]))
    dec = centre[1] + width * (rng.random(number) - 0.5)
    x, y = sky_pixels(ra, dec, centre)
    inner = (np.minimum(x % 80, y % 80) > 2) & (np.maximum(x % 80, y % 80) < 77)
    return planted(RA=ra[inner], DEC=dec[inner], PI=rng.integers(250, 2300, inner.sum()) + 0.5)


def write_image(path, columns, low, high, centre=CENTRE, size=100, **changes):
    """Write an image by evtool's rule and header, counted here by numpy's own histogram."""
    x, y = sky_pixels(columns["RA"], columns["DEC"], centre)
    rows = (columns["PI"] >= low) & (columns["PI"] < high)
    ends = 80 * (np.arange(size + 1) - size / 2)
    counts = np.histogram2d(y[rows], x[rows], (ends, ends))[0].astype(np.int32)
    hdu = fits.PrimaryHDU(counts)
    for axis, kind, value, step in (("1", "RA---SIN", centre[0], -80), ("2", "DEC--SIN", centre[1], 80)):
        hdu.header.update({f"CTYPE{axis}": kind, f"CRVAL{axis}": value, f"CRPIX{axis}": size / 2 + 0.5})
        hdu.header.update({f"CDELT{axis}": step / 72000, f"CUNIT{axis}": "deg"})
    hdu.header.update({"EMIN1": low / 1000, "EMAX1": high / 1000, "CREATOR": "EVTOOL", **changes})
    hdu.writeto(path, overwrite=True)
    return path


def image_set(folder, columns, bounds, **changes):
    pairs = pairwise(bounds)
    return [write_image(folder / f"b{n:02d}.fits", columns, *ends, **changes) for n, ends in enumerate(pairs)]


def images_of(folder, files, bands=TEN, centre=CENTRE, **more):
    """Take a field in and cut images, as both ways of getting masses do."""
    (folder / "c.csv").write_text(f"ID_SRC,RA,DEC,Z,ML_EXP\n1,{centre[0]},{centre[1]},0.3,1200\n")
    files = {"events": list(map(str, files)), "catalogue": str(folder / "c.csv"), **more}
    outputs = {name: folder / f"out_{name}.fits" for name in ("events", "exposure", "catalogue")}
    images = block(bands)
    ingest_field(
        {"observed": True, "realizations": {"01": files}}, "01", EVENTS, FieldFiles(**outputs), images["bands"]
    )
    extract_images(**outputs, output=folder / "images.nc", images=images, realization="01", events_block=EVENTS)
    return read_netcdf(folder / "images.nc")


def test_images_centred_on_a_cluster_give_the_pixels_of_its_event_list(tmp_path):
    columns = photons()
    by_events = images_of(tmp_path, [write_esass(tmp_path / "e.fits", columns)])["counts"].values
    by_images = images_of(tmp_path, image_set(tmp_path, columns, edges()))["counts"].values
    assert by_events.sum() > 1000
    np.testing.assert_array_equal(by_images, by_events)


def test_images_as_large_as_the_box_cover_it_to_its_edges(tmp_path):
    """Without a map, the exposed field is that with photons, to the pixel; an empty half of an image is not exposed."""
    columns = photons(60000, width=0.12)
    for part, share in ((columns["RA"] < 999, 1.0), (columns["RA"] < CENTRE[0], 0.5)):
        some = {name: values[part] for name, values in columns.items()}
        found = images_of(tmp_path, image_set(tmp_path, some, edges(), size=60))
        assert found["covered_fraction"].values == pytest.approx(share, abs=0.13 * (share < 1))


@pytest.mark.long
def test_images_off_the_cluster_displace_no_photon_by_more_than_half_a_pixel(tmp_path):
    """Three degrees to the West at Dec 60 the image's North is turned by 2.6 deg: the sum stays, pixels nearly so."""
    columns = photons()
    away = (CENTRE[0] - 3.0, CENTRE[1])
    files = image_set(tmp_path, columns, edges(), centre=away, size=3000)
    found = photons_of_images(files, edges())
    assert len(found.events) == columns["RA"].size
    by_images = images_of(tmp_path, files)
    by_events = images_of(tmp_path, [write_esass(tmp_path / "e.fits", columns)])
    coarse = [image["counts"].values.reshape(10, 2, 5, 2, 5).sum(axis=(2, 4)) for image in (by_images, by_events)]
    # pixels of 4" against quarters of 120": 1 photon in 30 may change sides
    assert np.abs(coarse[0].astype(int) - coarse[1]).sum() < 0.1 * coarse[1].sum() > 100


def test_photons_of_a_galactic_image_lie_where_they_are_on_the_sky(tmp_path):
    """Three counts at known positions, in an image about the same centre in Galactic coordinates."""
    sky = SkyCoord([136.0, 136.03, 135.98], [60.0, 60.01, 59.99], unit="deg")
    there, middle = sky.galactic, SkyCoord(*CENTRE, unit="deg").galactic
    wcs = sin_projection([middle.l.deg, middle.b.deg], 4 / 3600, [50.5, 50.5])
    wcs.wcs.ctype = ["GLON-SIN", "GLAT-SIN"]
    columns, rows = np.rint(wcs.all_world2pix(there.l.deg, there.b.deg, 0)).astype(int)
    counts = np.zeros((100, 100), dtype=np.int32)
    counts[rows, columns] = 1
    hdu = fits.PrimaryHDU(counts, wcs.to_header())
    hdu.header.update({"EMIN1": 0.25, "EMAX1": 0.455})
    hdu.writeto(tmp_path / "image.fits")
    found = photons_of_images([tmp_path / "image.fits"], [250, 455]).events
    _, apart, _ = SkyCoord(found.ra, found.dec, unit="deg").match_to_catalog_sky(sky)
    assert apart.arcsec.max() < 2.9  # half the diagonal of a pixel
    assert len(found) == 3


def test_images_smaller_than_the_cells_of_exposure(tmp_path):
    """Five pixels of 4" are fewer than one cell of 1': all of the image counts as exposed."""
    columns = photons(20000, width=0.006)
    found = images_of(tmp_path, image_set(tmp_path, columns, edges(), size=5))
    assert found["covered_fraction"].values == pytest.approx((5 / 60) ** 2, abs=0.01)
    assert found["exposure_s"].values == 1200


def test_finer_bands_are_added_up_and_those_beside_left_out(tmp_path):
    columns = photons()
    bounds = [200, 250, *(250 + np.arange(1, 21) * 102.5), 5000]
    found = photons_of_images(image_set(tmp_path, columns, bounds), edges())
    numbers = np.histogram(found.events.pi_ev, edges())[0]
    np.testing.assert_array_equal(numbers, np.histogram(columns["PI"], edges())[0])


def test_several_images_in_one_file(tmp_path):
    paths = image_set(tmp_path, photons(), edges())
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(*fits.getdata(path, header=True)) for path in paths)]
    fits.HDUList(hdus).writeto(tmp_path / "all.fits")
    one, many = (photons_of_images(files, edges()).events for files in ([tmp_path / "all.fits"], paths))
    np.testing.assert_array_equal(one.ra, many.ra)
    np.testing.assert_array_equal(one.pi_ev, many.pi_ev)


def test_bands_that_cannot_be_put_together_are_named(tmp_path):
    paths = image_set(tmp_path, photons(), edges())
    broad = write_image(tmp_path / "broad.fits", photons(), 200, 2300)
    wanted = r"10 bands with the edges 0.25, 0.455, .* 2.3 keV, of which "
    with pytest.raises(InputError, match=wanted + r"2 can't .*Missing: 0.455-0.66 keV, 2.095-2.3 keV\. Make"):
        photons_of_images([*paths[:1], *paths[2:9]], edges())
    with pytest.raises(InputError, match=r"10 can't be put together from the images' band 0.2-2.3 keV\. Missing: 0.25"):
        photons_of_images([broad], edges())
    # the broad one beside the ten is of no use, and does no harm
    assert len(photons_of_images([*paths, broad], edges()).events) == photons()["RA"].size
    twice = write_image(tmp_path / "twice.fits", photons(), 300, 455)
    with pytest.raises(InputError, match=r"Missing: 0.25-0.455 keV \(images overlap\)\."):
        photons_of_images([*paths, twice], edges())


SEVEN = [200, 300, 600, 1000, 1600, 2300, 4000, 5000]


@pytest.mark.parametrize("joined", [False, True])
def test_seven_bands_of_unequal_width_give_the_images_of_the_event_list(tmp_path, joined):
    """Images in seven bands, or in the one that networks sum them to, hold the photons of the list, band by band."""
    columns = photons()
    columns["PI"] = np.random.default_rng(7).integers(150, 5500, columns["RA"].size) + 0.5
    seen = [SEVEN[0], SEVEN[-1]] if joined else SEVEN
    paths = image_set(tmp_path, columns, seen)
    (tmp_path / "c.csv").write_text(f"ID_SRC,RA,DEC,Z\n1,{CENTRE[0]},{CENTRE[1]},0.3\n")
    write_esass(tmp_path / "list.fits", columns)
    found = []
    for kind, events in (("list", ["list.fits"]), ("images", [path.name for path in paths])):
        files = {"events": [str(tmp_path / name) for name in events], "catalogue": str(tmp_path / "c.csv")}
        sky = {"observed": True, "realizations": {"01": {**files, "exposure_s": 1000.0}}}
        outputs = {name: tmp_path / f"{kind}_{name}.fits" for name in ("events", "exposure", "catalogue")}
        ingest_field(sky, "01", EVENTS, FieldFiles(**outputs), seen)
        images = {"images": block(SEVEN, 96), "realization": "01", "events_block": EVENTS}
        extract_images(**outputs, output=tmp_path / f"{kind}.nc", **images)
        found.append(read_netcdf(tmp_path / f"{kind}.nc"))
    listed, imaged = (dataset["counts"].values.sum(axis=1, keepdims=joined) for dataset in found)
    np.testing.assert_array_equal(listed, imaged)
    np.testing.assert_array_equal(found[1]["band_bounds"].values[:, 0] * 1000, SEVEN[:-1])
    energies = columns["PI"][(columns["PI"] >= 200) & (columns["PI"] < 5000)]
    assert listed.sum() == np.histogram(energies, SEVEN)[0].sum() > 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centre": (136.1, 60.0)}, "lies on another pixel grid than .*b00.fits"),
        ({"size": 98}, "lies on another pixel grid"),
        ({"EMIN1": "soft"}, "its header has no number EMIN1.* If it is an exposure map, give it under --exposure"),
        ({"EMAX1": 0.1}, "EMIN1 and EMAX1 are 2.095 and 0.1 keV, which is no energy band"),
        ({"CTYPE1": "X", "CTYPE2": "Y"}, "no celestial WCS"),
        ({"CREATOR": "ERMASK"}, r"a detection mask \(CREATOR ERMASK\), no image of counts"),
        ({"CREATOR": "expmap v1"}, r"an exposure map \(CREATOR EXPMAP\), no image of counts"),
        ({"CDELT1": 0.0}, "damaged"),
        ({"CDELT1": 40.0}, "damaged|reaches beyond"),
        ({"CDELT1": -1e-9, "CDELT2": 1e-9}, r"its pixels measure 1e-09 by 1e-09 deg\. Its WCS \(CDELT\) is damaged"),
    ],
)
def test_faulty_headers(tmp_path, changes, message):
    paths = image_set(tmp_path, photons(), edges())
    write_image(paths[-1], photons(), 2095, 2300, **changes)
    with pytest.raises(InputError, match=message) as caught:
        photons_of_images(paths, edges())
    assert "b09.fits" in str(caught.value)


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, 1e6])
def test_pixels_that_are_no_counts(tmp_path, value):
    path = write_image(tmp_path / "b.fits", photons(), 250, 455)
    with fits.open(path) as hdus:
        data, header = hdus[0].data.astype(np.float32), hdus[0].header
    data[3, 7] = value
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    with pytest.raises(InputError, match=r"b.fits: pixel \(8, 4\) holds .*neither smoothed nor divided"):
        read_images(path)


def test_images_and_lists_are_recognised_and_not_mixed(tmp_path):
    image = write_image(tmp_path / "image.fits", photons(), 250, 455)
    events = write_esass(tmp_path / "events.fits", photons())
    both = tmp_path / "both.fits"  # evtool image=yes events=yes
    with fits.open(image) as first, fits.open(events) as second:
        fits.HDUList([first[0], *second[1:]]).writeto(both)
    assert are_images([image])
    assert not are_images([events])
    assert not are_images([both])
    with pytest.raises(InputError, match=r"image.fits holds an image and .*events.fits none"):
        are_images([image, events])


def test_an_exposure_map_counts_only_where_the_images_reach(tmp_path):
    """The map covers everything; images of 12' leave 8' of a box of 20' unseen."""
    size, columns = 180, photons(width=0.2)
    paths = image_set(tmp_path, columns, edges(), size=size)
    header = fits.getheader(paths[0])
    header["CRPIX1"] = header["CRPIX2"] = 200.5
    fits.PrimaryHDU(np.full((400, 400), 1000.0, np.float32), header).writeto(tmp_path / "exposure.fits")
    for box, share in ((60, 1.0), (300, (size / 300) ** 2)):
        images = block(TEN, box)
        (tmp_path / "c.csv").write_text(f"ID_SRC,RA,DEC,Z\n1,{CENTRE[0]},{CENTRE[1]},0.3\n")
        files = {"events": list(map(str, paths)), "catalogue": str(tmp_path / "c.csv")}
        sky = {"observed": True, "realizations": {"01": {**files, "exposure": str(tmp_path / "exposure.fits")}}}
        outputs = {name: tmp_path / f"{box}_{name}.fits" for name in ("events", "exposure", "catalogue")}
        ingest_field(sky, "01", EVENTS, FieldFiles(**outputs), images["bands"])
        output = tmp_path / f"{box}.nc"
        extract_images(**outputs, output=output, images=images, realization="01", events_block=EVENTS)
        assert read_netcdf(output)["covered_fraction"].values == pytest.approx(share, abs=0.01)


@real
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_efeds_images(tmp_path, path):
    """All counts of the image, and no others, are in the result at their places; the box is not fully covered."""
    catalogue = Table.read(EFEDS / "efeds_clusters_Liu2022.csv")
    (row,) = catalogue[catalogue["ID_SRC"] == int(path.stem.split("_")[1])]
    (image,) = read_images(path)
    expected = fits.getdata(path)
    assert image.counts.sum() == expected.sum() > 500
    assert (image.low_ev, image.high_ev) == (200, 2300)
    place = np.array(image.wcs.wcs_world2pix(row["RA"], row["DEC"], 0))
    np.testing.assert_allclose(place, (np.array(expected.shape)[::-1] - 1) / 2, atol=0.1)
    with pytest.raises(InputError, match=r"10 can't be put together from the images' band 0.2-2.3 keV"):
        photons_of_images([path], edges())
    # as if networks saw this one band: through ingest and extraction, in boxes that are larger and smaller than it
    one_band = {"start_ev": 200, "width_ev": 2100, "number": 1}
    (tmp_path / "c.csv").write_text(f"ID_SRC,RA,DEC,Z,ML_EXP\n1,{row['RA']},{row['DEC']},{row['z']},1200\n")
    sky = {"observed": True, "realizations": {"01": {"events": [str(path)], "catalogue": str(tmp_path / "c.csv")}}}
    for box in (300, 120):
        images = block(one_band, box)
        outputs = {name: tmp_path / f"{box}_{name}.fits" for name in ("events", "exposure", "catalogue")}
        ingest_field(sky, "01", EVENTS, FieldFiles(**outputs), images["bands"])
        output = tmp_path / f"{box}.nc"
        extract_images(**outputs, output=output, images=images, realization="01", events_block=EVENTS)
        found = read_netcdf(output)
        half = min(box, expected.shape[0]) // 2
        middle = expected.shape[0] // 2
        inner = expected[middle - half : middle + half, middle - half : middle + half]
        assert found["counts"].values.sum() == inner.sum()
        assert (found["covered_fraction"].values[0] < 0.95) == (box == 300)

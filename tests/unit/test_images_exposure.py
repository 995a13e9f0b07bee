"""The exposure of a user's own field: a map that is given, or a flat one of the cells that hold photons."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import FK4, Galactic, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from event_lists import sin_projection
from ingest_inputs import DEC0, RA0, ingest, sky

from clustermass.errors import InputError
from clustermass.events.eventlist import EventList
from clustermass.images.band_images import photons_of_images
from clustermass.images.exposure import ExposureMap, covered_fraction, exposure_at, read_exposure
from clustermass.images.occupied import mean_position, occupied_cells


def test_flat_exposure_covers_the_field_and_nothing_else(tmp_path):
    image, wcs = read_exposure(ingest(tmp_path, sky(tmp_path))["exposure"])
    assert set(np.unique(image)) == {0.0, 1000.0}
    # 4000 photons in 24' x 24': the map must find this square to about a cell
    assert (image > 0).sum() / 3600 == pytest.approx(0.16, rel=0.1)
    ra, dec = np.array([RA0, 0.13, 359.77, 0.3, RA0]), np.array([DEC0, 2.18, 1.82, 2.0, 2.5])
    assert (exposure_at(image, wcs, ra % 360, dec) > 0).tolist() == [True, True, True, False, False]


def test_own_exposure_map(tmp_path):
    header = sin_projection([RA0, DEC0], 0.01, [25.5, 25.5])
    values = np.arange(2500, dtype=float).reshape(50, 50)
    values[0, 0] = np.nan
    fits.PrimaryHDU(values, header.to_header()).writeto(tmp_path / "map.fits")
    image, wcs = read_exposure(ingest(tmp_path, sky(tmp_path, exposure=str(tmp_path / "map.fits")))["exposure"])
    assert image[0, 0] == 0
    assert np.array_equal(image.ravel()[1:], values.ravel()[1:].astype(np.float32))
    x, y = wcs.wcs_pix2world([[10.0, 40.0]], 0)[0]
    assert exposure_at(image, wcs, np.array([x]), np.array([y]))[0] == values[40, 10]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"map\.fits: no such file"),
        (np.zeros((5, 5)), "no pixel of the exposure map is above 0 s"),
        (np.ones(5), "no two-dimensional image"),
        (np.ones((5, 5)), "no celestial WCS"),
    ],
)
def test_faulty_exposure_map(tmp_path, content, message):
    if content is not None:
        header = None if "celestial" in message else sin_projection([RA0, DEC0]).to_header()
        fits.PrimaryHDU(content, header).writeto(tmp_path / "map.fits")
    with pytest.raises(InputError, match=message):
        ingest(tmp_path, sky(tmp_path, exposure=str(tmp_path / "map.fits")))
    assert not (tmp_path / "out" / "exposure.fits").exists()


def at(ra, dec):
    """Return photons at these positions, all else the same."""
    zero = np.zeros(len(ra))
    whole = {"tm_nr": zero.astype("u1"), "pat_typ": zero.astype("i2"), "flag": zero.astype("u4")}
    header = {"dialect": "esass", "name": "", "gti": {}}
    return EventList(np.asarray(ra), np.asarray(dec), zero.astype("f4"), time=zero, **whole, **header)


def test_occupied_cells_fill_gaps_but_not_the_outside():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 1, 6000) % 360, rng.uniform(-0.5, 0.5, 6000)
    hole = (np.abs(ra - 0.5) < 0.03) & (np.abs(dec) < 0.03)
    outside = (ra > 0.5) & (dec > 0)
    pieces = [at(*part) for part in np.array_split(np.array([ra, dec])[:, ~hole & ~outside], 3, axis=1)]
    cells, area, wcs = occupied_cells(pieces, mean_position(pieces))
    # an L of 0.75 deg2; its corner of 3' without photons is filled
    assert area == pytest.approx(0.75, rel=0.05)
    inside = exposure_at(cells.astype(np.float32), wcs, np.array([0.48, 0.75]), np.array([-0.01, 0.25]))
    assert inside.tolist() == [1, 0]


def test_mean_position_across_ra_0():
    assert mean_position([at([359.0], [10.0]), at([1.0], [10.0])])[0] % 360 == pytest.approx(0, abs=1e-9)


def map_file(path, values, wcs=None, **cards):
    """Write an exposure map about the field's centre, 0.01 deg a pixel."""
    header = (wcs or sin_projection([RA0, DEC0], 0.01, [25.5, 25.5])).to_header()
    header.update(cards)
    fits.PrimaryHDU(np.asarray(values), header).writeto(path, overwrite=True)
    return path


GRADIENT = np.arange(100.0, 2600.0).reshape(50, 50)


@pytest.mark.parametrize(("frame", "axes"), [(Galactic(), ("GLON-SIN", "GLAT-SIN")), (FK4(), ("RA---SIN", "DEC--SIN"))])
def test_a_map_in_another_frame_is_converted(tmp_path, frame, axes):
    """The right values by astropy's own projection of the position in the map's frame."""
    centre = SkyCoord(RA0, DEC0, unit="deg").transform_to(frame).spherical
    wcs = sin_projection([centre.lon.deg, centre.lat.deg], 0.01, [25.5, 25.5])
    wcs.wcs.ctype = axes
    if axes[0].startswith("RA"):
        wcs.wcs.radesys, wcs.wcs.equinox = "FK4", 1950.0
    path = map_file(tmp_path / "map.fits", GRADIENT, wcs)
    offsets = np.array([[0.003, 0.15, -0.1], [0.004, -0.12, 0.05]])
    places = SkyCoord((RA0 + offsets[0]) % 360, DEC0 + offsets[1], unit="deg")
    there = places.transform_to(frame).spherical
    columns, rows = np.rint(wcs.all_world2pix(there.lon.deg, there.lat.deg, 0)).astype(int)
    right = GRADIENT[rows, columns]
    image, read = read_exposure(path)
    assert exposure_at(image, read, places.ra.deg, places.dec.deg).tolist() == right.tolist()
    written = ExposureMap.read(ingest(tmp_path, sky(tmp_path, exposure=str(path)))["exposure"])
    assert written.at(places.ra.deg, places.dec.deg).tolist() == right.tolist()


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (("SLON-SIN", "SLAT-SIN"), r"map\.fits: its coordinates \(SLON-SIN, SLAT-SIN, .*Make it in RA and Dec"),
        (("DEC--SIN", "RA---SIN"), r"map\.fits: latitude is the first axis"),
    ],
)
def test_a_map_in_an_unknown_frame_is_refused_by_name(tmp_path, axes, message):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = axes, [0.01, 0.01]
    with pytest.raises(InputError, match=message):
        read_exposure(map_file(tmp_path / "map.fits", GRADIENT, wcs))


@pytest.mark.parametrize(
    ("unit", "seconds"), [("ks", 1e-3), ("ksec", 1e-3), ("min", 1 / 60), ("S", 1.0), ("seconds", 1)]
)
def test_times_in_other_units_are_converted(tmp_path, unit, seconds):
    image, _ = read_exposure(map_file(tmp_path / "map.fits", GRADIENT * seconds, BUNIT=unit))
    np.testing.assert_allclose(image, GRADIENT, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "cards", "message"),
    [
        (np.ones((50, 50), dtype="u1"), {"CREATOR": "ERMASK"}, r"a detection mask \(CREATOR ERMASK\), no exposure map"),
        (
            np.ones((50, 50), dtype="u1"),
            {},
            "largest value is 1, but an exposure map holds seconds.*set its card",
        ),
        (GRADIENT.astype("i4"), {"CREATOR": "evtool 1.0"}, r"an image of counts \(CREATOR EVTOOL\)"),
        (GRADIENT, {"CREATOR": "ERBACKMAP"}, "a background map"),
        (GRADIENT / 1000, {}, "largest value is 2.599"),
        (GRADIENT * 1e6, {}, "largest value is 2.599e"),
        (GRADIENT, {"BUNIT": "counts/s"}, r"is in counts/s \(BUNIT\), but an exposure map holds seconds"),
        (GRADIENT, {"BUNIT": "cm2 s"}, r"is in cm2 s \(BUNIT\)"),
    ],
)
def test_images_that_are_no_exposure_maps_are_refused(tmp_path, values, cards, message):
    with pytest.raises(InputError, match=message):
        read_exposure(map_file(tmp_path / "map.fits", values, **cards))


def test_a_map_that_kept_the_creator_of_its_template_is_read(tmp_path):
    assert read_exposure(map_file(tmp_path / "map.fits", GRADIENT, CREATOR="EVTOOL"))[0].max() == 2599


MASK = Path(__file__).parents[3] / "shared" / "data" / "esass" / "DetMask.fits.gz"


@pytest.mark.skipif(not MASK.is_file(), reason="the real detection mask isn't beside the checkout")
def test_a_real_detection_mask_is_refused():
    for read in (read_exposure, lambda path: photons_of_images([path], [200, 500])):
        with pytest.raises(InputError, match=r"DetMask\.fits\.gz: a detection mask \(CREATOR ERMASK\)"):
            read(MASK)


def test_covered_part_of_squares_of_any_size():
    """Exposed is from the centre to 0.25 deg West; the third square reaches from 0.067 deg East to 0.267 deg West."""
    seconds = np.where(np.arange(50) < 25, 0.0, 1000.0)[None, :].repeat(50, axis=0).astype(np.float32)
    exposure = ExposureMap(((seconds, sin_projection([RA0, DEC0], 0.01, [25.5, 25.5])),))
    ra, dec = np.array([RA0, RA0 - 0.1, RA0 - 0.1, RA0 + 0.2]), np.full(4, DEC0)
    covered = covered_fraction(exposure, ra, dec, np.array([192.0, 192.0, 600.0, 192.0]))
    np.testing.assert_allclose(covered, [0.5, 1.0, 0.75, 0.0], atol=0.03)
    # of a circle of 0.1 deg about a place 0.25 deg West, one half
    covered = covered_fraction(exposure, np.array([RA0 - 0.25]), ra[:1] * 0 + DEC0, np.array([600.0]), 360.0)
    assert covered[0] == pytest.approx(0.5, abs=0.03)

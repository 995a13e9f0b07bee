"""The exposure of a user's own field: a map that is given, or a flat one of the cells that hold photons."""

import numpy as np
import pytest
from astropy.io import fits
from event_lists import sin_projection
from ingest_inputs import DEC0, RA0, event_list, ingest, sky

from clustermass.errors import InputError
from clustermass.events.eventlist import EventList
from clustermass.images.exposure import exposure_at, mean_position, occupied_cells, read_exposure


def test_flat_exposure_covers_the_field_and_nothing_else(tmp_path):
    image, wcs = read_exposure(ingest(tmp_path, sky(tmp_path))["exposure"])
    assert set(np.unique(image)) == {0.0, 1000.0}
    # 4000 photons in 24' x 24': the map must find this square to about a cell
    assert (image > 0).sum() / 3600 == pytest.approx(0.16, rel=0.1)
    ra, dec = np.array([RA0, 0.13, 359.77, 0.3, RA0]), np.array([DEC0, 2.18, 1.82, 2.0, 2.5])
    assert (exposure_at(image, wcs, ra % 360, dec) > 0).tolist() == [True, True, True, False, False]


def test_exposure_by_config_then_catalogue_then_good_time(tmp_path):
    def exposure_s(block):
        return read_exposure(ingest(tmp_path, block)["exposure"])[0].max()

    (tmp_path / "exp.csv").write_text(f"ID_SRC,RA,DEC,Z,ML_EXP\n3,{RA0},{DEC0},0.2,900\n5,{RA0},2.1,0.4,-9999\n")
    assert exposure_s(sky(tmp_path)) == 1000
    assert exposure_s(sky(tmp_path, catalogue=str(tmp_path / "exp.csv"))) == 900
    assert exposure_s(sky(tmp_path, catalogue=str(tmp_path / "exp.csv"), exposure_s=700.0)) == 700


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


def test_a_scan_needs_an_exposure(tmp_path):
    """Good time of a scan over many square degrees says nothing about the exposure of one place."""
    event_list(tmp_path / "mine.fits", number=40000, width=2.0)
    with pytest.raises(InputError, match=r"exposure is unknown \(its 4\.\d deg2 are more than one pointing\)"):
        ingest(tmp_path, sky(tmp_path))
    assert ingest(tmp_path, sky(tmp_path, exposure_s=1200.0))["exposure"].exists()


def test_no_good_time_and_no_exposure(tmp_path):
    event_list(tmp_path / "mine.fits", gti=None)
    with pytest.raises(InputError, match="it has no good time intervals"):
        ingest(tmp_path, sky(tmp_path))


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

import numpy as np
import pytest
from astropy.io import fits

from clustermass.baselines.halo_photons import LabelledPhotons, ring_exposure
from clustermass.baselines.ring_counts import RING_EDGES_ARCSEC
from clustermass.errors import InputError
from clustermass.io.products import LABELS, table_hdu
from clustermass.simulate.field import ExposureMap, Field

EXPOSURE = {
    "taper_deg": 0.5, "scans": 1, "overlap_deg": 1.0, "depth_s": 1000.0, "pixel_arcsec": 60.0, "particle_slope": 0.5,
}  # fmt: skip
BANDS_EV = np.array([200.0, 1000.0, 2300.0])


def _photons(rows):
    """Photons North of (136, 1.5) deg by the given arcsec, with energy in eV and source."""
    north, energy, source = (np.array(column) for column in zip(*rows, strict=True))
    return LabelledPhotons(np.full(len(rows), 136.0), 1.5 + north / 3600, energy.astype(float), source.astype(np.int32))


def test_photons_of_the_halo_and_of_the_background_are_counted_and_no_others():
    photons = _photons(
        [(1, 500, 7), (9, 500, 7), (9, 1500, 0), (9, 1500, -3), (9, 1500, 8), (470, 300, 0), (500, 300, 7), (9, 190, 7)]
    )
    counts = photons.in_rings(136.0, 1.5, 7, BANDS_EV)
    expected = np.zeros((11, 2))
    expected[0, 0], expected[1], expected[10, 0] = 1, [1, 1], 1
    assert counts.tolist() == expected.tolist()


def test_the_owner_of_a_place_sent_most_of_the_photons_there():
    photons = _photons([(1, 500, 7), (2, 500, 7), (3, 500, -2), *[(4, 500, 0)] * 5, (300, 500, -2), (302, 500, -2)])
    at = np.array([136.0, 136.0, 137.0]), np.array([1.5, 1.5 + 300 / 3600, 1.5])
    assert photons.owners(*at, 60.0).tolist() == [7, -2, 0]
    assert photons.agn_photons(*at, 60.0).tolist() == [1, 2, 0]


def test_exposure_is_the_mean_over_each_ring():
    field = Field(136.0, 1.5, 4.0, 4.0)
    exposure = ExposureMap.from_config(field, EXPOSURE)
    assert ring_exposure(exposure, 136.0, 1.5) == pytest.approx(np.full(11, 1000.0))
    # 0.25 deg from the Northern edge, the exposure falls linearly, from 1000 s 0.5 deg away to 0 at the edge
    ra, dec = (float(value[0]) for value in field.to_sky(np.zeros(1), np.array([1.75])))
    assert ring_exposure(exposure, ra, dec) == pytest.approx(np.full(11, 500.0), rel=0.04)
    # at the edge, half of the ring is outside; the mean distance of the other half is 2 r / pi
    ra, dec = (float(value[0]) for value in field.to_sky(np.zeros(1), np.array([2.0])))
    radius = np.mean(RING_EDGES_ARCSEC[-2:]) / 3600
    assert ring_exposure(exposure, ra, dec)[-1] == pytest.approx(1000 * radius / np.pi / 0.5, rel=0.1)


def test_labels_that_do_not_fit_the_events_are_refused(tmp_path, monkeypatch):
    labels = table_hdu("LABELS", LABELS, {"SRC_ID": np.zeros(3, dtype=np.int32)})
    fits.HDUList([fits.PrimaryHDU(), labels]).writeto(tmp_path / "labels.fits")
    monkeypatch.setattr(
        "clustermass.baselines.halo_photons.stream_events", lambda path: [_Piece(np.zeros(2), np.zeros(2), np.ones(2))]
    )
    with pytest.raises(InputError, match=r"3 labels, but .*events.fits holds 2 photons"):
        LabelledPhotons.read(tmp_path / "events.fits", tmp_path / "labels.fits")


class _Piece:
    def __init__(self, ra, dec, pi_ev):
        self.ra, self.dec, self.pi_ev = ra, dec, pi_ev

import numpy as np
import pytest
from astropy.io import fits
from scipy.stats import kstest

from clustermass.io.fits import write_fits
from clustermass.simulate.event_table import TIME_START_S, TIME_STOP_S, event_hdus, event_table
from clustermass.simulate.field import Field
from clustermass.simulate.photons import Photons

FIELD = Field(0.5, -30.0, 4.0, 3.0)


def _photons(number=40_000):
    rng = np.random.default_rng(1)
    source = np.repeat([3, -5, 0], [100, 900, number - 1000]).astype(np.int32)
    energy = rng.uniform(200, 2350, number).astype(np.float32)
    return Photons(rng.uniform(-2, 2, number), rng.uniform(-1.5, 1.5, number), energy, source)


@pytest.fixture(scope="module")
def table():
    return event_table(_photons(), FIELD, np.random.default_rng(2))


def test_a_planted_photon_comes_back_from_the_file(tmp_path):
    photons = Photons(np.array([1.0]), np.array([0.5]), np.array([777.25], np.float32), np.array([42], np.int32))
    table = event_table(photons, FIELD, np.random.default_rng(1))
    write_fits(event_hdus(table, FIELD, {"SEED": 7}), tmp_path / "events.fits")
    ra, dec = FIELD.to_sky(photons.longitude, photons.latitude)
    with fits.open(tmp_path / "events.fits") as hdus:
        row = hdus["EVENTS"].data[0]
        header = hdus["EVENTS"].header
        assert row["RA"] == pytest.approx(ra[0], abs=6e-7)
        assert row["DEC"] == pytest.approx(dec[0], abs=6e-7)
        assert row["PI"] == np.float32(777.25)
        assert header["TFORM2"] == "J"
        assert header["TSCAL2"] == 1e-6
        assert header["CREATOR"] == "clustermass"
        assert header["RA_CEN"] == 0.5
        assert [hdu.name for hdu in hdus[2:]] == [f"GTI{i}" for i in range(1, 8)]
        assert hdus["GTI3"].data["STOP"][0] == TIME_STOP_S


def test_truth_labels_stay_out_of_the_event_list(table, tmp_path):
    write_fits(event_hdus(table, FIELD, {}), tmp_path / "events.fits")
    with fits.open(tmp_path / "events.fits") as hdus:
        assert hdus["EVENTS"].columns.names == ["TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG"]
        assert np.array_equal(hdus["EVENTS"].data["PI"], table["PI"])


def test_times_are_uniform_in_the_good_time_interval_and_sorted(table):
    assert np.all(np.diff(table["TIME"]) >= 0)
    assert kstest((table["TIME"] - TIME_START_S) / (TIME_STOP_S - TIME_START_S), "uniform").pvalue > 0.01


def test_photons_of_a_cluster_lie_among_all_others(table):
    rows = np.flatnonzero(table["SRC_ID"] == 3)
    assert len(rows) == 100
    assert kstest(rows / len(table), "uniform").pvalue > 0.01


def test_photons_keep_their_own_energy_and_label(table):
    photons = _photons()
    order = np.lexsort((table["SRC_ID"], table["PI"]))
    expected = np.lexsort((photons.source, photons.energy_ev))
    assert np.array_equal(table["PI"][order], photons.energy_ev[expected])
    assert np.array_equal(table["SRC_ID"][order], photons.source[expected])


def test_patterns_and_modules_have_the_measured_fractions(table):
    patterns = np.bincount(table["PAT_TYP"], minlength=5)[1:] / len(table)
    assert patterns == pytest.approx(np.array([31503, 6730, 1091, 803]) / 40127, abs=0.006)
    assert np.bincount(table["TM_NR"], minlength=8)[1:] / len(table) == pytest.approx(np.full(7, 1 / 7), abs=0.006)
    assert not table["FLAG"].any()

"""Truth tables as the baselines read them: haloes of several realizations, and which are isolated."""

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table
from confined import refused

from clustermass.baselines.measurements import is_contaminated, is_isolated, read_truth
from clustermass.errors import InputError


def clusters(realization, halo_id):
    return xr.Dataset({"realization": ("cluster", realization), "halo_id": ("cluster", halo_id)})


def test_realizations_may_share_haloes(tmp_path):
    """The same numbers in both realizations, in different orders and with different luminosities."""
    one, two = tmp_path / "one.fits", tmp_path / "two.fits"
    Table({"HALO_ID": [3, 4], "RA": [1.0, 2.0], "DEC": [0.0, 0.0], "Z": [0.1, 0.2], "L500": [1e43, 2e43]}).write(one)
    Table({"HALO_ID": [4, 3], "RA": [1.0, 2.0], "DEC": [0.0, 0.0], "Z": [0.1, 0.2], "L500": [3e43, 4e43]}).write(two)
    truth = read_truth({"01": one, "02": two})
    rows = truth.rows(clusters(["02", "01", "02"], [3, 3, 4]))
    assert truth.l500[rows].tolist() == [4e43, 1e43, 3e43]
    with pytest.raises(InputError, match=r"HALO_ID 5 of realization 02 is one"):
        truth.rows(clusters(["02"], [5]))


def test_repeated_halo_is_refused(tmp_path):
    Table({"HALO_ID": [3, 3], "RA": [1.0, 2.0], "DEC": [0.0, 0.0], "Z": [0.1, 0.2]}).write(tmp_path / "truth.fits")
    with pytest.raises(InputError, match="HALO_ID 3 is in more than one row"):
        read_truth({"01": tmp_path / "truth.fits"})


def test_truth_without_a_needed_column_is_refused(tmp_path):
    Table({"HALO_ID": [3], "RA": [1.0]}).write(tmp_path / "truth.fits")
    with pytest.raises(InputError, match=r"lacks the column\(s\) DEC, Z"):
        read_truth({"01": tmp_path / "truth.fits"})


def test_isolation_by_hand():
    # pairs at 2', 4' and 6' from one another, at RA 0 and high declination where degrees of RA are short
    dec = np.full(6, 60.0)
    arcmin = 1 / 60 / np.cos(np.radians(60))
    ra = np.array([359.99, 359.99 + 2 * arcmin - 360, 90, 90 + 4 * arcmin, 180, 180 + 6 * arcmin]) % 360
    counts = np.array([100.0, 40.0, 100.0, 160.0, 1.0, 1000.0])
    # 40 > 0.3 x 100 within 3'; 160 > 1.5 x 100 within 5' but 100 < 1.5 x 160; 6' is far enough for anything
    assert is_isolated(ra, dec, counts).tolist() == [False, False, False, True, True, True]


def test_many_haloes_at_one_place_and_positions_that_are_none_are_refused():
    refused(r"1e\+10 pairs of near positions", is_isolated, np.full(100_000, 5.0), np.ones(100_000), np.ones(100_000))
    for value in (np.nan, np.inf):
        with np.errstate(invalid="ignore"):
            refused("1 of 2 positions aren't finite", is_isolated, np.array([value, 5.0]), np.ones(2), np.ones(2))


def test_contamination_by_hand():
    counts, fitted = np.array([49.0, 51.0, 0.0, np.nan, 80.0]), np.array([100.0, 100.0, 30.0, 50.0, np.nan])
    assert is_contaminated(counts, fitted).tolist() == [1, 0, 1, -1, -1]


def test_lonely_halo_is_isolated():
    assert is_isolated(np.array([1.0]), np.array([2.0]), np.array([3.0])).tolist() == [True]

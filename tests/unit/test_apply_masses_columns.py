"""Columns of the mass catalogue that follow from the mass, the table of detections and the flags."""

import time
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from apply_inputs import (  # noqa: F401, the fixture `field`
    COSMOLOGY,
    MADE,
    observed_field,
    read,
    run,
    write_calibration,
    write_detections,
)
from astropy import units as u
from astropy.constants import G
from astropy.coordinates import SkyCoord
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits
from astropy.table import Table

from clustermass.apply.neighbours import REACH_ARCSEC, brightest, brightest_near
from clustermass.arrays import unit_vectors
from clustermass.io.netcdf import write_netcdf


def test_posteriors_drawn_from_the_files_have_the_catalogue_s_quantiles(field):
    folder = field[0]
    write_calibration(folder, "scale", 1.5)
    smoothed = xr.load_dataset(folder / "smoothed.nc")
    smoothed["redshift_err"][1] = 0.3  # as much as the networks' sigma
    write_netcdf(smoothed, folder / "smoothed.nc", "test", MADE)
    paths = run(folder)
    table, rng = Table.read(paths["fits"], mask_invalid=False), np.random.default_rng(40)
    with xr.open_dataset(paths["netcdf"]) as dataset:
        of_netcdf = dataset["MEMBER_MU"].values
    mu, sigma = (fits.getdata(paths["fits"], name) for name in ("MEMBER_MU", "MEMBER_SIGMA"))
    np.testing.assert_array_equal(of_netcdf, mu)
    assert mu.shape == (5, 3)
    for row, number in enumerate(table["ID_SRC"]):
        if number == 11:  # no redshift
            assert np.isnan(mu[row]).all()
            assert np.isnan(sigma[row]).all()
            continue
        member = rng.integers(mu.shape[1], size=400_000)
        drawn = rng.normal(mu[row, member], sigma[row, member])
        share = [np.mean(drawn < table[f"LOGM500_{quantile}"][row]) for quantile in ("Q16", "Q50", "Q84")]
        assert share == pytest.approx([0.16, 0.50, 0.84], abs=0.004), number  # five standard errors


def test_masses_in_solar_masses_and_radii_by_hand(field):
    rows = read(field[0])
    assert rows[7]["M500"] == pytest.approx(10.0 ** float(rows[7]["LOGM500"]), rel=5e-6)
    for end in ("Q16", "Q84"):
        assert rows[7][f"M500_{end}"] == pytest.approx(10.0 ** float(rows[7][f"LOGM500_{end}"]), rel=5e-6)
    cosmology = FlatLambdaCDM(COSMOLOGY["h0_km_s_mpc"], COSMOLOGY["omega_m"])
    z, mass = 0.3, float(rows[7]["M500"]) * u.Msun
    # M / R^3 = 500 H(z)^2 / (2 G)
    radius = (2 * G * mass / (500 * cosmology.H(z) ** 2)) ** (1 / 3)
    assert rows[7]["R500C"] == pytest.approx(radius.to_value(u.kpc), rel=1e-5)
    angle = (radius / cosmology.angular_diameter_distance(z)).to_value(u.dimensionless_unscaled)
    assert rows[7]["R500C_ARCMIN"] == pytest.approx(np.degrees(angle) * 60, rel=1e-5)
    assert all(np.isnan(rows[11][name]) for name in ("M500", "M500_Q16", "M500_Q84", "R500C", "R500C_ARCMIN"))


def test_a_cluster_is_good_if_it_has_a_mass_and_no_flag(field, monkeypatch):
    folder = field[0]
    good = {number: int(row["GOOD"]) for number, row in read(folder).items()}
    assert good == {
        7: 1,
        3: 0,
        11: 0,
        20: 0,
        5: 0,
    }  # 3 unlike training, 11 no redshift, 20 redshift, 5 exposure and edge
    for name in ("images", "smoothed"):
        data = xr.load_dataset(folder / f"{name}.nc")
        data["ext"][:] = np.nan
        write_netcdf(data, folder / f"{name}.nc", "test", MADE)
    assert not any(row["GOOD"] for row in read(folder).values())  # FLAG_NOCAT


def test_what_the_table_measured_is_copied_and_what_it_lacks_is_missing(field):
    folder = field[0]
    rows = read(folder)
    assert [rows[7][name] for name in ("ML_RATE", "ML_CTS", "EXT")] == pytest.approx([0.2, 200, 20])
    images = xr.load_dataset(folder / "smoothed.nc")
    write_netcdf(images.drop_vars(["ext", "ml_rate"]), folder / "smoothed.nc", "test", MADE)
    table = Table.read(run(folder)["fits"])
    assert table["EXT"].mask.all()
    assert table["ML_RATE"].mask.all()
    assert table["ML_CTS"].mask.tolist() == [False, False, False, False, True]  # NaN for cluster 20


def test_neighbours_are_those_that_brute_force_finds():
    rng = np.random.default_rng(41)
    ra, dec = rng.normal(359.99, 0.8, 300) % 360, rng.normal(60, 0.4, 300)
    counts = rng.integers(1, 40, 300).astype(float)  # with ties
    counts[::7] = np.nan
    clusters = np.arange(0, 300, 3)
    separation, of_neighbour = brightest_near(ra, dec, counts, clusters)
    places = SkyCoord(ra, dec, unit="deg")
    for number, row in enumerate(clusters):
        apart = places[row].separation(places).arcsec
        near = [(-np.nan_to_num(counts[one], nan=-1), apart[one]) for one in range(300)
                if one != row and apart[one] <= REACH_ARCSEC]  # fmt: skip
        if not near:
            assert np.isnan(separation[number])
            assert np.isnan(of_neighbour[number])
            continue
        bright, arcsec = min(near)
        assert separation[number] == pytest.approx(arcsec, abs=1e-4)
        assert of_neighbour[number] == -bright or np.isnan(of_neighbour[number]) == (bright == 1)
    assert 5 < np.isnan(separation).sum() < 95


@pytest.mark.parametrize("most", [1, 12])
def test_the_brightest_are_those_that_brute_force_finds(most):
    """800 detections are compared with the clusters in several steps."""
    rng = np.random.default_rng(42)
    ra, dec = rng.normal(150, 0.3, 800), rng.normal(2, 0.3, 800)
    counts, rows = rng.integers(1, 500, 800).astype(float), np.arange(0, 800, 2)
    place = unit_vectors(ra, dec)
    pair = lambda own, other: (other != rows[own]) & ((own + other) % 3 > 0)  # noqa: E731, some pairs are unwanted
    found = brightest(place[rows], place, counts, 300.0, most, pair)
    places = SkyCoord(ra, dec, unit="deg")
    for own, row in enumerate(rows):
        near = np.flatnonzero((places[row].separation(places).arcsec <= 300.0) & pair(own, np.arange(800)))
        expected = near[np.argsort(-counts[near], kind="stable")][:most].tolist()
        assert found[own].tolist() == expected + [-1] * (most - len(expected))
    assert 0 < (found[:, -1] < 0).sum() < rows.size


@pytest.mark.parametrize("counts", ["equal", "different"])
def test_many_detections_at_one_place_take_little_memory_and_time(counts):
    """All pairs of 20,000 detections at one place would take 32 GB."""
    number = 20_000
    rng = np.random.default_rng(43)
    ra, dec = rng.uniform(149.99, 150.01, number), rng.uniform(-0.01, 0.01, number)
    values = np.full(number, 9.0) if counts == "equal" else rng.permutation(number).astype(float)
    tracemalloc.start()
    begin = time.process_time()
    separation, of_neighbour = brightest_near(ra, dec, values, np.arange(number))
    assert time.process_time() - begin < 20
    assert tracemalloc.get_traced_memory()[1] < 5e8
    tracemalloc.stop()
    if counts == "different":
        assert np.count_nonzero(of_neighbour == number - 1) == number - 1
    else:
        assert separation.max() < 10


def test_neighbours_are_detections_without_a_mass_too(field):
    """The table holds 90" North of cluster 3 a faint source, and 200" South a bright one, neither of which is a row."""
    folder = field[0]
    dec = [0.0, 90 / 3600, -200 / 3600, 1.0]
    write_detections(
        folder, {"ID_SRC": [3, 50, 51, 7], "RA": [136.5] * 4, "DEC": dec, "ML_CTS": [50.0, 9.0, 700.0, 1.0]}
    )
    rows = read(folder)
    assert (rows[3]["NEIGHBOUR_SEP"], rows[3]["NEIGHBOUR_CTS"]) == (pytest.approx(200), 700)
    assert np.isnan(rows[7]["NEIGHBOUR_SEP"])  # the only other detection is farther than 5'
    assert np.isnan(rows[5]["NEIGHBOUR_SEP"])  # not in the table
    write_detections(folder, {"ID_SRC": [3, 50, 51], "RA": [136.5] * 3, "DEC": dec[:3], "ML_CTS": [np.nan] * 3})
    row = read(folder)[3]
    assert row["NEIGHBOUR_SEP"] == pytest.approx(90)
    assert np.isnan(row["NEIGHBOUR_CTS"])

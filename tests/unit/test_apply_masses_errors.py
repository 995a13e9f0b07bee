"""Masses and errors of the mass catalogue: against drawn masses, by hand, recalibrated, and with those of redshifts."""

import numpy as np
import pytest
import xarray as xr
from apply_inputs import MADE, observed_field, predicted, read, write_calibration  # noqa: F401, the fixture `field`
from astropy.io import fits
from scipy.stats import norm

from clustermass.apply.masses import mass_columns
from clustermass.ensemble.calibration import Calibration, Recalibration
from clustermass.io.netcdf import write_netcdf

AS_PREDICTED = Calibration("none", Recalibration(), {68: 1.0, 90: 1.6, 95: np.nan}, 18)


def test_catalogue_s_quantiles_are_those_of_drawn_masses():
    mu, sigma, sigma_z = np.array([[13.8], [14.0], [14.5]]), np.array([[0.1], [0.15], [0.2]]), np.array([0.12])
    found = mass_columns(predicted(mu, sigma, sigma_z), AS_PREDICTED)
    rng = np.random.default_rng(33)
    member = rng.integers(0, 3, 400_000)
    drawn = rng.normal(mu[member, 0], sigma[member, 0]) + rng.normal(0, 0.12, member.size)
    for name, percent in (("LOGM500_Q16", 16), ("LOGM500_Q50", 50), ("LOGM500_Q84", 84)):
        # the error of a drawn percentile is below 0.001 dex: five of them
        assert found[name][0] == pytest.approx(np.percentile(drawn, percent), abs=0.005)
    assert found["LOGM500"][0] == pytest.approx(drawn.mean(), abs=0.003)
    assert found["LOGM500_ERR"][0] == pytest.approx(drawn.std(), abs=0.003)


def test_hand_worked_errors():
    found = mass_columns(predicted(np.array([[14.0], [14.2]]), np.array([[0.1], [0.3]]), np.array([0.2])), AS_PREDICTED)
    assert found["LOGM500"][0] == pytest.approx(14.1)
    assert found["LOGM500_ERR_ALEATORIC"][0] == pytest.approx(np.sqrt(0.05))
    assert found["LOGM500_ERR_EPISTEMIC"][0] == pytest.approx(0.1)
    assert found["LOGM500_ERR"][0] == pytest.approx(np.sqrt(0.05 + 0.01 + 0.04))


def test_recalibrated_errors_by_hand():
    calibration = Calibration("scale_and_floor", Recalibration(2.0, 0.3), {68: 1.0, 90: 1.5, 95: 2.0}, 100)
    found = mass_columns(predicted(np.array([[14.0], [14.2]]), np.array([[0.1], [0.3]]), np.array([0.2])), calibration)
    assert found["LOGM500"][0] == pytest.approx(14.1)
    assert found["LOGM500_ERR_ALEATORIC"][0] == pytest.approx(np.sqrt(4 * 0.05 + 0.09))
    assert found["LOGM500_ERR"][0] == pytest.approx(np.sqrt(4 * 0.06 + 0.09 + 0.04))
    # quantiles: the mixture stretched by 2 about 14.1 and blurred by 0.3 and by the redshift's 0.2
    components = np.array([13.9, 14.3]), np.sqrt([0.2**2 + 0.09 + 0.04, 0.6**2 + 0.09 + 0.04])
    assert norm.cdf(found["LOGM500_Q84"][0], *components).mean() == pytest.approx(0.84)
    # conformal intervals know neither recalibration nor the redshift's error
    assert found["LOGM500_CONF90_HI"][0] - 14.1 == pytest.approx(1.5 * np.sqrt(0.06))
    assert 14.1 - found["LOGM500_CONF90_LO"][0] == pytest.approx(1.5 * np.sqrt(0.06))


def test_catalogue_and_header_follow_the_calibration(field):
    folder = field[0]
    before = read(folder)
    write_calibration(folder, "scale", 1.5)
    after = read(folder)
    header = fits.getheader(folder / "masses.fits", 1)
    assert (header["NCALIB"], header["RECALIB"], header["RECALSCL"], header["RECALFLR"]) == (18, "scale", 1.5, 0.0)
    assert after[7]["LOGM500_ERR"] == pytest.approx(1.5 * before[7]["LOGM500_ERR"], rel=1e-5)
    for name in ("LOGM500", "LOGM500_ERR_Z", "LOGM500_CONF90_LO", "FLAG_OOD", "FLAG_RANGE"):
        for number in (3, 5, 7, 20):
            assert after[number][name] == before[number][name], name
    assert np.isnan(after[7]["LOGM500_CONF95_HI"])


def test_redshift_error_widens_the_mass_error(field):
    rows = read(field[0])
    assert rows[3]["LOGM500_ERR_Z"] == pytest.approx(0.02)
    assert rows[3]["LOGM500_ERR"] ** 2 == pytest.approx(
        rows[3]["LOGM500_ERR_ALEATORIC"] ** 2 + rows[3]["LOGM500_ERR_EPISTEMIC"] ** 2 + 0.02**2, rel=1e-5
    )
    assert rows[7]["LOGM500_ERR_Z"] == 0


def test_errors_of_the_training_redshifts_are_not_counted_twice(field):
    folder = field[0]
    with xr.open_dataset(folder / "ensemble.nc") as opened:
        training = opened.load()
    training["redshift_err"][:] = 0.01 * (1 + training["redshift"])
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    rows = read(folder)
    assert rows[3]["LOGM500_ERR_Z"] == pytest.approx(np.sqrt(0.02**2 - 0.015**2), rel=1e-5)  # z = 0.5
    assert fits.getheader(folder / "masses.fits", 1)["TRAINZER"] == pytest.approx(0.01)
    training["redshift_err"][:] = 0.02 * (1 + training["redshift"])
    write_netcdf(training, folder / "ensemble.nc", "test", MADE)
    assert read(folder)[3]["LOGM500_ERR_Z"] == 0

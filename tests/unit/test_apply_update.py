"""Update by lensing: the formula by hand, a shifted sky recovered, bad constraints refused."""

import numpy as np
import pytest
from apply_inputs import observed_field, run  # noqa: F401  (a fixture)
from astropy.io import fits
from astropy.table import Table
from scipy.stats import lognorm
from test_apply_physics import RESPONSES, SLOPE, conditioned_field  # noqa: F401  (a fixture)

from clustermass.apply.physics import Physics
from clustermass.apply.update import posterior, read_constraint, read_physics, update_catalogue
from clustermass.cli import main
from clustermass.errors import InputError

SIGMA = np.diag([0.08**2, 0.01**2])


def constraint(path, **columns):
    """Write a constraint of two bins; `columns` replace or (None) remove columns."""
    default = {"LOGM500_LO": [13.0, 14.2], "LOGM500_HI": [14.2, 16.0], "LOGM500_WL": [14.0, 14.8]}
    default["LOGM500_WL_ERR"] = [0.02, 0.03]
    kept = {name: values for name, values in (default | columns).items() if values is not None}
    Table(kept).write(path, format="ascii.ecsv", overwrite=True)
    return path


def test_formula_by_hand_for_one_parameter_and_one_bin():
    shift, covariance = posterior(np.array([[0.04]]), np.array([[0.5]]), np.array([0.1]), np.array([[0.03]]))
    # J Sigma J + C = 0.01 + 0.03; gain = 0.04 * 0.5 / 0.04
    np.testing.assert_allclose(shift, [0.05])
    np.testing.assert_allclose(covariance, [[0.04 - 0.5 * 0.5 * 0.04]])


def test_posterior_is_that_of_inverse_covariances():
    rng = np.random.default_rng(2)
    slope, root, noise_root = rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.normal(size=(3, 3))
    sigma, noise = root @ root.T, noise_root @ noise_root.T + np.eye(3)
    difference = rng.normal(size=3)
    shift, covariance = posterior(sigma, slope, difference, noise)
    information = np.linalg.inv(sigma) + slope.T @ np.linalg.inv(noise) @ slope
    np.testing.assert_allclose(covariance, np.linalg.inv(information), rtol=1e-8)
    np.testing.assert_allclose(shift, np.linalg.solve(information, slope.T @ np.linalg.inv(noise) @ difference))


@pytest.fixture(name="catalogue")
def good_catalogue(conditioned, tmp_path):
    """Write a catalogue whose clusters with masses are all good, with masses on both sides of 14.2."""
    with fits.open(conditioned["fits"]) as hdus:
        data = hdus["MASSES"].data
        rows = np.flatnonzero(np.isfinite(data["LOGM500"]))
        assert rows.size > 2
        data["GOOD"][rows] = 1
        data["LOGM500"][rows] = np.linspace(13.9, 14.6, rows.size)
        hdus.writeto(tmp_path / "all_good.fits", checksum=True)
    return tmp_path / "all_good.fits"


@pytest.fixture(name="made")
def updated_catalogue(catalogue, tmp_path):
    """Return the catalogue before and after an update, and the update."""
    output = tmp_path / "updated.fits"
    update = update_catalogue(catalogue, constraint(tmp_path / "constraint.ecsv", LOGM500_LO=[10.0, 14.2]), output)
    return catalogue, output, update


def test_masses_move_by_the_response_and_errors_shrink(made):
    catalogue, output, update = made
    before, after = (Table.read(path, hdu="MASSES", mask_invalid=False) for path in (catalogue, output))
    assert before.colnames == after.colnames
    good = (before["GOOD"] == 1) & np.isfinite(before["LOGM500"])
    bins = [good & (before["LOGM500"] < 14.2), good & (before["LOGM500"] >= 14.2)]
    assert update.sample.number.tolist() == [rows.sum() for rows in bins]
    mass, error = (np.asarray(before[name], dtype=float) for name in ("LOGM500", "LOGM500_ERR"))
    # mean and variance of a log-normal distribution by scipy
    expected, variance = lognorm(s=np.log(10) * error, scale=10**mass).stats()
    mean = np.array([np.log10(expected[rows].mean()) for rows in bins])
    statistical = [variance[rows].sum() / (np.log(10) * expected[rows].sum()) ** 2 for rows in bins]
    noise = np.diag([0.02**2, 0.03**2]) + np.diag(statistical)
    slope = np.tile(SLOPE, (2, 1))
    inverse = np.linalg.inv(np.linalg.inv(SIGMA) + slope.T @ np.linalg.inv(noise) @ slope)
    shift = inverse @ slope.T @ np.linalg.inv(noise) @ ([14.0, 14.8] - mean)
    np.testing.assert_allclose(update.shift, shift, rtol=1e-4)
    moved = float(SLOPE @ shift)
    assert abs(moved) > 0.005
    for name in ("LOGM500", "LOGM500_Q16", "LOGM500_Q84", "LOGM500_CONF90_HI", "LOGM500_MARG"):
        np.testing.assert_allclose(
            after[name] - before[name], np.where(np.isnan(before[name]), np.nan, moved), atol=3e-6
        )
    np.testing.assert_allclose(
        after["M500"] / before["M500"], np.where(np.isnan(before["M500"]), np.nan, 10**moved), rtol=1e-5
    )
    ratio = after["R500C"] / before["R500C"]
    np.testing.assert_allclose(ratio[good], 10 ** (moved / 3), rtol=1e-5)
    for name in ("LOGM500_ERR", "LOGM500_ERR_PRIOR", "Z", "ML_RATE", *RESPONSES):
        np.testing.assert_array_equal(after[name], before[name])
    system = np.sqrt(SLOPE @ inverse @ SLOPE)
    np.testing.assert_allclose(after["LOGM500_ERR_SYS"][good], system, rtol=1e-4)
    gone = SLOPE @ SIGMA @ SLOPE - system**2
    np.testing.assert_allclose(
        after["LOGM500_MARG_ERR"][good] ** 2, before["LOGM500_MARG_ERR"][good] ** 2 - gone, rtol=1e-4
    )
    np.testing.assert_allclose(fits.getdata(output, "MEMBER_MU") - fits.getdata(catalogue, "MEMBER_MU"),
        np.where(np.isnan(fits.getdata(catalogue, "MEMBER_MU")), np.nan, moved), atol=3e-6)  # fmt: skip


def test_file_holds_the_new_parameters_and_cannot_be_updated_again(made, tmp_path):
    catalogue, output, update = made
    physics = read_physics(output)
    np.testing.assert_allclose(physics.phi0 - read_physics(catalogue).phi0, update.shift, rtol=1e-9)
    np.testing.assert_allclose(physics.covariance, update.physics.covariance)
    assert np.abs(physics.covariance[0, 1]) > 0
    header = fits.getheader(output, "MASSES")
    assert header["LENSING"] == "constraint.ecsv"
    assert header["TUCD1"] == "meta.id;meta.main"
    with fits.open(output, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus][-1] == "PHI_COV"
    with pytest.raises(InputError, match=r"updated\.fits: was already updated by constraint\.ecsv\. A second update"):
        update_catalogue(output, tmp_path / "constraint.ecsv", tmp_path / "again.fits")
    assert not (tmp_path / "again.fits").exists()


def test_a_shifted_amplitude_is_found():
    """A precise constraint from another amplitude removes the offset of the mean mass."""
    rng = np.random.default_rng(3)
    slope = np.stack([rng.normal(-0.5, 0.05, 4), rng.normal(1.2, 0.2, 4)], axis=1)
    true = np.array([0.1, 0.004])
    noise = np.eye(4) * 0.005**2
    shift, covariance = posterior(SIGMA, slope, slope @ true + rng.normal(0, 0.005, 4), noise)
    offset = slope.mean(axis=0) @ (true - shift)
    assert abs(offset) < 3 * np.sqrt(slope.mean(axis=0) @ covariance @ slope.mean(axis=0))
    assert abs(offset) < 0.2 * abs(slope.mean(axis=0) @ true)


def test_covariance_columns_and_count_rates(tmp_path):
    columns = {"LOGM500_WL_ERR": None, "COV_1": [4e-4, 1e-4], "COV_2": [1e-4, 9e-4], "LOGM500_LO": None}
    columns |= {"LOGM500_HI": None, "ML_RATE_LO": [0.01, 0.1], "ML_RATE_HI": [0.1, 1.0]}
    read = read_constraint(constraint(tmp_path / "rates.ecsv", **columns))
    assert read.column == "ML_RATE"
    np.testing.assert_array_equal(read.covariance, [[4e-4, 1e-4], [1e-4, 9e-4]])
    np.testing.assert_array_equal(read.high, [0.1, 1.0])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"LOGM500_LO": None}, "needs the limits of its bins"),
        ({"ML_RATE_LO": [0.0, 1.0], "ML_RATE_HI": [1.0, 2.0]}, "only one of these pairs"),
        ({"LOGM500_WL": None}, "has no column LOGM500_WL"),
        ({"LOGM500_WL": [1e14, 2e14]}, "no log10 mass"),
        ({"LOGM500_WL": [np.nan, 14.0]}, "no log10 mass"),
        ({"LOGM500_WL": ["a", "b"]}, "not a number"),
        ({"LOGM500_HI": [13.0, 16.0]}, "not above the lower limit"),
        ({"LOGM500_HI": [14.5, 16.0]}, "two bins overlap"),
        ({"LOGM500_WL_ERR": [0.02, 0.0]}, "no standard error above 0"),
        ({"LOGM500_WL_ERR": [0.02, np.inf]}, "no standard error above 0"),
        ({"LOGM500_WL_ERR": None}, "needs either the column"),
        ({"COV_1": [1e-4, 0.0]}, "needs either the column"),
        ({"LOGM500_WL_ERR": None, "COV_1": [1.0, 0.5], "COV_2": [0.4, 1.0]}, "symmetric and positive"),
        ({"LOGM500_WL_ERR": None, "COV_1": [1.0, 2.0], "COV_2": [2.0, 1.0]}, "symmetric and positive"),
        ({"LOGM500_WL_ERR": None, "COV_1": [1.0, np.nan], "COV_2": [np.nan, 1.0]}, "symmetric and positive"),
        ({name: [] for name in ("LOGM500_LO", "LOGM500_HI", "LOGM500_WL", "LOGM500_WL_ERR")}, "rows"),
    ],
)
def test_bad_constraints_are_refused(tmp_path, columns, said):
    with pytest.raises(InputError, match=said) as raised:
        read_constraint(constraint(tmp_path / "bad.ecsv", **columns))
    assert str(raised.value).startswith(f"{tmp_path / 'bad.ecsv'}: ")


def test_a_catalogue_without_physics_and_an_empty_bin_are_refused(catalogue, tmp_path):
    empty = constraint(tmp_path / "empty.ecsv", LOGM500_LO=[10.0, 15.0])
    with pytest.raises(InputError, match="no good cluster has 15 <= LOGM500 < 16,"):
        update_catalogue(catalogue, empty, tmp_path / "no.fits")
    with fits.open(catalogue) as hdus:
        plain = fits.HDUList([hdu.copy() for hdu in hdus if hdu.name != "PHI_COV"])
    plain.writeto(tmp_path / "plain.fits")
    with pytest.raises(InputError, match="has no table PHI_COV"):
        update_catalogue(tmp_path / "plain.fits", constraint(tmp_path / "c.ecsv"), tmp_path / "no.fits")
    for broken in ([[0.01, 0.0], [0.5, 0.01]], [[1.0, 2.0], [2.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]]):
        physics = Physics(["a", "b"], RESPONSES, np.zeros(2), np.array(broken))
        fits.HDUList([*plain, physics.hdu()]).writeto(tmp_path / "broken.fits", overwrite=True)
        with pytest.raises(InputError, match="PHI_COV is damaged"):
            update_catalogue(tmp_path / "broken.fits", constraint(tmp_path / "c.ecsv"), tmp_path / "no.fits")
    assert not (tmp_path / "no.fits").exists()


def test_command(catalogue, tmp_path, capsys):
    given = constraint(tmp_path / "constraint.ecsv", LOGM500_LO=[10.0, 14.2])
    arguments = ["update", str(catalogue), "--lensing", str(given), "--output", str(tmp_path / "new.fits")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "clusters.relations.log10_amplitude: " in printed
    assert (tmp_path / "new.fits").is_file()
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "new.txt")]) == 1
    assert "must end in .fits" in capsys.readouterr().err

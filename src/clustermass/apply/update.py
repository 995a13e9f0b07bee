"""Update of a mass catalogue by lensing: the parameters of the physics (phi) that agree with mean lensing masses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.stats import chi2

from clustermass.apply.physics import PHYSICS, RESPONSE, TABLE, Physics
from clustermass.arrays import FloatArray
from clustermass.catalogues.formats import read_table
from clustermass.catalogues.tables import CheckedTable, read_product
from clustermass.ensemble.responses import systematic_errors
from clustermass.errors import InputError
from clustermass.io.fits import opened_fits, write_fits
from clustermass.io.log import LOGGER, printable
from clustermass.io.products import add_history
from clustermass.io.provenance import provenance

#: quantities by which clusters may be binned, each with its columns of lower and upper limits
BINNED = {name: (f"{name}_LO", f"{name}_HI") for name in ("LOGM500", "ML_RATE")}
MEAN, ERROR, COVARIANCE = "LOGM500_WL", "LOGM500_WL_ERR", "COV_{}"
#: possible mean lensing masses, log10(M500c / Msun); largest number of bins
MASSES, MOST_BINS = (10.0, 17.0), 1000
#: card of the table of masses that names the constraint of an update
CARD = "LENSING"
#: columns that an update shifts by the change of LOGM500, times a factor
_RADII = ("R500C", "R500C_ARCMIN")
#: a constraint is called unlikely if a worse one has less than this probability
_UNLIKELY = 0.01


class Constraint(NamedTuple):
    """Mean lensing masses of the clusters in bins, log10(M500c / Msun), with their covariance in dex^2."""

    column: str  #: column of the mass catalogue that the clusters are binned by
    low: FloatArray  #: lower limits of the bins, inclusive, (bin,)
    high: FloatArray  #: upper limits, exclusive, (bin,)
    mean: FloatArray  #: mean lensing mass, (bin,)
    covariance: FloatArray  #: (bin, bin)


class Sample(NamedTuple):
    """Means of the catalogue in the bins of a constraint."""

    number: NDArray[np.int64]  #: number of clusters, (bin,)
    mean: FloatArray  #: log10 of the mean mass in Msun, (bin,)
    variance: FloatArray  #: variance of this mean by the statistical errors, (bin,)
    slope: FloatArray  #: response J of this mean, (bin, parameter)


class Update(NamedTuple):
    """Result of an update: the constrained parameters, and how much their means moved."""

    physics: Physics
    shift: FloatArray  #: change of each parameter, in its unit, (parameter,)
    sample: Sample
    p: float  #: probability of a worse agreement of constraint and catalogue by chance, before the update


def read_constraint(path: Path) -> Constraint:
    """Return the constraint in a table: ECSV, FITS, VOTable, CSV or text, with a row for each bin.

    The columns are LOGM500_LO and LOGM500_HI, or ML_RATE_LO and ML_RATE_HI (limits of the bin), LOGM500_WL (log10 of
    the mean lensing mass in Msun), and either LOGM500_WL_ERR (its standard error in dex) or COV_1, COV_2, ... (the
    covariance with the bin of this number, in dex^2). InputError if a column is missing, if limits overlap, if a mass
    is impossible, or if the covariance isn't symmetric and positive.
    """
    table = CheckedTable(read_table(path), path)
    names = set(table.table.colnames)
    by = [name for name, limits in BINNED.items() if {*limits} <= names]
    if len(by) != 1:
        wanted = " or ".join(" and ".join(limits) for limits in BINNED.values())
        raise InputError(f"{path}: needs the limits of its bins in the columns {wanted}, and only one of these pairs.")
    if MEAN not in names:
        raise InputError(f"{path}: has no column {MEAN}, log10 of the mean lensing mass M500c in Msun of each bin.")
    if not 1 <= len(table) <= MOST_BINS:
        raise InputError(f"{path}: has {len(table)} rows, but must have between 1 and {MOST_BINS}, one for each bin.")
    low, high = (table.numbers(name) for name in BINNED[by[0]])
    mean = table.numbers(MEAN)
    table.check(
        np.isfinite(low) & np.isfinite(high) & (low < high), high, BINNED[by[0]][1], "not above the lower limit"
    )
    order = np.argsort(low)
    if (high[order][:-1] > low[order][1:]).any():
        raise InputError(f"{path}: two bins overlap, so a cluster would count twice. Give bins that don't overlap.")
    possible = (mean > MASSES[0]) & (mean < MASSES[1])
    table.check(possible, mean, MEAN, "no log10 mass in Msun between 10 and 17. Take the logarithm, and remove h")
    return Constraint(by[0], low, high, mean, _covariance(table))


def _covariance(table: CheckedTable) -> FloatArray:
    """Return the covariance of the bins' masses, dex^2."""
    number, names = len(table), set(table.table.colnames)
    columns = [COVARIANCE.format(row) for row in range(1, number + 1)]
    if ERROR in names and not names & {*columns}:
        error = table.numbers(ERROR)
        table.check(np.isfinite(error) & (error > 0), error, ERROR, "no standard error above 0")
        return np.diag(error**2)
    if ERROR in names or not names >= {*columns}:
        raise InputError(
            f"{table.path}: needs either the column {ERROR} or, for correlated bins, the columns {columns[0]} to "
            f"{columns[-1]}."
        )
    covariance = np.stack([table.numbers(name) for name in columns], axis=1)
    finite = bool(np.isfinite(covariance).all())
    symmetric = finite and np.allclose(covariance, covariance.T, rtol=1e-6, atol=0)
    if not symmetric or np.linalg.eigvalsh(covariance).min() <= 0:
        raise InputError(
            f"{table.path}: the covariance {columns[0]} to {columns[-1]} must be symmetric and positive definite, in "
            "dex^2, with its rows in the order of the bins."
        )
    return covariance


def posterior(
    covariance: FloatArray, slope: FloatArray, difference: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the shift of the parameters' means, and their new covariance, for a linear and Gaussian constraint.

    `difference` = `slope` @ (phi - phi0) + an error of covariance `noise`, (bin,). `covariance` is Sigma before. The
    new covariance is Sigma - Sigma J^T (J Sigma J^T + C)^-1 J Sigma, where J is `slope` and C is `noise`.
    """
    gain = np.linalg.solve(slope @ covariance @ slope.T + noise, slope @ covariance).T
    made = covariance - gain @ slope @ covariance
    return gain @ difference, (made + made.T) / 2


def binned(table: CheckedTable, physics: Physics, constraint: Constraint) -> Sample:
    """Return log10 of the mean mass of a catalogue's good clusters in bins. InputError if a bin has no cluster.

    Lensing measures the mean mass, and not the mean of log10 M. The expected mass of a cluster is

        <M> = 10^LOGM500 exp((ln(10) LOGM500_ERR)^2 / 2),

    and the variance of M is <M>^2 (exp((ln(10) LOGM500_ERR)^2) - 1). Responses and variances are those of the logarithm
    of the mean mass, to first order.
    """
    mass, error = (table.numbers(name) for name in ("LOGM500", "LOGM500_ERR"))
    slope = np.stack([table.numbers(name) for name in physics.responses], axis=1)
    by = table.numbers(constraint.column)
    good = (table.numbers("GOOD") == 1) & np.isfinite(mass + error + slope.sum(axis=1))
    found = []
    for low, high in zip(constraint.low, constraint.high, strict=True):
        rows = good & (by >= low) & (by < high)
        number = int(rows.sum())
        if not number:
            where = f"{low:g} <= {constraint.column} < {high:g}"
            raise InputError(f"{table.path}: no good cluster has {where}, a bin of the constraint. Leave out the bin.")
        largest = mass[rows].max()
        spread = (np.log(10) * error[rows]) ** 2  # variance of ln M
        expected = 10 ** (mass[rows] - largest) * np.exp(spread / 2)
        weight = expected / expected.sum()
        mean = largest + np.log10(expected.mean())
        variance = (weight**2 * np.expm1(spread)).sum() / np.log(10) ** 2
        found.append((number, mean, variance, weight @ slope[rows]))
    return Sample(*(np.array(values) for values in zip(*found, strict=True)))


def updated(physics: Physics, sample: Sample, constraint: Constraint) -> Update:
    """Return the parameters that agree with a constraint. The sample's statistical errors are part of the noise."""
    noise = constraint.covariance + np.diag(sample.variance)
    difference = constraint.mean - sample.mean
    shift, covariance = posterior(physics.covariance, sample.slope, difference, noise)
    expected = sample.slope @ physics.covariance @ sample.slope.T + noise
    p = float(chi2.sf(difference @ np.linalg.solve(expected, difference), len(difference)))
    return Update(Physics(physics.names, physics.responses, physics.phi0 + shift, covariance), shift, sample, p)


def update_catalogue(catalogue: Path, lensing: Path, output: Path) -> Update:
    """Write a mass catalogue whose masses agree with a constraint by lensing, and return the update.

    `catalogue` is the FITS file of a mass catalogue by conditioned networks, and `lensing` the file of the constraint.
    All masses, quantiles and ends of intervals are shifted by J dphi, radii follow, LOGM500_ERR_SYS and
    LOGM500_MARG_ERR shrink, and PHI_COV holds the new parameters. Statistical errors and responses stay the same. A
    warning is logged if the constraint is unlikely under the prior. InputError if a file is missing or faulty, or if
    the catalogue was already updated.
    """
    constraint = read_constraint(lensing)
    _refuse_updated(catalogue)
    physics = read_physics(catalogue)
    needed = ("GOOD", "LOGM500", "LOGM500_ERR", constraint.column, *PHYSICS, *physics.responses)
    table = read_product(catalogue, "MASSES", needed)
    made = updated(physics, binned(table, physics, constraint), constraint)
    slope = np.stack([table.numbers(name) for name in physics.responses], axis=1)
    if made.p < _UNLIKELY:
        LOGGER.warning(
            "%s: so large a difference from the catalogue has a probability of %.2g under the prior; check both, and "
            "whether the masses have the same definition",
            *(lensing, made.p),
        )
    with opened_fits(catalogue) as hdus:
        written = fits.HDUList([_changed(hdu, made, slope, physics.covariance, lensing) for hdu in hdus])
        add_history(written[0], provenance("update", {}, [catalogue, lensing]))
        write_fits(written, output, checksum=True)
    return made


def _refuse_updated(catalogue: Path) -> None:
    """Raise InputError if a mass catalogue is the result of an update."""
    with opened_fits(catalogue, whole=False) as hdus:
        before = [hdu.header[CARD] for hdu in hdus if CARD in hdu.header]
    if before:
        raise InputError(
            f"{catalogue}: was already updated by {printable(str(before[0]))}. A second update could count a "
            "constraint twice: give all bins in one table, and update the catalogue that `masses` wrote."
        )


def read_physics(catalogue: Path) -> Physics:
    """Return the parameters of the physics in a mass catalogue. InputError if it has none, or if they are damaged."""
    with opened_fits(catalogue, whole=False) as hdus:
        known = TABLE in [hdu.name for hdu in hdus]
    if not known:
        raise InputError(
            f"{catalogue}: has no table {TABLE}, because its networks aren't conditioned on the physics. Name a "
            "catalogue with the columns LOGM500_ERR_SYS and DLOGM_D*."
        )
    table = read_product(catalogue, TABLE, ("NAME", "RESPONSE", "PHI0", "COVARIANCE"))
    names, responses, phi0 = table.texts("NAME"), table.texts("RESPONSE"), table.numbers("PHI0")
    covariance = np.ma.filled(np.ma.asarray(table.table["COVARIANCE"]).astype(float), np.nan)
    covariance = covariance.reshape(len(names), -1)
    square = covariance.shape == (len(names), len(names)) and bool(np.isfinite([*covariance.ravel(), *phi0]).all())
    named = len({*responses}) == len(names) and all(name.startswith(RESPONSE) for name in responses)
    if not (square and named and _is_covariance(covariance)):
        raise InputError(f"{catalogue}: its table {TABLE} is damaged. Make the catalogue anew.")
    return Physics(names, responses, phi0, covariance)


def _is_covariance(matrix: FloatArray) -> bool:
    """Return whether a square matrix of finite numbers is a covariance, whatever the units of its parameters."""
    width = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    if not width.all():
        return False
    correlation = matrix / np.outer(width, width)
    return np.allclose(correlation, correlation.T) and bool(np.linalg.eigvalsh(correlation).min() >= -1e-9)


def _changed(hdu: Any, made: Update, slope: FloatArray, before: FloatArray, lensing: Path) -> Any:
    """Return an HDU of the catalogue after the update."""
    if hdu.name == TABLE:
        return made.physics.hdu()
    new, shift = hdu.copy(), slope @ made.shift
    if hdu.name == "MEMBER_MU":
        new.data = (hdu.data + shift[:, None]).astype(np.float32)
    if hdu.name == "MASSES":
        data = hdu.data.copy()
        for name in hdu.columns.names:
            data[name] = _cells(name, data[name], shift, slope, before, made.physics.covariance)
        new = fits.BinTableHDU(data, hdu.header.copy(), name=hdu.name)
        text = lensing.name.encode("ascii", "backslashreplace").decode()
        new.header[CARD] = (text[:40], "constraint by which the masses were updated")
    return new


def _cells(name: str, values: Any, shift: FloatArray, slope: FloatArray, before: FloatArray, after: FloatArray) -> Any:
    """Return the cells of a column of the catalogue after the update."""
    if name == "LOGM500_ERR_SYS":
        return systematic_errors(slope, after)
    if name == "LOGM500_MARG_ERR":
        gone = systematic_errors(slope, before) ** 2 - systematic_errors(slope, after) ** 2
        return np.sqrt(np.maximum(values**2 - gone, 0.0))
    if name.startswith("M500"):
        return values * 10**shift
    if name in _RADII:
        return values * 10 ** (shift / 3)
    fixed = "_ERR" in name or name.startswith("LOGM500_REF")
    return values + shift if name.startswith("LOGM500") and not fixed else values


def report(made: Update) -> list[str]:
    """Return lines of text about an update: the clusters in each bin, and each parameter that moved."""
    lines = [f"clusters in the bins: {', '.join(map(str, made.sample.number.tolist()))}"]
    lines.append(f"probability of a worse agreement before the update: {made.p:.2g}")
    error = np.sqrt(np.diag(made.physics.covariance))
    rows = zip(made.physics.names, made.physics.phi0, error, made.shift, strict=True)
    return lines + [f"{name}: {value:.5g} ± {width:.2g} (moved by {moved:+.2g})" for name, value, width, moved in rows]

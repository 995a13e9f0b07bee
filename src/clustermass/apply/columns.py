"""Columns of the mass catalogue that follow from the ensemble's predictions: masses, errors, intervals and flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.apply.catalogue import Columns
from clustermass.arrays import FloatArray
from clustermass.cosmology import arcmin_per_mpc, r500c_mpc
from clustermass.dataset.standardise import ordered, side_inputs
from clustermass.dataset.training_data import measurements_of
from clustermass.ensemble.aggregate import RANGE_BITS, Training, mixture_quantile
from clustermass.ensemble.calibration import LEVELS, Calibration
from clustermass.ensemble.ensemble import Prediction
from clustermass.images.exposure import STATED
from clustermass.io.products import MEMBERS

if TYPE_CHECKING:
    from clustermass.config.models import Cosmology

QUANTILES = {"LOGM500_Q16": 0.16, "LOGM500_Q50": 0.50, "LOGM500_Q84": 0.84}
CONFORMAL = {level: (f"LOGM500_CONF{level}_LO", f"LOGM500_CONF{level}_HI") for level in LEVELS}
PARTS = ("LOGM500_ERR_ALEATORIC", "LOGM500_ERR_EPISTEMIC", "LOGM500_ERR_Z")
#: FLAG_EDGE is set if a smaller share of the networks' image was exposed, because an edge of the field cuts the image
COVERED_MIN = 0.95
#: FLAG_RANGE allows ML_EXP to leave the range of training exposures by this factor, because ML_EXP is the exposure at
#: one place, and exposures in training are means over boxes
POINT_EXPOSURE = 1.1


def predicted_mixture(predicted: Prediction, calibration: Calibration) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations of the Gaussians in the recalibrated mixture, (member, cluster), in dex.

    The standard deviations include the uncertainty due to the redshift's error.
    """
    centre, width = calibration.recalibration.components(predicted.member_mu, predicted.member_sigma)
    return centre, np.hypot(width, predicted.sigma_redshift)


def mass_columns(predicted: Prediction, calibration: Calibration) -> dict[str, FloatArray]:
    """Return LOGM500, its errors, quantiles and conformal intervals, each (cluster,), and the columns `MEMBERS`.

    The scale of the calibration multiplies both the aleatoric and the epistemic sigma. The floor of the calibration is
    added in quadrature to the aleatoric sigma only.
    """
    again = calibration.recalibration
    aleatoric, epistemic = again.sigma(predicted.sigma_aleatoric), again.scale * predicted.sigma_epistemic
    parts = (aleatoric, epistemic, predicted.sigma_redshift)
    centre, width = predicted_mixture(predicted, calibration)
    columns = {
        "LOGM500": predicted.mu,
        "LOGM500_ERR": np.sqrt(np.sum(np.square(parts), axis=0)),
        **dict(zip(PARTS, parts, strict=True)),
        **{name: mixture_quantile(probability, centre, width) for name, probability in QUANTILES.items()},
    }
    for level, (low, high) in CONFORMAL.items():
        half_width = calibration.half_width[level] * predicted.sigma
        columns |= {low: predicted.mu - half_width, high: predicted.mu + half_width}
    return columns | dict(zip(MEMBERS, (centre.T, width.T), strict=True))


def sizes(columns: Columns, cosmology: Cosmology) -> Columns:
    """Return M500 and its quantiles in Msun, and R500C in kpc and arcmin, each (cluster,).

    Clusters without a mass get NaN.
    """
    found = {name: 10 ** columns[f"LOG{name}"].astype(float) for name in ("M500", "M500_Q16", "M500_Q84")}
    radius, angle = np.full((2, found["M500"].size), np.nan)
    rows = np.isfinite(columns["LOGM500"])
    mass, redshift = columns["LOGM500"][rows].astype(float), columns["Z"][rows].astype(float)
    parameters = {"h0_km_s_mpc": cosmology["h0_km_s_mpc"], "omega_m": cosmology["omega_m"]}
    radius[rows] = r500c_mpc(mass, redshift, parameters)
    angle[rows] = radius[rows] * arcmin_per_mpc(redshift, parameters)
    return {**found, "R500C": 1000 * radius, "R500C_ARCMIN": angle}


def excess_error(redshift: FloatArray, error: FloatArray, trained: float) -> FloatArray:
    """Return the part of each redshift's standard error that exceeds the errors in training, (cluster,).

    The part is sqrt(error^2 - (trained * (1 + z))^2), or 0 if `error` is smaller than trained * (1 + z). `trained` is
    the root mean square of the training clusters' redshift errors, each divided by 1 + z. The networks' sigma already
    includes these errors, and exact redshifts don't reduce it.
    """
    return np.sqrt(np.maximum(error**2 - (trained * (1 + redshift)) ** 2, 0.0))


def flags(field: xr.Dataset, mass: FloatArray, training: Training, side_names: Sequence[str]) -> Columns:
    """Return FLAG_RANGE, FLAG_EDGE and FLAG_NOCAT of a field's clusters, each int16 (cluster,).

    - FLAG_RANGE has a bit for each quantity outside its training range. A missing quantity (NaN) sets no bit. `mass`
      holds the log10 masses. For exposures from the catalogue (ML_EXP), the range is wider by a factor `POINT_EXPOSURE`
      at both ends.
    - FLAG_EDGE is 1 if the covered fraction of the image is below `COVERED_MIN`.
    - FLAG_NOCAT is 1 if count rate, extent or background isn't positive in the catalogue, although the networks use it
      as a side input (`side_names`). The networks then use none of the three measurements, and predict a wider sigma.
    """
    values = {name: field[name].values.astype(float) for name in ("redshift", "ml_cts", "exposure_s")}
    values["log10_m500c"] = mass
    point = field["exp_from"].values.astype(str) == STATED
    outside = np.zeros(field.sizes["cluster"], dtype=np.int16)
    for bit, name in RANGE_BITS.items():
        low, high = training.ranges[name]
        leeway = np.where(point, POINT_EXPOSURE, 1.0) if name == "exposure_s" else 1.0
        outside += bit * ((values[name] < low / leeway) | (values[name] > high * leeway)).astype(np.int16)
    _, measured = ordered(side_names)
    inputs = side_inputs(np.ones(field.sizes["cluster"]), measurements_of(field), measured)
    return {
        "FLAG_RANGE": outside,
        "FLAG_EDGE": (field["covered_fraction"].values < COVERED_MIN).astype(np.int16),
        "FLAG_NOCAT": np.isnan(inputs).any(axis=1).astype(np.int16),
    }


def good(columns: Columns) -> NDArray[np.int16]:
    """Return the column GOOD, (cluster,): 1 = there is a mass, and FLAG_RANGE, _OOD, _EDGE and _NOCAT are 0."""
    unflagged = np.all([columns[f"FLAG_{flag}"] == 0 for flag in ("RANGE", "OOD", "EDGE", "NOCAT")], axis=0)
    return (unflagged & np.isfinite(columns["LOGM500"])).astype(np.int16)

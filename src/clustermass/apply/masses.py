"""Masses of the clusters of an observed field, with uncertainties and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.apply.catalogue import CataloguePaths, Columns, header_cards, iau_names, write_catalogue
from clustermass.apply.conclusion import conclude
from clustermass.apply.mass_prior import FLAT, MassPrior, flat_columns, read_mass_prior
from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import find_rows, read_product
from clustermass.dataset.sample import load_sample, realization_of
from clustermass.dataset.standardise import ordered, side_inputs
from clustermass.dataset.training_data import measurements_of
from clustermass.ensemble.aggregate import RANGE_BITS, Training, mixture_quantile, read_training
from clustermass.ensemble.calibration import LEVELS, Calibration, read_calibration
from clustermass.ensemble.ensemble import Ensemble, Prediction
from clustermass.ensemble.ood_quantities import quantities_of
from clustermass.ensemble.out_of_distribution import OodModel, read_ood_model
from clustermass.errors import InputError
from clustermass.images.exposure import STATED, ExposureMap, covered_fraction
from clustermass.images.preprocessing import half_widths_arcsec
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import check_finite, read_netcdf
from clustermass.io.products import MASSES
from clustermass.io.provenance import provenance
from clustermass.network.predict import TrainedNetwork

if TYPE_CHECKING:
    from clustermass.config.models import Cosmology
    from clustermass.images.preprocessing import Recipe

QUANTILES = {"LOGM500_Q16": 0.16, "LOGM500_Q50": 0.50, "LOGM500_Q84": 0.84}
CONFORMAL = {level: (f"LOGM500_CONF{level}_LO", f"LOGM500_CONF{level}_HI") for level in LEVELS}
PARTS = ("LOGM500_ERR_ALEATORIC", "LOGM500_ERR_EPISTEMIC", "LOGM500_ERR_Z")
REFERENCE = ("LOGM500_REF", "LOGM500_REF_ERR")
#: columns of texts by which the user's table identifies a cluster; "" = it has none
IDENTITY = ("ID_CAT", "NAME_CAT")
#: FLAG_EDGE is set if a smaller share of what the networks see was exposed, because an edge of the field cuts the image
COVERED_MIN = 0.95
#: a cluster with a smaller exposed share gets no mass: masses are 0.04 dex too low at this share, and 0.16 dex at 0.56
COVERED_LEAST = 0.7
#: ML_EXP is an exposure at one place, training exposures are means over boxes: it may leave their range by this factor
POINT_EXPOSURE = 1.1


def infer_observed(
    images: Sequence[Path],
    smoothed: Sequence[Path],
    catalogues: Sequence[Path],
    ensemble: Path,
    calibration: Path,
    domain: Path,
    weights: Sequence[Path],
    output: Path,
    simulated: bool,
    cosmology: Cosmology,
    acronym: str = "eFEDS",
    device: str = "auto",
    mass_prior: str = "training",
    exposures: Sequence[Path] = (),
    made_by: Mapping[str, Any] | None = None,
) -> None:
    """Predict the masses of an observed field and write its catalogue in four formats.

    The error is LOGM500_ERR^2 = s_a^2 + s_e^2 + s_z^2. The aleatoric part s_a and the epistemic part s_e are
    recalibrated; s_z is half the difference of the ensemble's masses at z + e and z - e, where e is the error of the
    redshift in excess of those of the training redshifts (`excess_error`). Quantiles are those of the recalibrated
    mixture of the members' Gaussians with s_z added in quadrature to each. Conformal intervals use the ensemble's own
    sigma without s_z, because they were calibrated with it on validation clusters, whose redshifts have errors too. A
    cluster without redshift has a row in the catalogue, but no mass (NaN, FLAG_NOZ).

    InputError if a file is missing or damaged, files belong to different fields or preprocessings, the field has no
    cluster, or there are too few training clusters for the mass distribution that `flat` divides out.

    Parameters
    ----------
    images, smoothed, catalogues
        `images.nc`, `smoothed/<preprocessing>.nc` and `catalogue.fits` of every realization of the field, in the same
        order. Published masses are copied from LOGM500_REF and LOGM500_REF_ERR of the catalogues that have them.
    exposures
        `exposure.fits` of every realization, in the same order. COVERED_FRACTION is then the exposed share of what the
        networks see; without these files it is the exposed share of the whole image box.
    ensemble, calibration, domain, weights
        `ensemble.nc`, `calibration.json`, `domain.nc` and the members' safetensors of one experiment.
    output
        Catalogue to write, .fits; .vot, .ecsv and .nc are written beside it.
    simulated
        Whether the field is simulated: names then begin with "SIM", and the header says so. Images that are marked as
        simulated count as well.
    cosmology, acronym, device
        Cosmology of the training sky, for the header; acronym of the survey, for observed clusters; auto, cpu or gpu.
    mass_prior
        `flat` adds the columns LOGM500_FLAT* (see `mass_prior.flat_columns`); `training` doesn't.
    made_by
        Provenance to write; if None, the provenance of this step.
    """
    first = TrainedNetwork.load(weights[0])  # all networks have the same settings
    field = _in_order(_join_files(load_sample(smoothed), images, catalogues))
    if exposures:
        field["covered_fraction"] = ("cluster", _covered(field, exposures, images, first))
    seen = field.isel(cluster=np.isfinite(field["redshift"].values))  # without redshift no mass (and no scaled image)
    check_finite(seen, ("image",), " or ".join(map(str, smoothed)))
    trained = Ensemble(ensemble, calibration, domain, tuple(weights))
    trained.check_grid(field)
    simulated = simulated or bool(field.attrs["simulated"])
    calibrated, ood_model, training = read_calibration(calibration), read_ood_model(domain), read_training(ensemble)
    columns = _copied_columns(field, "SIM" if simulated else acronym)
    prior = read_mass_prior(ensemble) if mass_prior == "flat" else None
    columns |= _masses(field, trained, calibrated, ood_model, training, device, prior)
    columns |= flags(field, columns["LOGM500"], training, first.network["side_inputs"])
    if first.cutting.get("images", {}).get("centre") == "halo":
        LOGGER.warning(
            "infer_observed: the networks were trained on images about the haloes' true centres, but these images are "
            "about the catalogue's positions; the errors leave out the distance between the two"
        )
    inputs = [ensemble, calibration, domain, *weights, *images, *smoothed, *catalogues, *exposures]
    settings = {"simulated": simulated, "cosmology": cosmology, "mass_prior": mass_prior}
    made_by = made_by or provenance("infer_observed", settings, inputs)
    header = header_cards(simulated, cosmology, len(weights), training, calibrated, ood_model, columns["OOD_P"], prior)
    header["ENSHASH"] = (trained.digest(), "hash that names the trained ensemble")
    write_catalogue(columns, field["cluster"].values.astype(str), header, made_by, CataloguePaths.beside(output))
    conclude(columns, catalogues, COVERED_LEAST, cosmology)


def _join_files(field: xr.Dataset, images: Sequence[Path], catalogues: Sequence[Path]) -> xr.Dataset:
    """Return `field` with the photons in each image (`n_phot`) and the catalogues' columns `REFERENCE` and `IDENTITY`.

    Only one file of images is in memory at a time. The attribute `simulated` is True if any of these files says so.
    """
    simulated, parts = False, []
    for path, catalogue in zip(images, catalogues, strict=True):
        part = read_netcdf(path, ("counts",))
        simulated |= part.attrs.get("simulated") == "true"
        names, photons = part["cluster"].values.astype(str), part["counts"].values.sum(axis=(1, 2, 3), dtype=np.int64)
        parts.append((names, photons.astype(float), *_of_catalogue(catalogue, names)))
    ids, *columns = map(np.concatenate, zip(*parts, strict=True))
    rows = find_rows(field["cluster"].values.tolist(), ids.tolist())
    if (lost := field["cluster"].values[rows < 0]).size:
        text = f"lacks {lost.size} clusters of the smoothed images ({lost[0]} is one). Delete both and run again."
        raise InputError(f"{images[0]}: {text}")
    joined = zip(("n_phot", *map(str.lower, (*REFERENCE, *IDENTITY))), columns, strict=True)
    return field.assign({name: ("cluster", values[rows]) for name, values in joined}).assign_attrs(simulated=simulated)


def _covered(
    field: xr.Dataset, exposures: Sequence[Path], images: Sequence[Path], network: TrainedNetwork
) -> FloatArray:
    """Return the exposed share of what the networks see of each cluster, (cluster,), by the realizations' maps."""
    cut = network.cutting["images"]
    half_box = cut["box_pixels"] * cut["pixel_arcsec"] / 2
    shown = half_widths_arcsec(cast("Recipe", network.preprocessing), field["redshift"].values, half_box)
    circle = float(network.preprocessing.get("circle_arcsec") or np.inf)
    ra, dec = field["ra"].values.astype(float), field["dec"].values.astype(float)
    covered = np.zeros(ra.size)
    for path, exposure in zip(images, exposures, strict=True):
        rows = np.flatnonzero(field["realization"].values.astype(str) == realization_of(path))
        covered[rows] = covered_fraction(ExposureMap.read(exposure), ra[rows], dec[rows], shown[rows], circle)
    return covered


def _in_order(field: xr.Dataset) -> xr.Dataset:
    """Return the clusters sorted by realization and ID_SRC as numbers; sorted as texts, 10 would come before 9."""
    number = np.array([_id_src(name) for name in field["cluster"].values.tolist()])
    _, realization = np.unique(field["realization"].values.astype(str), return_inverse=True)
    return field.isel(cluster=np.lexsort((number, realization)))


def _of_catalogue(catalogue: Path, clusters: NDArray[np.str_]) -> list[NDArray[Any]]:
    """Return the columns `REFERENCE` and `IDENTITY` of a catalogue for `clusters`; NaN or "" = none."""
    table = read_product(catalogue, "CATALOGUE", ("ID_SRC",))
    rows = find_rows(map(_id_src, clusters.tolist()), table.table["ID_SRC"].tolist())
    values = [table.numbers(name) for name in REFERENCE if {name, REFERENCE[0]} <= set(table.table.colnames)]
    values += [np.full(len(table), np.nan)] * (len(REFERENCE) - len(values))
    texts = [table.texts(name) if name in table.table.colnames else [""] * len(table) for name in IDENTITY]
    return [
        *(np.where(rows >= 0, column[rows], np.nan) for column in values),
        *(np.where(rows >= 0, np.array(column, dtype=str)[rows], "") for column in texts),
    ]


def _id_src(cluster: str) -> int:
    return int(cluster.rpartition("_")[2])


def _copied_columns(field: xr.Dataset, acronym: str) -> Columns:
    """Return the columns of the mass catalogue that are taken from `field` without prediction, (cluster,)."""
    ra, dec = field["ra"].values.astype(float), field["dec"].values.astype(float)
    copied = {"Z": "redshift", "Z_ERR": "redshift_err", "EXPOSURE": "exposure_s"}
    same = ("n_phot", "det_like", "ext_like", "covered_fraction", "realization", "logm500_ref", "logm500_ref_err")
    copied |= {name.upper(): name for name in same}
    copied |= {name: name.lower() for name in IDENTITY if field[name.lower()].values.astype(bool).any()}
    return {
        "EXP_FROM": field["exp_from"].values.astype(str),
        "ID_SRC": np.array([_id_src(name) for name in field["cluster"].values.tolist()]),
        "NAME": iau_names(acronym, ra, dec),
        "RA": ra,
        "DEC": dec,
        **{column: field[variable].values for column, variable in copied.items()},
    }


def _masses(
    field: xr.Dataset,
    trained: Ensemble,
    calibration: Calibration,
    ood_model: OodModel,
    training: Training,
    device: str,
    prior: MassPrior | None,
) -> Columns:
    """Return masses, errors, quantiles, conformal intervals and out-of-distribution columns, (cluster,) each.

    A cluster has no mass (NaN) if it has no redshift, no exposure, or an exposed share below `COVERED_LEAST`.
    """
    redshift = field["redshift"].values.astype(float)
    error = excess_error(redshift, np.nan_to_num(field["redshift_err"].values.astype(float)), training.redshift_error)
    exposed = (field["covered_fraction"].values >= COVERED_LEAST) & (field["exposure_s"].values > 0)
    with_redshift = redshift > 0
    usable = with_redshift & exposed
    left_out = REFERENCE if prior else (*REFERENCE, *FLAT)
    filled = [one.name for one in MASSES if one.name.startswith("LOGM500") and one.name not in left_out]
    columns: Columns = dict.fromkeys([*filled, "OOD_P"], np.full(redshift.size, np.nan))
    columns |= {"OOD_WHY": np.full(redshift.size, ""), "FLAG_OOD": np.zeros(redshift.size, dtype=np.int16)}
    if usable.any():
        seen = field.isel(cluster=usable)
        measurements = measurements_of(seen)
        predicted = trained.predict(seen["image"].values, redshift[usable], error[usable], measurements, device)
        of_usable: Columns = {**mass_columns(predicted, calibration)}
        if prior:
            of_usable |= flat_columns(*predicted_mixture(predicted, calibration), redshift[usable], prior)
        score = ood_model.score(quantities_of(seen, predicted._asdict(), ood_model.transform))
        of_usable |= {"OOD_P": score.p, "OOD_WHY": np.where(score.flagged, score.why, "")}
        of_usable |= {"FLAG_OOD": score.flagged.astype(np.int16)}
        for name, values in of_usable.items():
            columns[name] = columns[name].astype(values.dtype)
            columns[name][usable] = values
    columns["N_MEMBER"] = np.full(redshift.size, len(trained.weights))
    columns["FLAG_NOZ"] = (~with_redshift).astype(np.int16)
    return columns


def predicted_mixture(predicted: Prediction, calibration: Calibration) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations, in dex, of the recalibrated mixture's Gaussians, (member, cluster).

    The standard deviations include the part from the redshift's error.
    """
    centre, width = calibration.recalibration.components(predicted.member_mu, predicted.member_sigma)
    return centre, np.hypot(width, predicted.sigma_redshift)


def mass_columns(predicted: Prediction, calibration: Calibration) -> dict[str, FloatArray]:
    """Return the columns LOGM500, its errors, quantiles and conformal intervals, (cluster,) each.

    The calibration's scale multiplies both parts of sigma; its floor is counted as aleatoric.
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
    return columns


def excess_error(redshift: FloatArray, error: FloatArray, trained: float) -> FloatArray:
    """Return the part of the redshifts' standard errors beyond those of the training clusters, float64 (cluster,).

    The networks' sigma includes the redshift errors of the training clusters already. The root mean square of these
    errors over 1 + z is `trained`. The excess is therefore sqrt(error^2 - (trained (1 + z))^2), or 0 if the error is
    smaller: exact redshifts don't make sigma any smaller.
    """
    return np.sqrt(np.maximum(error**2 - (trained * (1 + redshift)) ** 2, 0.0))


def flags(field: xr.Dataset, mass: FloatArray, training: Training, side_names: Sequence[str]) -> Columns:
    """Return FLAG_RANGE, FLAG_EDGE and FLAG_NOCAT, (cluster,) int16 each, of a field and its log10 masses (cluster,).

    FLAG_RANGE has a bit for each quantity outside its training range; a missing quantity (NaN) sets no bit. FLAG_NOCAT
    is 1 if the catalogue lacks a measurement (count rate, extent or background) that the networks use. The networks
    then use none of these measurements, as they were trained to do, and sigma is wider.
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

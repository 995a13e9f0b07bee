"""Masses of the clusters of an observed field, with uncertainties and flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.apply.card_data import MOST_CLUSTERS, card_images, cards_beside, network_images, write_cards
from clustermass.apply.catalogue import CataloguePaths, Columns, header_cards, iau_names, write_catalogue
from clustermass.apply.columns import excess_error, flags, good, mass_columns, predicted_mixture, sizes
from clustermass.apply.conclusion import conclude
from clustermass.apply.mass_prior import FLAT, MassPrior, flat_columns, read_mass_prior
from clustermass.apply.neighbours import brightest_near
from clustermass.apply.physics import PHYSICS, Physics, physics_columns
from clustermass.apply.regions import write_regions
from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import find_rows, read_product
from clustermass.dataset.sample import load_sample, realization_of
from clustermass.dataset.training_data import measurements_of
from clustermass.ensemble.aggregate import Training, read_training
from clustermass.ensemble.calibration import Calibration, read_calibration
from clustermass.ensemble.ensemble import Ensemble
from clustermass.ensemble.ood_quantities import quantities_of
from clustermass.ensemble.out_of_distribution import OodModel, read_ood_model
from clustermass.errors import InputError
from clustermass.images.cutouts import photons_of
from clustermass.images.exposure import ExposureMap, covered_fraction
from clustermass.images.moc import write_moc
from clustermass.images.preprocessing import half_widths_arcsec
from clustermass.io.log import LOGGER, printable
from clustermass.io.netcdf import check_finite, opened_netcdf, read_netcdf
from clustermass.io.products import MASSES, MEMBERS
from clustermass.io.provenance import provenance
from clustermass.network.predict import TrainedNetwork

if TYPE_CHECKING:
    from clustermass.config.models import Cosmology
    from clustermass.images.preprocessing import Recipe

REFERENCE = ("LOGM500_REF", "LOGM500_REF_ERR")
NEIGHBOUR = ("NEIGHBOUR_SEP", "NEIGHBOUR_CTS")
#: columns of texts that identify a cluster in the user's table; "" = the table has none
IDENTITY = ("ID_CAT", "NAME_CAT")
#: a cluster with a smaller exposed share gets no mass: masses are 0.04 dex too low at this share, and 0.16 dex at 0.56
COVERED_LEAST = 0.7


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
    """Write the mass catalogue of an observed field in four formats, and further files beside it.

    All clusters have a row in the catalogue.

    - The mass is NaN if a cluster has no redshift (FLAG_NOZ) or no exposure, or if the exposed share of its image is
      below `COVERED_LEAST`.
    - The error is given by LOGM500_ERR^2 = s_a^2 + s_e^2 + s_z^2. The aleatoric part s_a and the epistemic part s_e are
      recalibrated. The part s_z is half the difference of the ensemble's masses at z + e and z - e, where e is the part
      of the redshift's error that exceeds the errors of the training redshifts (`excess_error`).
    - Quantiles are those of the recalibrated mixture of the members' Gaussians, after s_z is added in quadrature to the
      sigma of each Gaussian.
    - If the networks are conditioned on the physics, LOGM500, its error and quantiles are those for phi0, and there are
      further columns (see `clustermass.apply.physics`).
    - Conformal intervals use the ensemble's sigma before recalibration and without s_z, because they were calibrated
      with this sigma.

    InputError if a file is missing or damaged, if files belong to different fields or preprocessings, or if the field
    has no cluster. If `mass_prior` is `flat`, InputError also in the cases of `read_mass_prior`.

    Parameters
    ----------
    images, smoothed, catalogues
        `images.nc`, `smoothed/<preprocessing>.nc` and `catalogue.fits` of every realization of the field, in the same
        order. If a catalogue has the columns LOGM500_REF and LOGM500_REF_ERR, published masses are copied from them.
    exposures
        `exposure.fits` of every realization, in the same order. With these files, COVERED_FRACTION is the exposed share
        of the sky that the networks see. Without them, it is the exposed share of the whole image box.
    ensemble, calibration, domain, weights
        `ensemble.nc`, `calibration.json`, `domain.nc` and the members' safetensors of one experiment.
    output
        Path of the catalogue to write (.fits). The files .vot, .ecsv, .nc, .reg (regions) and .cards.nc (data of cards)
        are written beside it. If `exposures` are given, .moc.fits (coverage) is written, too.
    simulated
        Whether the field is simulated. If so, names begin with "SIM", and the header says that the field is simulated.
        A field whose images are marked as simulated always counts as simulated.
    cosmology, acronym, device
        `cosmology` is the cosmology of the training sky, which is written to the header. Names of observed clusters
        begin with the survey's `acronym`. `device` says where the networks are evaluated: auto, cpu or gpu.
    mass_prior
        `flat` adds the columns LOGM500_FLAT* (see `mass_prior.flat_columns`). `training` doesn't add them.
    made_by
        Provenance to write. If it is None, the provenance of this step is written.
    """
    applied = AppliedEnsemble.read(Ensemble(ensemble, calibration, domain, tuple(weights)), device, mass_prior)
    field, pictures = _with_photons(load_sample(smoothed), images, exposures)
    if exposures:
        realization, covered = field["realization"].values.astype(str), np.zeros(field.sizes["cluster"])
        for path, exposure in zip(images, exposures, strict=True):
            rows = np.flatnonzero(realization == realization_of(path))
            covered[rows] = applied.covered(field.isel(cluster=rows), ExposureMap.read(exposure))
        field["covered_fraction"] = ("cluster", covered)
    applied.trained.check_grid(field)
    columns = applied.columns(field, " or ".join(map(str, smoothed)))
    inputs = [ensemble, calibration, domain, *weights, *images, *smoothed, *catalogues, *exposures]
    settings = {"simulated": simulated, "cosmology": cosmology, "mass_prior": mass_prior}
    made_by = made_by or provenance("infer_observed", settings, inputs)
    simulated = simulated or bool(field.attrs["simulated"])
    of_realization = {realization_of(path): table for path, table in zip(images, catalogues, strict=True)}
    applied.write([columns], pictures, of_realization, output, simulated, cosmology, acronym, made_by)
    if exposures:
        write_moc(map(ExposureMap.read, exposures), CataloguePaths.beside(output).moc, made_by)


def _with_photons(
    field: xr.Dataset, images: Sequence[Path], exposures: Sequence[Path]
) -> tuple[xr.Dataset, list[xr.Dataset]]:
    """Return `field` with the numbers of photons `n_phot`, and the pictures of each file, read one at a time.

    A picture is a result of `card_images`, merged with that of `network_images`.
    """
    simulated, ids, photons, pictures = False, [], [], []
    for number, path in enumerate(images):
        part = read_netcdf(path, ("counts", "band_bounds", "x", "y"))
        simulated |= part.attrs.get("simulated") == "true"
        ids += part["cluster"].values.astype(str).tolist()
        photons.append(photons_of(part["counts"].values))
        pictures.append(card_images(part, ExposureMap.read(exposures[number]) if exposures else None))
    rows = find_rows(field["cluster"].values.tolist(), ids)
    if (lost := field["cluster"].values[rows < 0]).size:
        text = f"lacks {lost.size} clusters of the smoothed images ({lost[0]} is one). Delete both and run again."
        raise InputError(f"{images[0]}: {text}")
    field = field.assign(n_phot=("cluster", np.concatenate(photons)[rows])).assign_attrs(simulated=simulated)
    inputs = network_images(field)
    pictures = [one.merge(inputs.sel(cluster=one["cluster"].values)) for one in pictures]
    return field, pictures


@dataclass(frozen=True)
class AppliedEnsemble:
    """A trained ensemble, with everything that turns its predictions into a mass catalogue."""

    trained: Ensemble
    network: TrainedNetwork  #: the first network; all have the same settings
    calibration: Calibration
    ood_model: OodModel
    training: Training
    prior: MassPrior | None
    device: str

    @classmethod
    def read(cls, trained: Ensemble, device: str, mass_prior: str) -> AppliedEnsemble:
        """Return the ensemble with the contents of its files. `infer_observed` describes `device` and `mass_prior`."""
        return cls(
            trained=trained,
            calibration=read_calibration(trained.calibration),
            ood_model=read_ood_model(trained.domain),
            network=TrainedNetwork.load(trained.weights[0]),
            training=read_training(trained.ensemble),
            prior=read_mass_prior(trained.ensemble) if mass_prior == "flat" else None,
            device=device,
        )

    @property
    def physics(self) -> Physics | None:
        """Parameters of the physics that the networks are conditioned on; None if they aren't."""
        return Physics.of(self.network.prior) if self.network.prior else None

    @property
    def circle_arcsec(self) -> float:
        """Radius of the circle that the networks see, in arcsec. It is infinite if they see a square."""
        return float(self.network.preprocessing.get("circle_arcsec") or np.inf)

    def shown(self, field: xr.Dataset) -> FloatArray:
        """Return half the side of the image that the networks see, in arcsec on the sky, (cluster,)."""
        cut, recipe = self.network.cutting["images"], cast("Recipe", self.network.preprocessing)
        return half_widths_arcsec(recipe, field["redshift"].values, cut["box_pixels"] * cut["pixel_arcsec"] / 2)

    def covered(self, field: xr.Dataset, exposure: ExposureMap) -> FloatArray:
        """Return the exposed share of the sky that the networks see around each cluster, (cluster,)."""
        ra, dec = field["ra"].values.astype(float), field["dec"].values.astype(float)
        return covered_fraction(exposure, ra, dec, self.shown(field), self.circle_arcsec)

    def columns(self, field: xr.Dataset, name: str) -> Columns:
        """Return the columns of the mass catalogue that follow from `field` and from the networks' predictions.

        `field` holds preprocessed images, the quantities of their clusters, and `n_phot`. InputError if an image isn't
        finite; the message begins with `name`. The clusters are sorted by realization and ID_SRC. Columns of `MEMBERS`
        have the shape (cluster, member), and all other columns of the catalogue (cluster,). `write` adds the columns
        that are still missing: NAME, the columns from `catalogue.fits`, and the columns that `sizes` returns.

        The result also holds three columns that only `write_cards` uses. `card_seen` (cluster,) says how far the
        networks see from the cluster, in arcsec. `card_score` and `card_given` (cluster, quantity) say how unusual each
        quantity is.
        """
        field = field.isel(cluster=_order(field["realization"].values.astype(str), id_src(field)))
        # without redshift no mass (and no scaled image)
        check_finite(field.isel(cluster=np.isfinite(field["redshift"].values)), ("image",), name)
        columns = _copied_columns(field) | self._masses(field)
        columns["card_seen"] = np.fmin(self.shown(field), self.circle_arcsec)
        columns |= flags(field, columns["LOGM500"], self.training, self.network.network["side_inputs"])
        return columns | {"GOOD": good(columns)}

    def write(
        self,
        parts: Iterable[Columns],
        pictures: Sequence[xr.Dataset],
        catalogues: Mapping[str, Path],
        output: Path,
        simulated: bool,
        cosmology: Cosmology,
        acronym: str,
        made_by: Mapping[str, Any],
    ) -> Table:
        """Write the mass catalogue of a field and its regions, and return the catalogue as a table.

        `parts` are results of `columns`. `catalogues` maps each realization to its `catalogue.fits`. `pictures` are
        results of `card_images`. If they contain all clusters of `parts`, `write_cards` writes the data of the cards.
        """
        listed = list(parts)
        columns = {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}
        order = _order(columns["REALIZATION"], columns["ID_SRC"])
        columns = {name: values[order] for name, values in columns.items()}
        columns |= _of_catalogues(catalogues, columns) | sizes(columns, cosmology)
        columns["NAME"] = iau_names("SIM" if simulated else acronym, columns["RA"], columns["DEC"])
        if self.network.cutting.get("images", {}).get("centre") == "halo":
            LOGGER.warning(
                "infer_observed: the networks were trained on images about the haloes' true centres, but these images "
                "are about the catalogue's positions; the errors leave out the distance between the two"
            )
        header = header_cards(
            simulated, cosmology, len(self.trained.weights), self.training, self.calibration, self.ood_model,
            columns["OOD_P"], self.prior,
        )  # fmt: skip
        header["ENSHASH"] = (self.trained.digest(), "hash that names the trained ensemble")
        with opened_netcdf(self.trained.ensemble) as table:
            version = table.attrs.get("version")
        if version is not None:
            text = printable(version).encode("ascii", "backslashreplace").decode()
            header["ENSVER"] = (text, "version of the released ensemble")
        paths = CataloguePaths.beside(output)
        table = write_catalogue(columns, columns["CLUSTER"], header, made_by, paths, self.physics)
        write_regions(columns, paths.regions)
        conclude(columns, COVERED_LEAST)
        if sum(part.sizes["cluster"] for part in pictures) >= len(table):
            known = self.trained.ensemble, self.ood_model.names, np.isfinite(self.circle_arcsec)
            write_cards(columns, pictures, catalogues, *known, cards_beside(output), made_by)
        else:
            LOGGER.info("more than %d clusters: no cards are made of them", MOST_CLUSTERS)
        return table

    def _masses(self, field: xr.Dataset) -> Columns:
        """Return the networks' columns. A mass is NaN if redshift or exposure is missing or too little is exposed."""
        redshift = field["redshift"].values.astype(float)
        stated = np.nan_to_num(field["redshift_err"].values.astype(float))
        error = excess_error(redshift, stated, self.training.redshift_error)
        with_redshift = redshift > 0
        usable = with_redshift & exposed(field)
        physics = self.physics
        left_out = (*REFERENCE, *(() if self.prior else FLAT), *(() if physics else PHYSICS))
        filled = [one.name for one in MASSES if one.name.startswith("LOGM500") and one.name not in left_out]
        filled += physics.responses if physics else []
        columns: Columns = dict.fromkeys([*filled, "OOD_P"], np.full(redshift.size, np.nan))
        columns |= {"OOD_WHY": np.full(redshift.size, ""), "FLAG_OOD": np.zeros(redshift.size, dtype=np.int16)}
        columns |= dict.fromkeys(MEMBERS, np.full((redshift.size, len(self.trained.weights)), np.nan))
        unknown = np.full((redshift.size, len(self.ood_model.names)), np.nan)
        columns |= dict.fromkeys(("card_score", "card_given"), unknown)
        if usable.any():
            seen = field.isel(cluster=usable)
            inputs = seen["image"].values, redshift[usable], error[usable], measurements_of(seen)
            predicted = self.trained.predict(*inputs, self.device)
            of_usable: Columns = {**mass_columns(predicted, self.calibration)}
            if self.prior:
                of_usable |= flat_columns(*predicted_mixture(predicted, self.calibration), redshift[usable], self.prior)
            if physics:
                data = seen["image"].values, redshift[usable], measurements_of(seen)
                made = self.trained.responses(*data, self.device, self.calibration.recalibration)
                of_usable |= physics_columns(made, predicted.sigma_redshift, physics)
            quantities = quantities_of(seen, predicted._asdict(), self.ood_model.transform)
            score = self.ood_model.score(quantities)
            of_usable |= {"card_score": self.ood_model.normal_scores(quantities), "card_given": score.given}
            of_usable |= {"OOD_P": score.p, "OOD_WHY": np.where(score.flagged, score.why, "")}
            of_usable |= {"FLAG_OOD": score.flagged.astype(np.int16)}
            for name, values in of_usable.items():
                columns[name] = columns[name].astype(values.dtype)
                columns[name][usable] = values
        columns["N_MEMBER"] = np.full(redshift.size, len(self.trained.weights))
        columns["FLAG_NOZ"] = (~with_redshift).astype(np.int16)
        return columns


def exposed(field: xr.Dataset) -> NDArray[np.bool_]:
    """Return whether each cluster of a field is exposed well enough for a mass, bool (cluster,)."""
    return (field["covered_fraction"].values >= COVERED_LEAST) & (field["exposure_s"].values > 0)


def _order(realization: NDArray[np.str_], id_src: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row numbers sorted by realization, then by ID_SRC as a number (as a text, "10" would precede "9")."""
    return np.lexsort((id_src, realization))


def _of_catalogues(catalogues: Mapping[str, Path], columns: Columns) -> Columns:
    """Return the columns from the `catalogue.fits`, (cluster,). `IDENTITY` columns without any value are left out."""
    number = columns["ID_SRC"]
    found: Columns = {name: np.full(number.size, np.nan) for name in (*REFERENCE, *NEIGHBOUR)}
    texts = {name: np.full(number.size, "", dtype=object) for name in IDENTITY}
    for realization, path in catalogues.items():
        table = read_product(path, "CATALOGUE", ("ID_SRC", "RA", "DEC", "ML_CTS"))
        here = np.flatnonzero(columns["REALIZATION"] == realization)
        rows = find_rows(number[here].tolist(), table.table["ID_SRC"].tolist())
        here, rows = here[rows >= 0], rows[rows >= 0]
        given = set(table.table.colnames)
        for name in REFERENCE:
            if {name, REFERENCE[0]} <= given:
                found[name][here] = table.numbers(name)[rows]
        near = brightest_near(*table.positions(), table.numbers("ML_CTS"), rows)
        for name, values in zip(NEIGHBOUR, near, strict=True):
            found[name][here] = values
        for name in given & set(IDENTITY):
            texts[name][here] = np.array(table.texts(name), dtype=object)[rows]
    return found | {name: values.astype(str) for name, values in texts.items() if (values != "").any()}


def id_src(field: xr.Dataset) -> NDArray[np.int64]:
    """Return the ID_SRC of a field's clusters, (cluster,)."""
    return np.array([int(name.rpartition("_")[2]) for name in field["cluster"].values.tolist()])


def _copied_columns(field: xr.Dataset) -> Columns:
    copied = {"Z": "redshift", "Z_ERR": "redshift_err", "EXPOSURE": "exposure_s"}
    copied |= {name.upper(): name for name in ("n_phot", "det_like", "ext_like", "covered_fraction")}
    measured = {name.upper(): field.get(name, np.nan) for name in ("ml_rate", "ml_cts", "ext")}
    return {
        "CLUSTER": field["cluster"].values.astype(str),
        "EXP_FROM": field["exp_from"].values.astype(str),
        "ID_SRC": id_src(field),
        "REALIZATION": field["realization"].values.astype(str),
        "RA": field["ra"].values.astype(float),
        "DEC": field["dec"].values.astype(float),
        **{column: field[variable].values for column, variable in copied.items()},
        **{column: np.broadcast_to(values, field.sizes["cluster"]) for column, values in measured.items()},
    }

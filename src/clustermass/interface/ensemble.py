"""A trained ensemble for scripts and notebooks: masses of clusters, masses as functions of redshift, and posteriors."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, Unpack, overload

import numpy as np
import xarray as xr
from astropy.table import Table
from numpy.typing import ArrayLike

from clustermass.apply.field import check_outputs, masses_of_field, sky_of_files
from clustermass.apply.find import rows_called
from clustermass.apply.masses import AppliedEnsemble
from clustermass.apply.over_redshift import masses_over_redshift
from clustermass.checked import MassPrior, Positive, checked
from clustermass.ensemble import ensemble as trained
from clustermass.ensemble import released
from clustermass.ensemble.aggregate import read_training
from clustermass.errors import InputError
from clustermass.interface.inputs import (
    Catalogue,
    CatalogueOptions,
    Events,
    Exposure,
    FieldOptions,
    PathLike,
    as_files,
    name_of,
)
from clustermass.interface.posterior import Posterior, names_in, posterior_in, read_members
from clustermass.io.netcdf import read_netcdf


@dataclass(frozen=True, repr=False)
class Ensemble(trained.Ensemble):
    """A trained ensemble: networks, calibration, and data of its training clusters.

    >>> ensemble = clustermass.Ensemble.load()
    """

    #: contents of the netCDF mass catalogue of the field for which `masses` was called last without `z_grid`
    _last: list[xr.Dataset] = field(default_factory=list, repr=False, compare=False)

    def __repr__(self) -> str:
        origin = self._packed or self.ensemble.parent
        what = "released ensemble" if origin == released.RELEASED else f"ensemble {origin}"
        numbers = f"{len(self.weights)} networks"
        with suppress(InputError):  # the files may be gone
            version = read_netcdf(self.ensemble).attrs.get("version")
            what += f" {version}" if version else ""
            numbers += f", trained on {read_training(self.ensemble).number:,} simulated clusters"
        return f"<{what}: {numbers}>"

    @classmethod
    @checked
    def load(cls, path: PathLike | None = None) -> Self:
        """Return the released ensemble, or the ensemble in an experiment's folder or in a file of `clustermass pack`.

        InputError if there is no ensemble, if it is damaged, or if this copy of clustermass has no released ensemble.
        """
        return super().load(released.released_ensemble("give Ensemble.load a path") if path is None else Path(path))

    @overload
    def masses(
        self, events: Events, catalogue: Catalogue, exposure: Exposure = ..., **options: Unpack[CatalogueOptions]
    ) -> Table: ...

    @overload
    def masses(
        self,
        events: Events,
        catalogue: Catalogue,
        exposure: Exposure = ...,
        *,
        z_grid: ArrayLike,
        **options: Unpack[FieldOptions],
    ) -> xr.Dataset: ...

    @checked
    def masses(
        self,
        events: Events,
        catalogue: Catalogue,
        exposure: Exposure = None,
        *,
        z_grid: ArrayLike | None = None,
        exposure_s: Positive | None = None,
        columns: Mapping[str, str] | None = None,
        catalogue_bands: Sequence[int] | None = None,
        acronym: str = "eFEDS",
        mass_prior: MassPrior = "training",
        output: PathLike | None = None,
        overwrite: bool = False,
    ) -> Table | xr.Dataset:
        """Return the mass catalogue of a field or, if `z_grid` is given, the masses as functions of redshift.

        The catalogue has the content that `clustermass masses` writes.

        Parameters
        ----------
        events
            Event list or lists of one field (paths, or tables in memory), or images in the networks' bands (paths). A
            table in memory has no good time intervals. If an event list has events outside of its good time intervals,
            give its path instead.
        catalogue
            Table with the position (ICRS) and redshift of each cluster: a path, or a table in memory.
        exposure
            Vignetting-corrected exposure map or maps in s: paths, or CCDData. Without a map and without `exposure_s`,
            the exposure is each cluster's ML_EXP, or the good time of a single pointing.
        exposure_s
            One exposure in s for all clusters, if there is no map.
        columns
            Map from our names of columns to those in the table, if the latter are unusual: ``{"Z": "z_best"}``.
        catalogue_bands
            Edges of the table's energy bands in eV, if it has several.
        acronym
            First word of the clusters' names in the column NAME.
        mass_prior
            With `flat`, the columns LOGM500_FLAT* are added: masses from posteriors divided by the mass prior.
        output
            Path of the catalogue, ending in .fits. Beside it, files with the endings .vot, .ecsv, .nc, .reg, .moc.fits
            and (for up to 5000 clusters) .cards.nc are written. If `output` is None, no file is written. Only the
            command line writes the page .html.
        overwrite
            Whether existing files are replaced.
        z_grid
            Redshifts to assume for all clusters, (z,). The catalogue needs no redshifts then, and existing ones are
            ignored.

        Returns
        -------
        Table or xarray.Dataset
            A row for each cluster of `catalogue` that lies in the field and passes the cuts on DET_LIKE and EXT_LIKE.
            The cuts are those of the images on which the networks were trained: DET_LIKE above 5 and EXT_LIKE above 6
            for the released networks. If `catalogue` has no DET_LIKE or no EXT_LIKE, all its rows pass the cut on this
            quantity. The columns are described in docs/reference/catalogue.md, and `meta` holds the header.
            With `z_grid`: LOGM500, LOGM500_ERR and quantiles in dex, each (cluster, z); see
            `clustermass.apply.over_redshift.masses_over_redshift`.

        Raises
        ------
        InputError
            If an input is missing or faulty. The message says which one, where, and what to do.
        """
        if output is not None and Path(output).suffix != ".fits":
            raise InputError(f"output is {output}, but must end in .fits; .vot, .ecsv and .nc are written beside it.")
        with self.packed_file_named(), as_files(events, catalogue, exposure) as (lists, table, maps):
            if z_grid is not None:
                sky = sky_of_files(lists, table, maps, exposure_s, columns, catalogue_bands)
                applied = AppliedEnsemble.read(self, "cpu", "training")
                return masses_over_redshift(applied, sky, np.asarray(z_grid, dtype=float), acronym)
            with tempfile.TemporaryDirectory(prefix="clustermass-") as folder:
                written = Path(folder) / "masses.fits" if output is None else Path(output)
                given = maps, exposure_s, columns, catalogue_bands, acronym, overwrite
                masses = masses_of_field(lists, table, self.ensemble.parent, written, *given, mass_prior=mass_prior)
                self._last[:] = [read_members(written.with_suffix(".nc"))]
                return masses

    def posterior(self, cluster: str | int) -> Posterior:
        """Return the posterior of a cluster's log10(M500c / Msun).

        `cluster` is the id, the name or a part of the name of a cluster in the last field. The last field is the one
        for which `masses` was last called without `z_grid`. For clusters of earlier fields, use `Posterior.read`.
        `cluster` can also be the id of a simulated cluster of the training sky, as in `ensemble.nc`. InputError if no
        cluster or several clusters fit, or if the cluster has no mass.
        """
        cluster = name_of(cluster)
        for last in self._last:
            if rows_called(names_in(last), cluster) or not self._simulated(cluster):
                return posterior_in(last, cluster, "the last field (of the last call of masses)")
        if not self._simulated(cluster):
            raise InputError(
                f"{cluster}: is no training cluster of this ensemble. For a cluster of a field, call masses first."
            )
        simulated = super().posterior(cluster)
        return Posterior(simulated.mu, simulated.sigma, cluster)

    @checked
    def save(self, path: PathLike, *, overwrite: bool = False) -> str:
        """Write the ensemble to one packed file, such as `my_ensemble.zip`, and return its hash (ENSHASH of masses).

        InputError if the file exists and `overwrite` is False, or if a file of the ensemble is missing or damaged.
        """
        check_outputs([Path(path)], overwrite, list(self.named().values()))
        return super().save(Path(path))

    def _simulated(self, cluster: str) -> bool:
        """Return whether `ensemble.nc` holds a cluster with this id. The released `ensemble.nc` holds no ids."""
        table = read_netcdf(self.ensemble)
        return "cluster" in table.coords and cluster in table["cluster"].values.astype(str)

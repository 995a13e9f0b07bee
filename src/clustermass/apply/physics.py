"""What a mass catalogue states about the parameters of the physics (phi): responses, and the table PHI_COV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from clustermass.arrays import FloatArray
from clustermass.dataset.physics import PhysicsPrior
from clustermass.ensemble.responses import Responses
from clustermass.io.products import CREATOR, Column, column

#: columns of the mass catalogue that are written only for conditioned networks
PHYSICS = ("LOGM500_ERR_SYS", "LOGM500_ERR_PRIOR", "LOGM500_MARG", "LOGM500_MARG_ERR")
#: beginning of the names of the columns with responses, and name of the table
RESPONSE, TABLE = "DLOGM_D", "PHI_COV"
#: meaning of the columns of the table
_MEANINGS = {
    "NAME": "parameter of the physics: its key in the configuration of the sky",
    "RESPONSE": "column of MASSES with the response of LOGM500 to the parameter",
    "PHI0": "value of the parameter for which LOGM500 is, in its own unit",
    "COVARIANCE": "covariance with each parameter, in the order of the rows",
}


@dataclass(frozen=True)
class Physics:
    """The parameters of the physics that a mass catalogue states: names, values for LOGM500, and their covariance."""

    names: list[str]
    responses: list[str]  #: names of the columns with the responses
    phi0: FloatArray  #: (parameter,)
    covariance: FloatArray  #: (parameter, parameter)

    @classmethod
    def of(cls, prior: PhysicsPrior) -> Physics:
        """Return the parameters with the mean and the covariance of their prior."""
        names = [f"{RESPONSE}{name}" for name in prior.columns()]
        return cls(prior.names, names, np.array(prior.mean), prior.covariance())

    def columns(self) -> list[Column]:
        """Return the columns of responses as they are described in the mass catalogue."""
        return [
            column(name, "E", f"d LOGM500 / d {parameter} at fixed data, dex", ucd="arith.grad;phys.mass")
            for name, parameter in zip(self.responses, self.names, strict=True)
        ]

    def table(self) -> Table:
        """Return the table PHI_COV, with a row for each parameter; its columns are described in `_MEANINGS`."""
        values = (self.names, self.responses, self.phi0, self.covariance)
        made = Table(dict(zip(_MEANINGS, values, strict=True)))
        for name, meaning in _MEANINGS.items():
            made[name].description = meaning
        return made

    def hdu(self) -> fits.BinTableHDU:
        """Return the table as an extension of a FITS file."""
        hdu = fits.table_to_hdu(self.table())
        hdu.name = TABLE
        hdu.header["CREATOR"] = CREATOR
        for number, meaning in enumerate(_MEANINGS.values(), start=1):
            hdu.header[f"TCOMM{number}"] = meaning
        return hdu

    def meta(self) -> dict[str, Any]:
        """Return the table as nested lists, for the header of an ECSV file."""
        return {name: self.table()[name].tolist() for name in _MEANINGS}


def physics_columns(made: Responses, sigma_redshift: FloatArray, physics: Physics) -> dict[str, FloatArray]:
    """Return the columns `PHYSICS` and the responses, each (cluster,), in dex or dex per unit of the parameter.

    `sigma_redshift` is the part of the errors by the redshift, dex, (cluster,).
    """
    errors = made.systematic, np.hypot(made.mean_sigma, sigma_redshift), made.marginal_mu
    values = *errors, np.hypot(made.marginal_sigma, sigma_redshift)
    return dict(zip(PHYSICS, values, strict=True)) | dict(zip(physics.responses, made.slope.T, strict=True))

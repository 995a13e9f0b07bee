"""The embedded sky as a SIMPUT 1.1 catalogue, so that SIXTE can observe the same haloes and AGN.

A SIMPUT source is what arrives at the telescope: spectra and the fluxes that normalise them, 0.5-2 keV, are absorbed,
and a cluster's flux is that of its whole profile. SRC_ID must be positive: a halo keeps the number 1 ... n of the truth
table, which SIXTE hands on to its events as photon label; the AGN with label -k is n + k, with n in the card NHALOES.

Left out is the smooth background, sky and particles: SIXTE adds its own (`Background=yes`). The images have no PSF and
are shared by clusters (`share_images`); spectra are those of the nearest temperature and redshift of a grid
(`cluster_spectra`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import IntArray
from clustermass.errors import InputError
from clustermass.io.fits import write_fits
from clustermass.io.log import LOGGER
from clustermass.simulate.agn import PointSources, draw_agn
from clustermass.simulate.field import Field
from clustermass.simulate.random_streams import random_streams
from clustermass.simulate.realization import EmittingHaloes, emitting_haloes, header_cards
from clustermass.simulate.simput_sources import (
    BAND_KEV,
    ArrivingSpectra,
    SharedImages,
    agn_spectra,
    cluster_spectra,
    image_hdu,
    image_name,
    share_images,
)
from clustermass.simulate.spectra import ClusterSpectra

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky

#: name, FITS format ("A" for as long as needed) and unit of each column; libsimput knows no other spelling of the units
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("SRC_ID", "J", ""),
    ("SRC_NAME", "A", ""),
    ("RA", "D", "deg"),
    ("DEC", "D", "deg"),
    ("IMGROTA", "E", "deg"),
    ("IMGSCAL", "E", ""),
    ("E_MIN", "E", "keV"),
    ("E_MAX", "E", "keV"),
    ("FLUX", "E", "erg/s/cm**2"),
    ("SPECTRUM", "A", ""),
    ("IMAGE", "A", ""),
    ("TIMING", "A", ""),
)


def write_realization_simput(sky: Sky, cosmology: Mapping[str, float], name: str, realization: str, path: Path) -> None:
    """Draw the haloes and AGN of a realization once more and write them as a SIMPUT file.

    Parameters are those of `realization.simulate_realization`, which draws the same sources; errors are those of it
    and of `write_simput`.
    """
    generators = random_streams(sky["seed"], name, realization)
    field, nh_cm2 = Field.from_config(sky["field"]), float(sky["absorption"]["nh_cm2"])
    spectra = ClusterSpectra.build(sky["clusters"]["redshift_max"], nh_cm2)
    clusters = emitting_haloes(sky, cosmology, field, spectra, generators)
    agn = draw_agn(field, sky["agn"], clusters.haloes, clusters.gas.r500_arcmin, generators["agn"])
    header = header_cards(sky, cosmology, name, realization)
    write_simput(path, field, clusters, agn, nh_cm2, float(sky["agn"]["photon_index"]), header)


def write_simput(
    path: Path,
    field: Field,
    clusters: EmittingHaloes,
    agn: PointSources,
    nh_cm2: float,
    photon_index: float,
    header: Mapping[str, Any] | None = None,
) -> None:
    """Write haloes and AGN as a SIMPUT file.

    Parameters
    ----------
    path
        File to write: SRC_CAT, SPECTRUM and at most 190 images.
    field
        Turns native positions into RA and Dec.
    clusters, agn
        The sources.
    nh_cm2
        Hydrogen column that absorbs them, cm-2.
    photon_index
        Of the AGN.
    header
        Further cards of the catalogue's header.

    Raises
    ------
    InputError
        There is no source.
    """
    number = len(clusters)
    if not number + len(agn):
        raise InputError(f"{path}: the field has neither haloes nor AGN, and a SIMPUT catalogue can't be empty.")
    images = share_images(clusters.gas, clusters.rate)
    plasma, rows = cluster_spectra(clusters.gas.kt_kev, clusters.haloes.redshift, nh_cm2)
    power = agn_spectra(photon_index, nh_cm2)
    values = _join(_cluster_columns(clusters, field, plasma, rows, images), _agn_columns(agn, field, power, number + 1))
    table = _catalogue(values, {**(header or {}), "NHALOES": (number, "SRC_ID of haloes are 1 to this, then AGN")})
    spectra = plasma.joined(power)
    hdus = [fits.PrimaryHDU(), table, spectra.hdu(_class("SPECTRUM"))]
    hdus += [image_hdu(clusters.gas, int(host), i, _class("IMAGE")) for i, host in enumerate(images.hosts)]
    write_fits(fits.HDUList(hdus), path)
    LOGGER.info(
        "SIMPUT: %d haloes, %d AGN, %d spectra, %d images", number, len(agn), len(spectra.names), len(images.hosts)
    )


def _cluster_columns(
    clusters: EmittingHaloes, field: Field, spectra: ArrivingSpectra, rows: IntArray, images: SharedImages
) -> dict[str, NDArray[Any]]:
    ra, dec = field.to_sky(clusters.haloes.longitude, clusters.haloes.latitude)
    return {
        "SRC_ID": clusters.source_ids,
        "SRC_NAME": np.array([f"halo{i}" for i in clusters.source_ids], dtype=str),
        "RA": ra,
        "DEC": dec,
        # libsimput turns pixels from +x towards -y. As x grows to the West that is from East to North, which is how
        # position_angle is counted; an ellipse looks the same after half a turn.
        "IMGROTA": np.degrees(clusters.gas.position_angle),
        "IMGSCAL": images.scale,
        "FLUX": clusters.flux * clusters.gas.total_over_inside * spectra.passed[rows],
        "SPECTRUM": np.array([_spectrum_reference(name) for name in spectra.names], dtype=str)[rows],
        "IMAGE": np.array([f"[{image_name(i)},1]" for i in range(len(images.hosts))], dtype=str)[images.image],
    }


def _agn_columns(agn: PointSources, field: Field, spectra: ArrivingSpectra, first: int) -> dict[str, NDArray[Any]]:
    ra, dec = field.to_sky(agn.longitude, agn.latitude)
    number = len(ra)
    return {
        "SRC_ID": first + np.arange(number),
        "SRC_NAME": np.array([f"agn{-label}" for label in agn.source_ids], dtype=str),
        "RA": ra,
        "DEC": dec,
        "IMGROTA": np.zeros(number),
        "IMGSCAL": np.ones(number),
        "FLUX": agn.flux * spectra.passed[0],
        "SPECTRUM": np.full(number, _spectrum_reference(spectra.names[0])),
        "IMAGE": np.full(number, "NULL"),
    }


def _join(*parts: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Put sources below one another and add the columns that are the same for all."""
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    constants = {"E_MIN": BAND_KEV[0], "E_MAX": BAND_KEV[1], "TIMING": "NULL"}
    return values | {name: np.full(len(values["RA"]), value) for name, value in constants.items()}


def _catalogue(values: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> fits.BinTableHDU:
    columns = []
    for name, form, unit in COLUMNS:
        width = str(np.char.str_len(values[name]).max()) if form == "A" else ""
        columns.append(fits.Column(name, width + form, unit=unit or None, array=values[name]))
    table = fits.BinTableHDU.from_columns(columns, name="SRC_CAT")
    # FK5 and ICRS agree to 0.03 arcsec; libsimput's own catalogues state FK5
    table.header.update({**_class("SRC_CAT"), "RADESYS": "FK5", "EQUINOX": 2000.0, "CREATOR": "clustermass", **header})
    return table


def _class(name: str) -> dict[str, str]:
    return {"HDUCLASS": "HEASARC/SIMPUT", "HDUCLAS1": name, "HDUVERS": "1.1.0"}


def _spectrum_reference(name: str) -> str:
    return f"[SPECTRUM,1][NAME=='{name}']"

"""Make the catalogue of sources in a field from its event lists and exposure maps alone, without any truth."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clustermass import limits
from clustermass.arrays import FloatArray
from clustermass.config.resolve import default_config
from clustermass.detect.detect import detect
from clustermass.detect.facets import band_of, piece_of
from clustermass.errors import InputError
from clustermass.events.eventlist import Selection
from clustermass.events.merge import stream_many
from clustermass.images.exposure import ExposureMap, read_exposure
from clustermass.io.log import LOGGER
from clustermass.io.products import CATALOGUE, write_table
from clustermass.io.provenance import provenance
from clustermass.io.room import check_memory
from clustermass.simulate.telescope import KingPsf

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection, Psf

#: bytes of memory for each photon
_PHOTON_BYTES = 100
#: facets with fewer photons than this, on average, are counted; exposed for 100 s, a facet has some 30,000
_FEW_PHOTONS = 1000


def detect_field(
    events: Sequence[Path],
    exposure: Sequence[Path],
    output: Path,
    detection: Detection | None = None,
    psf: Psf | None = None,
) -> tuple[int, int]:
    """Detect the sources in event lists of one field, and write them to the FITS file `output`.

    The file has the columns of `catalogue.fits`. No source has a redshift: Z is NaN and Z_TYPE is none. `exposure` are
    vignetted exposure maps; where they overlap, the largest exposure counts. `detection` and `psf` are the config
    blocks of a sky; None means those of the default simulated sky. Returns the number of sources, and how many of them
    are above the likelihoods from which the default configuration makes images. InputError if a file is missing or
    faulty, if no photon has exposure, if the photons don't fit into memory, or if values of `detection` contradict each
    other.
    """
    config = default_config()
    parameters: Detection = detection or config["skies"]["embedded"]["detection"]
    profile: Psf = psf or config["skies"]["embedded"]["psf"]
    maps = ExposureMap(tuple(read_exposure(path) for path in exposure))
    photons = _photons(events, parameters["e_min_ev"], parameters["e_max_ev"])
    exposed = maps.at(photons["ra"], photons["dec"]) > 0
    if not exposed.any():
        raise InputError(f"{exposure[0]}: no photon of {events[0]} has exposure. Do the two belong together?")
    # stray photons far away would each take the time of a part of the sky
    photons = {name: values[exposed] for name, values in photons.items()}
    _check_area(photons["ra"], photons["dec"], events[0])
    columns = detect(photons, maps.at, KingPsf(**profile), parameters)
    rows = len(columns["ID_SRC"])
    if not rows:
        LOGGER.warning("%s: no source is detected; the catalogue has no rows", events[0])
    unknown = np.full(rows, np.nan, dtype=np.float32)
    columns |= {"Z": unknown, "Z_ERR": unknown, "Z_TYPE": np.full(rows, "none")}
    made = provenance("detect_field", {"detection": parameters, "psf": profile}, [*events, *exposure])
    write_table(output, "CATALOGUE", CATALOGUE, columns, provenance=made)
    cuts = config["images"]
    candidates = (columns["DET_LIKE"] > cuts["det_like_min"]) & (columns["EXT_LIKE"] > cuts["ext_like_min"])
    return rows, int(np.count_nonzero(candidates))


def _photons(events: Sequence[Path], e_min_ev: float, e_max_ev: float) -> dict[str, NDArray[Any]]:
    """Return position (deg) and energy (eV) of the selected photons from `e_min_ev` to `e_max_ev`, both included."""
    selection, pieces = Selection(), []
    with tempfile.TemporaryDirectory() as folder:
        for piece in map(selection.keep, stream_many(events, Path(folder))):
            check_memory(len(piece) * _PHOTON_BYTES, events[0])
            rows = (piece.pi_ev >= e_min_ev) & (piece.pi_ev <= e_max_ev)
            pieces.append((piece.ra[rows], piece.dec[rows], piece.pi_ev[rows]))
    selection.conclude()
    ra, dec, pi_ev = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return {"ra": ra, "dec": dec, "pi_ev": pi_ev}


def _check_area(ra: FloatArray, dec: FloatArray, path: Path) -> None:
    """Raise InputError if the photons are scattered over too many facets, each of which takes half a second."""
    bands = band_of(dec)
    occupied = np.flatnonzero(np.bincount(bands)).tolist()
    facets = sum(int(np.count_nonzero(np.bincount(piece_of(ra[bands == band], band)))) for band in occupied)
    if len(ra) < facets * _FEW_PHOTONS:
        limits.FACETS.check(facets, path)

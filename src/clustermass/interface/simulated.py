"""Small simulated fields of the default sky, which scripts and notebooks can make in seconds."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table

from clustermass.catalogues.match_field import match_sources
from clustermass.checked import Positive, checked
from clustermass.config.resolve import default_config, merge
from clustermass.config.validate import check_config
from clustermass.errors import InputError
from clustermass.ingest.detect_field import detect_field
from clustermass.interface.inputs import PathLike
from clustermass.io.files import atomic
from clustermass.io.fits import opened_fits, write_fits
from clustermass.simulate.realization import simulate_realization

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky

SKY = "embedded"
_FILES = ("events", "exposure", "labels", "sources", "truth", "catalogue", "matches")


@dataclass(frozen=True, repr=False)
class SimulatedField:
    """A simulated field: the files that an observer would have, and the truth. `save` makes the files permanent."""

    sky: Sky  #: block of the configuration that it was simulated with
    _folder: Path

    def __repr__(self) -> str:
        size = self.sky["field"]
        return f"<simulated field of {size['width_deg']:g} x {size['height_deg']:g} deg, seed {self.sky['seed']}>"

    @cached_property
    def events(self) -> Table:
        """Return the event list of photons, with TIME in s, RA and DEC in deg, PI in eV, TM_NR, PAT_TYP and FLAG."""
        return self._read("events")

    @cached_property
    def catalogue(self) -> Table:
        """Return the catalogue of detections, with redshifts as a follow-up would measure them."""
        return self._read("catalogue")

    @cached_property
    def exposure(self) -> CCDData:
        """Return the vignetting-corrected exposure map in s."""
        return CCDData.read(self._folder / "exposure.fits")

    @cached_property
    def truth(self) -> Table:
        """Return the simulated haloes with their true masses LOG10_M500C. ID_SRC is -1 if a halo wasn't detected."""
        return self._read("truth")

    @checked
    def save(self, folder: PathLike) -> Path:
        """Copy events.fits, exposure.fits, catalogue.fits, truth.fits, ... to a new folder, and return its path.

        truth.fits has the column ID_SRC, as `truth` has. InputError if the folder exists already.
        """
        if Path(folder).exists():
            raise InputError(f"{folder}: exists already. Name a new folder.")
        for path in self._folder.iterdir():
            with atomic(Path(folder) / path.name) as temporary:
                shutil.copyfile(path, temporary)
        return Path(folder)

    def files(self, *names: str) -> list[Path]:
        """Return the paths of the temporary files with these names, such as ``events``.

        The files are deleted when this object is deleted.
        """
        return [self._folder / f"{name}.fits" for name in names]

    def _read(self, name: str) -> Table:
        table = Table.read(self._folder / f"{name}.fits", hdu=name.upper(), format="fits")
        for number, column in enumerate(table.itercols(), start=1):
            column.description = table.meta.pop(f"TCOMM{number}", None)
        return table


@checked
def simulate_field(
    width_deg: Positive = 2.0,
    height_deg: Positive | None = None,
    seed: int = 1,
    changes: Mapping[str, Any] | None = None,
) -> SimulatedField:
    """Return a simulated field of `width_deg` times `height_deg` (default: a square); each deg2 takes about a second.

    The sky is `embedded` of the default configuration, except for its size. The number of scans is adapted to the size,
    so that a scan is about as wide as in the default sky. `changes` are other values of the sky's keys, such as
    ``{"exposure": {"depth_s": 130.0}}``; config/README.md lists the keys. The same arguments give the same field.
    InputError if a key is unknown or a value isn't possible.

    >>> field = clustermass.simulate_field(width_deg=1.0, seed=3)
    >>> field.truth.colnames[:6]
    ['SRC_ID', 'HALO_ID', 'RA', 'DEC', 'Z', 'LOG10_M500C']
    """
    config = default_config()
    sky = config["skies"][SKY]
    size = {"width_deg": float(width_deg), "height_deg": float(width_deg if height_deg is None else height_deg)}
    scans = max(1, round(sky["exposure"]["scans"] * width_deg / sky["field"]["width_deg"]))
    own = {"field": size, "exposure": {"scans": scans}, "seed": seed, "cosmology": config["cosmology"]}
    own = merge(own, changes or {})
    check_config(merge(config, {"skies": {SKY: own}}))
    whole = cast("Sky", merge(sky, own))
    realization = f"{whole['seed']:02d}"  # part of HALO_ID, so that fields with different seeds have different haloes
    made = SimulatedField(whole, Path(tempfile.mkdtemp(prefix="clustermass-field-")))
    weakref.finalize(made, shutil.rmtree, made._folder, ignore_errors=True)
    events, exposure, labels, sources, truth, catalogue, matches = (made._folder / f"{name}.fits" for name in _FILES)
    simulate_realization(whole, own["cosmology"], SKY, realization, events, exposure, labels, sources, truth)
    detections = made._folder / "detections.fits"
    if "population" not in whole:
        detect_field([events], [exposure], detections, whole["detection"], whole["psf"])
    match_sources(whole, SKY, realization, events, exposure, truth, catalogue, detections, labels, matches)
    detections.unlink(missing_ok=True)
    _add_detections(truth, matches)
    return made


def _add_detections(truth: Path, matches: Path) -> None:
    """Add the column ID_SRC to `truth.fits`: the number of a halo's detection, or -1 if the halo isn't detected."""
    with opened_fits(truth) as haloes, opened_fits(matches) as matched:
        table, pairs = haloes["TRUTH"], matched["MATCHES"].data
        # the most likely detection of a halo is the first one
        detection = dict(zip(pairs["SRC_ID"][::-1].tolist(), pairs["ID_SRC"][::-1].tolist(), strict=True))
        ids = np.array([detection.get(number, -1) for number in table.data["SRC_ID"].tolist()], dtype=np.int32)
        columns = table.columns + fits.ColDefs([fits.Column("ID_SRC", "J", array=ids)])
        added = fits.BinTableHDU.from_columns(columns, header=table.header)
        added.header[f"TCOMM{len(columns)}"] = "number of the halo's most likely detection; -1 = not detected"
        write_fits(fits.HDUList([haloes[0], added, *haloes[2:]]), truth)

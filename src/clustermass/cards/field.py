"""The clusters of a field: the rows of its mass catalogue, and the data of the clusters' cards.

A card is the picture and the numbers of one cluster on the page of a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass import limits
from clustermass.apply.card_data import cards_beside
from clustermass.apply.find import IDENTIFIERS, find_cluster
from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import CheckedTable
from clustermass.dataset.training_data import MEASUREMENTS
from clustermass.ensemble.aggregate import RANGE_BITS
from clustermass.ensemble.ood_quantities import QUANTITIES
from clustermass.ensemble.posterior import Posterior
from clustermass.errors import InputError
from clustermass.io.files import reading
from clustermass.io.fits import image_of, opened_fits, table_of
from clustermass.io.netcdf import check_finite, read_netcdf
from clustermass.io.products import MASSES, MEMBERS, is_simulated

_NEEDED = [one.name for one in MASSES if not one.optional]
#: variables of the cards' data, with their dimensions
_DATA = {
    "x": ("x",),
    "y": ("y",),
    "quantity": ("quantity",),
    "colour_counts": ("cluster", "colour", "y", "x"),
    "colour_bounds": ("colour", "edge"),
    **dict.fromkeys(("score", "given"), ("cluster", "quantity")),
    "exposed": ("cluster", "y", "x"),
    **dict.fromkeys(("seen_arcsec", "rate_mass", "rate_mass_err"), ("cluster",)),
    **dict.fromkeys(("near_x", "near_y", "near_cts", "near_ext_like"), ("cluster", "neighbour")),
}
#: variables by which masses are explained, with their dimensions; files of earlier versions lack them
_INPUTS = {
    "network_band": ("network_band",),
    "network_x": ("network_x",),
    "network_y": ("network_y",),
    "network_image": ("cluster", "network_band", "network_y", "network_x"),
}
#: kinds of NumPy's types that the columns of `MASSES` have, by the letter of their format
_KINDS = {"A": "SU", "D": "f", "E": "f", "I": "iu", "J": "iu"}
#: smallest and largest side of a pixel in arcsec, and largest log10 of a mass, that are accepted
_PIXEL_ARCSEC, _LARGEST_LOG = (1.0, 600.0), 100.0
#: the curve of a posterior reaches this many sigma beyond the outermost of the networks' Gaussians
_REACH = 3.3
#: directions from North by East, in steps of 45 deg
_DIRECTIONS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")


@dataclass(frozen=True)
class Neighbour:
    """Another detection near a cluster: offsets to the West and North (arcsec), counts, and likelihood of extent."""

    x: float
    y: float
    counts: float
    ext_like: float

    @property
    def separation(self) -> float:
        """Distance from the cluster in arcsec."""
        return float(np.hypot(self.x, self.y))

    @property
    def direction(self) -> str:
        """Direction from the cluster, such as "NE"."""
        return _DIRECTIONS[round(np.degrees(np.arctan2(-self.x, self.y)) / 45) % 8]

    @property
    def kind(self) -> str:
        """The word "extended" or "point-like"."""
        return "extended" if self.ext_like > 0 else "point-like"


class Distance(NamedTuple):
    """How far a cluster's `quantity` is from that of training clusters: two distances, in sigma.

    `given` compares the cluster with training clusters that are like it in all other quantities. `alone` compares it
    with training clusters that are like it in redshift, exposure and core brightness. If `quantity` is the core
    brightness itself, `alone` compares with clusters of the same redshift and exposure. If `quantity` is the redshift
    or the exposure, `alone` compares with all training clusters.
    """

    quantity: str
    given: float
    alone: float


class OtherMass(NamedTuple):
    """A log10(M500c / Msun) that isn't from the networks: its origin in words, its value and its standard error.

    The standard error is NaN if it is unknown.
    """

    source: str
    value: float
    error: float


@dataclass(frozen=True)
class FieldCards:
    """The clusters of a field, in the order of the mass catalogue."""

    path: Path
    #: columns of the mass catalogue, (cluster,) each; a missing number is NaN
    columns: dict[str, NDArray[Any]]
    header: dict[str, Any]
    #: variables of the cards' data and the members' Gaussians (`MEMBERS`), (cluster, ...) except coordinates
    data: dict[str, NDArray[Any]]
    #: whether the networks see a circle, not a square
    circle: bool

    @classmethod
    def read(cls, masses: Path, cards: Path | None = None) -> FieldCards:
        """Return the clusters in the mass catalogue `masses`, and the data of their cards from the file `cards`.

        If `cards` is None, the file beside `masses` is read. InputError if a file is missing or damaged, or if the two
        files contain different clusters.
        """
        if not masses.is_file():
            raise InputError(f"{masses}: no such mass catalogue.")
        with opened_fits(masses) as hdus:
            table, header = CheckedTable(table_of(hdus[1], masses), masses), dict(hdus[1].header)
            names = {hdu.name for hdu in hdus}
            members = {name: image_of(hdus[name], masses, float, 16) for name in MEMBERS if name in names}
        if missing := [name for name in (*_NEEDED, *MEMBERS) if name not in (*table.table.colnames, *members)]:
            raise InputError(f"{masses}: lacks the column(s) {', '.join(missing)}. Make the catalogue anew.")
        cards = cards or cards_beside(masses)
        if not cards.is_file():
            raise InputError(f"{cards}: no such file. It holds the images: make the mass catalogue anew.")
        read = _read_cards(cards)
        columns = _columns(table)
        _check_members(members, len(table), masses)
        ids = [f"{one}_{number}" for one, number in zip(columns["REALIZATION"], columns["ID_SRC"], strict=True)]
        if ids != read["cluster"].values.astype(str).tolist():
            raise InputError(f"{cards}: holds other clusters than {masses}. Make both anew.")
        data = {str(name): variable.values for name, variable in read.variables.items()}
        return cls(masses, columns, header, data | members, read.attrs.get("seen") == "circle")

    def __len__(self) -> int:
        return self.columns["NAME"].size

    def row(self, row: int) -> dict[str, Any]:
        """Return the values of the cluster in this row, as a dict by the names of the columns."""
        return {name: values[row].item() for name, values in self.columns.items()}

    def find(self, cluster: str) -> int:
        """Return the row of the cluster with this id, name or part of a name. InputError if none fits, or several."""
        texts = {name: self.columns[name].astype(str).tolist() for name in IDENTIFIERS if name in self.columns}
        return find_cluster(texts, cluster, self.path)

    @property
    def simulated(self) -> bool:
        """Whether the field is simulated."""
        return is_simulated(self.header)

    @property
    def pixel_arcsec(self) -> float:
        """Side of a pixel of the cards' images, in arcsec."""
        return float(self.data["x"][1] - self.data["x"][0])

    @property
    def half_arcsec(self) -> float:
        """Half the side of the cards' images, in arcsec."""
        return self.pixel_arcsec * self.data["x"].size / 2

    def neighbours(self, row: int) -> list[Neighbour]:
        """Return the other detections in a cluster's image, sorted by distance from the cluster."""
        names = ("near_x", "near_y", "near_cts", "near_ext_like")
        columns = np.stack([self.data[name][row] for name in names], axis=1).astype(float)
        found = [Neighbour(*values) for values in columns.tolist() if np.isfinite(values[:2]).all()]
        return sorted(found, key=lambda one: one.separation)

    def distances(self, row: int) -> list[Distance]:
        """Return the known distances of a cluster's quantities from the training clusters, the largest first."""
        values = (self.data[name][row].astype(float).tolist() for name in ("given", "score"))
        found = [Distance(*one) for one in zip(self.data["quantity"].astype(str).tolist(), *values, strict=True)]
        return sorted(
            (one for one in found if np.isfinite([one.given, one.alone]).all()), key=lambda one: -abs(one.given)
        )

    def outside(self, row: int) -> list[str]:
        """Return the names of a cluster's quantities outside the range of the training clusters (see `RANGE_BITS`)."""
        return [name for bit, name in RANGE_BITS.items() if self.columns["FLAG_RANGE"][row] & bit]

    def posterior(self, row: int) -> Posterior | None:
        """Return the predicted distribution of a cluster's log10 mass, or None if it has no mass."""
        mu, sigma = (self.data[name][row] for name in MEMBERS)
        return Posterior(mu, sigma) if np.isfinite(mu).all() else None

    def other_masses(self, row: int) -> list[OtherMass]:
        """Return a cluster's published mass and its mass from the count rate. Unknown masses are left out."""
        values = (self.columns["LOGM500_REF"], self.columns["LOGM500_REF_ERR"])
        found = [OtherMass("published", *(float(one[row]) for one in values))]
        source = "by count rate" + (", extrapolated" if {*self.outside(row)} - {"log10_m500c"} else "")
        found += [OtherMass(source, *(float(self.data[name][row]) for name in ("rate_mass", "rate_mass_err")))]
        return [one for one in found if np.isfinite(one.value)]

    def measurements(self, row: int) -> dict[str, float]:
        """Return the measurements of a cluster that the networks may get, by their names in `MEASUREMENTS`."""
        return {name: float(self.data[name][row]) for name in MEASUREMENTS if name in self.data}

    def curve(self, row: int, points: int) -> tuple[FloatArray, FloatArray] | None:
        """Return log10 masses that span a cluster's posterior, and the posterior's density at these masses.

        Both have the shape (point,). The result is None if the cluster has no mass.
        """
        if (posterior := self.posterior(row)) is None:
            return None
        reach = _REACH * posterior.sigma
        mass = np.linspace((posterior.mu - reach).min(), (posterior.mu + reach).max(), points)
        return mass, posterior.pdf(mass)


def _read_cards(path: Path) -> xr.Dataset:
    """Return the data of the cards. InputError unless the variables are those that `write_cards` writes."""
    read = read_netcdf(path, _DATA)
    variables = _DATA | (_INPUTS if "network_image" in read else {})
    variables |= {name: ("cluster",) for name in MEASUREMENTS if name in read}
    with reading(path, "data of cards"):
        step = np.diff(read["x"].values)
        least, most = _PIXEL_ARCSEC
        if not (
            all(read[name].dims == dimensions for name, dimensions in variables.items())
            and all(read[name].dtype.kind in "iuf" for name in variables if name != "quantity")
            and read["colour_counts"].dtype.kind == "u"
            and {*read["quantity"].values.astype(str).tolist()} <= {*QUANTITIES}
            and not (np.abs(read["rate_mass"]) > _LARGEST_LOG).any()
            and not (read["rate_mass_err"] < 0).any()
            and step.size
            and ((step >= least) & (step <= most)).all()
            and read.sizes["colour"]
            and read.sizes["edge"] == len(("low", "high"))
        ):
            raise ValueError("its variables aren't those of cards")
    check_finite(read, ["colour_bounds"], path)
    for side in ("x", "y"):
        limits.SIDE.check(read.sizes[side], path)
    limits.COLOURS.check(read.sizes["colour"], path)
    return read


def _columns(table: CheckedTable) -> dict[str, NDArray[Any]]:
    """Return the columns, converted by `_plain`. InputError if a type is wrong or a mass impossible."""
    formats = {one.name: one.format for one in MASSES if one.name in table.table.colnames}
    cells = {name: table.table[name] for name in formats}
    wrong = [name for name, one in cells.items() if one.ndim != 1 or one.dtype.kind not in _KINDS[formats[name]]]
    columns = {} if wrong else {name: _plain(table, name) for name in table.table.colnames}
    wrong += [
        name
        for name, values in columns.items()
        if name.startswith("LOGM500") and name in formats and (np.abs(values) > _LARGEST_LOG).any()
    ]
    if wrong:
        raise InputError(f"{table.path}: {', '.join(wrong)}: not as in a mass catalogue. Make the catalogue anew.")
    return columns


def _check_members(members: Mapping[str, FloatArray], rows: int, path: Path) -> None:
    mu, sigma = (members[name] for name in MEMBERS)
    same = mu.shape == sigma.shape and mu.ndim == 2 and mu.shape[0] == rows and mu.shape[1] > 0
    if not (same and (np.isnan(mu) | ((np.abs(mu) < _LARGEST_LOG) & (sigma > 0) & (sigma < _LARGEST_LOG))).all()):
        raise InputError(f"{path}: {' and '.join(MEMBERS)} aren't those of a mass catalogue. Make the catalogue anew.")


def _plain(table: CheckedTable, name: str) -> NDArray[Any]:
    """Return the column `name` as a plain array of floats, whole numbers or texts. A missing float is NaN."""
    kind = table.table[name].dtype.kind
    if kind in "iub":
        return np.asarray(np.ma.getdata(table.table[name]))
    return table.numbers(name) if kind == "f" else np.array(table.texts(name), dtype=str)

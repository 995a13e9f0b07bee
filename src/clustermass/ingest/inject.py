"""Add photons of simulated clusters to a user's event lists, to test detection and masses on known clusters."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from clustermass.arrays import FloatArray, IdArray, IntArray, Streams, random_streams
from clustermass.catalogues.formats import read_table
from clustermass.catalogues.surveys import SYNONYMS
from clustermass.catalogues.tables import find_columns
from clustermass.config.resolve import default_config, merge
from clustermass.errors import InputError
from clustermass.events.dialects import OF_PHOTONS
from clustermass.events.eventlist import EventList, Selection
from clustermass.events.merge import stream_many
from clustermass.events.write import UNUSED, StoredEvents, write_events, write_labels
from clustermass.images.exposure import ExposureMap, read_exposure
from clustermass.ingest.places import Avoided, field_around, field_map, random_places
from clustermass.io.log import LOGGER
from clustermass.io.products import TRUTH, write_table
from clustermass.io.provenance import blocks, provenance
from clustermass.simulate.central_agn import draw_central_agn
from clustermass.simulate.field import ExposureMap as FieldMap
from clustermass.simulate.field import Field
from clustermass.simulate.gas import EmittingHaloes
from clustermass.simulate.photons import Photons, cluster_photons, point_source_photons
from clustermass.simulate.population import realization_haloes
from clustermass.simulate.realization import truth_columns
from clustermass.simulate.sources import agn_spectrum
from clustermass.simulate.spectra import ClusterSpectra
from clustermass.simulate.telescope import KingPsf, response_to

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky

#: least distance between two injected clusters
APART_ARCMIN = 6.0
#: with `blank`, least distance from point-like and from extended sources
FROM_POINT_ARCMIN, FROM_EXTENDED_ARCMIN = 2.0, 6.0
#: blocks of the sky's configuration that shape the photons of its clusters
_BLOCKS = ("absorption", "telescope", "psf", "clusters", "agn")
#: sides of the fields in which clusters of the wanted kind are drawn, in units of those of the default sky
_FIELD_SIDES = (1, 2, 4)


@dataclass(frozen=True)
class Wanted:
    """Which clusters are injected. None: the range of the default sky."""

    number: int = 100
    seed: int = 1
    log10_m500c: tuple[float, float] | None = None
    redshift: tuple[float, float] | None = None
    flux_min_cgs: float | None = None  #: least flux inside R500c, 0.5-2 keV observed, unabsorbed, erg/s/cm2


def inject(
    events: Sequence[Path], exposure: Sequence[Path], output: Path, wanted: Wanted, blank: Path | None = None
) -> int:
    """Write the event lists of a field together with photons of simulated clusters, and return their number of photons.

    The new files are in the folder `output`. `events.fits` holds the selected events of the lists `events`, unchanged
    and in their order, and then the photons of the clusters. `labels.fits` holds the source of each event: the SRC_ID
    of a cluster, -1, -2, ... for an AGN in a cluster, or 0 for the given events. `truth.fits` holds the clusters.

    Gas, spectra, PSF, effective area and AGN in the centres of clusters are those of the default sky. Masses and
    redshifts follow its mass function (`wanted` can narrow its ranges). The places are uniform over the exposed field,
    at least `APART_ARCMIN` apart. `exposure` are vignetted exposure maps in s; where they overlap, the largest exposure
    counts. If `blank` is a table of sources, the places are at least `FROM_POINT_ARCMIN` from all its sources, and
    `FROM_EXTENDED_ARCMIN` from those with EXT above 0. A photon has the time, module and pattern of a random event.

    InputError if `output` has a file events.fits, if an input is missing or faulty, if no cluster of the default sky is
    as wanted, or if there is no room for the clusters.
    """
    if (output / "events.fits").exists():
        raise InputError(f"{output}: holds an events.fits already. Name a new folder.")
    config = default_config()
    cosmology, sky = config["cosmology"], _sky(config, wanted)
    rng = random_streams(wanted.seed, "inject", f"{wanted.seed:02d}")
    maps = ExposureMap(tuple(read_exposure(path) for path in exposure))
    field = field_around(maps, exposure[0])
    avoided = [] if blank is None else _avoided(blank)
    places = random_places(maps, field, wanted.number, APART_ARCMIN, avoided, rng["population"])
    response = response_to(sky["telescope"]["pi_max_ev"])
    spectra = ClusterSpectra.build(sky["clusters"]["redshift_max"], sky["absorption"]["nh_cm2"], response)
    clusters = _at(places, draw_clusters(sky, cosmology, spectra, wanted.number, rng))
    photons = draw_cluster_photons(sky, cosmology, clusters, spectra, field_map(maps, field, exposure[0]), rng)
    inputs = [*events, *exposure, *([blank] if blank else [])]
    parameters = {"wanted": asdict(wanted), "cosmology": cosmology, **blocks(sky, _BLOCKS)}
    made = provenance("inject", parameters, inputs)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as folder, closing(StoredEvents(Path(folder), UNUSED)) as stored:
        _store(events, Path(folder), stored)
        added, labels = _events_like(photons, field, stored, rng["events"])
        cards = {"INJECTED": (wanted.number, "simulated clusters added"), "SEED": (wanted.seed, "of the clusters")}
        truth = truth_columns(clusters, field, cosmology, labels, wanted.seed)
        write_labels(_labels(stored, labels), output / "labels.fits", made)
        write_table(output / "truth.fits", "TRUTH", TRUTH, truth, cards, made)
        # the last file, because its presence means that all are there
        pieces = (replace(piece, simulated=True) for piece in _pieces(stored, added))
        write_events(pieces, output / "events.fits", made, (field.ra_deg, field.dec_deg), cards)
    LOGGER.info("%s: %d clusters with %d photons added to %d events", output, wanted.number, len(added), len(stored))
    return len(added)


def _sky(config: Mapping[str, Any], wanted: Wanted) -> Sky:
    """Return the default sky with the ranges of `wanted`. InputError if a range isn't inside that of the sky."""
    sky = config["skies"]["embedded"]
    clusters = sky["clusters"]
    own: dict[str, float] = {}
    for name, limits in (("log10_m500c", wanted.log10_m500c), ("redshift", wanted.redshift)):
        low, high = clusters[f"{name}_min"], clusters[f"{name}_max"]
        if limits is not None and not low <= limits[0] < limits[1] <= high:
            raise InputError(f"{name} from {limits[0]:g} to {limits[1]:g}: must ascend, within {low:g} to {high:g}.")
        own[f"{name}_min"], own[f"{name}_max"] = limits or (low, high)
    if wanted.flux_min_cgs is not None:
        own["flux_min_cgs"] = wanted.flux_min_cgs
    return cast("Sky", merge(sky, {"clusters": own}))


def _avoided(path: Path) -> list[Avoided]:
    """Return the circles around the sources in a table in which no cluster is injected."""
    rows = read_table(path)
    if len(OF_PHOTONS & {name.upper() for name in rows.colnames}) > 1:
        raise InputError(f"{path}: is an event list, but a table of sources is wanted (such as that of detect).")
    table = find_columns(rows, path, {name: SYNONYMS[name] for name in ("RA", "DEC", "EXT")})
    if missing := [name for name in ("RA", "DEC") if name not in table]:
        raise InputError(
            f"{path}: has no column {' and '.join(missing)}. Give a table of sources with positions in deg."
        )
    ra, dec = table.positions()
    circles: list[Avoided] = [(ra, dec, FROM_POINT_ARCMIN)]
    if "EXT" in table:
        extended = table.numbers("EXT") > 0
        circles.append((ra[extended], dec[extended], FROM_EXTENDED_ARCMIN))
    return circles


def draw_clusters(
    sky: Sky, cosmology: Mapping[str, float], spectra: ClusterSpectra, number: int, rng: Streams
) -> EmittingHaloes:
    """Return `number` random clusters above the flux limit of the sky.

    They are the first clusters in a field of the sky's size or, if it has too few, in one with sides up to four times
    as long. InputError if this has too few, too.
    """
    size = Field.from_config(sky["field"])
    for factor in _FIELD_SIDES:
        field = replace(size, width_deg=factor * size.width_deg, height_deg=factor * size.height_deg)
        haloes, bright = realization_haloes(sky, cosmology, field, spectra, rng)
        rows = np.flatnonzero(bright)[:number]
        if len(rows) == number:
            return haloes[rows]
    raise InputError(
        f"only {len(rows)} clusters of the wanted masses, redshifts and fluxes are in {field.area_deg2:.0f} deg2 of "
        f"sky, but {number} are wanted. Widen the ranges, or inject fewer."
    )


def _at(places: tuple[FloatArray, FloatArray], clusters: EmittingHaloes) -> EmittingHaloes:
    return replace(clusters, haloes=replace(clusters.haloes, longitude=places[0], latitude=places[1]))


def draw_cluster_photons(
    sky: Sky,
    cosmology: Mapping[str, float],
    clusters: EmittingHaloes,
    spectra: ClusterSpectra,
    exposure: FieldMap,
    rng: Streams,
) -> Photons:
    """Return random detected photons of clusters and of the AGN in their centres."""
    psf, response = KingPsf(**sky["psf"]), response_to(sky["telescope"]["pi_max_ev"])
    r500_arcmin = clusters.gas.r500_arcmin
    agn = draw_central_agn(sky["agn"], clusters.haloes, r500_arcmin, cosmology, rng["central_agn"])
    spectrum = agn_spectrum(sky["agn"]["photon_index"], sky["absorption"]["nh_cm2"], response)
    return Photons.join(
        cluster_photons(clusters, spectra, exposure, psf, rng["cluster_photons"]),
        point_source_photons(agn, spectrum, exposure, psf, rng["agn_photons"]),
    )


def _store(events: Sequence[Path], folder: Path, stored: StoredEvents) -> None:
    """Store the events that pass the usual cuts. InputError if there are none."""
    selection = Selection()
    for piece in map(selection.keep, stream_many(events, folder)):
        stored.add(piece)
    selection.conclude()


def _events_like(
    photons: Photons, field: Field, stored: StoredEvents, rng: np.random.Generator
) -> tuple[EventList, IdArray]:
    """Return photons as events in random order, and their labels. Other columns are those of random stored events."""
    order = rng.permutation(len(photons))
    like = _rows(stored, np.sort(rng.integers(len(stored), size=len(photons))))
    ra, dec = field.to_sky(photons.longitude[order], photons.latitude[order])
    return replace(like, ra=ra, dec=dec, pi_ev=photons.energy_ev[order]), photons.source[order]


def _rows(stored: StoredEvents, rows: IntArray) -> EventList:
    """Return the events with these sorted numbers."""
    parts, start = [stored.head], 0
    for piece in stored:
        begin, end = np.searchsorted(rows, (start, start + len(piece)))
        parts.append(piece.take(rows[begin:end] - start))
        start += len(piece)
    names = stored.head.columns()
    return stored.head.with_columns({name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _pieces(stored: StoredEvents, added: EventList) -> Iterator[EventList]:
    yield from stored
    yield added


def _labels(stored: StoredEvents, labels: IdArray) -> Iterator[IdArray]:
    for piece in stored:
        yield np.zeros(len(piece), dtype=np.int32)
    yield labels

"""Turn count images in energy bands (made by evtool) into photons, one for each count, in place of an event list."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from clustermass import limits
from clustermass.config.bands import in_kev
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList
from clustermass.events.read import ORDER
from clustermass.images.exposure import exposure_at, planes, unlike
from clustermass.images.frames import celestial_wcs, to_pixels, to_sky
from clustermass.images.occupied import CELL_ARCSEC, fill_gaps
from clustermass.io.fits import image_of, opened_fits
from clustermass.io.log import LOGGER, abridged
from clustermass.io.products import is_simulated
from clustermass.io.room import check_memory

#: largest distance in pixels between the grids of two images of one set
_SAME_GRID_PIXELS = 0.01
#: largest number of counts in a pixel, since images store 16 bits for each pixel
_MOST_COUNTS = 65535
#: bytes of memory for each pixel while an image is read, and for each count of all images
_PIXEL_BYTES, _COUNT_BYTES = 32, 100


class BandImage(NamedTuple):
    """An image of the counts in an energy band, from a FITS file.

    The counts are int64 (y, x), and the edges of the band are in eV. `wcs` is the celestial WCS, `name` the name of the
    file, and `simulated` says whether the image is simulated.
    """

    counts: NDArray[np.int64]
    wcs: WCS
    low_ev: float
    high_ev: float
    name: str
    simulated: bool


class ImagePhotons(NamedTuple):
    """Photons of a set of band images.

    `wcs` is the WCS that all images share, and `counts` is the sum of the images over the bands, int64 (y, x).
    """

    events: EventList
    wcs: WCS
    counts: NDArray[np.int64]

    def occupied(self) -> tuple[NDArray[np.bool_], float]:
        """Return whether each pixel counts as exposed, bool (y, x), and the exposed area in deg2.

        A pixel counts as exposed if there are photons nearby. Gaps of a few arcmin are filled, as in
        `occupied.occupied_cells`. Nothing outside the images counts as exposed.
        """
        scales = proj_plane_pixel_scales(self.wcs)
        shape = self.counts.shape
        sizes = [
            min(pixels, max(1, round(CELL_ARCSEC / 3600 / scale)))
            for pixels, scale in zip(shape, scales[::-1], strict=True)
        ]
        rows, columns = (-(-pixels // size) for pixels, size in zip(shape, sizes, strict=True))
        cells = np.zeros((rows, columns), dtype=bool)
        y, x = np.nonzero(self.counts)
        cells[y // sizes[0], x // sizes[1]] = True
        near = np.repeat(np.repeat(fill_gaps(cells), sizes[0], axis=0), sizes[1], axis=1)
        near = near[: shape[0], : shape[1]]
        return near, float(near.sum() * np.prod(scales))

    def within(self, exposure: NDArray[np.float32], wcs: WCS) -> NDArray[np.float32]:
        """Return the map `exposure` (y, x) in s, after setting it to 0 outside the band images."""
        check_memory(2 * _PIXEL_BYTES * exposure.size, "the exposure map")
        rows, columns = np.indices(exposure.shape)
        shown = np.ones(self.counts.shape, dtype=np.float32)
        ra, dec = to_sky(wcs, columns, rows)
        return np.asarray(exposure * exposure_at(shown, self.wcs, ra, dec))


def are_images(paths: Sequence[str | Path]) -> bool:
    """Return whether all files hold count images, according to their headers.

    InputError if a file is missing, or if only some of the files hold images.
    """
    kinds = [_is_image(Path(path)) for path in paths]
    if any(kinds) and not all(kinds):
        image, other = paths[kinds.index(True)], paths[kinds.index(False)]
        raise InputError(f"{image} holds an image and {other} none. Give event lists or band images, not both.")
    return bool(kinds) and all(kinds)


def _is_image(path: Path) -> bool:
    with opened_fits(path, ORDER, whole=False) as hdus:
        tables = (hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU))
        # nothing after an event list is read
        lists = any(hdu.name == "EVENTS" or {"RA", "DEC"} <= set(hdu.columns.names) for hdu in tables)
        return not lists and bool(planes(hdus))


def read_images(path: Path) -> list[BandImage]:
    """Return all two-dimensional images in a FITS file that have a celestial WCS.

    The edges of an image's band are EMIN1 and EMAX1 (keV) in its header.

    Counts are whole numbers from 0 to 65535. InputError if the file is missing or damaged, if it has no such image, or
    if an image has no energy band or has pixels that aren't counts.
    """
    with opened_fits(path) as hdus:
        first = hdus[0].header
        shown = planes(hdus)
        # evtool adds detector masks, which are images too
        on_sky = [(hdu, celestial_wcs(hdu.header, path)) for hdu in shown]
        images = [_band_image(hdu, wcs, first, path) for hdu, wcs in on_sky if wcs is not None]
    if not shown:
        raise InputError(f"{path}: holds no two-dimensional image. Give an image of counts (evtool, image=yes).")
    if not images:
        raise InputError(f"{path}: the image has no celestial WCS (CTYPE1, CTYPE2). Make it on the sky, by evtool.")
    return images


def _band_image(hdu: Any, wcs: WCS, first: fits.Header, path: Path) -> BandImage:
    header = hdu.header
    if other := unlike(header, "EVTOOL"):
        raise InputError(
            f"{path}: {other}, no image of counts. Give that of evtool. A map goes under --exposure (Python: exposure)."
        )
    if not np.isfinite(wcs.wcs_world2pix(*wcs.wcs_pix2world(*_corners(hdu.shape), 0), 0)).all():
        raise InputError(f"{path}: the image reaches beyond its projection. Its WCS (CRVAL, CRPIX, CDELT) is damaged.")
    low, high = (_edge_ev(header, first, key, path) for key in ("EMIN1", "EMAX1"))
    if not 0 <= low < high:
        raise InputError(f"{path}: EMIN1 and EMAX1 are {low / 1e3:g} and {high / 1e3:g} keV, which is no energy band.")
    values = image_of(hdu, path, np.float64, _PIXEL_BYTES)
    bad = ~((values >= 0) & (values <= _MOST_COUNTS) & (values == np.rint(values)))
    if bad.any():
        y, x = np.argwhere(bad)[0] + 1
        raise InputError(
            f"{path}: pixel ({x}, {y}) holds {values[bad][0]:g}, but must hold a whole number of counts from 0 to "
            f"{_MOST_COUNTS} ({bad.sum()} pixels are so). Give the counts themselves, neither smoothed nor divided by "
            "the exposure; an exposure map goes under --exposure (in Python: exposure)."
        )
    return BandImage(values.astype(np.int64), wcs, low, high, str(path), is_simulated(header))


def _edge_ev(header: fits.Header, first: fits.Header, key: str, path: Path) -> float:
    try:
        return round(float(header.get(key, first.get(key))) * 1000, 3)  # without the rounding errors of keV
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{path}: is an image without energy band (its header has no number {key}). If it is an exposure map, give "
            "it under --exposure (configuration, Python: exposure) instead. An image of counts needs EMIN1 and EMAX1 "
            "in keV, which evtool writes."
        ) from None


def photons_of_images(paths: Sequence[str | Path], edges_ev: Sequence[int], pattern_mask: int = 15) -> ImagePhotons:
    """Return the photons of a set of band images on one pixel grid. Each photon is at the centre of its pixel.

    A configured band lies between two neighbouring values of `edges_ev`. The images inside this band are summed, and
    must fill it without gap or overlap.

    - **Selection.** Flags, patterns and good times were already selected when the images were made. Therefore all
      photons get a pattern that passes `pattern_mask`.
    - **Positions.** Photons are displaced from their true positions by up to half a pixel. If the images are centred on
      a cluster, its cut-out is nevertheless the same as from the event list.

    InputError if a configured band can't be put together (the message names all such bands), if the images don't share
    a grid or hold no photon, or if a file is faulty (`read_images`).
    """
    images = [image for path in paths for image in read_images(Path(path))]
    _check_grids(images)
    used = _assigned(images, edges_ev)
    total = sum(int(image.counts.sum()) for image, _ in used)
    limits.COUNTS.check(total, images[0].name)
    check_memory(total * _COUNT_BYTES, images[0].name)
    ra, dec, energy = (np.concatenate(parts) for parts in zip(*(_photons(*pair) for pair in used), strict=True))
    number = ra.size
    if not number:
        raise InputError(f"{images[0].name}: none of the images holds a count. Give images of the field with photons.")
    events = EventList(
        ra=ra % 360.0,
        dec=dec,
        pi_ev=energy,
        tm_nr=np.zeros(number, dtype=np.uint8),
        pat_typ=np.full(number, (pattern_mask & -pattern_mask).bit_length(), dtype=np.int16),
        flag=np.zeros(number, dtype=np.uint32),
        time=np.zeros(number),
        dialect="clustermass",
        name=abridged(dict.fromkeys(image.name for image in images)),
        gti={},
        simulated=any(image.simulated for image in images),
    )
    LOGGER.info(
        "%s: %d photons from %d of %d band images; flags, patterns and good times are as they were made with",
        images[0].name, number, len(used), len(images),
    )  # fmt: skip
    return ImagePhotons(events, images[0].wcs, np.sum([image.counts for image, _ in used], axis=0))


def _check_grids(images: Sequence[BandImage]) -> None:
    first, *others = images
    corners = _corners(first.counts.shape)
    sky = to_sky(first.wcs, *corners)
    for image in others:
        with np.errstate(invalid="ignore"):
            apart = np.abs(np.array(to_pixels(image.wcs, *sky)) - corners)
        if image.counts.shape != first.counts.shape or not np.all(apart <= _SAME_GRID_PIXELS):
            raise InputError(
                f"{image.name}: lies on another pixel grid than {first.name}. Give images of one grid, one for each "
                "band, and those of other grids as further realizations or by calls of their own: photons of "
                "overlapping images would count twice."
            )


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    bottom, left = shape[0] - 1.0, shape[1] - 1.0
    return np.array([[0, 0, left, left], [0, bottom, 0, bottom]])


def _assigned(images: Sequence[BandImage], edges_ev: Sequence[int]) -> list[tuple[BandImage, float]]:
    """Return pairs of an image and the middle of its configured band in eV, for all images in the configured bands."""
    used: list[tuple[BandImage, float]] = []
    missing = []
    for low, high in pairwise(edges_ev):
        inside = sorted((im for im in images if low <= im.low_ev and im.high_ev <= high), key=lambda im: im.low_ev)
        joints = [low, *(edge for image in inside for edge in (image.low_ev, image.high_ev)), high]
        if inside and joints[::2] == joints[1::2]:
            used += [(image, (low + high) / 2) for image in inside]
        else:
            overlap = any(one.high_ev > other.low_ev for one, other in pairwise(inside))
            missing.append(_kev(low, high) + (" (images overlap)" if overlap else ""))
    if missing:
        given = ", ".join(dict.fromkeys(_kev(image.low_ev, image.high_ev) for image in images))
        raise InputError(
            f"{images[0].name}: the networks want images in {in_kev(edges_ev)}, of which {len(missing)} can't be put "
            f"together from the images' band{'s' if len(images) > 1 else ''} {given}. Missing: "
            f"{', '.join(missing)}. Make one image for each of them (evtool, emin and emax), or give the event list."
        )
    if len(images) > len(used):
        LOGGER.info("%s: %d images of other bands are not used", images[0].name, len(images) - len(used))
    return used


def _photons(image: BandImage, energy_ev: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    rows, columns = np.nonzero(image.counts)
    times = image.counts[rows, columns]
    ra, dec = to_sky(image.wcs, columns, rows)
    if not (np.isfinite(ra) & np.isfinite(dec)).all():
        raise InputError(f"{image.name}: counts lie beyond the image's projection. Its WCS is damaged.")
    energy = np.full(int(times.sum()), energy_ev, dtype=np.float32)
    return np.repeat(ra, times), np.repeat(dec, times), energy


def _kev(low_ev: float, high_ev: float) -> str:
    return f"{low_ev / 1000:g}-{high_ev / 1000:g} keV"

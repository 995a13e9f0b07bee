"""Compare two simpler ways to make images from photons with ours, which sorts the photons by position first."""

from dataclasses import replace

import numpy as np
from runner import CONFIG, Arm, benchmark

from clustermass.events.eventlist import EventList
from clustermass.images.geometry import ImageGeometry, block_sum, image_pixels, pixel_numbers, project
from clustermass.images.sky_index import BoxCells, ImageStack, SkyIndex
from clustermass.simulate.field import Field

EVENTS, CLUSTERS = 4_000_000, 450
FEW, FEWEST = 4, 2  # number of clusters for which the two slow alternatives are timed
GEOMETRY = ImageGeometry.from_config(CONFIG["images"])


def sky(rng, number=EVENTS):
    """Return `number` photons, uniform over the default field, and RA and Dec (deg) of clusters inside it."""
    parameters = CONFIG["skies"]["embedded"]["field"]
    field = Field.from_config(parameters)
    inner = Field(field.ra_deg, field.dec_deg, field.width_deg - 1, field.height_deg - 1)
    ra, dec = field.to_sky(*field.draw(rng, number))
    pi = rng.uniform(200, 2350, number).astype(np.float32)
    byte, time = np.zeros(number, np.uint8), np.zeros(number)
    pattern, flag = byte.astype(np.int16), byte.astype(np.uint32)
    events = EventList(ra, dec, pi, byte, pattern, flag, time, "clustermass", "uniform photons", {})
    return events, *inner.to_sky(*inner.draw(rng, CLUSTERS))


def masked(events, ra, dec, geometry=GEOMETRY):
    """Return the image of a cluster, (band, y, x). All photons are masked by its box, then numpy.histogramdd counts."""
    # angle from the centre to a corner of the box; the SIN projection shortens angles, hence arcsin
    reach, pi = np.degrees(np.arcsin(np.sqrt(2) * np.radians(geometry.half_width_sky / 72000))), events.pi_ev
    near = (np.abs(events.dec - dec) < reach) & (np.abs(events.ra - ra) < 1.01 * reach / np.cos(np.radians(dec)))
    near &= (pi >= geometry.edges_ev[0]) & (pi < geometry.edges_ev[-1])
    x, y = (np.floor(offset) for offset in project(events.ra[near], events.dec[near], ra, dec))
    half, size = geometry.half_width_sky, geometry.base_pixels
    edges = np.linspace(-half, half, size + 1) - 0.5  # photons are at whole pixel numbers, so none lies on an edge
    return np.histogramdd((pi[near], y, x), bins=(geometry.edges_ev, edges, edges))[0]


def whole(events, ra, dec):
    """Return the image of a cluster, (band, y, x). All photons are projected and counted in 4" pixels, then summed."""
    fine = replace(GEOMETRY, base_rebin=1)
    photons = events.ra, events.dec, GEOMETRY.band_numbers(events.pi_ev)
    return block_sum(counted(photons, ra, dec, fine), GEOMETRY.base_rebin)


def inside(index, ra, dec):
    """Return RA, Dec and band of those photons of the `SkyIndex` that are in the box around a position."""
    rows = index.near_box(ra, dec)
    x, y = project(index.ra[rows], index.dec[rows], ra, dec)
    rows = rows[np.maximum(np.abs(x), np.abs(y)) <= GEOMETRY.half_width_sky + 1]
    return index.ra[rows], index.dec[rows], index.band[rows]


def counted(photons, ra, dec, geometry=GEOMETRY):
    """Return the image around a position, (band, y, x), of photons given by RA, Dec and band; none is searched."""
    x, y = project(photons[0], photons[1], ra, dec)
    size, rebin = geometry.base_pixels, geometry.pixel_sky * geometry.base_rebin
    i, j = (image_pixels(np.floor(offset), 0.0, rebin, size) for offset in (x, y))
    shape = (geometry.bands, size, size)
    return np.bincount(pixel_numbers(photons[2], j, i, shape), minlength=np.prod(shape)).reshape(shape)


def stacked(events, ra, dec):
    """Return the images of all clusters, made by our `ImageStack`."""
    stack = ImageStack(ra, dec, GEOMETRY)
    stack.add(events)
    return stack.counts


def check(events, ra, dec, boxes):
    """Check that all alternatives give the same counts (else AssertionError); return a text for the report."""
    ours = stacked(events, ra[:FEW], dec[:FEW])
    for number, image in enumerate(ours):
        for other in (masked, whole):
            np.testing.assert_array_equal(image, other(events, ra[number], dec[number]))
        np.testing.assert_array_equal(image, counted(boxes[number], ra[number], dec[number]))
    return f"equal counts in all arms for {FEW} clusters of {ours.sum() / FEW:.0f} photons in the mean"


def main():
    """Run the benchmark and write images.json."""
    events, ra, dec = sky(np.random.default_rng(1))
    index = SkyIndex(events, GEOMETRY)
    boxes = [inside(index, *centre) for centre in zip(ra, dec, strict=True)]

    def each(function, number):
        return lambda: [function(events, ra[n], dec[n]) for n in range(number)]

    def sort():
        return SkyIndex(events, GEOMETRY, BoxCells(ra, dec, GEOMETRY).rows(events))

    arms = {
        "ours": Arm("ImageStack: index and all clusters", lambda: stacked(events, ra, dec), CLUSTERS),
        "ours, index": Arm("leaving out photons far from every box, and the index of the rest", sort, CLUSTERS),
        "mask": Arm("box mask and numpy.histogramdd per cluster", each(masked, FEW), FEW),
        "project all": Arm("all photons projected and counted per cluster", each(whole, FEWEST), FEWEST),
        "limit": Arm("ours without the search", lambda: list(map(counted, boxes, ra, dec)), CLUSTERS),
    }
    benchmark(
        "images",
        f"images of {CLUSTERS} clusters from {EVENTS} photons; times are compared per cluster",
        {name: Arm(arm.what, arm.call, arm.work, "cluster") for name, arm in arms.items()},
        [("mask", "ours"), ("project all", "ours"), ("ours, index", "ours"), ("ours", "limit")],
        "projecting and counting just the photons inside the boxes, as if found for free: ratio ours / limit",
        check(events, ra, dec, boxes),
        {
            "photons": EVENTS,
            "clusters": CLUSTERS,
            "sky": "uniform over the default field",
            "scaled": f"mask does {FEW} clusters, project all {FEWEST}, the others {CLUSTERS}; ours includes its index",
        },
    )


if __name__ == "__main__":
    main()

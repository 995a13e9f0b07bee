"""Measure the simulation of the embedded sky: CPU time of each stage, and its growth with area and depth."""

import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from runner import CONFIG, Arm, benchmark

from clustermass.arrays import random_streams
from clustermass.catalogues.match_field import match_sources
from clustermass.config.resolve import merge, resolve_sky
from clustermass.events.write import write_labels
from clustermass.ingest.detect_field import detect_field
from clustermass.io.products import SOURCES, TRUTH, write_table
from clustermass.simulate import realization as stages
from clustermass.simulate.central_agn import all_agn
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.photons import draw_photons, event_list
from clustermass.simulate.population import realization_haloes
from clustermass.simulate.spectra import ClusterSpectra
from clustermass.simulate.telescope import response_to

COSMOLOGY = CONFIG["cosmology"]
SMALL = {"field": {"width_deg": 5.0, "height_deg": 4.0}}
GROWTH = {
    "20 deg2": SMALL,
    "40 deg2": {"field": {"width_deg": 10.0, "height_deg": 4.0}},
    "80 deg2": {"field": {"width_deg": 20.0, "height_deg": 4.0}},
    "20 deg2, half as deep": merge(SMALL, {"exposure": {"depth_s": 590.0}}),
    "20 deg2, twice as deep": merge(SMALL, {"exposure": {"depth_s": 2360.0}}),
}
DRAWS = 4  # least random numbers for a photon: two for its position, one for its energy, one to apply the exposure


class Realization:
    """One realization, made stage by stage; stages start from the same seed and keep their results for the next ones.

    The docstrings of the stages are their descriptions in the report.
    """

    def __init__(self, folder, changes=None):
        names = ("events", "exposure", "labels", "sources", "truth", "detections", "catalogue", "matches")
        self.paths = {name: folder / f"{name}.fits" for name in names}
        self.sky = merge(resolve_sky(CONFIG["skies"], "embedded"), {**(changes or {}), "seed": 1})
        self.field = Field.from_config(self.sky["field"])
        self.exposure = ExposureMap.from_config(self.field, self.sky["exposure"])
        self.cards = stages.header_cards(self.sky, COSMOLOGY, "benchmark", "01")

    @property
    def generators(self):
        """Return new generators of random numbers, always from the same seed."""
        return random_streams(1, "benchmark", "01")

    def spectra(self):
        """Fold the clusters' spectra with the response."""
        response = response_to(self.sky["telescope"]["pi_max_ev"])
        redshift_max, nh_cm2 = self.sky["clusters"]["redshift_max"], self.sky["absorption"]["nh_cm2"]
        self.spectra_grid = ClusterSpectra.build(redshift_max, nh_cm2, response)

    def clusters(self):
        """Draw haloes and their gas."""
        drawn = realization_haloes(self.sky, COSMOLOGY, self.field, self.spectra_grid, self.generators)
        self.everyone, self.bright = drawn
        self.haloes = self.everyone[self.bright]

    def agn(self):
        """Draw AGN."""
        self.points = all_agn(self.sky, COSMOLOGY, self.field, self.everyone, self.bright, self.generators)

    def photons(self):
        """Draw photons."""
        sources = (self.haloes, self.points, self.spectra_grid)
        self.drawn = draw_photons(self.sky, *sources, self.exposure, self.generators)

    def list_of_events(self):
        """Put the photons into an event list, with random times."""
        self.events, self.labels = event_list(self.drawn, self.field, "benchmark", self.generators["events"])

    def writing(self):
        """Write events, exposure map, labels, sources and truth."""
        stages.write_event_list(self.paths["events"], self.events, self.field, self.cards)
        write_labels([self.labels], self.paths["labels"], header=self.cards)
        self.exposure.write(self.paths["exposure"], self.cards)
        sources = stages.sources_table(self.sky, self.haloes, self.points, self.exposure)
        write_table(self.paths["sources"], "SOURCES", SOURCES, sources, self.cards)
        rng = self.generators["richness"]
        haloes, richness = stages.listed_haloes(self.everyone, self.bright, self.sky["richness"], rng)
        truth = stages.truth_columns(haloes, self.field, COSMOLOGY, self.labels, 1) | richness
        write_table(self.paths["truth"], "TRUTH", TRUTH, truth, self.cards)

    def detection(self):
        """Read the files, detect and match sources, give them redshifts, write the catalogue."""
        seen, detections = {name: self.paths[name] for name in ("events", "exposure")}, self.paths["detections"]
        written = {name: self.paths[name] for name in ("catalogue", "matches")}
        detect_field([seen["events"]], [seen["exposure"]], detections, self.sky["detection"], self.sky["psf"])
        match_sources(self.sky, "benchmark", "01", **seen, truth=self.paths["truth"], detections=detections, **written)

    def whole(self):
        """Run all stages in order."""
        for stage in STAGES:
            getattr(self, stage)()


STAGES = ("spectra", "clusters", "agn", "photons", "list_of_events", "writing", "detection")


def arms_of(sky):
    """Return an arm for each stage, in order. A realization is run once to get its number of photons."""
    sky.whole()
    photons, rng = len(sky.events), np.random.default_rng(1)
    by_photon = ("photons", "list_of_events", "writing")
    units = {name: (photons, "photon") if name in by_photon else (1, "realization") for name in STAGES}
    arms = {name: Arm(getattr(Realization, name).__doc__, getattr(sky, name), *units[name]) for name in STAGES}
    draw = Arm(f"{DRAWS} uniform random numbers a photon", lambda: rng.random((DRAWS, photons)), photons, "photon")
    return {**arms, "limit": draw}


def stages_of_a_realization(folder):
    """Measure the time of each stage for a realization of the default sky; write sky.json."""
    sky = Realization(folder)
    arms = arms_of(sky)
    benchmark(
        "sky",
        "stages of one realization of the embedded sky, 140 deg2",
        arms,
        [("photons", "limit")],
        f"drawing {DRAWS} uniform random numbers for each photon: ratio photons / limit; none known for the others",
        "nothing to compare: one arm a stage, each from the same seed in every round",
        {
            "field_deg": [sky.field.width_deg, sky.field.height_deg],
            "depth_s": sky.sky["exposure"]["depth_s"],
            "photons": len(sky.events),
            "haloes": len(sky.haloes),
            "agn": len(sky.points),
            "detections": fits.getheader(sky.paths["catalogue"], 1)["NAXIS2"],
            "not_timed": "import and what is kept for the process after the first use (response, plasma tables)",
        },
        rounds=5,
    )


def growth(folder):
    """Measure the time of a realization for the areas and depths in `GROWTH`; write sky_growth.json."""
    skies = {name: Realization(folder, changes) for name, changes in GROWTH.items()}
    arms = {name: Arm(f"a realization of {name}", sky.whole, 1, "realization") for name, sky in skies.items()}
    small, *others = arms
    benchmark(
        "sky_growth",
        "whole realizations of the embedded sky by area and depth",
        arms,
        [(other, small) for other in others],
        "none known; time in proportion to the area, and to the depth, would give the ratios 2, 4, 0.5 and 2",
        "nothing to compare: the same sky, cut or exposed differently",
        {name: {"changes": changes} for name, changes in GROWTH.items()},
        rounds=5,
    )


def main():
    """Run both measurements."""
    with tempfile.TemporaryDirectory() as folder:
        stages_of_a_realization(Path(folder))
        growth(Path(folder))


if __name__ == "__main__":
    main()

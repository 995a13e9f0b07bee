"""The embedded sky: seconds of each stage of one small realization, photons drawn a second."""

import tempfile
from pathlib import Path

import numpy as np
import yaml
from runner import Arm, benchmark

from clustermass.config import merge, resolve_sky
from clustermass.datasets import write_fits
from clustermass.sky import realization as stages
from clustermass.sky.cluster_spectra import ClusterSpectra
from clustermass.sky.event_table import event_hdus, event_table
from clustermass.sky.field import ExposureMap, Field
from clustermass.sky.instrument import KingPsf
from clustermass.sky.sky_tables import CATALOGUE, exposure_hdus, table_hdus

FOLDER = Path(__file__).parents[1] / "config"
CONFIG = merge(*(yaml.safe_load((FOLDER / name).read_text()) for name in ("config.yaml", "test.yaml")))
SKY, COSMOLOGY = resolve_sky(CONFIG["skies"], "tiny"), CONFIG["cosmology"]
DRAWS = 4  # random numbers that a photon needs at least: two of its position, its energy, whether the exposure keeps it


class Realization:
    """One realization, stage by stage; each stage leaves what the next ones take and starts from the same seed."""

    def __init__(self, folder):
        self.folder = folder
        self.field = Field.from_config(SKY["field"])
        self.exposure = ExposureMap.from_config(self.field, SKY["exposure"])
        self.psf = KingPsf.from_config(SKY["psf"])
        self.facts = stages._facts(SKY, COSMOLOGY, 1, "benchmark", "01")

    @property
    def generators(self):
        """Random numbers from their start."""
        return stages._generators(1, "benchmark", "01")

    def spectra(self):
        """Fold the spectra of clusters."""
        self.spectra_grid = ClusterSpectra.build(SKY["clusters"]["redshift_max"], SKY["absorption"]["nh_cm2"])

    def clusters(self):
        """Draw haloes and their gas."""
        self.haloes = stages._clusters(SKY, COSMOLOGY, self.field, self.spectra_grid, self.generators)

    def agn(self):
        """Draw AGN."""
        self.points = stages._agn(SKY, self.field, self.generators)

    def photons(self):
        """Draw photons and put them into a table."""
        sources = (self.haloes, self.points, self.spectra_grid)
        drawn = stages._photons(SKY, *sources, self.exposure, self.psf, self.generators)
        self.table = event_table(drawn, self.field, self.generators["events"])

    def detection(self):
        """Detect and match sources, give them redshifts."""
        inputs = (self.haloes, self.points, self.table, self.exposure, self.psf)
        columns, matched = stages._detect(SKY, *inputs, self.generators["detection"])
        self.catalogue = columns | stages._redshifts(SKY, self.haloes, columns, matched, self.generators["redshifts"])

    def writing(self):
        """Write events, exposure map and catalogue."""
        write_fits(event_hdus(self.table, self.field, self.facts, labelled=True), self.folder / "events.fits")
        write_fits(exposure_hdus(self.exposure, self.facts), self.folder / "exposure.fits")
        write_fits(table_hdus("CATALOGUE", CATALOGUE, self.catalogue, self.facts), self.folder / "catalogue.fits")


def arms_of(sky):
    """Stages in their order, once run so that the number of photons is known."""
    whats = {name: getattr(Realization, name).__doc__ for name in ("spectra", "clusters", "agn", "photons")}
    whats |= {name: getattr(Realization, name).__doc__ for name in ("detection", "writing")}
    for name in whats:
        getattr(sky, name)()
    photons, rng = len(sky.table), np.random.default_rng(1)
    units = {name: (photons, "photon") if name in ("photons", "writing") else (1, "realization") for name in whats}
    arms = {name: Arm(what, getattr(sky, name), *units[name]) for name, what in whats.items()}
    draw = Arm(f"{DRAWS} uniform random numbers a photon", lambda: rng.random((DRAWS, photons)), photons, "photon")
    return {**arms, "limit": draw}


def main():
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        sky = Realization(Path(folder))
        arms = arms_of(sky)
        benchmark(
            "sky",
            "stages of one realization of the embedded sky",
            arms,
            [("photons", "limit")],
            f"drawing {DRAWS} uniform random numbers for each photon: ratio photons / limit; none known for the others",
            "nothing to compare: one arm a stage, each from the same seed in every round",
            {
                "field_deg": [sky.field.width_deg, sky.field.height_deg],
                "depth_s": SKY["exposure"]["depth_s"],
                "photons": len(sky.table),
                "haloes": len(sky.haloes.flux),
                "agn": len(sky.points.source_ids),
                "detections": len(sky.catalogue["ID_SRC"]),
                "not_timed": "import and what is kept for the process after the first use (response, plasma tables)",
            },
            rounds=5,
        )


if __name__ == "__main__":
    main()

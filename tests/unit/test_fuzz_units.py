"""Inputs in wrong units: each stops before there are images."""

import numpy as np
import pytest
from astropy.table import Table
from event_lists import photons, write_esass
from fuzz_checks import DEC, RA, catalogue_table
from test_images_band_images import EVENTS, TEN, block

from clustermass.errors import InputError
from clustermass.images.cutouts import extract_images
from clustermass.ingest.user_field import ingest_field
from clustermass.io.products import FieldFiles

#: units that make positions, energies or masses those of something else: all of them must be told
WRONG_UNITS = {
    "positions in hours": ("clusters", "RA", 1 / 15),
    "positions in radians": ("clusters", "RA", np.pi / 180),
    "declinations in arcmin": ("clusters", "DEC", 60.0),
    "photons in hours": ("events", "RA", 1 / 15),
    "photons in microdegrees": ("events", "RA", 1e6),
    "energies in keV": ("events", "PI", 1e-3),
    "energies in meV": ("events", "PI", 1e6),
    "times in microseconds": ("events", "TIME", 1e6),
    "masses in 1e14 Msun": ("truth", "M500C", 1e-14),
    "masses in grams": ("truth", "M500C", 2e33),
}


@pytest.mark.parametrize("wrong", WRONG_UNITS)
def test_wrong_units_stop_before_there_are_images(tmp_path, wrong):
    which, name, factor = WRONG_UNITS[wrong]
    tables = {"events": photons(), "clusters": dict(catalogue_table().columns)}
    tables["clusters"] = {key: np.asarray(values) for key, values in tables["clusters"].items()}
    tables["clusters"]["RA"], tables["clusters"]["DEC"] = np.full(12, RA), np.full(12, DEC)
    tables["truth"] = {
        "SRC_ID": [1, 2],
        "RA": [RA, RA],
        "DEC": [DEC, DEC + 0.1],
        "Z": [0.2, 0.3],
        "M500C": [1e14, 2e14],
    }

    def run(folder):
        folder.mkdir()
        write_esass(folder / "events.fits", tables["events"])
        Table(tables["clusters"]).write(folder / "clusters.csv")
        Table(tables["truth"]).write(folder / "truth.csv")
        files = {"events": [str(folder / "events.fits")], "exposure_s": 1000.0}
        files |= {key: str(folder / f"{key}.csv") for key in ("truth",)} | {"catalogue": str(folder / "clusters.csv")}
        names = ("events", "exposure", "catalogue", "truth", "matches", "labels")
        outputs = {key: folder / "out" / f"{key}.fits" for key in names}
        ingest_field({"observed": False, "realizations": {"01": files}}, "01", EVENTS, FieldFiles(**outputs))
        inputs = {key: outputs[key] for key in names[:-1]}
        output = folder / "images.nc"
        extract_images(**inputs, output=output, images=block(TEN, 60), realization="01", events_block=EVENTS)
        return output

    assert run(tmp_path / "right").is_file()
    tables[which] = tables[which] | {name: np.asarray(tables[which][name]) * factor}
    with pytest.raises(InputError):
        run(tmp_path / "wrong")
    assert not (tmp_path / "wrong" / "images.nc").exists()

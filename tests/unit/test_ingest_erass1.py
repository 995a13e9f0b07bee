"""Sky tiles of eRASS1 as one field: config/erass1.yaml on small files in the published data model."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from event_lists import START, STOP, sin_projection, write_esass
from images_inputs import IMAGES

from clustermass.config.resolve import input_files, load_config
from clustermass.config.validate import config_errors
from clustermass.events.read import read_events
from clustermass.images.cutouts import extract_images
from clustermass.ingest.user_field import ingest_field
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import FieldFiles

CONFIG = Path(__file__).parents[2] / "config"
ERASS1 = yaml.safe_load((CONFIG / "erass1.yaml").read_text(encoding="utf-8"))
DEC, EXPOSURES = -66.0, (130.0, 150.0)
#: of the tiles' centres; they are 0.5 deg wide and overlap by 0.1 deg
RIGHT_ASCENSIONS = (69.0, 69.0 + 0.4 / np.cos(np.radians(DEC)))
NUMBER = 6000
#: name, tile, ID_SRC, offset to the East of the first tile's centre in deg, chance to be no cluster
CLUSTERS = (
    ("1eRASS J043600.0-660000", 66156, 1, 0.0, 0.01),
    ("1eRASS J043700.0-660000", 73156, 1, 0.4, 0.02),
    ("1eRASS J043648.0-660000", 66156, 2, 0.2, 0.0),  # where the tiles overlap
    ("1eRASS J043900.0-660000", 73156, 2, 0.5, 0.9),
    ("1eRASS J120000.0-660000", 180156, 1, 40.0, 0.0),
)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Return the sky `tiles` of config/erass1.yaml, with small files in place of the real ones; and all photons."""
    folder = tmp_path_factory.mktemp("erass1")
    block = yaml.safe_load(yaml.safe_dump(ERASS1["skies"]["tiles"]).replace("data/erass1", str(folder)))
    files = block["realizations"]["01"]
    rng = np.random.default_rng(3)
    east, north = rng.uniform(-0.25, 0.65, NUMBER), rng.uniform(-0.25, 0.25, NUMBER)
    photons = {
        "RA": RIGHT_ASCENSIONS[0] + east / np.cos(np.radians(DEC)),
        "DEC": DEC + north,
        "PI": rng.uniform(210, 2290, NUMBER),
        "TM_NR": rng.integers(1, 8, NUMBER),
        "PAT_TYP": rng.integers(1, 5, NUMBER),
        "FLAG": np.full(NUMBER, 0x2),
        "TIME": np.sort(rng.uniform(START, STOP, NUMBER)),
        **{axis: rng.integers(0, 384, NUMBER) for axis in ("RAWX", "RAWY")},
    }
    for tile, (ra, seconds) in enumerate(zip(RIGHT_ASCENSIONS, EXPOSURES, strict=True)):
        inside = np.abs(east - 0.4 * tile) <= 0.25
        columns = {name: values[inside] for name, values in photons.items()}
        write_esass(files["events"][tile], columns, reference=(ra, DEC), OBS_MODE="SURVEY")
        header = sin_projection((ra, DEC), 1 / 60, (15.5, 15.5)).to_header()
        header["CREATOR"] = "expmap"
        fits.writeto(files["exposure"][tile], np.full((30, 30), seconds, dtype=np.float32), header)
    names, tile, id_src, offset, contaminated = zip(*CLUSTERS, strict=True)
    table = Table(
        {
            "NAME": names,
            "DETUID": [
                f"em01_{place:06d}_020_ML{number:05d}_002_c947" for place, number in zip(tile, id_src, strict=True)
            ],
            "SKYTILE": np.array(tile, dtype=np.int32),
            "UID": 2**53 + np.arange(1, 6),
            "ID_SRC": np.array(id_src, dtype=np.int32),
            "RA": RIGHT_ASCENSIONS[0] + np.array(offset) / np.cos(np.radians(DEC)),
            "BEST_Z": [0.1, 0.2, 0.3, 0.2, 0.4],
            "BEST_Z_TYPE": ["spec_z_boot"] * 3 + ["photo_z"] * 2,
            "PCONT": contaminated,
        }
    )
    same = {"DEC": DEC, "EXT": 30.0, "EXT_LIKE": 20.0, "DET_LIKE_0": 80.0, "BEST_ZERR": 0.005}
    for name, value in {**same, "M500": 30.0, "M500_L": 20.0, "M500_H": 40.0}.items():
        table[name] = np.full(len(table), value)
    table.write(files["catalogue"])
    return block, photons


def ingested(block, folder, modules):
    """Take the field in and cut its images: their dataset, and the events."""
    events = {"flag_mask": "auto", "pattern": 15, "modules": modules}
    field = FieldFiles(*(folder / f"{name}.fits" for name in ("events", "exposure", "catalogue")))
    ingest_field(block, "01", events, field)
    extract_images(field.events, field.exposure, field.catalogue, folder / "images.nc", IMAGES, "01", events)
    return read_netcdf(folder / "images.nc"), read_events(field.events), Table.read(field.catalogue)


def test_tiles_are_one_field_and_photons_of_both_count_once(tiles, tmp_path):
    block, photons = tiles
    images, events, catalogue = ingested(block, tmp_path, list(range(1, 8)))
    assert len(events) == NUMBER
    np.testing.assert_allclose(np.sort(events.pi_ev), np.sort(photons["PI"]), rtol=1e-6)
    names = list(catalogue["NAME_CAT"])
    assert names[:3] == [name for name, *_ in CLUSTERS[:3]]
    assert CLUSTERS[3][0] not in names  # PCONT 0.9
    assert len(set(catalogue["ID_SRC"])) == len(catalogue)
    assert list(catalogue["ID_CAT"][:2]) == ["em01_066156_020_ML00001_002_c947", "em01_073156_020_ML00001_002_c947"]
    # means over 20': the first sees 5 % of the overlap, the third is on its border; in the overlap 150 s count, not 280
    np.testing.assert_allclose(images["exposure_s"].values[:3], [131, 150, 143], atol=0.7)
    np.testing.assert_allclose(images["covered_fraction"].values[:3], 1)
    counts = images["counts"].sum(["band", "y", "x"]).values[:3] / photons["TIME"].size
    np.testing.assert_allclose(counts, (20 / 60) ** 2 / (0.9 * 0.5), rtol=0.1)


def test_the_light_leaking_modules_are_left_out_on_request(tiles, tmp_path):
    block, photons = tiles
    (tmp_path / "all").mkdir(), (tmp_path / "some").mkdir()
    every, _, _ = ingested(block, tmp_path / "all", list(range(1, 8)))
    some, events, _ = ingested(block, tmp_path / "some", [1, 2, 3, 4, 6])
    assert len(events) == np.isin(photons["TM_NR"], [1, 2, 3, 4, 6]).sum()
    np.testing.assert_allclose(some["exposure_s"], every["exposure_s"] * 5 / 7, rtol=1e-4)


def test_the_configuration_is_right_and_downloads_what_it_reads():
    config = load_config([CONFIG / "config.yaml", CONFIG / "erass1.yaml"])
    assert config_errors(config) == []
    made = {entry["path"] for entry in ERASS1["downloads"]["files"].values()}
    assert {str(path) for path in input_files(config["skies"]["tiles"], "01")} == made
    assert config["observed"]["published"]["tiles"]["file"] in made

"""Damaged files of a field, and files in wrong units: each ends in a result that can be right, or in an InputError.

The files are catalogues, truth tables and event lists; the last tests repeat by hand damage that `make campaign` found.
"""

import gzip
import lzma

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table
from event_lists import photons, write_esass, write_sixte_calibrated, write_sixte_events
from fuzz_inputs import DEC, RA, campaign, catalogue_table, check_events, damages, tried
from hypothesis import strategies as st
from test_images_band_images import EVENTS, TEN, block

from clustermass.catalogues.truth import read_truth
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError
from clustermass.events.read import read_events
from clustermass.images.cutouts import extract_images
from clustermass.ingest.user_field import ingest_field
from clustermass.io.products import FieldFiles

NUMBERS = ("RA", "DEC", "Z", "DET_LIKE", "ML_RATE")


def check_catalogue(table):
    assert len(table) > 0
    assert len(set(table["ID_SRC"].tolist())) == len(table)
    assert np.all((table["RA"] >= 0) & (table["RA"] < 360) & (np.abs(table["DEC"]) <= 90))
    assert np.all((table["Z"] > 0) | (table["Z_TYPE"] == "none"))
    assert not np.isinf(table["Z"]).any()
    assert np.isfinite(table["DET_LIKE"]).all()


def banded_table():
    table = catalogue_table()
    del table["ML_RATE"]
    for band in (1, 2):
        table |= {f"{name}_{band}": np.linspace(0.1, 1, len(table)) for name in ("ML_RATE", "ML_CTS", "ML_BKG")}
    return table


def galactic_table(as_column):
    """Return the table with its positions in Galactic coordinates: one column of them, or two of numbers."""
    table = catalogue_table()
    place = SkyCoord(table["RA"], table["DEC"], unit="deg").galactic
    table.remove_columns(["RA", "DEC"])
    places = {"place": place} if as_column else {"GLON": place.l.deg, "GLAT": place.b.deg}
    return QTable({**table.columns, **places})


TABLES = {
    "": catalogue_table,
    "bands": banded_table,
    "galactic": lambda: galactic_table(False),
    "sky": lambda: galactic_table(True),
}
PACKED = {"gz": gzip.compress, "xz": lzma.compress, "": bytes}


@pytest.mark.parametrize(
    ("kind", "content", "packed"),
    [
        *((kind, "", "") for kind in ("csv", "ascii.ecsv", "fits", "votable", "ascii.basic", "ascii.ipac")),
        *(("csv", "", "gz"), ("votable", "", "xz"), ("fits", "", "gz"), ("fits", "bands", "")),
        *(("csv", "galactic", ""), ("votable", "galactic", ""), ("fits", "sky", ""), ("ascii.ecsv", "sky", "")),
    ],
)
def test_catalogues(tmp_path, kind, content, packed):
    path = tmp_path / "clusters"
    TABLES[content]().write(path, format=kind)
    written, whole = PACKED[packed](path.read_bytes()), read_catalogue(path)

    def case(damage):
        found = tried(path, damage.apply(written), read_catalogue)
        if found is not None:
            check_catalogue(found)
        if found is not None and packed:
            # the packer's checksum tells
            assert all(found[name].tolist() == pytest.approx(whole[name].tolist(), nan_ok=True) for name in NUMBERS)

    campaign(0.015, damages(), case)


def test_catalogues_with_columns_swapped_and_cells_replaced(tmp_path):
    path, table = tmp_path / "clusters.csv", catalogue_table()

    def case(drawn):
        pair, row, cell = drawn
        changed = table.copy()
        changed[pair[0]], changed[pair[1]] = table[pair[1]].astype(str), table[pair[0]].astype(str)
        changed[pair[0]] = changed[pair[0]].astype("U40")
        changed[pair[0]][row] = cell
        changed.write(tmp_path / "new.csv", overwrite=True)
        found = tried(path, (tmp_path / "new.csv").read_bytes(), read_catalogue)
        if found is not None:
            check_catalogue(found)

    (tmp_path / "new.csv").touch()
    pairs = st.lists(st.sampled_from(table.colnames), min_size=2, max_size=2, unique=True)
    cells = st.sampled_from(["nan", "inf", "-1", "1e39", "9" * 30, "", "x", "0", "-99.9", "0x10", "1_0", "٣", "1,2"])
    campaign(0.04, st.tuples(pairs, st.integers(0, len(table) - 1), cells), case)


@pytest.mark.parametrize("ending", ["csv", "fits"])
def test_truth_tables(tmp_path, ending):
    path = tmp_path / f"truth.{ending}"
    rng = np.random.default_rng(6)
    Table(
        {"SRC_ID": np.arange(1, 9), "RA": RA + rng.random(8), "DEC": DEC + rng.random(8), "Z": rng.uniform(0.1, 1, 8)}
        | {"M500C": 10 ** rng.uniform(13.5, 15, 8)}
    ).write(path)
    content = path.read_bytes()

    def case(damage):
        found = tried(path, damage.apply(content), lambda path: read_truth(path, {}, "01"))
        if found is not None:
            assert np.all((found["LOG10_M500C"] > 9) & (found["LOG10_M500C"] < 17) & (found["Z"] > 0))

    campaign(0.02, damages(), case)


WRITERS = {"esass": write_esass, "sixte_cal": write_sixte_calibrated, "sixte_evt": write_sixte_events}


@pytest.mark.parametrize("dialect", WRITERS)
@pytest.mark.parametrize("checksum", [False, True])
def test_event_lists(tmp_path, dialect, checksum):
    path = WRITERS[dialect](tmp_path / "events.fits", photons())
    if checksum:
        with fits.open(path) as hdus:
            hdus.writeto(path, overwrite=True, checksum=True)
    content, whole = path.read_bytes(), read_events(path)
    outcomes = []

    def case(damage):
        found = tried(path, damage.apply(content), read_events)
        outcomes.append(found is None)
        if found is not None:
            check_events(found)
            if checksum and damage.kind.startswith("flip"):
                for name, column in whole.columns().items():
                    np.testing.assert_array_equal(found.columns()[name], column)

    campaign(0.025, damages(), case)
    assert sum(outcomes) > 0.2 * len(outcomes) > 0


@pytest.mark.parametrize("dialect", WRITERS)
def test_event_lists_with_columns_swapped(tmp_path, dialect):
    path = WRITERS[dialect](tmp_path / "events.fits", photons())
    content = path.read_bytes()
    names = fits.getdata(path, 1).names

    def case(pair):
        with fits.open(tmp_path / "whole", mode="readonly") as hdus:
            header = hdus[1].header.copy()
            numbers = [names.index(name) + 1 for name in pair]
            for number, name in zip(numbers, reversed(pair), strict=True):
                header[f"TTYPE{number}"] = name
            old, new = hdus[1].header.tostring().encode(), header.tostring().encode()
        assert content.count(old) == 1
        found = tried(path, content.replace(old, new), read_events)
        if found is not None:
            check_events(found)

    (tmp_path / "whole").write_bytes(content)
    pairs = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True)
    campaign(0.01, pairs, case)


#: units that make positions, energies or masses those of something else: each must be refused
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
    tables["truth"] = {"SRC_ID": [1, 2], "RA": [RA, RA], "DEC": [DEC, DEC + 0.1], "Z": [0.2, 0.3]}
    tables["truth"]["M500C"] = [1e14, 2e14]

    def run(folder):
        folder.mkdir()
        write_esass(folder / "events.fits", tables["events"])
        Table(tables["clusters"]).write(folder / "clusters.csv")
        Table(tables["truth"]).write(folder / "truth.csv")
        files = {"events": [str(folder / "events.fits")], "exposure_s": 1000.0}
        files |= {"truth": str(folder / "truth.csv"), "catalogue": str(folder / "clusters.csv")}
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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"TTYPE6  = 'PI  ", b"TTYPE6  @ 'PI  ", "lacks column PI"),
        (b"TTYPE6  = 'PI  ", b"TTYPE6  = &PI  ", r"truncated or damaged FITS file \(Unparsable card"),
        (b"TTYPE6  = 'PI  ", b"TTYQE6  = 'PI  ", "lacks column PI"),
        (b"TTYPE15 = 'TM_NR   '", b"TTYPE15 = 'RAWX_   '", "lacks column TM_NR"),
    ],
)
def test_headers_with_a_changed_letter(tmp_path, old, new, message):
    path = write_esass(tmp_path / "events.fits", photons())
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InputError, match=rf"events.fits.*{message}"):
        read_events(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_changed_number_is_reported_where_there_is_a_checksum(tmp_path, compressed):
    path = write_esass(tmp_path / f"events.fits{'.gz' * compressed}", photons())
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)
        hdus[1].data["PI"][7] += 1
        hdus[1].header.remove("CHECKSUM", ignore_missing=True)
        stated = fits.getheader(path, 1)
        hdus[1].header["CHECKSUM"], hdus[1].header["DATASUM"] = stated["CHECKSUM"], stated["DATASUM"]
        hdus.writeto(path, overwrite=True)
    with pytest.raises(InputError, match=r"verification failed.*fitscheck --write"):
        read_events(path)
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)
    assert len(read_events(path)) == 200


@pytest.mark.parametrize("column", ["Z", "DET_LIKE", "ML_RATE"])
def test_numbers_that_nothing_measures(tmp_path, column):
    table = catalogue_table()
    table[column][4] = 1e39
    table.write(tmp_path / "clusters.csv")
    if column == "Z":  # as good as none
        assert read_catalogue(tmp_path / "clusters.csv")["Z_TYPE"].tolist().count("none") == 1
    else:
        with pytest.raises(InputError, match=rf"column {column}, row 5: 1e\+39 is too large"):
            read_catalogue(tmp_path / "clusters.csv")


def test_a_number_beyond_64_bits(tmp_path):
    content = "ID_SRC,RA,DEC,Z\n" + 30 * "9" + ",136,1.5,0.3\n2,136,1.6,0.3\n"
    (tmp_path / "clusters.csv").write_text(content)
    table = read_catalogue(tmp_path / "clusters.csv")
    assert table["ID_SRC"].tolist() == [1, 2]
    assert table["ID_CAT"].tolist() == [30 * "9", "2"]


def test_redshifts_in_other_units(tmp_path):
    table = catalogue_table()
    table["Z"] *= 299792.458
    table.write(tmp_path / "clusters.csv")
    with pytest.raises(InputError, match=r"usable redshift, above 0 and at most 10: column Z holds \d+"):
        read_catalogue(tmp_path / "clusters.csv")


def test_a_module_that_does_not_exist(tmp_path):
    columns = photons()
    columns["TM_NR"][5] = 57
    with pytest.raises(InputError, match="row 6: TM_NR is 57, but must be between 0 and 7"):
        read_events(write_esass(tmp_path / "events.fits", columns))

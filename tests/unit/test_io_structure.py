"""FITS files and tables whose stated sizes or texts would take memory, time or other files: each is refused."""

import base64
import bz2
import gzip
import lzma

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from confined import refused

from clustermass.catalogues.formats import read_table
from clustermass.catalogues.tables import read_product
from clustermass.events.read import read_events
from clustermass.report.records import read_record

TAGS = {
    "pointers": f"!numpy.ndarray {{buffer: !!binary {base64.b64encode(b'A' * 64).decode()}, dtype: O, shape: [8]}}",
    "offset": "!numpy.ndarray {buffer: !!binary QUFB, dtype: u1, offset: -100000000000, shape: [3]}",
    "quantity": "!astropy.units.Quantity {value: 1.0, unit: m}",
    "tuple": "!!python/tuple [1, 2]",
    "verbatim": "!<!numpy.ndarray> {buffer: !!binary QUFB, dtype: u1, offset: -100000000000, shape: [3]}",
}


def ecsv(tag, place="meta"):
    lines = ["%ECSV 1.0", "---", "datatype:"]
    lines += [f"- {{name: {name}, datatype: float64}}" for name in ("RA", "DEC", "Z")]
    lines += [f"{place}: {{harmful: {tag}}}", "schema: astropy-2.0"]
    return "\n".join([f"# {line}" for line in lines] + ["RA DEC Z", "133.0 1.0 0.3", ""])


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("read", [read_table, read_record])
def test_a_yaml_tag_that_makes_objects_is_refused(tmp_path, tag, read):
    path = tmp_path / "t.ecsv"
    path.write_text(ecsv(TAGS[tag]))
    refused(r"t\.ecsv: .*tag", read, path)


@pytest.mark.parametrize("tag", TAGS)
def test_a_yaml_tag_in_the_comments_of_a_fits_table_is_refused(tmp_path, tag):
    path = tmp_path / "t.fits"
    table = Table({"RA": [133.0], "DEC": [1.0], "Z": [0.3]})
    yaml = ["datatype:", "- {name: RA, datatype: float64}", f"meta: {{harmful: {TAGS[tag]}}}"]
    comments = ["--BEGIN-ASTROPY-SERIALIZED-COLUMNS--", *yaml, "--END-ASTROPY-SERIALIZED-COLUMNS--"]
    hdu = fits.BinTableHDU(table, name="CATALOGUE")
    for line in comments:
        pieces = [line[start : start + 70] for start in range(0, len(line), 70)]
        for piece in [f"{piece}\\" for piece in pieces[:-1]] + pieces[-1:]:
            hdu.header.add_comment(piece)
    hdu.writeto(path)
    refused(r"t\.fits: .*tag", read_table, path)
    refused(r"t\.fits: .*tag", read_product, path, "CATALOGUE", ("RA",))


def aliases():
    """Return YAML of nine levels, each of nine references to the one before."""
    levels = ["&a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "[" + ", ".join(levels) + "]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ecsv(aliases()), "alias"),
        (ecsv("[" * 50000), "too many levels"),
        (ecsv("1" + ":1" * 400_000), "more than 100 characters in a number"),
        (ecsv("1").replace("float64", "U900000000", 1), "datatype"),
        (ecsv("1").replace("name: RA, datatype: float64", "name: RA, datatype: string, subtype: object", 1).replace(
            "133.0", "[" * 100000), "t.ecsv"),
    ],
    ids=["aliases", "deep", "number", "datatype", "deep cell"],
)  # fmt: skip
def test_other_ecsv_that_would_take_memory_or_time(tmp_path, text, message):
    path = tmp_path / "t.ecsv"
    path.write_text(text)
    refused(message, read_table, path)


def header(cards):
    text = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in cards) + "END".ljust(80)
    return text.encode().ljust(-(-len(text) // 2880) * 2880)


PRIMARY = header([("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", "T")])
BINTABLE = {"XTENSION": "'BINTABLE'", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 24, "NAXIS2": 100, "PCOUNT": 0, "GCOUNT": 1}
BINTABLE |= {"TFIELDS": 3, "TTYPE1": "'RA      '", "TFORM1": "'D       '", "TTYPE2": "'DEC     '"}
BINTABLE |= {"TFORM2": "'D       '", "TTYPE3": "'Z       '", "TFORM3": "'D       '"}


def table(changes=(), rows=100, more=()):
    values = np.tile([133.0, 1.0, 0.3], (rows, 1)).astype(">f8").tobytes()
    cards = [*(BINTABLE | {"NAXIS2": rows} | dict(changes)).items(), *more]
    return PRIMARY + header(cards) + values.ljust(-(-len(values) // 2880) * 2880, b"\0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table({"PCOUNT": -5280}), "PCOUNT"),
        (table({"PCOUNT": -2400}) * 2, "PCOUNT"),
        (table({"GCOUNT": -1}), "GCOUNT"),
        (table({"GCOUNT": 7}), "GCOUNT"),
        (table({"NAXIS2": -100}), "NAXIS2"),
        (table({"NAXIS1": 12, "NAXIS2": 200}), "NAXIS1"),
        (table({"NAXIS1": 48, "NAXIS2": 50}), "NAXIS1"),
        (table({"BITPIX": 7}), "BITPIX"),
        (table({"NAXIS": 1000}), "NAXIS"),
        (table({"NAXIS2": "1.0E2"}), "NAXIS2"),
        (table({"TFIELDS": 999999999}), "TFIELDS|columns in a FITS table"),
        (table({"TFIELDS": -1}), "TFIELDS|columns in a FITS table"),
        (table(more=[("NAXIS2", 50)]), "NAXIS2"),
        (table({"TFORM1": "'999999999999D'"}), "NAXIS1"),
        (table(more=[(f"K{number:07d}", number) for number in range(200_000)]), "header"),
        (PRIMARY + header([("XTENSION", "'IMAGE   '"), ("BITPIX", 8), ("NAXIS", 0)]) * 20_000, "HDUs"),
        (header([("SIMPLE", "T"), ("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", 2**31), ("NAXIS2", 2**30)]), "pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_fits_file_whose_sizes_make_no_sense_is_refused(tmp_path, content, message, packed):
    path = tmp_path / "t.fits"
    path.write_bytes(packed(content))
    refused(rf"t\.fits: .*{message}", read_table, path)
    refused(rf"t\.fits: .*{message}", read_events, path)


def test_cells_of_variable_length_that_share_one_place_are_refused(tmp_path):
    rows, cell = 100_000, 1_000_000
    form = {"NAXIS1": 16, "TFIELDS": 2, "TFORM2": "'PB(1)   '", "PCOUNT": cell}
    cards = [card for card in (BINTABLE | form | {"NAXIS2": rows}).items() if card[0] not in ("TTYPE3", "TFORM3")]
    values = np.zeros(rows, dtype=[("RA", ">f8"), ("cell", ">i4", 2)])
    values["cell"][:, 0] = cell
    path = tmp_path / "t.fits"
    content = values.tobytes() + bytes(cell)
    path.write_bytes(PRIMARY + header(cards) + content.ljust(-(-len(content) // 2880) * 2880, b"\0"))
    refused(r"t\.fits: .*cells of column DEC hold more bytes", read_table, path)


def test_a_packed_file_that_would_fill_the_disk_is_refused(tmp_path):
    path = tmp_path / "t.fits.gz"
    cards = [("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 60_000), ("NAXIS2", 60_000)]
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(header(cards))
        for _ in range(3600):
            stream.write(bytes(1_000_000))
    refused(r"t\.fits\.gz: more than 2000000000 bytes after unpacking", read_events, path)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(table())
        for _ in range(10):
            stream.write(bytes(1_000_000))
    refused(r"t\.fits\.gz: more than 1000000 bytes behind the last HDU", read_events, path)


def test_a_table_that_memory_lacks_the_room_for_is_refused(tmp_path):
    path = tmp_path / "t.fits"
    path.write_bytes(table(rows=4_000_000))
    refused(r"t\.fits: needs 0\.192 GB of memory, but 0\.\d+ GB are free", read_table, path, memory=150_000_000)


def test_a_whole_table_is_read(tmp_path):
    path = tmp_path / "t.fits"
    for packed in (bytes, gzip.compress, bz2.compress, lzma.compress):
        path.write_bytes(packed(table()))
        assert len(read_table(path)) == 100

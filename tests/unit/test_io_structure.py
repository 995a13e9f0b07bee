"""FITS files and tables whose stated sizes or texts would take memory, time or other files: each is refused."""

import base64
import bz2
import gzip
import io
import lzma
import struct
import zlib

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from confined import outcome, refused

from clustermass.catalogues.formats import read_table
from clustermass.catalogues.tables import read_product
from clustermass.events.read import read_events
from clustermass.images.band_images import photons_of_images
from clustermass.images.exposure import read_exposure
from clustermass.report.records import read_record

TAGS = {
    "pointers": "!numpy.ndarray {buffer: !!binary %s, dtype: O, shape: [8]}" % base64.b64encode(b"A" * 64).decode(),
    "offset": "!numpy.ndarray {buffer: !!binary QUFB, dtype: u1, offset: -100000000000, shape: [3]}",
    "size": "!astropy.time.Time {jd1: 1.0, jd2: 0.0, format: jd, scale: utc}",
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
    refused(rf"t\.ecsv: .*tag", read, path)


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
        (ecsv("[" * 50000), "nest"),
        (ecsv("1").replace("float64", "U900000000", 1), "datatype"),
        (ecsv("1").replace("name: RA, datatype: float64", "name: RA, datatype: string, subtype: object", 1).replace(
            "133.0", "[" * 100000), "t.ecsv"),
    ],
    ids=["aliases", "deep", "datatype", "deep cell"],
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
        (table({"TFIELDS": 999999999}), "TFIELDS"),
        (table({"TFIELDS": -1}), "TFIELDS"),
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


def test_a_whole_table_is_read(tmp_path):
    path = tmp_path / "t.fits"
    for packed in (bytes, gzip.compress, bz2.compress, lzma.compress):
        path.write_bytes(packed(table()))
        assert len(read_table(path)) == 100

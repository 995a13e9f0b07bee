"""Hostile tables of text: ECSV, VOTable, CSV, tables of the CDS and of IPAC, and packed files."""

import base64
import bz2
import gzip
import lzma
import struct
import zlib
from itertools import pairwise

from hostile_inputs import SECRET, TEXTS, hostile

BUFFER = base64.b64encode(b"A" * 64).decode()
#: what YAML in the header of an ECSV table can hold
HEADERS = {
    "object array": f"!numpy.ndarray {{buffer: !!binary {BUFFER}, dtype: O, shape: [8]}}",
    "offset": f"!numpy.ndarray {{buffer: !!binary {BUFFER}, dtype: u1, offset: -100000000000, shape: [3]}}",
    "strides": f"!numpy.ndarray {{buffer: !!binary {BUFFER}, dtype: u1, shape: [9], strides: [1000000000]}}",
    "python": "!!python/object/apply:os.system ['touch PWNED']",
    "module": "!!python/module:antigravity ''",
    "quantity": "!astropy.units.Quantity {unit: !astropy.units.Unit {unit: m}, value: 1.0}",
    "time": "!astropy.time.Time {format: iso, jd1: 1.0e+300, jd2: 0.0, scale: ut1}",
    "location": "!astropy.coordinates.earth.EarthLocation {ellipsoid: WGS84, x: 1, y: 1, z: 1}",
    "table": "!astropy.table.Table [1]",
    "set": "!!set {? a, ? b}",
    "nested": "[" * 3000 + "]" * 3000,
    "unclosed": "[" * 100000,
    "laughs": "[&a [1, 1, 1], "
    + ", ".join(f"&{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise("abcdefghi"))
    + "]",
    "itself": "&a [*a]",
    "merged": "{<<: &a {x: 1, <<: *a}}",
    "key": "{? [1, 2] : 3}",
    "sexagesimal": "1" + ":59" * 3000,
    "digits": "9" * 100000,
    "date": "9999-99-99",
}


def ecsv(meta="1", columns=("RA", "DEC", "Z"), rows=("133.0 1.0 0.3",), more=""):
    """Return an ECSV table; columns are names, or the whole flow of a column's entry in braces."""
    entries = [f"- {one}" if one.startswith("{") else f"- {{name: {one}, datatype: float64}}" for one in columns]
    lines = [
        "%ECSV 1.0",
        "---",
        "datatype:",
        *entries,
        f"meta: {{a: {meta}}}",
        *more.splitlines(),
        "schema: astropy-2.0",
    ]
    names = " ".join(one.split("name: ")[-1].partition(",")[0] for one in columns)
    return "\n".join([*(f"# {line}" for line in lines), names, *rows, ""])


@hostile("catalogue", "record", variants=HEADERS)
def ecsv_header(place, header):
    return place.write("t.ecsv", ecsv(header))


@hostile(
    "table",
    variants={
        "object": "{name: RA, datatype: object}",
        "wide": "{name: RA, datatype: U999999999}",
        "array": '{name: RA, datatype: string, subtype: "float64[1000000000]"}',
        "negative": '{name: RA, datatype: string, subtype: "float64[-1]"}',
        "many": '{name: RA, datatype: string, subtype: "float64[99999,99999,99999]"}',
        "json": "{name: RA, datatype: string, subtype: json}",
        "complex": "{name: RA, datatype: complex256}",
        "structure": '{name: RA, datatype: "f8,O"}',
        "unit": f"{{name: RA, datatype: float64, unit: '{'(' * 3000}m{')' * 3000}'}}",
        "powers": "{name: RA, datatype: float64, unit: 'm**9999999999**9999999999'}",
        "name": "{name: [1, 2], datatype: float64}",
        "text": "just a text",
    },
)
def ecsv_column(place, column):
    cell = str(place.rng.choice(["[" * 100000, '"[1,2]"', "1e999", "9" * 5000, '"{""a"":' * 50 + "1"]))
    column = column if column.startswith("{") else f"{{{column}}}"
    return place.write("t.ecsv", ecsv(columns=(column, "DEC", "Z"), rows=[f"{cell} 1.0 0.3"]))


MIXINS = {
    "frame": "{__class__: astropy.coordinates.sky_coordinate.SkyCoord, frame: altaz, ra: *column}",
    "class": "{__class__: os.system, command: touch PWNED}",
    "builtin": "{__class__: builtins.eval, source: '1'}",
    "masked": "{__class__: astropy.table.column.MaskedColumn, data: !astropy.table.SerializedColumn {name: nothing}}",
    "itself": "&a {__class__: astropy.table.column.Column, data: *a}",
    "time": "{__class__: astropy.time.core.Time, format: datetime64, scale: ut1, jd1: *column}",
    "memory": "{__class__: astropy.table.ndarray_mixin.NdarrayMixin, data: !astropy.table.SerializedColumn {name: RA}}",
}


@hostile("catalogue", variants=MIXINS)
def ecsv_serialized(place, mixin):
    mixin = mixin.replace("*column", "!astropy.table.SerializedColumn {name: RA}")
    return place.write(
        "t.ecsv", ecsv().replace("meta: {a: 1}", f"meta: !!omap\n# - __serialized_columns__:\n#     RA: {mixin}")
    )


@hostile("record", like="no record")
def ecsv_in_the_name(place, _):
    """Name a file, with line breaks, so that the name is a table of its own."""
    name = ecsv(HEADERS["offset"]).replace("/", "")[:240] + ".ecsv"
    return place.write(name, ecsv())


def cells(*rows):
    return "\n".join(["ID_SRC,RA,DEC,Z", *rows, ""])


@hostile(
    "catalogue",
    variants={
        "long cell": lambda: cells("1,136,1.5," + "9" * 200_000),
        "long line": lambda: cells("1,136,1.5,0.3" + "," * 3_000_000),
        "long name": lambda: "x" * 200_000 + ",RA,DEC,Z\n1,136,1.5,0.3\n",
        "columns": lambda: ",".join(f"c{n}" for n in range(50_000)) + ",RA,DEC,Z\n" + "1," * 50_000 + "136,1.5,0.3\n",
        "quote": lambda: cells('"1,136,1.5,0.3') + "1,136,1.5,0.3\n" * 100_000,
        "quotes": lambda: cells('"' * 1_000_001),
        "nul": lambda: cells("1,136,1.5,0.3\0"),
        "late nul": lambda: cells(*["1,136,1.5,0.3"] * 1000, "1\0,136,1.5,0.3"),
        "same names": lambda: "RA,RA,DEC,DEC,Z,Z\n1,2,3,4,0.5,6\n",
        "no names": lambda: ",,,\n136,1.5,0.3,1\n",
        "huge numbers": lambda: cells("9" * 5000 + ",136,1.5,0.3", "1e99999,136,1.6,0.3"),
        "breaks": lambda: "ID_SRC,RA,DEC,Z,NAME\r1,136,1.5,0.3,a\u2028b\x0b\x0c\x1c\x1d\x85c\r\n",
        "separators": lambda: cells("1;136|1.5\t0.3"),
        "combining": lambda: cells("1,136,1.5,0.3") + "a" + "\u0301" * 500_000 + ",1,1,1\n",
        "expanding": lambda: cells("\ufdfa" * 60_000 + ",136,1.5,0.3"),
        "comments": lambda: "#" * 1_000_000 + "\n" + "# a\n" * 200_000 + cells("1,136,1.5,0.3"),
        "dashes": lambda: "a;RA;DEC;Z\n;;;\n--;--;--;--\n" + "1;136;1.5;0.3\n" * 2,
        "units": lambda: f"a;RA;DEC;Z\n;{'(' * 5000}deg;;\n--;--;--;--\n1;136;1.5;0.3\n",
        "utf-16": lambda: ("\ufeff" + cells("1,136,1.5,0.3\ud800")).encode("utf-16-le", "surrogatepass"),
        "blanks": lambda: "ID_SRC RA DEC Z\n" + " " * 2_000_000 + "1 136 1.5 0.3\n",
        "decimals": lambda: "ID_SRC;RA;DEC;Z\n" + "1;136,5;1,5;" + "0," * 50_000 + "3\n",
    },
)
def csv(place, text):
    return place.write("clusters.csv", text())


@hostile("catalogue", "masses of clusters", variants=TEXTS)
def csv_names(place, text):
    """Give clusters names that hurt what prints them."""
    cell = '"' + text.replace('"', '""') + '"'
    rows = [f"{cell},136,1.5,0.3,1000", f"{cell},136.05,1.5,0.4,1000"]
    return place.write(
        "names.csv", "\n".join([f"name{cell},RA,DEC,Z,ML_EXP".replace(f"name{cell}", '"NAME"'), *rows, ""])
    )


@hostile("catalogue", variants=TEXTS)
def csv_column_names(place, text):
    cell = '"' + text.replace('"', '""') + '"'
    return place.write("names.csv", f"{cell},RA,DEC,Z\n1,400,1.5,0.3\n")


CDS = """Byte-by-byte Description of file: a
--------------------------------------------------------------------------------
   Bytes Format Units  Label  Explanations
--------------------------------------------------------------------------------
{lines}
--------------------------------------------------------------------------------
136.0 1.5 0.3
"""


@hostile(
    "table",
    variants={
        "bytes": "   1-999999999 F5.1  deg    RA     x",
        "backwards": "   9-  1 F5.1  deg    RA     x",
        "format": "   1-  5 F999999999.999999999 deg RA x",
        "kind": "   1-  5 Z9    deg    RA     x",
        "limits": "   1-  5 F5.1  deg    RA     [" + "9" * 50000 + "/1]",
        "null": "   1-  5 F5.1  deg    RA     ?=" + "a" * 50000,
        "unit": "   1-  5 F5.1  " + "10" * 3000 + "+m RA x",
        "many": "\n".join(["   1-  5 F5.1  deg    RA     x"] * 20000),
        "none": "",
        "continued": "   1-  5 F5.1  deg    RA     x\n" + "                              more\n" * 20000,
    },
)
def cds(place, lines):
    return place.write("t.txt", CDS.format(lines=lines))


@hostile(
    "table",
    variants={
        "bars": "|" * 200_000 + "\n",
        "keywords": "\\a=1\n" * 50_000 + "|RA|DEC|\n|double|double|\n 1 2\n",
        "keyword": "\\" + "a" * 500_000 + " = '\n|RA|DEC|\n|double|double|\n 1 2\n",
        "types": "|RA |DEC|\n|xxx|int|\n 1   2\n",
        "null": "|RA |DEC|\n|int|int|\n|   |   |\n|" + "9" * 5000 + "|1|\n 1   2\n",
    },
)
def ipac(place, text):
    return place.write("t.tbl", text)


def members(compress, piece, number):
    """Return a packed file of `number` members, each with the same piece: the file is far smaller than its content."""
    return compress(piece) * number


def xz_dictionary():
    """Return an .xz file whose header asks for a dictionary of 4 GiB."""
    content = bytearray(lzma.compress(b"RA,DEC,Z\n1,2,0.3\n", check=lzma.CHECK_NONE))
    place = content.index(b"\x21\x01", 12)
    content[place + 2] = 40
    size = (content[12] + 1) * 4
    content[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(content[12 : 12 + size - 4]))
    return bytes(content)


def gzip_name(length):
    return b"\x1f\x8b\x08\x08" + b"\0" * 6 + b"n" * length + b"\0" + zlib.compress(b"x", wbits=-15) + b"\0" * 8


BEGINNINGS = {"text": b"ID_SRC,RA,DEC,Z\n1,136,1.5,0.3\n", "fits": b"SIMPLE  =                    T" + b" " * 2850}
PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@hostile(
    "table", "events", "exposure",
    variants=[f"{kind}.{packer}" for kind in BEGINNINGS for packer in PACKERS],
)  # fmt: skip
def bombs(place, variant):
    """Pack a content of 3 GB into a few kB or MB."""
    kind, packer = variant.split(".")
    pack = PACKERS[packer]
    begin = pack(BEGINNINGS[kind])
    return place.write(f"t.{kind}.{packer}", begin + members(pack, b" " * (30 << 20), 100))


@hostile(
    "table",
    "events",
    variants={
        "dictionary": xz_dictionary,
        "name": lambda: gzip_name(3_000_000),
        "twice": lambda: gzip.compress(gzip.compress(BEGINNINGS["text"])),
        "rest": lambda: gzip.compress(BEGINNINGS["text"]) + b"\x1f\x8b",
        "foreign rest": lambda: gzip.compress(BEGINNINGS["text"]) + lzma.compress(b"x"),
        "length": lambda: gzip.compress(BEGINNINGS["text"])[:-4] + b"\xff" * 4,
        "empty members": lambda: gzip.compress(BEGINNINGS["text"]) + gzip.compress(b"") * 100_000,
        "empty": lambda: gzip.compress(b""),
        "magic": lambda: b"\x1f\x8b",
        "zeros": lambda: gzip.compress(BEGINNINGS["text"]) + b"\0" * 3_000_000,
    },
)
def packed(place, content):
    return place.write("t.gz", content())


@hostile("table", "weights", "yaml", "calibration", "netcdf", "events", "ensemble", "published_images", "record")
def sparse(place, _):
    """Make a file of 200 GB without content, which takes no room on the disk."""
    path = place.write("t.json", place.rng.choice(["SIMPLE  =", "PK\3\4", "{", "# %ECSV", "\x80\x04"]))
    with path.open("r+b") as stream:
        stream.truncate(200 << 30)
    return path


@hostile("table", "weights", "yaml", "calibration", "netcdf", "events", "ensemble", "published_images")
def secret_by_link(place, _):
    """Make a link to a file that isn't of this kind: what it holds must not be shown."""
    (place.canary / "linked").write_text(SECRET * 3)
    path = place.work / "link"
    path.symlink_to("../canary/linked")
    return path

"""Hostile texts in tables on which the search for patterns, powers or a decoding would take minutes or much memory."""

import gzip
import io

from astropy.coordinates import SkyCoord
from astropy.table import Table
from hostile_inputs import hostile

DESCRIPTION = """Byte-by-byte Description of file: x
{line}
   Bytes Format Units   Label     Explanations
{line}
   1-  3 I3     {unit:6}  ID        ids
{more}
{line}
  1
"""
VOTABLE = """<?xml version="1.0"?>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
<FIELD name="RA" datatype="double" {field}/><DATA>{data}</DATA>
</TABLE></RESOURCE></VOTABLE>
"""
CELLS = "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>"


def described(unit="---", more=""):
    return DESCRIPTION.format(line="-" * 80, unit=unit, more=more)


def votable(field="", data=CELLS):
    return VOTABLE.format(field=field, data=data)


def coordinates():
    """Return an ECSV table with a column of sky coordinates."""
    table = Table({"Z": [0.3, 0.4], "place": SkyCoord([136.0, 137.0], [1.5, 1.6], unit="deg")})
    table.write(text := io.StringIO(), format="ascii.ecsv")
    return text.getvalue()


@hostile(
    "table",
    "catalogue",
    variants={
        "blanks of CDS": described(more=" " * 99_000 + "x"),
        "blanks in lines of CDS": described(more="\n".join([" " * 5_000 + "x"] * 300)),
        "blanks after CDS": "Byte-by-byte Description of file: x\n" + " " * 99_000 + "x\n",
        "lines of CDS": described(more="x\n" * 200_000),
        "unit of CDS": described(unit="10+999999999m"),
        "unit of IPAC": "|RA    |\n|double|\n|10**999999999999|\n 1.0 \n",
        "digits": f"RA,DEC,{'1' * 99_000}x\n1,2,3\n",
        "digits twice": f"RA,DEC,{'1' * 49_000}x,{'1' * 49_000}y\n1,2,3,4\n",
        "unit of VizieR": "RA\tDEC\tx\ndeg\tdeg\t**" + " " * 95_000 + "y\n--\t--\t--\n1\t2\t3\n",
        "power of VizieR": "RA\tDEC\tx\ndeg\tdeg\t10**999999999\n--\t--\t--\n1\t2\t3\n",
        "blanks in unit": votable('unit="**' + " " * 1_000_000 + 'y"'),
        "words in unit": votable('unit="' + "meter secon arcmi solMas " * 40 + 'y"'),
        "powers in unit": votable('unit="((((10**99)**99)**99)**99)**99"'),
        "long unit": votable('unit="' + "m." * 1_000_000 + 'm"'),
        "sizes": votable('arraysize="' + "x".join(["999999999999999999"] * 300_000) + '"'),
        "arrays of nothing": votable('arraysize="0x*"', '<BINARY><STREAM encoding="base64">AAAAAQ==</STREAM></BINARY>'),
        "deep": "<VOTABLE>" + "<RESOURCE>" * 300_000,
        "arrays in few bytes": votable(
            'arraysize="1000000"', '<BINARY2><STREAM encoding="base64">AAAAAAAAAAAA</STREAM></BINARY2>'
        ),
        "deep model": votable().replace(
            "<TABLE>",
            '<RESOURCE type="meta"><VODML xmlns="http://www.ivoa.net/xml/mivot">'
            + "<INSTANCE>" * 20_000
            + "</INSTANCE>" * 20_000
            + "</VODML></RESOURCE><TABLE>",
        ),
        "unit of a quantity": coordinates().replace("Unit {unit: deg}", "Unit {unit: 10**999999999 m}"),
        "signs": "RA,DEC\n" + ("\ufdfa" * 800 + ",1\n") * 12_000,
    },
)
def slow_text(place, text):
    return place.write("table.txt", text)


@hostile("table", variants={"signs": "\ufdfa" * 3_000, "accents": "\u00e9" + "a" * 3_000})
def slow_packed(place, cell):
    return place.write("table.csv.gz", gzip.compress(("RA,DEC,NAME\n" + f"1,2,{cell}\n" * 3_000).encode()))


FRAMES = {"altaz": ("az", "alt"), "hadec": ("ha", "dec"), "galactocentric": ("lon", "lat"), "itrs": ("lon", "lat")}
FRAMES |= {"heliocentrictrueecliptic": ("lon", "lat"), "nonsense": ("ra", "dec"), "fk4": ("ra", "dec")}
FRAMES |= dict.fromkeys(("lsr", "hcrs", "cirs", "gcrs", "tete", "teme", "skyoffset_icrs"), ("ra", "dec"))


@hostile("catalogue", variants={frame: (frame, *names) for frame, names in FRAMES.items()})
def frames(place, frame_and_names):
    """Write sky coordinates in a frame that lacks what a conversion to ICRS needs."""
    frame, *names = frame_and_names
    changed = coordinates().replace("frame: icrs", f"frame: {frame}")
    for ours, theirs in zip(("ra", "dec"), names, strict=True):
        changed = changed.replace(f"    {ours}: ", f"    {theirs}: ")
    return place.write("t.ecsv", changed)

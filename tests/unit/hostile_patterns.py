"""Hostile texts in tables on which the search for patterns, powers or a decoding would take minutes or much memory."""

import gzip

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
        "long unit": votable('unit="' + "m." * 1_000_000 + 'm"'),
        "sizes": votable('arraysize="' + "x".join(["999999999999999999"] * 300_000) + '"'),
        "arrays of nothing": votable('arraysize="0x*"', '<BINARY><STREAM encoding="base64">AAAAAQ==</STREAM></BINARY>'),
        "deep": "<VOTABLE>" + "<RESOURCE>" * 300_000,
        "signs": "RA,DEC\n" + ("\ufdfa" * 800 + ",1\n") * 12_000,
    },
)
def slow_text(place, text):
    return place.write("table.txt", text)


@hostile("table", variants={"signs": "\ufdfa" * 3_000, "accents": "\u00e9" + "a" * 3_000})
def slow_packed(place, cell):
    return place.write("table.csv.gz", gzip.compress(("RA,DEC,NAME\n" + f"1,2,{cell}\n" * 3_000).encode()))

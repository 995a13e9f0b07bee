"""Hostile VOTables: streams, sizes, entities, and very many elements."""

import base64
import zlib

from hostile_inputs import hostile

DATA = {
    "stream of a file": '<BINARY><STREAM encoding="base64" href="file://{secret}"/></BINARY>',
    "stream of a page": '<BINARY><STREAM encoding="base64" href="http://127.0.0.1:9/x"/></BINARY>',
    "fits of a file": '<FITS extnum="1"><STREAM href="file://{secret}"/></FITS>',
    "parquet of a file": '<PARQUET type="VOTable-remote-file"><STREAM href="file://{secret}"/></PARQUET>',
    "gzip of a file": '<BINARY2><STREAM encoding="gzip" href="file://{secret}"/></BINARY2>',
    "no stream": "<BINARY></BINARY>",
    "nothing": "<BINARY><STREAM encoding='base64'></STREAM></BINARY>",
    "cut row": f"<BINARY><STREAM encoding='base64'>{'QUFB' * 14}QQ==</STREAM></BINARY>",
    "cut row with flags": f"<BINARY2><STREAM encoding='base64'>{'QUFB' * 15}QQ==</STREAM></BINARY2>",
    "bomb": "<BINARY><STREAM encoding='gzip'>"
    + base64.b64encode(zlib.compress(b"\0" * 10**7)).decode()
    + "</STREAM></BINARY>",
    "cells": "<TABLEDATA>" + "<TR><TD>1</TD><TD>1</TD><TD>1</TD><TD>1</TD></TR>" * 3 + "</TABLEDATA>",
    "few cells": "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>",
    "texts": "<TABLEDATA><TR><TD>\u202e</TD><TD>&#x85;</TD><TD>1e999</TD></TR></TABLEDATA>",
    "deep": "<TABLEDATA><TR><TD>" * 1000,
}
ROWS = "<TABLEDATA><TR><TD>133.0</TD><TD>1.0</TD><TD>0.3</TD></TR></TABLEDATA>"
VOTABLE = (
    '<?xml version="1.0" encoding="{encoding}"?>{doctype}<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">{before}'
    '<RESOURCE>{info}<TABLE {table}><FIELD name="RA" datatype="double" {field}/><FIELD name="DEC" datatype="double"/>'
    '<FIELD name="Z" datatype="double"/><DATA>{data}</DATA></TABLE></RESOURCE>{after}</VOTABLE>'
)
EMPTY = dict.fromkeys(("doctype", "before", "info", "table", "field", "after"), "") | {
    "encoding": "utf-8",
    "data": ROWS,
}


NUMBERS = b"\0" * 24
#: type and size of a column, and binary data of tables with it
ROWS_OF_ARRAYS = {
    "cut in a text": ("char", "*", (NUMBERS + b"\0\0\0\3abc") * 4 + NUMBERS + b"\0\0\0\3a"),
    "cut before a text": ("char", "*", (NUMBERS + b"\0\0\0\3abc") * 4 + NUMBERS + b"\0\0"),
    "long text": ("char", "*", (NUMBERS + b"\0\0\0\3abc") * 4 + NUMBERS + b"\x7fabc"),
    "many rows": ("char", "*", b"\0" * 28 * 10**6),
    "cut in bits": ("bit", "*", NUMBERS + b"\0\0\0\2\1\0" + NUMBERS + b"\0\0\0\2\1"),
    "many bits": ("bit", "*", NUMBERS + b"\xff\xff\xff\xff\1"),
    "few numbers": ("float", "9*", NUMBERS + b"\0\0\0\2" + b"\0" * 7),
    "many numbers": ("unsignedByte", "*", NUMBERS + b"\1\0\0\0" + b"\0" * (1 << 24)),
}


@hostile("table", variants=ROWS_OF_ARRAYS)
def votable_rows(place, variant):
    """Write rows with texts or arrays of any length, which end within a row or are very many."""
    kind, size, data = variant
    column = f'<FIELD name="NAME" datatype="{kind}" arraysize="{size}"/><DATA>'
    stream = f"<BINARY><STREAM>{base64.b64encode(data).decode()}</STREAM></BINARY>"
    return place.write("t.vot", VOTABLE.replace("<DATA>", column).format(**EMPTY | {"data": stream}))


@hostile(
    "table",
    variants={
        "text": ("BINARY", "char", "0"),
        "old text": ("BINARY", "string", "0"),
        "bits": ("BINARY", "bit", "0"),
        "flags": ("BINARY2", "char", "0"),
    },
)
def votable_of_nothing(place, variant):
    """Write rows of no bytes, of which any data hold endlessly many, or very many rows of one byte of flags."""
    coding, kind, size = variant
    nothing = f'<FIELD name="NAME" datatype="{kind}" arraysize="{size}"/>'
    data = f"<{coding}><STREAM>{'QUFB' * 2_000_000}</STREAM></{coding}>"
    table = f"<TABLE>{nothing}<DATA>{data}</DATA></TABLE>"
    return place.write(
        "t.vot",
        f'<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>{table}</RESOURCE></VOTABLE>',
    )


@hostile("table", variants=DATA)
def votable_data(place, data):
    secret = place.canary / "secret.txt"
    return place.write("t.vot", VOTABLE.format(**EMPTY | {"data": data.format(secret=secret)}))


LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)
)


@hostile(
    "table",
    "record",
    variants={
        "rows": {"table": 'nrows="100000000000"'},
        "negative rows": {"table": 'nrows="-5"'},
        "array": {"field": 'arraysize="1000000000"'},
        "arrays": {"field": 'arraysize="99999x99999x99999"'},
        "open array": {"field": 'arraysize="99999x*"'},
        "negative array": {"field": 'arraysize="-3"'},
        "reference": {"field": 'ref="RA" ID="RA"'},
        "itself": {"table": 'ID="T" ref="T"'},
        "unit": {"field": f'unit="{"(" * 2000}m{")" * 2000}"'},
        "width": {"field": 'width="999999999999" precision="999999999"'},
        "laughs": {"doctype": LAUGHS + "]>", "info": "<INFO name='step' value='x'>&j;</INFO>"},
        "entity": {
            "doctype": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>",
            "info": "<INFO name='a' value='b'>&a;</INFO>",
        },
        "attribute": {"doctype": LAUGHS + "]>", "info": "<INFO name='step' value='&j;'/>"},
        "too few rows": {"table": 'nrows="2"'},
        "unknown elements": {"info": "<x/>" * 90_000},
        "resources": {"before": "<RESOURCE>" * 3000, "after": "</RESOURCE>" * 3000},
        "groups": {"info": "<GROUP>" * 3000 + "</GROUP>" * 3000},
        "columns": {"info": "<TABLE>" + '<FIELD name="a" datatype="int"/>' * 50000 + "</TABLE>"},
        "history": {
            "info": "<INFO name='step' value='&#10;\u202e'/><INFO name='input' value='../../canary sha256 x'/>"
        },
        "escape": {"info": r"<INFO name='step' value='\x1b[2J\ud800\U0010ffff'/>"},
        "half escape": {"info": r"<INFO name='step' value='\x1'/>"},
        "parameters": {"info": f"<INFO name='step' value='a'/><INFO name='parameters' value='{'[' * 100000}'/>"},
        "inputs": {"info": "<INFO name='step' value='a'/><INFO name='input_sha256' value='[[1,2]]'/>"},
        "encoding": {"encoding": "utf-7"},
        "wide": {"encoding": "utf-16"},
        "unknown": {"encoding": "zlib_codec"},
    },
)
def votable(place, changes):
    return place.write("t.vot", VOTABLE.format(**EMPTY | changes))


@hostile(
    "table",
    variants={
        "elements": ("info", "{}", "<INFO/>", 12_000_000),
        "rows": ("data", "<TABLEDATA>{}</TABLEDATA>", "<TR/>", 12_000_000),
        "cells": ("data", "<TABLEDATA>{}</TABLEDATA>", "<TR><TD>133.0</TD><TD>1.0</TD><TD>0.3</TD></TR>", 4_000_000),
    },
)
def crowded_votable(place, variant):
    """Write a small element many times."""
    part, around, element, number = variant
    return place.write("t.vot", VOTABLE.format(**EMPTY | {part: around.format(element * number)}))

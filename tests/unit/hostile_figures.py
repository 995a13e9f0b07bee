"""Hostile figures with provenance: PNG and SVG files."""

import json
import struct
import zlib

from hostile_folders import filled
from hostile_inputs import DEEP, TEXTS, hostile
from hostile_originals import write_png
from hostile_votables import LAUGHS


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks, width=4, height=4):
    pixels = zlib.compress(b"\0" * (height * (1 + 3 * width)) if width * height < 1000 else b"\0" * 1000)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/PWNED) (w) file closefile showpage\n%%EOF\n"


@hostile(
    "record", "verify",
    variants={
        "postscript": lambda: EPS,
        "pixels": lambda: png(width=13_000, height=13_000),
        "more pixels": lambda: png(width=2**31 - 1, height=2**31 - 1),
        "text": lambda: png(chunk(b"zTXt", b"Description\0\0" + zlib.compress(b"[" * 10**8))),
        "texts": lambda: png(*[chunk(b"zTXt", b"k%d\0\0" % n + zlib.compress(b"x" * 10**6)) for n in range(100)]),
        "deep": lambda: png(chunk(b"tEXt", b"Description\0" + DEEP.encode())),
        "number": lambda: png(chunk(b"tEXt", b"Description\0" + b"9" * 100_000)),
        "list": lambda: png(chunk(b"tEXt", b"Description\0[1, 2]")),
        "international": lambda: png(chunk(b"iTXt", b"Description\0\1\0\0\0" + zlib.compress(b"{}" * 10**7))),
        "profile": lambda: png(chunk(b"iCCP", b"p\0\0" + zlib.compress(b"\0" * 10**8))),
        "chunks": lambda: png(*[chunk(b"teXt", b"")] * 100_000),
        "length": lambda: png()[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + b"x" * 100,
        "animation": lambda: png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        "gif": lambda: b"GIF89a" + b"\xff" * 100,
        "tiff": lambda: b"II*\0" + struct.pack("<I", 8) + b"\xff" * 1000,
        "bmp": lambda: b"BM" + b"\xff" * 100,
        "icns": lambda: b"icns" + b"\xff" * 100,
        "pdf": lambda: b"%PDF-1.4\n",
        "eps in fits": lambda: b"SIMPLE  =                    T" + b" " * 2850,
    },
)  # fmt: skip
def figure(place, content):
    path = filled(place) / "mine" / "figure.png"
    path.write_bytes(content())
    return path


@hostile("record", "trace", variants=TEXTS)
def figure_text(place, text):
    path = filled(place) / "mine" / "figure.png"
    write_png(
        path, json.dumps({"step": text, "source": text, "parameters": text, text: text, "input_sha256": {text: text}})
    )
    return path


@hostile(
    "record",
    variants={
        "long": lambda: b"/Subject (" + b"a" * 90_000_000 + b")",
        "open": lambda: b"/Subject (" + b"a" * 90_000_000,
        "escapes": lambda: b"/Subject (" + b"\\a" * 45_000_000 + b")",
        "starts": lambda: b"/Subject (" * 9_000_000,
        "deep": lambda: b"/Subject (" + DEEP.encode() + b")",
        "digits": lambda: b"/Subject (" + b"9" * 100_000 + b")",
    },
)
def document(place, content):
    path = filled(place) / "mine" / "figure.pdf"
    path.write_bytes(content())
    return path


SECRET = "../../../canary/secret.txt"
SVG = "<svg xmlns='http://www.w3.org/2000/svg'>{}</svg>"
DESCRIBED = "<dc:description xmlns:dc='http://purl.org/dc/elements/1.1/'>{}</dc:description>"


@hostile(
    "record", "verify",
    variants={
        "laughs": LAUGHS.replace("DOCTYPE x", "DOCTYPE svg") + "]>" + SVG.format(DESCRIBED.format("&j;")),
        "entity": f"<!DOCTYPE svg [<!ENTITY a SYSTEM '{SECRET}'>]>" + SVG.format(DESCRIBED.format("&a;")),
        "doctype": "<!DOCTYPE svg SYSTEM 'http://127.0.0.1:9/x.dtd'>" + SVG.format(""),
        "include": SVG.format(f"<i:include xmlns:i='http://www.w3.org/2001/XInclude' href='{SECRET}' parse='text'/>"),
        "deep": SVG.format("<g>" * 200_000 + "</g>" * 200_000),
        "deeper": SVG.format("<g>" * 300_000),
        "many": SVG.format("<g/>" * 500_000),
        "attributes": SVG.format("<g " + " ".join(f"a{n}='x'" for n in range(50_000)) + "/>"),
        "json": SVG.format(DESCRIBED.format(DEEP)),
        "number": SVG.format(DESCRIBED.format("9" * 100_000)),
        "name": SVG.format("<" + "a" * 1_000_000 + "/>"),
        "encoding": "<?xml version='1.0' encoding='utf-7'?>" + SVG.format(""),
        "defaults": "<!DOCTYPE svg [<!ATTLIST g "
        + " ".join(f'a{n} CDATA "1"' for n in range(5000))
        + ">]>"
        + SVG.format("<g/>" * 40_000),
        "namespace": SVG.format("<g xmlns:b='" + "u" * 1_000_000 + "'>" + "<b:INFO/>" * 20_000 + "</g>"),
        "long comment": SVG.format("<!--" + "a" * 15_000_000 + "-->"),
        "script": SVG.format("<script>alert(1)</script>" + DESCRIBED.format('{"step": "<script>"}')),
    },
)  # fmt: skip
def drawing(place, content):
    path = filled(place) / "mine" / "figure.svg"
    path.write_text(content)
    return path

"""Hostile headers of FITS files: endless or forged cards, and headers where no reader looks for one."""

from hostile_fits import BLOCK, PRIMARY, card, changed, header, padded
from hostile_inputs import hostile


@hostile(
    "table", "events", "record",
    variants={
        "cards": lambda: ([f"K{n:07d}= 1".ljust(80) for n in range(200_000)],),
        "comments": lambda: (["COMMENT " + "x" * 72] * 100_000,),
        "continued": lambda: (["A       = 'x&'".ljust(80), *["CONTINUE  'x&'".ljust(80)] * 50_000],),
        "history": lambda: (["HISTORY step = x".ljust(80), *[("HISTORY input = " + "../" * 20).ljust(80)] * 20_000],),
        "hierarch": lambda: ([("HIERARCH " + "A " * 30 + "= 1").ljust(80)] * 5_000,),
        "hierarch sizes": lambda: ([f"HIERARCH {key} = {10**12}".ljust(80) for key in ("NAXIS2", "pcount")],),
        "hierarch form": lambda: (["HIERARCH TFORM1 = '999999999D'".ljust(80)],),
        "same": lambda: (["TTYPE1  = 'RA      '".ljust(80)] * 5_000,),
        "escape": lambda: (["A       = '\x1b[2J'".ljust(80), "\x1b[2J\x07".ljust(80)],),
        "high": lambda: (["A       = '\xff\x9b'".ljust(80)],),
        "number": lambda: (["A       = ".ljust(79, "9") + " "],),
        "no end": lambda: (["COMMENT no end".ljust(80)] * 36 * 300, True),
    },
)  # fmt: skip
def fits_header(place, make):
    cards, *endless = make()
    content = changed(place.harmless / "events.fits", 1, {}, cards)
    return place.write("t.fits", content.replace(b"END     ", b"COMMENT ") if endless else content)


#: places of a further header where no reader, or only some, look for one: functions of a file and the file's table
SECOND = {
    "after zeros": lambda whole, table: whole + b"\0" * BLOCK + table,
    "after blanks": lambda whole, table: whole + b" " * BLOCK + table,
    "after text": lambda whole, table: whole + padded(b"x") + table,
    "primary": lambda whole, table: whole + whole,
    "same table": lambda whole, table: whole + table,
    "in the data": lambda whole, table: whole.replace(table, table[:BLOCK] + table),
    "before the first": lambda whole, table: table + whole,
}


def second_header(place, name, make):
    whole = (place.harmless / name).read_bytes()
    return place.write("t.fits", make(whole, whole[whole.index(b"XTENSION") :]))


@hostile("catalogue", variants=SECOND)
def second_table_header(place, make):
    return second_header(place, "clusters.fits", make)


@hostile("events", variants=SECOND)
def second_event_header(place, make):
    return second_header(place, "events.fits", make)


@hostile("table", "events", "exposure")
def many_hdus(place, _):
    one = header([card("XTENSION", "'IMAGE   '"), ("BITPIX", 8), ("NAXIS", 0), ("PCOUNT", 0), ("GCOUNT", 1)])
    return place.write("t.fits", PRIMARY + one * 8000)


@hostile("catalogue")
def serialized_comments(place, _):
    """Astropy's YAML in comments of a table."""
    texts = ["--BEGIN-ASTROPY-SERIALIZED-COLUMNS--", "datatype:", "- {name: RA, datatype: float64}"]
    tag = place.rng.choice(
        [
            "!!python/object/apply:os.getpid []",
            "!numpy.ndarray {buffer: !!binary QQ==, dtype: u1, offset: -99999999999, shape: [3]}",
        ]
    )
    texts += [
        "meta: !!omap",
        *(f"- a: {tag}"[start : start + 70] for start in (0,)),
        "--END-ASTROPY-SERIALIZED-COLUMNS--",
    ]
    cards = [("COMMENT " + text[:72]).ljust(80) for text in texts]
    return place.write("t.fits", changed(place.harmless / "clusters.fits", 1, {}, cards))

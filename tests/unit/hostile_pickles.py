"""Hostile pickles in the place of the published images."""

import pickle
import struct

import numpy as np
from hostile_inputs import TEXTS, hostile


def pickled(*parts):
    return b"\x80\x04" + b"".join(parts) + b"."


def shared(number, ends=b"\x86"):
    """Return a pickle's operations that make 2^number references to one object."""
    return b")" + (b"2" + ends) * number


LISTS = b"]" + b"".join(b"\x94]h" + bytes([n]) + b"ah" + bytes([n]) + b"a" for n in range(40))


def colliding(number):
    """Return the operations that push a key whose hash is 0, and None."""
    return b"\x8a\x10" + ((2**61 - 1) * number).to_bytes(16, "little") + b"N"


KEYS = b"\x8c\x07cluster", b"\x8c\x0agsm_3dImgs"


@hostile(
    "published_images",
    variants={
        "tuples": pickled(shared(60), b"\x94"),
        "tuples in keys": pickled(b"}", shared(60), b"K\x01s"),
        "lists": pickled(LISTS),
        "lists as ids": pickled(b"}", KEYS[0], LISTS, b"s", KEYS[1], b"]s"),
        "lists in ids": pickled(b"}", KEYS[0], b"](", LISTS, b"e", b"s", KEYS[1], b"]K\x01as"),
        "itself": pickled(b"]\x94h\x00a"),
        "itself as ids": pickled(b"}", KEYS[0], b"]\x94h\x00as", KEYS[1], b"]s"),
        "dictionary of itself": pickled(b"}\x94", KEYS[0], b"h\x00s"),
        "keys": pickled(b"}(", b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(100_000)), b"u"),
        "colliding keys": pickled(b"}(", b"".join(map(colliding, range(1, 20_000))), b"u"),
        "deep": pickled(b"(" * 100_000),
        "deep lists": pickled(b"]" * 100_000 + b"a" * 99_999),
        "text": pickled(b"\x8d" + struct.pack("<Q", 2**62)),
        "bytes": pickled(b"\x8e" + struct.pack("<Q", 2**62)),
        "array of bytes": pickled(b"\x96" + struct.pack("<Q", 2**40)),
        "long": pickled(b"\x8b" + struct.pack("<i", 2**31 - 1)),
        "negative long": pickled(b"\x8b" + struct.pack("<i", -5)),
        "digits": b"L" + b"9" * 1_000_000 + b"L\n.",
        "memo": pickled(b"Nr" + struct.pack("<I", 2**32 - 1)),
        "frame": pickled(b"\x95" + struct.pack("<Q", 2**63)),
        "code": pickle.dumps(print),
        "call": b"cos\nsystem\n(S'touch PWNED'\ntR.",
        "getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\nS'x'\ntR.",
        "marks": pickled(b"(" * 50_000 + b"t" * 50_000),
        "stop": b".",
        "protocol": b"\x80\xff.",
        "escape": pickled(b"}\x8c\x04\x1b[2JN", b"s"),
        "pops": pickled(b"0" * 100_000),
        "appends": pickled(b"](" + b"N" * 3_000_000 + b"e"),
    },
)  # fmt: skip
def pickles(place, content):
    return place.write("images.pickle", content)


@hostile("published_images", variants=("shape", "type", "text", "zero", "many", "object", "record", "scalars", "ids"))
def pickled_arrays(place, variant):
    images = [np.ones((50, 50, 10), np.float32)] * 3
    ids = [1, 2, 3]
    if variant == "ids":
        ids = [TEXTS[0], TEXTS[5], TEXTS[7]]
    elif variant == "scalars":
        ids = [np.str_("x" * 1000)] * 3000
    else:
        images = {
            "shape": [np.ones((0, 2**40), np.float32)] * 3,
            "type": [np.ones((50, 50, 10), np.longdouble)] * 3,
            "text": [np.full((50, 50, 10), "\x1b[2J")] * 3,
            "zero": [np.zeros((50, 50, 10))] * 3,
            "many": [np.zeros(0)] * 100_000,
            "object": [np.array([None])] * 3,
            "record": [np.zeros(3, [("a", "f8")])] * 3,
        }[variant]
    return place.write("images.pickle", pickle.dumps({"cluster": ids, "gsm_3dImgs": images}, protocol=4))


@hostile("published_images")
def encoded_again(place, _):
    """Encode one text of 4,000 characters 900,000 times, as pickles of Python 2 do with the content of arrays."""
    encode, text = b"\x8c\x07_codecs\x8c\x06encode\x93\x94", b"X" + struct.pack("<I", 4000) + b"a" * 4000
    again = b"h\x01h\x02R" * 900_000
    return place.write("x.pkl", pickled(b"]\x94(", encode, b"0", text, b"\x8c\x06latin1\x86\x94", b"0", again, b"e"))

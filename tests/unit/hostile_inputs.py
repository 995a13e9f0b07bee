"""Hostile files: how their kinds are registered and drawn, and the harmless files that they are made from.

A mutation makes a valid container with hostile content. The modules hostile_*.py register them. A campaign draws cases
from a seed: the mutations come in an order that the seed tells, and each gets random numbers of its own.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CASES = int(os.environ.get("CLUSTERMASS_HOSTILE_CASES", "150"))
SEED = int(os.environ.get("CLUSTERMASS_FUZZ_SEED", "0"))
#: text of files that no hostile file may lead to
SECRET = "THE-SECRET-OF-ANOTHER-FILE"
#: names and texts that hurt a terminal, a shell, a page or a log, or that lead out of a folder
TEXTS = (
    *("\x1b[2J\x1b[1;1HAll hashes are right", "a'; touch PWNED; '", '"$(touch PWNED)"', "`touch PWNED`", "-rf"),
    *("../../canary/secret.txt", "a\nERROR forged", "a\u2028b", "\u202egnp.exe", "\ud800", "%s%n{0}", "[/red]"),
    *(
        "<script>alert(1)</script>",
        "x" * 300,
        "\x9b31m",
        "nul\0nul",
        "~root",
        "*",
        "\r\x07\x7f",
        "../" * 40 + "etc/passwd",
    ),
)
DEEP = "[" * 100_000
#: texts in JSON in the place of numbers, texts and blocks
VALUES = {
    "deep": DEEP + "]" * 100_000,
    "unclosed": DEEP,
    "digits": "9" * 100_000,
    "exponent": "1e400",
    "nan": "NaN",
    "infinity": "-Infinity",
    "huge": "1" + "0" * 300,
    "negative": "-1",
    "zero": "0",
    "true": "true",
    "null": "null",
    "list": "[[1, 2]]",
    "block": '{"a": {"a": {"a": 1}}}',
    "text": '"x"',
    "surrogate": '"\\ud800"',
    "escape": '"\\u001b[2J\\u202e"',
    "empty": '""',
    "path": '"../../canary/secret.txt"',
    "many": "[" + "0," * 20_000 + "0]",
}


class Mutation(NamedTuple):
    """A way to make a hostile file: what reads it, and a function of the place, the numbers and the variant."""

    reader: str
    name: str
    make: Any
    variant: Any
    #: name of the harmless file that the hostile one may be read like; None = any result that isn't a fault is right
    like: str | None


class Case(NamedTuple):
    """A mutation and the seed of its random numbers."""

    number: int
    mutation: Mutation

    def make(self, folder: Path, harmless: Path) -> Path:
        """Make the hostile file in the folder of the case and return its path."""
        rng = np.random.default_rng([SEED, self.number])
        return self.mutation.make(Place(folder, harmless, rng), self.mutation.variant)

    def __str__(self) -> str:
        return f"{self.number}-{self.mutation.reader}-{self.mutation.name}"


class Place(NamedTuple):
    """Where a mutation makes its file: the folder of the case, the folder of harmless files, and random numbers."""

    folder: Path
    harmless: Path
    rng: np.random.Generator

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    def text(self) -> str:
        return str(self.rng.choice(TEXTS))

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path


MUTATIONS: list[Mutation] = []


def hostile(*readers, variants=(None,), like=None):
    """Register the decorated function as a mutation for each reader and variant.

    Variants are a dictionary or a sequence. The function gets a `Place` and a variant, and returns the path to read.
    """

    def register(make):
        named = variants.items() if isinstance(variants, dict) else [(str(one), one) for one in variants]
        for reader in readers:
            for label, variant in named:
                name = make.__name__ + ("" if variant is None else f"[{label}]"[:50])
                MUTATIONS.append(Mutation(reader, name, make, variant, like))
        return make

    return register


def drawn(cases: int = CASES, seed: int = SEED) -> list[Case]:
    """Return the cases of a campaign; each mutation comes once before any comes twice."""
    rng = np.random.default_rng(seed)
    order: list[int] = []
    while len(order) < cases:
        order += rng.permutation(len(MUTATIONS)).tolist()
    return [Case(number, MUTATIONS[place]) for number, place in enumerate(order[:cases])]


def places(content, path=()):
    """Yield the path of each value in nested blocks and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def with_value(content, where, text):
    """Return JSON in which the value at a path is replaced by a text, which need not be JSON."""
    copied = json.loads(json.dumps(content))
    block = copied
    for key in where[:-1]:
        block = block[key]
    block[where[-1]] = "@@HERE@@"
    return json.dumps(copied).replace('"@@HERE@@"', text)


def mutated(place, content, text):
    known = list(places(content))
    return with_value(content, known[place.rng.integers(len(known))], text)

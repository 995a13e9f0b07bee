"""Regions for DS9: one for each cluster, in the colour of its flag."""

import re

import pytest
from apply_inputs import observed_field, read  # noqa: F401, the fixture `field`

CIRCLE = re.compile(r'circle\((\S+),(\S+),(\S+)"\) # color=(\w+) text=\{(.*?)\}((?: tag=\{\w+\})+)')
CROSS = re.compile(r"point\((\S+),(\S+)\) # point=cross color=white text=\{(.*?)\} tag=\{NO_MASS\}")


def test_each_cluster_has_a_region_in_the_colour_of_its_flag(field):
    folder = field[0]
    rows = read(folder, acronym="a}{b", simulated=False)
    head, _, setting, frame, *regions = (folder / "masses.reg").read_text().splitlines()
    assert (head, setting, frame) == ("# Region file format: DS9 version 4.1", "global color=green width=1", "icrs")
    assert len(regions) == 5
    found = {}
    for row, text in zip(rows.values(), regions, strict=True):
        number, name = int(row["ID_SRC"]), row["NAME"].replace("}", ")").replace("{", "(")
        if number == 11:
            ra, dec, named = CROSS.fullmatch(text).groups()
        else:
            ra, dec, radius, colour, named, tags = CIRCLE.fullmatch(text).groups()
            assert float(radius) == pytest.approx(60 * row["R500C_ARCMIN"], abs=0.01)
            found[number] = colour, re.findall(r"\{(\w+)\}", tags)
        assert (float(ra), float(dec)) == pytest.approx((row["RA"], row["DEC"]), abs=1e-6)
        assert named == name
    assert found == {
        7: ("green", ["GOOD"]),
        3: ("red", ["FLAG_OOD", "FLAG_RANGE"]),
        20: ("magenta", ["FLAG_RANGE", "FLAG_NOCAT"]),
        5: ("magenta", ["FLAG_RANGE", "FLAG_EDGE"]),
    }

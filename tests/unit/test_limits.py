"""docs/reference/limits.md has a line with number and words for each limit; each limit is used."""

import re
from pathlib import Path

import pytest

from clustermass import limits
from clustermass.errors import InputError

ROOT = Path(__file__).parents[2]
LIMITS = {name: value for name, value in vars(limits).items() if isinstance(value, limits.Limit)}


def test_the_page_states_every_limit_and_no_other():
    page = (ROOT / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([\d,]+) \| (.*?) \| .+ \|$", page, re.MULTILINE)
    assert sorted(listed) == sorted((f"{one.most:,}", one.what) for one in LIMITS.values())


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_checked_somewhere(name):
    modules = (ROOT / "src" / "clustermass").rglob("*.py")
    assert any(f"limits.{name}." in path.read_text(encoding="utf-8") for path in modules)


def test_a_limit_is_the_largest_number_that_is_accepted():
    limits.HDUS.check(limits.HDUS.most, "a.fits")
    with pytest.raises(InputError, match=r"a\.fits: more than 1000 HDUs in a FITS file"):
        limits.HDUS.check(limits.HDUS.most + 1, "a.fits")

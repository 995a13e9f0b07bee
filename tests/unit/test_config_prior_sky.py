"""The sky `prior` of the default configuration: possible, centred on the default sky, and as its page says."""

import re

import pytest
from config_inputs import ROOT, whole_config  # noqa: F401, the fixture `config`

from clustermass.config.resolve import default_config, load_config, resolve_sky
from clustermass.config.sky_keys import number_at
from clustermass.config.validate import config_errors
from clustermass.simulate.prior import moments

SKIES = default_config()["skies"]
PRIOR = SKIES["prior"]["prior"]
PAGE = (ROOT / "docs" / "explanation" / "prior.md").read_text(encoding="utf-8")
KINDS = {"N": "normal", "U": "uniform", "LU": "log_uniform"}


def _rows(part):
    """Yield key and distribution (None for a fixed value) of each row of the tables in a part of the page."""
    for key, rest in re.findall(r"^\| `([\w.\[\]]+)` \|(.+)$", part, re.MULTILINE):
        found = re.search(r"\| (N|U|LU)\(([^,]+), ([^)]+)\)", rest)
        yield key, {KINDS[found[1]]: [float(text.replace("−", "-")) for text in found.groups()[1:]]} if found else None


def _section(title):
    return re.search(rf"^## {title}$(.+?)^## ", PAGE, re.DOTALL | re.MULTILINE)[1]


def test_the_sky_is_possible_in_an_experiment_and_so_is_the_configuration_on_the_page(config, tmp_path):
    config["experiments"]["fiducial"]["sky"] = "prior"
    assert config_errors(config) == []
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "small.yaml").write_text(block, encoding="utf-8")
    assert config_errors(load_config([ROOT / "config" / "config.yaml", tmp_path / "small.yaml"])) == []


def test_the_parameters_are_those_of_the_tables():
    tables = re.findall(r"These keys are in `([\w.]+)`(.+?)^## ", PAGE, re.DOTALL | re.MULTILINE)
    rows = {f"{block}.{key}": one for block, table in tables for key, one in _rows(table)}
    assert {key: one for key, one in rows.items() if one} == PRIOR["parameters"]
    assert [key for key, one in rows.items() if not one] == [
        "clusters.bias_scatter_core_slope",
        "clusters.shape_radius_scatter",
    ]


def test_errors_and_conditions_are_those_of_the_tables():
    assert dict(_rows(_section("Errors of measurements"))) == {
        key: {"normal": [0.0, width]} for key, width in PRIOR["errors"].items()
    }
    assert dict(_rows(_section("Conditions"))) == PRIOR["conditions"]


@pytest.mark.parametrize("key", PRIOR["parameters"])
def test_the_default_sky_is_in_the_middle_of_the_prior(key):
    mean, sd, _ = moments(PRIOR["parameters"][key])
    default = 0.0 if key.endswith("temperature_shift") else number_at(SKIES["embedded"], key)
    assert abs(default - mean) < 0.1 * sd
    assert number_at(resolve_sky(SKIES, "prior"), key) == default

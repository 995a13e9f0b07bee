"""Configurations of the systems of Ntampaka et al. (2019) and Ho et al. (2023)."""

import pytest
from config_inputs import ROOT

from clustermass.config.resolve import load_config, resolvable_skies
from clustermass.config.sky_checks import experiments_of
from clustermass.config.validate import config_errors
from clustermass.network.predict import number_of_parameters


def configuration(*endings):
    return load_config([ROOT / "config" / name for name in ("config.yaml", *(f"peers{one}.yaml" for one in endings))])


@pytest.mark.parametrize(
    "endings", [("",), ("", "_laptop"), ("", "_mass_folds"), ("", "_laptop", "_mass_folds"), ("_default",)]
)
def test_configurations_are_valid_and_name_both_papers(endings):
    config = configuration(*endings)
    assert config_errors(config) == []
    assert {"ntampaka2019", "ho2023_single", "ho2023_multi"} <= {*config["experiments"]}


@pytest.mark.parametrize(
    ("name", "bands", "number"),
    [
        ("ntampaka2019", 1, 58437),
        ("ho2023_no_redshift", 1, 363629),
        ("ho2023_single", 1, 363629 + 128),  # one side input more in the first dense layer
        ("ho2023_multi", 3, 364829 + 128),
    ],
)
def test_networks_have_the_papers_numbers_of_parameters(name, bands, number):
    config = configuration("")
    experiment = experiments_of(config)[name]
    network = config["network"][experiment["network"]]
    recipe = config["preprocessing"][experiment["preprocessing"]]
    assert recipe["bands"] == bands
    assert 2 * recipe["half_width_arcsec"] / recipe["pixel_arcsec"] == pytest.approx(128)
    assert number_of_parameters(network, (128, 128, bands), 1) == number


def test_numbers_of_clusters_are_the_papers():
    skies = resolvable_skies(configuration("")["skies"])
    number = {
        name: skies[name]["realizations"] * skies[name]["population"]["number"]
        for name in skies
        if "population" in skies[name]
    }
    assert (number["nearby_329"], number["nearby_3290"], number["ho_like"]) == (329, 3290, 3300)


def test_gas_is_that_of_the_sky_magneticum_like():
    skies = configuration("")["skies"]
    assert skies["ho_like"]["clusters"] == skies["nearby_329"]["clusters"] == skies["magneticum_like"]["clusters"]

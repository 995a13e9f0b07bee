"""A sky of the configuration is whole, possible and of a kind that its use allows, or its faults are reported."""

import re

import pytest
from config_inputs import ROOT, put, whole_config  # noqa: F401, the fixture `config`

from clustermass.config.resolve import load_config, realization_names
from clustermass.config.validate import config_errors


@pytest.mark.parametrize("page", ["how-to/sixte.md", "how-to/your-data.md", "how-to/population.md"])
def test_configurations_on_the_pages_of_the_docs_are_right(page, tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        assert config_errors(load_config([ROOT / "config" / "config.yaml", path])) == [], block


def test_a_sky_must_be_complete_once_like_is_filled_in_and_may_set_single_keys_of_a_block(config):
    config["skies"]["part"] = {
        "like": "embedded",
        "agn": {"photon_index": 2.0},
        "background": {"shares": {"particle": 1}},
    }
    assert config_errors(config) == []
    del config["skies"]["embedded"]["psf"], config["skies"]["embedded"]["agn"]["photon_index"]
    lines = config_errors(config)
    assert [line.split(";")[0] for line in lines] == [
        "skies.embedded lacks psf",
        "skies.embedded.agn lacks photon_index",
    ]


def test_an_empty_embedded_sky_names_all_that_it_lacks_and_a_block_without_a_source_too(config):
    config["skies"]["bare"] = {"source": "embedded", "realizations": 2, "agn": {}}
    config["experiments"]["bare"] = {"sky": "bare"}
    lines = config_errors(config)
    assert len(lines) == 2
    blocks = "exposure, absorption, telescope, psf, clusters, richness, background, redshifts, detection, matching"
    assert f"skies.bare lacks seed, field, {blocks};" in lines[0]
    lacking = (
        "flux_min_cgs, flux_max_cgs, photon_index, normalisation_per_deg2, clustered_fraction, clustered_evolution, "
        "clustered_r500, central"
    )
    assert f"skies.bare.agn lacks {lacking};" in lines[1]


def test_confirmation_needs_haloes_with_a_richness(config):
    config["skies"]["embedded"]["richness"]["truth_min"] = None
    [line] = config_errors(config)
    assert line.startswith("skies.embedded.matching.rule is confirmed, but richness.truth_min is null")
    config["skies"]["embedded"]["matching"]["rule"] = "photons"
    assert config_errors(config) == []


def test_a_population_needs_room_in_the_field_for_its_clusters_and_in_its_patches_for_the_images(config):
    config["experiments"]["fiducial"]["test_skies"] = ["uniform_population"]
    population = config["skies"]["uniform_population"]["population"]
    assert config_errors(config) == []
    population |= {"number": 547, "redshift_max": 1.6, "log10_m500c_max": 13.0}
    lines = config_errors(config)
    assert [line.removeprefix("skies.uniform_population.population.").split(",")[0] for line in lines] == [
        "log10_m500c_min is 13.65",
        "redshift_max is 1.6",
        "number is 547",
    ]
    assert "room for 546 patches of 30 arcmin" in lines[2]
    population |= {"number": 3, "redshift_max": 0.5, "log10_m500c_max": 15.0, "patch_arcmin": 28.0}
    (line,) = config_errors(config)
    assert "population.patch_arcmin is 28.0, but must be at least 29" in line
    population |= {"patch_arcmin": 30.0, "neighbours": False}
    config["skies"]["uniform_population"]["agn"] = {"clustered_fraction": 0.1}
    (line,) = config_errors(config)
    assert line.startswith("skies.uniform_population.agn.clustered_fraction must be 0")
    del population["neighbours"]
    assert any(line.startswith("skies.uniform_population.population lacks neig") for line in config_errors(config))


def test_a_simulated_sky_of_files_needs_truth_and_names_that_are_folders(config):
    files = {"events": ["a.fits"], "catalogue": "b.csv"}
    config["experiments"]["fiducial"]["test_skies"] = ["mine"]
    config["skies"]["mine"] = {"source": "files", "realizations": {"01": files, "02": {**files, "truth": "t.fits"}}}
    assert [line.split(";")[0] for line in config_errors(config)] == ["skies.mine.realizations.01.truth is missing"]
    config["experiments"]["fiducial"]["test_skies"] = []
    config["skies"]["mine"] |= {"observed": True, "realizations": {"em01_123045": files, "7": files, "a-b": files}}
    assert config_errors(config) == []
    config["skies"]["mine"]["realizations"] = {"first/one": files}
    [line] = config_errors(config)
    assert line.startswith("skies.mine.realizations: the name 'first/one' must begin with a letter or digit and hold")


def test_a_sky_has_any_number_of_realizations(config):
    config["skies"]["embedded"]["realizations"] = 1000
    assert config_errors(config) == []
    names = realization_names(config["skies"]["embedded"])
    assert (names[0], names[98], names[99], names[-1]) == ("01", "99", "100", "1000")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("exposure.depth_s", -5.0),
        ("exposure.depth_s", 0),
        ("exposure.scans", 0),
        ("field.width_deg", 0.0),
        ("clusters.temperature_scatter_dex", -0.1),
        ("clusters.extra_luminosity_scatter_dex", -0.2),
        ("clusters.luminosity_temperature_correlation", 1.5),
        ("clusters.hydrostatic_bias", 0),
        ("clusters.hydrostatic_bias_scatter", -0.1),
        ("clusters.relations.scatter", 0.0),
        ("telescope.pi_max_ev", 500.0),
        ("clusters.relations.correlation", 1.01),
        ("agn.clustered_fraction", 1.2),
        ("agn.central.fraction", -0.1),
        ("background.rate_per_arcmin2_ks", -1),
        ("psf.core_arcsec", 0.0),
        ("cosmology.omega_m", -0.3),
    ],
)
def test_unphysical_knobs_of_a_sky_are_refused_by_name(config, path, value):
    config["skies"]["variant"] = {"like": "embedded"}
    put(config, ["skies", "variant", *path.split(".")], value)
    lines = config_errors(config)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"skies.variant.{path} is {value}")


def test_components_of_the_gas_are_four_and_luminosities_have_a_range(config):
    config["skies"]["variant"] = {"like": "embedded", "clusters": {"component_scale": [1.0, 1.0, 1.0]}}
    [line] = config_errors(config)
    assert line.startswith("skies.variant.clusters.component_scale has 3 entries, but needs at least 4")
    limits = {"log10_luminosity_min": 44.0, "log10_luminosity_max": 43.0}
    config["skies"]["embedded"]["agn"]["central"] |= limits
    del config["skies"]["variant"]
    [line] = config_errors(config)
    assert line.startswith("skies.embedded.agn.central.log10_luminosity_min is 44.0, but must be below")


def test_image_bands_end_where_the_simulated_events_end(config):
    config["images"]["bands"] = [500, 2000, 7000]
    config["experiments"] = {"fiducial": config["experiments"]["fiducial"]}
    config["observed"]["fields"] = []
    [line] = config_errors(config)
    end = "has no events above 2350 eV, but images.bands ends at 7000 eV"
    assert line.startswith(f"experiments.fiducial uses sky 'embedded', which {end};")
    config["skies"]["embedded"]["telescope"] = {"pi_max_ev": 7000.0}
    assert not config_errors(config)


def test_a_sky_that_resembles_an_unknown_variant_is_refused_with_the_nearest_name(config):
    config["skies"]["mine"] = {"like": "double_backgroud"}
    lines = config_errors(config)
    assert len(lines) == 1
    assert "Did you mean double_background?" in lines[0]


@pytest.mark.parametrize(
    ("name", "problem"), [("embeded", "which is no sky. Did you mean embedded"), ("mock_efeds", "must be")]
)
def test_only_a_simulated_sky_with_truth_can_be_validated(config, name, problem):
    config["validation"]["sky"] = name
    (line,) = config_errors(config)
    assert line.startswith(f"validation.sky is {name!r}")
    assert problem in line


def published(config, **changes):
    sky = {"source": "published", "images": "a.pickle", "catalogue": "a.fits", "realizations": 18}
    config["skies"]["theirs"] = sky | {"mass_unit": "Msun", "pairing": "ids"} | changes
    config["experiments"]["theirs"] = {"sky": "theirs", "preprocessing": "krippendorf2023"}
    return config


def test_the_published_set_needs_its_files_and_a_recipe_that_does_to_images_what_was_done_to_them(config):
    assert config_errors(published(config)) == []
    config["experiments"]["further"] = {"test_skies": ["theirs"]}
    config["experiments"]["theirs"]["preprocessing"] = "central"
    lines = config_errors(config)
    assert all("but the images of sky 'theirs' come with" in line for line in lines)
    for name in ("theirs", "further"):
        keys = [line.split(" with ")[1].split()[0] for line in lines if line.startswith(f"experiments.{name}.")]
        assert keys == ["half_width_arcsec", "smoothing"]


def test_the_published_set_has_bands_of_its_own_and_masses(config):
    config["images"]["bands"]["number"] = 9
    (line,) = config_errors(published(config))
    assert line.startswith("experiments.theirs uses sky 'theirs', whose images have the bands")
    config["images"]["bands"]["number"] = 10
    for changes, expected in (
        ({"observed": True}, "observed is true, but the published training set has known masses"),
        ({"mass_unit": "kg"}, "skies.theirs.mass_unit is 'kg', but must be one of: Msun, Msun/h."),
        ({"realizations": {"01": {"events": ["a"], "catalogue": "b"}}}, "since source is 'published'"),
    ):
        assert any(expected in line for line in config_errors(published(config, **changes))), expected
    config = published(config)
    del config["skies"]["theirs"]["catalogue"]
    assert any("skies.theirs.catalogue is missing; add it" in line for line in config_errors(config))


def test_published_masses_are_of_a_real_field(config):
    table = {"file": "chiu.fits", "kind": "chiu2023"}
    config["skies"]["mine"] = {
        "source": "files", "observed": True, "realizations": {"01": {"events": ["e.fits"], "catalogue": "c.csv"}}
    }  # fmt: skip
    config["observed"]["published"] = {"mine": dict(table)}
    assert config_errors(config) == []
    wrong = {"mock_efeds": dict(table), "mein": dict(table)}
    wrong["mine"] = table | {"log10_m500c_min": 15.0, "log10_m500c_max": 13.0}
    config["observed"]["published"] = wrong
    lines = config_errors(config)
    assert len(lines) == 3
    assert "observed.published.mock_efeds is of a simulated sky" in lines[0]
    assert lines[1].startswith("observed.published.mein is of no sky that is defined. Did you mean mine?")
    assert lines[2].startswith("observed.published.mine.log10_m500c_min is 15.0, but must be below")
    config["observed"]["published"] = {"mine": {"file": "chiu.fits", "kind": "chiu"}}
    (line,) = config_errors(config)
    assert "must be one of: chiu2022, chiu2023, bulbul2024, table" in line


def test_a_prior_may_name_numbers_of_the_sky_and_places_in_its_lists(config):
    config["experiments"]["fiducial"]["sky"] = "varied"
    config["skies"]["varied"] = {
        "like": "embedded",
        "prior": {
            "realizations_per_universe": 2,
            "parameters": {
                "clusters.component_mean[0]": {"normal": [0.5, 0.3]},
                "clusters.relations.slope": {"uniform": [1.0, 2.0]},
            },
            "errors": {"exposure.depth_s": 0.03},
            "conditions": {"exposure.depth_s": {"log_uniform": [80.0, 4000.0]}},
            "area_factor": [0.5, 4.0],
        },
    }
    assert config_errors(config) == []


@pytest.mark.parametrize(
    ("block", "key", "value", "message"),
    [
        ("parameters", "clusters.relations.slop", {"normal": [1.5, 0.1]}, "is no number of this sky"),
        ("parameters", "clusters.relations.temperature_shift", {"normal": [0, 0.1]}, "is no number of this sky"),
        ("parameters", "clusters.component_mean", {"normal": [1.5, 0.1]}, "is no number of this sky"),
        ("parameters", "clusters.component_mean[4]", {"normal": [1.5, 0.1]}, "is no number of this sky"),
        ("parameters", "clusters.scaling", {"normal": [1.5, 0.1]}, "is no number of this sky"),
        ("parameters", "clusters.relations.slope", {}, "has nothing, but needs exactly one of"),
        ("parameters", "clusters.relations.slope", {"normal": [1, 1], "uniform": [0, 1]}, "has normal, uniform, but"),
        ("parameters", "clusters.relations.slope", {"normal": [1.5, 0.0]}, "must have one above 0"),
        ("parameters", "clusters.relations.slope", {"uniform": [2.0, 1.0]}, "first end must be below the second"),
        ("parameters", "agn.clustered_fraction", {"log_uniform": [0.01, 0.1]}, "log_uniform"),
        ("conditions", "absorption.nh_cm2", {"log_uniform": [0.0, 0.1]}, "both ends must be above 0"),
        ("parameters", "agn.clustered_fraction", {"normal": [0.03, 0.01]}, "can be -0.02, which agn"),
        ("parameters", "clusters.component_mean[0]", {"uniform": [0, 6.0]}, "can be 6, which clusters"),
        ("parameters", "exposure.scans", {"uniform": [1.0, 5.0]}, "can be 2.528, which exposure.scans can't be"),
        ("parameters", "field.width_deg", {"uniform": [1.0, 5.0]}, "can't differ between realizations"),
        ("conditions", "psf.core_arcsec", {"uniform": [6.0, 8.0]}, "can't differ between realizations"),
        ("parameters", "exposure.depth_s", {"uniform": [100, 200]}, "is also among the errors or conditions"),
        ("parameters", "seed", {"uniform": [100, 200]}, "must be the key of a number in a sky, such as"),
        ("conditions", "absorption.nh", {"uniform": [1, 2]}, "is no number of this sky"),
        ("errors", "agn.clustered_evolution", 0.1, "a logarithm needs a number above 0"),
        ("errors", "absorption.nh", 0.1, "is no number of this sky"),
        ("errors", "absorption.nh_cm2", 0, "must be more than 0"),
    ],
)
def test_a_wrong_prior_is_reported_with_its_key(config, block, key, value, message):
    prior = {"realizations_per_universe": 2, "parameters": {}, "errors": {}}
    prior["conditions"] = {"exposure.depth_s": {"log_uniform": [80.0, 4000.0]}}
    prior[block] = prior[block] | {key: value}
    config["skies"]["embedded"]["prior"] = prior
    [line] = config_errors(config)
    assert line.startswith(f"skies.embedded.prior.{block}")
    assert key in line
    assert message in line


def test_a_prior_needs_its_keys_ascending_limits_and_a_sky_without_a_population(config):
    config["skies"]["embedded"]["prior"] = {"area_factor": [2.0, 1.0]}
    lines = config_errors(config)
    assert sorted(line.split(";")[0] for line in lines) == [
        "skies.embedded.prior lacks realizations_per_universe, parameters",
        "skies.embedded.prior.area_factor is [2.0, 1.0], but the first limit must not be above the second.",
    ]
    config["skies"]["embedded"]["prior"] = {"realizations_per_universe": 2, "parameters": {}}
    assert config_errors(config) == []
    config["experiments"]["fiducial"]["test_skies"] = ["uniform_population"]
    [line] = config_errors(config)
    assert line.startswith("skies.uniform_population.prior can't be used in a sky with a population")

"""Everything is checked before anything runs: checks across keys, and that no error hides another."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.config import config_errors, load_config
from clustermass.errors import InputError
from clustermass.images.cubes import ImageGeometry
from clustermass.images.preprocessing import _Grid
from clustermass.networks.losses import LOSSES
from clustermass.weighting import WEIGHTINGS

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def config():
    return load_config([ROOT / "config" / "config.yaml"])


def numeric_leaves(block, path=()):
    items = block.items() if isinstance(block, dict) else enumerate(block)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from numeric_leaves(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)


def put(config, path, value):
    """Set a dotted path, a list's entries by number."""
    *way, last = path.split(".") if isinstance(path, str) else path
    for key in way:
        config = config[key] if isinstance(config, list) else config.setdefault(key, {})
    config[last] = value


@pytest.mark.parametrize("wrong", ["x", float("nan")])
def test_each_number_of_the_default_configuration_set_to_none_gives_one_line_with_its_key(config, wrong):
    leaves = list(numeric_leaves(config))
    assert len(leaves) > 100
    for path in leaves:
        broken = copy.deepcopy(config)
        put(broken, path, wrong)
        lines = config_errors(broken, RULES)
        assert len(lines) == 1, (path, lines)
        assert lines[0].startswith(f"{'.'.join(map(str, path))} is {wrong!r}, but must be "), lines


def test_an_integer_written_as_a_float_would_break_range_and_is_refused(config):
    config["ensemble"]["members"] = 6.0
    assert config_errors(config, RULES) == ["ensemble.members is 6.0, but must be a whole number (write 6)."]


@pytest.mark.parametrize(
    ("members", "wrong"), [(None, ""), (3, ""), (0, "at least 1"), (2.5, "a whole number or null")]
)
def test_an_experiment_has_members_of_its_own_or_those_of_all(config, members, wrong):
    config["experiments"]["few"] = {"members": members}
    lines = config_errors(config, RULES)
    assert len(lines) == bool(wrong)
    assert all(line.startswith("experiments.few.members is") and wrong in line for line in lines)


def test_candidates_are_experiments_on_the_same_validation_clusters(config):
    config["experiments"] |= {"wide": {"recipe": "krippendorf2023"}, "bright": {"selection": {"det_like_min": 60.0}}}
    config["experiments"] |= {"windy": {"sky": "further"}, "blind": {"control": "noise_images"}}
    config["search"]["candidates"] = ["fiducial", "wide"]
    assert config_errors(config, RULES) == []
    config["search"]["candidates"] += ["wid", "bright", "windy", "blind"]
    lines = config_errors(config, RULES)
    told = {
        "wid": "Did you mean wide?",
        "bright": "whose selection isn't that of 'fiducial'",
        "windy": "whose sky isn't",
    }
    told |= {"blind": "a control"}
    assert len(lines) == len(told)
    for name, words in told.items():
        assert sum(f"names {name!r}" in line and words in line for line in lines) == 1


def test_errors_of_the_schema_do_not_hide_those_across_keys_nor_the_other_way_round(config):
    config["training"]["device"] = "cuda"
    config["split"]["train"] = 0.8
    config["experiments"]["fiducial"]["network"] = "compactt"
    config["skies"]["mock_efeds"]["like"] = "nowhere"
    config["skies"]["embedded"]["agn"]["flux_min_cgs"] = 2e-14
    config["skies"]["embedded"]["agn"]["flux_max_cgs"] = 1e-14
    lines = config_errors(config, RULES)
    assert len(lines) == 5
    for part in ("cuda", "add up to 1.1", "Did you mean compact?", "no sky. Allowed: embedded", "below flux_max_cgs"):
        assert sum(part in line for line in lines) == 1, (part, lines)


def test_only_checks_that_read_a_faulty_block_are_left_out(config):
    config["preprocessing"]["central"]["pixel_arcsec"] = "x"
    config["images"]["box_pixels"] = 301
    config["experiments"]["fiducial"]["recipe"] = "none"
    lines = config_errors(config, RULES)
    assert [line.split()[0] for line in lines] == [
        "preprocessing.central.pixel_arcsec",
        "images.box_pixels",
        "experiments.fiducial.recipe",
    ]


def test_a_missing_block_is_told_once_and_stops_no_other_check(config):
    del config["images"], config["cosmology"]
    config["events"]["flag_mask"] = "none"
    lines = config_errors(config, RULES)
    assert [line.split()[0] for line in lines] == ["cosmology", "images", "events.flag_mask"]


def test_a_circle_of_likes_is_told_once_and_the_other_skies_are_still_checked(config):
    config["skies"] |= {"a": {"like": "b"}, "b": {"like": "c"}, "c": {"like": "b"}, "d": {"like": "a"}}
    config["skies"]["mock_efeds"]["detection"] = {"stamp_pixels": 30}
    config["observed"]["fields"] = ["mock_efeds", "a"]
    lines = config_errors(config, RULES)
    assert len(lines) == 2
    assert any(line.startswith("skies.b.like closes a circle (b -> c -> b)") for line in lines)
    assert "skies.mock_efeds.detection.stamp_pixels is 30, but must be odd." in lines


SINGLE_ERRORS = {
    "cosmology.omega_b": (0.4, "below cosmology.omega_m = 0.3089"),
    "skies.embedded.clusters.log10_m500c_max": (13.0, "log10_m500c_min is 13.0, but must be below log10_m500c_max"),
    "skies.embedded.clusters.redshift_max": (0.01, "redshift_min is 0.01, but must be below redshift_max = 0.01"),
    "skies.embedded.detection.e_min_ev": (2300.0, "below e_max_ev = 2300.0"),
    "skies.embedded.detection.background_exclusion_arcsec": (330.0, "below background_radius_arcsec = 330.0"),
    "skies.embedded.detection.stamp_pixels": (32, "must be odd"),
    "skies.embedded.detection.cut_radius_arcsec": (62.5, "at most 62, the stamp's end"),
    "skies.embedded.detection.extents_arcsec": ([8.0, 8.0, 9.0], "each entry must be above the one before"),
    "skies.embedded.realizations": ({"01": {"events": ["a"], "catalogue": "b"}}, "must be a whole number"),
    "skies.embedded.background.shares": (
        dict.fromkeys(("local_bubble", "galactic_halo", "extragalactic", "particle"), 0),
        "at least one must be positive",
    ),
    "events.flag_mask": ("C000F000", "auto or a number of 32 bits"),
    "images.pixel_arcsec": (4.01, "must be a multiple of 0.05"),
    "images.box_pixels": (306 + 3, "multiple of 2 x images.base_rebin = 6"),
    "preprocessing.central.pixel_arcsec": (18.0, "whole multiple of the base pixel, 12 arcsec"),
    "preprocessing.central.half_width_arcsec": (612.0, "reach only 600 arcsec"),
    "preprocessing.central": (
        {"half_width_arcsec": 306.0, "pixel_arcsec": 12.0, "transform": "sqrt"},
        "half_width_arcsec is 306.0, but must be a whole multiple of the base pixel, 12 arcsec",
    ),
    "network.compact.channels": ([4] * 5, "need 32 x 32 pixels, but preprocessing 'central' gives 16 x 16"),
    "training.recipes.clustermass.schedule": ("plateau", "clustermass.plateau is missing; add it"),
    "training.recipes.krippendorf2023.schedule": ("cosine", "krippendorf2023.warmup_fraction is missing; add it"),
    "experiments.fiducial.sky": ("mock_efeds", "an observed field"),
    "experiments.fiducial.selection.log10_m500c_max": (13.0, "must be below log10_m500c_max = 13.0"),
    "skies.mine": ({"observed": True}, "neither 'source'"),
    "skies.a b": ({"like": "embedded"}, "skies: the name 'a b' must begin with a letter or digit"),
    "skies.lone": ({"source": "files"}, "skies.lone.realizations must name its files"),
    "run": (2024, 'write it in quotes: "2024"'),
}


@pytest.mark.parametrize(("path", "value", "told"), [(path, *rest) for path, rest in SINGLE_ERRORS.items()])
def test_what_would_fail_in_a_job_is_told_before_and_once_even_where_other_blocks_take_it_over(
    config, path, value, told
):
    config["skies"]["third"] = {"like": "mock_efeds", "seed": 7}
    config["experiments"]["second"] = {"redshift_noise": 0.1}
    put(config, path, value)
    lines = config_errors(config, RULES)
    assert len(lines) == 1, lines
    assert told in lines[0]


def test_a_sky_must_be_complete_once_like_is_filled_in_and_may_set_single_keys_of_a_block(config):
    config["skies"]["part"] = {
        "like": "embedded",
        "agn": {"photon_index": 2.0},
        "background": {"shares": {"particle": 1}},
    }
    assert config_errors(config, RULES) == []
    del config["skies"]["embedded"]["psf"], config["skies"]["embedded"]["agn"]["photon_index"]
    lines = config_errors(config, RULES)
    assert [line.split(";")[0] for line in lines] == [
        "skies.embedded lacks psf",
        "skies.embedded.agn lacks photon_index",
    ]


def test_an_empty_embedded_sky_names_all_that_it_lacks_and_a_block_without_a_source_too(config):
    config["skies"]["bare"] = {"source": "embedded", "realizations": 2, "agn": {}}
    lines = config_errors(config, RULES)
    assert len(lines) == 2
    assert (
        "skies.bare lacks seed, field, exposure, absorption, psf, clusters, background, redshifts, detection;"
        in lines[0]
    )
    lacking = "flux_min_cgs, flux_max_cgs, photon_index, normalisation_per_deg2, clustered_fraction, clustered_r500"
    assert f"skies.bare.agn lacks {lacking};" in lines[1]


def test_every_key_that_an_embedded_sky_may_have_in_its_blocks_is_one_that_it_must_have():
    may, must = RULES["$defs"]["sky"]["properties"], RULES["$defs"]["embedded_sky"]
    for block, rule in must["properties"].items():
        assert set(rule["required"]) == set(may[block]["properties"]), block
    assert set(must["required"]) == {"seed", *must["properties"]}


def test_a_simulated_sky_of_files_needs_truth_and_two_digits_as_names(config):
    files = {"events": ["a.fits"], "catalogue": "b.csv"}
    config["skies"]["mine"] = {"source": "files", "realizations": {"01": files, "02": {**files, "truth": "t.fits"}}}
    assert [line.split(";")[0] for line in config_errors(config, RULES)] == [
        "skies.mine.realizations.01.truth is missing"
    ]
    config["skies"]["mine"] |= {"observed": True, "realizations": {"first_one": files}}
    [line] = config_errors(config, RULES)
    assert line == "skies.mine.realizations: the name 'first_one' must be two digits in quotes, such as \"01\"."


@pytest.mark.parametrize("mask", ["auto", 0, -1073680384, "0xC000F000", "3221286912", 2**32 - 1])
def test_flag_masks_that_count_as_numbers_pass(config, mask):
    config["events"]["flag_mask"] = mask
    assert config_errors(config, RULES) == []


@pytest.mark.parametrize("mask", ["", "0xG", "1e3", 2**32, "0x100000000"])
def test_other_flag_masks_do_not(config, mask):
    config["events"]["flag_mask"] = mask
    assert [line.split()[0] for line in config_errors(config, RULES)] == ["events.flag_mask"]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    images=st.fixed_dictionaries(
        {
            "box_pixels": st.integers(5, 60).map(lambda number: 4 * number) | st.integers(20, 240),
            "pixel_arcsec": st.sampled_from([4.0, 2.5, 4.05, 4.01]),
            "base_rebin": st.integers(1, 4),
        }
    ),
    half=st.integers(1, 60),
    pixel=st.integers(1, 12),
)
def test_images_and_recipes_are_refused_exactly_where_the_jobs_refuse_them(images, half, pixel):
    config = load_config([ROOT / "config" / "config.yaml"])
    config["images"] |= images
    half_base = images["pixel_arcsec"] * images["base_rebin"] / 2
    recipe = {"half_width_arcsec": half * half_base, "pixel_arcsec": pixel * half_base, "transform": "none"}
    config["preprocessing"]["mine"] = recipe
    lines = config_errors(config, RULES)
    assert any(line.startswith("images.") for line in lines) == refused(ImageGeometry.from_config, config["images"])
    if not any(line.startswith("images.") for line in lines):
        offsets = ImageGeometry.from_config(config["images"]).base_offsets_arcsec()
        mine = [line for line in lines if line.startswith("preprocessing.mine.")]
        assert bool(mine) == refused(_Grid, offsets, recipe), mine


def refused(function, *arguments):
    try:
        function(*arguments)
    except InputError:
        return True
    return False


def test_the_base_experiment_must_be_whole_and_others_need_only_their_departures(config):
    config["experiments"]["copy"] = None
    assert config_errors(config, RULES) == []
    del config["experiments"]["fiducial"]["redshift_noise"], config["experiments"]["fiducial"]["selection"]
    assert [line.split(";")[0] for line in config_errors(config, RULES)] == [
        "experiments.fiducial.selection is missing",
        "experiments.fiducial.redshift_noise is missing",
    ]
    del config["experiments"]["fiducial"]
    assert [line.split(";")[0] for line in config_errors(config, RULES)] == ["experiments.fiducial is missing"]


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
        ("agn.clustered_fraction", 1.2),
        ("background.rate_per_arcmin2_ks", -1),
        ("psf.core_arcsec", 0.0),
        ("cosmology.omega_m", -0.3),
    ],
)
def test_unphysical_knobs_of_a_sky_are_refused_by_name(config, path, value):
    config["skies"]["variant"] = {"like": "embedded"}
    put(config, ["skies", "variant", *path.split(".")], value)
    lines = config_errors(config, RULES)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"skies.variant.{path} is {value}")


def test_a_sky_that_resembles_an_unknown_variant_is_refused_with_the_nearest_name(config):
    config["skies"]["mine"] = {"like": "double_backgroud"}
    lines = config_errors(config, RULES)
    assert len(lines) == 1
    assert "Did you mean double_background?" in lines[0]


@pytest.mark.parametrize(
    ("name", "problem"), [("embeded", "which is no sky. Did you mean embedded"), ("mock_efeds", "must be")]
)
def test_only_a_simulated_sky_with_truth_can_be_validated(config, name, problem):
    config["validation"]["sky"] = name
    (line,) = config_errors(config, RULES)
    assert line.startswith(f"validation.sky is {name!r}")
    assert problem in line


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fruther", "names 'fruther', which is no sky. Did you mean further?"),
        ("embedded", "names 'embedded', the sky to learn from; name another one (like: embedded draws it anew)."),
        ("mock_efeds", "names 'mock_efeds', an observed field, which has no true masses to be judged by."),
    ],
)
def test_experiments_are_tested_on_other_skies_with_truth_only(config, name, problem):
    put(config, "experiments.fiducial.test_skies", ["further", name])
    config["experiments"]["another"] = {"redshift_noise": 0.01}  # takes the list over: told once
    assert config_errors(config, RULES) == [f"experiments.fiducial.test_skies {problem}"]


def test_a_sky_may_be_tested_on_by_one_experiment_and_learnt_from_by_another(config):
    put(config, "experiments.fiducial.test_skies", ["further"])
    config["experiments"]["there"] = {"sky": "further", "test_skies": ["embedded"]}
    assert config_errors(config, RULES) == []


def published(config, **changes):
    sky = {"source": "published", "images": "a.pickle", "catalogue": "a.fits", "realizations": 18}
    config["skies"]["theirs"] = sky | {"mass_unit": "Msun", "pairing": "ids"} | changes
    config["experiments"]["theirs"] = {"sky": "theirs", "preprocessing": "krippendorf2023"}
    return config


def test_the_published_set_needs_its_files_and_a_recipe_that_does_to_images_what_was_done_to_them(config):
    assert config_errors(published(config), RULES) == []
    config["experiments"]["further"] = {"test_skies": ["theirs"]}
    config["experiments"]["theirs"]["preprocessing"] = "central"
    lines = config_errors(config, RULES)
    assert all("but the images of sky 'theirs' come with" in line for line in lines)
    for name in ("theirs", "further"):
        keys = [line.split(" with ")[1].split()[0] for line in lines if line.startswith(f"experiments.{name}.")]
        assert keys == ["half_width_arcsec", "smoothing"]


def test_the_published_set_has_bands_of_its_own_and_masses(config):
    config["images"]["bands"]["number"] = 9
    (line,) = config_errors(published(config), RULES)
    assert line.startswith("experiments.theirs uses sky 'theirs', whose images have the bands")
    config["images"]["bands"]["number"] = 10
    for changes, expected in (
        ({"observed": True}, "observed is true, but the published training set has known masses"),
        ({"mass_unit": "kg"}, "skies.theirs.mass_unit is 'kg', but must be one of: Msun, Msun/h."),
        ({"realizations": {"01": {"events": ["a"], "catalogue": "b"}}}, "since source is 'published'"),
    ):
        assert any(expected in line for line in config_errors(published(config, **changes), RULES)), expected
    config = published(config)
    del config["skies"]["theirs"]["catalogue"]
    assert any("skies.theirs.catalogue is missing; add it" in line for line in config_errors(config, RULES))


def test_published_masses_are_of_a_real_field(config):
    table = {"file": "chiu.fits", "kind": "chiu2023"}
    config["skies"]["mine"] = {
        "source": "files", "observed": True, "realizations": {"01": {"events": ["e.fits"], "catalogue": "c.csv"}}
    }  # fmt: skip
    config["observed"]["published"] = {"mine": dict(table)}
    assert config_errors(config, RULES) == []
    wrong = {"mock_efeds": dict(table), "mein": dict(table)}
    wrong["mine"] = table | {"log10_m500c_min": 15.0, "log10_m500c_max": 13.0}
    config["observed"]["published"] = wrong
    lines = config_errors(config, RULES)
    assert len(lines) == 3
    assert "observed.published.mock_efeds is of a simulated sky" in lines[0]
    assert lines[1].startswith("observed.published.mein is of no sky that is defined. Did you mean mine?")
    assert lines[2].startswith("observed.published.mine.log10_m500c_min is 15.0, but must be below")
    config["observed"]["published"] = {"mine": {"file": "chiu.fits", "kind": "chiu"}}
    (line,) = config_errors(config, RULES)
    assert "must be one of: chiu2022, chiu2023, bulbul2024, table" in line


def test_a_selection_to_learn_from_needs_images_and_a_range_of_its_own(config):
    config["experiments"] |= {
        "faint": {"train_selection": {"ext_like_min": 3.0}},
        "bright": {"train_selection": {"det_like_min": 60, "ext_like_min": 60}, "weighting": "uniform_mass"},
        "heavy": {"train_selection": {"log10_m500c_min": 15.5}},
        "as_ever": {"train_selection": None},
    }
    assert config_errors(config, RULES) == [
        "experiments.heavy.train_selection.log10_m500c_min is 15.5, but must be below log10_m500c_max = 15.3.",
        "experiments.faint.train_selection.ext_like_min is 3.0, but images are made only above images.ext_like_min = "
        "6.0; lower that one too.",
    ]
    config["images"]["ext_like_min"] = 3.0
    del config["experiments"]["heavy"]
    assert config_errors(config, RULES) == []


def test_losses_poolings_and_weightings_are_those_that_networks_know(config):
    """The schema's words are the code's, and a misspelt one is told with the nearest."""
    words = {
        ("network", "compact", "pooling"): ["average", "max"],
        ("training", "recipes", "clustermass", "loss"): list(LOSSES),
        ("experiments", "fiducial", "weighting"): list(WEIGHTINGS),
    }
    for path, known in words.items():
        for word in known:
            right = copy.deepcopy(config)
            put(right, path, word)
            assert config_errors(right, RULES) == []
        broken = copy.deepcopy(config)
        put(broken, path, known[-1] + "s")
        key = ".".join(path)
        assert config_errors(broken, RULES) == [
            f"{key} is '{known[-1]}s', but must be one of: {', '.join(known)}. Did you mean {known[-1]}?"
        ]

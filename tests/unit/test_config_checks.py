"""The configuration is checked before anything runs: checks across keys, and all errors at once."""

import copy

import pytest
from config_inputs import ROOT, put, refused, whole_config  # noqa: F401, the fixture `config`
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.config.checks import KINDS
from clustermass.config.resolve import load_config
from clustermass.config.validate import config_errors
from clustermass.dataset.training_data import WEIGHTINGS
from clustermass.images.geometry import ImageGeometry
from clustermass.images.preprocessing import Grid
from clustermass.network.layers import LAYERS
from clustermass.network.losses import LOSSES


def numeric_leaves(block, path=()):
    items = block.items() if isinstance(block, dict) else enumerate(block)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from numeric_leaves(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)


@pytest.mark.parametrize("wrong", ["x", float("nan")])
def test_each_number_of_the_default_configuration_set_to_none_gives_one_line_with_its_key(config, wrong):
    leaves = list(numeric_leaves(config))
    assert len(leaves) > 100
    for path in leaves:
        broken = copy.deepcopy(config)
        put(broken, path, wrong)
        lines = config_errors(broken)
        assert len(lines) == 1, (path, lines)
        assert lines[0].startswith(f"{'.'.join(map(str, path))} is {wrong!r}, but must be "), lines


def test_an_integer_written_as_a_float_would_break_range_and_is_refused(config):
    config["ensemble"]["members"] = 6.0
    assert config_errors(config) == ["ensemble.members is 6.0, but must be a whole number (write 6)."]


def test_errors_of_single_keys_do_not_hide_those_across_keys_nor_the_other_way_round(config):
    config["training"]["device"] = "cuda"
    config["split"]["train"] = 0.8
    config["experiments"]["fiducial"]["network"] = "compactt"
    config["skies"]["mock_efeds"]["like"] = "nowhere"
    config["skies"]["embedded"]["agn"]["flux_min_cgs"] = 2e-14
    config["skies"]["embedded"]["agn"]["flux_max_cgs"] = 1e-14
    lines = config_errors(config)
    assert len(lines) == 5
    for part in ("cuda", "add up to 1.1", "Did you mean compact?", "no sky. Allowed: mock_efeds", "below flux_max_cgs"):
        assert sum(part in line for line in lines) == 1, (part, lines)


def test_only_checks_that_read_a_faulty_block_are_left_out(config):
    config["preprocessing"]["central"]["pixel_arcsec"] = "x"
    config["images"]["box_pixels"] = 301
    config["experiments"]["fiducial"]["recipe"] = "none"
    lines = config_errors(config)
    assert [line.split()[0] for line in lines] == [
        "preprocessing.central.pixel_arcsec",
        "images.box_pixels",
        "experiments.fiducial.recipe",
    ]


def test_a_missing_block_is_reported_once_and_stops_no_other_check(config):
    del config["images"], config["cosmology"]
    config["events"]["flag_mask"] = "none"
    lines = config_errors(config)
    assert [line.split()[0] for line in lines] == ["cosmology", "images", "events.flag_mask"]


def test_a_circle_of_likes_is_reported_once_and_the_other_skies_are_still_checked(config):
    config["skies"] |= {"a": {"like": "b"}, "b": {"like": "c"}, "c": {"like": "b"}, "d": {"like": "a"}}
    config["skies"]["mock_efeds"]["detection"] = {"stamp_pixels": 30}
    config["observed"]["fields"] = ["mock_efeds", "a"]
    lines = config_errors(config)
    assert len(lines) == 2
    assert any(line.startswith("skies.b.like closes a circle (b -> c -> b)") for line in lines)
    assert "skies.mock_efeds.detection.stamp_pixels is 30, but must be odd." in lines


SINGLE_ERRORS = {
    "cosmology.omega_b": (0.4, "below omega_m = 0.3089"),
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
    "network.compact.layers": (
        [{"conv": 4}, {"pool": "average"}] * 5,
        "need images of 32 x 32 pixels, but preprocessing 'central' gives 16 x 16",
    ),
    "training.recipes.clustermass.schedule": ("plateau", "clustermass.plateau is missing; add it"),
    "training.recipes.krippendorf2023.schedule": ("cosine", "krippendorf2023.warmup_fraction is missing; add it"),
    "baselines.count_rate_efeds": (
        {"log10_mass": 14.1, "slope_rate": 0.6, "quadratic_z": -12.0, "pivot_rate": 0.1, "pivot_z": 0.35},
        "baselines.count_rate_efeds.linear_z is missing; add it",
    ),
    "experiments.fiducial.sky": ("mock_efeds", "an observed field"),
    "experiments.fiducial.selection.log10_m500c_max": (13.0, "must be below log10_m500c_max = 13.0"),
    "skies.mine": ({"observed": True}, "neither 'source'"),
    "skies.a b": ({"like": "embedded"}, "skies: the name 'a b' must begin with a letter or digit"),
    "skies.mock_efeds": ({"source": "files", "observed": True}, "skies.mock_efeds.realizations must name its files"),
    "run": (2024, 'write it in quotes: "2024"'),
}


@pytest.mark.parametrize(("path", "value", "expected"), [(path, *rest) for path, rest in SINGLE_ERRORS.items()])
def test_what_would_fail_in_a_job_is_reported_before_and_once_even_where_other_blocks_take_it_over(
    config, path, value, expected
):
    config["skies"]["third"] = {"like": "mock_efeds", "seed": 7}
    config["experiments"]["second"] = {"redshift_noise": 0.1}
    config["experiments"]["slow"] = {"recipe": "krippendorf2023"}
    put(config, path, value)
    lines = config_errors(config)
    assert len(lines) == 1, lines
    assert expected in lines[0]


def test_blocks_that_are_not_in_use_raise_no_error(config):
    config["images"]["box_pixels"] = 198  # smaller than krippendorf2023 needs
    config["images"]["bands"]["number"] = 5  # fewer than its smoothing reaches
    config["image_sets"]["odd"] = {"box_pixels": 505}
    config["training"]["recipes"]["krippendorf2023"]["schedule"] = "cosine"
    config["skies"]["bare"] = {"source": "embedded"}
    config["skies"]["even"] = {"like": "embedded", "detection": {"stamp_pixels": 30}}
    assert config_errors(config) == []
    config["experiments"]["paper"] = {"preprocessing": "krippendorf2023", "recipe": "krippendorf2023", "sky": "even"}
    lines = config_errors(config)
    assert len(lines) == 4, lines
    for part in ("reach only 396 arcsec", "reaches 5 bands", "warmup_fraction is missing", "stamp_pixels is 30"):
        assert sum(part in line for line in lines) == 1, part


@pytest.mark.parametrize("mask", ["auto", 0, -1073680384, "0xC000F000", "3221286912", 2**32 - 1])
def test_flag_masks_that_count_as_numbers_pass(config, mask):
    config["events"]["flag_mask"] = mask
    assert config_errors(config) == []


@pytest.mark.parametrize("mask", ["", "0xG", "1e3", 2**32, "0x100000000"])
def test_other_flag_masks_do_not(config, mask):
    config["events"]["flag_mask"] = mask
    assert [line.split()[0] for line in config_errors(config)] == ["events.flag_mask"]


@pytest.mark.long
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
    config["experiments"]["mine"] = {"preprocessing": "mine"}
    lines = config_errors(config)
    assert any(line.startswith("images.") for line in lines) == refused(ImageGeometry.from_config, config["images"])
    if not any(line.startswith("images.") for line in lines):
        offsets = ImageGeometry.from_config(config["images"]).base_offsets_arcsec()
        mine = [line for line in lines if line.startswith("preprocessing.mine.")]
        assert bool(mine) == refused(Grid, offsets, recipe), mine


@pytest.mark.parametrize(
    ("members", "wrong"), [(None, ""), (3, ""), (0, "at least 1"), (2.5, "a whole number or null")]
)
def test_an_experiment_has_members_of_its_own_or_those_of_all(config, members, wrong):
    config["experiments"]["few"] = {"members": members}
    lines = config_errors(config)
    assert len(lines) == bool(wrong)
    assert all(line.startswith("experiments.few.members is") and wrong in line for line in lines)


def test_candidates_are_experiments_on_the_same_validation_clusters(config):
    config["experiments"] |= {"wide": {"recipe": "krippendorf2023"}, "bright": {"selection": {"det_like_min": 60.0}}}
    config["experiments"] |= {"windy": {"sky": "further"}, "blind": {"control": "noise_images"}}
    config["search"]["candidates"] = ["fiducial", "wide"]
    assert config_errors(config) == []
    config["search"]["candidates"] += ["wid", "bright", "windy", "blind"]
    lines = config_errors(config)
    expected = {
        "wid": "Did you mean wide?",
        "bright": "whose selection isn't that of 'fiducial'",
        "windy": "whose sky isn't",
    }
    expected |= {"blind": "a control"}
    assert len(lines) == len(expected)
    for name, words in expected.items():
        assert sum(f"names {name!r}" in line and words in line for line in lines) == 1


def test_the_base_experiment_must_be_whole_and_others_need_only_their_departures(config):
    config["experiments"]["copy"] = None
    assert config_errors(config) == []
    del config["experiments"]["fiducial"]["redshift_noise"], config["experiments"]["fiducial"]["selection"]
    assert [line.split(";")[0] for line in config_errors(config)] == [
        "experiments.fiducial.selection is missing",
        "experiments.fiducial.redshift_noise is missing",
    ]
    del config["experiments"]["fiducial"]
    assert [line.split(";")[0] for line in config_errors(config)] == ["experiments.fiducial is missing"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fruther", "names 'fruther', which is no sky. Did you mean further?"),
        ("embedded", "names 'embedded', the sky to train on; name another one (like: embedded draws it anew)."),
        ("mock_efeds", "names 'mock_efeds', an observed field, which has no true masses to test on."),
    ],
)
def test_experiments_are_tested_on_other_skies_with_truth_only(config, name, problem):
    put(config, "experiments.fiducial.test_skies", ["further", name])
    config["experiments"]["another"] = {"redshift_noise": 0.01}  # takes the list over: reported once
    assert config_errors(config) == [f"experiments.fiducial.test_skies {problem}"]


def test_a_sky_may_be_tested_on_by_one_experiment_and_trained_on_by_another(config):
    put(config, "experiments.fiducial.test_skies", ["further"])
    config["experiments"]["there"] = {"sky": "further", "test_skies": ["embedded"]}
    assert config_errors(config) == []


def test_a_selection_to_learn_from_needs_images_and_a_range_of_its_own(config):
    config["experiments"] |= {
        "faint": {"train_selection": {"ext_like_min": 3.0}},
        "bright": {"train_selection": {"det_like_min": 60, "ext_like_min": 60}, "weighting": "uniform_mass"},
        "heavy": {"train_selection": {"log10_m500c_min": 15.5}},
        "unchanged": {"train_selection": None},
    }
    assert config_errors(config) == [
        "experiments.faint.train_selection.ext_like_min is 3.0, but images are made only above images.ext_like_min = "
        "6.0; lower that one too.",
        "experiments.heavy.train_selection.log10_m500c_min is 15.5, but must be below log10_m500c_max = 15.3.",
    ]
    config["images"]["ext_like_min"] = 3.0
    del config["experiments"]["heavy"]
    assert config_errors(config) == []


def test_kinds_of_layers_are_those_of_the_code_and_each_has_an_entry_of_its_own(config):
    assert set(KINDS) == set(LAYERS)
    config["network"]["compact"]["layers"][0] = {"conv": 4, "pool": "max"}
    assert len(config_errors(config)) == 1
    assert "layer 1 is {'conv': 4, 'pool': 'max'}, but must be one of conv, local" in config_errors(config)[0]


def test_losses_and_weightings_are_those_of_the_code(config):
    """The allowed words are those of the code, and the nearest to a misspelt one is suggested."""
    words = {
        ("training", "recipes", "clustermass", "loss"): list(LOSSES),
        ("experiments", "fiducial", "weighting"): list(WEIGHTINGS),
    }
    for path, known in words.items():
        for word in known:
            right = copy.deepcopy(config)
            put(right, path, word)
            assert config_errors(right) == []
        broken = copy.deepcopy(config)
        put(broken, path, known[-1] + "s")
        key = ".".join(path)
        assert config_errors(broken) == [
            f"{key} is '{known[-1]}s', but must be one of: {', '.join(known)}. Did you mean {known[-1]}?"
        ]


def test_a_conditioned_network_needs_a_sky_with_a_prior_and_one_place_for_it(config):
    config["network"]["compact"]["conditioned"] = True
    lines = config_errors(config)
    assert len(lines) == 1
    assert "conditioned on the physics, but sky 'embedded' has no prior; name a sky that has one" in lines[0]
    config["network"]["compact"]["layers"] = [{"flatten": True}, {"dense": 8}]
    assert any("it has 0 layers `join: side`" in line for line in config_errors(config))
    config["network"]["compact"]["conditioned"] = False
    assert config_errors(config) == []


def test_a_conditioned_network_of_a_sky_with_a_prior_is_right(config):
    prior = {"parameters": {"clusters.relations.slope": {"normal": [1.5, 0.14]}}, "realizations_per_universe": 1}
    config["skies"]["uncertain"] = {"like": "embedded", "prior": prior}
    config["network"]["compact"]["conditioned"] = True
    config["experiments"]["fiducial"]["sky"] = "uncertain"
    assert config_errors(config) == []

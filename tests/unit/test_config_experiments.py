"""Experiments of the configuration: what they may depart in, learn from and be tested on."""

import copy

import pytest
from config_rules import put, whole_config  # noqa: F401, the fixture `config`

from clustermass.config.validate import config_errors
from clustermass.dataset.training_data import WEIGHTINGS
from clustermass.network.losses import LOSSES


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
    told = {
        "wid": "Did you mean wide?",
        "bright": "whose selection isn't that of 'fiducial'",
        "windy": "whose sky isn't",
    }
    told |= {"blind": "a control"}
    assert len(lines) == len(told)
    for name, words in told.items():
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
        ("embedded", "names 'embedded', the sky to learn from; name another one (like: embedded draws it anew)."),
        ("mock_efeds", "names 'mock_efeds', an observed field, which has no true masses to be judged by."),
    ],
)
def test_experiments_are_tested_on_other_skies_with_truth_only(config, name, problem):
    put(config, "experiments.fiducial.test_skies", ["further", name])
    config["experiments"]["another"] = {"redshift_noise": 0.01}  # takes the list over: told once
    assert config_errors(config) == [f"experiments.fiducial.test_skies {problem}"]


def test_a_sky_may_be_tested_on_by_one_experiment_and_learnt_from_by_another(config):
    put(config, "experiments.fiducial.test_skies", ["further"])
    config["experiments"]["there"] = {"sky": "further", "test_skies": ["embedded"]}
    assert config_errors(config) == []


def test_a_selection_to_learn_from_needs_images_and_a_range_of_its_own(config):
    config["experiments"] |= {
        "faint": {"train_selection": {"ext_like_min": 3.0}},
        "bright": {"train_selection": {"det_like_min": 60, "ext_like_min": 60}, "weighting": "uniform_mass"},
        "heavy": {"train_selection": {"log10_m500c_min": 15.5}},
        "as_ever": {"train_selection": None},
    }
    assert config_errors(config) == [
        "experiments.heavy.train_selection.log10_m500c_min is 15.5, but must be below log10_m500c_max = 15.3.",
        "experiments.faint.train_selection.ext_like_min is 3.0, but images are made only above images.ext_like_min = "
        "6.0; lower that one too.",
    ]
    config["images"]["ext_like_min"] = 3.0
    del config["experiments"]["heavy"]
    assert config_errors(config) == []


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
            assert config_errors(right) == []
        broken = copy.deepcopy(config)
        put(broken, path, known[-1] + "s")
        key = ".".join(path)
        assert config_errors(broken) == [
            f"{key} is '{known[-1]}s', but must be one of: {', '.join(known)}. Did you mean {known[-1]}?"
        ]

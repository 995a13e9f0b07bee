"""Comparison of measured and published numbers, against differences worked by hand."""

from pathlib import Path

import pytest

from clustermass.paper.results import (
    Change,
    Measured,
    agreement,
    as_published,
    effect_of,
    gaussian,
    lookup,
    read_published,
)

PUBLISHED = Path(__file__).parents[2] / "workflow" / "paper" / "published.yaml"


def test_errors_of_the_papers_test_set():
    # sqrt(2 x 1,192) = 48.83; sqrt(1,192) = 34.53; the paper's gain of 4.8 % is then 1.6 sigma
    published = {number.what: number for number in read_published(PUBLISHED).numbers}
    gain = published["networks ÷ true luminosity, published relation"]
    assert (gain.published, gain.error) == pytest.approx((0.188 / 0.197, 0.188 / 0.197 / 34.525), rel=1e-4)
    assert published["scatter ÷ mean sigma"].error == pytest.approx(1 / 48.83, rel=2e-3)
    assert published["scatter on the test set, dex"].error is None
    assert (1 - gain.published) / gain.error == pytest.approx(1.65, abs=0.01)


def test_effects_are_words_that_the_rules_know():
    changes = read_published(PUBLISHED).changes
    assert {change.effect for change in changes} == {"", "worse", "same", "not_better"}
    assert len({change.experiment for change in changes}) == len(changes) == 21


@pytest.mark.parametrize(("value", "words"), [(0.95, "yes (+0.0 σ)"), (1.11, "no (+3.2 σ)"), (0.79, "no (-3.2 σ)")])
def test_agreement(value, words):
    assert agreement(Measured(value, 0.04), 0.95, 0.03) == words  # errors add up to 0.05


@pytest.mark.parametrize(("value", "effect"), [(1.025, "same"), (1.04, "worse"), (0.95, "better")])
def test_effects_at_three_sigma(value, effect):
    assert effect_of(Measured(value, 0.01)) == effect


@pytest.mark.parametrize(
    ("value", "effect", "words"),
    [
        (1.05, "worse", "yes"),
        (1.015, "worse", "not seen"),
        (0.95, "worse", "no"),
        # errors of 0.01 here and 1 / sqrt(1,192) = 0.029 there add up to 0.0306: three of them are 0.092
        (1.08, "same", "yes"),
        (1.1, "same", "no"),
        (0.9, "same", "no"),
        (1.1, "not_better", "yes"),
        (0.92, "not_better", "yes"),
        (0.9, "not_better", "no"),
        (0.9, "", ""),
    ],
)
def test_changes_are_compared_with_published_words(value, effect, words):
    assert as_published(Change("name", "what", effect=effect), Measured(value, 0.01), 1192) == words


def test_changes_are_compared_with_a_published_ratio():
    # an error of 1.085 / sqrt(1,192) = 0.0314 there and 0.009 here: 0.0327 together
    change = Change("name", "what", ratio=1.085)
    assert as_published(change, Measured(1.226, 0.009), 1192) == "no (+4.3 σ)"


def test_nothing_is_written_about_numbers_that_were_not_measured():
    unknown = Measured(None)
    words = {agreement(unknown, 1.0, 0.1), effect_of(unknown)}
    words |= {as_published(Change("name", "what", effect=effect), unknown, 1192) for effect in ("", "worse")}
    assert words == {"—"}


def test_numbers_of_a_block():
    block = {"test": {"x": 2.0, "x_ci68": [1.0, 2.0]}, "ratios": {"y": {"value": 0.9, "ci68": None}}}
    assert lookup(block, "test/x") == (2.0, 0.5)
    assert lookup(block, "ratios/y") == (0.9, None)
    assert lookup(block, "absent/x") == lookup(block, "ratios/z") == (None, None)
    scatter, bias = gaussian({"scatter_dex": 0.2, "bias_dex": 0.1, "n": 50})
    assert (*scatter, *bias) == pytest.approx((0.2, 0.02, 0.1, 0.2 / 50**0.5))

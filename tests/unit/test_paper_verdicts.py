"""The page's sentences against differences worked by hand."""

import pytest

from clustermass.paper.verdicts import Measured, agreement, change, contradicts, ratio_error, scatter_error, settled


def test_errors_that_a_test_set_leaves():
    # sqrt(2 x 1,192) = 48.83; sqrt(1,192) = 34.53; the paper's gain of 4.8 % is then 1.6 sigma
    assert scatter_error(0.188, 1192) == pytest.approx(0.188 / 48.83, rel=1e-4)
    assert ratio_error(0.952, 1192) == pytest.approx(0.952 / 34.525, rel=1e-4)
    assert 0.048 / ratio_error(1.0, 1192) == pytest.approx(1.66, abs=0.01)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.95, "agrees (+0.0 σ)"), (1.10, "higher than published (+3.0 σ)"), (0.80, "lower than published (-3.0 σ)")],
)
def test_agreement(value, words):
    assert agreement(Measured(value, 0.04), 0.95, 0.03) == words  # errors add up to 0.05


@pytest.mark.parametrize(
    ("value", "expected", "words"),
    [
        (1.015, (0,), "no difference seen; one of 3.0 % would be seen at 3 σ: as published"),
        (1.015, (1,), "no difference seen; one of 3.0 % would be seen at 3 σ: the published difference isn't seen"),
        (1.05, (1,), "worse by 5.0 % (5.0 σ): as published"),
        (0.95, (1,), "better by 5.0 % (5.0 σ): contradicts the paper"),
        (0.975, (1,), "better by 2.5 % (2.5 σ): against the paper, not certain"),
        (1.05, (0,), "worse by 5.0 % (5.0 σ): the paper saw none"),
        (1.025, (0,), "worse by 2.5 % (2.5 σ): the paper saw none; not certain here"),
        (1.05, (0, 1), "worse by 5.0 % (5.0 σ): as published"),
        (0.95, (0, 1), "better by 5.0 % (5.0 σ): contradicts the paper"),
        (0.95, (), "better by 5.0 % (5.0 σ)"),
    ],
)
def test_changes(value, expected, words):
    assert change(Measured(value, 0.01), expected, 0.001) == words


@pytest.mark.parametrize(
    ("value", "expected", "words", "certain"),
    [
        # errors of 0.01 here and 0.024 there add up to 0.026: 2 sigma are 0.052, 3 are 0.078
        (1.05, (0,), "worse by 5.0 % (5.0 σ): too little for the paper to see", False),
        (0.95, (0, 1), "better by 5.0 % (5.0 σ): too little for the paper to see", False),
        (1.06, (0,), "worse by 6.0 % (6.0 σ): the paper saw none; not certain here", False),
        (1.08, (0,), "worse by 8.0 % (8.0 σ): the paper saw none", True),
        (0.95, (1,), "better by 5.0 % (5.0 σ): contradicts the paper", True),
    ],
)
def test_what_the_paper_could_not_see_does_not_contradict_it(value, expected, words, certain):
    measured = Measured(value, 0.01)
    assert (change(measured, expected, 0.024), contradicts(measured, expected, 0.024)) == (words, certain)


def test_what_is_settled():
    assert settled(Measured(0.95, 0.01)) == "a gain of 5.0 % at 5 σ"
    assert settled(Measured(1.05, 0.01)) == "a loss of 5.0 % at 5 σ"
    assert settled(Measured(0.98, 0.01)) == "undecided, a gain of 2.0 % at 2.0 σ"


def test_nothing_is_said_of_what_was_not_measured():
    unknown = Measured(None, None)
    assert {agreement(unknown, 1.0, 0.1), change(unknown, (0,), 0.1), settled(unknown)} == {"not measured"}

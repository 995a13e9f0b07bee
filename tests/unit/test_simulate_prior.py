"""Draws of a sky's prior follow their distributions, and depend on nothing but seed, sky, universe and realization."""

import copy

import numpy as np
import pytest
from scipy import stats

from clustermass.arrays import generator
from clustermass.config.resolve import default_config
from clustermass.simulate.prior import draw, draw_phi, draw_sky, moments

PRIOR = {
    "realizations_per_universe": 2,
    "parameters": {
        "clusters.relations.slope": {"normal": [1.5, 0.14]},
        "clusters.relations.scatter": {"uniform": [0.32, 0.60]},
        "clusters.component_mean[1]": {"normal": [-0.9, 0.3]},
    },
    "errors": {"exposure.depth_s": 0.03, "absorption.nh_cm2": 0.1},
    "conditions": {"exposure.depth_s": {"log_uniform": [80.0, 4000.0]}},
    "area_factor": [0.5, 8.0],
}
EMBEDDED = default_config()["skies"]["embedded"]
SKY = EMBEDDED | {"prior": PRIOR}


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ({"normal": [1.5, 0.14]}, stats.norm(1.5, 0.14)),
        ({"uniform": [0.32, 0.60]}, stats.uniform(0.32, 0.28)),
        ({"log_uniform": [80.0, 4000.0]}, stats.loguniform(80.0, 4000.0)),
    ],
)
def test_draws_and_moments_are_those_of_the_distribution(distribution, expected):
    rng = np.random.default_rng(1)
    assert stats.kstest([draw(distribution, rng) for _ in range(2000)], expected.cdf).pvalue > 0.01
    if "log_uniform" not in distribution:
        *found, uniform = moments(distribution)
        assert found == pytest.approx((expected.mean(), expected.std()), rel=1e-9)
        assert uniform == ("uniform" in distribution)


def test_phi_of_many_universes_follows_the_prior_and_its_numbers_are_independent():
    universes = [draw_phi(SKY, "prior", number) for number in range(1, 801)]
    names = [one.name for one in universes[0]]
    assert names == [*sorted(PRIOR["parameters"]), "errors.absorption.nh_cm2", "errors.exposure.depth_s"]
    standardised = np.array([[(one.value - one.mean) / one.sd for one in phi] for phi in universes])
    for name, column in zip(names, standardised.T, strict=True):
        expected = stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)) if name.endswith("scatter") else stats.norm()
        assert stats.kstest(column, expected.cdf).pvalue > 0.01, name
    correlation = np.corrcoef(standardised, rowvar=False)
    assert np.abs(correlation - np.eye(len(names))).max() < 4 / np.sqrt(800)


def test_depths_of_many_realizations_follow_their_distribution():
    depths = [draw_sky(SKY, "prior", f"{number:02d}").measured["exposure"]["depth_s"] for number in range(1, 301)]
    assert stats.kstest(depths, stats.loguniform(80.0, 4000.0).cdf).pvalue > 0.01


def test_realizations_of_a_universe_share_phi_but_not_their_conditions():
    first, second, third = (draw_sky(SKY, "prior", name) for name in ("01", "02", "03"))
    assert [one.universe for one in (first, second, third)] == [1, 1, 2]
    assert first.phi == second.phi
    assert all(one.value != other.value for one, other in zip(first.phi, third.phi, strict=True))
    assert first.measured["exposure"]["depth_s"] != second.measured["exposure"]["depth_s"]


def test_a_number_depends_neither_on_other_keys_nor_on_order_nor_on_the_digits_of_the_realization():
    alone = SKY | {"prior": PRIOR | {"parameters": {"clusters.relations.slope": {"normal": [1.5, 0.14]}}}}
    [slope] = [one for one in draw_sky(SKY, "prior", "05").phi if one.name == "clusters.relations.slope"]
    assert slope in draw_sky(alone, "prior", "005").phi
    assert draw_sky(SKY, "prior", "05") == draw_sky(SKY, "prior", "005")
    assert draw_sky(SKY, "prior", "05").phi != draw_sky(SKY, "other", "05").phi


def test_photons_come_from_true_values_and_an_observer_knows_the_measured_ones():
    before = copy.deepcopy(SKY)
    drawn = draw_sky(SKY, "prior", "03")
    phi = {one.name: one.value for one in drawn.phi}
    assert drawn.true["clusters"]["relations"]["slope"] == phi["clusters.relations.slope"]
    assert drawn.true["clusters"]["component_mean"] == [0.5, phi["clusters.component_mean[1]"], 0.9, 0.0]
    assert drawn.measured["clusters"] == EMBEDDED["clusters"]
    for block, key in (("exposure", "depth_s"), ("absorption", "nh_cm2")):
        ratio = drawn.true[block][key] / drawn.measured[block][key]
        assert np.log(ratio) == pytest.approx(phi[f"errors.{block}.{key}"], abs=1e-12)
        assert ratio != 1
    assert drawn.measured["absorption"] == EMBEDDED["absorption"]  # no condition
    assert before == SKY


def test_the_field_grows_as_the_depth_falls_within_limits():
    size = EMBEDDED["field"]["width_deg"] * EMBEDDED["field"]["height_deg"]
    for number in range(1, 41):
        sky = draw_sky(SKY, "prior", str(number))
        factor = sky.measured["field"]["width_deg"] * sky.measured["field"]["height_deg"] / size
        depth_ratio = 1180.0 / sky.measured["exposure"]["depth_s"]
        assert factor == pytest.approx(min(max(depth_ratio, 0.5), 8.0))
        assert sky.true["field"] == sky.measured["field"]


def test_a_sky_without_a_prior_stays_as_it_is():
    drawn = draw_sky(EMBEDDED, "embedded", "01")
    assert drawn.true is EMBEDDED
    assert drawn.measured is EMBEDDED
    assert (drawn.universe, drawn.phi) == (0, [])


def test_draws_of_a_normal_distribution_end_at_five_standard_deviations():
    class Far:
        def standard_normal(self):
            return -9.0

    assert draw({"normal": [1.0, 0.1]}, Far()) == pytest.approx(0.5)
    assert draw({"normal": [1.0, 0.1]}, generator(1, "x")) != pytest.approx(0.5)

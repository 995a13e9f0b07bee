import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import kstest

from clustermass.simulate.profiles import RadialProfiles

NODES = np.array([0.1, 0.3, 1.0, 2.0])


def _brightness(radius, log_nodes):
    return np.exp(np.interp(np.log(max(radius, NODES[0])), np.log(NODES), log_nodes))


@settings(max_examples=25, deadline=None)
@given(arrays(float, 4, elements=st.floats(-8, 3)), st.floats(0.02, 2.0))
def test_enclosed_is_the_integral(log_nodes, radius):
    profiles = RadialProfiles.from_nodes(NODES, log_nodes[None, :])
    breaks = [x for x in NODES if x < radius]
    integral, _ = quad(lambda r: 2 * np.pi * r * _brightness(r, log_nodes), 0, radius, points=breaks or None)
    assert profiles.enclosed(np.array([radius]))[0] == pytest.approx(integral, rel=1e-4, abs=1e-12)


def test_drawn_radii_follow_the_profile_up_to_its_cut():
    log_nodes = np.array([[0.0, -1.0, -4.0, -5.0], [0.0, 0.0, 0.0, 0.0]])
    profiles = RadialProfiles.from_nodes(NODES, log_nodes)
    profiles = dataclasses.replace(profiles, total=profiles.total * np.array([0.9, 1.0]))
    radius = profiles.draw_radius(np.random.default_rng(1), np.zeros(10_000, dtype=int))
    enclosed = [profiles[np.zeros(1, dtype=int)].enclosed(np.array([r]))[0] for r in np.linspace(0, 2, 400)]
    assert kstest(radius, lambda r: np.interp(r, np.linspace(0, 2, 400), enclosed) / profiles.total[0]).pvalue > 0.01
    uniform = profiles.draw_radius(np.random.default_rng(2), np.ones(10_000, dtype=int))
    assert kstest(uniform**2 / 4, "uniform").pvalue > 0.01


def test_a_growth_curve_of_slope_zero_is_finite():
    profiles = RadialProfiles.from_nodes(np.array([1.0, 2.0]), np.array([[0.0, -2 * np.log(2.0)]]))
    assert profiles.total[0] == pytest.approx(np.pi + 2 * np.pi * np.log(2.0), rel=1e-5)


def _beta_model(radius):
    return np.exp(-1.0) * (1 + (radius / 0.2) ** 2) ** -1.5


def test_a_smooth_profile_passes_through_the_nodes_and_has_no_kinks():
    nodes = np.geomspace(0.025, 1.8, 13)
    log_nodes = np.log(_beta_model(nodes))[None, :]
    smooth, plain = RadialProfiles.smooth(nodes, log_nodes), RadialProfiles.from_nodes(nodes, log_nodes)
    assert smooth.nodes[::5] == pytest.approx(nodes, rel=1e-12)
    assert smooth.brightness[:, ::5] == pytest.approx(plain.brightness, rel=1e-12)
    # largest change of the slope from one power law to the next
    assert np.abs(np.diff(smooth.slope)).max() < 0.3 * np.abs(np.diff(plain.slope)).max()
    true = quad(lambda r: 2 * np.pi * r * _beta_model(r), 0.025, 1.0)[0] + np.pi * 0.025**2 * _beta_model(0.025)
    one = np.ones(1)
    assert smooth.enclosed(one)[0] == pytest.approx(true, rel=2e-3)
    assert abs(plain.enclosed(one)[0] / true - 1) > 5e-3


def test_scaled_profiles_have_the_same_shape():
    log_nodes = np.array([[0.0, -1.0, -4.0, -5.0], [0.0, 0.0, 0.0, 0.0]])
    plain, factor = RadialProfiles.from_nodes(NODES, log_nodes), np.array([2.0, 0.5])
    expected = RadialProfiles.from_nodes(NODES, log_nodes + np.log(factor)[:, None])
    for name, values in vars(plain.scaled(factor)).items():
        assert values == pytest.approx(getattr(expected, name)), name

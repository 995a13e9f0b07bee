"""Optical confirmation of planted candidates, and the calibration of F_CONT over many mock skies."""

import numpy as np
import pytest

from clustermass.catalogues.confirm import OpticalHaloes, Positions, confirm

PARAMETERS = {"radius_r500": 1.0, "damping_r500": 0.6}
RA, DEC = 359.999, 10.0  # the field lies across RA = 0


def _positions(rng, number, width=4.0):
    return Positions((RA + rng.uniform(-width, width, number) / 2) % 360, DEC + rng.uniform(-width, width, number) / 2)


def _field(planted, seed=1, number=1500):
    """Return haloes of low richness at z < 0.6, then `planted` ones: (east arcsec, north arcsec, z, richness)."""
    rng = np.random.default_rng(seed)
    ra, dec = _positions(rng, number)
    east, north, z, richness = np.array(planted, dtype=float).reshape(-1, 4).T
    return OpticalHaloes(
        np.append(ra, (RA + east / 3600 / np.cos(np.radians(DEC))) % 360),
        np.append(dec, DEC + north / 3600),
        np.append(rng.uniform(0.1, 0.6, number), z),
        np.full(number + len(z), 2.0),
        np.append(2 + rng.exponential(3, number), richness),
    ), np.arange(number, number + len(z))


def _confirm(planted, **changes):
    """Confirm a candidate at (RA, DEC), among 80 candidates at random positions."""
    haloes, rows = _field(planted)
    rng = np.random.default_rng(2)
    others = _positions(rng, 80)
    candidates = Positions(np.append(RA, others.ra), np.append(DEC, others.dec))
    found = confirm(candidates, haloes, _positions(rng, 5000), PARAMETERS | changes)
    return found[0], rows


@pytest.mark.parametrize("redshifts", [(0.3, 0.3), (0.3, 0.5), (0.5, 0.3)])
def test_of_two_haloes_on_one_line_of_sight_the_richest_wins(redshifts):
    found, (poor, rich) = _confirm([(10, 0, redshifts[0], 12.0), (0, 10, redshifts[1], 40.0)])
    assert found.halo == rich != poor
    assert found.f_cont < 0.01
    assert found.separation_arcsec == pytest.approx(10, abs=0.01)
    assert found.richness == pytest.approx(40 * np.exp(-0.5 * (10 / (0.6 * 120)) ** 2), rel=1e-4)


def test_richness_counts_against_that_of_chance_haloes_at_the_same_redshift():
    found, (rare, common) = _confirm([(0, 10, 0.9, 4.0), (10, 0, 0.3, 4.5)])  # nothing else lies at z > 0.6
    assert found.halo == rare != common


def test_a_candidate_far_from_all_haloes_is_not_confirmed():
    found, _ = _confirm([(0, 121, 0.3, 90.0)])
    haloes, _ = _field([])
    assert found.f_cont > 0.3
    empty = confirm(Positions(np.array([0.0]), np.array([-80.0])), haloes, Positions(haloes.ra, haloes.dec), PARAMETERS)
    assert empty.halo[0] == -1
    assert empty.f_cont[0] == 1.0
    assert np.isnan([empty.separation_arcsec[0], empty.richness[0]]).all()


def test_f_cont_falls_with_richness_and_the_radius_limits_the_search():
    values = [_confirm([(30, 0, 0.35, richness)])[0].f_cont for richness in (3, 6, 9, 12, 15, 25, 50)]
    assert values[0] > 0.1 > values[-2] >= values[-1]
    assert np.all(np.diff(values) <= 1e-12)
    inside, rows = _confirm([(59, 0, 0.3, 50.0)], radius_r500=0.5)
    assert inside.halo == rows[0]
    assert _confirm([(61, 0, 0.3, 50.0)], radius_r500=0.5)[0].halo != rows[0]


def test_a_field_without_haloes_confirms_nothing():
    haloes, _ = _field([])
    none = confirm(
        _positions(np.random.default_rng(1), 5), haloes[:0], _positions(np.random.default_rng(2), 9), PARAMETERS
    )
    assert none.halo.tolist() == [-1] * 5
    assert none.f_cont.tolist() == [1.0] * 5


def _mock(seed, clusters=400, spurious=100):
    """Return F_CONT and whether a candidate is spurious, for a mock sky in which every third position has a halo."""
    rng = np.random.default_rng(seed)
    z, richness = np.expm1(rng.uniform(0.05, 0.8, 12_000)), 5 * (1 - rng.random(12_000)) ** (-1 / 1.6)
    haloes = OpticalHaloes(
        *_positions(rng, 12_000, 2.5), z, 0.6 * (richness / 20) ** (1 / 3) / (z / 0.3) ** 0.6, richness
    )
    weight = richness**2 * np.exp(-z / 0.3)
    true = rng.choice(12_000, clusters, replace=False, p=weight / weight.sum())
    north, bad = rng.normal(0, 15 / 3600, clusters), _positions(rng, spurious, 2.5)
    candidates = Positions(np.append(haloes.ra[true], bad.ra), np.append(haloes.dec[true] + north, bad.dec))
    found = confirm(candidates, haloes, _positions(rng, 10_000, 2.5), PARAMETERS)
    return found.f_cont, np.arange(clusters + spurious) >= clusters


def test_f_cont_states_the_contamination_of_a_sample_below_it():
    f_cont, spurious = (np.concatenate(parts) for parts in zip(*(_mock(seed) for seed in range(20)), strict=True))
    for limit in (0.1, 0.15, 0.2, 0.25):
        sample = f_cont < limit
        expected = limit * spurious.mean() * sample.sum()
        assert spurious[sample].sum() == pytest.approx(expected, abs=3 * np.sqrt(expected)), limit

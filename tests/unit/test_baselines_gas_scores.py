import numpy as np
import pytest
from bayes_limit_inputs import BANDS_EV, COSMOLOGY, REDSHIFT, RICH, drawn, model, sky
from scipy.stats import ks_2samp

from clustermass.baselines.gas_scores import GasModel, GivenScores
from clustermass.errors import InputError


@pytest.mark.parametrize("rich", [False, True])
def test_normal_scores_give_the_photons_that_the_simulation_draws(rich):
    # the two samples differ by chance with a probability of 0.1 % in each of these numbers
    of, mass = model(rich), np.full(3000, 14.3)
    simulated = of.rings.rates(drawn(of, mass))
    ours = of.rates(REDSHIFT, mass, np.random.default_rng(2).standard_normal((3000, len(of.used))))
    for number in (
        lambda rate: rate.sum(axis=(1, 2)),
        lambda rate: rate[:, :2].sum(axis=(1, 2)) / rate.sum(axis=(1, 2)),
        lambda rate: rate[:, 7:].sum(axis=(1, 2)) / rate.sum(axis=(1, 2)),
        lambda rate: rate[..., 3].sum(axis=1) / rate.sum(axis=(1, 2)),
    ):
        assert number(simulated).std() > 0
        assert ks_2samp(number(simulated), number(ours)).pvalue > 1e-3


def test_only_scores_that_move_photons_are_used():
    # four components, temperature and axis ratio; then also bias, radius, and no scatter of L500 that has no cause
    assert len(model().used) == 6
    assert len(model(True).used) > 7
    plain = GasModel.from_config(sky(**{**RICH, "shape_radius_scatter": 0.0}), COSMOLOGY, BANDS_EV)
    assert len(plain.used) == len(model(True).used) - 1


def test_haloes_below_the_flux_limit_have_no_photons():
    of = model()
    rates = of.rates(1.2, np.array([13.0, 14.8]), np.zeros((2, len(of.used))))
    assert not rates[0].any()
    assert rates[1].sum() > 0


def test_a_method_that_was_not_foreseen_is_no_random_number():
    with pytest.raises(AttributeError):
        GivenScores(np.zeros((1, 3))).uniform(size=1)
    with pytest.raises(ValueError):
        GivenScores(np.zeros((1, 3))).standard_normal((1, 4))


def test_gas_that_depends_on_other_haloes_is_refused():
    with pytest.raises(InputError, match=r"luminosity_temperature_correlation.*Set `scaling: relations`"):
        GasModel.from_config(sky(luminosity_temperature_correlation=0.9), COSMOLOGY, BANDS_EV)

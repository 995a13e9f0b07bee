import numpy as np
import pytest
from bayes_limit_inputs import DENSITY, MASSES, REDSHIFT, drawn, masses, model
from scipy.stats import kstest, poisson

from clustermass.baselines.bayes_limit import VIEWS, MassPrior, Observation, log_likelihood, mass_posterior

EXPOSURE = np.full(11, 1200.0)
PRIOR = MassPrior(MASSES, DENSITY)


def _observed(rates, rng, exposure=EXPOSURE):
    background = model().rings.background(exposure, exposure)
    counts = rng.poisson(rates * exposure[:, None] + background).astype(float)
    return Observation(REDSHIFT, counts, exposure, background)


def _posterior(rates, seed=1, exposure=EXPOSURE):
    rng = np.random.default_rng(seed)
    return mass_posterior(model(), _observed(rates, rng, exposure), PRIOR, rng, enough=400)


def test_the_likelihood_is_a_sum_of_poisson_probabilities():
    counts, mean = np.array([0.0, 2.0, 7.0]), np.array([[0.5, 1.0, 9.0], [2.0, 3.0, 4.0]])
    by_hand = [sum(poisson.logpmf(k, m) for k, m in zip(counts, row, strict=True)) for row in mean]
    ours = log_likelihood(counts, mean)
    assert ours[1] - ours[0] == pytest.approx(by_hand[1] - by_hand[0], rel=1e-12)


def test_views_use_all_photons_or_parts_of_them():
    counts = np.arange(22.0).reshape(11, 2)
    assert VIEWS["all"](counts).tolist() == counts.ravel().tolist()
    assert VIEWS["no_energy"](counts).tolist() == counts.sum(axis=1).tolist()
    assert VIEWS["rate"](counts).tolist() == [counts[:7].sum()]  # the seventh ring ends at 120 arcsec


def test_without_exposure_the_posterior_is_the_prior():
    result = _posterior(np.zeros((11, 4)), exposure=np.zeros(11))
    total = np.trapezoid(DENSITY, MASSES)
    mean = np.trapezoid(DENSITY * MASSES, MASSES) / total
    deviation = np.sqrt(np.trapezoid(DENSITY * (MASSES - mean) ** 2, MASSES) / total)
    for view in VIEWS:
        assert result.sample_size(view) > 300
        assert result.mean(view) == pytest.approx(mean, abs=5 * deviation / np.sqrt(result.sample_size(view)))
        assert result.deviation(view) == pytest.approx(deviation, rel=0.1)


def test_the_posterior_is_that_of_plain_draws_from_the_prior():
    # without proposals, at the price of a hundred times as many draws
    rng = np.random.default_rng(3)
    of, seen = model(), _observed(model().rings.rates(drawn(model(), np.array([14.2])))[0], rng)
    result = mass_posterior(of, seen, PRIOR, rng)
    mass = masses(60_000, rng)
    mean = of.rates(REDSHIFT, mass, rng.standard_normal((len(mass), len(of.used)))) * 1200 + seen.background
    for view, cells in VIEWS.items():
        log_weight = poisson.logpmf(cells(seen.counts), cells(mean)).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        size = 1 / (weight**2).sum()
        assert size > 100
        expected = weight @ mass
        deviation = np.sqrt(weight @ (mass - expected) ** 2)
        error = deviation * np.sqrt(1 / size + 1 / result.sample_size(view))
        assert result.mean(view) == pytest.approx(expected, abs=3 * error)
        assert result.deviation(view) == pytest.approx(deviation, abs=3 * error)


def test_more_photons_narrow_the_posterior_and_views_with_less_are_wider():
    of, number = model(), 6
    rates = of.rings.rates(drawn(of, np.full(number, 14.3)))
    short = [_posterior(rate, seed) for seed, rate in enumerate(rates)]
    long = [_posterior(rate, seed, 10 * EXPOSURE) for seed, rate in enumerate(rates)]
    width = {view: np.mean([one.deviation(view) for one in short]) for view in VIEWS}
    assert np.mean([one.deviation("all") for one in long]) < 0.9 * width["all"]
    assert width["all"] < width["no_energy"] < width["rate"]


@pytest.mark.parametrize(("rich", "number"), [(False, 60), (True, 40)])
def test_posteriors_are_calibrated(rich, number):
    # The gas is drawn with real random generators. A right posterior fails each of the three checks of a view with a
    # probability of 0.1 to 0.3 %.
    of, rng = model(rich), np.random.default_rng(5)
    mass = masses(number, rng)
    rates = of.rings.rates(drawn(of, mass))
    result = [mass_posterior(of, _observed(rate, rng), PRIOR, rng, enough=250) for rate in rates]
    for view in VIEWS:
        mean, deviation, below, size = np.array(
            [
                (one.mean(view), one.deviation(view), one.below(view, true), one.sample_size(view))
                for one, true in zip(result, mass, strict=True)
            ]
        ).T
        residual = mean - mass
        assert np.mean(size > 200) >= 0.95
        assert kstest(below, "uniform").pvalue > 1e-3
        assert abs(residual.mean()) < 3 * residual.std() / np.sqrt(number)
        assert np.sqrt(np.mean(deviation**2)) / residual.std() == pytest.approx(1, abs=3 / np.sqrt(2 * number))

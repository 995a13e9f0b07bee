"""Numbers of Krippendorf, Baron Perez et al. (2023, arXiv:2305.00016), and of each how ours is had."""

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot

from clustermass.paper.evidence import Evidence
from clustermass.paper.verdicts import (
    NOT_MEASURED,
    Measured,
    agreement,
    change,
    contradicts,
    differs,
    no_difference,
    ratio_error,
    scatter_error,
)

#: test clusters of the paper: 15 % of 7,947 (sec. 2), and of the 1,156 with likelihoods above 60 (sec. 4)
N_TEST, N_TEST_HIGH = 1192, 173
#: our recipe and the paper's, by the names of their experiments, and the one that the paper's variations depart from
OURS, THEIRS, BASE = "fiducial", "krippendorf2023", "paper_like"

Had = Callable[[Evidence, str], Measured]


@dataclass(frozen=True)
class Number:
    """A published number.

    Attributes
    ----------
    what, where
        In words, and where in the paper.
    published, error
        Its value, and the sampling error that its test set leaves; None = it hangs on the sky, and ours needn't agree.
    ours
        How the same is had from a run, of an experiment.
    """

    what: str
    where: str
    published: float
    error: float | None
    ours: Had

    def verdict(self, measured: Measured) -> str:
        """Sentence on the two."""
        if self.error is None:
            return "another sky: not to be compared" if measured.value is not None else NOT_MEASURED
        return agreement(measured, self.published, self.error)


@dataclass(frozen=True)
class Change:
    """A change of the method.

    Attributes
    ----------
    experiment, what, where
        Its name here, in words, and where in the paper.
    published
        What the paper says of it.
    expected
        What that leaves open: worse (1), no difference (0), better (-1); empty = it says nothing.
    ratio
        Published scatter with the change over that without it, if it is.
    """

    experiment: str
    what: str
    where: str
    published: str
    expected: tuple[int, ...] = ()
    ratio: float | None = None

    def verdict(self, measured: Measured) -> str:
        """Sentence on the two."""
        found = change(measured, self.expected, ratio_error(1.0, N_TEST))
        known = measured.known()
        if known is None or self.ratio is None:
            return found
        return f"{found}; its size {agreement(measured, self.ratio, ratio_error(self.ratio, N_TEST))}"

    def unseen(self, measured: Measured) -> bool:
        """Whether there is no difference where the paper tells of one."""
        known = measured.known()
        return known is not None and bool(self.expected) and 0 not in self.expected and no_difference(*known)

    def contradicted(self, measured: Measured) -> bool:
        """Whether it does for certain what the paper denies, or as much as it denies."""
        size = self.ratio is not None and differs(measured, self.ratio, ratio_error(self.ratio, N_TEST))
        return size or contradicts(measured, self.expected, ratio_error(1.0, N_TEST))


def _test(key: str) -> Had:
    return lambda evidence, experiment: evidence.test(experiment, key)


def _over(baseline: str, block: str | None = None) -> Had:
    return lambda evidence, experiment: evidence.over(experiment, baseline, block)


def _bias(low: float) -> Had:
    return lambda evidence, experiment: evidence.bias_bin(experiment, low)


def _mean_sigma(evidence: Evidence, experiment: str) -> Measured:
    found = (evidence.of(experiment) or {}).get("test") or {}
    return Measured(found.get("mean_sigma_dex"), None, found.get("n"))


def _residual_over_sigma(evidence: Evidence, experiment: str) -> Measured:
    found = evidence.of(experiment) or {}
    value, n = (found.get("calibration") or {}).get("residual_std_over_mean_sigma"), found.get("n_test")
    return Measured(value, scatter_error(value, n) if value and n else None, n)


def _member_sigma(evidence: Evidence, experiment: str) -> Measured:
    found = (evidence.of(experiment) or {}).get("ensemble") or {}
    return Measured(found.get("member_over_ensemble_sigma_mean"), found.get("member_over_ensemble_sigma_std"))


def _high_over_all(evidence: Evidence, experiment: str) -> Measured:
    """Scatter above 60 over that of all, errors as if independent; of networks trained on these alone if run."""
    trained = experiment == THEIRS and evidence.of("high_likelihood") is not None
    high = evidence.test(
        *("high_likelihood", "scatter_dex") if trained else (experiment, "scatter_dex", "high_likelihood")
    )
    whole = evidence.test(BASE if trained else experiment, "scatter_dex")
    above, of_all = high.known(), whole.known()
    if above is None or of_all is None:
        return Measured(None, None)
    ratio = above[0] / of_all[0]
    return Measured(ratio, ratio * hypot(above[1] / above[0], of_all[1] / of_all[0]), high.n)


def _ratio(what: str, where: str, of: float, to: float, ours: Had, n: int = N_TEST) -> Number:
    return Number(what, where, of / to, ratio_error(of / to, n), ours)


#: of sec. 4 and Figs. 4 and 5
NUMBERS = (
    Number("scatter on the test set, dex", "Fig. 4", 0.188, None, _test("scatter_dex")),
    Number("mean predicted sigma, dex", "sec. 4", 0.188, None, _mean_sigma),
    Number("scatter ÷ mean sigma", "sec. 4", 1.0, scatter_error(1.0, N_TEST), _residual_over_sigma),
    _ratio("networks ÷ true luminosity, published relation", "sec. 4", 0.188, 0.197, _over("luminosity_published")),
    _ratio(
        "networks ÷ true luminosity, with the selection's effect on that relation",
        "sec. 4, Eq. 4",
        0.188,
        0.197,
        _over("luminosity_selected"),
    ),
    _ratio("networks ÷ count rate, eFEDS relation", "sec. 4", 0.188, 0.265, _over("count_rate_efeds")),
    _ratio("scatter above likelihoods of 60 ÷ of all", "sec. 4", 0.159, 0.188, _high_over_all, N_TEST_HIGH),
    _ratio(
        "networks ÷ true luminosity, above 60",
        "sec. 4",
        0.159,
        0.186,
        _over("luminosity_published", "high_likelihood"),
        N_TEST_HIGH,
    ),
    Number("bias for true log10 M 13.0-13.5, dex", "Fig. 5", 0.121, None, _bias(13.0)),
    Number("bias for true log10 M 14.5-15.0, dex", "Fig. 5", -0.177, None, _bias(14.5)),
    Number("sigma of a member ÷ of the ensemble, ± its spread", "sec. 4", 0.951, 0.039, _member_sigma),
)

#: of Table C.1 and Appendices A and B
CHANGES = (
    Change("redshift_noise_001", "noise of 0.01 in the redshift", "Table C.1", "0.989 = 0.186 ÷ 0.188", (0,), 0.989),
    Change("redshift_noise_01", "noise of 0.1 in the redshift", "Table C.1", "1.085 = 0.204 ÷ 0.188", (1,), 1.085),
    Change("redshift_noise_02", "noise of 0.2 in the redshift", "Table C.1", "1.191 = 0.224 ÷ 0.188", (1,), 1.191),
    Change("no_redshift", "no redshift at all", "", ""),
    Change("uniform_mass", "weights to a uniform distribution of mass", "Fig. 8", "slightly worse", (1,)),
    Change("no_smoothing", "no smoothing", "App. A", "smoothing supports learning", (1,)),
    Change("smoothing_sky", "smoothing on the sky, not in energy", "App. A", "in energy it improves", (1,)),
    Change("single_band", "one energy band instead of ten", "sec. 5", "energy usable in principle"),
    Change("size_100", "boxes of about 100 pixels", "App. B", "300 is best", (1,)),
    Change("size_200", "boxes of about 200 pixels", "App. B", "300 is best", (1,)),
    Change("size_500", "boxes of about 500 pixels", "App. B", "no improvement", (0, 1)),
    Change("halo_centre", "the halo's centre, not the detected one", "App. B", "no difference", (0,)),
    Change("redshift_scaled", "boxes scaled by redshift", "App. B", "no better", (0, 1)),
    Change("max_pooling", "maximum instead of average pooling", "App. B", "average is better", (1,)),
    Change("squared_log", "loss: squared error of log mass", "App. B", "similar", (0,)),
    Change("percentage", "loss: absolute percentage error", "App. B", "similar", (0,)),
    Change("squared_log1p", "loss: squared logarithmic error", "App. B", "similar", (0,)),
    Change("classification", "classes of mass instead of a Gaussian", "App. B", "not improved", (0, 1)),
    Change("fainter", "trained on fainter detections too", "sec. 5", "other samples often made it worse", (1,)),
    Change(OURS, "our recipe instead of one like the paper's", "", ""),
    Change("high_likelihood", "trained on clusters above 60 alone, judged on those", "sec. 4", ""),
)

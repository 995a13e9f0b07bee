"""Published numbers that the simulated sky is compared with, each with its error and its source.

Numbers alone are kept here, no tables. Those of eFEDS sum up the public tables of Liu, Klein (2022) and Chiu (2023) et
al.: Liu and Klein are joined by ID_SRC, Chiu's masses, log10(M500c h / Msun) with h = 0.7, to Klein by Name. All tables
hold the 542 extended candidates; "confirmed" are the 477 with F_CONT_BEST_COMB < 0.3, and 453 with F_CONT_BEST_COMB <
0.2 have masses to rely on. Redshifts are Z_BEST_COMB. Errors are those of one field: square roots of numbers, and of
quantiles what binomial statistics gives for their rank.
"""

from dataclasses import dataclass
from typing import NamedTuple

BRUNNER = "Brunner et al. 2022"
CHIU = "Chiu et al. 2023, 453 clusters"
CONFIRMED = "Klein et al. 2022, 477 confirmed"
ALL = "Klein et al. 2022, all 542"
KRIPPENDORF = "Krippendorf et al. 2023, 18 mock fields"
LIU = "Liu, Klein et al. 2022, 433 confirmed"
COSMOS = "Finoguenov et al. 2007 (COSMOS)"
SURVEYS = "ROSAT and XMM-Newton surveys, rounded"
PROTOTYPE = "prototype of this sky, no observation"

#: deg2 with any exposure: 27,369 point sources are 193 per deg2
EFEDS_DEG2 = 142.0
#: quantiles in which distributions are told, in percent
PERCENT = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Fact:
    """A published number, its standard error (None = not told) and where it stands."""

    value: float
    error: float | None
    source: str


class Distribution(NamedTuple):
    """Quantiles at `PERCENT` as (value, standard error), and their source."""

    quantiles: tuple[tuple[float, float], ...]
    source: str

    def fact(self, percent: int) -> Fact:
        """Return one quantile; ValueError if `percent` is none of `PERCENT`."""
        return Fact(*self.quantiles[PERCENT.index(percent)], self.source)


def number(count: float, source: str, of: float = 1.0) -> Fact:
    """Return `count` things, or per `of` fields or deg2, with the square root of the count as its error."""
    return Fact(count / of, count**0.5 / of, source)


#: erg/s/cm2, 0.5-2 keV -> clusters per deg2 above it
CLUSTER_DENSITY = {
    3e-15: number(72, COSMOS, of=2.1),
    1e-14: Fact(12.0, None, SURVEYS),
    1e-13: Fact(0.9, None, SURVEYS),
}
#: DET_LIKE -> point sources per deg2 above it. The main catalogue ends at 6: 27,910 sources, 541 of them among the 542
#: extended ones; the supplementary one adds 4,774 down to 5, the 542nd among them
POINT_SOURCES = {
    6: number(27910 - 541, BRUNNER, of=EFEDS_DEG2),
    5: number(27910 + 4774 - 542, BRUNNER + ", with the supplement", of=EFEDS_DEG2),
}

HALOES = number(148833, KRIPPENDORF, of=18)
DETECTED = number(25031, KRIPPENDORF + ", Fig. 2", of=18)
SELECTED = number(7947, KRIPPENDORF, of=18)
BRIGHT = number(1156, KRIPPENDORF, of=18)
EFEDS_CANDIDATES = number(542, ALL)
EFEDS_CONFIRMED = number(477, CONFIRMED)
#: both likelihoods above 60
EFEDS_BRIGHT = number(53, ALL)
EFEDS_SPURIOUS = Fact(1 - 477 / 542, (477 * 65 / 542**3) ** 0.5, CONFIRMED)

#: as the abstracts of Chiu et al. 2022 and Liu et al. 2022 put it; the quantiles below are ours
MEDIAN_MASS = Fact(14.17, 0.02, "Chiu et al. 2022")
MEDIAN_REDSHIFT = Fact(0.35, 0.006, "Liu et al. 2022")

MASS = Distribution(((13.65, 0.027), (13.97, 0.019), (14.16, 0.019), (14.33, 0.014), (14.58, 0.035)), CHIU)
REDSHIFT = Distribution(
    ((0.1098, 0.016), (0.2446, 0.014), (0.3497, 0.007), (0.4772, 0.016), (0.8084, 0.027)), CONFIRMED
)
#: ML_CTS, counts in 0.2-2.3 keV, of all candidates and of the confirmed clusters
COUNTS = Distribution(((47.27, 0.78), (71.8, 2.5), (105.1, 4.4), (177.4, 11.0), (529.9, 120.0)), ALL)
CONFIRMED_COUNTS = Distribution(((49.9, 2.0), (78.84, 2.8), (115.5, 5.4), (194.5, 9.6), (580.2, 90.0)), CONFIRMED)
#: EXT, arcsec
EXTENT = Distribution(((9.918, 0.43), (15.93, 0.42), (26.72, 1.3), (39.56, 1.5), (59.97, 0.22)), ALL)
DET_LIKE = Distribution(((14.38, 0.84), (24.6, 0.95), (42.42, 1.5), (80.0, 4.7), (376.0, 64.0)), ALL)
#: ML_EXP, s
EXPOSURE = Distribution(((784.7, 58.0), (1113.0, 11.0), (1180.0, 0.74), (1198.0, 3.3), (1941.0, 100.0)), ALL)
#: ML_BKG / ML_EXP, counts/arcmin2/ks in 0.2-2.3 keV
BACKGROUND = Distribution(((5.371, 0.012), (5.701, 0.03), (6.001, 0.028), (6.47, 0.047), (8.978, 1.4)), ALL)
#: F_500kpc / ML_RATE, 1e-13 erg/cm2 per count, of the confirmed clusters with a measured F_500kpc
FLUX_OVER_RATE = Distribution(((2.596, 0.081), (4.078, 0.074), (5.14, 0.083), (6.41, 0.16), (10.92, 0.56)), LIU)

#: ML_RATE in count/s, 0.2-2.3 keV -> confirmed clusters per deg2 above it
RATE_DENSITY = {
    0.05: number(425, CONFIRMED, of=EFEDS_DEG2),
    0.1: number(234, CONFIRMED, of=EFEDS_DEG2),
    0.2: number(97, CONFIRMED, of=EFEDS_DEG2),
    0.4: number(34, CONFIRMED, of=EFEDS_DEG2),
}

#: log10 M500c = log10_mass + slope_rate log10(ML_RATE / pivot_rate) + linear_z q + quadratic_z q^2, with
#: q = log10((1 + z) / (1 + pivot_z)): fitted to the 453 masses, which follow it with an rms of 0.035 dex
MASS_RELATION = {
    "log10_mass": 14.119,
    "slope_rate": 0.585,
    "linear_z": 4.311,
    "quadratic_z": -11.548,
    "pivot_rate": 0.1,
    "pivot_z": 0.35,
}

"""Sentences on whether two numbers agree: the only place where the page draws conclusions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt

#: a difference of fewer standard errors is taken for none, of more than `CLEAR` for certain
NOTABLE, CLEAR = 2.0, 3.0
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Measured:
    """A number with its standard error, and how many clusters it comes from; None = it couldn't be had."""

    value: float | None
    error: float | None
    n: int | None = None

    def known(self) -> tuple[float, float] | None:
        """Value and error, or None where either is missing."""
        return None if self.value is None or self.error is None else (self.value, self.error)


def scatter_error(scatter: float, n: int) -> float:
    """Return the sampling error of a standard deviation of `n` Gaussian residuals: scatter / sqrt(2 n)."""
    return scatter / sqrt(2 * n)


def ratio_error(ratio: float, n: int) -> float:
    """Return the error of a ratio of two scatters of `n` clusters, as if they were independent of each other."""
    return ratio / sqrt(n)


def agreement(ours: Measured, published: float, published_error: float) -> str:
    """Compare our number with a published one, whose error is the sampling error of its own test set."""
    known = ours.known()
    if known is None:
        return NOT_MEASURED
    sigmas = _sigmas(known, published, published_error)
    if abs(sigmas) < NOTABLE:
        return f"agrees ({sigmas:+.1f} σ)"
    return f"{'higher' if sigmas > 0 else 'lower'} than published ({sigmas:+.1f} σ)"


def differs(ours: Measured, published: float, published_error: float) -> bool:
    """Whether our number and a published one differ for certain."""
    known = ours.known()
    return known is not None and abs(_sigmas(known, published, published_error)) >= CLEAR


def _sigmas(known: tuple[float, float], published: float, published_error: float) -> float:
    """Difference of a value with its error from a published one, in both errors together."""
    return (known[0] - published) / hypot(known[1], published_error)


def no_difference(ratio: float, error: float) -> bool:
    """Whether a ratio is taken for 1."""
    return abs(ratio - 1) < NOTABLE * error


def contradicts(ratio: Measured, expected: Sequence[int], published_error: float) -> bool:
    """Whether a change of the method does for certain what the paper denies; parameters as of `change`."""
    known = ratio.known()
    if known is None or not expected or abs(known[0] - 1) < CLEAR * known[1]:
        return False
    if (1 if known[0] > 1 else -1) in expected:
        return False
    return 0 not in expected or differs(ratio, 1.0, published_error)


def change(ratio: Measured, expected: Sequence[int], published_error: float) -> str:
    """Tell what a change of the method does to the scatter, and whether the paper found the same.

    Parameters
    ----------
    ratio
        Scatter with the change over scatter without it.
    expected
        What the paper's words leave open: 1 = worse, 0 = no difference, -1 = better; empty = they tell nothing.
    published_error
        Of the ratio that it saw: what is smaller than that it couldn't see.
    """
    known = ratio.known()
    if known is None:
        return NOT_MEASURED
    value, error = known
    sigmas = (value - 1) / error
    found = 0 if no_difference(value, error) else (1 if sigmas > 0 else -1)
    percent = 100 * abs(value - 1)
    words = {
        0: f"no difference seen; one of {100 * CLEAR * error:.1f} % would be seen at 3 σ",
        1: f"worse by {percent:.1f} % ({abs(sigmas):.1f} σ)",
        -1: f"better by {percent:.1f} % ({abs(sigmas):.1f} σ)",
    }
    if not expected:
        return words[found]
    if found in expected:
        return f"{words[found]}: as published"
    if found and 0 in expected and abs(_sigmas(known, 1.0, published_error)) < NOTABLE:
        return f"{words[found]}: too little for the paper to see"
    return f"{words[found]}: {_otherwise(found, expected, contradicts(ratio, expected, published_error))}"


def _otherwise(found: int, expected: Sequence[int], certain: bool) -> str:
    if found == 0:
        return "the published difference isn't seen"
    if tuple(expected) == (0,):
        return "the paper saw none" if certain else "the paper saw none; not certain here"
    return "contradicts the paper" if certain else "against the paper, not certain"


def settled(ratio: Measured) -> str:
    """Tell whether a ratio of scatters below 1 is a gain beyond doubt."""
    known = ratio.known()
    if known is None:
        return NOT_MEASURED
    value, error = known
    sigmas = (1 - value) / error
    if abs(sigmas) < CLEAR:
        return f"undecided, a {'gain' if sigmas > 0 else 'loss'} of {100 * abs(1 - value):.1f} % at {abs(sigmas):.1f} σ"
    return f"a {'gain' if sigmas > 0 else 'loss'} of {100 * abs(1 - value):.1f} % at {abs(sigmas):.0f} σ"

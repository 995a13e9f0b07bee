"""Figures: each function returns a Matplotlib figure, drawn from data in memory or from the files of a run.

::

    from clustermass import figures

    figure = figures.predictions("results/default/fiducial/predictions.nc")
    figure.savefig("predictions.pdf")

A notebook shows the figure if the call is the last line of a cell. All functions have the keyword `style`, the name or
path of a Matplotlib style sheet, which is applied on top of ours.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clustermass.figures._baselines import baselines, learning_curve
    from clustermass.figures._bias import bias, bias_supplement, weighting
    from clustermass.figures._comparison import comparison
    from clustermass.figures._observed import observed, published_masses
    from clustermass.figures._predictions import calibration, predictions
    from clustermass.figures._recovered import recovered
    from clustermass.figures._sample import energy_bands, sample
    from clustermass.figures._sky_validation import sky_validation
    from clustermass.figures._spread import spread
    from clustermass.figures._training import training

__all__ = [
    "baselines",
    "bias",
    "bias_supplement",
    "calibration",
    "comparison",
    "energy_bands",
    "learning_curve",
    "observed",
    "predictions",
    "published_masses",
    "recovered",
    "sample",
    "sky_validation",
    "spread",
    "training",
    "weighting",
]
#: figures whose module isn't named after them
_MODULES = {
    "bias_supplement": "bias",
    "calibration": "predictions",
    "energy_bands": "sample",
    "learning_curve": "baselines",
    "published_masses": "observed",
    "weighting": "bias",
}


def __getattr__(name: str) -> Any:
    """Return the function that draws the figure `name`.

    Modules of figures are imported only on demand, so that a change of one doesn't re-run the other figures.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._{_MODULES.get(name, name)}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

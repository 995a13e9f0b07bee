"""Words and symbols that several figures share: axis labels, names and marks of the predictors."""

from typing import NamedTuple

from clustermass.figures import style

TRUE_MASS = r"true $\log_{10}(M_{500c}/M_\odot)$"
PREDICTED_MASS = r"predicted $\log_{10}(M_{500c}/M_\odot)$"
MASS = r"$\log_{10}(M_{500c}/M_\odot)$"
SIGMA = r"predicted $\sigma$ [dex]"
RESIDUAL = r"$\log_{10} M_\mathrm{pred} - \log_{10} M_\mathrm{true}$ [dex]"


class Predictor(NamedTuple):
    """How a predictor of masses is named and drawn."""

    label: str
    colour: str
    marker: str


#: in the order in which figures list them; luminosities and temperatures are the simulation's true ones
PREDICTORS: dict[str, Predictor] = {
    "network": Predictor("network ensemble", style.BLUE, "o"),
    "boosted_trees": Predictor("boosted trees on hand-made features", style.GREEN, "P"),
    "ridge_features": Predictor("ridge regression on hand-made features", style.SKY_BLUE, "D"),
    "luminosity_temperature": Predictor("true luminosity and temperature", style.GREY, "d"),
    "luminosity_recalibrated": Predictor("true luminosity, recalibrated", style.ORANGE, "^"),
    "luminosity_published": Predictor("true luminosity, Chiu et al. 2022", style.VERMILION, "v"),
    "luminosity_selected": Predictor("true luminosity, Chiu, with selection", style.VERMILION, "<"),
    "count_rate_recalibrated": Predictor("count rate, recalibrated", style.PURPLE, "s"),
    "count_rate_efeds": Predictor("count rate, eFEDS relation", style.BLACK, "X"),
    "prior": Predictor("redshift only", style.LIGHT_GREY, "*"),
}


def predictor(name: str) -> Predictor:
    """Return label, colour and marker of a predictor; one that isn't known yet gets its name in grey."""
    return PREDICTORS.get(name, Predictor(name.replace("_", " "), style.GREY, "h"))


def in_order(names: list[str]) -> list[str]:
    """Sort predictors as `PREDICTORS` lists them, unknown ones last in alphabetical order."""
    known = list(PREDICTORS)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))

"""The keys of a sky's prior: which of its parameters differ between realizations, and how they are distributed."""

from typing import Annotated, NotRequired, TypeAlias

from typing_extensions import TypedDict

from clustermass.config.kinds import Count, key

Pair: TypeAlias = Annotated[list[float], key(min_length=2, max_length=2)]
Factor: TypeAlias = Annotated[float, key(gt=0, le=100)]
#: dotted path of a number in a sky; [n] at its end is a place in a list, counted from 0
SKY_KEY = r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+(\[[0-9]\])?$"
SkyKey: TypeAlias = Annotated[str, key(pattern=SKY_KEY)]


class ParameterDistribution(TypedDict, total=False):
    """Distribution of a parameter; exactly one of the keys."""

    normal: Annotated[Pair, key("mean and standard deviation; no draw is farther from the mean than 5 of these")]
    uniform: Annotated[Pair, key("lower and upper end")]


class Distribution(ParameterDistribution, total=False):
    """Distribution of a number; exactly one of the keys."""

    log_uniform: Annotated[Pair, key("lower and upper end; the logarithm is uniform")]


class Prior(TypedDict):
    """Prior distribution of a simulated sky's parameters. Without this block, all realizations have the same."""

    realizations_per_universe: Annotated[
        Count, key("this many successive realizations have the same parameters, but other haloes and conditions")
    ]
    parameters: Annotated[
        dict[SkyKey, ParameterDistribution],
        key("key of the sky, such as clusters.component_mean[0] -> its distribution"),
    ]
    errors: NotRequired[
        Annotated[
            dict[SkyKey, Annotated[float, key(gt=0, le=0.5)]],
            key("key of the sky that an observer measures -> standard deviation of ln(true / measured)"),
        ]
    ]
    conditions: NotRequired[
        Annotated[
            dict[SkyKey, Distribution],
            key("key of the sky that an observer measures -> distribution of the measured value over realizations"),
        ]
    ]
    area_factor: NotRequired[
        Annotated[
            list[Factor],
            key(
                "the field's area is multiplied by (depth_s of the sky / that of the realization), within these limits",
                min_length=2,
                max_length=2,
            ),
        ]
    ]

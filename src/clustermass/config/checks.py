"""Checks that a schema can't make: names that point to other blocks, sums, and values that must fit together."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from clustermass.config.image_checks import (
    check_grids,
    check_image_names,
    check_images,
    check_scaled_controls,
    side_pixels,
)
from clustermass.config.resolve import (
    BASE_EXPERIMENT,
    DEFAULT_IMAGES,
    Block,
    choose,
    nearest,
    resolvable_skies,
    resolve_experiment,
    resolve_images,
)
from clustermass.config.sky_checks import (
    check_fields,
    check_like,
    check_published,
    check_skies,
    check_validation,
    told_once,
)
from clustermass.published_set.images import APPLIED, BANDS

_Check: TypeAlias = Callable[..., Iterator[str]]

_NEEDED = (
    *("sky", "images", "preprocessing", "network", "recipe", "selection"),
    *("train_selection", "redshift_noise", "train_clusters", "weighting", "members", "control", "test_skies"),
)


def cross_checks(config: Mapping[str, Any], schema: Mapping[str, Any], faulty: Collection[str]) -> Iterator[str]:
    """Yield what is wrong across keys, a sentence each, as far as the blocks that a check reads are in order.

    Parameters
    ----------
    config
        The whole merged configuration.
    schema
        JSON schema of the configuration, whose `$defs.embedded_sky` says what makes an embedded sky complete.
    faulty
        Top-level blocks with an error of their own: checks that read them are left out.
    """
    of_skies: _Check = partial(check_skies, complete=schema["$defs"]["embedded_sky"])
    for check, blocks in (*_CHECKS, (of_skies, ("skies",))):
        if not set(blocks).intersection(faulty):
            yield from check(*(config[block] for block in blocks))


def _check_cosmology(cosmology: Mapping[str, Any]) -> Iterator[str]:
    baryons, matter = cosmology["omega_b"], cosmology["omega_m"]
    if baryons >= matter:
        yield f"cosmology.omega_b is {baryons}, but must be below cosmology.omega_m = {matter}."


def _check_flag_mask(events: Mapping[str, Any]) -> Iterator[str]:
    mask = events["flag_mask"]
    if mask != "auto" and not _is_mask(mask):
        yield (
            f"events.flag_mask is {mask!r}, but must be auto or a number of 32 bits, decimal or such as 0xC000F000 "
            "(0 = no selection)."
        )


def _is_mask(mask: int | str) -> bool:
    try:
        number = int(mask, 0) if isinstance(mask, str) else mask
    except ValueError:
        return False
    return -(2**31) <= number < 2**32


def _check_split(split: Mapping[str, Any]) -> Iterator[str]:
    total = sum(split.values())
    if abs(total - 1) > 1e-9:
        yield f"split.train, split.val and split.test add up to {total:g}, but must add up to 1."


def _check_schedules(training: Mapping[str, Any]) -> Iterator[str]:
    needed = {"cosine": "warmup_fraction", "plateau": "plateau"}
    for name, recipe in training["recipes"].items():
        key = needed.get(recipe["schedule"])
        if key and key not in recipe:
            yield f"training.recipes.{name}.{key} is missing; add it, since schedule is {recipe['schedule']!r}."


def _check_base(experiments: Mapping[str, Any]) -> Iterator[str]:
    name = f"experiments.{BASE_EXPERIMENT}"
    if BASE_EXPERIMENT not in experiments:
        yield f"{name} is missing; add it: every other experiment departs from it."
        return
    base = experiments[BASE_EXPERIMENT] or {}
    yield from (f"{name}.{key} is missing; add it: every experiment needs it." for key in _NEEDED if key not in base)


def _check_names(key: str, experiments: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    for name, experiment in experiments.items():
        word = (experiment or {}).get(key)
        if word is not None and word not in known:
            listed = f"{', '.join(known)}.{nearest(word, known)}"
            yield f"experiments.{name}.{key} is {word!r}, but only these are defined: {listed}"


def _check_compared_with(experiments: Mapping[str, Any]) -> Iterator[str]:
    yield from _check_names("compared_with", experiments, experiments)


def _check_recipe_names(experiments: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[str]:
    yield from _check_names("recipe", experiments, training["recipes"])


def _departures(experiments: Mapping[str, Any], problems: Callable[[Block], Iterator[str]]) -> Iterator[str]:
    resolved = {name: resolve_experiment(experiments, name) for name in experiments}
    parents = {name: BASE_EXPERIMENT for name in experiments if name != BASE_EXPERIMENT}
    yield from (f"experiments.{line}" for line in told_once(resolved, parents, problems))


def _check_learning_skies(experiments: Mapping[str, Any], skies: Mapping[str, Any]) -> Iterator[str]:
    fields = [name for name, sky in resolvable_skies(skies).items() if sky.get("observed")]

    def problems(experiment: Block) -> Iterator[str]:
        if (sky := experiment.get("sky")) in fields:
            yield f".sky is {sky!r}, an observed field, which has no true masses to learn from; name a simulated sky."

    yield from _departures(experiments, problems)


def _check_test_skies(experiments: Mapping[str, Any], skies: Mapping[str, Any]) -> Iterator[str]:
    resolved = resolvable_skies(skies)

    def problems(experiment: Block) -> Iterator[str]:
        for sky in experiment.get("test_skies", []):
            if sky not in skies:
                yield f".test_skies names {sky!r}, which is no sky.{choose(sky, skies)}"
            elif sky == experiment.get("sky"):
                yield f".test_skies names {sky!r}, the sky to learn from; name another one (like: {sky} draws it anew)."
            elif resolved.get(sky, {}).get("observed"):
                yield f".test_skies names {sky!r}, an observed field, which has no true masses to be judged by."

    yield from _departures(experiments, problems)


def _check_candidates(search: Mapping[str, Any], experiments: Mapping[str, Any]) -> Iterator[str]:
    candidates = search["candidates"]
    yield from (
        f"search.candidates names {name!r}, which is no experiment.{choose(name, experiments)}"
        for name in candidates
        if name not in experiments
    )
    known = {name: resolve_experiment(experiments, name) for name in candidates if name in experiments}
    first = next(iter(known), None)
    for name, experiment in known.items():
        if experiment.get("control", "none") != "none":
            yield f"search.candidates names {name!r}, a control, which isn't shown all of the data; leave it out."
        for key in ("sky", "selection"):
            if experiment.get(key) != known[first].get(key):
                yield (
                    f"search.candidates names {name!r}, whose {key} isn't that of {first!r}; candidates are compared "
                    "on the same validation clusters, so leave one of them out."
                )


def _check_selections(
    experiments: Mapping[str, Any], images: Mapping[str, Any], image_sets: Mapping[str, Any]
) -> Iterator[str]:
    def problems(experiment: Block) -> Iterator[str]:
        name = experiment.get("images")
        if name not in (*DEFAULT_IMAGES, *image_sets):
            return
        cut = resolve_images(images, image_sets, name)
        where = "images" if name in DEFAULT_IMAGES else f"image_sets.{name}"
        for block, selection in _selections(experiment).items():
            for key in ("det_like_min", "ext_like_min"):
                if selection.get(key, cut[key]) < cut[key]:
                    yield (
                        f".{block}.{key} is {selection[key]}, but images are made only above {where}.{key} = "
                        f"{cut[key]}; lower that one too."
                    )

    yield from _departures(experiments, problems)


def _check_mass_ranges(experiments: Mapping[str, Any]) -> Iterator[str]:
    def problems(experiment: Block) -> Iterator[str]:
        whole: dict[str, Any] = {}
        for block, selection in _selections(experiment).items():
            whole |= selection  # what `train_selection` doesn't set is that of `selection`
            low, high = whole.get("log10_m500c_min"), whole.get("log10_m500c_max")
            if selection and low is not None and high is not None and low >= high:
                yield f".{block}.log10_m500c_min is {low}, but must be below log10_m500c_max = {high}."

    yield from _departures(experiments, problems)


def _selections(experiment: Block) -> dict[str, Block]:
    return {name: experiment.get(name) or {} for name in ("selection", "train_selection")}


def _check_poolings(
    experiments: Mapping[str, Any], preprocessing: Mapping[str, Any], network: Mapping[str, Any]
) -> Iterator[str]:
    def problems(experiment: Block) -> Iterator[str]:
        net, grid = network.get(experiment.get("network", "")), preprocessing.get(experiment.get("preprocessing", ""))
        if net is None or grid is None:
            return
        poolings, pixels = len(net["channels"]), side_pixels(grid)
        if 0 < pixels < 2**poolings:
            yield (
                f".network is {experiment['network']!r}, whose {poolings} channels halve an image {poolings} times and "
                f"need {2**poolings} x {2**poolings} pixels, but preprocessing {experiment['preprocessing']!r} gives "
                f"{pixels} x {pixels}; use fewer channels or smaller pixels."
            )

    yield from _departures(experiments, problems)


def _check_published(
    experiments: Mapping[str, Any],
    skies: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    images: Mapping[str, Any],
) -> Iterator[str]:
    published = [name for name, sky in resolvable_skies(skies).items() if sky.get("source") == "published"]

    def problems(experiment: Block) -> Iterator[str]:
        used = [sky for sky in [experiment.get("sky"), *experiment.get("test_skies", [])] if sky in published]
        recipe = preprocessing.get(experiment.get("preprocessing", ""))
        if not used or recipe is None:
            return
        for key, value in APPLIED.items():
            if recipe.get(key) != value:
                yield (
                    f".preprocessing is {experiment['preprocessing']!r} with {key} {recipe.get(key)}, but the "
                    f"images of sky {used[0]!r} come with {key} {value}; name a preprocessing that has it, as "
                    "krippendorf2023."
                )
        for key in ("bands", "scale_to_redshift"):
            if key in recipe:
                yield (
                    f".preprocessing is {experiment['preprocessing']!r} with {key}, which can't be had of the images "
                    f"of sky {used[0]!r}: they come smoothed."
                )
        if experiment.get("images") not in DEFAULT_IMAGES:
            yield f".images is {experiment['images']!r}, but sky {used[0]!r} comes with its images; set it to null."
        if images["bands"] != BANDS:
            yield f" uses sky {used[0]!r}, whose images have the bands {BANDS}; set images.bands so."

    yield from _departures(experiments, problems)


#: check -> top-level blocks that it reads, in the order of its arguments
_CHECKS: tuple[tuple[_Check, tuple[str, ...]], ...] = (
    (_check_cosmology, ("cosmology",)),
    (check_like, ("skies",)),
    (check_fields, ("observed", "skies")),
    (check_published, ("observed", "skies")),
    (check_validation, ("validation", "skies")),
    (_check_flag_mask, ("events",)),
    (check_images, ("images", "image_sets")),
    (check_image_names, ("experiments", "image_sets")),
    (check_grids, ("images", "image_sets", "preprocessing", "experiments")),
    (check_scaled_controls, ("experiments", "preprocessing")),
    (_check_split, ("split",)),
    (_check_schedules, ("training",)),
    (_check_base, ("experiments",)),
    (partial(_check_names, "sky"), ("experiments", "skies")),
    (partial(_check_names, "preprocessing"), ("experiments", "preprocessing")),
    (partial(_check_names, "network"), ("experiments", "network")),
    (_check_compared_with, ("experiments",)),
    (_check_recipe_names, ("experiments", "training")),
    (_check_learning_skies, ("experiments", "skies")),
    (_check_test_skies, ("experiments", "skies")),
    (_check_candidates, ("search", "experiments")),
    (_check_mass_ranges, ("experiments",)),
    (_check_selections, ("experiments", "images", "image_sets")),
    (_check_published, ("experiments", "skies", "preprocessing", "images")),
    (_check_poolings, ("experiments", "preprocessing", "network")),
)

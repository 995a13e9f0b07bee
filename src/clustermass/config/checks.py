"""Checks across keys: names that refer to other blocks, sums, ranges, and values that must fit together.

Only blocks that are used are checked: what experiments, fields with masses and the comparison with published numbers
refer to.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, Literal, TypeAlias, TypeVar, get_type_hints

from typing_extensions import is_typeddict

from clustermass.config.models import (
    Cosmology,
    Detection,
    Events,
    Experiment,
    Images,
    ImageSet,
    Network,
    Observed,
    Preprocessing,
    Search,
    Selection,
    Sky,
    Split,
    Training,
    Validation,
)
from clustermass.config.resolve import (
    BASE_EXPERIMENT,
    DEFAULT_IMAGES,
    PUBLISHED_BANDS,
    PUBLISHED_FILES,
    PUBLISHED_PREPROCESSING,
    Block,
    choose,
    resolvable_skies,
    resolve_experiment,
    resolve_images,
    resolve_sky,
    side_pixels,
    whole,
)
from clustermass.errors import InputError

#: pixel of eROSITA's sky coordinates, of which an image's pixel holds a whole number
_SKY_PIXEL_ARCSEC = 0.05
T = TypeVar("T")
Check: TypeAlias = Callable[..., Iterator[str]]
_CHECKS: list[tuple[Check, tuple[str, ...]]] = []


def cross_checks(config: Block, faulty: Collection[str]) -> Iterator[str]:
    """Yield what is wrong across keys, a sentence each, without the checks that read a faulty top-level block."""
    for check, blocks in _CHECKS:
        if not set(blocks).intersection(faulty):
            yield from check(*(config[block] for block in blocks))


def _reads(*blocks: str) -> Callable[[Check], Check]:
    """Register a check of the top-level blocks that it takes."""

    def register(check: Check) -> Check:
        _CHECKS.append((check, blocks))
        return check

    return register


def _of_experiments(*blocks: str) -> Callable[[Check], Check]:
    """Register a check of one experiment, filled in, that takes these blocks too: it yields ends of sentences."""

    def register(check: Check) -> Check:
        def of_all(experiments: dict[str, Experiment], *others: Block) -> Iterator[str]:
            resolved = {name: resolve_experiment(experiments, name) for name in experiments}
            parents = dict.fromkeys(set(resolved) - {BASE_EXPERIMENT}, BASE_EXPERIMENT)
            yield from (f"experiments.{line}" for line in _once(resolved, parents, lambda block: check(block, *others)))

        _CHECKS.append((of_all, ("experiments", *blocks)))
        return check

    return register


def _once(blocks: Mapping[str, T], parents: Mapping[str, str], problems: Callable[[T], Iterable[str]]) -> Iterator[str]:
    """Yield "<name><problem>" for each block, without the problems of its parent, from which it is filled in."""
    texts = {name: list(problems(block)) for name, block in blocks.items()}
    for name in texts:
        inherited = texts.get(parents.get(name, ""), [])
        yield from (f"{name}{text}" for text in texts[name] if text not in inherited)


def _lacking(model: Any, block: Any, above: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the blocks, by path, that lack keys of their model, and these keys."""
    kinds = get_type_hints(model)
    missing = [key for key in kinds if key in model.__required_keys__ and key not in block]
    if missing:
        yield above, missing
    for key, kind in kinds.items():
        if is_typeddict(kind) and isinstance(block.get(key), Mapping):
            yield from _lacking(kind, block[key], f"{above}.{key}")


def _not_below(block: Any, lower: str, upper: str, above: str = "") -> Iterator[str]:
    """Yield that the value of `lower` is not below that of `upper`, if both are there."""
    low, high = block.get(lower), block.get(upper)
    if low is not None and high is not None and low >= high:
        yield f"{above}.{lower} is {low}, but must be below {upper} = {high}."


# what concerns all: cosmology, events, split


@_reads("cosmology")
def _cosmology(cosmology: Cosmology) -> Iterator[str]:
    baryons, matter = cosmology["omega_b"], cosmology["omega_m"]
    if baryons >= matter:
        yield f"cosmology.omega_b is {baryons}, but must be below cosmology.omega_m = {matter}."


@_reads("events")
def _flag_mask(events: Events) -> Iterator[str]:
    mask = events["flag_mask"]
    try:
        number = int(mask, 0) if isinstance(mask, str) else mask
    except ValueError:
        number = None
    if mask != "auto" and (number is None or not -(2**31) <= number < 2**32):
        yield (
            f"events.flag_mask is {mask!r}, but must be auto or a number of 32 bits, decimal or such as 0xC000F000 "
            "(0 = no selection)."
        )


@_reads("split")
def _split(split: Split) -> Iterator[str]:
    total = split["train"] + split["val"] + split["test"]
    if abs(total - 1) > 1e-9:
        yield f"split.train, split.val and split.test add up to {total:g}, but must add up to 1."


# skies


@_reads("skies")
def _like(skies: dict[str, Sky]) -> Iterator[str]:
    for name in skies:
        try:
            if "source" not in resolve_sky(skies, name):
                yield (
                    f"skies.{name} has neither 'source' (embedded, files or published) nor 'like' (a sky to take over "
                    "from); give it one of them."
                )
        except InputError as error:
            yield str(error)


@_reads("skies", "experiments", "observed", "validation")
def _skies(
    skies: dict[str, Sky], experiments: dict[str, Experiment], observed: Observed, validation: Validation
) -> Iterator[str]:
    used = {*observed["fields"], validation["sky"]}
    used.update(sky for name in experiments for sky in _skies_of(resolve_experiment(experiments, name)))
    resolved = {name: sky for name, sky in resolvable_skies(skies).items() if name in used}
    parents = {name: _used_parent(name, skies, resolved) for name in resolved}
    yield from (f"skies.{line}" for line in _once(resolved, parents, _problems_of_sky))


def _used_parent(name: str, skies: dict[str, Sky], used: Collection[str]) -> str:
    """Return the nearest sky in use that a sky takes over from, or ""."""
    parent = skies[name].get("like", "")
    while parent and parent not in used:
        parent = skies[parent].get("like", "")
    return parent


def _skies_of(experiment: Experiment) -> list[str]:
    """Return the skies that an experiment refers to."""
    return [experiment.get("sky", ""), *experiment.get("test_skies", [])]


def _problems_of_sky(sky: Sky) -> Iterator[str]:
    match sky.get("source"):
        case "files":
            yield from _sky_of_files(sky)
        case "published":
            yield from _published_sky(sky)
        case "embedded":
            yield from _embedded_sky(sky)
    if sky.get("source") != "files" and isinstance(sky.get("realizations"), dict):
        yield f".realizations must be a whole number, since source is {sky['source']!r}."


def _sky_of_files(sky: Sky) -> Iterator[str]:
    realizations = sky.get("realizations")
    if not isinstance(realizations, dict):
        yield ".realizations must name its files (events, catalogue), since source is 'files'."
        return
    for label, files in realizations.items():
        if not sky.get("observed") and not files.get("truth"):
            yield (
                f".realizations.{label}.truth is missing; name the table of haloes with their masses, or set "
                "observed: true if the masses are to be found out."
            )


def _published_sky(sky: Sky) -> Iterator[str]:
    for key in (*PUBLISHED_FILES, "realizations", "mass_unit", "pairing"):
        if key not in sky:
            yield f".{key} is missing; add it, since source is 'published' (config/published.yaml has all keys)."
    if sky.get("observed"):
        yield ".observed is true, but the published training set has known masses; leave observed out."


def _embedded_sky(sky: Sky) -> Iterator[str]:
    for path, names in _lacking(Sky, sky):
        yield f"{path} lacks {', '.join(names)}; add what is missing, or take it over from another sky by 'like'."
    blocks: Any = sky
    for block, lower, upper in _BELOW:
        yield from _not_below(blocks.get(block, {}), lower, upper, f".{block}")
    yield from _detection(sky.get("detection", {}))
    shares = sky.get("background", {}).get("shares")
    if shares and not any(shares.values()):
        yield ".background.shares are all 0, but at least one must be positive."


#: a block of an embedded sky, and two of its keys, the first of which must lie below the second
_BELOW = (
    ("clusters", "log10_m500c_min", "log10_m500c_max"),
    ("clusters", "redshift_min", "redshift_max"),
    ("agn", "flux_min_cgs", "flux_max_cgs"),
    ("detection", "e_min_ev", "e_max_ev"),
    ("detection", "background_exclusion_arcsec", "background_radius_arcsec"),
    ("detection", "background_cell_arcsec", "background_radius_arcsec"),
)


def _detection(detection: Detection) -> Iterator[str]:
    size = detection.get("stamp_pixels", 1)
    if size % 2 == 0:
        yield f".detection.stamp_pixels is {size}, but must be odd."
    radius, pixel = detection.get("cut_radius_arcsec", 0.0), detection.get("pixel_arcsec", math.inf)
    if radius > size * pixel / 2:
        yield (
            f".detection.cut_radius_arcsec is {radius}, but must be at most {size * pixel / 2:g}, the stamp's end; "
            "else raise stamp_pixels."
        )
    extents = detection.get("extents_arcsec", [])
    if any(first >= second for first, second in pairwise(extents)):
        yield f".detection.extents_arcsec is {extents}, but each entry must be above the one before."


@_reads("observed", "skies")
def _fields(observed: Observed, skies: dict[str, Sky]) -> Iterator[str]:
    resolved = resolvable_skies(skies)
    for field in observed["fields"]:
        if field not in skies:
            yield f"observed.fields names {field!r}, which is no sky.{choose(field, skies)}"
        elif field in resolved and not resolved[field].get("observed"):
            yield f"observed.fields names {field!r}, but skies.{field}.observed is not true; set it or drop the field."
    for field, block in observed["published"].items():
        key, sky = f"observed.published.{field}", resolved.get(field)
        if field not in skies:
            yield f"{key} is of no sky that is defined.{choose(field, skies)}"
        elif sky and (sky.get("source") != "files" or not sky.get("observed")):
            yield f"{key} is of a simulated sky, which published masses of real clusters say nothing about; drop it."
        yield from _not_below(block, "log10_m500c_min", "log10_m500c_max", key)


@_reads("validation", "skies")
def _validated_sky(validation: Validation, skies: dict[str, Sky]) -> Iterator[str]:
    name, resolved = validation["sky"], resolvable_skies(skies)
    if name not in skies:
        yield f"validation.sky is {name!r}, which is no sky.{choose(name, skies)}"
    elif name in resolved and (resolved[name].get("source") != "embedded" or resolved[name].get("observed")):
        yield f"validation.sky is {name!r}, but must be an embedded sky with known masses."


# experiments: what they refer to


@_reads("experiments")
def _base(experiments: dict[str, Experiment]) -> Iterator[str]:
    name = f"experiments.{BASE_EXPERIMENT}"
    if BASE_EXPERIMENT not in experiments:
        yield f"{name} is missing; add it: every other experiment departs from it."
        return
    for _, missing in _lacking(Experiment, experiments[BASE_EXPERIMENT] or {}):
        yield from (f"{name}.{key} is missing; add it: every experiment needs it." for key in missing)


def _names(key: str, place: str, experiments: dict[str, Experiment], *others: Block) -> Iterator[str]:
    block: Block = others[0] if others else experiments
    defined = block["recipes"] if place == "training.recipes" else block
    for name, experiment in experiments.items():
        word = (experiment or {}).get(key)
        if word not in defined and not (word is None or (key == "images" and word in DEFAULT_IMAGES)):
            yield f"experiments.{name}.{key} is {word!r}, which is none of {place}.{choose(word, defined)}"


for _key, _place in {
    "sky": "skies",
    "images": "image_sets",
    "preprocessing": "preprocessing",
    "network": "network",
    "recipe": "training.recipes",
    "compared_with": "experiments",
}.items():
    _reads(*dict.fromkeys(("experiments", _place.split(".")[0])))(partial(_names, _key, _place))


@_of_experiments("skies")
def _skies_with_masses(experiment: Experiment, skies: dict[str, Sky]) -> Iterator[str]:
    fields = [name for name, sky in resolvable_skies(skies).items() if sky.get("observed")]
    learnt = experiment.get("sky")
    if learnt in fields:
        yield f".sky is {learnt!r}, an observed field, which has no true masses to learn from; name a simulated sky."
    for sky in experiment.get("test_skies", []):
        if sky not in skies:
            yield f".test_skies names {sky!r}, which is no sky.{choose(sky, skies)}"
        elif sky == learnt:
            yield f".test_skies names {sky!r}, the sky to learn from; name another one (like: {sky} draws it anew)."
        elif sky in fields:
            yield f".test_skies names {sky!r}, an observed field, which has no true masses to be judged by."


@_reads("search", "experiments")
def _candidates(search: Search, experiments: dict[str, Experiment]) -> Iterator[str]:
    known = {name: resolve_experiment(experiments, name) for name in search["candidates"] if name in experiments}
    for name in search["candidates"]:
        if name not in known:
            yield f"search.candidates names {name!r}, which is no experiment.{choose(name, experiments)}"
    first = next(iter(known), "")
    for name, experiment in known.items():
        if experiment.get("control", "none") != "none":
            yield f"search.candidates names {name!r}, a control, which isn't shown all of the data; leave it out."
        for key in ("sky", "selection"):
            if experiment.get(key) != known[first].get(key):
                yield (
                    f"search.candidates names {name!r}, whose {key} isn't that of {first!r}; candidates are compared "
                    "on the same validation clusters, so leave one of them out."
                )


@_of_experiments("training")
def _schedule(experiment: Experiment, training: Training) -> Iterator[str]:
    name = experiment.get("recipe", "")
    recipe = training["recipes"].get(name)
    key = {"cosine": "warmup_fraction", "plateau": "plateau"}.get(recipe["schedule"]) if recipe else None
    if recipe and key and key not in recipe:
        yield (
            f".recipe is {name!r}, but training.recipes.{name}.{key} is missing; add it, since schedule is "
            f"{recipe['schedule']!r}."
        )


@_of_experiments()
def _mass_ranges(experiment: Experiment) -> Iterator[str]:
    both = Selection()
    for block, selection in _selections(experiment):
        both |= selection  # what `train_selection` does not set is as in `selection`
        if selection:
            yield from _not_below(both, "log10_m500c_min", "log10_m500c_max", f".{block}")


def _selections(experiment: Experiment) -> Iterator[tuple[str, Selection]]:
    yield "selection", experiment.get("selection", {})
    yield "train_selection", experiment.get("train_selection") or {}


_LIKELIHOODS: tuple[Literal["det_like_min", "ext_like_min"], ...] = ("det_like_min", "ext_like_min")


@_of_experiments("images", "image_sets")
def _likelihoods(experiment: Experiment, images: Images, image_sets: dict[str, ImageSet]) -> Iterator[str]:
    place, cut = _images_of(experiment, images, image_sets)
    for block, selection in _selections(experiment):
        for key in _LIKELIHOODS:
            if cut and selection.get(key, cut[key]) < cut[key]:
                yield (
                    f".{block}.{key} is {selection[key]}, but images are made only above {place}.{key} = {cut[key]}; "
                    "lower that one too."
                )


# images and preprocessings


def _images_of(experiment: Experiment, images: Images, image_sets: dict[str, ImageSet]) -> tuple[str, Images | None]:
    """Return the key of the images that an experiment learns from, and how they are made; None for an unknown set."""
    name = experiment.get("images")
    place = "images" if name in DEFAULT_IMAGES else f"image_sets.{name}"
    known = name in (*DEFAULT_IMAGES, *image_sets)
    return place, resolve_images(images, image_sets, name) if known else None


@_reads("images", "image_sets", "experiments")
def _images(images: Images, image_sets: dict[str, ImageSet], experiments: dict[str, Experiment]) -> Iterator[str]:
    if "images" in image_sets:
        yield "image_sets: the name 'images' is that of the default images; choose another one."
    for name, block in image_sets.items():
        if not block:
            yield f"image_sets.{name} has 0 entries, but needs at least 1."
    used = dict(_images_of(resolve_experiment(experiments, name), images, image_sets) for name in experiments)
    yield from _once(used, dict.fromkeys(set(used) - {"images"}, "images"), _problems_of_images)


def _problems_of_images(images: Images | None) -> Iterator[str]:
    if images is None:
        return
    step, pixel = 2 * images["base_rebin"], images["pixel_arcsec"]
    if images["box_pixels"] % step:
        yield f".box_pixels is {images['box_pixels']}, but must be a multiple of 2 x images.base_rebin = {step}."
    if not whole(pixel / _SKY_PIXEL_ARCSEC):
        yield f".pixel_arcsec is {pixel}, but must be a multiple of {_SKY_PIXEL_ARCSEC}."


@_reads("images", "image_sets", "preprocessing", "experiments")
def _grids(
    images: Images,
    image_sets: dict[str, ImageSet],
    preprocessing: dict[str, Preprocessing],
    experiments: dict[str, Experiment],
) -> Iterator[str]:
    """Yield the preprocessings that do not fit the images that an experiment uses them on."""
    for name in experiments:
        experiment = resolve_experiment(experiments, name)
        key, block = _images_of(experiment, images, image_sets)
        recipe = preprocessing.get(experiment.get("preprocessing", ""))
        if recipe and block and not any(_problems_of_images(block)):  # what follows from a wrong grid is not told
            yield from (f"preprocessing.{experiment['preprocessing']}.{text}" for text in _misfits(recipe, block, key))


def _misfits(recipe: Preprocessing, images: Images, key: str) -> Iterator[str]:
    half, pixel = recipe["half_width_arcsec"], recipe["pixel_arcsec"]
    base, half_box = images["pixel_arcsec"] * images["base_rebin"], images["box_pixels"] * images["pixel_arcsec"] / 2
    of_base = f"a whole multiple of the base pixel, {base:g} arcsec ({key}.pixel_arcsec x {key}.base_rebin)"
    scaled = "scale_to_redshift" in recipe
    if half > half_box + 1e-6:
        yield (
            f"half_width_arcsec is {half}, but the images reach only {half_box:g} arcsec; lower it or raise "
            f"{key}.box_pixels."
        )
    if not scaled and not whole(half / base):
        yield f"half_width_arcsec is {half}, but must be {of_base}."
    if not scaled and not whole(pixel / base):
        yield f"pixel_arcsec is {pixel}, but must be {of_base}."
    elif not side_pixels(recipe):
        yield f"pixel_arcsec is {pixel}, but must divide 2 x half_width_arcsec = {2 * half:g} without remainder."
    yield from _band_misfits(recipe, images["bands"]["number"])


def _band_misfits(recipe: Preprocessing, bands: int) -> Iterator[str]:
    number = recipe.get("bands", bands)
    if bands % number:
        yield f"bands is {number}, but must divide images.bands.number = {bands} without remainder."
        return
    reach = recipe["smoothing"]["half_width"][2] if "smoothing" in recipe else 0
    if reach and reach >= number:
        yield (
            f"smoothing.half_width reaches {reach} bands along energy, but there are {number}; its third number must "
            f"be below {number} (0 = no smoothing along energy)."
        )


@_of_experiments("preprocessing")
def _scaled_control(experiment: Experiment, preprocessing: dict[str, Preprocessing]) -> Iterator[str]:
    name = experiment.get("preprocessing", "")
    if experiment.get("control") == "shuffled_redshift" and "scale_to_redshift" in preprocessing.get(name, {}):
        yield (
            f".control is 'shuffled_redshift', but its preprocessing {name!r} scales images by the redshift, which so "
            "isn't taken away; name one without scale_to_redshift."
        )


@_of_experiments("preprocessing", "network")
def _poolings(
    experiment: Experiment, preprocessing: dict[str, Preprocessing], network: dict[str, Network]
) -> Iterator[str]:
    net, recipe = network.get(experiment.get("network", "")), preprocessing.get(experiment.get("preprocessing", ""))
    if net is None or recipe is None:
        return
    poolings, pixels = len(net["channels"]), side_pixels(recipe)
    if 0 < pixels < 2**poolings:
        yield (
            f".network is {experiment['network']!r}, whose {poolings} channels halve an image {poolings} times and "
            f"need {2**poolings} x {2**poolings} pixels, but preprocessing {experiment['preprocessing']!r} gives "
            f"{pixels} x {pixels}; use fewer channels or smaller pixels."
        )


@_of_experiments("skies", "preprocessing", "images")
def _published_images(
    experiment: Experiment, skies: dict[str, Sky], preprocessing: dict[str, Preprocessing], images: Images
) -> Iterator[str]:
    published = [name for name, sky in resolvable_skies(skies).items() if sky.get("source") == "published"]
    used = [sky for sky in _skies_of(experiment) if sky in published]
    name = experiment.get("preprocessing", "")
    if not used or name not in preprocessing:
        return
    recipe, sky = preprocessing[name], used[0]
    for key, value in PUBLISHED_PREPROCESSING.items():
        if recipe.get(key) != value:
            yield (
                f".preprocessing is {name!r} with {key} {recipe.get(key)}, but the images of sky {sky!r} come with "
                f"{key} {value}; name a preprocessing that has it, as krippendorf2023."
            )
    for key in ("bands", "scale_to_redshift"):
        if key in recipe:
            yield (
                f".preprocessing is {name!r} with {key}, which is not possible for the images of sky {sky!r}: they "
                "come smoothed."
            )
    if experiment.get("images") not in DEFAULT_IMAGES:
        yield f".images is {experiment['images']!r}, but sky {sky!r} comes with its images; set it to null."
    if images["bands"] != PUBLISHED_BANDS:
        yield f" uses sky {sky!r}, whose images have the bands {PUBLISHED_BANDS}; set images.bands so."

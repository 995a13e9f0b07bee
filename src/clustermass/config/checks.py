"""Checks that compare several keys of the configuration with each other, in all blocks that are used.

They check that a block exists if another block names it, that shares add up to 1, that lower limits are below upper
limits, and that the values of different blocks agree. A check stops when it needs a top-level block that itself has an
error.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Literal, cast

from clustermass.config.bands import band_edges
from clustermass.config.models import Config, Experiment, Images, Preprocessing, Selection
from clustermass.config.network_models import Layer
from clustermass.config.resolve import (
    BASE_EXPERIMENT,
    DEFAULT_IMAGES,
    PUBLISHED_BANDS,
    PUBLISHED_PREPROCESSING,
    Block,
    choose,
    resolvable_skies,
    resolve_images,
    side_pixels,
    whole,
)
from clustermass.config.sky_checks import SKY_CHECKS, experiments_of, lacking, not_below, once, skies_of

#: side of a pixel of eROSITA's sky coordinates; the side of an image's pixel is a whole multiple of it
_SKY_PIXEL_ARCSEC = 0.05
_SELECTIONS: tuple[Literal["selection", "train_selection"], ...] = ("selection", "train_selection")
_LIKELIHOODS: tuple[Literal["det_like_min", "ext_like_min"], ...] = ("det_like_min", "ext_like_min")
#: kinds of layers; each entry of `network.<name>.layers` has one of these keys
KINDS = ("conv", "local", "pool", "global_pool", "flatten", "dense", "dropout", "join")


class _FaultyBlockError(Exception):
    pass


class _Sound(dict[str, Any]):
    """A configuration without its faulty top-level blocks. Reading a faulty block raises `_FaultyBlockError`."""

    def __missing__(self, name: str) -> None:
        raise _FaultyBlockError


def cross_checks(config: Block, faulty: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each error that the checks find. A check stops when it reads a block named in `faulty`."""
    sound = cast("Config", _Sound({name: block for name, block in config.items() if name not in faulty}))
    checks: list[Callable[[Config], Iterator[str]]] = [*_CHECKS]
    checks += [partial(_of_experiments, check) for check in _CHECKS_OF_EXPERIMENTS]
    for check in checks:
        with suppress(_FaultyBlockError):
            yield from check(sound)


def _of_experiments(check: Callable[[Config, Experiment], Iterator[str]], config: Config) -> Iterator[str]:
    """Yield the sentences of a check for all experiments. Each sentence begins with the experiment's name."""
    resolved = experiments_of(config)
    parents = dict.fromkeys(set(resolved) - {BASE_EXPERIMENT}, BASE_EXPERIMENT)
    yield from (f"experiments.{line}" for line in once(resolved, parents, partial(check, config)))


def _cosmology(config: Config) -> Iterator[str]:
    yield from not_below(config["cosmology"], "omega_b", "omega_m", "cosmology")


def _flag_mask(config: Config) -> Iterator[str]:
    mask = config["events"]["flag_mask"]
    try:
        right = mask == "auto" or -(2**31) <= int(str(mask), 0) < 2**32
    except ValueError:
        right = False
    if not right:
        allowed = "auto or a number of 32 bits, decimal or such as 0xC000F000 (0 = no selection)"
        yield f"events.flag_mask is {mask!r}, but must be {allowed}."


def _split(config: Config) -> Iterator[str]:
    total = math.fsum((config["split"]["train"], config["split"]["val"], config["split"]["test"]))
    if abs(total - 1) > 1e-9:
        yield f"split.train, split.val and split.test add up to {total:g}, but must add up to 1."
    folds = config["split"].get("folds")
    if folds and folds["test"] >= folds["number"]:
        yield f"split.folds.test is {folds['test']}, but the {folds['number']} folds are counted from 0."


# experiments


def _base(config: Config) -> Iterator[str]:
    name, experiments = f"experiments.{BASE_EXPERIMENT}", config["experiments"]
    if BASE_EXPERIMENT not in experiments:
        yield f"{name} is missing; add it: every other experiment departs from it."
        return
    for _, missing in lacking(Experiment, experiments[BASE_EXPERIMENT] or {}):
        yield from (f"{name}.{key} is missing; add it: every experiment needs it." for key in missing)


def _reference(key: str, place: str, config: Config, experiment: Experiment) -> Iterator[str]:
    word, blocks = cast(Block, experiment).get(key), cast(Block, config)
    defined = config["training"]["recipes"] if key == "recipe" else blocks[place]
    default = word is None or (key == "images" and word in DEFAULT_IMAGES)
    if not default and word not in defined:
        yield f".{key} is {word!r}, which is none of {place}.{choose(word, defined)}"


def _skies_with_masses(config: Config, experiment: Experiment) -> Iterator[str]:
    skies, training = config["skies"], experiment.get("sky")
    fields = [name for name, sky in resolvable_skies(skies).items() if sky.get("observed")]
    if training in fields:
        yield f".sky is {training!r}, an observed field, which has no true masses to train on; name a simulated sky."
    for sky in experiment.get("test_skies", []):
        if sky not in skies:
            yield f".test_skies names {sky!r}, which is no sky.{choose(sky, skies)}"
        elif sky == training:
            yield f".test_skies names {sky!r}, the sky to train on; name another one (like: {sky} draws it anew)."
        elif sky in fields:
            yield f".test_skies names {sky!r}, an observed field, which has no true masses to test on."


def _candidates(config: Config) -> Iterator[str]:
    candidates, experiments = config["search"]["candidates"], experiments_of(config)
    alike = "candidates are compared on the same validation clusters, so leave one of them out"
    first = next((name for name in candidates if name in experiments), "")
    for name in candidates:
        if name not in experiments:
            yield f"search.candidates names {name!r}, which is no experiment.{choose(name, experiments)}"
            continue
        if experiments[name].get("control", "none") != "none":
            yield f"search.candidates names {name!r}, a control, which isn't shown all of the data; leave it out."
        for key in ("sky", "selection"):
            if experiments[name].get(key) != experiments[first].get(key):
                yield f"search.candidates names {name!r}, whose {key} isn't that of {first!r}; {alike}."


def _schedule(config: Config, experiment: Experiment) -> Iterator[str]:
    name = experiment.get("recipe", "")
    recipe = config["training"]["recipes"].get(name)
    key = {"cosine": "warmup_fraction", "plateau": "plateau"}.get(recipe["schedule"]) if recipe else None
    if recipe and key and key not in recipe:
        where = f"training.recipes.{name}.{key}"
        yield f".recipe is {name!r}, but {where} is missing; add it, since schedule is {recipe['schedule']!r}."


def _selections(config: Config, experiment: Experiment) -> Iterator[str]:
    place, images = _images_of(config, experiment)
    both = Selection()
    for block in _SELECTIONS:
        selection = experiment.get(block) or Selection()
        both |= selection  # keys that `train_selection` does not set are taken from `selection`
        if selection:
            yield from not_below(both, "log10_m500c_min", "log10_m500c_max", f".{block}")
        for key in _LIKELIHOODS:
            if images and selection.get(key, images[key]) < images[key]:
                above = f"{place}.{key} = {images[key]}; lower that one too"
                yield f".{block}.{key} is {selection[key]}, but images are made only above {above}."


def _energies(config: Config, experiment: Experiment) -> Iterator[str]:
    place, images = _images_of(config, experiment)
    skies, end = resolvable_skies(config["skies"]), band_edges(images["bands"])[-1] if images else 0
    for name in skies_of(experiment):
        if name in skies and skies[name].get("source") == "embedded":
            limit = skies[name].get("telescope", {}).get("pi_max_ev", end)
            if limit < end:
                few = f"which has no events above {limit:g} eV, but {place}.bands ends at {end} eV"
                yield f" uses sky {name!r}, {few}; raise skies.{name}.telescope.pi_max_ev or lower the bands."


# images and their preprocessing


def _images_of(config: Config, experiment: Experiment) -> tuple[str, Images | None]:
    name, image_sets = experiment.get("images"), config["image_sets"]
    if name in DEFAULT_IMAGES:
        return "images", config["images"]
    return f"image_sets.{name}", resolve_images(config["images"], image_sets, name) if name in image_sets else None


def _images(config: Config) -> Iterator[str]:
    if "images" in config["image_sets"]:
        yield "image_sets: the name 'images' is that of the default images; choose another one."
    for name, block in config["image_sets"].items():
        if not block:
            yield f"image_sets.{name} has 0 entries, but needs at least 1."
    used = dict(_images_of(config, experiment) for experiment in experiments_of(config).values())
    yield from once(used, dict.fromkeys(set(used) - {"images"}, "images"), _problems_of_images)


def _problems_of_images(images: Images | None) -> Iterator[str]:
    if images is None:
        return
    step, pixel = 2 * images["base_rebin"], images["pixel_arcsec"]
    if beyond := images["box_pixels"] % step:
        side = images["box_pixels"]
        near = f"such as {side - beyond + step}"
        yield f".box_pixels is {side}, but must be a multiple of 2 x images.base_rebin = {step}, {near}."
    if not whole(pixel / _SKY_PIXEL_ARCSEC):
        yield f".pixel_arcsec is {pixel}, but must be a multiple of {_SKY_PIXEL_ARCSEC}."


def _grids(config: Config) -> Iterator[str]:
    for experiment in experiments_of(config).values():
        key, images = _images_of(config, experiment)
        recipe = config["preprocessing"].get(experiment.get("preprocessing", ""))
        if recipe and images and not any(_problems_of_images(images)):
            yield from (f"preprocessing.{experiment['preprocessing']}.{text}" for text in _misfits(recipe, images, key))


def _misfits(recipe: Preprocessing, images: Images, key: str) -> Iterator[str]:
    half, pixel = recipe["half_width_arcsec"], recipe["pixel_arcsec"]
    base, half_box = images["pixel_arcsec"] * images["base_rebin"], images["box_pixels"] * images["pixel_arcsec"] / 2
    of_base = f"a whole multiple of the base pixel, {base:g} arcsec ({key}.pixel_arcsec x {key}.base_rebin)"
    scaled = "scale_to_redshift" in recipe
    if half > half_box + 1e-6:
        half_images = f"the images reach only {half_box:g} arcsec"
        yield f"half_width_arcsec is {half}, but {half_images}; lower it or raise {key}.box_pixels."
    if not scaled and not whole(half / base):
        yield f"half_width_arcsec is {half}, but must be {of_base}."
    if not scaled and not whole(pixel / base):
        yield f"pixel_arcsec is {pixel}, but must be {of_base}."
    elif not side_pixels(recipe):
        yield f"pixel_arcsec is {pixel}, but must divide 2 x half_width_arcsec = {2 * half:g} without remainder."
    bands = len(band_edges(images["bands"])) - 1
    number = recipe.get("bands", bands)
    reach = recipe["smoothing"]["half_width"][2] if "smoothing" in recipe else 0
    if bands % number:
        yield f"bands is {number}, but must divide the {bands} bands of images.bands without remainder."
    elif reach and reach >= number:
        right = f"its third number must be below {number} (0 = no smoothing along energy)"
        yield f"smoothing.half_width reaches {reach} bands along energy, but there are {number}; {right}."


def _scaled_control(config: Config, experiment: Experiment) -> Iterator[str]:
    name = experiment.get("preprocessing", "")
    scaled = "scale_to_redshift" in config["preprocessing"].get(name, {})
    if scaled and experiment.get("control") == "shuffled_redshift":
        kept = f"its preprocessing {name!r} scales images by the redshift, which so isn't taken away"
        yield f".control is 'shuffled_redshift', but {kept}; name one without scale_to_redshift."


def _layers(config: Config, experiment: Experiment) -> Iterator[str]:
    name = experiment.get("preprocessing", "")
    network, recipe = config["network"].get(experiment.get("network", "")), config["preprocessing"].get(name)
    if not network or not recipe:
        return
    start = f".network is {experiment['network']!r}, whose"
    for number, layer in enumerate(network["layers"], start=1):
        if sum(key in KINDS for key in layer) != 1:
            yield f"{start} layer {number} is {layer}, but must be one of {', '.join(KINDS)}, in an entry of its own."
    pixels = side_pixels(recipe)
    if pixels > 0 and _pixels_left(network["layers"], pixels) < 1:
        needed = next(side for side in count(pixels) if _pixels_left(network["layers"], side) > 0)
        given = f"preprocessing {name!r} gives {pixels} x {pixels}; use fewer poolings or smaller pixels"
        yield f"{start} layers need images of {needed} x {needed} pixels, but {given}."


def _conditioned(config: Config, experiment: Experiment) -> Iterator[str]:
    network = config["network"].get(experiment.get("network", ""))
    if not network or not network.get("conditioned"):
        return
    start, sky = (
        f".network is {experiment['network']!r}, which is conditioned on the physics, but",
        experiment.get("sky"),
    )
    if not any(one.get("prior") for name, one in resolvable_skies(config["skies"]).items() if name == sky):
        yield f"{start} sky {sky!r} has no prior; name a sky that has one, or set conditioned to false."
    if (joins := sum("join" in layer for layer in network["layers"])) != 1:
        yield f"{start} it has {joins} layers `join: side`; give it one, before a dense layer."


def _pixels_left(layers: Iterable[Layer], pixels: int) -> int:
    for layer in layers:
        if "pool" in layer:
            size = layer.get("size", 2)
            pixels = (pixels - size) // layer.get("stride", size) + 1
        elif "conv" in layer or "local" in layer:
            size = layer.get("kernel", 3) if layer.get("padding") == "valid" else 1
            pixels = (pixels - size) // layer.get("stride", 1) + 1
    return pixels


def _published_images(config: Config, experiment: Experiment) -> Iterator[str]:
    published = [name for name, sky in resolvable_skies(config["skies"]).items() if sky.get("source") == "published"]
    sky = next((name for name in skies_of(experiment) if name in published), None)
    name = experiment.get("preprocessing", "")
    recipe = config["preprocessing"].get(name)
    if not sky or not recipe:
        return
    for key, value in PUBLISHED_PREPROCESSING.items():
        if recipe.get(key) != value:
            right = f"the images of sky {sky!r} come with {key} {value}; name a preprocessing that has it"
            yield f".preprocessing is {name!r} with {key} {recipe.get(key)}, but {right}, as krippendorf2023."
    for key in ("bands", "circle_arcsec", "scale_to_redshift"):
        if key in recipe:
            yield f".preprocessing is {name!r} with {key}, but the images of sky {sky!r} come smoothed; leave it out."
    if experiment.get("images") not in DEFAULT_IMAGES:
        yield f".images is {experiment['images']!r}, but sky {sky!r} comes with its images; set it to null."
    if band_edges(config["images"]["bands"]) != band_edges(PUBLISHED_BANDS):
        yield f" uses sky {sky!r}, whose images have the bands {PUBLISHED_BANDS}; set images.bands so."


def _patches(config: Config, experiment: Experiment) -> Iterator[str]:
    """Yield an error if a patch of a population is too small for the images' box, which may be turned by any angle."""
    _, images = _images_of(config, experiment)
    diagonal = math.sqrt(2) * images["box_pixels"] * images["pixel_arcsec"] / 60 if images else 0
    for name, sky in resolvable_skies(config["skies"]).items():
        side = sky.get("population", {}).get("patch_arcmin", math.inf)
        if name in skies_of(experiment) and side < diagonal:
            least = f"{math.ceil(diagonal)}, the diagonal of the images' box"
            yield f" uses sky {name!r}, whose population.patch_arcmin is {side}, but must be at least {least}."


_REFERENCES = {"sky": "skies", "images": "image_sets", "recipe": "training.recipes", "compared_with": "experiments"}
_REFERENCES |= {"preprocessing": "preprocessing", "network": "network"}
_CHECKS = (_cosmology, _flag_mask, _split, _images, _grids, _base, _candidates, *SKY_CHECKS)
_CHECKS_OF_EXPERIMENTS: tuple[Callable[[Config, Experiment], Iterator[str]], ...] = (
    *(partial(_reference, key, place) for key, place in _REFERENCES.items()),
    *(
        _skies_with_masses,
        _schedule,
        _selections,
        _energies,
        _scaled_control,
        _layers,
        _conditioned,
        _published_images,
        _patches,
    ),
)

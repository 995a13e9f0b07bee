"""Checks of images and their preprocessing: whole grids, boxes that are large enough, bands that divide."""

from collections.abc import Iterator, Mapping
from typing import Any

from clustermass.config.resolve import DEFAULT_IMAGES, Block, choose, resolve_experiment, resolve_images
from clustermass.config.sky_checks import told_once

#: evtool's sky pixel, of which an image's pixel holds a whole number
_SKY_PIXEL_ARCSEC = 0.05


def whole(ratio: float) -> int:
    """`ratio` as a whole number above 0, or 0 if it is none: the rule by which images are rebinned."""
    return round(ratio) if ratio > 0 and abs(ratio - round(ratio)) < 1e-6 else 0


def side_pixels(recipe: Mapping[str, Any]) -> int:
    """Pixels along a side of the images that a preprocessing makes; 0 if that is no whole number."""
    return whole(2 * recipe["half_width_arcsec"] / recipe["pixel_arcsec"])


def check_images(images: Mapping[str, Any], image_sets: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the block `images`, and with each set that departs from it."""
    if "images" in image_sets:
        yield "image_sets: the name 'images' is that of the default images; choose another one."
    blocks = _sets(images, image_sets)
    yield from told_once(blocks, {name: "images" for name in blocks if name != "images"}, _problems)


def _sets(images: Mapping[str, Any], image_sets: Mapping[str, Any]) -> dict[str, Block]:
    """All sets filled in, by the key that they stand at."""
    named = {f"image_sets.{name}": resolve_images(images, image_sets, name) for name in image_sets}
    return {"images": dict(images), **named}


def _problems(images: Block) -> Iterator[str]:
    step, pixel = 2 * images["base_rebin"], images["pixel_arcsec"]
    if images["box_pixels"] % step:
        yield f".box_pixels is {images['box_pixels']}, but must be a multiple of 2 x images.base_rebin = {step}."
    if not whole(pixel / _SKY_PIXEL_ARCSEC):
        yield f".pixel_arcsec is {pixel}, but must be a multiple of {_SKY_PIXEL_ARCSEC}."


def check_image_names(experiments: Mapping[str, Any], image_sets: Mapping[str, Any]) -> Iterator[str]:
    """Yield the experiments whose `images` are no set."""
    for name, experiment in experiments.items():
        word = (experiment or {}).get("images")
        if word not in (*DEFAULT_IMAGES, *image_sets):
            yield f"experiments.{name}.images is {word!r}, which is none of image_sets.{choose(word, image_sets)}"


def check_grids(
    images: Mapping[str, Any],
    image_sets: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    experiments: Mapping[str, Any],
) -> Iterator[str]:
    """Yield the preprocessings that don't fit the images that they are used on; on the default's if on none."""
    keys = _sets_used(experiments)
    for key, block in _sets(images, image_sets).items():
        if any(_problems(block)):
            continue  # what follows from a wrong base grid needs no sentence of its own
        for name, recipe in preprocessing.items():
            if key in keys.get(name, {"images"}):
                yield from (f"preprocessing.{name}.{text}" for text in _misfits(recipe, block, key))


def check_scaled_controls(experiments: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> Iterator[str]:
    """Yield the controls that are to hide the redshift from networks whose images tell it."""
    for name in experiments:
        experiment = resolve_experiment(experiments, name)
        recipe = preprocessing.get(experiment.get("preprocessing", ""), {})
        if experiment.get("control") == "shuffled_redshift" and "scale_to_redshift" in recipe:
            yield (
                f"experiments.{name}.control is 'shuffled_redshift', but its preprocessing "
                f"{experiment['preprocessing']!r} scales images by the redshift, which so isn't taken away; name one "
                "without scale_to_redshift."
            )


def _sets_used(experiments: Mapping[str, Any]) -> dict[str, set[str]]:
    """Keys of the sets of images that each preprocessing is used on."""
    used: dict[str, set[str]] = {}
    for name in experiments:
        experiment = resolve_experiment(experiments, name)
        word = experiment.get("images")
        key = "images" if word in DEFAULT_IMAGES else f"image_sets.{word}"
        used.setdefault(experiment.get("preprocessing", ""), set()).add(key)
    return used


def _misfits(recipe: Mapping[str, Any], images: Block, key: str) -> Iterator[str]:
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


def _band_misfits(recipe: Mapping[str, Any], bands: int) -> Iterator[str]:
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

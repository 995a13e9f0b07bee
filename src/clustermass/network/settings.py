"""Check of the settings in the file of a network: each must be one that a configuration may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clustermass.config import models, network_models, sky_models
from clustermass.config.validate import check_block
from clustermass.errors import InputError
from clustermass.events.eventlist import ALL_MODULES

if TYPE_CHECKING:
    from clustermass.network.predict import TrainedNetwork


def check_settings(network: TrainedNetwork) -> None:
    """Raise InputError if a setting that is stored with a network couldn't be in a configuration.

    The settings for the cutting and preprocessing of images may be missing, because published images need none.
    """
    cutting, recipe = {**network.cutting}, {**network.preprocessing}
    check_block(network.network, network_models.Network, "network")
    check_block(network.recipe, network_models.Recipe, "recipe")
    if "images" in cutting:
        check_block(cutting["images"], models.Images, "cutting.images")
    if "events" in cutting:
        check_block(_with_modules(cutting["events"]), models.Events, "cutting.events")
    if (cosmology := recipe.pop("cosmology", None)) is not None:
        check_block(cosmology, sky_models.Distances, "preprocessing.cosmology")
    if recipe:
        check_block(recipe, models.Preprocessing, "preprocessing")


def _with_modules(events: Any) -> Any:
    return {"modules": [*ALL_MODULES], **events} if isinstance(events, dict) else events


def check_applicable(network: TrainedNetwork, path: object) -> None:
    """Raise InputError unless a network has settings by which the images of any field can be made.

    `path` is the network's file.
    """
    missing = [name for name in ("images", "events") if name not in network.cutting]
    if missing or not network.preprocessing:
        what = f"cutting.{missing[0]}" if missing else "preprocessing"
        raise InputError(
            f"{path}: {what} is missing: it was trained on images that were made elsewhere, so none can be made like "
            "them. Name an ensemble that was trained on images of event lists."
        )
    recipe = network.preprocessing
    pixels = 2 * recipe["half_width_arcsec"] / recipe["pixel_arcsec"]
    if abs(pixels - network.shape[0]) > 0.01:
        raise InputError(
            f"{path}: preprocessing makes images of {pixels:.6g} pixels, but the network takes {network.shape[0]}."
        )

"""Train your own ensemble on simulated fields in a script or a notebook."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clustermass.baselines.fit import fit_baselines
from clustermass.baselines.measurements import Sky
from clustermass.checked import checked
from clustermass.config.resolve import BASE_EXPERIMENT, default_config, merge, resolve_experiment
from clustermass.config.validate import check_config
from clustermass.dataset.split import split_sample
from clustermass.ensemble.aggregate import aggregate_ensemble
from clustermass.ensemble.calibration import calibrate
from clustermass.ensemble.fit_out_of_distribution import fit_ood
from clustermass.ensemble.out_of_distribution import score_ood
from clustermass.errors import InputError
from clustermass.evaluate.evaluate import evaluate
from clustermass.images.cutouts import extract_images
from clustermass.images.preprocessing import preprocess
from clustermass.interface.ensemble import Ensemble
from clustermass.interface.inputs import PathLike
from clustermass.network.train_members import train_members

if TYPE_CHECKING:
    from clustermass.dataset.training_data import TrainedExperiment
    from clustermass.interface.simulated import SimulatedField

_FILES = ("events", "exposure", "catalogue", "truth", "matches")


@checked
def train_ensemble(
    fields: Sequence[SimulatedField],
    folder: PathLike,
    network: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    members: int = 3,
) -> Ensemble:
    """Train, calibrate and test an ensemble of `members` networks on the clusters of simulated fields, and return it.

    The clusters are divided at random into a training, a validation and a test set. No halo is in two sets. `network`
    replaces values of keys in the block ``network.compact`` of the configuration, such as ``{"layers": [{"flatten":
    True}, {"join": "side"}, {"dense": 64}]}``; docs/explanation/training.md lists the layers. `recipe` replaces values
    of keys in the block ``training.recipes.clustermass``, such as ``{"epochs": 20}``. All other settings are those of
    the default configuration.

    `folder` is a new folder, to which the ensemble is written. `Ensemble.load` can read the ensemble from this folder
    later. The folder also contains the results of the test: ``metrics.json`` with the scores of the networks and of the
    baselines, and ``predictions.nc`` with the predictions for all clusters. If the training fails, the folder isn't
    made. InputError if the folder exists, if two fields have the same seed, if the cosmologies of the fields differ, if
    a key or value isn't possible, or if there are too few clusters.
    """
    made = Path(folder)
    if made.exists():
        raise InputError(f"{folder}: exists already. Name a new folder.")
    names = [f"{field.sky['seed']:02d}" for field in fields]
    if len({*names}) < len(names):
        raise InputError("fields: two have the same seed, and so the same haloes. Simulate each with its own seed.")
    if any(field.sky["cosmology"] != fields[0].sky["cosmology"] for field in fields):
        raise InputError("fields: their cosmologies differ. An ensemble has one cosmology.")
    own = {"network": {"compact": network or {}}, "training": {"recipes": {"clustermass": recipe or {}}}}
    config = merge(default_config(), {**own, "ensemble": {"members": members}})
    check_config(config)
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{made.name}.", dir=made.parent) as temporary:
        _run(fields, names, config, Path(temporary))
        (Path(temporary) / "ensemble").rename(made)
    return Ensemble.load(made)


def _run(fields: Sequence[SimulatedField], names: Sequence[str], config: Mapping[str, Any], place: Path) -> None:
    """Run the workflow from the images to the test; `names` are the realizations that the fields become."""
    chosen, seed = resolve_experiment(config["experiments"], BASE_EXPERIMENT), config["seed"]
    images, smoothed = ([place / f"{kind}_{name}.nc" for name in names] for kind in ("images", "smoothed"))
    for field, name, cut, smooth in zip(fields, names, images, smoothed, strict=True):
        events, exposure, catalogue, truth, matches = field.files(*_FILES)
        extract_images(events, exposure, catalogue, cut, config["images"], name, config["events"], truth, matches)
        preprocess(cut, smooth, config["preprocessing"][chosen["preprocessing"]])

    split, made = place / "split.nc", place / "ensemble"
    box = config["images"]["box_pixels"] * config["images"]["pixel_arcsec"]
    split_sample(images, split, {"fractions": config["split"], "box_arcsec": box, "seed": seed})

    blocks = {"network": config["network"]["compact"], "recipe": config["training"]["recipes"]["clustermass"]}
    members = {
        number: (made / f"members/{number:02d}.nc", made / f"members/{number:02d}.safetensors")
        for number in range(config["ensemble"]["members"])
    }
    experiment = cast("TrainedExperiment", dict(chosen) | blocks)
    train_members(smoothed, split, experiment, config["training"]["device"], seed, members)

    ensemble, calibration, domain = (made / name for name in ("ensemble.nc", "calibration.json", "domain.nc"))
    predicted, weights = zip(*members.values(), strict=True)
    cosmology: Any = fields[0].sky["cosmology"]
    aggregate_ensemble(predicted, ensemble, smoothed, cosmology, weights)
    calibrate(ensemble, split, calibration, config["ensemble"]["recalibration"], seed)
    fit_ood(smoothed, ensemble, domain, seed)

    baselines, ood = made / "baselines.nc", made / "ood.nc"
    truths = [field.files("truth")[0] for field in fields]
    fit_baselines(Sky(images, truths, cosmology), split, chosen["selection"], config["baselines"], seed, baselines)
    score_ood(smoothed, ensemble, domain, ood)
    draws = config["evaluation"]["bootstrap"]
    evaluate(ensemble, baselines, calibration, made / "metrics.json", made / "predictions.nc", draws, seed, split, ood)

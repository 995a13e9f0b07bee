"""Make the released ensemble: a packed file, and a datasheet on how the ensemble was trained and tested."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from clustermass.config.bands import in_kev
from clustermass.ensemble.aggregate import RANGE_BITS, Training, read_training
from clustermass.ensemble.calibration import read_calibration
from clustermass.ensemble.pack import ENSEMBLE, EnsembleFiles, pack_ensemble
from clustermass.errors import InputError
from clustermass.io.files import atomic, read_json
from clustermass.io.netcdf import json_attribute, read_netcdf, write_netcdf
from clustermass.io.provenance import file_sha256
from clustermass.network.predict import TrainedNetwork

#: variables of `ensemble.nc` that masses of new clusters depend on; the others only describe the training clusters
KEPT = ("split", "redshift", "redshift_err", "ml_cts", "exposure_s", "log10_m500c")
#: largest released file, because it is part of the repository and of every installation
MOST_BYTES = 8_000_000
#: baselines of the datasheet: those that an observer can use
BASELINES = {
    "count_rate_recalibrated": "relation between count rate, redshift and mass",
    "ridge_features": "ridge regression on features such as counts in annuli",
    "boosted_trees": "boosted trees on the same features",
    "prior": "redshift only",
}
CONTAMINATION = {
    "half of the counts or more from the matched halo": "uncontaminated",
    "less than half of the counts from the matched halo": "contaminated",
}
BINS = {"redshift": ("redshift", 2), "predicted_mass": ("predicted log10 M500c", 1), "likelihood": ("EXT_LIKE", 0)}


def release(
    ensemble: Path,
    calibration: Path,
    domain: Path,
    weights: Sequence[Path],
    metrics: Path,
    settings: Mapping[str, Any],
    template: str,
    packed: Path,
    datasheet: Path,
) -> None:
    """Write the released ensemble into the file `packed`, and its datasheet into the file `datasheet`.

    The packed `ensemble.nc` holds only the variables `KEPT` of the training clusters, and the attribute `version` from
    `settings`. `metrics` is the metrics.json with the results of the ensemble's test. `template` is the text of the
    datasheet, with placeholders for numbers and for the `settings`. InputError in the cases of `pack_ensemble`, and if
    the packed file would have more than `MOST_BYTES`.
    """
    with tempfile.TemporaryDirectory(prefix="clustermass-") as folder:
        reduced = Path(folder) / ENSEMBLE
        _write_reduced(ensemble, settings["version"], reduced)
        released = EnsembleFiles(reduced, calibration, domain, tuple(weights))
        _check_size(released, packed)
        pack_ensemble(released, packed)
        words = {**settings, **_facts(released, packed), **_results(read_json(metrics, "JSON"))}
    with atomic(datasheet) as temporary:
        temporary.write_text(Template(template).substitute(words), encoding="utf-8")


def _check_size(trained: EnsembleFiles, packed: Path) -> None:
    size = sum(path.stat().st_size for path in trained.named().values())
    if size > MOST_BYTES:
        raise InputError(
            f"{packed}: would have {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:g} MB. "
            "Train fewer or smaller networks."
        )


def _write_reduced(ensemble: Path, version: str, output: Path) -> None:
    """Write to `output` only that part of an `ensemble.nc` on which the masses of new clusters depend."""
    table = read_netcdf(ensemble, KEPT)
    training = table.isel(cluster=table["split"].values.astype(str) == "train")
    reduced = training[[*KEPT]].drop_vars("cluster").assign_coords(member=table["member"])
    reduced["split"] = reduced["split"].astype("S")  # a text of variable length takes ten times the space
    made = {name: value for name, value in table.attrs.items() if name not in ("Conventions", "title")}
    write_netcdf(reduced, output, "Training clusters of the released ensemble", {**made, "version": version})


def _facts(trained: EnsembleFiles, packed: Path) -> dict[str, str]:
    """Return the texts of the datasheet about the ensemble and its training, as a dict from placeholder to text."""
    training, network = read_training(trained.ensemble), TrainedNetwork.load(trained.weights[0])
    attributes = read_netcdf(trained.ensemble).attrs
    cosmology = json_attribute(attributes, "cosmology", trained.ensemble)
    images, modules = network.cutting["images"], network.cutting["events"]["modules"]
    return {
        "ensemble_hash": trained.digest(),
        "sha256": file_sha256(packed),
        "megabytes": f"{packed.stat().st_size / 1e6:.1f}",
        "software": str(attributes["source"]),
        "members": str(len(trained.weights)),
        "epochs": str(network.recipe["epochs"]),
        "clusters": f"{training.number:,}",
        "calibrated": f"{read_calibration(trained.calibration).number:,}",
        "bands": in_kev(network.edges_ev),
        "box": f"{images['box_pixels'] * images['pixel_arcsec'] / 60:g}'",
        "seen": f"{network.preprocessing['half_width_arcsec'] / 30:g}'",
        "modules": ", ".join(map(str, modules)),
        "cosmology": f"H0 = {cosmology['h0_km_s_mpc']} km/s/Mpc, omega_m = {cosmology['omega_m']}",
        "ranges": _ranges(training),
    }


def _ranges(training: Training) -> str:
    names = {"redshift": "redshift", "ml_cts": "ML_CTS", "exposure_s": "exposure in s", "log10_m500c": "log10 M500c"}
    digits = {"redshift": 3, "log10_m500c": 2}
    ends = {name: [f"{end:,.{digits.get(name, 0)}f}" for end in training.ranges[name]] for name in RANGE_BITS.values()}
    return _table(["quantity", "lowest", "highest"], [[names[name], *both] for name, both in ends.items()])


def _results(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of the datasheet about the test, as a dict from placeholder to text."""
    test, calibration, ratios = metrics["test"], metrics["calibration"], metrics["ratios"]
    compared = [
        [label, _with_error(ratios[f"network_over_{name}"]["value"], ratios[f"network_over_{name}"]["ci68"])]
        for name, label in BASELINES.items()
        if f"network_over_{name}" in ratios
    ]
    head = ["test clusters", "number", "scatter (dex)", "mean of predicted - true (dex)", "within one sigma"]
    return {
        "tested": f"{test['n']:,}",
        "scatter": f"{_with_error(test['scatter_dex'], test['scatter_dex_ci68'])} dex",
        "bias": f"{_with_error(test['bias_dex'], test['bias_dex_ci68'])} dex",
        "coverage68": f"{100 * calibration['coverage68']:.1f} %",
        "coverage95": f"{100 * calibration['coverage95']:.1f} %",
        "residual_over_sigma": f"{calibration['residual_std_over_mean_sigma']:.2f}",
        "samples": _table(head, _samples(test, calibration)),
        "baselines": _table(["simpler predictor", "scatter of the ensemble ÷ its scatter"], compared),
    }


def _samples(test: Mapping[str, Any], calibration: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of the table of test results: all clusters, those with and those without neighbour, and bins."""
    yield _sample("all", test, calibration)
    yield _sample("without neighbour", test["isolated"])
    yield _sample("with neighbour", test["with_neighbour"])
    for label, key in CONTAMINATION.items():
        if key in test:
            yield _sample(label, test[key])
    for name, (label, digits) in BINS.items():
        for one, covered in zip(test[f"by_{name}_bin"], calibration[f"by_{name}_bin"], strict=True):
            low, high = (None if end is None else f"{end:.{digits}f}" for end in (one["low"], one["high"]))
            ends = f"{low} to {high}" if low and high else f"below {high}" if high else f"above {low}"
            yield _sample(f"{label} {ends}", one, covered)


def _sample(label: str, block: Mapping[str, Any], covered: Mapping[str, Any] | None = None) -> list[str]:
    share = None if covered is None else covered["coverage68"]
    numbers = [f"{block['n']:,}", _number(block["scatter_dex"], ".3f"), _number(block["bias_dex"], "+.3f")]
    return [label, *numbers, "–" if share is None else f"{100 * share:.0f} %"]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _with_error(value: float, ends: Sequence[float]) -> str:
    """Return a text with a number and its standard error, which is half the width of its 68 % interval."""
    return f"{value:.3f} ± {(ends[1] - ends[0]) / 2:.3f}"


def _table(head: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

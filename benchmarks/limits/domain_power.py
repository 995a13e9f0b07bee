"""Measure the share of clusters with FLAG_OOD on a sky like the training sky, on other skies and after changes.

``python benchmarks/limits/domain_power.py results/accuracy/fiducial results/skies --other no_agn double_background``
reads a finished experiment and the smoothed images of all existing realizations of the skies. The sky like the training
sky (`--like`) gives the rate of false alarms. In further copies of its clusters, redshifts are changed or neighbours
added. `make benchmark` leaves this measurement out.
"""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import beta

from clustermass.arrays import generator
from clustermass.dataset.sample import load_sample
from clustermass.dataset.training_data import measurements_of
from clustermass.ensemble.ensemble import Ensemble
from clustermass.ensemble.ood_quantities import CORE_ARCSEC, quantities_of
from clustermass.ensemble.out_of_distribution import FALSE_ALARMS, read_ood_model, sample_p
from clustermass.ensemble.scores import fraction
from clustermass.io.files import write_json
from clustermass.io.provenance import file_sha256

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config" / "config.yaml").read_text())
SELECTION = CONFIG["experiments"]["fiducial"]["selection"]
SEED = 1
NEIGHBOUR_ARCSEC, NEIGHBOUR_SIGMA_ARCSEC = 130.0, 24.0


def main():
    """Run the measurement and write domain_power.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("skies", type=Path, nargs="+", help="folders with <sky>/<realization>/smoothed/")
    parser.add_argument("--like", default="further")
    parser.add_argument("--other", nargs="*", default=[])
    parser.add_argument("--preprocessing", default="central")
    parser.add_argument("--planted", type=int, default=2, help="realizations of --like whose clusters are changed")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/domain_power.json"))
    options = parser.parse_args()
    trained = Ensemble.from_folder(options.experiment)
    domain = read_ood_model(trained.domain)
    rows = {}
    for sky in (options.like, *options.other):
        rows[sky] = row_of(smoothed_images(options, sky), trained, domain)
    for name, sample in changed(smoothed_images(options, options.like)[: options.planted], domain.transform):
        rows[name] = row_of(sample, trained, domain)
    k = int(FALSE_ALARMS * (domain.number + 1))
    content = {
        "what": "share of clusters with FLAG_OOD, percent, and the p-value of the whole sample",
        "command": shlex.join(["python", "benchmarks/limits/domain_power.py", *sys.argv[1:]]),
        "ensemble": trained.digest(),
        "stated_percent": 100 * FALSE_ALARMS,
        # for one set of validation clusters, the true rate of false alarms follows a beta distribution
        "expected_percent_ci95": [100 * float(end) for end in beta.interval(0.95, k, domain.number + 1 - k)],
        "n_validation": domain.number,
        "quantities": list(domain.names),
        "domain_sha256": file_sha256(trained.domain),
        "rows": rows,
    }
    write_json(content, options.output)
    print(f"Written: {options.output}")


def smoothed_images(options, sky):
    """Return the paths of the smoothed images of all realizations of a sky."""
    name = f"*/smoothed/{options.preprocessing}.nc"
    paths = [path for folder in options.skies for path in sorted((folder / sky).glob(name))]
    if not paths:
        sys.exit(f"{sky}: no smoothed/{options.preprocessing}.nc under {', '.join(map(str, options.skies))}")
    return paths


def row_of(images, trained, domain):
    """Return the row of the result for the clusters in `images`, which is a list of files or a loaded sample."""
    sample = load_sample(images, selection=SELECTION) if isinstance(images, list) else images
    redshift = sample["redshift"].values
    measurements = measurements_of(sample)
    predicted = trained.predict(sample["image"].values, redshift, None, measurements, device="cpu")
    result = domain.score(quantities_of(sample, predicted._asdict(), domain.transform))
    names, counts = np.unique(result.why[result.flagged], return_counts=True)
    shares = fraction("flagged", result.flagged)
    residual = predicted.mu - sample["log10_m500c"].values
    row = {
        "n": int(result.p.size),
        "flagged_percent": 100 * shares["flagged"],
        "flagged_percent_ci68": [100 * end for end in shares["flagged_ci68"]],
        "p_below_5_percent": float(100 * np.mean(result.p <= 0.05)),
        "sample_p": sample_p(result.p, domain.number),
        "why": dict(sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1])),
        "mass_bias_dex": float(residual.mean()),
        "mass_rms_dex": float(np.sqrt(np.mean(residual**2))),
    }
    if result.flagged.any():
        row["mass_rms_dex_of_flagged"] = float(np.sqrt(np.mean(residual[result.flagged] ** 2)))
    return row


def changed(paths, transform):
    """Yield the name of each change and the sample of clusters after it."""
    sample = load_sample(paths, selection=SELECTION)
    rng = generator(SEED, "domain power")
    z = sample["redshift"].values
    wrong = {"redshift of another cluster": rng.permutation(z), "redshift + 0.3": z + 0.3, "redshift / 3": z / 3}
    for name, redshift in wrong.items():
        yield name, sample.assign(redshift=("cluster", redshift))
    for counts in (100, 300, 1000):
        yield f"neighbour of {counts} counts at {NEIGHBOUR_ARCSEC:g} arcsec", neighbour(sample, transform, counts, rng)


def neighbour(sample, transform, counts, rng):
    """Return the sample with the photons of a second cluster added to each image, in a random direction.

    The second cluster has `counts` photons on average, with the mean spectrum of the centres of all images.
    """
    power = {"none": 1, "sqrt": 2}[transform]
    cube = sample["image"].values.astype(float) ** power
    x, y = sample["x"].values, sample["y"].values
    centre = np.hypot(x[None, :], y[:, None]) < CORE_ARCSEC
    spectrum = cube[:, :, centre].sum(axis=(0, 2))
    angle = rng.uniform(0, 2 * np.pi, len(cube))
    dx = x[None, None, :] - NEIGHBOUR_ARCSEC * np.cos(angle)[:, None, None]
    dy = y[None, :, None] - NEIGHBOUR_ARCSEC * np.sin(angle)[:, None, None]
    blob = np.exp(-(dx**2 + dy**2) / (2 * NEIGHBOUR_SIGMA_ARCSEC**2))
    blob *= np.prod(np.abs([x[1] - x[0], y[1] - y[0]])) / (2 * np.pi * NEIGHBOUR_SIGMA_ARCSEC**2)
    expected = counts * blob[:, None] * (spectrum / spectrum.sum())[:, None, None]
    image = ((cube + rng.poisson(expected)) ** (1 / power)).astype(np.float32)
    return sample.assign(image=(sample["image"].dims, image))


if __name__ == "__main__":
    main()

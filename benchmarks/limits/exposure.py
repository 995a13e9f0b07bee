"""Measure how masses shift without the exposure map of a field, and in images that are partly unexposed.

Usage: benchmarks/limits/exposure.py RESULTS [OUTPUT]. RESULTS/default must be a finished default run, whose mock field
is used. This takes a minute.
"""

import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr
from astropy.table import Table

from clustermass.apply.field import masses_of_field
from clustermass.dataset.training_data import measurements_of
from clustermass.ensemble.ensemble import Ensemble
from clustermass.io.log import LOGGER

#: bins of the exposure from the map divided by the median ML_EXP of the table (formerly used for all clusters)
EDGES = (0.0, 0.5, 0.7, 0.9, 1.1, 1.4, 9.0)


def shifts(masses, by_map, ratio, whole):
    """Return the shifts of LOGM500 in comparison with the masses `by_map`, which were computed with the exposure map.

    `ratio` is the exposure in the map divided by its median. `whole` is true for clusters whose 20' box lies in the
    field. The shifts of these clusters are averaged in bins of `ratio`, those of the others in a single bin.
    """
    shift = masses["LOGM500"] - by_map["LOGM500"]
    known = np.isfinite(shift)
    rows = {f"{low} to {high}": known & whole & (ratio >= low) & (ratio < high) for low, high in pairwise(EDGES)}
    rows["box leaves the field"] = known & ~whole
    bins = {
        name: {"clusters": int(row.sum()), "mean_dex": round(float(shift[row].mean()), 4)} for name, row in rows.items()
    }
    return {
        "rms_dex": round(float(np.sqrt(np.mean(shift[known] ** 2))), 4),
        "flagged_ood": int(masses["FLAG_OOD"].sum()),
        "by_map_over_flat": bins,
    }


def unexposed(ensemble, smoothed):
    """Return mean and scatter of the shift of log10 mass if Eastern columns of fully exposed images are set to 0."""
    field = xr.load_dataset(smoothed)
    field = field.isel(cluster=np.flatnonzero((field["redshift"] > 0) & (field["covered_fraction"] > 0.999)))
    image, redshift, measured = field["image"].values, field["redshift"].values.astype(float), measurements_of(field)
    whole = ensemble.predict(image, redshift, None, measured, "cpu").mu
    found = {}
    for columns in range(1, image.shape[-1] // 2 + 1):
        cut = image.copy()
        cut[..., :columns] = 0
        shift = ensemble.predict(cut, redshift, None, measured, "cpu").mu - whole
        part = f"{1 - columns / image.shape[-1]:.3f}"
        found[part] = {"mean_dex": round(float(shift.mean()), 3), "scatter_dex": round(float(shift.std()), 3)}
    return {"clusters": image.shape[0], "by_covered_fraction": found}


def main(results, output="docs/measured/exposure.json"):
    """Run both measurements and write them to `output`."""
    LOGGER.disabled = True
    trained, sky = Path(results) / "default/fiducial", Path(results) / "skies/mock_efeds/01"
    sources = Table.read(sky / "catalogue.fits", hdu="CATALOGUE")
    median = float(np.median(sources["ML_EXP"]))
    ways = {"map": {"exposure": [sky / "exposure.fits"]}, "ml_exp": {}, "clusters": {}, "flat": {"exposure_s": median}}
    with tempfile.TemporaryDirectory() as folder:
        clusters, masses = Path(folder) / "clusters.csv", {}
        sources[(sources["DET_LIKE"] > 5) & (sources["EXT_LIKE"] > 6)].write(clusters)
        for way, options in ways.items():
            path, table = Path(folder) / f"{way}.fits", clusters if way == "clusters" else sky / "catalogue.fits"
            masses_of_field([sky / "events.fits"], table, trained, path, **options)
            masses[way] = Table.read(path, mask_invalid=False)
    ids = [int(name.rpartition("_")[2]) for name in xr.load_dataset(sky / "images.nc")["cluster"].values.astype(str)]
    covered = dict(zip(ids, xr.load_dataset(sky / "images.nc")["covered_fraction"].values.tolist(), strict=True))
    whole = np.array([covered[number] > 0.999 for number in masses["map"]["ID_SRC"].tolist()])
    ratio = masses["map"]["EXPOSURE"] / median
    content = {
        "what": "masses of the mock field of the default run against those with its exposure map",
        "flat_s": round(median, 1),
        "flagged_ood_by_map": int(masses["map"]["FLAG_OOD"].sum()),
        "ml_exp_of_each_cluster": shifts(masses["ml_exp"], masses["map"], ratio, whole),
        "ml_exp_without_point_sources_in_the_table": shifts(masses["clusters"], masses["map"], ratio, whole),
        "flat_exposure_for_all": shifts(masses["flat"], masses["map"], ratio, whole),
        "images_partly_unexposed": unexposed(Ensemble.from_folder(trained), sky / "smoothed/central.nc"),
    }
    Path(output).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

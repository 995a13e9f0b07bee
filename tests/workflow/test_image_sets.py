"""An experiment on images of its own: true centres, fainter clusters, one band, scaled to one redshift."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from astropy.table import Table
from runs import ROOT, jobs, snakemake

from clustermass.io.netcdf import read_netcdf

pytestmark = [pytest.mark.workflow, pytest.mark.long]
RUN = "results/test/other"
MASSES = f"{RUN}/observed/tiny_observed/masses.fits"
SCALED = {"scale_to_redshift": 0.3, "bands": 1}
FAINT = {"selection": {"ext_like_min": 3.0}, "test_skies": []}
CHANGES = {
    "image_sets": {"own": {"centre": "halo", "ext_like_min": 3.0}},
    "preprocessing": {"one_band": {"half_width_arcsec": 192.0, "pixel_arcsec": 24.0, "transform": "sqrt", **SCALED}},
    "experiments": {"other": {"images": "own", "preprocessing": "one_band", "members": 1, **FAINT}},
}


def arguments(folder):
    (folder / "own.yaml").write_text(yaml.safe_dump(CHANGES))
    return ["--configfile", str(ROOT / "config/test.yaml"), str(folder / "own.yaml")]


@pytest.fixture(scope="module")
def other(finished, tmp_path_factory):
    """Return a copy of the finished run, with metrics and masses of the experiment."""
    folder = tmp_path_factory.mktemp("sets")
    directory = folder / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    done = snakemake(directory, *arguments(folder), "--", f"{RUN}/metrics.json", MASSES, config=None)
    assert "train fiducial" not in done.stdout + done.stderr
    return directory


def test_the_default_images_need_nothing_new(finished, tmp_path):
    planned = jobs(snakemake(finished, *arguments(tmp_path), "-n", config=None))
    assert planned["extract_images"] == planned["smooth_images"] == 3  # two realizations and the observed field
    assert planned["extend_split"] == planned["train_member"] == 1
    assert "split_sample" not in planned


def test_images_lie_about_the_true_centres_of_more_clusters(other):
    for realization in ("01", "02"):
        folder = other / "results/skies/tiny" / realization
        own, default = (read_netcdf(folder / name) for name in ("images_own.nc", "images.nc"))
        assert set(default["cluster"].values) < set(own["cluster"].values)
        truth = Table.read(folder / "truth.fits", hdu="TRUTH")
        place = {int(row["HALO_ID"]): (row["RA"], row["DEC"]) for row in truth}
        matched = np.flatnonzero(own["halo_id"].values >= 0)
        assert matched.size > 20
        for cluster in matched.tolist():
            position = (float(own["ra"][cluster]), float(own["dec"][cluster]))
            assert position == pytest.approx(place[int(own["halo_id"][cluster])], abs=1e-9)


def test_networks_see_one_band_with_the_photons_of_all(other):
    smoothed = read_netcdf(other / "results/skies/tiny/01/smoothed_own/one_band.nc")
    assert smoothed["image"].shape[1:] == (1, 16, 16)
    assert smoothed["band_bounds"].values == pytest.approx(np.array([[0.25, 2.3]]))
    images = read_netcdf(other / "results/skies/tiny/01/images_own.nc")
    measured = images["redshift"].values > 0
    np.testing.assert_array_equal(np.isfinite(smoothed["image"].values).all(axis=(1, 2, 3)), measured)
    photons = (smoothed["image"].values[measured].astype(float) ** 2).sum(axis=(1, 2, 3))
    total = images["counts"].values[measured].sum(axis=(1, 2, 3))
    assert (photons <= total * (1 + 1e-5)).all()
    # the image of a nearer cluster takes up more of the box
    assert np.corrcoef(images["redshift"].values[measured], photons / total)[0, 1] < -0.5


def test_test_clusters_of_the_default_images_are_test_clusters_here_too(finished, other):
    first, own = (read_netcdf(other / f"results/test/splits{name}/tiny.nc") for name in ("", "_own"))
    assert own.sizes["cluster"] > first.sizes["cluster"]
    np.testing.assert_array_equal(own.sel(cluster=first["cluster"].values)["split"].values, first["split"].values)
    tested, default = (
        read_netcdf(path / "predictions.nc")["cluster"].values.astype(str)
        for path in (other / RUN, finished / "results/test/fiducial")
    )
    assert set(default) <= set(tested)  # the further clusters have no redshift: they are too faint for the follow-up


def test_the_default_files_are_left_as_they_are(finished, other):
    for name in ("tiny/01/images.nc", "tiny/01/smoothed/central.nc", "tiny_observed/01/images.nc"):
        ours, theirs = (folder / "results/skies" / name for folder in (other, finished))
        assert (ours.read_bytes(), ours.stat().st_mtime) == (theirs.read_bytes(), theirs.stat().st_mtime)


def test_the_command_line_cuts_and_scales_a_field_as_the_workflow_does(other, tmp_path):
    field = other / "results/skies/tiny_observed/01"
    command = [sys.executable, "-m", "clustermass", "masses", field / "events.fits", field / "catalogue.fits"]
    command += ["--exposure", field / "exposure.fits", "--ensemble", other / RUN, "--output", tmp_path / "masses.fits"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "about the haloes' true centres" in done.stderr.replace("\n", " ")
    ours, theirs = Table.read(tmp_path / "masses.fits"), Table.read(other / MASSES)
    default = read_netcdf(field / "images.nc")
    assert len(ours) == len(theirs) > default.sizes["cluster"]
    for column in ("ID_SRC", "N_PHOT", "LOGM500", "LOGM500_ERR", "FLAG_NOZ"):
        found, wanted = (np.ma.filled(table[column].astype(float), np.nan) for table in (ours, theirs))
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    mass = np.ma.filled(theirs["LOGM500"].astype(float), np.nan)
    np.testing.assert_array_equal(np.isnan(mass), theirs["FLAG_NOZ"] == 1)
    assert np.isfinite(mass).sum() > 10

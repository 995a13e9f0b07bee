"""Networks for seven energy bands of unequal width, applied to event lists and to images in these bands."""

import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from runs import ROOT, snakemake

from clustermass.images.geometry import image_pixels, project
from clustermass.io.netcdf import read_netcdf
from clustermass.network.predict import TrainedNetwork

pytestmark = [pytest.mark.workflow, pytest.mark.long]
SEVEN = [200, 300, 500, 700, 1000, 1400, 1900, 2300]
CHANGES = {
    "run": "seven",
    "images": {"bands": SEVEN},
    "ensemble": {"members": 1},
    "experiments": {"fiducial": {"test_skies": []}},
}
EXPERIMENT = "results/seven/fiducial"
FIELD = "results/skies/tiny_observed/01"
SIZE = 300


@pytest.fixture(scope="module")
def seven(finished, tmp_path_factory):
    """Return a copy of the finished run in which networks for the seven bands were trained and applied."""
    folder = tmp_path_factory.mktemp("seven")
    directory = folder / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    (folder / "own.yaml").write_text(yaml.safe_dump(CHANGES))
    files = ["--configfile", str(ROOT / "config/test.yaml"), str(folder / "own.yaml")]
    snakemake(directory, *files, "--", f"{EXPERIMENT}/observed/tiny_observed/masses.fits", config=None)
    return directory


def write_images(folder, events, centre, edges):
    """Write images of 20' about `centre` in the bands between `edges`, by evtool's rule; return their paths."""
    x, y = (np.floor(offset) for offset in project(events["RA"], events["DEC"], *centre))
    i, j = (image_pixels(offset, 0.0, 80, SIZE) for offset in (x, y))
    bins = np.arange(SIZE + 2)  # numpy's last bin holds its upper edge, too
    paths = []
    for low, high in pairwise(edges):
        rows = (events["PI"] >= low) & (events["PI"] < high)
        counts = np.histogram2d(j[rows], i[rows], (bins, bins))[0][:SIZE, :SIZE]
        hdu = fits.PrimaryHDU(counts.astype(np.int32))
        for axis, kind, value, step in (("1", "RA---SIN", centre[0], -80), ("2", "DEC--SIN", centre[1], 80)):
            hdu.header.update({f"CTYPE{axis}": kind, f"CRVAL{axis}": value, f"CRPIX{axis}": SIZE / 2 + 0.5})
            hdu.header.update({f"CDELT{axis}": step / 72000, f"CUNIT{axis}": "deg"})
        hdu.header.update({"EMIN1": low / 1000, "EMAX1": high / 1000})
        paths.append(folder / f"{low}_{high}.fits")
        hdu.writeto(paths[-1])
    return paths


def masses(seven, events, catalogue, output):
    command = [sys.executable, "-m", "clustermass", "masses", *events, catalogue, "--ensemble", seven / EXPERIMENT]
    command += ["--exposure", seven / FIELD / "exposure.fits", "--output", output]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)


def test_networks_are_trained_on_these_bands(seven):
    network = TrainedNetwork.load(seven / EXPERIMENT / "members/00.safetensors")
    assert network.edges_ev == tuple(SEVEN)
    assert network.shape[2] == 7
    bounds = read_netcdf(seven / FIELD / "images.nc")["band_bounds"].values
    np.testing.assert_allclose(bounds * 1000, list(pairwise(SEVEN)))


def test_images_in_these_bands_give_the_mass_of_the_event_list(seven, tmp_path):
    catalogue = Table.read(seven / EXPERIMENT / "observed/tiny_observed/masses.fits")
    row = int(np.argmax(catalogue["N_PHOT"] * (catalogue["FLAG_EDGE"] == 0)))
    expected = catalogue[row]
    clusters = Table.read(seven / FIELD / "catalogue.fits")
    clusters[clusters["ID_SRC"] == expected["ID_SRC"]].write(tmp_path / "one.fits")
    events = Table.read(seven / FIELD / "events.fits", hdu="EVENTS")
    images = write_images(tmp_path, events, (expected["RA"], expected["DEC"]), SEVEN)
    done = masses(seven, images, tmp_path / "one.fits", tmp_path / "masses.fits")
    assert done.returncode == 0, done.stderr
    assert "in 7 bands with the edges 0.2, 0.3, 0.5, 0.7, 1, 1.4, 1.9, 2.3 keV" in done.stderr
    (found,) = Table.read(tmp_path / "masses.fits")
    assert abs(found["N_PHOT"] - expected["N_PHOT"]) <= 2  # photons on the edge of the box
    assert found["LOGM500"] == pytest.approx(expected["LOGM500"], abs=1e-3)
    broad = write_images(tmp_path, events, (expected["RA"], expected["DEC"]), [200, 2300])
    done = masses(seven, broad, tmp_path / "one.fits", tmp_path / "broad_masses.fits")
    assert done.returncode == 1
    assert "in 7 bands with the edges 0.2, 0.3, 0.5, 0.7, 1, 1.4, 1.9, 2.3 keV" in done.stderr
    assert not (tmp_path / "broad_masses.fits").exists()

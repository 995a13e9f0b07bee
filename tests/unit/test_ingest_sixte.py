"""Real event lists of SIXTE through the standard files to images and labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from ingest_inputs import EVENTS, ingest

from clustermass.dataset.sample import load_sample
from clustermass.events.read import read_events
from clustermass.images.cutouts import extract_images
from clustermass.images.exposure import exposure_at, read_exposure
from clustermass.io.netcdf import read_netcdf

SIXTE = Path(__file__).parents[3] / "shared" / "data" / "sixte"


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
def test_real_sixte_files(tmp_path):
    """The calibrated SIXTE list and its catalogue go through as they are; the cluster lies in the exposed field."""
    files = {"events": [str(SIXTE / "fixture_sixte_cal_tm0.fits.gz")], "catalogue": str(SIXTE / "clusters.csv")}
    outputs = ingest(tmp_path, {"observed": True, "realizations": {"01": files}})
    photons = read_events(outputs["events"])
    raw = fits.getdata(SIXTE / "fixture_sixte_cal_tm0.fits.gz", "EVENTS")
    assert len(photons) == (raw["PI"] > 0).sum()
    image, wcs = read_exposure(outputs["exposure"])
    # 1600 s for all modules, over the 21.7' x 21.7' that the fixture is cut to
    assert image.max() == pytest.approx(1600, rel=0.01)
    assert (image > 0).sum() / 3600 == pytest.approx((21.7 / 60) ** 2, rel=0.15)
    assert exposure_at(image, wcs, np.array([133.70003461]), np.array([1.36666465]))[0] > 0
    history = "".join(fits.getheader(outputs["events"])["HISTORY"])
    assert "fixture_sixte_cal_tm0.fits.gz" in history
    assert json.dumps("01") in history


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("fixture_sixte_cal_tm0.fits.gz", [389, 479, 498, 378, 357, 286, 249, 200, 162, 106]),
        ("sixte_evt_tm1.fits.gz", [59, 63, 77, 57, 46, 42, 46, 34, 23, 18]),
    ],
)
def test_images_of_real_sixte_files_by_way_of_the_standard_files(tmp_path, name, sums):
    """The photons that ingest hands on are those that other software counts in ten bands in the cluster's box."""
    files = {"events": [str(SIXTE / name)], "catalogue": str(SIXTE / "clusters.csv")}
    outputs = ingest(tmp_path, {"observed": True, "realizations": {"01": files}})
    settings = {
        "box_pixels": 300,
        "pixel_arcsec": 4.0,
        "base_rebin": 3,
        "bands": {"start_ev": 250, "width_ev": 205, "number": 10},
        "centre": "detected",
        "det_like_min": 5.0,
        "ext_like_min": 6.0,
    }
    standard = (outputs["events"], outputs["exposure"], outputs["catalogue"])
    extract_images(*standard, tmp_path / "images.nc", settings, "01", EVENTS)
    sample = load_sample([tmp_path / "images.nc"])
    assert sample["counts"].sum(("cluster", "y", "x")).values.tolist() == sums
    assert sample["covered_fraction"].item() > 0.99
    assert read_netcdf(tmp_path / "images.nc").attrs["simulated"] == "true"


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
def test_labels_of_a_real_sixte_list(tmp_path):
    """SRC_ID 1 is the cluster; 100, with far more photons, the diffuse sky."""
    (tmp_path / "halos.csv").write_text("SRC_ID,RA,DEC,Z,LOG10_M500C\n1,133.70003461,1.36666465,0.3,14.5\n")
    files = {"events": [str(SIXTE / "sixte_evt_tm1.fits.gz")], "catalogue": str(SIXTE / "clusters.csv")}
    files["truth"] = str(tmp_path / "halos.csv")
    outputs = ingest(tmp_path, {"observed": False, "realizations": {"01": files}})
    (match,) = fits.getdata(outputs["matches"], "MATCHES")
    assert (match["ID_SRC"], match["SRC_ID"]) == (1, 1)
    # within 60 arcsec, 0.2-2.3 keV: 18 of the cluster and 5 of the sky
    assert match["PURITY"] == pytest.approx(18 / 23)

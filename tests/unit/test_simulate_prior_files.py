"""Files of a sky with a prior: photons are drawn from true values; truth and images have the drawn parameters."""

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from clustermass.catalogues.match_field import match_sources
from clustermass.config.resolve import default_config, merge
from clustermass.dataset.sample import load_sample
from clustermass.images.cutouts import extract_images
from clustermass.ingest.detect_field import detect_field
from clustermass.simulate.prior import draw_sky
from clustermass.simulate.realization import simulate_realization

CONFIG = default_config()
FIELD = {"ra_deg": 136.0, "dec_deg": 1.5, "width_deg": 1.6, "height_deg": 1.4}
PHOTONS = ("events", "exposure", "labels", "sources", "truth")


def _sky(prior, **changes):
    own = {"field": FIELD, "exposure": {"scans": 1, "taper_deg": 0.0}, "seed": 4, "prior": prior}
    return merge(merge(CONFIG["skies"]["embedded"], own), changes)


def _simulate(folder, sky, realization):
    folder.mkdir()
    files = {name: folder / f"{name}.fits" for name in PHOTONS}
    simulate_realization(sky, CONFIG["cosmology"], "varied", realization, **files)
    return files


@pytest.mark.parametrize("realization", ["01", "02", "03"])
def test_photons_of_the_background_have_the_true_level_and_the_exposure_map_the_measured_depth(tmp_path, realization):
    prior = {
        "realizations_per_universe": 1,
        "parameters": {"clusters.relations.slope": {"normal": [1.5, 0.14]}},
        "errors": {"background.rate_per_arcmin2_ks": 0.2, "exposure.depth_s": 0.3},
        "conditions": {"exposure.depth_s": {"uniform": [500.0, 900.0]}},
    }
    nothing = {"normalisation_per_deg2": 0.0, "clustered_fraction": 0.0, "central": {"fraction": 0.0}}
    sky = _sky(prior, clusters={"flux_min_cgs": 1e-11}, agn=nothing)
    files = _simulate(tmp_path / realization, sky, realization)
    energy = fits.getdata(files["events"])["PI"]
    depth = float(np.median(fits.getdata(files["exposure"])[10:-10, 10:-10]))
    assert 500 < depth < 900
    arcmin2 = 3600 * 1.6 * np.degrees(2 * np.sin(np.radians(0.7)))
    ratio = (energy < 2300).sum() / (4.7 * arcmin2 * depth / 1000)  # found / expected from what is measured
    phi = fits.getdata(files["truth"], "PHI")
    value = dict(zip(phi["NAME"].tolist(), phi["VALUE"].tolist(), strict=True))
    planted = value["errors.background.rate_per_arcmin2_ks"] + value["errors.exposure.depth_s"]
    assert np.log(ratio) == pytest.approx(planted, abs=5 / np.sqrt(len(energy)))
    assert abs(planted) > 0.03  # so that the wrong depth or level would be noticed


@pytest.fixture(name="realizations", scope="module")
def two_universes(tmp_path_factory):
    prior = {
        "realizations_per_universe": 2,
        "parameters": {
            "clusters.relations.log10_amplitude": {"normal": [43.7, 0.08]},
            "clusters.component_mean[0]": {"normal": [0.5, 0.3]},
        },
        "errors": {"absorption.nh_cm2": 0.1},
        "conditions": {
            "absorption.nh_cm2": {"log_uniform": [1e20, 8e20]},
            "exposure.depth_s": {"log_uniform": [700.0, 2500.0]},
        },
        "area_factor": [0.5, 2.0],
    }
    sky, made = _sky(prior), {}
    for realization in ("03", "01", "02"):
        folder = tmp_path_factory.mktemp("prior") / realization
        files = _simulate(folder, sky, realization)
        detections, catalogue, matches, images = (
            folder / name for name in ("detections.fits", "catalogue.fits", "matches.fits", "images.nc")
        )
        detect_field([files["events"]], [files["exposure"]], detections, sky["detection"], sky["psf"])
        paths = {name: files[name] for name in ("events", "exposure", "truth")}
        paths |= {"catalogue": catalogue, "detections": detections, "matches": matches}
        match_sources(sky, "varied", realization, **paths)
        extract_images(
            files["events"], files["exposure"], catalogue, images, CONFIG["images"], realization, CONFIG["events"],
            files["truth"], matches, nh_cm2=3e20,
        )  # fmt: skip
        made[realization] = files | {"catalogue": catalogue, "images": images}
    return sky, made


def test_images_have_the_drawn_parameters_and_the_measured_column_density(realizations):
    sky, made = realizations
    for realization, files in made.items():
        drawn = draw_sky(sky, "varied", realization)
        with xr.open_dataset(files["images"]) as images:
            names = ["clusters.component_mean[0]", "clusters.relations.log10_amplitude", "errors.absorption.nh_cm2"]
            assert images["parameter"].values.tolist() == names
            assert images.sizes["cluster"] > 2
            assert np.all(images["phi"].values == [one.value for one in drawn.phi])
            assert images["phi_mean"].values == pytest.approx([0.5, 43.7, 0.0])
            assert images["phi_sd"].values == pytest.approx([0.3, 0.08, 0.1])
            assert images["phi_uniform"].values.tolist() == [0, 0, 0]
            assert np.all(images["universe"].values == drawn.universe)
            assert images["nh"].values == pytest.approx(drawn.measured["absorption"]["nh_cm2"], rel=1e-6)
            assert drawn.true["absorption"]["nh_cm2"] != drawn.measured["absorption"]["nh_cm2"]


def test_the_catalogue_lies_in_the_larger_field_of_a_shallow_realization(realizations):
    for realization, files in realizations[1].items():
        depth = fits.getdata(files["exposure"]).max()
        width = 1.6 * np.sqrt(np.clip(1180 / depth, 0.5, 2.0))
        reach = np.abs(fits.getdata(files["catalogue"])["RA"] - 136.0).max()
        assert 0.9 * width / 2 < reach <= width / 2 + 0.01, realization


def test_a_sample_of_all_realizations_has_the_parameters_of_each_cluster(realizations):
    _, made = realizations
    sample = load_sample([made[name]["images"] for name in sorted(made)])
    assert sample["phi"].shape == (sample.sizes["cluster"], 3)
    universe, amplitude = sample["universe"].values, sample["phi"].values[:, 1]
    assert {*universe.tolist()} == {1, 2}
    assert [len({*amplitude[universe == number].tolist()}) for number in (1, 2)] == [1, 1]
    assert len({*amplitude.tolist()}) == 2

"""A population has the stated masses and redshifts, each cluster in a patch of its own, and images of it are made."""

from functools import cache

import numpy as np
import pytest
import xarray as xr
import yaml
from astropy.io import fits
from colossus.cosmology import cosmology as colossus_cosmology
from colossus.lss import mass_function
from config_inputs import ROOT
from scipy.integrate import cumulative_trapezoid
from scipy.spatial import cKDTree
from scipy.stats import kstest

from clustermass.arrays import random_streams
from clustermass.catalogues.match_field import match_sources
from clustermass.config.patches import Patches
from clustermass.config.resolve import merge
from clustermass.dataset.split import overlapping_boxes, split_sample
from clustermass.images.cutouts import extract_images
from clustermass.images.preprocessing import preprocess
from clustermass.interface.simulated import simulate_field
from clustermass.io.products import VOUCHED_LIKELIHOOD
from clustermass.io.provenance import PHOTON_BLOCKS, blocks, simulation_hash
from clustermass.simulate.central_agn import all_agn
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.photons import cluster_photons
from clustermass.simulate.population import draw_population, in_own_patch, realization_haloes
from clustermass.simulate.realization import simulate_realization
from clustermass.simulate.sources import counts_above, draw_haloes
from clustermass.simulate.spectra import ClusterSpectra
from clustermass.simulate.telescope import KingPsf, response_to

CONFIG = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
EMBEDDED, UNIFORM = CONFIG["skies"]["embedded"], CONFIG["skies"]["uniform_population"]
COSMOLOGY = CONFIG["cosmology"]


def _sky(width_deg=4.1, height_deg=2.0, **population):
    """Return a sky of the population `uniform_population`, on a field of this size and with the given changes."""
    field = {"ra_deg": 0.3, "dec_deg": 60.0, "width_deg": width_deg, "height_deg": height_deg}
    changes = {name: EMBEDDED[name] | UNIFORM[name] for name in ("exposure", "redshifts")}
    return EMBEDDED | changes | {"field": field, "seed": 5, "population": UNIFORM["population"] | population}


def _drawn(sky):
    return draw_population(sky["population"], sky, COSMOLOGY, np.random.default_rng(1))


@cache
def _spectra():
    response = response_to(EMBEDDED["telescope"]["pi_max_ev"])
    return ClusterSpectra.build(EMBEDDED["clusters"]["redshift_max"], EMBEDDED["absorption"]["nh_cm2"], response)


def _haloes(sky):
    """Return the haloes of a realization with gas, which of them have photons, and the random streams afterwards."""
    spectra = _spectra()
    streams = random_streams(sky["seed"], "population", "01")
    drawn = realization_haloes(sky, COSMOLOGY, Field.from_config(sky["field"]), spectra, streams)
    return *drawn, spectra, streams


def test_a_uniform_population_is_uniform_in_mass_and_redshift_and_fills_its_ranges():
    population = UNIFORM["population"]
    haloes = _drawn(_sky(40.0, 20.0, number=3000))
    for values, key in ((haloes.log10_m500c, "log10_m500c"), (haloes.redshift, "redshift")):
        low, high = population[f"{key}_min"], population[f"{key}_max"]
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high >= values.max() > high - 0.01 * (high - low)
        assert kstest(values, "uniform", (low, high - low)).pvalue > 0.01
    assert abs(np.corrcoef(haloes.redshift, haloes.log10_m500c)[0, 1]) < 0.06


def test_a_population_by_the_mass_function_agrees_with_an_integral_of_it():
    ranges = {"log10_m500c_min": 13.57, "log10_m500c_max": 15.0, "redshift_min": 0.04, "redshift_max": 0.8}
    haloes = _drawn(_sky(40.0, 20.0, number=3000, distribution="mass_function", **ranges))
    h = COSMOLOGY["h0_km_s_mpc"] / 100
    model = colossus_cosmology.setCosmology(
        "test", flat=True, relspecies=False, persistence="", H0=100 * h, Om0=COSMOLOGY["omega_m"],
        Ob0=COSMOLOGY["omega_b"], sigma8=COSMOLOGY["sigma8"], ns=COSMOLOGY["ns"],
    )  # fmt: skip
    z, mass = np.linspace(0.04, 0.8, 60), np.linspace(13.57, 15.0, 150)
    model_of = {"mdef": "500c", "model": "tinker08", "q_out": "dndlnM"}
    per_dex = [mass_function.massFunction(10**mass * h, one, **model_of) for one in z]
    # the volume of a shell of redshift is proportional to the squared comoving distance, divided by H(z)
    shell = model.comovingDistance(np.zeros(60), z) ** 2 / model.Ez(z)
    density = np.array(per_dex) * shell[:, None]
    for values, grid, other, axis in ((haloes.redshift, z, mass, 1), (haloes.log10_m500c, mass, z, 0)):
        integral = cumulative_trapezoid(np.trapezoid(density, other, axis=axis), grid, initial=0)
        assert kstest(values, lambda x, g=grid, i=integral: np.interp(x, g, i / i[-1])).pvalue > 0.01


@pytest.mark.parametrize("dec", [1.5, 60.0, 80.0])
def test_patches_lie_in_the_field_and_images_in_different_patches_share_no_photon(dec):
    sky = _sky(20.0, 7.0, number=546)
    field = sky["field"] | {"dec_deg": dec}
    patches = Patches.of(field, 30.0)
    assert (patches.columns, patches.rows) == (39, 14)
    haloes = _drawn(sky | {"field": field})
    assert np.abs(haloes.longitude).max() + patches.width_deg / 2 <= 10
    assert np.abs(haloes.latitude).max() + patches.height_deg / 2 <= 3.5
    ra, dec = Field.from_config(field).to_sky(haloes.longitude, haloes.latitude)
    assert len(overlapping_boxes(ra, dec, 1200.0)) == 0
    assert len(overlapping_boxes(ra, dec, 1900.0)) > 0


def test_each_cluster_has_its_poisson_number_of_photons_all_inside_its_patch():
    sky = _sky(10.1, 6.0, number=240, neighbours=False)
    haloes, bright, spectra, streams = _haloes(sky)
    assert len(haloes) == 240
    assert bright.all()
    exposure = ExposureMap.from_config(Field.from_config(sky["field"]), sky["exposure"])
    photons = cluster_photons(haloes, spectra, exposure, KingPsf(**sky["psf"]), streams["cluster_photons"])
    kept = photons[in_own_patch(photons, haloes.haloes, sky)]
    halo = kept.source - 1
    assert np.abs(kept.latitude - haloes.haloes.latitude[halo]).max() <= 0.25
    expected, found = haloes.rate * sky["exposure"]["depth_s"], np.bincount(halo, minlength=240)
    gas = haloes.gas
    farthest = 1.8 * gas.scale_arcmin / np.sqrt(gas.axis_ratio) + 10
    small = farthest < 15
    deviation = (found - expected)[small] / np.sqrt(expected[small])
    assert small.sum() > 50
    assert abs(deviation.mean()) < 4 / np.sqrt(small.sum())
    assert abs(deviation.var() - 1) < 4 * np.sqrt(2 / small.sum())
    # of the nearest, largest clusters, part of the photons is left out: those outside a square of 30 arcmin
    large = np.argmax(gas.scale_arcmin)
    assert found[large] < np.bincount(photons.source - 1)[large]
    inside = [gas.profiles.enclosed(radius / gas.scale_arcmin)[large] for radius in (13.0, 22.0)]
    least, most = expected[large] * np.array(inside) / gas.profiles.total[large]
    assert least - 5 * np.sqrt(least) < found[large] < most + 5 * np.sqrt(most)


def test_neighbours_are_the_haloes_of_the_field_and_faint_clusters_of_the_population_have_photons_too():
    sky = _sky(number=28, log10_m500c_min=12.5, log10_m500c_max=13.0)
    haloes, bright, *_ = _haloes(sky)
    streams = random_streams(sky["seed"], "population", "01")
    field = draw_haloes(Field.from_config(sky["field"]), sky["clusters"], COSMOLOGY, streams["haloes"])
    assert np.array_equal(haloes.haloes.redshift[28:], field.redshift)
    assert np.array_equal(haloes.haloes.longitude[28:], field.longitude)
    limit = sky["clusters"]["flux_min_cgs"]
    assert haloes.flux[:28].min() < limit
    assert bright[:28].all()
    assert np.array_equal(bright[28:], haloes.flux[28:] >= limit)
    alone, shining, *_ = _haloes({name: block for name, block in sky.items() if name != "population"})
    assert abs(bright[28:].sum() - shining.sum()) < 5 * np.sqrt(2 * shining.sum())
    assert len(alone) == len(haloes) - 28


def test_as_many_agn_are_around_the_clusters_as_around_haloes_of_the_same_mass_and_redshift():
    sky = _sky(10.1, 6.0, number=240, redshift_min=0.3, redshift_max=0.5)
    plain = merge(EMBEDDED["agn"], {"clustered_fraction": 0.0, "central": {"fraction": 0.0}})
    sky["agn"] = plain | {"clustered_fraction": 0.3, "clustered_evolution": 1.5}
    haloes, bright, _, streams = _haloes(sky)
    field = Field.from_config(sky["field"])
    agn = all_agn(sky, COSMOLOGY, field, haloes, bright, streams)
    weight = 10**haloes.haloes.log10_m500c * (1 + haloes.haloes.redshift) ** 1.5
    size = 2 * haloes.gas.r500_arcmin / 60
    counts = counts_above([5e-16, 1e-12], plain["normalisation_per_deg2"])
    by_counts = (counts[0] - counts[1]) * field.area_deg2
    expected = 0.3 * by_counts * weight[:240] / weight[240:][bright[240:]].sum()
    assert 300 < expected.sum() < 30_000
    assert abs(len(agn) - by_counts - expected.sum()) < 4 * np.sqrt(len(agn))

    def flat(rows):
        return np.column_stack([rows.longitude * np.cos(np.radians(rows.latitude)), rows.latitude])

    near = cKDTree(flat(agn)).query_ball_point(flat(haloes.haloes)[:240], size[:240], return_length=True)
    excess = near - by_counts / field.area_deg2 * np.pi * size[:240] ** 2
    heavy = weight[:240] > np.median(weight[:240])
    for some in (heavy, ~heavy):
        # the AGN of other haloes come in groups, so that their numbers scatter more than Poisson's
        assert abs(excess[some].sum() - expected[some].sum()) < 8 * np.sqrt(near[some].sum())
    without = all_agn(sky | {"agn": plain}, COSMOLOGY, field, haloes, bright, _haloes(sky)[3])
    assert abs(len(without) - by_counts) < 4 * np.sqrt(by_counts)


def test_clusters_without_neighbours_have_central_agn_too():
    central = {"fraction": 1.0, "mass_slope": 0.0, "evolution": 0.0, "offset_r500": 0.0}
    changes = {"normalisation_per_deg2": 0.0, "flux_min_cgs": 1e-17, "central": central}
    sky = _sky(number=28, neighbours=False) | {"agn": merge(EMBEDDED["agn"], changes)}
    haloes, bright, _, streams = _haloes(sky)
    agn = all_agn(sky, COSMOLOGY, Field.from_config(sky["field"]), haloes, bright, streams)
    assert np.array_equal(agn.longitude, haloes.haloes.longitude)
    assert len(agn) == 28


def test_only_a_sky_with_a_population_has_it_in_the_hash_of_its_settings():
    assert {*blocks(EMBEDDED, PHOTON_BLOCKS)} == {*PHOTON_BLOCKS} - {"population", "prior"}
    assert simulation_hash(_sky(), COSMOLOGY) != simulation_hash(_sky(number=10), COSMOLOGY)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the files of a realization, up to the catalogue and the images."""
    folder, sky = tmp_path_factory.mktemp("population"), _sky(number=28)
    names = ("events", "exposure", "labels", "sources", "truth", "catalogue", "matches")
    made = {name: folder / f"{name}.fits" for name in names}
    simulate_realization(sky, COSMOLOGY, "uniform", "01", **{name: made[name] for name in names[:5]})
    read = {name: made[name] for name in ("events", "exposure", "truth")}
    match_sources(sky, "uniform", "01", **read, catalogue=made["catalogue"], matches=made["matches"])
    return made


def test_the_catalogue_lists_the_clusters_at_their_true_positions_without_measurements(files):
    catalogue, truth, matches = (fits.getdata(files[name]) for name in ("catalogue", "truth", "matches"))
    assert len(truth) > len(catalogue) == len(matches) == 28
    for name in ("RA", "DEC", "Z"):
        assert np.array_equal(catalogue[name], truth[name][:28])
    assert np.array_equal(matches["ID_SRC"], matches["SRC_ID"])
    assert set(catalogue["DET_LIKE"]) == set(catalogue["EXT_LIKE"]) == {VOUCHED_LIKELIHOOD}
    assert np.isnan([catalogue[name] for name in ("EXT", "ML_RATE", "ML_CTS", "ML_BKG")]).all()
    assert np.allclose(catalogue["ML_EXP"], EMBEDDED["exposure"]["depth_s"])


def test_images_and_subsets_of_a_population_are_made_as_of_detections(files, tmp_path):
    paths = [tmp_path / name for name in ("images.nc", "smoothed.nc", "split.nc")]
    read = [files[name] for name in ("events", "exposure", "catalogue")]
    further = {"truth": files["truth"], "matches": files["matches"]}
    extract_images(*read, paths[0], CONFIG["images"], "01", CONFIG["events"], **further)
    preprocess(paths[0], paths[1], CONFIG["preprocessing"]["central"])
    split_sample([paths[0]], paths[2], {"fractions": CONFIG["split"], "seed": 1, "box_arcsec": 1200.0})
    images, smoothed, split = (xr.load_dataset(path) for path in paths)
    assert images.sizes["cluster"] == smoothed.sizes["cluster"] == len(np.unique(split["group"])) == 28
    truth = fits.getdata(files["truth"])[:28]
    number = images["cluster"].str[3:].astype(int).values - 1
    assert np.allclose(images["log10_m500c"], truth["LOG10_M500C"][number])
    assert (images["covered_fraction"] == 1).all()
    # in 10 arcmin around bright clusters are most of their photons, and the background
    centre = images["counts"].sel(x=slice(-300, 300), y=slice(-300, 300)).sum(("band", "x", "y"))
    counts, clear = truth["COUNTS"][number], truth["R500_ARCMIN"][number] < 5
    background = float(np.median(centre[counts < 100])) if (counts < 100).any() else 0.0
    assert np.all(centre[clear] > 0.5 * counts[clear])
    assert np.corrcoef(centre - background, counts)[0, 1] > 0.9


def test_a_small_field_in_python_has_a_population_too():
    population = UNIFORM["population"] | {"number": 4, "neighbours": False}
    changes = {"population": population, "exposure": UNIFORM["exposure"], "agn": {"clustered_fraction": 0.0}}
    field = simulate_field(1.1, 1.0, changes=changes)
    assert len(field.catalogue) == len(field.truth) == 4
    assert field.truth["ID_SRC"].tolist() == [1, 2, 3, 4]
    assert np.all(field.catalogue["Z"] > 0)

"""Arguments of the Python interface that aren't what they must be are refused in a sentence that names them."""

import re

import numpy as np
import pytest
from astropy import units as u

import clustermass
from clustermass import conversions, figures
from clustermass.interface.ensemble import Ensemble

NAN, MASS = float("nan"), 1e14 * u.Msun
FILES = ("events.fits", "clusters.csv")
FLAT = {"h0_km_s_mpc": 70.0, "omega_m": 0.3}
COSMOLOGY = FLAT | {"omega_b": 0.05, "sigma8": 0.8, "ns": 0.97}
POSTERIOR = clustermass.Posterior(np.ones(1), np.ones(1))
#: a call with a faulty argument, the argument, and what it must be
CALLS = [
    *((lambda value=value: clustermass.simulate_field(value), "width_deg", "a number above 0")
      for value in (0, -1.0, NAN, float("inf"), "2", None, True, [1.0])),
    (lambda: clustermass.simulate_field(1.0, height_deg=0), "height_deg", "a number above 0"),
    (lambda: clustermass.simulate_field(1.0, seed=1.5), "seed", "a whole number"),
    *((lambda value=value: clustermass.simulate_field(1.0, changes=value), "changes", "a dictionary from names")
      for value in (5, "x", [1], {5: 1})),
    *((lambda value=value: clustermass.images_of(*FILES, changes=value), "changes", "a dictionary from names")
      for value in (5, "x", [1], {5: 1})),
    (lambda: clustermass.images_of(*FILES, exposure_s="x"), "exposure_s", "a number above 0"),
    (lambda: clustermass.images_of(*FILES, acronym=5), "acronym", "a text"),
    (lambda: clustermass.images_of(*FILES, columns={"Z": 3}), "columns", "a dictionary from names to names"),
    (lambda: clustermass.images_of(*FILES, catalogue_bands="200,600"), "catalogue_bands", "of which is a whole number"),
    (lambda: clustermass.images_of(*FILES, catalogue_bands=5), "catalogue_bands", "of which is a whole number"),
    (lambda: Ensemble.masses(None, *FILES, mass_prior="Flat"), "mass_prior", "'training' or 'flat'"),
    (lambda: Ensemble.masses(None, *FILES, z_grid=["a"]), "z_grid", "a number or several numbers"),
    (lambda: Ensemble.masses(None, *FILES, overwrite="no"), "overwrite", "True or False"),
    (lambda: Ensemble.masses(None, *FILES, output=5), "output", "a path"),
    (lambda: Ensemble.load(5), "path", "a path"),
    (lambda: Ensemble.load(""), "path", "a path"),
    *((lambda value=value: clustermass.train_ensemble(value, "x"), "fields", "a list of fields from simulate_field")
      for value in ([], None, 5, "fields", [5])),
    (lambda: conversions.with_h(MASS, 0), "h0_km_s_mpc", "a number above 0"),
    (lambda: conversions.to_definition(MASS, "x"), "redshift", "a number or several numbers"),
    (lambda: conversions.to_definition(MASS, 0.3, 5), "definition", "a text"),
    *((lambda value=value: conversions.to_definition(MASS, 0.3, cosmology=value), "cosmology", "omega_b, sigma8, ns")
      for value in ({"ns": "a"}, FLAT, *(COSMOLOGY | one for one in ({"ns": -1}, {"omega_m": 2}, {"sigma8": NAN})))),
    *((lambda value=value: conversions.to_cosmology(MASS, 0.3, value), "cosmology", "above 0 for h0_km_s_mpc, omega_m,")
      for value in (None, {}, {"omega_m": 0.3}, FLAT | {"h0_km_s_mpc": 0}, FLAT | {"omega_m": 1.5})),
    (lambda: conversions.to_cosmology(MASS, 0.3, FLAT, {"h0_km_s_mpc": 70}), "trained", "above 0 for h0_km_s_mpc"),
    (lambda: POSTERIOR.plot(truth="x"), "truth", "a number"),
    *((lambda value=value: POSTERIOR.sample(value), "number", "a whole number, 0 or above")
      for value in (-1, 2.5, NAN, "2", None)),
    *((lambda value=value: POSTERIOR.sample(2, value), "rng", "a random generator") for value in (-1, 0.5, "x")),
    *((lambda value=value, name=name: getattr(POSTERIOR, name)(value), argument, "a number or several numbers")
      for name, argument in (("pdf", "value"), ("cdf", "value"), ("quantile", "probability"))
      for value in ("x", None, [[1.0], [1.0, 2.0]])),
    (lambda: figures.predictions(5), "predictions", "a data set, or the path of a netCDF file"),
    (lambda: figures.baselines([]), "metrics", "a dictionary, or the path of a JSON file"),
    (lambda: figures.observed(None, {}), "masses", "a table, or the path of one"),
    (lambda: figures.observed("a.fits", 5), "relation", "a dictionary from names to numbers"),
    (lambda: figures.training("a.nc"), "members", "a list, each entry of which is a data set, or"),
    (lambda: figures.sample([5], "a.nc"), "truth", "a list, each entry of which is a table, or"),
    (lambda: figures.weighting(["a.nc"], [5]), "rows", "a list, each entry of which is a dictionary"),
    (lambda: figures.learning_curve([{}], [{5: "sky"}]), "rows", "a dictionary from names to values"),
    (lambda: figures.comparison(["a.json"], 5), "rows", "a list, each entry of which is a dictionary"),
    (lambda: figures.energy_bands(["a.nc"], half_width_arcsec=NAN), "half_width_arcsec", "a number"),
    (lambda: figures.spread(*["a.nc"] * 3, ["a.nc"], ["a"], 9.0, 0, 1), "bootstrap", "a whole number above 0"),
    (lambda: figures.predictions("a.nc", dpi=0), "dpi", "a whole number above 0"),
    (lambda: figures.predictions("a.nc", png=5), "png", "a path"),
    (lambda: figures.predictions("a.nc", style=5), "style", "a path"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "argument", "what"), CALLS)
def test_a_faulty_argument_is_named(call, argument, what):
    with pytest.raises(clustermass.InputError, match=rf"^{argument}: is .*, but must be .*{re.escape(what)}"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        Ensemble.load,
        lambda path: clustermass.Posterior.read(path, 1),
        lambda path: clustermass.images_of(path, "clusters.csv"),
        lambda path: Ensemble.masses(None, *FILES, output=path),
    ],
)
@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "\ud800"])
def test_an_impossible_path_is_named(call, path):
    with pytest.raises(clustermass.InputError, match="no possible path"):
        call(path)


def test_an_unknown_style_is_named():
    with pytest.raises(
        clustermass.InputError, match="style: nowhere is neither a file nor one of Matplotlib's styles: "
    ):
        figures.predictions("a.nc", style="nowhere")


def test_numbers_of_numpy_are_numbers():
    arguments = (
        np.float32(1e14) * u.Msun,
        np.array([0.3], dtype=np.float32),
        {"h0_km_s_mpc": np.float64(70), "omega_m": 0.3},
    )
    assert conversions.to_cosmology(*arguments, slope=np.float32(1.8)).shape == (1,)
    with pytest.raises(clustermass.InputError, match="no such file"):
        clustermass.images_of(*FILES, catalogue_bands=np.array([200, 2300]), exposure_s=np.int64(3))

"""`train_ensemble`: an ensemble of a network of one's own, from simulated fields."""

import json

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

import clustermass
from clustermass.network.predict import TrainedNetwork

LAYERS = [{"conv": 2}, {"pool": "average"}, {"global_pool": "average"}, {"join": "side"}, {"dense": 4}]
PLANCK, WMAP = ({"h0_km_s_mpc": 67.74, "omega_m": omega_m} for omega_m in (0.3089, 0.2865))


@pytest.fixture(scope="module")
def fields():
    """Return two deep fields of about a hundred clusters each."""
    deep = {"exposure": {"depth_s": 4000.0, "taper_deg": 0.1}}
    return [clustermass.simulate_field(4.0, seed=seed, changes=deep) for seed in (1, 2)]


@pytest.mark.long
def test_an_ensemble_of_own_layers_is_trained_and_tested(fields, tmp_path):
    made = tmp_path / "mine"
    ensemble = clustermass.train_ensemble(fields, made, {"layers": LAYERS}, {"epochs": 2}, members=2)
    assert [path.name for path in sorted((made / "members").glob("*.safetensors"))] == [
        "00.safetensors",
        "01.safetensors",
    ]
    trained = TrainedNetwork.load(ensemble.weights[0])
    assert trained.network["layers"] == LAYERS
    assert trained.recipe["epochs"] == 2

    # each cluster has the true mass of its own field and detection
    with xr.open_dataset(made / "predictions.nc") as table:
        ids, masses, split = (table[name].values for name in ("cluster", "log10_m500c", "split"))
    known = {}
    for field in fields:
        pairs, mass = Table.read(field.files("matches")[0]), field.truth["LOG10_M500C"]
        known |= {f"{field.sky['seed']:02d}_{row['ID_SRC']}": mass[row["SRC_ID"] - 1] for row in pairs}
    np.testing.assert_allclose(masses, [known["_".join(str(name).split("_")[-2:])] for name in ids], atol=1e-6)
    assert {*np.unique(split)} == {"train", "val", "test"}
    assert {str(name).split("_")[0] for name in ids} == {"01", "02"}

    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["n_test"] == (split == "test").sum()
    assert "network_over_count_rate_recalibrated" in metrics["ratios"]
    found = clustermass.Ensemble.load(made).masses(fields[0].events, fields[0].catalogue, fields[0].exposure)
    assert np.isfinite(found["LOGM500"]).sum() > 50


@pytest.mark.parametrize(
    ("skies", "options", "message"),
    [
        ([(1, PLANCK), (1, PLANCK)], {}, "fields: two have the same seed"),
        ([(1, PLANCK), (2, WMAP)], {}, "fields: their cosmologies differ"),
        ([(1, PLANCK)], {"recipe": {"epoch": 3}}, r"training\.recipes\.clustermass\.epoch is not a key .*epochs"),
        ([(1, PLANCK)], {"network": {"layers": [{"convolution": 3}]}}, r"network\.compact\.layers"),
        ([(1, PLANCK)], {"members": 0}, r"ensemble\.members"),
        ([], {}, r"fields: is \[\], but must be a list of fields"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_no_folder(skies, options, message, tmp_path):
    fields = [clustermass.SimulatedField({"seed": seed, "cosmology": cosmology}, tmp_path) for seed, cosmology in skies]
    with pytest.raises(clustermass.InputError, match=message):
        clustermass.train_ensemble(fields, tmp_path / "mine", **options)
    assert not (tmp_path / "mine").exists()
    some = fields or [clustermass.SimulatedField({"seed": 1, "cosmology": PLANCK}, tmp_path)]
    with pytest.raises(clustermass.InputError, match=r"exists already\. Name a new folder"):
        clustermass.train_ensemble(some, tmp_path)

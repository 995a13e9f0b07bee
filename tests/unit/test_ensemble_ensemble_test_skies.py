"""A test sky: networks and baselines are those of the training sky, and nothing is fitted to its clusters."""

import json
import weakref
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from baseline_inputs import BLOCK, COSMOLOGY, PREDICTORS, fit, mock, write_sky
from ood_inputs import write_calibration
from test_dataset_sample import SELECTION, images

from clustermass.baselines.fit import fit_baselines
from clustermass.baselines.measurements import Sky
from clustermass.dataset import sample
from clustermass.dataset.sample import TrainedHaloes
from clustermass.ensemble.ensemble import Ensemble, predict_sky
from clustermass.errors import InputError
from clustermass.evaluate.evaluate import evaluate
from clustermass.io.netcdf import read_netcdf, write_netcdf

MADE = {"source": "test"}
OTHER = {"h0_km_s_mpc": 69.32, "omega_m": 0.2865}


def fake_predict(ensemble, image, redshift, redshift_err, measurements, device, controlled, phi=None):
    """Members 0.1 apart; the mean of a pixel, distinct for realization and cluster, and the redshift give the mass."""
    mu = 14 + image.mean(axis=(1, 2, 3)) / 1e4 + redshift / 10 + 0.1 * np.arange(len(ensemble.weights))[:, None]
    return SimpleNamespace(member_mu=mu, member_sigma=np.full(mu.shape, 0.15))


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Three weights files of fake networks."""
    monkeypatch.setattr(Ensemble, "predict", fake_predict)
    monkeypatch.setattr(Ensemble, "check_grid", lambda ensemble, images: None)
    paths = [tmp_path / f"0{member}.safetensors" for member in range(3)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def smoothed(folder, *numbers, **changes):
    """Write a realization of each number of clusters."""
    paths = []
    for realization, number in enumerate(numbers, start=1):
        part = images(f"{realization:02d}", number, **changes)
        for name in ("redshift_err", "ml_rate", "ml_cts", "exposure_s"):
            part[name] = part["redshift"] * 3
        part["halo_id"] = ("cluster", np.arange(number))
        paths.append(folder / f"smoothed_{realization:02d}.nc")
        write_netcdf(part, paths[-1], "test", MADE)
    return paths


def predicted(folder, paths, weights, sky="further", noise=0.0):
    predict_sky(paths, weights, sky, SELECTION, noise, 1, folder / "ensemble.nc", "cpu")
    return read_netcdf(folder / "ensemble.nc")


def test_every_selected_cluster_of_every_realization_is_predicted_in_its_own_row(tmp_path, networks):
    paths = smoothed(tmp_path, 12, 9)
    found = predicted(tmp_path, paths, networks)
    assert found["cluster"].values.tolist() == sorted(found["cluster"].values.tolist())
    assert found.sizes["cluster"] == 21
    assert found["member"].values.tolist() == ["00", "01", "02"]
    assert set(found["split"].values.tolist()) == {"test"}
    for row, name in enumerate(found["cluster"].values.tolist()):
        realization, number = map(int, name.split("_"))
        mean = 14.1 + (1000 * realization + number) / 1e4 + float(found["redshift"][row]) / 10
        assert float(found["mu"][row]) == pytest.approx(mean)
        assert float(found["log10_m500c"][row]) == 13.5 + number / 100
    np.testing.assert_allclose(found["sigma"] ** 2, 0.15**2 + 0.02 / 3)
    first = (tmp_path / "ensemble.nc").read_bytes()
    predicted(tmp_path, paths, networks)
    assert (tmp_path / "ensemble.nc").read_bytes() == first


def test_the_selection_holds_and_a_realization_may_be_empty(tmp_path, networks):
    paths = smoothed(tmp_path, 5, 40)
    selection = {"log10_m500c_min": 13.5 + 0.055}  # masses are 13.51 ... 13.55 and 13.51 ... 13.90
    predict_sky(paths, networks, "further", selection, 0.0, 1, tmp_path / "ensemble.nc", "cpu")
    found = read_netcdf(tmp_path / "ensemble.nc")
    assert found.sizes["cluster"] == 35
    with pytest.raises(InputError, match="leaves none of 45 detections"):
        predict_sky(paths, networks, "further", {"log10_m500c_min": 15}, 0.0, 1, tmp_path / "ensemble.nc", "cpu")


def test_haloes_that_were_trained_on_are_dropped_whatever_their_ids(tmp_path, networks, caplog):
    """The same halo has the same true mass, and its image about the same centre."""
    place = {"ra": 130.0 + np.arange(12), "dec": np.full(12, 1.0)}
    own = smoothed(tmp_path, 12, **place)[0]
    subset = np.array(["train", "val", "test", "unused"] * 3)
    clusters, folder = read_netcdf(own), tmp_path / "other"
    folder.mkdir()
    columns = {"split": ("cluster", subset), "group": ("cluster", clusters["cluster"].values)}
    write_netcdf(xr.Dataset(columns, {"cluster": clusters["cluster"].values}), tmp_path / "split.nc", "test", MADE)
    trained = TrainedHaloes.read([own], tmp_path / "split.nc")
    mass = clusters["log10_m500c"].values.astype(np.float32).astype(float)
    moved = clusters["ra"].values + np.where(np.arange(12) == 0, 0.05, 0.01)  # 3 arcmin, and 0.6
    mass[1] += 1e-4
    again = smoothed(folder, 12, ra=moved, dec=place["dec"], log10_m500c=mass)
    known = np.isin(np.arange(12), np.flatnonzero(subset != "test")) & (np.arange(12) > 1)
    part = read_netcdf(again[0])
    np.testing.assert_array_equal(trained.among(part), known)
    assert not trained.among(part.assign(log10_m500c=part["log10_m500c"] * np.nan)).any()
    given = {"trained": [own], "split": tmp_path / "split.nc"}
    predict_sky(again, networks, "again", SELECTION, 0.0, 1, tmp_path / "ensemble.nc", "cpu", **given)
    assert set(read_netcdf(tmp_path / "ensemble.nc")["cluster"].values) == set(part["cluster"].values[~known])
    assert "7 clusters are of haloes that were trained on" in caplog.text
    with pytest.raises(InputError, match=r"leaves none of 1 detections .*1 of haloes that were trained on"):
        write_netcdf(part.isel(cluster=[3]), folder / "one.nc", "test", MADE)
        predict_sky([folder / "one.nc"], networks, "a", SELECTION, 0.0, 1, tmp_path / "none.nc", "cpu", **given)


def test_redshift_noise_is_another_one_in_another_sky(tmp_path, networks):
    paths = smoothed(tmp_path, 400)
    exact, one, two = (
        predicted(tmp_path, paths, networks, sky, noise)["mu"].values
        for sky, noise in (("a", 0.0), ("a", 0.01), ("b", 0.01))
    )
    # dM/dz = 0.1 and a noise of 0.01; the standard error of a spread of 400 is 3.5 %
    for left, right, spread in ((one, exact, 1), (two, exact, 1), (one, two, np.sqrt(2))):
        assert (left - right).std() == pytest.approx(0.001 * spread, rel=0.18)


def test_memory_holds_one_file_and_its_selected_clusters_at_a_time(tmp_path, networks, monkeypatch):
    seen, alive = [], []

    def watch(array):
        alive.append(sum(one() is not None for one in seen))
        seen.append(weakref.ref(array))

    def watched_read(path, require=()):
        part = read_netcdf(path, require)
        watch(part["image"].values)
        return part

    def watched_predict(ensemble, image, *arguments, **options):
        watch(image)
        return fake_predict(ensemble, image, *arguments, **options)

    monkeypatch.setattr(sample, "read_netcdf", watched_read)
    monkeypatch.setattr(Ensemble, "predict", watched_predict)
    predicted(tmp_path, smoothed(tmp_path, 6, 6, 6, 6, 6), networks)
    assert len(alive) == 10
    assert max(alive) <= 1  # besides the one that was just made


def test_networks_of_other_images_are_refused(tmp_path, networks, monkeypatch):
    def other(ensemble, images):
        raise InputError("Use the same preprocessing.")

    monkeypatch.setattr(Ensemble, "check_grid", other)
    with pytest.raises(InputError, match="same preprocessing"):
        predicted(tmp_path, smoothed(tmp_path, 3), networks)


def fit_other(folder, other, cosmology=COSMOLOGY):
    """Baselines fitted in `folder` for the sky in `other`."""
    own, new = (Sky([place / "images.nc"], [place / "truth.fits"], COSMOLOGY) for place in (folder, other))
    new = new._replace(cosmology=cosmology)
    selection, output = {"log10_m500c_min": 13.0}, other / "baselines.nc"
    fit_baselines(own, folder / "split.nc", selection, BLOCK, 1, output, other=new, box_arcsec=1200.0)
    return read_netcdf(output)


@pytest.fixture(scope="module")
def skies(tmp_path_factory):
    """Sky a, and a sky b that holds the test clusters of a under the same ids."""
    a, b = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    dataset = write_sky(a)
    write_sky(b)
    test = read_netcdf(a / "split.nc")["split"].values.astype(str) == "test"
    write_netcdf(dataset.isel(cluster=test), b / "images.nc", "test", MADE)
    return a, b


def fit_changed(skies, dataset, folder):
    """Baselines fitted in sky a for a sky in `folder`: images `dataset` and the haloes of sky b."""
    (folder / "truth.fits").write_bytes((skies[1] / "truth.fits").read_bytes())
    write_netcdf(dataset, folder / "images.nc", "test", MADE)
    return fit_other(skies[0], folder)


def test_baselines_predict_another_sky_just_as_a_test_set(skies):
    a, b = skies
    alone, found = fit(a), fit_other(a, b)
    assert found["predictor"].values.tolist() == PREDICTORS
    assert set(found["split"].values.tolist()) == {"test"}
    test = alone.isel(cluster=alone["split"].values == "test")
    assert found["cluster"].values.tolist() == test["cluster"].values.tolist()
    for name in ("mu", "isolated", "log10_m500c"):
        np.testing.assert_allclose(found[name], test[name], atol=2e-6)


def test_baselines_of_the_training_sky_itself_are_those_of_its_test_clusters(skies, tmp_path, caplog):
    found = fit_changed(skies, read_netcdf(skies[0] / "images.nc"), tmp_path)
    assert found["cluster"].values.tolist() == fit_other(*skies)["cluster"].values.tolist()
    assert "90 clusters are of haloes that were trained on" in caplog.text


def test_the_other_sky_teaches_the_baselines_nothing(skies, tmp_path):
    a, b = skies
    dataset = read_netcdf(b / "images.nc")
    dataset["log10_m500c"][:] = 14.0
    np.testing.assert_array_equal(fit_changed(skies, dataset, tmp_path)["mu"], fit_other(a, b)["mu"])


def test_only_true_luminosities_know_the_other_sky_s_cosmology(skies):
    a, b = skies
    same, other = fit_other(a, b)["mu"], fit_other(a, b, OTHER)["mu"]
    changed = [name for name in PREDICTORS if not np.array_equal(same.sel(predictor=name), other.sel(predictor=name))]
    assert changed == [name for name in PREDICTORS if name.startswith("luminosity")]
    assert len(changed) == 4


def test_a_measurement_that_one_sky_lacks_is_used_for_neither(skies, tmp_path):
    dataset = read_netcdf(skies[1] / "images.nc")
    dataset["ml_rate"][:] = np.nan
    found = fit_changed(skies, dataset, tmp_path)
    assert found["predictor"].values.tolist() == [name for name in PREDICTORS if not name.startswith("count_rate")]
    assert np.isfinite(found["mu"]).all()


def test_baselines_learn_from_no_more_clusters_than_the_networks(skies, tmp_path):
    a, _ = skies
    sky, selection = Sky([a / "images.nc"], [a / "truth.fits"], COSMOLOGY), {"log10_m500c_min": 13.0}
    fit_baselines(sky, a / "split.nc", selection, BLOCK, 1, tmp_path / "all.nc", train_clusters=60)
    fit_baselines(sky, a / "split.nc", selection, BLOCK, 1, tmp_path / "some.nc", train_clusters=40)
    every, some = read_netcdf(tmp_path / "all.nc"), read_netcdf(tmp_path / "some.nc")
    np.testing.assert_array_equal(every["mu"], fit(a)["mu"])
    unused = some["split"].values == "unused"
    assert unused.sum() == 20
    # the same prior by hand: a line, a parabola or a cubic in ln(1 + z), fitted to the 40 alone
    redshift = read_netcdf(a / "images.nc").sel(cluster=some["cluster"].values)["redshift"].values
    train = some["split"].values == "train"
    fits = [np.polyfit(np.log1p(redshift[train]), some["log10_m500c"].values[train], degree) for degree in (1, 2, 3)]
    prior = some["mu"].sel(predictor="prior").values
    assert any(np.allclose(np.polyval(of, np.log1p(redshift)), prior, atol=2e-6) for of in fits)


def test_clusters_whose_boxes_overlap_are_one_group(skies, tmp_path):
    dataset = read_netcdf(skies[1] / "images.nc")
    number = dataset.sizes["cluster"]
    dataset["ra"][:], dataset["dec"][:] = 130 + np.arange(number), 0.0  # a degree apart, but for the first two
    dataset["ra"][1] = 130.1
    assert np.unique(fit_changed(skies, dataset, tmp_path)["group"].values).size == number - 1


def test_both_are_evaluated_together(skies, tmp_path):
    a, b = skies
    fit_other(a, b)
    dataset, split, _ = mock()
    test = np.flatnonzero(split == "test")
    mass, rng = dataset["log10_m500c"].values[test], np.random.default_rng(80)
    columns = {name: ("cluster", dataset[name].values[test]) for name in ("redshift", "det_like", "ext_like", "ml_cts")}
    columns |= {"split": ("cluster", np.full(test.size, "test")), "log10_m500c": ("cluster", mass)}
    mu = mass + rng.normal(0, 0.1, (2, test.size))
    columns |= {"mu": ("cluster", mu.mean(axis=0)), "sigma": ("cluster", np.full(test.size, 0.1))}
    of_members = {"member_mu": mu, "member_sigma": np.full(mu.shape, 0.1)}
    columns |= {name: (("member", "cluster"), values) for name, values in of_members.items()}
    ids = dataset["cluster"].values[test]
    write_netcdf(xr.Dataset(columns, {"cluster": ids, "member": ["00", "01"]}), tmp_path / "ensemble.nc", "test", MADE)
    write_calibration(tmp_path, widths=(1.0, 1.6, 2.0), number=30)
    files = tmp_path / "ensemble.nc", b / "baselines.nc", tmp_path / "calibration.json", tmp_path / "metrics.json"
    evaluate(*files, tmp_path / "predictions.nc", 200, 1)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["n_train"], metrics["n_test"]) == (0, test.size)
    assert metrics["train"]["scatter_dex"] is None
    assert metrics["test"]["scatter_dex"] == pytest.approx((mu.mean(axis=0) - mass).std())
    assert set(metrics["baselines"]) == set(PREDICTORS)
    widths = [metrics["calibration"]["conformal"][level]["mean_half_width_dex"] for level in ("68", "90", "95")]
    assert all(narrow < wide for narrow, wide in pairwise(widths))

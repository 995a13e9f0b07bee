"""Out-of-distribution model and score: the fit, ranks by hand, rates of false alarms, power on changed clusters."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from ood_inputs import BANDS, NAMES, X, by_hand, measured, rows_of, simulated, write_ood_model
from scipy.stats import chi2, mannwhitneyu, norm
from sklearn.mixture import GaussianMixture

from clustermass.ensemble.fit_out_of_distribution import fit_ood, fit_ood_model
from clustermass.ensemble.ood_quantities import quantities
from clustermass.ensemble.out_of_distribution import TERMS, columns, read_ood_model, sample_p, score_ood, terms
from clustermass.errors import InputError
from clustermass.evaluate.evaluate import summarise_ood
from clustermass.io.netcdf import read_netcdf, write_netcdf


@pytest.fixture(scope="module")
def model():
    return fit_ood_model(measured(1500, 1), measured(499, 2), "none", 3)


@pytest.fixture(scope="module")
def pool():
    return measured(3000, 8)


def test_normal_scores_are_those_of_a_normal_distribution(model, pool):
    """New clusters of the training clusters' kind, whatever redshift and exposure; errors of 5 quantiles of 1500."""
    scores = model.normal_scores(pool)[:, [model.names.index(name) for name in ("ring", "rate", "extent", "aleatoric")]]
    for p, tolerance in ((0.01, 0.35), (0.16, 0.13), (0.5, 0.12), (0.84, 0.13), (0.99, 0.35)):
        np.testing.assert_allclose(np.quantile(scores, p, axis=0), norm.ppf(p), atol=tolerance)
    for name in ("redshift", "exposure"):
        high = columns(pool, [name])[:, 0] > np.median(columns(pool, [name]))
        np.testing.assert_allclose(np.median(scores[high], axis=0), 0, atol=0.15)
        np.testing.assert_allclose(scores[high].std(axis=0) / scores[~high].std(axis=0), 1, atol=0.15)


def test_no_covariate_is_explained_by_itself(model):
    """Redshift and exposure depend on nothing, the core on these two, all else on all three."""
    for name, allowed in (("redshift", 0), ("exposure", 0), ("core", 2), ("ring", 3), ("mass", 3)):
        row = model.names.index(name)
        for found in (model.coefficient[row], model.log_scale[row]):
            depends = {term: value != 0 for term, value in zip(TERMS, found.tolist(), strict=True)}
            assert depends == {term: all(covariate < allowed for covariate in term) for term in TERMS}


def test_an_outlier_in_training_does_not_widen_the_mixture():
    """Scores count up to 6 only: one of 1500 can make no mean larger than that, and no variance much larger than 1."""
    train = measured(1500, 17)
    train[0, NAMES.index("rate")] += 30
    found = fit_ood_model(train, measured(100, 18), "none", 1)
    assert found.normal_scores(train)[0].max() > 20
    assert np.abs(found.mean).max() < 6
    assert np.einsum("cqq->cq", found.covariance).max() < 3


def test_terms_by_hand_stop_growing_far_from_the_training_clusters():
    table = np.full((3, len(NAMES)), np.nan)
    table[:, :3] = [[3.0, 5.0, 7.0], [3.0, 5.0, 1e6], [-1e6, 5.0, 7.0]]
    found = terms(table, np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    a, b = 2.0, 1.5
    assert TERMS == ((), (0,), (1,), (2,), (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    for row, (first, third) in zip(found, ((a, 1.0), (a, 4.0), (-4.0, 1.0)), strict=True):
        expected = [1, first, b, third, first**2, first * b, first * third, b**2, b * third, third**2]
        np.testing.assert_allclose(row, expected)


@pytest.mark.parametrize("lacking", [None, "extent"])
def test_distances_given_the_others_are_those_of_an_integrated_density(model, lacking):
    """The share of exp(-rarity) below n_k, integrated on a grid of n_k with all other scores held."""
    table = measured(4, 21)
    if lacking:
        table[:, NAMES.index(lacking)] = np.nan
    scores, found = model.normal_scores(table), model.score(table).given
    used = np.flatnonzero(np.isfinite(scores[0]))
    grid = np.linspace(-15, 15, 6001)
    for k in ("rate", "redshift", "mass"):
        column = model.names.index(k)
        for row in range(4):
            tried = np.repeat(scores[[row]], grid.size, axis=0)
            tried[:, column] = grid
            density = np.exp(-model._rarity(tried, used))
            share = np.interp(scores[row, column], grid, np.cumsum(density) - density / 2) / density.sum()
            assert found[row, column] == pytest.approx(norm.ppf(share), abs=1e-3)
    assert np.isnan(found).any() == bool(lacking)


@pytest.mark.long
def test_p_is_uniform_on_exchangeable_clusters(model, pool):
    """One cluster and 19 validation clusters, drawn 600 times: each rank as often; chi2 at 0.1 % (seed 9)."""
    rng, scores = np.random.default_rng(9), model.normal_scores(pool)
    seen = np.zeros(21, dtype=int)
    for _ in range(600):
        one, *others = rng.choice(len(pool), 20, replace=False)
        p = replace(model, validation=scores[others]).score(pool[[one]]).p[0]
        seen[round(20 * p)] += 1
    assert seen[0] == 0
    assert ((seen[1:] - 30) ** 2 / 30).sum() < chi2.ppf(0.999, 19)


def test_false_alarms_are_as_stated(model, pool):
    """The rate of one validation set of 499 is beta-distributed (5, 495): 1 +- 0.44 %; 40 draws (seed 15)."""
    rng, scores, rates = np.random.default_rng(15), model.normal_scores(pool), []
    for _ in range(40):
        rows = rng.permutation(len(pool))
        rates.append(replace(model, validation=scores[rows[:499]]).score(pool[rows[499:999]]).flagged.mean())
    assert abs(np.mean(rates) - 0.01) < 3 * np.sqrt((0.0044**2 + 0.01 * 0.99 / 500) / 40)
    assert np.std(rates) > 0.002


def flagged(model, image, catalogue, predicted):
    found = model.score(quantities(image, X, X, "none", catalogue, predicted))
    return found.flagged.mean(), np.unique(found.why[found.flagged]).tolist()


def test_power_on_changed_clusters(model):
    """Images with twice the background, a neighbour, another redshift, disagreeing networks (seeds 10 to 12)."""
    image, catalogue, predicted = simulated(300, 10)
    assert flagged(model, image, catalogue, predicted)[0] < 0.04
    double = simulated(300, 11, background=1.2)
    assert flagged(model, *double)[0] > 0.9
    assert (
        flagged(model, double[0], catalogue | {"ml_bkg": np.full(300, np.nan)}, predicted)[0] > 0.5
    )  # by the image alone
    neighbour = image.copy()
    neighbour[:, :, 11:14, 2:5] += np.random.default_rng(12).poisson(6.0, (300, BANDS, 3, 3))
    share, why = flagged(model, neighbour, catalogue, predicted)
    assert share > 0.9
    assert "neighbour" in why
    wrong = catalogue | {"redshift": catalogue["redshift"] + 0.6}
    assert flagged(model, image, wrong, predicted)[0] > 0.5
    share, why = flagged(model, image, catalogue, predicted | {"sigma_epistemic": np.full(300, 0.2)})
    assert share > 0.9
    assert why == ["epistemic"]


def test_clusters_that_lack_catalogue_values_keep_the_rate(model):
    image, catalogue, predicted = simulated(4000, 13)
    bare = {name: catalogue[name] for name in ("redshift", "exposure_s")}
    share, _ = flagged(model, image, bare, predicted)
    # 3 sigma of the 499 validation clusters' beta distribution, and of 4000 clusters
    assert abs(share - 0.01) < 3 * np.hypot(0.0044, np.sqrt(0.01 * 0.99 / 4000))


def test_too_few_training_clusters_are_refused():
    with pytest.raises(InputError, match="9 training clusters are too few"):
        fit_ood_model(measured(9, 30), measured(9, 31), "none", 1)


def test_few_clusters_and_constant_or_unknown_quantities_are_managed():
    few = measured(40, 32)
    few[:, NAMES.index("background")] = -2.0  # the same for all
    few[:5, NAMES.index("extent")] = np.nan  # known for fewer than 90 %
    few[:3, NAMES.index("rate")] = np.nan
    few[7, NAMES.index("exposure")] = np.nan
    found = fit_ood_model(few, measured(30, 33), "none", 1)
    assert set(NAMES) - set(found.names) == {"background", "extent"}
    assert (found.score(measured(20, 34)).p > 0).all()


def test_rank_by_hand():
    known = by_hand([[0.1], [-1.0], [2.0], [-3.0]])
    found = known.score(rows_of(mass=[1.5, -5.0, 0.0, 2.0]))
    # |score| among 0.1, 1, 2, 3: two above 1.5; none above 5; all above 0; 2 and 3 at or above 2
    np.testing.assert_allclose(found.p, [3 / 5, 1 / 5, 5 / 5, 3 / 5])
    assert not found.flagged.any()  # four validation clusters can't tell one in a hundred


def test_flag_needs_99_validation_clusters():
    for number, flagged in ((98, False), (99, True)):
        assert by_hand(norm.ppf(np.arange(1, number + 1) / (number + 1))[:, None]).score(
            rows_of(mass=[9.0])
        ).flagged.tolist() == [flagged]


def test_rarity_is_the_density_that_scikit_learn_gives():
    rng = np.random.default_rng(5)
    scores = np.concatenate([rng.normal(0, 1, (400, 2)), rng.normal(3, 0.5, (200, 2))])
    mixture = GaussianMixture(2, random_state=0).fit(scores)
    known = replace(
        by_hand(scores, ("rate", "mass"), np.eye(2)),
        weight=mixture.weights_,
        mean=mixture.means_,
        covariance=mixture.covariances_,
    )
    new = np.random.default_rng(6).normal(1, 2, (50, 2))
    density, gauge = mixture.score_samples(new), mixture.score_samples(scores)
    expected = (1 + (gauge[None] <= density[:, None]).sum(axis=1)) / 601
    np.testing.assert_allclose(known.score(rows_of(rate=new[:, 0], mass=new[:, 1])).p, expected)


def test_what_is_not_known_is_left_out_on_both_sides():
    rng = np.random.default_rng(7)
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    validation = rng.multivariate_normal([0, 0], covariance, 199)
    both = by_hand(validation, ("rate", "mass"), covariance)
    alone = by_hand(validation[:, 1:])
    new = rng.normal(0, 1.5, 20)
    there = both.score(rows_of(rate=np.full(20, np.nan), mass=new))
    np.testing.assert_allclose(there.p, alone.score(rows_of(mass=new)).p)
    assert set(there.why.tolist()) == {"mass"}
    incomplete = validation.copy()
    incomplete[:100, 0] = np.nan
    fewer = by_hand(incomplete, ("rate", "mass"), covariance).score(rows_of(rate=[9.0], mass=[-9.0]))
    assert fewer.p.tolist() == [1 / 100]  # 99 validation clusters have both
    assert np.isnan(both.score(rows_of(extent=[1.0])).p).all()


def test_why_names_what_contradicts_the_others():
    covariance = np.full((3, 3), 0.95) + 0.05 * np.eye(3)
    known = by_hand(np.zeros((10, 3)), ("rate", "extent", "mass"), covariance)
    found = known.score(rows_of(rate=[2.0, 2.0], extent=[2.0, -2.0], mass=[-2.0, 2.0]))
    assert found.why.tolist() == ["mass", "extent"]


def test_sample_p_is_the_mann_whitney_test_of_the_scores():
    rng = np.random.default_rng(14)
    validation, new = rng.normal(0, 1, 150), rng.normal(0, 1.3, 80)
    p = by_hand(validation[:, None]).score(rows_of(mass=new)).p
    expected = mannwhitneyu(np.abs(new), np.abs(validation), alternative="greater").pvalue
    assert sample_p(p, 150) == pytest.approx(expected, rel=0.01)  # more ties
    assert sample_p(np.array([np.nan]), 150) is None


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Smoothed images of two realizations and an `ensemble.nc` of all clusters."""
    folder = tmp_path_factory.mktemp("domain")
    write_files(folder)
    return folder


def write_files(folder, test_seed=0):
    image, catalogue, predicted = simulated(600, 20)
    split = np.repeat(["train", "val", "test"], [350, 150, 100])
    if test_seed:
        other = simulated(600, test_seed)
        image[500:] = other[0][500:]
        predicted = {name: np.where(split == "test", other[2][name], values) for name, values in predicted.items()}
    ids = np.array([f"{1 + n % 2:02d}_{n}" for n in range(600)])
    grid = {"band": np.arange(BANDS) / 3 + 0.4, "y": X, "x": X}
    made = {"source": "test", "parameters": {"transform": "sqrt"}}
    columns = {name: ("cluster", values) for name, values in catalogue.items()}
    whole = xr.Dataset({"image": (("cluster", "band", "y", "x"), np.sqrt(image)), **columns}, {"cluster": ids, **grid})
    for number in (0, 1):
        write_netcdf(whole.isel(cluster=slice(number, None, 2)), folder / f"{number}.nc", "test", made)
    variables = {name: ("cluster", values) for name, values in (predicted | {"split": split}).items()}
    table = xr.Dataset(variables, {"cluster": ids}).isel(cluster=np.random.default_rng(21).permutation(600))
    write_netcdf(table, folder / "ensemble.nc", "test", {"source": "test"})


def fit(folder, output="domain.nc", seed=4):
    fit_ood([folder / "0.nc", folder / "1.nc"], folder / "ensemble.nc", folder / output, seed)
    return folder / output


def test_file_holds_what_was_fitted_to_training_and_validation_clusters(files):
    found = read_ood_model(fit(files))
    image, catalogue, predicted = simulated(600, 20)
    everything = quantities(np.sqrt(image), X, X, "sqrt", catalogue, predicted)
    order = np.random.default_rng(21).permutation(600)  # the ensemble's
    train, val = order[order < 350], order[(order >= 350) & (order < 500)]
    expected = fit_ood_model(everything[train], everything[val], "sqrt", 4)
    assert (found.names, found.transform, found.number) == (tuple(NAMES), "sqrt", 150)
    new = quantities(np.sqrt(image[500:]), X, X, "sqrt", {k: v[500:] for k, v in catalogue.items()},
                     {k: v[500:] for k, v in predicted.items()})  # fmt: skip
    np.testing.assert_allclose(found.score(new).p, expected.score(new).p)
    assert columns(new, ["mass"])[:, 0].tolist() == predicted["mu"][500:].tolist()


def test_same_inputs_same_bytes_whatever_the_test_clusters(files, tmp_path):
    first = fit(files, "first.nc").read_bytes()
    assert fit(files, "second.nc").read_bytes() == first
    write_files(tmp_path, test_seed=22)
    assert fit(tmp_path, "first.nc").read_bytes() == first


def test_test_clusters_are_scored_and_summed_up(files):
    score_ood([files / "1.nc", files / "0.nc"], files / "ensemble.nc", fit(files), files / "ood.nc")
    table = read_netcdf(files / "ood.nc")
    assert sorted(int(name[3:]) for name in table["cluster"].values.tolist()) == list(range(500, 600))
    summary = summarise_ood(files / "ood.nc")
    assert (summary["n"], summary["n_validation"], summary["false_alarm_rate"]) == (100, 150, 0.01)
    assert summary["flagged"] == (table["ood_p"].values <= 0.01).mean()
    assert sum(summary["why"].values()) == int(table["flag_ood"].values.sum())


def test_images_that_lack_a_cluster_are_refused(files, tmp_path):
    with pytest.raises(InputError, match=r"ensemble\.nc: its cluster 02_\d+ isn't in the images"):
        fit_ood([files / "0.nc"], files / "ensemble.nc", tmp_path / "domain.nc", 1)
    assert not (tmp_path / "domain.nc").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, table: path.write_bytes(path.read_bytes()[:-2000]),
        lambda path, table: path.write_text("domain?"),
        lambda path, table: write(path, table.drop_vars("covariance")),
        lambda path, table: write(path, table.isel(knot=slice(1, None))),
        lambda path, table: write(path, table.assign_coords(quantity=["unheard", *table["quantity"].values[1:]])),
        lambda path, table: write(path, table.assign(mean=table["mean"] * np.nan)),
        lambda path, table: write(path, table.isel(quantity=slice(0, 0))),
        lambda path, table: write(path, table, transform="cube root"),
    ],
)
def test_a_damaged_file_is_refused_by_name(files, tmp_path, damage):
    path = tmp_path / "domain.nc"
    path.write_bytes(fit(files).read_bytes())
    read_ood_model(path)
    damage(path, read_netcdf(path))
    with pytest.raises(InputError, match=r"domain\.nc: .*[Dd]elete it and run again"):
        read_ood_model(path)


def write(path, table, transform="sqrt"):
    write_netcdf(table, path, "test", {"source": "test", "transform": transform})


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"domain\.nc: no such file\. .*run the workflow again"):
        read_ood_model(tmp_path / "domain.nc")


def test_numbers_of_another_type_are_refused(model, tmp_path):
    """One byte in the file could become eight in memory."""
    write_ood_model(model, tmp_path / "domain.nc")
    assert read_ood_model(tmp_path / "domain.nc").number == model.number
    with xr.open_dataset(tmp_path / "domain.nc") as stored:
        data = stored.load()
    write_netcdf(data.assign(validation=data["validation"].astype(np.int8)), tmp_path / "domain.nc", "test", {})
    with pytest.raises(InputError, match=r"domain\.nc: doesn't fit this version"):
        read_ood_model(tmp_path / "domain.nc")

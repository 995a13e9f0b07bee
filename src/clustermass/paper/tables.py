"""The tables of the paper's page. A table is a list of rows of text; the first row is the header."""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from clustermass.figures.style import predictor
from clustermass.paper.results import (
    CLEAR,
    OURS,
    THEIRS,
    Block,
    Measured,
    Published,
    Results,
    agreement,
    as_published,
    effect_of,
    gaussian,
    lookup,
    scatter_ratio,
)

Table = list[list[str]]
UNKNOWN = "—"
RECIPES = {THEIRS: "the paper's recipe", OURS: "our recipe"}  #: names of the two recipes on the page
#: information that each control removes from the data
TAKEN = {
    "shuffled_redshift": "redshifts change places among the clusters",
    "no_energy": "each band holds the mean of all",
    "noise_images": "images are noise; the redshift stays",
}
#: the scatter with noise images may differ from that of the prior by this fraction, since its form is a choice
SAME_AS_PRIOR = 0.03
#: dict from the key of binned scores in metrics.json to the quantity that is binned
BINNED = {
    "by_mass_bin": "true log10 M",
    "by_predicted_mass_bin": "predicted log10 M (each recipe's own)",
    "by_redshift_bin": "redshift",
    "by_counts_bin": "counts",
    "by_likelihood_bin": "EXT_LIKE",
    "isolated": "isolated (no bright halo near)",
    "with_neighbour": "a bright halo near",
    "uncontaminated": "at least half of the counts from the matched halo",
    "contaminated": "less than half of the counts from the matched halo",
}


class Settings(TypedDict):
    """Settings of an experiment that the page shows."""

    sky: str  # training sky
    epochs: int
    control: str  # name of the control, "none" if the experiment is none


def text(measured: Measured, digits: int = 3) -> str:
    """Return a text "value ± error", rounded to `digits` decimals, or a dash if nothing was measured."""
    numbers = [f"{number:.{digits}f}" for number in measured if number is not None]
    return UNKNOWN if measured.value is None else " ± ".join(numbers)


def cells(block: Block, *keys: str) -> list[str]:
    """Return the texts "value ± error" of the numbers at the paths `keys` in a block."""
    return [text(lookup(block, key)) for key in keys]


def count(block: Block, key: str = "n") -> str:
    """Return a number of clusters as text, or a dash if there are none."""
    return f"{block[key]:,}" if block.get(key) else UNKNOWN


def numbers(results: Results, published: Published) -> Table:
    """Return the table that compares published numbers with our numbers for the paper's recipe and for our own recipe.

    The last column says whether the published number agrees with our number for the paper's recipe or, if this wasn't
    measured, for our recipe.
    """
    rows = [["quantity", "where", "published", "the paper's recipe", "our recipe", "agrees at 3 σ"]]
    for number in published.numbers:
        theirs, ours = (results.number(name, number.ours) for name in (THEIRS, OURS))
        stated, agrees = f"{number.published:.3f}", UNKNOWN
        if number.error is not None:
            stated += f" (± {number.error:.3f})"
            agrees = agreement(ours if theirs.value is None else theirs, number.published, number.error)
        rows.append([number.what, number.where, stated, text(theirs), text(ours), agrees])
    return rows


def changes(results: Results, published: Published) -> Table:
    """Return the table of the effects that changes of the method have on the scatter, here and in the paper."""
    header = "change|where|published|experiment|compared with|clusters|scatter ratio|effect at 3 σ|as published"
    rows = [header.split("|")]
    for change in published.changes:
        pair = results.pair(change.experiment)
        ratio = scatter_ratio(pair)
        here = [count(pair), text(ratio), effect_of(ratio), as_published(change, ratio, published.test_clusters)]
        stated = [change.what, change.where, change.published, change.experiment]
        rows.append([*stated, str(pair.get("against", UNKNOWN)), *here])
    return rows


def differences(tables: Iterable[Table]) -> Table:
    """Return a table of those rows of `tables` that differ from the paper (the last cell begins with "no")."""
    rows = [["quantity or change", "where", "published", "here", "as published"]]
    for table in tables:
        here = table[0].index("scatter ratio" if "scatter ratio" in table[0] else "the paper's recipe")
        rows += [[*row[:3], row[here], row[-1]] for row in table[1:] if row[-1].startswith("no")]
    return rows


def weighting(results: Results, published: Published) -> Table:
    """Return the table of the bias at both ends of the mass range, without and with weights in the training.

    The weights give all training masses the same importance, as if their distribution were uniform.
    """
    header = "true log10 M|published: as it is → weighted|clusters|ours: as it is|weighted|nearer zero by"
    rows = [header.split("|")]
    pair = results.pair("uniform_mass")
    for end, stated in published.weighting.items():
        plain, weighted = (pair.get(side, {}).get("bias_by_truth", {}).get(end, {}) for side in ("other", "own"))
        nearer = pair.get("bias_nearer_zero_by_truth", {}).get(end, {})
        numbers = ((plain, "bias_dex"), (weighted, "bias_dex"), (nearer, "by_dex"))
        ours = [text(Measured(block.get(key), block.get("error_dex"))) for block, key in numbers]
        rows.append([stated["range"], stated["published"], count(plain), *ours])
    return rows


def baselines(results: Results) -> Table:
    """Return the table of the scatter and bias of the networks with our recipe and of the baselines.

    Both are given for all test clusters of these networks, and again for those with DET_LIKE and EXT_LIKE above 60.
    """
    metrics = results.of(OURS)
    best = metrics.get("high_likelihood") or {}
    header = ["predictor", f"scatter of {count(metrics, 'n_test')} clusters, dex", "bias, dex", "networks ÷ predictor"]
    rows = [[*header, f"scatter of {count(best)} above 60, dex", "networks ÷ predictor"]]
    for name in ("network", *metrics.get("baselines", ())):
        whole, above = ("test", "") if name == "network" else (f"baselines/{name}", f"baselines/{name}/")
        ratio = f"ratios/network_over_{name}"
        of_all = cells(metrics, f"{whole}/scatter_dex", f"{whole}/bias_dex", ratio)
        rows.append([predictor(name).label, *of_all, *cells(best, f"{above}scatter_dex", ratio)])
    return rows


def diagnostics(results: Results) -> Table:
    """Return the table of scatter, bias and coverage of different kinds of clusters.

    These are bins of mass, redshift, counts and EXT_LIKE, and the clusters without and with a bright halo near.
    """
    run = {words: results.of(name) for name, words in RECIPES.items() if results.of(name)}
    header = [f"{words}: {what}" for words in run for what in ("scatter, dex", "bias, dex", "within 1 σ")]
    rows = [["clusters with", "number", *header]]
    for key, words in BINNED.items():
        for bins in zip(*(_bins(metrics, key) for metrics in run.values()), strict=True):
            n = dict.fromkeys(f"{scores['n']:,}" for scores, _ in bins)
            numbers = [(*gaussian(scores), lookup(coverage, "coverage68")) for scores, coverage in bins]
            texts = [text(number) for of_recipe in numbers for number in of_recipe]
            rows.append([f"{words} {_edges(bins[0][0])}".strip(), " / ".join(n), *texts])
    return rows


def _bins(metrics: Block, key: str) -> list[tuple[Block, Block]]:
    """Return scores and calibration of each bin in `key`; the calibration is empty for `isolated` and the like."""
    blocks = metrics["test"].get(key, [])
    if isinstance(blocks, Mapping):
        return [(blocks, {})]
    return list(zip(blocks, metrics["calibration"].get(key, []), strict=True))


def _edges(block: Block) -> str:
    low, high = block.get("low"), block.get("high")
    if low is None:
        return "" if high is None else f"below {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


def members(curves: Mapping[str, Block]) -> Table:
    """Return the table of the accuracy of ensembles that consist of the first 1, 2, 5 and so on members.

    `curves` maps each experiment to the content of its members_curve.json.
    """
    header = "experiment|networks|clusters|scatter, dex|negative log-likelihood|residual ÷ sigma"
    rows = [[*header.split("|"), "member's sigma ÷ ensemble's"]]
    for name, curve in curves.items():
        for size, scores in curve["sizes"].items():
            fine = [text(lookup(scores, key), 4) for key in ("scatter_dex", "nll_above_best")]
            sigma = scores["member_over_ensemble_sigma"]
            ratios = [*cells(scores, "residual_std_over_mean_sigma"), text(Measured(sigma["mean"], sigma["std"]))]
            rows.append([name, size, count(curve, "n_test"), *fine, *ratios])
    return rows


def controls(results: Results, settings: Mapping[str, Settings]) -> Table:
    """Return the table of the controls' scatters, which says whether each scatter is as large as expected.

    With images of noise, the scatter should be that of the mass prior (baseline `prior`). For all other controls, it
    should be larger than with all information by at least 3 sigma.
    """
    header = "experiment|what is taken away|networks|clusters|scatter, dex|÷ all information|÷ prior|as expected"
    rows = [header.split("|")]
    for name, setting in settings.items():
        metrics = results.of(name)
        if setting["control"] == "none" or not metrics:
            continue
        worse, prior = scatter_ratio(results.pair(name)), lookup(metrics, "ratios/network_over_prior")
        holds = None
        if setting["control"] == "noise_images":
            holds = None if prior.value is None else abs(prior.value - 1) < SAME_AS_PRIOR
        elif (sigmas := worse.sigmas(1.0)) is not None:
            holds = sigmas >= CLEAR
        scores = [text(lookup(metrics, "test/scatter_dex"), 4), text(worse), text(prior)]
        sizes = [str(metrics["ensemble"]["n_members"]), count(metrics, "n_test")]
        said = {None: UNKNOWN, True: "yes", False: "no"}[holds]
        rows.append([name, TAKEN[setting["control"]], *sizes, *scores, said])
    return rows


def variants(results: Results, recipes: Iterable[str]) -> Table:
    """Return the table of tests on other skies than the standard sky, on which networks are trained by default.

    On each other sky, the standard networks are compared with new networks that were trained on this sky. The scatter
    and bias of both are measured on the same clusters. The scatter of each network is also divided by the scatter of
    the recalibrated count rate. For the standard networks, this ratio is measured on all clusters of the sky, which are
    more than those in the test set of the new networks.
    """
    header = "sky|recipe|clusters|as trained: scatter, dex|bias, dex|÷ count rate"
    rows = [[*header.split("|"), "trained anew: scatter, dex", "bias, dex", "÷ count rate", "scatter ÷ as trained"]]
    for (name, sky), metrics in results.metrics.items():
        if name not in recipes or sky in (results.test_sky, results.trained_on[name]):
            continue
        compared = (row for row in results.pairs if row["sky"] == sky and row["against"] == name)
        pair = next((row for row in compared if results.trained_on[row["experiment"]] == sky), {})
        as_trained, anew = pair.get("other") or metrics["test"], pair.get("own", {})
        of_anew = results.metrics.get((pair.get("experiment", ""), sky), {})
        both = [
            [*cells(scores, "scatter_dex", "bias_dex"), *cells(tested, "ratios/network_over_count_rate_recalibrated")]
            for scores, tested in ((as_trained, metrics), (anew, of_anew))
        ]
        rows.append([sky, name, count(as_trained), *both[0], *both[1], text(scatter_ratio(pair))])
    return rows


def experiments(results: Results, settings: Mapping[str, Settings]) -> Table:
    """Return the table of all experiments except controls, with their settings and scores."""
    header = "experiment|networks|epochs|train|test|scatter, dex|bias, dex|residual ÷ sigma|÷ count rate|÷ ridge"
    rows = [header.split("|")]
    for name, setting in settings.items():
        metrics = results.of(name)
        if not metrics or setting["control"] != "none":
            continue
        own = results.metrics[name, results.trained_on[name]]
        sizes = [str(metrics["ensemble"]["n_members"]), str(setting["epochs"]), count(own, "n_train")]
        sizes += [count(metrics, "n_test"), text(lookup(metrics, "test/scatter_dex"), 4)]
        ratios = (f"ratios/network_over_{baseline}" for baseline in ("count_rate_recalibrated", "ridge_features"))
        rows.append(
            [name, *sizes, *cells(metrics, "test/bias_dex", "calibration/residual_std_over_mean_sigma", *ratios)]
        )
    return rows

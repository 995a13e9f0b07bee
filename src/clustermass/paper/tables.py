"""The page's tables: rows of text, the first one the header."""

from collections.abc import Mapping, Sequence
from typing import Any

from clustermass.paper.claims import CHANGES, NUMBERS, OURS, THEIRS, Change, Number
from clustermass.paper.evidence import Evidence, ratio_of, with_interval
from clustermass.paper.verdicts import CLEAR, NOT_MEASURED, Measured, differs, settled

Table = list[list[str]]
UNKNOWN = "—"


def text(measured: Measured, digits: int = 3) -> str:
    """Value ± error, rounded."""
    if measured.value is None:
        return UNKNOWN
    error = "" if measured.error is None else f" ± {measured.error:.{digits}f}"
    return f"{measured.value:.{digits}f}{error}"


def numbers(evidence: Evidence) -> Table:
    """Put published numbers beside those of both recipes; the sentence is on the paper's own where it was run."""
    rows = [["quantity", "where", "published", "the paper's recipe", "our recipe", "finding"]]
    for number in NUMBERS:
        theirs, ours = number.ours(evidence, THEIRS), number.ours(evidence, OURS)
        published = f"{number.published:.3f}" + (f" (± {number.error:.3f})" if number.error else "")
        found = number.verdict(_judged(number, evidence))
        rows.append([number.what, number.where, published, text(theirs), text(ours), found])
    return rows


def _judged(number: Number, evidence: Evidence) -> Measured:
    theirs = number.ours(evidence, THEIRS)
    return number.ours(evidence, OURS) if theirs.value is None else theirs


def changes(evidence: Evidence) -> Table:
    """Tell what each change of the method does to the scatter."""
    rows = [["change", "where", "published", "experiment", "compared with", "clusters", "scatter ratio", "finding"]]
    for one in CHANGES:
        row, ratio = evidence.pair(one.experiment), evidence.scatter_ratio(one.experiment)
        cells = [one.experiment, str(row.get("against", UNKNOWN)), f"{ratio.n:,}" if ratio.n else UNKNOWN, text(ratio)]
        rows.append([one.what, one.where, one.published, *cells, one.verdict(ratio)])
    return rows


def disagreements(evidence: Evidence) -> list[str]:
    """One sentence each on what differs from the paper for certain."""
    found = []
    for number in NUMBERS:
        measured = _judged(number, evidence)
        if number.error is not None and differs(measured, number.published, number.error):
            found.append(
                f"{number.what} ({number.where}): published {number.published:.3f}, here {text(measured)}: "
                f"{number.verdict(measured)}"
            )
    for one in CHANGES:
        ratio = evidence.scatter_ratio(one.experiment)
        if one.contradicted(ratio):
            found.append(_told(one, ratio))
    return found


def unseen(evidence: Evidence) -> list[str]:
    """One sentence each on differences that the paper tells of, and that aren't seen here."""
    ratios = [(one, evidence.scatter_ratio(one.experiment)) for one in CHANGES]
    return [_told(one, ratio) for one, ratio in ratios if one.unseen(ratio)]


def _told(one: Change, ratio: Measured) -> str:
    said = f"{one.what} ({one.where}): published: {one.published}; here"
    return f"{said} {text(ratio)} on {ratio.n:,} clusters: {one.verdict(ratio)}"


def resolution(evidence: Evidence) -> str:
    """Tell how small a difference of two experiments' scatters could be seen."""
    ratios = [evidence.scatter_ratio(name) for name in evidence.learnt]
    errors = sorted((CLEAR * known[1], ratio.n or 0) for ratio in ratios if (known := ratio.known()) is not None)
    if not errors:
        return "No two experiments were compared."
    (least, _), (half, _), (most, number) = errors[0], errors[len(errors) // 2], errors[-1]
    typicals = [(row["against"], (row.get("training_noise") or {}).get("typical")) for row in evidence.rows]
    noise = {name: typical for name, typical in typicals if typical is not None}
    trained = ", ".join(f"{100 * value:.1f} % (those compared with `{name}`)" for name, value in noise.items())
    return (
        f"From training to training the scatter of a single network changes by {trained or 'an unknown amount'}. "
        f"Of {len(errors)} pairs of experiments the difference of scatters that would be seen at {CLEAR:.0f} σ is "
        f"{100 * least:.1f} % at best, {100 * half:.1f} % in the median, and {100 * most:.1f} % at worst "
        f"(on {number:,} clusters)."
    )


def gains(evidence: Evidence, relation: str) -> list[str]:
    """One sentence a recipe on whether it beats a luminosity relation."""
    names = {THEIRS: "the paper's recipe", OURS: "our recipe"}
    return [f"{words}: {settled(evidence.over(name, relation))}" for name, words in names.items() if evidence.of(name)]


def weighting(evidence: Evidence) -> Table:
    """Bias at both ends of the mass range, with and without uniform weights (Fig. 8)."""
    rows = [["true log10 M", "published: as it is → weighted", "clusters", "ours: as it is", "weighted", "finding"]]
    pair = evidence.pair("uniform_mass")
    published = {"low_mass": ("13.0-13.5", "+0.121 → +0.082"), "high_mass": ("14.5-15.0", "-0.177 → -0.097")}
    for key, (edges, words) in published.items():
        found = [_bias(pair.get(side), key) for side in ("other", "own")]
        number = f"{found[0].n:,}" if found[0].n else UNKNOWN
        nearer = (pair.get("bias_nearer_zero_by_truth") or {}).get(key) or {}
        finding = _nearer_zero(Measured(nearer.get("by_dex"), nearer.get("error_dex")))
        rows.append([edges, words, number, *map(text, found), finding])
    return rows


def _nearer_zero(shrinks: Measured) -> str:
    """Whether a bias shrinks."""
    known = shrinks.known()
    if known is None:
        return NOT_MEASURED
    by, error = known
    words = "nearer zero, as published" if by > 0 else "farther from zero: contradicts the paper"
    return f"{words} (by {abs(by):.3f} ± {error:.3f})" if abs(by) > CLEAR * error else "no difference for certain"


def _bias(of: Mapping[str, Any] | None, key: str) -> Measured:
    found = of["bias_by_truth"][key] if of else {}
    return Measured(found.get("bias_dex"), found.get("error_dex"), found.get("n"))


def experiments(evidence: Evidence, settings: Mapping[str, Mapping[str, Any]]) -> Table:
    """Experiments with their settings and how well they did on the sky that all are judged on."""
    header = ["experiment", "networks", "epochs", "train", "test", "scatter, dex", "bias, dex", "residual ÷ sigma"]
    rows = [[*header, "÷ count rate", "÷ ridge"]]
    for name, setting in settings.items():
        found = evidence.of(name)
        if found is None:
            continue
        own = evidence.metrics[name, evidence.learnt[name]]
        sigma = found["calibration"]["residual_std_over_mean_sigma"]
        cells = [str(found["ensemble"]["n_members"]), str(setting["epochs"]), f"{own['n_train']:,}"]
        cells += [f"{found['n_test']:,}", text(evidence.test(name, "scatter_dex"), 4)]
        cells += [text(evidence.test(name, "bias_dex")), UNKNOWN if sigma is None else f"{sigma:.3f}"]
        cells += [text(evidence.over(name, baseline)) for baseline in ("count_rate_recalibrated", "ridge_features")]
        rows.append([name, *cells])
    return rows


def baselines(evidence: Evidence, experiment: str, labels: Mapping[str, str]) -> Table:
    """All predictors on the test clusters of one experiment, and on those with both likelihoods above 60."""
    found = evidence.of(experiment) or {}
    best = found.get("high_likelihood") or {}
    header = ["predictor", f"scatter of {found.get('n_test', 0):,} clusters, dex", "bias, dex", "networks ÷ it"]
    rows = [[*header, f"scatter of {best.get('n', 0):,} above 60, dex", "networks ÷ it"]]
    sides = [(name, of, (best.get("baselines") or {}).get(name)) for name, of in (found.get("baselines") or {}).items()]
    for name, whole, above in [("network", found.get("test"), best or None), *sides]:
        cells = [_interval(whole, "scatter_dex"), _interval(whole, "bias_dex"), evidence.over(experiment, name)]
        cells += [_interval(above, "scatter_dex"), evidence.over(experiment, name, "high_likelihood")]
        rows.append([labels.get(name, name), *map(text, cells)])
    return rows


def members(curves: Mapping[str, Mapping[str, Any]]) -> Table:
    """Ensembles of the first members of each experiment, from `evaluation.members_curve`."""
    header = ["experiment", "networks", "clusters", "scatter, dex", "negative log-likelihood", "residual ÷ sigma"]
    rows = [[*header, "member's sigma ÷ ensemble's"]]
    for name, curve in curves.items():
        for size, of in curve["sizes"].items():
            keys = ("scatter_dex", "nll_above_best", "residual_std_over_mean_sigma")
            found = [with_interval(of[key]["value"], of[key]["ci68"], None) for key in keys]
            sigma = of["member_over_ensemble_sigma"]
            cells = [text(found[0], 4), text(found[1], 4), text(found[2]), text(Measured(sigma["mean"], sigma["std"]))]
            rows.append([name, size, f"{curve['n_test']:,}", *cells])
    return rows


def variants(evidence: Evidence, recipes: Sequence[str]) -> Table:
    """Other skies: without and with learning from them, on the same clusters where both were judged.

    What is left of the gain over the recalibrated count rate is of all that each was judged on: relations learn, or
    don't, from the same sky as the networks beside them.
    """
    header = ["sky", "recipe", "clusters", "as trained: scatter, dex", "bias, dex", "÷ count rate"]
    rows = [[*header, "trained anew: scatter, dex", "bias, dex", "÷ count rate", "scatter ÷ as trained"]]
    for (name, sky), found in evidence.metrics.items():
        if name not in recipes or sky in (evidence.sky, evidence.learnt[name]):
            continue
        anew = next((row for row in evidence.rows if _trained_anew(row, name, sky, evidence)), {})
        own, other = anew.get("own"), anew.get("other") or found["test"]
        sides = ((other, found), (own, evidence.metrics.get((str(anew.get("experiment")), sky))))
        cells = [
            text(one)
            for of, metrics in sides
            for one in (_interval(of, "scatter_dex"), _interval(of, "bias_dex"), over_count_rate(metrics))
        ]
        rows.append([sky, name, f"{other['n']:,}", *cells, text(ratio_of(anew))])
    return rows


def over_count_rate(metrics: Mapping[str, Any] | None) -> Measured:
    """Scatter over that of the recalibrated count rate, of one content of metrics.json."""
    ratio = ((metrics or {}).get("ratios") or {}).get("network_over_count_rate_recalibrated") or {}
    return with_interval(ratio.get("value"), ratio.get("ci68"), (metrics or {}).get("n_test"))


def _trained_anew(row: Mapping[str, Any], recipe: str, sky: str, evidence: Evidence) -> bool:
    """Whether a row compares, on a sky, an experiment that learnt from it with one that didn't."""
    return bool(row["sky"] == sky and row["against"] == recipe and evidence.learnt[row["experiment"]] == sky)


def _interval(of: Mapping[str, Any] | None, key: str) -> Measured:
    return with_interval(of[key], of[f"{key}_ci68"], of["n"]) if of else Measured(None, None)

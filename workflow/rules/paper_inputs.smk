"""Inputs of the paper's page: files of all experiments, and figures with their captions. This file has no rules."""

import yaml


def paper_rows():
    """Return a row for each experiment and each sky that it is tested on; here, its training sky is named, too."""
    return [
        {"experiment": row["experiment"], "sky": row["sky"] or EXPERIMENTS[row["experiment"]]["sky"]}
        for row in compared()
    ]


def paper_files(name):
    """Return the file `name` for each row of `paper_rows`."""
    return results_of(compared(), name)


def paper_baselines():
    return [baselines_of(row["experiment"], row["sky"]) for row in compared()]


def test_sky():
    """Return the sky that experiments are tested on: the first test sky of `fiducial`, or else its training sky."""
    return [*EXPERIMENTS["fiducial"]["test_skies"], EXPERIMENTS["fiducial"]["sky"]][0]


def metrics_of_one():
    """Return the path of the metrics file on the page's sky, with NAME in place of the experiment."""
    own = EXPERIMENTS["fiducial"]["sky"]
    return metrics_of([{"experiment": "NAME", "sky": None if test_sky() == own else test_sky()}])[0]


def paper_figures():
    """Return the figures by path in the order of the paper, with the keys of their captions and their experiments."""
    paper = "krippendorf2023" if "krippendorf2023" in EXPERIMENTS else "fiducial"
    places = {name: f"figures/{name}" for name in ("energy_bands", "sample", "training", "predictions", "bias")}
    fields = {f"observed/{field}/masses": {"caption": "masses", "field": field} for field in FIELDS}
    shown = {
        **{place: {"caption": name} for name, place in places.items()},
        **fields,
        "figures/spread": {"caption": "spread"},
    }
    folder = EXPERIMENT.format(experiment=paper)
    figures = {f"{folder}/{place}.png": {**of, "experiments": [paper]} for place, of in shown.items()}
    weighted = [row["experiment"] for row in weighting_pairs()]
    return figures | (
        {f"results/{RUN}/figures/weighting.png": {"caption": "weighting", "experiments": weighted}} if weighted else {}
    )


def paper_words():
    """Return a hash of the page's texts and of the published numbers; comments in YAML don't count."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "workflow/paper").iterdir()}
    return config_hash({name: yaml.safe_load(text) if name.endswith(".yaml") else text for name, text in texts.items()})


def paper_recipes():
    """Return the experiments whose ensembles are also evaluated with fewer members."""
    return [name for name in ("fiducial", "krippendorf2023") if name in EXPERIMENTS]


def skies_in_words():
    """Return a sentence for the page on the skies and their numbers of realizations."""
    own = EXPERIMENTS["fiducial"]["sky"]
    number = {sky: len(realization_names(SKIES[sky])) for sky in (own, test_sky())}
    return (
        f"Networks are trained on {number[own]} realizations of the sky `{own}` and tested on all selected clusters of "
        f"{number[test_sky()]} realizations of the sky `{test_sky()}`, unless another sky is named."
        if test_sky() != own
        else f"Networks are trained and tested on {number[own]} realizations of the sky `{own}`."
    )

"""What the paper's page takes: files of all experiments, figures with their captions. No rules."""

import yaml


def paper_rows():
    """Each experiment and each sky that it is judged on, its own one by name."""
    return [
        {"experiment": row["experiment"], "sky": row["sky"] or EXPERIMENTS[row["experiment"]]["sky"]}
        for row in compared()
    ]


def paper_files(name):
    """A file of each of these rows."""
    return results_of(compared(), name)


def paper_baselines():
    return [baselines_of(row["experiment"], row["sky"]) for row in compared()]


def judged_on():
    """The sky that experiments are judged on: the first test sky of fiducial, or else its own."""
    return [*EXPERIMENTS["fiducial"]["test_skies"], EXPERIMENTS["fiducial"]["sky"]][0]


def metrics_of_one():
    """File with the numbers of an experiment NAME on the page."""
    own = EXPERIMENTS["fiducial"]["sky"]
    return metrics_of([{"experiment": "NAME", "sky": None if judged_on() == own else judged_on()}])[0]


def paper_figures():
    """Figures by path, in the order of the paper's: each with its caption and the experiments that it shows."""
    paper = "krippendorf2023" if "krippendorf2023" in EXPERIMENTS else "fiducial"
    places = {name: f"figures/{name}" for name in ("energy_bands", "sample", "training", "predictions", "bias")}
    fields = {f"observed/{field}/masses": {"caption": "masses", "words": {"field": field}} for field in FIELDS}
    shown = {
        **{place: {"caption": name} for name, place in places.items()},
        **fields,
        "figures/spread": {"caption": "spread"},
    }
    folder = EXPERIMENT.format(experiment=paper)
    found = {f"{folder}/{place}.png": {**of, "experiments": [paper]} for place, of in shown.items()}
    weighted = [row["experiment"] for row in weighting_pairs()]
    return found | (
        {f"results/{RUN}/figures/weighting.png": {"caption": "weighting", "experiments": weighted}} if weighted else {}
    )


def paper_words():
    """Hash of what the page says beside its numbers; comments don't count."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "workflow/paper").iterdir()}
    return config_hash({**texts, "captions.yaml": yaml.safe_load(texts["captions.yaml"])})


def paper_recipes():
    """The experiments whose ensembles are looked at member by member."""
    return [name for name in ("fiducial", "krippendorf2023") if name in EXPERIMENTS]


def skies_in_words():
    """Which skies, and how much of them."""
    own = EXPERIMENTS["fiducial"]["sky"]
    number = {sky: len(realization_names(SKIES[sky])) for sky in (own, judged_on())}
    return (
        f"Networks learn from {number[own]} realizations of the sky `{own}` and are judged on all selected clusters of "
        f"{number[judged_on()]} realizations of `{judged_on()}`, unless another sky is named."
        if judged_on() != own
        else f"Networks learn from, and are judged on, {number[own]} realizations of the sky `{own}`."
    )

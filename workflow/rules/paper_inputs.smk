"""What the paper's page takes: files of all experiments, figures with their captions. No rules."""


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


def paper_figures():
    """Captions by figure, numbered as in the paper."""
    paper = "krippendorf2023" if "krippendorf2023" in EXPERIMENTS else "fiducial"
    numbered = {
        f"{EXPERIMENT}/figures/energy_bands": ("1", "Images of one cluster in ten energy bands"),
        f"{EXPERIMENT}/figures/sample": ("2", "Masses and redshifts of the simulated and of the selected clusters"),
        f"{EXPERIMENT}/figures/training": ("3", "Training curves of the members"),
        f"{EXPERIMENT}/figures/predictions": ("4", "Predicted against true masses"),
        f"{EXPERIMENT}/figures/bias": ("5", "Bias at fixed true and at fixed predicted mass"),
        **{
            f"{EXPERIMENT}/observed/{field}/masses": ("6", f"Masses of the observed field `{field}`")
            for field in FIELDS
        },
        f"{EXPERIMENT}/figures/spread": (
            "7",
            "The clusters on which the members differ most and least, and all others",
        ),
    }
    captions = {
        f"{path.format(experiment=paper)}.png": f"**Fig. {number}.** {words}; experiment `{paper}`, of its own sky."
        for path, (number, words) in numbered.items()
    }
    weighted = {f"results/{RUN}/figures/weighting.png": "**Fig. 8.** Masses weighted to be spread evenly, and not."}
    return captions | (weighted if weighting_pairs() else {})


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

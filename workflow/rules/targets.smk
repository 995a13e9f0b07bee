"""Lists of the files that a run makes, and rows of the tables that compare its experiments. This file has no rules."""


def candidate_settings():
    """Return the training settings of each candidate of a search, in the order of the configuration."""
    kept = ("redshift_noise", "train_clusters", "train_selection", "weighting")
    blocks = {"preprocessing": config["preprocessing"], "network": config["network"]}
    blocks["recipe"] = config["training"]["recipes"]
    return {
        name: {
            **{key: in_order(block[EXPERIMENTS[name][key]]) for key, block in blocks.items()},
            **{key: EXPERIMENTS[name][key] for key in kept},
            "images": in_order(IMAGES[of_set(name)]),
        }
        for name in CANDIDATES
    }


def all_figures():
    """Return all figures of the run, experiments and fields; figures that compare experiments only if they have rows."""
    paths = []
    for name, (_, path, _, _, more) in FIGURES.items():
        if more.get("rows", True):
            paths += expand(
                f"{path}.{{suffix}}",
                experiment=WEIGHING if "{field}" in path else EXPERIMENTS,
                field=PUBLISHED if name == "published_masses" else FIELDS,
                suffix=["svg", "png", "pdf"],
            )
    return list(dict.fromkeys(paths))


def all_comparisons():
    return expand(
        f"{EXPERIMENT}/observed/{{field}}/comparison.json",
        experiment=WEIGHING,
        field=PUBLISHED,
    )


#: endings of the files beside masses.fits: the same table, regions for DS9, and the field's coverage
BESIDE_MASSES = ["vot", "ecsv", "nc", "reg", "moc.fits", "cards.nc"]


def all_masses():
    return expand(
        f"{EXPERIMENT}/observed/{{field}}/masses.{{suffix}}",
        experiment=WEIGHING,
        field=FIELDS,
        suffix=["fits", *BESIDE_MASSES],
    )


def all_pages():
    return expand(f"{EXPERIMENT}/observed/{{field}}/clusters.html", experiment=WEIGHING, field=FIELDS)


def all_metrics():
    return expand(f"{EXPERIMENT}/metrics.json", experiment=EXPERIMENTS)


def metrics_of_test_skies():
    """Return the metrics files on test skies by experiment, then by test sky."""
    paths = {name: {} for name in EXPERIMENTS}
    for name, sky in test_skies():
        paths[name][sky] = f"{TEST_SKY}/metrics.json".format(experiment=name, test_sky=sky)
    return paths


def all_metrics_of_test_skies():
    return [path for paths in metrics_of_test_skies().values() for path in paths.values()]


def all_predictions():
    """Return the files of calibrated predictions, one for each file of metrics."""
    return [path.replace("metrics.json", "predictions.nc") for path in all_metrics() + all_metrics_of_test_skies()]


def compared():
    """Return the rows of the table of all experiments: each experiment on its own test set, then on its test skies."""
    return [
        {"experiment": name, "sky": sky, **trained_with(name)}
        for name, experiment in EXPERIMENTS.items()
        for sky in (None, *experiment["test_skies"])
    ]


def trained_with(name):
    """Return the settings of an experiment that figures and tables show in addition to its metrics."""
    recipe = config["training"]["recipes"][EXPERIMENTS[name]["recipe"]]
    return {"epochs": recipe["epochs"], "control": EXPERIMENTS[name]["control"]}


def learning_curve():
    """Return the rows for learning curves.

    A learning curve (`family`, named after its first experiment) joins experiments that differ only in `train_clusters`.
    """
    aside = ("train_clusters", "members", "test_skies", "compared_with")
    families = {}
    for name in WEIGHING:
        kept = config_hash({key: value for key, value in EXPERIMENTS[name].items() if key not in aside})
        families.setdefault(kept, []).append(name)
    several = [names for names in families.values() if len({EXPERIMENTS[n]["train_clusters"] for n in names}) > 1]
    family = {name: names[0] for names in several for name in names}
    return [{"family": family[row["experiment"]], **row} for row in compared() if row["experiment"] in family]


def results_of(rows, name):
    """Return the file `name` of each row's experiment: for the row's test sky, else for the experiment's own test set."""
    return [
        f"{TEST_SKY if row.get('sky') else EXPERIMENT}/{name}".format(
            experiment=row["experiment"], test_sky=row.get("sky")
        )
        for row in rows
    ]


def metrics_of(rows):
    return results_of(rows, "metrics.json")


def weighting_pairs():
    """Return two rows for each pair of experiments that differ only in `weighting`: the unweighted one comes first."""

    def weight(name):
        return EXPERIMENTS[name]["weighting"]

    def rest_of(name):
        aside = ("weighting", "test_skies", "compared_with")
        return config_hash({key: value for key, value in EXPERIMENTS[name].items() if key not in aside})

    plain = {rest_of(name): name for name in reversed(WEIGHING) if weight(name) == "none"}
    weighted = [name for name in WEIGHING if weight(name) != "none" and rest_of(name) in plain]
    pairs = [(plain[rest_of(name)], name) for name in weighted]
    return [{"experiment": name, "weighting": weight(name)} for pair in pairs for name in pair]


def predictions_of(rows):
    return results_of(rows, "predictions.nc")


def all_targets():
    return [
        f"results/{RUN}/report.html",
        f"results/{RUN}/summary.json",
        *all_metrics(),
        *all_metrics_of_test_skies(),
        *all_masses(),
        *all_pages(),
        *all_comparisons(),
        *all_figures(),
    ]

"""What a run makes: figures, metrics, masses, and the tables that compare its experiments. No rules."""


def candidate_settings():
    """Training settings of each candidate, in the order of the configuration."""
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
    """Figures of the run, of experiments and of fields; comparisons only if there is something to compare."""
    paths = []
    for name, (_, path, _, _, more) in FIGURES.items():
        if more.get("rows", True):
            paths += expand(
                f"{path}.{{suffix}}",
                experiment=WEIGHING if "{field}" in path else EXPERIMENTS,
                field=PUBLISHED if name == "published_masses" else FIELDS,
                suffix=["svg", "png"],
            )
    return list(dict.fromkeys(paths))


def all_comparisons():
    return expand(
        f"{EXPERIMENT}/observed/{{field}}/comparison.json",
        experiment=WEIGHING,
        field=PUBLISHED,
    )


def all_masses():
    return expand(
        f"{EXPERIMENT}/observed/{{field}}/masses.{{suffix}}",
        experiment=WEIGHING,
        field=FIELDS,
        suffix=["fits", "vot", "ecsv", "nc"],
    )


def all_metrics():
    return expand(f"{EXPERIMENT}/metrics.json", experiment=EXPERIMENTS)


def metrics_of_test_skies():
    """Metrics by experiment, then by test sky."""
    paths = {name: {} for name in EXPERIMENTS}
    for name, sky in test_skies():
        paths[name][sky] = f"{TEST_SKY}/metrics.json".format(experiment=name, test_sky=sky)
    return paths


def all_metrics_of_test_skies():
    return [path for paths in metrics_of_test_skies().values() for path in paths.values()]


def all_predictions():
    """Calibrated predictions, one file for each of the metrics."""
    return [path.replace("metrics.json", "predictions.nc") for path in all_metrics() + all_metrics_of_test_skies()]


def compared():
    """Rows of the comparison of all experiments: each on its own test set, then on each of its further skies."""
    return [
        {"experiment": name, "sky": sky, **trained_with(name)}
        for name, experiment in EXPERIMENTS.items()
        for sky in (None, *experiment["test_skies"])
    ]


def trained_with(name):
    """Training settings of an experiment in figures and tables; the rest is in its metrics."""
    recipe = config["training"]["recipes"][EXPERIMENTS[name]["recipe"]]
    return {"epochs": recipe["epochs"], "control": EXPERIMENTS[name]["control"]}


def learning_curve():
    """Rows whose experiments differ from others in `train_clusters` alone, with the name of their family."""
    aside = ("train_clusters", "members", "test_skies", "compared_with")
    families = {}
    for name in WEIGHING:
        kept = config_hash({key: value for key, value in EXPERIMENTS[name].items() if key not in aside})
        families.setdefault(kept, []).append(name)
    several = [names for names in families.values() if len({EXPERIMENTS[n]["train_clusters"] for n in names}) > 1]
    family = {name: names[0] for names in several for name in names}
    return [{"family": family[row["experiment"]], **row} for row in compared() if row["experiment"] in family]


def results_of(rows, name):
    """A file of each row's experiment: for the row's test sky, or for its own test set if the row names no sky."""
    return [
        f"{TEST_SKY if row.get('sky') else EXPERIMENT}/{name}".format(
            experiment=row["experiment"], test_sky=row.get("sky")
        )
        for row in rows
    ]


def metrics_of(rows):
    return results_of(rows, "metrics.json")


def weighting_pairs():
    """Two rows for each weighted experiment whose twin differs in `weighting` alone: first the twin, then itself."""

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
        *all_comparisons(),
        *all_figures(),
    ]

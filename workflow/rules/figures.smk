# All figures by name. The entry of a figure holds: the module in clustermass.figures with its function <name>, its
# path, its category and title in the report, its input files, and further params. Its caption is report/<name>.rst.
STYLE = config["figures"]["style"]
# a style sheet that is a file is an input, so that a change of its content re-runs the figures
STYLE_FILE = {"style": STYLE} if STYLE and is_style_file(STYLE) else {}
STYLE_NAME = {"style": STYLE} if STYLE and not STYLE_FILE else {}
OF_RUN, OF_EXPERIMENT = f"results/{RUN}/figures", f"{EXPERIMENT}/figures"
OF_FIELD = f"{EXPERIMENT}/observed/{{field}}"
FIGURES = {
    "comparison": (
        "_comparison",
        f"{OF_RUN}/comparison",
        ("Comparison", "experiments side by side"),
        {"metrics": metrics_of(compared())},
        {"rows": compared()},
    ),
    "learning_curve": (
        "_baselines",
        f"{OF_RUN}/learning_curve",
        ("Comparison", "learning curve"),
        {"metrics": metrics_of(learning_curve())},
        {"rows": learning_curve()},
    ),
    "weighting": (
        "_bias",
        f"{OF_RUN}/weighting",
        ("Comparison", "weighted training masses"),
        {"predictions": predictions_of(weighting_pairs())},
        {"rows": weighting_pairs()},
    ),
    "energy_bands": (
        "_sample",
        f"{OF_EXPERIMENT}/energy_bands",
        ("Sample", "energy bands"),
        {"images": realizations("images", "experiment"), "split": experiment_split},
        {"half_width_arcsec": preprocessed_half_width},
    ),
    "sample": (
        "_sample",
        f"{OF_EXPERIMENT}/sample",
        ("Sample", "sample"),
        {"truth": realizations("truth", "experiment"), "ensemble": f"{EXPERIMENT}/ensemble.nc"},
        {},
    ),
    "training": (
        "_training",
        f"{OF_EXPERIMENT}/training",
        ("Training", "training"),
        {"members": member_files(".nc")},
        {},
    ),
    "predictions": (
        "_predictions",
        f"{OF_EXPERIMENT}/predictions",
        ("Accuracy", "predictions"),
        {"predictions": f"{EXPERIMENT}/predictions.nc"},
        {},
    ),
    "spread": (
        "_spread",
        f"{OF_EXPERIMENT}/spread",
        ("Accuracy", "spread of the members"),
        {
            "ensemble": f"{EXPERIMENT}/ensemble.nc",
            "predictions": f"{EXPERIMENT}/predictions.nc",
            "split": experiment_split,
            "images": realizations("images", "experiment"),
            "truth": realizations("truth", "experiment"),
            "catalogues": realizations("catalogue", "experiment"),
        },
        {
            "half_width_arcsec": preprocessed_half_width,
            "bootstrap": config["evaluation"]["bootstrap"],
            "seed": config["seed"],
        },
    ),
    "bias": (
        "_bias",
        f"{OF_EXPERIMENT}/bias",
        ("Accuracy", "bias"),
        {"predictions": f"{EXPERIMENT}/predictions.nc", "baselines": baselines_of_experiment},
        {},
    ),
    "bias_supplement": (
        "_bias",
        f"{OF_EXPERIMENT}/bias_supplement",
        ("Accuracy", "bias of the other baselines"),
        {"predictions": f"{EXPERIMENT}/predictions.nc", "baselines": baselines_of_experiment},
        {},
    ),
    "baselines": (
        "_baselines",
        f"{OF_EXPERIMENT}/baselines",
        ("Accuracy", "baselines"),
        {"metrics": f"{EXPERIMENT}/metrics.json"},
        {},
    ),
    "calibration": (
        "_predictions",
        f"{OF_EXPERIMENT}/calibration",
        ("Accuracy", "calibration"),
        {"predictions": f"{EXPERIMENT}/predictions.nc", "metrics": f"{EXPERIMENT}/metrics.json"},
        {},
    ),
    "observed": (
        "_observed",
        f"{OF_FIELD}/masses",
        ("Observed field", "masses"),
        {"masses": f"{OF_FIELD}/masses.fits"},
        {"relation": in_order(config["baselines"]["count_rate_efeds"])},
    ),
    "published_masses": (
        "_observed",
        f"{OF_FIELD}/comparison",
        ("Observed field", "beside published masses"),
        {"comparison": f"{OF_FIELD}/comparison.json"},
        {},
    ),
}

for figure, (module, path, (category, title), files, more) in FIGURES.items():
    wildcards_of_figure = [name for name in ("field", "experiment") if f"{{{name}}}" in path]
    folder = EXPERIMENT if "experiment" in wildcards_of_figure else f"results/{RUN}"
    job = f"plot_{figure}_{{field}}" if "field" in wildcards_of_figure else f"plot_{figure}"

    rule:
        """Draw the figure that the rule is named after."""
        name:
            f"plot_{figure}"
        input:
            **files,
            **STYLE_FILE,
        output:
            svg=report(
                f"{path}.svg",
                caption=f"../report/{figure}.rst",
                category=category,
                labels={
                    "figure": title,
                    **{name: f"{{{name}}}" for name in wildcards_of_figure},
                },
            ),
            png=f"{path}.png",
            pdf=f"{path}.pdf",
        log:
            f"{folder}/logs/{job}.log",
        benchmark:
            f"{folder}/benchmarks/{job}.tsv"
        conda:
            "../../envs/figures.yaml"
        resources:
            mem_mb=each_try(1000),
            runtime=each_try(10),
        params:
            **more,
            **step(f"figures.{module}.{figure}"),
            **STYLE_NAME,
            dpi=config["figures"]["dpi"],
        script:
            "../scripts/step.py"

DIVISION = in_order(
    {
        "fractions": {subset: config["split"][subset] for subset in ("train", "val", "test")},
        **{key: folds for key, folds in config["split"].items() if key == "folds"},
        "box_arcsec": BOX_ARCSEC,
        "seed": config["seed"],
    }
)


use rule step as split_sample with:
    """Divide the selected clusters into training, validation and test set, by halo."""
    input:
        images=images_of_set,
    output:
        output=f"results/{RUN}/splits/{{sky}}.nc",
    log:
        f"results/{RUN}/logs/split_sample_{{sky}}.log",
    benchmark:
        f"results/{RUN}/benchmarks/split_sample_{{sky}}.tsv"
    params:
        **step("dataset.split.split_sample"),
        division=DIVISION,


use rule step as extend_split with:
    """Split the clusters of a further image set; clusters of the default images stay in their subsets."""
    input:
        images=images_of_set,
        split=f"results/{RUN}/splits/{{sky}}.nc",
    output:
        output=f"results/{RUN}/splits{{of_set}}/{{sky}}.nc",
    log:
        f"results/{RUN}/logs{{of_set}}/extend_split_{{sky}}.log",
    benchmark:
        f"results/{RUN}/benchmarks{{of_set}}/extend_split_{{sky}}.tsv"
    wildcard_constraints:
        of_set="|".join(ending for ending in IMAGES if ending) or "(?!)",
    params:
        **step("dataset.split.extend_split"),
        division=DIVISION,

rule extract_images:
    input:
        events=f"{REALIZATION}/events.fits",
        exposure=f"{REALIZATION}/exposure.fits",
        catalogue=f"{REALIZATION}/catalogue.fits",
        truth=truth_of,
        matches=matches_of,
    output:
        images=f"{REALIZATION}/images{{of_set}}.nc",
    log:
        f"{REALIZATION}/logs{{of_set}}/extract_images.log",
    benchmark:
        f"{REALIZATION}/benchmarks{{of_set}}/extract_images.tsv"
    wildcard_constraints:
        sky=skies_with_events(),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        images=images_of,
        events=in_order(config["events"]),
        code=code("extract_images", "images.cutouts"),
    script:
        "../scripts/extract_images.py"


rule smooth_images:
    input:
        images=f"{REALIZATION}/images{{of_set}}.nc",
    output:
        smoothed=f"{REALIZATION}/smoothed{{of_set}}/{{preprocessing}}.nc",
    log:
        f"{REALIZATION}/logs{{of_set}}/smooth_images_{{preprocessing}}.log",
    benchmark:
        f"{REALIZATION}/benchmarks{{of_set}}/smooth_images_{{preprocessing}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        recipe=preprocessing,
        code=code("smooth_images", "images.preprocessing"),
    script:
        "../scripts/smooth_images.py"


rule split_sample:
    input:
        images=images_of_sky,
    output:
        split=f"results/{RUN}/splits/{{sky}}.nc",
    log:
        f"results/{RUN}/logs/split_sample_{{sky}}.log",
    benchmark:
        f"results/{RUN}/benchmarks/split_sample_{{sky}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        fractions=in_order(config["split"]),
        box_arcsec=config["images"]["box_pixels"] * config["images"]["pixel_arcsec"],
        seed=config["seed"],
        code=code("split_sample", "dataset.split"),
    script:
        "../scripts/split_sample.py"


rule extend_split:
    """Clusters of a further set of images: those that the default images have, too, stay in their subsets."""
    input:
        images=set_of_sky,
        split=f"results/{RUN}/splits/{{sky}}.nc",
    output:
        split=f"results/{RUN}/splits{{of_set}}/{{sky}}.nc",
    log:
        f"results/{RUN}/logs{{of_set}}/extend_split_{{sky}}.log",
    benchmark:
        f"results/{RUN}/benchmarks{{of_set}}/extend_split_{{sky}}.tsv"
    wildcard_constraints:
        of_set="|".join(ending for ending in IMAGES if ending) or "(?!)",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        fractions=in_order(config["split"]),
        box_arcsec=config["images"]["box_pixels"] * config["images"]["pixel_arcsec"],
        seed=config["seed"],
        code=code("extend_split", "dataset.extend_split"),
    script:
        "../scripts/extend_split.py"

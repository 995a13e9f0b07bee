rule fit_baselines:
    input:
        images=experiment_images,
        truth=experiment_truth,
        split=experiment_split,
    output:
        baselines=f"{EXPERIMENT}/baselines.nc",
    log:
        f"{EXPERIMENT}/logs/fit_baselines.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/fit_baselines.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=20,
    params:
        selection=selection,
        baselines=in_order(config["baselines"]),
        cosmology=in_order(config["cosmology"]),
        seed=config["seed"],
        code=code("fit_baselines", "baselines.fit"),
    script:
        "../scripts/fit_baselines.py"


rule evaluate:
    input:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        baselines=f"{EXPERIMENT}/baselines.nc",
        split=experiment_split,
    output:
        metrics=f"{EXPERIMENT}/metrics.json",
    log:
        f"{EXPERIMENT}/logs/evaluate.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/evaluate.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        evaluation=in_order(config["evaluation"]),
        seed=config["seed"],
        code=code("evaluate", "evaluation.evaluate"),
    script:
        "../scripts/evaluate.py"

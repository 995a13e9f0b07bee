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
        mem_mb=each_try(3000),
        runtime=each_try(20),
    params:
        selection=selection,
        train_selection=train_selection,
        train_clusters=train_clusters,
        baselines=in_order(config["baselines"]),
        cosmology=experiment_cosmology,
        seed=config["seed"],
        code=code("fit_baselines", "baselines.fit"),
    script:
        "../scripts/fit_baselines.py"


rule calibrate:
    input:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        split=experiment_split,
    output:
        calibration=f"{EXPERIMENT}/calibration.json",
    log:
        f"{EXPERIMENT}/logs/calibrate.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/calibrate.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        recalibration=config["ensemble"]["recalibration"],
        seed=config["seed"],
        code=code("calibrate", "ensemble.calibration"),
    script:
        "../scripts/calibrate.py"


rule fit_ood:
    """Fit the out-of-distribution model to training and validation clusters."""
    input:
        smoothed=experiment_smoothed,
        ensemble=f"{EXPERIMENT}/ensemble.nc",
    output:
        domain=f"{EXPERIMENT}/domain.nc",
    log:
        f"{EXPERIMENT}/logs/fit_ood.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/fit_ood.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        seed=config["seed"],
        code=code("fit_ood", "ensemble.fit_out_of_distribution"),
    script:
        "../scripts/fit_ood.py"


rule score_ood:
    """Out-of-distribution scores of the test clusters."""
    input:
        smoothed=experiment_smoothed,
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        domain=f"{EXPERIMENT}/domain.nc",
    output:
        ood=f"{EXPERIMENT}/ood.nc",
    log:
        f"{EXPERIMENT}/logs/score_ood.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/score_ood.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        code=code("score_ood", "evaluate.ood_scores"),
    script:
        "../scripts/score_ood.py"


rule evaluate:
    input:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        baselines=experiment_baselines,
        calibration=f"{EXPERIMENT}/calibration.json",
        split=experiment_split,
        ood=f"{EXPERIMENT}/ood.nc",
    output:
        metrics=f"{EXPERIMENT}/metrics.json",
        predictions=f"{EXPERIMENT}/predictions.nc",
    log:
        f"{EXPERIMENT}/logs/evaluate.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/evaluate.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        resamplings=config["evaluation"]["bootstrap"],
        seed=config["seed"],
        code=code("evaluate", "evaluate.evaluate"),
    script:
        "../scripts/evaluate.py"


rule predict_sky:
    """All selected clusters of a test sky by the trained ensemble."""
    input:
        smoothed=test_sky_smoothed,
        weights=member_files(".safetensors"),
    output:
        ensemble=f"{TEST_SKY}/ensemble.nc",
    log:
        f"{TEST_SKY}/logs/predict_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/predict_sky.tsv"
    conda:
        training_environment()
    threads: 1
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(120),
        gpu=gpus_per_training(),
    params:
        selection=selection,
        redshift_noise=redshift_noise,
        seed=config["seed"],
        code=code("predict_sky", "evaluate.test_skies"),
    script:
        "../scripts/predict_sky.py"


rule fit_baselines_for_sky:
    """The same baselines, fitted to the training sky, on all selected clusters of a test sky."""
    input:
        images=experiment_images,
        truth=experiment_truth,
        split=experiment_split,
        other_images=test_sky_images,
        other_truth=test_sky_truth,
    output:
        baselines=f"{TEST_SKY}/baselines.nc",
    log:
        f"{TEST_SKY}/logs/fit_baselines_for_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/fit_baselines_for_sky.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(30),
    params:
        selection=selection,
        train_selection=train_selection,
        train_clusters=train_clusters,
        baselines=in_order(config["baselines"]),
        cosmology=experiment_cosmology,
        other_cosmology=test_sky_cosmology,
        box_arcsec=config["images"]["box_pixels"] * config["images"]["pixel_arcsec"],
        seed=config["seed"],
        code=code("fit_baselines_for_sky", "baselines.fit"),
    script:
        "../scripts/fit_baselines_for_sky.py"


rule score_ood_of_sky:
    """Out-of-distribution scores of the clusters of a test sky."""
    input:
        smoothed=test_sky_smoothed,
        ensemble=f"{TEST_SKY}/ensemble.nc",
        domain=f"{EXPERIMENT}/domain.nc",
    output:
        ood=f"{TEST_SKY}/ood.nc",
    log:
        f"{TEST_SKY}/logs/score_ood_of_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/score_ood_of_sky.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        code=code("score_ood", "evaluate.ood_scores"),
    script:
        "../scripts/score_ood.py"


rule evaluate_sky:
    input:
        ensemble=f"{TEST_SKY}/ensemble.nc",
        baselines=test_sky_baselines,
        calibration=f"{EXPERIMENT}/calibration.json",
        ood=f"{TEST_SKY}/ood.nc",
    output:
        metrics=f"{TEST_SKY}/metrics.json",
        predictions=f"{TEST_SKY}/predictions.nc",
    log:
        f"{TEST_SKY}/logs/evaluate_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/evaluate_sky.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        resamplings=config["evaluation"]["bootstrap"],
        seed=config["seed"],
        code=code("evaluate", "evaluate.evaluate"),
    script:
        "../scripts/evaluate.py"

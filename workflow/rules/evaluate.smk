# The rules down to `evaluate` evaluate an experiment on its own test set.


rule fit_baselines:
    """Fit the baselines (scaling relations, ridge regression) and apply them to the test clusters."""
    input:
        images=realizations("images", "experiment"),
        truth=realizations("truth", "experiment"),
        split=experiment_split,
    output:
        baselines=f"{EXPERIMENT}/baselines.nc",
    log:
        f"{EXPERIMENT}/logs/fit_baselines.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/fit_baselines.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(20),
    params:
        **settings("selection", "train_selection", "train_clusters"),
        baselines=in_order(config["baselines"]),
        cosmology=cosmology("experiment"),
        seed=config["seed"],
        code=code("fit_baselines", "baselines.fit"),
    script:
        "../scripts/fit_baselines.py"


use rule step as score_ood with:
    """Compute the out-of-distribution scores of the test clusters."""
    input:
        smoothed=realizations("smoothed", "experiment"),
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        domain=f"{EXPERIMENT}/domain.nc",
    output:
        output=f"{EXPERIMENT}/ood.nc",
    log:
        f"{EXPERIMENT}/logs/score_ood.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/score_ood.tsv"
    params:
        **step("ensemble.out_of_distribution.score_ood"),


use rule step as evaluate with:
    """Compute the metrics of the ensemble and of the baselines on the test clusters."""
    input:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        baselines=baselines_of_experiment,
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
    params:
        **step("evaluate.evaluate.evaluate"),
        resamplings=config["evaluation"]["bootstrap"],
        seed=config["seed"],


# The rules below evaluate an experiment on all selected clusters of a test sky.


use rule step as predict_sky with:
    """Predict the masses of a test sky's clusters with a trained ensemble."""
    input:
        smoothed=realizations("smoothed", "test_sky"),
        weights=member_files(".safetensors"),
        trained=realizations("smoothed", "experiment"),
        split=experiment_split,
    output:
        output=f"{TEST_SKY}/ensemble.nc",
    log:
        f"{TEST_SKY}/logs/predict_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/predict_sky.tsv"
    conda:
        training_environment()
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(120),
        gpu=gpus_per_training(),
    params:
        **settings("selection", "redshift_noise"),
        **step("ensemble.ensemble.predict_sky"),
        sky="{test_sky}",
        seed=config["seed"],


rule fit_baselines_for_sky:
    """Fit the baselines to the training sky, as `fit_baselines` does, and apply them to the test sky."""
    input:
        images=realizations("images", "experiment"),
        truth=realizations("truth", "experiment"),
        split=experiment_split,
        other_images=realizations("images", "test_sky"),
        other_truth=realizations("truth", "test_sky"),
    output:
        baselines=f"{TEST_SKY}/baselines.nc",
    log:
        f"{TEST_SKY}/logs/fit_baselines_for_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/fit_baselines_for_sky.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(30),
    params:
        **settings("selection", "train_selection", "train_clusters"),
        baselines=in_order(config["baselines"]),
        cosmology=cosmology("experiment"),
        other_cosmology=cosmology("test_sky"),
        box_arcsec=BOX_ARCSEC,
        seed=config["seed"],
        code=code("fit_baselines", "baselines.fit"),
    script:
        "../scripts/fit_baselines.py"


use rule score_ood as score_ood_of_sky with:
    """Compute the out-of-distribution scores of a test sky's clusters."""
    input:
        smoothed=realizations("smoothed", "test_sky"),
        ensemble=f"{TEST_SKY}/ensemble.nc",
        domain=f"{EXPERIMENT}/domain.nc",
    output:
        output=f"{TEST_SKY}/ood.nc",
    log:
        f"{TEST_SKY}/logs/score_ood_of_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/score_ood_of_sky.tsv"


use rule evaluate as evaluate_sky with:
    """Compute the metrics of the ensemble and of the baselines on a test sky."""
    input:
        ensemble=f"{TEST_SKY}/ensemble.nc",
        baselines=baselines_of_test_sky,
        calibration=f"{EXPERIMENT}/calibration.json",
        ood=f"{TEST_SKY}/ood.nc",
    output:
        metrics=f"{TEST_SKY}/metrics.json",
        predictions=f"{TEST_SKY}/predictions.nc",
    log:
        f"{TEST_SKY}/logs/evaluate_sky.log",
    benchmark:
        f"{TEST_SKY}/benchmarks/evaluate_sky.tsv"

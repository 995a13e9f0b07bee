use rule step as aggregate_ensemble with:
    """Combine the members' predictions to the ensemble's mean and sigma for each cluster."""
    input:
        images=realizations("smoothed", "experiment"),
        members=member_files(".nc"),
        weights=member_files(".safetensors"),
    output:
        output=f"{EXPERIMENT}/ensemble.nc",
    log:
        f"{EXPERIMENT}/logs/aggregate_ensemble.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/aggregate_ensemble.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(20),
    params:
        **settings("weighting"),
        **step("ensemble.aggregate.aggregate_ensemble"),
        cosmology=cosmology("experiment"),


use rule step as calibrate with:
    """Recalibrate sigma and fit the conformal intervals on the validation clusters."""
    input:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        split=experiment_split,
    output:
        output=f"{EXPERIMENT}/calibration.json",
    log:
        f"{EXPERIMENT}/logs/calibrate.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/calibrate.tsv"
    params:
        **step("ensemble.calibration.calibrate"),
        recalibration=config["ensemble"]["recalibration"],
        seed=config["seed"],


use rule step as fit_ood with:
    """Fit the out-of-distribution model to training and validation clusters."""
    input:
        smoothed=realizations("smoothed", "experiment"),
        ensemble=f"{EXPERIMENT}/ensemble.nc",
    output:
        output=f"{EXPERIMENT}/domain.nc",
    log:
        f"{EXPERIMENT}/logs/fit_ood.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/fit_ood.tsv"
    params:
        **step("ensemble.fit_out_of_distribution.fit_ood"),
        seed=config["seed"],

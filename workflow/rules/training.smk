rule train_member:
    input:
        images=experiment_smoothed,
        split=experiment_split,
    output:
        predictions=f"{EXPERIMENT}/members/{{member}}.nc",
        weights=f"{EXPERIMENT}/members/{{member}}.safetensors",
    log:
        f"{EXPERIMENT}/logs/train_member_{{member}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/train_member_{{member}}.tsv"
    conda:
        training_environment()
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=gpus_per_training(),
    params:
        selection=selection,
        network=network,
        recipe=recipe,
        redshift_noise=redshift_noise,
        seed=config["seed"],
        code=code("train_member", "training"),
    script:
        "../scripts/train_member.py"


rule aggregate_ensemble:
    input:
        images=experiment_smoothed,
        members=member_files(".nc"),
    output:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
    log:
        f"{EXPERIMENT}/logs/aggregate_ensemble.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/aggregate_ensemble.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=10,
    params:
        cosmology=in_order(config["cosmology"]),
        code=code("aggregate_ensemble", "ensemble"),
    script:
        "../scripts/aggregate_ensemble.py"

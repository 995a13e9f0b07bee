# asked for by name, for its own sake: what more networks buy, from members that are there already
rule members_curve:
    input:
        members=member_files(".nc"),
        split=experiment_split,
    output:
        json=f"{EXPERIMENT}/members_curve.json",
    log:
        f"{EXPERIMENT}/logs/members_curve.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/members_curve.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        resamplings=config["evaluation"]["bootstrap"],
        seed=config["seed"],
        code=code("members_curve", "evaluate.ensemble_size"),
    script:
        "../scripts/members_curve.py"


rule members_curves:
    """Those of all experiments."""
    input:
        expand(f"{EXPERIMENT}/members_curve.json", experiment=EXPERIMENTS),

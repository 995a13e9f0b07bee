rule step:
    """What the steps below inherit (`use rule step as ...`): environment, memory and time, and how they are called."""
    log:
        "results/logs/step.log",
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    script:
        "../scripts/step.py"

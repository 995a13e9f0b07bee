rule step:
    """Defaults for other rules, which inherit them by `use rule step as ...`: environment, memory, time and script."""
    log:
        "results/logs/step.log",
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    script:
        "../scripts/step.py"

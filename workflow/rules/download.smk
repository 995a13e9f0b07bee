localrules:
    download_efeds,


# no output: Snakemake would delete files that a failed download left to be resumed, and fetch them for `all`
rule download_efeds:
    """Made on request: the public eFEDS files that config/efeds.yaml reads, fetched by address and checked."""
    log:
        "results/logs/download_efeds.log",
    conda:
        "../../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=each_try(4000),
        runtime=each_try(600),
    params:
        downloads=in_order(config.get("downloads", {})),
        code=code("download_efeds", "io.download"),
    script:
        "../scripts/download_efeds.py"

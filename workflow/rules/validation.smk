rule validate_sky:
    """The embedded sky against published numbers: results/validation/sky.{json,md,png,pdf}."""
    input:
        "results/validation/sky.png",


rule compare_sky:
    input:
        **{name: of_realizations(VALIDATED, f"{name}.fits") for name in REALIZATION_FILES},
    output:
        table="results/validation/sky.json",
        markdown="results/validation/sky.md",
        measured="results/validation/measured.nc",
    log:
        "results/validation/logs/compare_sky.log",
    benchmark:
        "results/validation/benchmarks/compare_sky.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        code=code("compare_sky", "sky_validation.table"),
    script:
        "../scripts/compare_sky.py"


rule plot_sky_validation:
    input:
        measured="results/validation/measured.nc",
        table="results/validation/sky.json",
    output:
        png="results/validation/sky.png",
        pdf="results/validation/sky.pdf",
    log:
        "results/validation/logs/plot_sky_validation.log",
    benchmark:
        "results/validation/benchmarks/plot_sky_validation.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.sky_validation"),
    script:
        "../scripts/plot.py"

rule infer_observed:
    input:
        images=field_images,
        smoothed=field_smoothed,
        catalogues=field_catalogues,
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        calibration=f"{EXPERIMENT}/calibration.json",
        weights=member_files(".safetensors"),
    output:
        fits=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
        ecsv=f"{EXPERIMENT}/observed/{{field}}/masses.ecsv",
        nc=f"{EXPERIMENT}/observed/{{field}}/masses.nc",
    log:
        f"{EXPERIMENT}/logs/infer_observed_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/infer_observed_{{field}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        simulated=field_is_simulated,
        acronym=config["observed"]["acronym"],
        cosmology=experiment_cosmology,
        code=code("infer_observed", "observed.masses"),
    script:
        "../scripts/infer_observed.py"


rule plot_observed:
    input:
        masses=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
        images=field_images,
    output:
        svg=report(
            f"{EXPERIMENT}/observed/{{field}}/masses.svg",
            caption="../report/observed.rst",
            category="Observed field",
            labels={
                "figure": "masses",
                "field": "{field}",
                "experiment": "{experiment}",
            },
        ),
        png=f"{EXPERIMENT}/observed/{{field}}/masses.png",
    log:
        f"{EXPERIMENT}/logs/plot_observed_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_observed_{{field}}.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        relation=in_order(config["baselines"]["count_rate_efeds"]),
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.observed"),
    script:
        "../scripts/plot.py"
